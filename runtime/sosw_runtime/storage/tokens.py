"""Which Workers send the token of their attempts: an attribute of a Worker's `control` item, which `registry` reads."""

from __future__ import annotations

from contextlib import suppress

from sosw_runtime.storage.items import Item, encoded
from sosw_runtime.storage.tables import ConditionFailed, Deadline, Tables, write, write_by


def record_token_seen(tables: Tables, worker_id: str, deadline: Deadline) -> None:
    """Note that a report of a Worker carried its token: from now on each of its attempts asks for it.

    Cost: 1 write unit.

    Raises:
        Unavailable: it is noted, or not, or may still be.
    """
    write_by(
        deadline,
        lambda: tables.brief.update_item(
            TableName=tables.registry,
            Key=_key(worker_id),
            UpdateExpression="SET token_seen = :true",
            ExpressionAttributeValues=encoded({":true": True}),
        ),
    )


def forget_token_seen(tables: Tables, worker_id: str) -> None:
    """Ask no attempt of a Worker for its token until a report carries one again. Cost: 1 write unit."""
    with suppress(ConditionFailed):
        write(
            lambda: tables.client.update_item(
                TableName=tables.registry,
                Key=_key(worker_id),
                UpdateExpression="REMOVE token_seen",
                ConditionExpression="attribute_exists(token_seen)",
            )
        )


def _key(worker_id: str) -> Item:
    return encoded({"pk": "control", "sk": worker_id})
