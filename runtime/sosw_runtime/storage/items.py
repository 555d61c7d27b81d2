"""Items of DynamoDB and the records that they hold."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, Final

from sosw_runtime.domain.task import CLOSED, Entry, Move, Note, Status, Task

Item = dict[str, Any]  # {"name": {"S": "text"}}, as the low-level client takes and gives it

_logger = logging.getLogger(__name__)

#: Attributes that are written as they stand on the record, unless they are the record's default.
_ALWAYS: Final = ("task_id", "worker_id", "job_id", "number", "payload", "created_at", "attempt")
_WHEN_SET: Final = (
    "queue_key",
    "queue_rank",
    "slot",
    "claim",
    "token",
    "started_at",
    "lease_until",
    "finished_at",
    "result",
    "stats",
    "error",
    "closed_at",
    "duration_ms",
)
_WHEN_NOT_ZERO: Final = ("priority", "spared")

_ATTRIBUTES: Final = frozenset(attribute.name for attribute in fields(Task))
_NOTE_ATTRIBUTES: Final = frozenset(attribute.name for attribute in fields(Note))

#: The constant under which the sparse index `outbox` finds the tasks that are still to be announced.
OUTBOX: Final = "due"


def outcome_key(worker_id: str, status: Status) -> str:
    """The key under which `by_outcome` finds a Worker's closed tasks."""
    return f"{worker_id}#{status.value}"


def due_key(due_at: int, task_id: str) -> str:
    """The sort key of a waiting task: ordered by time."""
    return f"{due_at:013d}#{task_id}"


def encode(value: str | int | bool | list[Any] | dict[str, Any]) -> dict[str, Any]:
    """A value as DynamoDB takes it."""
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case str():
            return {"S": value}
        case list():
            return {"L": [encode(part) for part in value]}
        case dict():
            return {"M": encoded(value)}


def decode(value: Mapping[str, Any]) -> Any:
    """A value as Python knows it; all our numbers are integers."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return int(content)
        case "L":
            return [decode(part) for part in content]
        case "M":
            return decoded(content)
        case "NS":
            return {int(part) for part in content}
        case _:
            return content


def encoded(values: Mapping[str, Any]) -> Item:
    """Values by name as an item; None is left out."""
    return {name: encode(value) for name, value in values.items() if value is not None}


def decoded(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as values by name."""
    return {name: decode(value) for name, value in item.items()}


def encode_history(entries: Iterable[Entry]) -> dict[str, Any]:
    """History entries as a list attribute."""
    return encode([entry.compact() for entry in entries])


def encode_note(note: Note) -> dict[str, Any]:
    """A note as a map attribute: texts of JSON inside one of JSON could be twice as long."""
    return encode(asdict(note))


def to_item(task: Task, expires_at: int | None = None) -> Item:
    """A task as the item of the table that its status belongs to.

    Args:
        task: the record.
        expires_at: epoch seconds at which a closed task may be deleted.
    """
    values: dict[str, Any] = {name: getattr(task, name) for name in (*_ALWAYS, *_WHEN_SET)}
    values |= {name: getattr(task, name) or None for name in _WHEN_NOT_ZERO}
    values["retryable"] = None if task.retryable else False
    values["never_ran"] = task.never_ran or None
    if task.status is Status.WAITING:
        if task.due_at is None:
            raise ValueError(f"task {task.task_id} waits for no time")
        values["due"] = due_key(task.due_at, task.task_id)
    else:
        values["status"] = task.status.value
    if task.status in CLOSED and task.closed_at is not None:
        values["outcome_key"] = outcome_key(task.worker_id, task.status)
        values["outbox"] = OUTBOX if task.in_outbox else None
        values["expires_at"] = expires_at
    item = encoded(values)
    item["history"] = encode_history(task.history)
    if task.note is not None:
        item["note"] = encode_note(task.note)
    return item


def to_task(item: Mapping[str, Any]) -> Task:
    """A task out of an item of any of the three tables.

    Attributes that a later version may have added are left out: after a roll-back its tasks go on.

    Raises:
        ValueError: the item is no task.
    """
    try:
        return _task(decoded(item))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"no task: {type(error).__name__}: {error}") from error


def _task(values: dict[str, Any]) -> Task:
    due = values.pop("due", None)
    values.pop("outcome_key", None)
    values.pop("expires_at", None)
    values["in_outbox"] = values.pop("outbox", None) is not None
    values["status"] = Status.WAITING if due is not None else Status(values["status"])
    values["due_at"] = None if due is None else int(due.split("#", 1)[0])
    values["history"] = tuple(Entry(entry[0], Move(entry[1]), *entry[2:]) for entry in values["history"])
    if "note" in values:
        values["note"] = Note(**{name: value for name, value in values["note"].items() if name in _NOTE_ATTRIBUTES})
    return Task(**{name: value for name, value in values.items() if name in _ATTRIBUTES})


def to_tasks(items: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
    """Tasks out of items; one that cannot be read is logged and left out, so that it stops no other."""
    for item in items:
        try:
            yield to_task(item)
        except ValueError as error:
            _logger.error("item not read: %s: %s", item.get("task_id"), error)
