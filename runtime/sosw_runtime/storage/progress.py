"""Progress of jobs: which of a job's tasks are closed, and the job with them.

A job's tasks are counted in blocks of 256. A block's item (`progress#<job_id>#<created_at>`, block) holds the numbers
of its closed tasks as sets, one for each outcome. To add a number to a set again changes nothing, so that no crash,
repetition or second Scavenger can make a count wrong. A block that is full is noted on the job; with the last one the
job is closed. Where that fails, (`closing`, job_id) remembers it. An id may come again once its job has expired: the
time of its creation tells the two apart.

A number comes into a second set when a dead task is cancelled, or is replayed and then completes or is cancelled. From
there is no way back, so that both win over dead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sosw_runtime.domain.task import Status, Task
from sosw_runtime.storage.items import Item, decoded, encoded
from sosw_runtime.storage.jobs import JobRecord, get
from sosw_runtime.storage.tables import (
    ConditionFailed,
    Tables,
    conditional,
    get_batches,
    registry_part,
    repeatable,
)

#: Tasks of a block: their numbers, of 3 bytes each, fit into 1 KB, one write unit.
BLOCK: Final = 256

_OUTCOMES: Final = (Status.COMPLETED, Status.DEAD, Status.CANCELLED)

_DAY_SECONDS: Final = 86_400
#: Days that a block outlives the tasks that it counts.
_YEAR: Final = 366
#: Days that a job outlives its tasks, whose ids would come again with its own: DynamoDB deletes what expired in a few.
_FORTNIGHT: Final = 14


@dataclass(frozen=True, slots=True)
class Counts:
    """Closed tasks of a job by outcome."""

    completed: int = 0
    dead: int = 0
    cancelled: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.completed + other.completed, self.dead + other.dead, self.cancelled + other.cancelled)


@dataclass(frozen=True, slots=True)
class _Block:
    """Some tasks of a job, counted together."""

    job_id: str
    created_at: int  # of the job, ms
    number: int

    @property
    def key(self) -> Item:
        return encoded({"pk": _progress_of(self.job_id, self.created_at), "sk": f"{self.number:06d}"})


#: Numbers of closed tasks by outcome, by block.
_Numbers = Mapping[_Block, Mapping[Status, set[int]]]


def note(tables: Tables, closed: Sequence[Task], now: int, retention_days: int | None) -> list[JobRecord]:
    """Count tasks as closed; the jobs whose last task is among them.

    Repeatable. A job is returned until `close` has noted it.
    Cost: 1 write unit a block that is touched; the job's item once a block.
    """
    numbers: dict[_Block, dict[Status, set[int]]] = defaultdict(lambda: defaultdict(set))
    for task in closed:
        numbers[_Block(task.job_id, task.created_at, task.number // BLOCK)][Status(task.status)].add(task.number)
    return _note(tables, numbers, now, retention_days)


def note_unwritten(
    tables: Tables, job: JobRecord, numbers: range, now: int, retention_days: int | None
) -> list[JobRecord]:
    """Count tasks that were never written, their job being cancelled, as cancelled; else as `note`."""
    blocks: dict[_Block, dict[Status, set[int]]] = defaultdict(lambda: {Status.CANCELLED: set()})
    for number in numbers:
        blocks[_Block(job.job_id, job.created_at, number // BLOCK)][Status.CANCELLED].add(number)
    return _note(tables, blocks, now, retention_days)


def _note(tables: Tables, numbers: _Numbers, now: int, retention_days: int | None) -> list[JobRecord]:
    done = []
    for block, by_outcome in numbers.items():
        for outcome, added in by_outcome.items():
            closed_numbers = _add(tables, block, outcome, added, now, retention_days)
        if len(closed_numbers) == _size(tables, block):
            record = _note_full(tables, block)
            if record is not None and len(record.full_blocks) * BLOCK >= record.total and record.closed_at is None:
                done.append(record)
    return done


def counts(tables: Tables, job: JobRecord) -> Counts:
    """A job's closed tasks so far. Cost: 1 read unit per 4 KB, about 1,000 tasks."""
    return sum(map(_counts, _blocks(tables, job)), Counts())


def final(tables: Tables, job: JobRecord) -> dict[int, Status]:
    """A job's completed and cancelled tasks so far, by number: a dead one may still be replayed. Cost: as `counts`."""
    return {
        number: outcome
        for block in _blocks(tables, job)
        for outcome in (Status.COMPLETED, Status.CANCELLED)
        for number in block.get(outcome.value, ())
    }


def finished(tables: Tables, job: JobRecord, numbers: Sequence[int]) -> set[int]:
    """Those of some numbers that are counted as completed or cancelled. Cost: 1 read unit a block of 256."""
    blocks = {number // BLOCK for number in numbers}
    keys = [_Block(job.job_id, job.created_at, number).key for number in sorted(blocks)]
    found = map(decoded, get_batches(tables, tables.registry, keys))
    counted = (block.get(outcome.value, set()) for block in found for outcome in (Status.COMPLETED, Status.CANCELLED))
    return set().union(*counted) & set(numbers)


def _progress_of(job_id: str, created_at: int) -> str:
    return f"progress#{job_id}#{created_at}"


def _blocks(tables: Tables, job: JobRecord) -> Iterator[dict[str, Any]]:
    return map(decoded, registry_part(tables, _progress_of(job.job_id, job.created_at), consistent=True))


def close(tables: Tables, job: JobRecord, found: Counts, now: int, retention_days: int | None) -> bool:
    """Note that a job is closed, with its counts. Once; repeated, it changes nothing.

    With a retention it expires, unless it has dead tasks, which are kept as well.
    Cost: 1 write unit; with a retention another one per KB of the spec, which goes with the tasks.
    """
    expires = retention_days is not None and found.dead == 0
    tasks_gone = now // 1000 + (retention_days or 0) * _DAY_SECONDS
    if expires:
        _let_spec_expire(tables, job.job_id, tasks_gone)
    values: dict[str, Any] = {
        "closed_at": now,
        "completed": found.completed,
        "dead": found.dead,
        "cancelled": found.cancelled,
        "expires_at": tasks_gone + _FORTNIGHT * _DAY_SECONDS if expires else None,
    }
    names = [name for name, value in values.items() if value is not None]
    try:
        conditional(
            lambda: tables.client.update_item(
                TableName=tables.registry,
                Key=encoded({"pk": "job", "sk": job.job_id}),
                UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in names),
                ConditionExpression="#created_at = :seen AND attribute_not_exists(#closed_at)",
                ExpressionAttributeNames={f"#{name}": name for name in (*names, "created_at")},
                ExpressionAttributeValues=encoded(
                    {":seen": job.created_at, **{f":{name}": values[name] for name in names}}
                ),
            )
        )
    except ConditionFailed:
        return False
    return True


def mark_closing(tables: Tables, job: JobRecord) -> None:
    """Remember a job whose tasks are all closed, and which could not be closed itself. Cost: 1 write unit."""
    repeatable(lambda: tables.client.put_item(TableName=tables.registry, Item=_closing_key(job.job_id)))


def unmark_closing(tables: Tables, job_id: str) -> None:
    """Forget it again. Cost: 1 write unit."""
    repeatable(lambda: tables.client.delete_item(TableName=tables.registry, Key=_closing_key(job_id)))


def closing(tables: Tables) -> list[str]:
    """The ids of the jobs that are remembered. Cost: 0.5 read units per 4 KB, about 50 jobs."""
    return [item["sk"]["S"] for item in registry_part(tables, "closing")]


def _closing_key(job_id: str) -> Item:
    return encoded({"pk": "closing", "sk": job_id})


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
    tables: Tables, block: _Block, outcome: Status, numbers: set[int], now: int, retention_days: int | None
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
            Key=block.key,
            UpdateExpression=update,
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            ReturnValues="ALL_NEW",
        )
    )
    found = decoded(answer["Attributes"])
    return set().union(*(found.get(outcome.value, set()) for outcome in _OUTCOMES))


@lru_cache(maxsize=1024)
def _size(tables: Tables, block: _Block) -> int:
    """Tasks of a block; 0 if its job is not kept any more."""
    job = get(tables, block.job_id)
    return 0 if job is None or job.created_at != block.created_at else min(BLOCK, job.total - block.number * BLOCK)


def _note_full(tables: Tables, block: _Block) -> JobRecord | None:
    """Note that all tasks of a block are closed; the job as it stands then, None if it is not kept any more."""
    try:
        answer = conditional(
            lambda: tables.client.update_item(
                TableName=tables.registry,
                Key=encoded({"pk": "job", "sk": block.job_id}),
                UpdateExpression="ADD full_blocks :block",
                ConditionExpression="created_at = :created_at",
                ExpressionAttributeValues={
                    ":block": {"NS": [str(block.number)]},
                    **encoded({":created_at": block.created_at}),
                },
                ReturnValues="ALL_NEW",
            )
        )
    except ConditionFailed:
        return None
    return JobRecord.from_item(dict(answer["Attributes"]))


def _counts(block: Mapping[str, Any]) -> Counts:
    completed, dead, cancelled = (block.get(outcome.value, set()) for outcome in _OUTCOMES)
    return Counts(len(completed), len(dead - completed - cancelled), len(cancelled))
