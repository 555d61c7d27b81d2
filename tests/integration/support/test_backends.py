"""Both backends reach every client of a test, the runtime's own included."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from sosw_runtime import aws
from tests.support.lambdas import FakeLambda

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


def test_the_runtimes_clients_see_the_tables_of_the_test(dynamodb: DynamoDBClient, name: str) -> None:
    tables = [table for table in aws.dynamodb().list_tables()["TableNames"] if table.startswith(name)]
    assert sorted(tables) == [f"{name}_{table}" for table in ("closed_tasks", "registry", "retry_tasks", "tasks")]


def test_other_services_and_lambda_answer_beside_both(dynamodb: DynamoDBClient, lambdas: FakeLambda) -> None:
    topic = aws.sns().create_topic(Name="alarms")["TopicArn"]
    aws.sns().publish(TopicArn=topic, Message="a task is dead")
    aws.cloudwatch().put_metric_data(Namespace="sosw", MetricData=[{"MetricName": "queued", "Value": 1}])
    aws.lambda_().invoke(FunctionName="resize", InvocationType="Event", Payload=json.dumps({"task_id": "1"}).encode())
    assert [invocation.event for invocation in lambdas.invocations] == [{"task_id": "1"}]


def test_each_backend_is_what_it_says(dynamodb: DynamoDBClient, request: pytest.FixtureRequest) -> None:
    is_local = "dynamodb-local" in request.node.name
    assert dynamodb.meta.endpoint_url.startswith("http://127.0.0.1:") == is_local
