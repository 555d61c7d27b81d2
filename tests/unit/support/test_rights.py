"""The guard over the Essentials' rights sees every call, and reads the policies as they stand."""

from __future__ import annotations

import pytest
from moto import mock_aws

from sosw_runtime import aws
from sosw_runtime.testing import create_tables
from tests.support.rights import Rights, granted


def test_a_call_without_a_right_is_told_in_a_line() -> None:
    with mock_aws(), Rights("sosw") as rights:
        client = aws.dynamodb()
        create_tables(client)
        client.scan(TableName="sosw_tasks")
        with rights.of("worker_assistant"):
            client.scan(TableName="sosw_tasks")
            client.transact_write_items(
                TransactItems=[
                    {"Put": {"TableName": "sosw_tasks", "Item": {"task_id": {"S": "t"}}}},
                    {
                        "Delete": {
                            "TableName": "sosw_retry_tasks",
                            "Key": {"worker_id": {"S": "w"}, "due": {"S": "0#t"}},
                        }
                    },
                ]
            )
    assert rights.missing() == [
        f"the worker_assistant calls {call}, which its policy does not grant"
        for call in ("dynamodb:DeleteItem on retry_tasks", "dynamodb:PutItem on tasks", "dynamodb:Scan on tasks")
    ]


def test_a_call_with_a_right_is_not() -> None:
    with mock_aws(), Rights("sosw") as rights:
        client = aws.dynamodb()
        create_tables(client)
        with rights.of("orchestrator"):
            client.query(
                TableName="sosw_tasks",
                IndexName="queue",
                KeyConditionExpression="queue_key = :key",
                ExpressionAttributeValues={":key": {"S": "resize"}},
            )
    assert rights.used == {"orchestrator": {("dynamodb:Query", "tasks/index/queue")}}
    assert rights.missing() == []


@pytest.mark.parametrize("essential", ["scheduler", "orchestrator", "scavenger", "worker_assistant"])
def test_every_right_is_on_a_part_of_the_installation(essential: str) -> None:
    for action, subject in granted(essential):
        assert subject != "*" or action == "cloudwatch:GetMetricData", f"{action} on everything"
        assert "*" not in action
