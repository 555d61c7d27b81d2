"""Slots: the permits of a pool. An occupied slot is an item; a free slot has none."""

from __future__ import annotations

from typing import Any, Final

from sosw_runtime.domain.slot import Slot
from sosw_runtime.storage.items import decoded, encoded
from sosw_runtime.storage.tables import ConditionFailed, Deadline, Tables, registry_part, write, write_by

#: Of the largest limit that can be registered.
_LAST_INDEX: Final = 9999


def take(tables: Tables, slot: Slot, held_by: Slot | None, deadline: Deadline) -> bool:
    """Occupy a slot that is free, or that `held_by` holds. Cost: 1 write unit.

    A claim takes the slot first, then the task:

        A takes the slot for T ── stops ──────────────────── claims T: fails, T's rank has changed
        Scavenger:            finds T not running here ── voids T's rank ── frees the slot

    Raises:
        NotWritten: the slot is unchanged.
        Unavailable: the slot may be taken, now or later.
    """
    values: dict[str, Any] = {}
    condition = "attribute_not_exists(pk)"
    if held_by is not None:
        condition += " OR claim = :held"
        values["ExpressionAttributeValues"] = encoded({":held": held_by.claim})
    item = _key(slot.pool, slot.index) | encoded(
        {"task_id": slot.task_id, "rank": slot.rank, "claim": slot.claim, "claimed_at": slot.claimed_at}
    )
    try:
        write_by(
            deadline,
            lambda: tables.brief.put_item(
                TableName=tables.registry,
                Item=item,
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **values,
            ),
        )
    except ConditionFailed as failure:
        # The answer to an earlier try was lost: the slot is already taken by this claim.
        return failure.found is not None and decoded(failure.found)["claim"] == slot.claim
    return True


def free(tables: Tables, slot: Slot) -> bool:
    """Free a slot if this claim still holds it. Cost: 1 write unit."""
    try:
        write(
            lambda: tables.client.delete_item(
                TableName=tables.registry,
                Key=_key(slot.pool, slot.index),
                ConditionExpression="claim = :claim",
                ExpressionAttributeValues=encoded({":claim": slot.claim}),
            )
        )
    except ConditionFailed:
        return False
    return True


def occupied(tables: Tables, pool: str, *, start: int = 0, consistent: bool = False) -> list[Slot]:
    """The occupied slots of a pool from index `start` on, by index.

    Cost: 0.5 read units per 4 KB, about 25 slots; twice as much if consistent.
    """
    if start > _LAST_INDEX:
        return []
    first = _sort_key(start) if start else ""
    items = registry_part(tables, f"slots#{pool}", start=first, consistent=consistent)
    return [
        Slot(pool, int(values["sk"]), values["task_id"], values["rank"], values["claim"], values["claimed_at"])
        for values in map(decoded, items)
    ]


def _key(pool: str, index: int) -> dict[str, Any]:
    return encoded({"pk": f"slots#{pool}", "sk": _sort_key(index)})


def _sort_key(index: int) -> str:
    return f"{index:04d}"
