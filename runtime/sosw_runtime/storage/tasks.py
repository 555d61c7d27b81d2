"""Reads of tasks. `storage.moves` has all writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any, Final

from sosw_runtime.domain.task import Status, Task, queue_keys
from sosw_runtime.storage.items import (
    OUTBOX,
    Item,
    Unreadable,
    due_key,
    encoded,
    outcome_key,
    task_key,
    to_task,
    to_tasks,
    to_tasks_or_unreadable,
)
from sosw_runtime.storage.tables import Tables, get_batches, query

#: Tasks of a page of the sweep.
_SWEPT_AT_ONCE: Final = 1000


# --- the queue ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """A queued task as the index shows it. It may be out of date, since index reads lag."""

    task_id: str
    rank: str


def queue_head(tables: Tables, worker_id: str, shards: int, limit: int) -> list[Candidate]:
    """The first tasks of a Worker's queue, up to `limit`. Cost: 0.5 read units per shard and 4 KB, about 25 tasks."""
    return list(islice(queue(tables, worker_id, shards, limit), limit))


def queue(tables: Tables, worker_id: str, shards: int, page: int) -> Iterator[Candidate]:
    """A Worker's queue from its head, read lazily in pages of `page` tasks of a shard."""
    return merge(
        *(_shard(tables, key, page) for key in queue_keys(worker_id, shards)), key=lambda candidate: candidate.rank
    )


def _shard(tables: Tables, queue_key: str, page: int) -> Iterator[Candidate]:
    items = query(
        tables,
        TableName=tables.tasks,
        IndexName="queue",
        KeyConditionExpression="queue_key = :key",
        ExpressionAttributeValues=encoded({":key": queue_key}),
        Limit=page,
    )
    return (Candidate(item["task_id"]["S"], item["queue_rank"]["S"]) for item in items)


# --- by id ------------------------------------------------------------------------------------------------------


def find_ids(tables: Tables, table: str, task_ids: Iterable[str]) -> Iterator[str]:
    """The given ids that are in a table, also of unreadable items. Cost: as `find`."""
    keys = [task_key(task_id) for task_id in dict.fromkeys(task_ids)]
    return (item["task_id"]["S"] for item in get_batches(tables, table, keys, attributes=("task_id",)))


def find(tables: Tables, task_ids: Iterable[str]) -> dict[str, Task]:
    """Queued, running and just reported tasks by id, read consistently. Cost: 1 read unit per 4 KB of each."""
    items = get_batches(tables, tables.tasks, [task_key(task_id) for task_id in dict.fromkeys(task_ids)])
    return {task.task_id: task for task in to_tasks(items)}


@dataclass(frozen=True, slots=True)
class TaskSummary:
    """The attributes that decide whether a task in a slot must be read whole. A payload may be large."""

    claim: str | None
    rank: str | None
    status: str | None
    finished_at: int  # ms, 0 before
    lease_until: int  # ms, 0 while it does not run


def summaries(tables: Tables, task_ids: Iterable[str]) -> dict[str, TaskSummary]:
    """A few attributes of tasks by id, also of unreadable items. Cost: as `find`."""
    names = ("task_id", "claim", "queue_rank", "status", "finished_at", "lease_until")
    keys = [task_key(task_id) for task_id in dict.fromkeys(task_ids)]
    return {
        item["task_id"]["S"]: TaskSummary(
            claim=item.get("claim", {}).get("S"),
            rank=item.get("queue_rank", {}).get("S"),
            status=item.get("status", {}).get("S"),
            finished_at=_number(item, "finished_at"),
            lease_until=_number(item, "lease_until"),
        )
        for item in get_batches(tables, tables.tasks, keys, attributes=names)
    }


def unreadable_items(tables: Tables) -> Iterator[Unreadable]:
    """Every unreadable item of the three tables. Cost: 0.5 read units per 4 KB of all items."""
    for table in (tables.tasks, tables.retry_tasks, tables.closed_tasks):
        for page in tables.client.get_paginator("scan").paginate(TableName=table):
            for item in page["Items"]:
                try:
                    to_task(item)
                except Unreadable as error:
                    yield error


def _number(item: Item, name: str) -> int:
    """A number of an item; 0 if it is missing or not a natural number."""
    text = item.get(name, {}).get("N", "0")
    return int(text) if text.isdecimal() else 0


def get(tables: Tables, task_id: str) -> Task | None:
    """One queued, running or just reported task, read consistently. Cost: 1 read unit per 4 KB.

    Raises:
        Unreadable: the item is no task.
    """
    answer = tables.client.get_item(TableName=tables.tasks, Key=task_key(task_id), ConsistentRead=True)
    return to_task(answer["Item"]) if "Item" in answer else None


def find_closed(tables: Tables, task_ids: Iterable[str]) -> dict[str, Task]:
    """Completed, dead and cancelled tasks by id, read consistently. Cost: 1 read unit per 4 KB of each."""
    items = get_batches(tables, tables.closed_tasks, [task_key(task_id) for task_id in dict.fromkeys(task_ids)])
    return {task.task_id: task for task in to_tasks(items)}


def waiting(tables: Tables, worker_id: str) -> Iterator[Task]:
    """A Worker's waiting tasks by time. Cost: 1 read unit per 4 KB."""
    return to_tasks(_query_waiting(tables, worker_id))


def due(tables: Tables, worker_id: str, now: int) -> Iterator[Task | Unreadable]:
    """A Worker's waiting tasks that are due at `now` (ms), by time, and unreadable items. Cost: as `waiting`."""
    return to_tasks_or_unreadable(_query_waiting(tables, worker_id, until=due_key(now + 1, "")))


def waiting_ids(tables: Tables, worker_id: str) -> set[str]:
    """The ids of a Worker's waiting tasks. Cost: 1 read unit per 4 KB of the tasks, although only ids are sent."""
    items = _query_waiting(tables, worker_id, ProjectionExpression="due")
    return {item["due"]["S"].partition("#")[2] for item in items}


def _query_waiting(tables: Tables, worker_id: str, until: str | None = None, **more: Any) -> Iterator[Item]:
    """The items of a Worker's waiting tasks by time, read consistently; those before the sort key `until`, if given."""
    return query(
        tables,
        TableName=tables.retry_tasks,
        KeyConditionExpression="worker_id = :worker" + ("" if until is None else " AND due < :until"),
        ExpressionAttributeValues=encoded({":worker": worker_id, ":until": until}),
        ConsistentRead=True,
        **more,
    )


@dataclass(frozen=True, slots=True)
class ClosedEntry:
    """A dead or cancelled task as the index shows it. It may be out of date, since index reads lag."""

    task_id: str
    job_id: str


def closed_entries(
    tables: Tables,
    worker_id: str,
    outcome: Status,
    since: int = 0,
    until: int | None = None,
    page: int | None = None,
) -> Iterator[ClosedEntry]:
    """A Worker's closed tasks of one outcome, oldest first, closed between two times (ms, inclusive).

    They are read lazily in pages of `page` tasks, or else of 1 MB. Cost: 0.5 read units per 4 KB, about 20 tasks.
    """
    limit = {} if page is None else {"Limit": page}
    values: dict[str, Any] = {":key": outcome_key(worker_id, outcome), ":since": since, ":until": until or 10**15}
    items = query(
        tables,
        TableName=tables.closed_tasks,
        IndexName="by_outcome",
        KeyConditionExpression="outcome_key = :key AND closed_at BETWEEN :since AND :until",
        ExpressionAttributeValues=encoded(values),
        **limit,
    )
    return (ClosedEntry(item["task_id"]["S"], item.get("job_id", {}).get("S", "")) for item in items)


def outbox_ids(tables: Tables) -> Iterator[str]:
    """The ids of closed tasks that are not yet announced, oldest first, as the index shows them."""
    items = query(
        tables,
        TableName=tables.closed_tasks,
        IndexName="outbox",
        KeyConditionExpression="outbox = :outbox",
        ExpressionAttributeValues=encoded({":outbox": OUTBOX}),
    )
    return (item["task_id"]["S"] for item in items)


@dataclass(frozen=True, slots=True)
class SweepPage:
    """A page of the tasks table, without queued tasks."""

    tasks: list[Task]
    unreadable: int  # number of unreadable items
    after: str | None  # the id after which the next page begins; None at the table's end


def sweep_page(tables: Tables, after: str | None) -> SweepPage:
    """The tasks table's next 1,000 items, without queued tasks. The sweep finds tasks that have lost their slot and
    their stream record. Cost: 0.5 read units per 4 KB, about 125 for tasks of 1 KB.
    """
    start: dict[str, Any] = {} if after is None else {"ExclusiveStartKey": task_key(after)}
    page = tables.client.scan(
        TableName=tables.tasks,
        Limit=_SWEPT_AT_ONCE,
        FilterExpression="attribute_not_exists(#status) OR #status <> :queued",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues=encoded({":queued": Status.QUEUED.value}),
        **start,
    )
    last = page.get("LastEvaluatedKey")
    found = list(to_tasks_or_unreadable(page["Items"]))
    readable = [task for task in found if isinstance(task, Task)]
    return SweepPage(readable, len(found) - len(readable), None if last is None else last["task_id"]["S"])
