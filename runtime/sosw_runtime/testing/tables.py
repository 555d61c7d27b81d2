"""The tables as Terraform makes them, and registrations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sosw_runtime.domain.registration import Registration
from sosw_runtime.storage.registry import put_registration
from sosw_runtime.storage.tables import Tables

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: Type of every attribute that is part of a key.
_TYPES: Final = {"closed_at": "N"}


def create_tables(dynamodb_client: DynamoDBClient, name: str = "sosw") -> None:
    """Create the tables `<name>_tasks`, `_retry_tasks`, `_closed_tasks` and `_registry`, with on-demand capacity."""
    tables = Tables.with_client(dynamodb_client, name)
    definitions = [
        _table(
            tables.tasks,
            ["task_id"],
            {"queue": (["queue_key", "queue_rank"], {"ProjectionType": "KEYS_ONLY"})},
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        ),
        _table(tables.retry_tasks, ["worker_id", "due"]),
        _table(
            tables.closed_tasks,
            ["task_id"],
            {
                "by_outcome": (
                    ["outcome_key", "closed_at"],
                    {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["job_id", "attempt", "duration_ms"]},
                ),
                "outbox": (["outbox", "closed_at"], {"ProjectionType": "KEYS_ONLY"}),
            },
        ),
        _table(tables.registry, ["pk", "sk"]),
    ]
    for definition in definitions:
        dynamodb_client.create_table(**definition)
    for table in (tables.closed_tasks, tables.registry):
        dynamodb_client.update_time_to_live(
            TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
        )


def register_worker(
    dynamodb_client: DynamoDBClient,
    name: str,
    registration: Registration | Mapping[str, Any],
    *,
    require_token: bool = True,
) -> Registration:
    """Register a Worker as the Terraform module `worker` does; what was registered.

    Args:
        dynamodb_client: of the tables.
        name: of the installation.
        registration: a `Registration`, or the module's inputs by name.
        require_token: whether a report of its tasks must carry the token of the attempt, as the module's input.

    Raises:
        pydantic.ValidationError: an input is wrong.
    """
    valid = registration if isinstance(registration, Registration) else Registration.model_validate(registration)
    put_registration(Tables.with_client(dynamodb_client, name), valid, require_token=require_token)
    return valid


def _table(
    name: str, key: list[str], indexes: Mapping[str, tuple[list[str], dict[str, Any]]] | None = None, **more: object
) -> Any:
    indexes = indexes or {}
    names = dict.fromkeys([*key, *(attribute for index_key, _ in indexes.values() for attribute in index_key)])
    if indexes:
        more["GlobalSecondaryIndexes"] = [
            {"IndexName": index, "KeySchema": _key_schema(index_key), "Projection": projection}
            for index, (index_key, projection) in indexes.items()
        ]
    return {
        "TableName": name,
        "KeySchema": _key_schema(key),
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": _TYPES.get(name, "S")} for name in names],
        "BillingMode": "PAY_PER_REQUEST",
        **more,
    }


def _key_schema(names: list[str]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ["HASH", "RANGE"], strict=False)]
