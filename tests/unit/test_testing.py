"""The tables and registrations that tests make are those that Terraform makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto import mock_aws
from pydantic import ValidationError

from sosw_runtime.domain.registration import Registration
from sosw_runtime.testing import create_tables, register_worker
from tests.support.hcl import parsed
from tests.support.installation import TABLES

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

MODULES = Path(__file__).parents[2] / "modules"


@pytest.fixture
def dynamodb() -> Iterator[DynamoDBClient]:
    """An account without tables."""
    with mock_aws():
        yield boto3.client("dynamodb")


def by_terraform(table: str) -> dict[str, Any]:
    """What `modules/tables` says of a table, in the shape of `by_tests`."""
    [block] = [
        resource["aws_dynamodb_table"][table]
        for resource in parsed(MODULES / "tables" / "main.tf")["resource"]
        if table in resource.get("aws_dynamodb_table", {})
    ]
    return {
        "name": block["name"].replace("${var.name}", "media"),
        "billing": block["billing_mode"],
        "key": _key(block),
        "attributes": {attribute["name"]: attribute["type"] for attribute in block["attribute"]},
        "indexes": {
            index["name"]: (_key(index), index["projection_type"], {*index.get("non_key_attributes", [])})
            for index in block.get("global_secondary_index", [])
        },
        "stream": block.get("stream_view_type") if block.get("stream_enabled") else None,
        "ttl": [ttl["attribute_name"] for ttl in block.get("ttl", []) if ttl["enabled"]],
    }


def _key(block: dict[str, Any]) -> list[str]:
    return [block[kind] for kind in ("hash_key", "range_key") if kind in block]


def by_tests(dynamodb: DynamoDBClient, table: str) -> dict[str, Any]:
    """What `create_tables` made."""
    found: Any = dynamodb.describe_table(TableName=f"media_{table}")["Table"]
    ttl: Any = dynamodb.describe_time_to_live(TableName=f"media_{table}")["TimeToLiveDescription"]
    return {
        "name": found["TableName"],
        "billing": found["BillingModeSummary"]["BillingMode"],
        "key": [part["AttributeName"] for part in found["KeySchema"]],
        "attributes": {part["AttributeName"]: part["AttributeType"] for part in found["AttributeDefinitions"]},
        "indexes": {
            index["IndexName"]: (
                [part["AttributeName"] for part in index["KeySchema"]],
                index["Projection"]["ProjectionType"],
                {*index["Projection"].get("NonKeyAttributes", [])},
            )
            for index in found.get("GlobalSecondaryIndexes", [])
        },
        "stream": found.get("StreamSpecification", {}).get("StreamViewType"),
        "ttl": [ttl["AttributeName"]] if ttl["TimeToLiveStatus"] == "ENABLED" else [],
    }


@pytest.mark.parametrize("table", TABLES)
def test_terraform_and_tests_make_the_same_table(dynamodb: DynamoDBClient, table: str) -> None:
    create_tables(dynamodb, "media")
    assert by_tests(dynamodb, table) == by_terraform(table)


def test_terraform_and_tests_make_the_same_number_of_tables(dynamodb: DynamoDBClient) -> None:
    create_tables(dynamodb, "media")
    assert len(dynamodb.list_tables()["TableNames"]) == len(TABLES)
    assert sum(
        "aws_dynamodb_table" in resource for resource in parsed(MODULES / "tables" / "main.tf")["resource"]
    ) == len(TABLES)


def test_terraform_registers_workers_by_the_fields_that_the_runtime_reads(dynamodb: DynamoDBClient) -> None:
    [locals_] = [block for block in parsed(MODULES / "worker" / "main.tf")["locals"] if "registration" in block]
    assert locals_["registration"].keys() == Registration.model_fields.keys()


def test_a_registered_worker_is_the_item_that_terraform_writes(dynamodb: DynamoDBClient) -> None:
    create_tables(dynamodb)
    inputs = {"function_name": "resize", "timeout_seconds": 10, "max_concurrency": 3}
    for require_token in (False, True):
        registered = register_worker(dynamodb, "sosw", inputs, require_token=require_token)
        assert registered == Registration.model_validate(inputs)
        key: Any = {"pk": {"S": "worker"}, "sk": {"S": "resize"}}
        item: Any = dynamodb.get_item(TableName="sosw_registry", Key=key)["Item"]
        assert item.keys() == {"pk", "sk", "spec", "require_token"}
        assert Registration.model_validate_json(item["spec"]["S"]) == registered
        assert item["require_token"] == {"BOOL": require_token}

    [written] = [
        resource["aws_dynamodb_table_item"]["registration"]
        for resource in parsed(MODULES / "worker" / "main.tf")["resource"]
        if "registration" in resource.get("aws_dynamodb_table_item", {})
    ]
    assert (written["hash_key"], written["range_key"]) == ("pk", "sk")
    assert 'pk = {S = "worker"}, sk = {S = local.worker_id}, spec = {S = jsonencode(' in written["item"]


def test_a_wrong_registration_is_refused_and_not_written(dynamodb: DynamoDBClient) -> None:
    create_tables(dynamodb)
    with pytest.raises(ValidationError, match="max_concurrency"):
        register_worker(dynamodb, "sosw", {"function_name": "resize", "timeout_seconds": 10, "max_concurrency": 0})
    assert dynamodb.scan(TableName="sosw_registry")["Count"] == 0
