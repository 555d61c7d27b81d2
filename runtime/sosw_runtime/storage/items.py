"""DynamoDB items and the records in them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from sosw_runtime.domain.task import CLOSED, Entry, Error, Move, Note, Rank, Status, Task

Item = dict[str, Any]  # {"name": {"S": "text"}}, as the low-level client takes and gives it

_logger = logging.getLogger(__name__)

#: Attributes that are written unchanged from the record: always, when not None, when not 0.
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
    "retry_at",
    "closed_at",
    "duration_ms",
)
_WHEN_NOT_ZERO: Final = ("priority", "spared")

#: The types of a task's fields.
_TYPES: Final = {
    name: get_args(hint) or get_origin(hint) or hint for name, hint in get_type_hints(Task).items() if name != "more"
} | {"history": tuple}

#: Names of a task's attributes in the tables.
_ATTRIBUTES: Final = (_TYPES.keys() - {"due_at", "in_outbox"}) | {"due", "outbox", "outcome_key", "expires_at"}
_NOTE_ATTRIBUTES: Final = frozenset(attribute.name for attribute in fields(Note))

#: Most bytes of a sort key.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_LARGEST_KEY: Final = 1024

#: Required attributes of a task, with the values that replace unreadable ones.
_LEAST: Final[Mapping[str, str | int]] = {
    "task_id": "unreadable",
    "worker_id": "unreadable",
    "job_id": "unreadable",
    "number": 0,
    "created_at": 0,
    "attempt": 0,
}

_DAY_SECONDS: Final = 86_400

Word = TypeVar("Word", Status, Move)

#: The one hash key of the sparse index `outbox`, which holds the tasks that are not yet announced.
OUTBOX: Final = "due"


class Unreadable(ValueError):
    """An item is no task: something else wrote it, or an incompatible version did."""

    def __init__(self, item: Mapping[str, Any], reason: str) -> None:
        self.item = item
        super().__init__(f"no task: {reason}")


def outcome_key(worker_id: str, status: Status | str) -> str:
    """The key of a Worker's closed tasks in the index `by_outcome`."""
    return f"{worker_id}#{status}"


def task_key(task_id: str) -> Item:
    """The key of a task in the tasks table and in the closed table."""
    return encoded({"task_id": task_id})


def due_key(due_at: int, task_id: str) -> str:
    """The sort key of a waiting task: ordered by time."""
    return f"{due_at:013d}#{task_id}"


def expiry(at: int, days: int | None) -> int | None:
    """Epoch seconds at which DynamoDB may delete an item, `days` after a time (ms)."""
    return None if days is None else at // 1000 + days * _DAY_SECONDS


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
    raise TypeError(f"{value!r} has no DynamoDB type")


def decode(value: Mapping[str, Any]) -> Any:
    """A value as Python takes it. This version's numbers are integers, a later version's may have fractions."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return int(content) if content.lstrip("-").isdecimal() else float(content)
        case "L":
            return [decode(part) for part in content]
        case "M":
            return decoded(content)
        case "NS":
            return {int(part) for part in content}
        case _:
            return content


def encoded(values: Mapping[str, Any]) -> Item:
    """Values by name as an item, without None."""
    return {name: encode(value) for name, value in values.items() if value is not None}


def decoded(item: Mapping[str, Any]) -> dict[str, Any]:
    """An item as values by name."""
    return {name: decode(value) for name, value in item.items()}


def encode_history(entries: Iterable[Entry]) -> dict[str, Any]:
    """History entries as a list attribute."""
    return {"L": [{"L": [*encode(entry.to_list())["L"], *entry.more]} for entry in entries]}


def decode_entry(entry: Mapping[str, Any]) -> Entry:
    """Read a history entry, also of a later version.

    Raises:
        TypeError: it is no entry.
    """
    at, move, attempt, *rest = entry["L"]
    known = (decode(at), decode(move), decode(attempt), decode(rest[0]) if rest else None)
    match known:
        case (int(), str(), int(), str() | None):
            return Entry(known[0], _known_word(Move, known[1]), known[2], known[3], tuple(rest[1:]))
    raise TypeError(f"{known} is no entry of a history")


def encode_note(note: Note) -> dict[str, Any]:
    """A note as a map attribute: nested in JSON text, its own JSON texts could double in length."""
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
            raise ValueError(f"waiting task {task.task_id} has no due_at")
        values["due"] = due_key(task.due_at, task.task_id)
    else:
        values["status"] = str(task.status)
    if task.status in CLOSED and task.closed_at is not None:
        # Completed tasks, by far the most, are found by their job: an index key would take only 1,000 of them a second.
        values["outcome_key"] = None if task.status is Status.COMPLETED else outcome_key(task.worker_id, task.status)
        values["outbox"] = OUTBOX if task.in_outbox else None
        values["expires_at"] = expires_at
    item = encoded(values)
    item["history"] = encode_history(task.history)
    if task.note is not None:
        item["note"] = encode_note(task.note)
    return {**task.more, **item}


def to_task(item: Mapping[str, Any]) -> Task:
    """The task in an item of any of the three tables.

    Attributes, statuses and moves of a later version are kept.

    Raises:
        Unreadable: the item is no task.
    """
    try:
        known = {name: decode(value) for name, value in item.items() if name in _ATTRIBUTES - {"history"}}
        task = _task({**known, "history": tuple(map(decode_entry, item["history"]["L"]))})
        return replace(task, more={name: value for name, value in item.items() if name not in _ATTRIBUTES})
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise Unreadable(item, f"{type(error).__name__}: {error}") from error


def _task(values: dict[str, Any]) -> Task:
    due = values.pop("due", None)
    values.pop("outcome_key", None)
    values.pop("expires_at", None)
    values["in_outbox"] = values.pop("outbox", None) is not None
    values["status"] = Status.WAITING if due is not None else _known_word(Status, values["status"])
    if values["status"] is Status.UNREADABLE:
        raise ValueError("it was set aside")
    values["due_at"] = None if due is None else int(due.split("#", 1)[0])
    if "note" in values:
        values["note"] = _note({name: value for name, value in values["note"].items() if name in _NOTE_ATTRIBUTES})
    for name, value in values.items():
        if not isinstance(value, _TYPES[name]):
            raise TypeError(f"{name} is of the type {type(value).__name__}")
    for name in ("task_id", "worker_id", "job_id"):
        if not _is_key(values[name]):
            raise ValueError(f"{name} can be no part of a key")
    if values.get("queue_rank") is not None:
        Rank.parse(values["queue_rank"])
    return Task(**values)


def _note(values: Mapping[str, Any]) -> Note:
    for name in ("claim", "result", "stats", "error"):
        if not isinstance(values.get(name), str | None):
            raise TypeError(f"note.{name} is of the type {type(values[name]).__name__}")
    return Note(**values)


def _is_key(text: str) -> bool:
    return 0 < len(text.encode()) <= _LARGEST_KEY


def _known_word(words: type[Word], text: str) -> Word | str:
    """A word of this version, or the text of a later version's word."""
    try:
        return words(text)
    except ValueError:
        return text


def to_tasks(items: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
    """The tasks in items of any of the three tables. Unreadable items are logged and left out."""
    return (task for task in to_tasks_or_unreadable(items) if isinstance(task, Task))


def to_tasks_or_unreadable(items: Iterable[Mapping[str, Any]]) -> Iterator[Task | Unreadable]:
    """The task in each item of any of the three tables, or the error of an unreadable item, which is logged."""
    for item in items:
        try:
            yield to_task(item)
        except Unreadable as error:
            _logger.error("item not read: %s: %s", item.get("task_id"), error)
            yield error


def salvaged_task(error: Unreadable) -> Task:
    """A failed task with what can be read of an unreadable item, and the whole item as its payload."""
    known: dict[str, Any] = {}
    for name, default in _LEAST.items():
        try:
            value = decode(error.item[name])
        except (LookupError, ValueError, AttributeError):
            value = default
        usable = isinstance(value, type(default)) and (not isinstance(value, str) or _is_key(value))
        known[name] = value if usable else default
    return Task(
        **known,
        status=Status.FAILED,
        payload=json.dumps(error.item, default=str),
        error=Error("Unreadable", str(error)).to_json(),
        retryable=False,
    )
