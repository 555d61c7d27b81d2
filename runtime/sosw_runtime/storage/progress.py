"""Progress of jobs: which of a job's tasks are closed, and the job with them.

A job's tasks are counted in blocks of 256. A block's item (`progress#<job_id>`, block) holds the numbers of its closed
tasks as sets, one for each outcome. To add a number to a set again changes nothing, so that no crash, repetition or
second Scavenger can make a count wrong. A block that is full is noted on the job; with the last one the job is closed.

A number comes into a second set when a dead task is replayed and then completes or is cancelled. From there is no way
back, so that both win over dead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sosw_runtime.domain.task import Status, Task
from sosw_runtime.storage.items import decoded, encoded
from sosw_runtime.storage.jobs import JobRecord, get
from sosw_runtime.storage.tables import ConditionFailed, Tables, conditional, query

#: Tasks of a block: their numbers, of 3 bytes each, fit into 1 KB, one write unit.
BLOCK: Final = 256

_OUTCOMES: Final = (Status.COMPLETED, Status.DEAD, Status.CANCELLED)

_DAY_SECONDS: Final = 86_400
#: Days that a block outlives the tasks that it counts.
_YEAR: Final = 366
#: Days that a spec outlives its job: DynamoDB deletes what expired within a few.
_WEEK: Final = 7


@dataclass(frozen=True, slots=True)
class Counts:
    """Closed tasks of a job by outcome."""

    completed: int = 0
    dead: int = 0
    cancelled: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.completed + other.completed, self.dead + other.dead, self.cancelled + other.cancelled)


#: Numbers of closed tasks by outcome, by job and block.
_Numbers = Mapping[tuple[str, int], Mapping[Status, set[int]]]


def note(tables: Tables, closed: Sequence[Task], now: int, retention_days: int | None) -> list[JobRecord]:
    """Count tasks as closed; the jobs whose last task is among them.

    Repeatable. A job is returned until `close` has noted it.
    Cost: 1 write unit a block that is touched; the job's item once a block.
    """
    numbers: dict[tuple[str, int], dict[Status, set[int]]] = defaultdict(lambda: defaultdict(set))
    for task in closed:
        numbers[task.job_id, task.number // BLOCK][task.status].add(task.number)
    return _note(tables, numbers, now, retention_days)


def note_unwritten(
    tables: Tables, job_id: str, numbers: range, now: int, retention_days: int | None
) -> list[JobRecord]:
    """Count tasks that were never written, their job being cancelled, as cancelled; else as `note`."""
    blocks: dict[tuple[str, int], dict[Status, set[int]]] = defaultdict(lambda: {Status.CANCELLED: set()})
    for number in numbers:
        blocks[job_id, number // BLOCK][Status.CANCELLED].add(number)
    return _note(tables, blocks, now, retention_days)


def _note(tables: Tables, numbers: _Numbers, now: int, retention_days: int | None) -> list[JobRecord]:
    done = []
    for (job_id, block), by_outcome in numbers.items():
        for outcome, added in by_outcome.items():
            closed_numbers = _add(tables, job_id, block, outcome, added, now, retention_days)
        if len(closed_numbers) == _size(tables, job_id, block):
            record = _note_full(tables, job_id, block)
            if record is not None and len(record.full_blocks) * BLOCK >= record.total and record.closed_at is None:
                done.append(record)
    return done


def counts(tables: Tables, job_id: str) -> Counts:
    """A job's closed tasks so far. Cost: 0.5 read units per 4 KB, about 1,000 tasks."""
    return sum(map(_counts, _blocks(tables, job_id)), Counts())


def cancelled(tables: Tables, job_id: str) -> set[int]:
    """The numbers of a job's cancelled tasks so far. Cost: as `counts`."""
    return set[int]().union(*(block.get(Status.CANCELLED.value, ()) for block in _blocks(tables, job_id)))


def _blocks(tables: Tables, job_id: str) -> Iterator[dict[str, Any]]:
    items = query(
        tables,
        TableName=tables.registry,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues=encoded({":pk": f"progress#{job_id}"}),
        ConsistentRead=True,
    )
    return map(decoded, items)


def close(tables: Tables, record: JobRecord, found: Counts, now: int, retention_days: int | None) -> bool:
    """Note that a job is closed, with its counts. Once; repeated, it changes nothing.

    Cost: 1 write unit; with a retention another one per KB of the spec, which is kept somewhat longer than the job: a
    job that is asked for again is compared with it.
    """
    if retention_days is not None:
        _let_spec_expire(tables, record.job_id, now // 1000 + (retention_days + _WEEK) * _DAY_SECONDS)
    values: dict[str, Any] = {
        "closed_at": now,
        "completed": found.completed,
        "dead": found.dead,
        "cancelled": found.cancelled,
        "expires_at": None if retention_days is None else now // 1000 + retention_days * _DAY_SECONDS,
    }
    names = [name for name, value in values.items() if value is not None]
    try:
        conditional(
            lambda: tables.client.update_item(
                TableName=tables.registry,
                Key=encoded({"pk": "job", "sk": record.job_id}),
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in names),
                ConditionExpression="attribute_exists(pk) AND attribute_not_exists(#closed_at)",
                ExpressionAttributeNames={f"#{name}": name for name in names},
                ExpressionAttributeValues=encoded({f":{name}": values[name] for name in names}),
            )
        )
    except ConditionFailed:
        return False
    return True


def _let_spec_expire(tables: Tables, job_id: str, expires_at: int) -> None:
    with suppress(ConditionFailed):
        conditional(
            lambda: tables.client.update_item(
                TableName=tables.registry,
                Key=encoded({"pk": "spec", "sk": job_id}),
                UpdateExpression="SET expires_at = if_not_exists(expires_at, :expires_at)",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues=encoded({":expires_at": expires_at}),
            )
        )


def _add(
    tables: Tables, job_id: str, block: int, outcome: Status, numbers: set[int], now: int, retention_days: int | None
) -> set[int]:
    """Add numbers to a block's set; the numbers of all its closed tasks."""
    update = "ADD #outcome :numbers"
    names = {"#outcome": outcome.value}
    values: dict[str, Any] = {":numbers": {"NS": [str(number) for number in sorted(numbers)]}}
    if retention_days is not None:
        update = f"SET #expires_at = :expires_at {update}"
        names["#expires_at"] = "expires_at"
        values |= encoded({":expires_at": now // 1000 + (retention_days + _YEAR) * _DAY_SECONDS})
    answer = conditional(
        lambda: tables.client.update_item(
            TableName=tables.registry,
            Key=encoded({"pk": f"progress#{job_id}", "sk": f"{block:06d}"}),
            UpdateExpression=update,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
    )
    found = decoded(answer["Attributes"])
    return set().union(*(found.get(outcome.value, set()) for outcome in _OUTCOMES))


@lru_cache(maxsize=1024)
def _size(tables: Tables, job_id: str, block: int) -> int:
    """Tasks of a block; 0 if the job is not kept any more."""
    record = get(tables, job_id)
    return 0 if record is None else min(BLOCK, record.total - block * BLOCK)


def _note_full(tables: Tables, job_id: str, block: int) -> JobRecord | None:
    """Note that all tasks of a block are closed; the job as it stands then, None if it is not kept any more."""
    try:
        answer = conditional(
            lambda: tables.client.update_item(
                TableName=tables.registry,
                Key=encoded({"pk": "job", "sk": job_id}),
                UpdateExpression="ADD full_blocks :block",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues={":block": {"NS": [str(block)]}},
                ReturnValues="ALL_NEW",
            )
        )
    except ConditionFailed:
        return None
    return JobRecord.from_item(dict(answer["Attributes"]))


def _counts(block: Mapping[str, Any]) -> Counts:
    completed, dead, cancelled = (block.get(outcome.value, set()) for outcome in _OUTCOMES)
    return Counts(len(completed), len(dead - completed - cancelled), len(cancelled))
