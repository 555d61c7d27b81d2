"""Progress of jobs: the closed tasks of each job, by outcome, and the closing of jobs.

A job's tasks are counted in blocks of 256. A block's item (`progress#<job_id>#<created_at>`, block) holds the numbers
of its closed tasks as sets, one for each outcome. Adding a number twice changes nothing, so that crashes, repetitions
and concurrent Scavengers leave the counts right. A full block is recorded on the job. With the last block the job is
closed; if that fails, the item (`closing`, job_id) remembers it. A new job may get the id of an expired one: the time
of creation tells them apart.

A number enters a second set when a dead task is cancelled, or is replayed and then completes or is cancelled. Completed
and cancelled are final, so that they win over dead.

The item of a job of more than 2^24 tasks has no room for all its blocks, so that they form groups of 256. A full block
is recorded on its group's item (`progress_groups#<job_id>#<created_at>`, group). Once all blocks of a group are full,
its tasks are counted by outcome: the item then holds the counts instead of the blocks, and the group is recorded on the
job. With the last group the job is closed. When a task of a full group changes, the group is counted again. The item
(`grouped`, job_id) remembers the job until it is closed.

Version 0.1.0 has no groups and records every full block on the job. `regroup` moves those blocks to the groups.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final, Literal

from sosw_runtime.domain.task import Status, Task
from sosw_runtime.storage.items import Item, decoded, encoded, expiry
from sosw_runtime.storage.jobs import JobRecord, get
from sosw_runtime.storage.tables import ConditionFailed, Tables, get_batches, query, registry_part, write

#: Tasks of a block: their numbers, of 2 to 6 bytes each, take one or two write units.
BLOCK: Final = 256

#: Blocks of a group: their numbers take one or two write units as well.
GROUP: Final = 256

#: Tasks of the largest job without groups: the numbers of its blocks take 256 of its item's 400 KB.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
LARGEST_UNGROUPED: Final = 2**24

#: Blocks, or groups, of a cancelled job that one `add_unwritten` counts; groups that one `regroup` moves.
_AT_ONCE: Final = 20

#: Digits of a block's number in its sort key; above a million it has one more.
_BLOCK_DIGITS: Final = 6

_OUTCOMES: Final = (Status.COMPLETED, Status.DEAD, Status.CANCELLED)

#: Days that a block outlives the tasks that it counts.
_YEAR: Final = 366
#: Days that a job outlives its tasks. A new job with its id would have the same task ids, and DynamoDB takes a few days
#: to delete expired items.
_FORTNIGHT: Final = 14


@dataclass(frozen=True, slots=True)
class Counts:
    """Closed tasks of a job by outcome."""

    completed: int = 0
    dead: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.completed + self.dead + self.cancelled

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.completed + other.completed, self.dead + other.dead, self.cancelled + other.cancelled)


@dataclass(frozen=True, slots=True)
class _Job:
    """A job, distinct from expired jobs with the same id."""

    job_id: str
    created_at: int  # ms

    @classmethod
    def of(cls, record: JobRecord) -> _Job:
        return cls(record.job_id, record.created_at)

    @property
    def blocks_pk(self) -> str:
        return f"progress#{self.job_id}#{self.created_at}"

    @property
    def groups_pk(self) -> str:
        return f"progress_groups#{self.job_id}#{self.created_at}"

    def block_key(self, block: int) -> Item:
        return encoded({"pk": self.blocks_pk, "sk": _block_sk(block)})

    def group_key(self, group: int) -> Item:
        return encoded({"pk": self.groups_pk, "sk": f"{group:05d}"})


#: Numbers of closed tasks by job, block and outcome.
_Numbers = Mapping[_Job, Mapping[int, Mapping[Status, set[int]]]]


# --- counting closed tasks ---------------------------------------------------------------------------------------


def add_closed(tables: Tables, closed: Sequence[Task], now: int, retention_days: int | None) -> list[JobRecord]:
    """Add closed tasks to their jobs' progress; the jobs whose tasks are now all closed.

    Idempotent. A job is returned until `close` has closed it.
    Cost: 1 or 2 write units for each touched block. For each block that becomes full, a write of the job's item, or 1
    or 2 write units if the job is large. For each group that becomes full, and for each changed task of a full group,
    256 read units (its blocks) and a write of the job's item.
    """
    numbers: dict[_Job, dict[int, dict[Status, set[int]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for task in closed:
        numbers[_Job(task.job_id, task.created_at)][task.number // BLOCK][Status(task.status)].add(task.number)
    return _add_numbers(tables, numbers, _block_expiry(now, retention_days))


def add_unwritten(
    tables: Tables, job: JobRecord, position: int, now: int, retention_days: int | None
) -> tuple[int, list[JobRecord]]:
    """Add the next tasks from a position on, which a cancelled job never wrote, to its progress as cancelled.

    Returns the position that was reached, and the job if its tasks are now all closed. One call adds some blocks, or
    some groups of a large job of which no task was written. Idempotent. Cost: 2 write units a block, 1 a group, and a
    write of the job's item.
    """
    expires_at, size = _block_expiry(now, retention_days), GROUP * BLOCK
    if is_grouped(job) and position % size == 0:
        reached = min(position + _AT_ONCE * size, job.total)
        groups = set(range(position // size, _piece_count(reached, size)))
        _remember_grouped(tables, _Job.of(job))
        for group in groups:
            _put_counts(tables, _Job.of(job), group, Counts(cancelled=_group_size(job.total, group)), expires_at)
        return reached, _jobs_to_close([_add_full_groups(tables, _Job.of(job), groups)])
    border = _piece_count(position, size) * size if is_grouped(job) else job.total
    reached = min(position + _AT_ONCE * BLOCK, border, job.total)
    blocks: dict[int, dict[Status, set[int]]] = defaultdict(lambda: {Status.CANCELLED: set()})
    for number in range(position, reached):
        blocks[number // BLOCK][Status.CANCELLED].add(number)
    return reached, _add_numbers(tables, {_Job.of(job): blocks}, expires_at)


def _add_numbers(tables: Tables, numbers: _Numbers, expires_at: int | None) -> list[JobRecord]:
    records = []
    for job, blocks in numbers.items():
        full = {
            block
            for block, by_outcome in blocks.items()
            if _add_to_block(tables, job, block, by_outcome, expires_at) == _block_size(_total(tables, job), block)
        }
        if full:
            records.append(_add_full_blocks(tables, job, full, expires_at))
    return _jobs_to_close(records)


def _add_full_blocks(tables: Tables, job: _Job, full: set[int], expires_at: int | None) -> JobRecord | None:
    """Record full blocks on the job or on their groups; the job afterwards, None if it cannot be full yet."""
    if _total(tables, job) <= LARGEST_UNGROUPED:
        return _update_job(tables, job, add={"full_blocks": _number_set(full)})
    _remember_grouped(tables, job)
    groups = _fill_groups(tables, job, full, expires_at)
    return _add_full_groups(tables, job, groups) if groups else None


def _fill_groups(tables: Tables, job: _Job, full: Iterable[int], expires_at: int | None) -> set[int]:
    """Record full blocks on their groups, and count the groups that are now full; the full groups."""
    by_group: dict[int, set[int]] = defaultdict(set)
    for block in full:
        by_group[block // GROUP].add(block)
    groups = {group for group, blocks in by_group.items() if _add_to_group(tables, job, group, blocks, expires_at)}
    for group in groups:
        _count_group(tables, job, group, expires_at)
    return groups


def _add_full_groups(tables: Tables, job: _Job, full: set[int]) -> JobRecord | None:
    return _update_job(tables, job, add={"full_groups": _number_set(full)})


def _jobs_to_close(records: Iterable[JobRecord | None]) -> list[JobRecord]:
    return [record for record in records if record is not None and is_full(record) and record.closed_at is None]


def is_full(job: JobRecord) -> bool:
    """Whether all tasks of a job are closed, by the blocks or groups on its item."""
    full_blocks = len(job.full_groups) * GROUP if is_grouped(job) else len(job.full_blocks)
    return full_blocks * BLOCK >= job.total


# --- jobs that are counted in groups -----------------------------------------------------------------------------


def is_grouped(job: JobRecord) -> bool:
    """Whether a job has groups, as its blocks are too many for its item."""
    return job.total > LARGEST_UNGROUPED


def regroup(tables: Tables, job: JobRecord, now: int, retention_days: int | None) -> JobRecord | None:
    """Move some full blocks that version 0.1.0 recorded on a large job to their groups; the job afterwards.

    Idempotent: one write removes the blocks from the job and records the groups that are full with them.
    Cost: for each of 20 groups 2 write units and, once it is full, as `add_closed`; a write of the job's item.
    """
    first = sorted({block // GROUP for block in job.full_blocks})[:_AT_ONCE]
    blocks = {block for block in job.full_blocks if block // GROUP in first}
    groups = _fill_groups(tables, _Job.of(job), blocks, _block_expiry(now, retention_days))
    add = {"full_groups": _number_set(groups)} if groups else {}
    return _update_job(tables, _Job.of(job), add=add, delete={"full_blocks": _number_set(blocks)})


@lru_cache(maxsize=1024)
def _remember_grouped(tables: Tables, job: _Job) -> None:
    """Remember a job that is counted in groups. Cost: 1 write unit a process."""
    remember(tables, "grouped", job.job_id)


def _add_to_group(tables: Tables, job: _Job, group: int, blocks: set[int], expires_at: int | None) -> bool:
    """Record full blocks on their group; whether all its blocks are full."""
    item = _update(
        tables,
        job.group_key(group),
        set_to=encoded({"expires_at": expires_at}),
        add={"full_blocks": _number_set(blocks)},
    )
    of_group = _piece_count(_group_size(_total(tables, job), group), BLOCK)
    return "dead" in item or len(item["full_blocks"]["NS"]) == of_group


def _count_group(tables: Tables, job: _Job, group: int, expires_at: int | None) -> None:
    """Count the tasks of a full group by outcome, from its blocks. Cost: 256 read units."""
    keys = [job.block_key(block) for block in range(group * GROUP, (group + 1) * GROUP)]
    counts = sum(map(_block_counts, map(decoded, get_batches(tables, tables.registry, keys))), Counts())
    # A group that `add_unwritten` counted has no blocks.
    if counts.total == _group_size(_total(tables, job), group):
        _put_counts(tables, job, group, counts, expires_at)


def _put_counts(tables: Tables, job: _Job, group: int, counts: Counts, expires_at: int | None) -> None:
    """Put the counts of a full group, unless it has newer ones. Only dead tasks change, so newer counts have fewer:

    A counts 2 dead ───────────────────────────────────────── A puts 2 dead: fails
    B:     one of them is cancelled ── counts and puts 1 dead
    """
    with suppress(ConditionFailed):
        _update(
            tables,
            job.group_key(group),
            set_to=encoded(
                {
                    "completed": counts.completed,
                    "dead": counts.dead,
                    "cancelled": counts.cancelled,
                    "expires_at": expires_at,
                }
            ),
            remove=("full_blocks",),
            condition="attribute_not_exists(#dead) OR #dead >= :dead",
        )


# --- reading the progress ----------------------------------------------------------------------------------------


def counts(tables: Tables, job: JobRecord) -> Counts:
    """The number of a job's closed tasks by outcome.

    Cost: 1 read unit per 4 KB, about 1,000 tasks; for a large job 1 per 30 full groups, which are 2 million tasks, and
    1 per 1,000 closed tasks in other groups.
    """
    if not is_grouped(job):
        return sum(map(_block_counts, _blocks(tables, _Job.of(job))), Counts())
    full: dict[int, Counts] = {}
    for item in map(decoded, registry_part(tables, _Job.of(job).groups_pk, consistent=True)):
        if "dead" in item:
            full[int(item["sk"])] = Counts(item["completed"], item["dead"], item["cancelled"])
    others = (
        _block_counts(block)
        for blocks in _open_ranges(full, _piece_count(job.total, GROUP * BLOCK))
        for block in _blocks_of_range(tables, _Job.of(job), blocks)
    )
    return sum((*full.values(), *others), Counts())


def final_outcomes(tables: Tables, job: JobRecord) -> dict[int, Status]:
    """The outcomes of a job's completed and cancelled tasks, by number. A dead task may still be replayed.

    For small jobs: all numbers are in memory. Cost: 1 read unit per 4 KB, about 1,000 tasks.
    """
    return {
        number: outcome
        for block in _blocks(tables, _Job.of(job))
        for outcome in (Status.COMPLETED, Status.CANCELLED)
        for number in block.get(outcome.value, ())
    }


def final_numbers(tables: Tables, job: JobRecord, numbers: Sequence[int]) -> set[int]:
    """The given numbers that are counted as completed or cancelled. Cost: 1 read unit a block of 256."""
    blocks = sorted({number // BLOCK for number in numbers})
    found = get_batches(tables, tables.registry, [_Job.of(job).block_key(block) for block in blocks])
    sets = (decoded(block).get(outcome, set()) for block in found for outcome in (Status.COMPLETED, Status.CANCELLED))
    return set().union(*sets) & set(numbers)


def _blocks(tables: Tables, job: _Job) -> Iterator[dict[str, Any]]:
    return map(decoded, registry_part(tables, job.blocks_pk, consistent=True))


def _open_ranges(full: Collection[int], groups: int) -> Iterator[range]:
    """Ranges of blocks whose groups are not full; neighbouring groups share a range."""
    start = 0
    for group in (*sorted(full), groups):
        if start < group:
            yield range(start * GROUP, group * GROUP)
        start = group + 1


def _blocks_of_range(tables: Tables, job: _Job, blocks: range) -> Iterator[dict[str, Any]]:
    """The blocks of a range that have closed tasks.

    Sort keys are ordered as texts. Keys of six and of seven digits are queried separately, and keys of the other length
    in between are left out.
    """
    longer = 10**_BLOCK_DIGITS
    for part in (range(blocks.start, min(blocks.stop, longer)), range(max(blocks.start, longer), blocks.stop)):
        if part:
            items = query(
                tables,
                TableName=tables.registry,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
                ExpressionAttributeValues=encoded(
                    {":pk": job.blocks_pk, ":first": _block_sk(part[0]), ":last": _block_sk(part[-1])}
                ),
                ConsistentRead=True,
            )
            yield from (decoded(item) for item in items if int(item["sk"]["S"]) in part)


# --- closing -----------------------------------------------------------------------------------------------------


def close(tables: Tables, job: JobRecord, found: Counts, now: int, retention_days: int | None) -> bool:
    """Mark a job as closed, with its counts. Idempotent; False if it was closed before.

    With a retention the job expires, unless it has dead tasks, which are kept too.
    Cost: 1 write unit; with a retention one more per KB of the spec, which expires with the tasks.
    """
    kept_days = None if found.dead else retention_days
    if kept_days is not None:
        _let_spec_expire(tables, job.job_id, expiry(now, kept_days))
    set_to = {
        "closed_at": now,
        **asdict(found),
        "expires_at": None if kept_days is None else expiry(now, kept_days + _FORTNIGHT),
    }
    try:
        _update(
            tables,
            encoded({"pk": "job", "sk": job.job_id}),
            set_to=encoded(set_to),
            condition="#created_at = :seen AND attribute_not_exists(#closed_at)",
            seen=encoded({":seen": job.created_at}),
        )
    except ConditionFailed:
        return False
    return True


#: `closing`: all tasks of the job are closed, but closing the job failed. `grouped`: the job has groups and is open.
Reminder = Literal["closing", "grouped"]


def remember(tables: Tables, reminder: Reminder, job_id: str) -> None:
    """Put a reminder of a job for the tick. Cost: 1 write unit."""
    write(lambda: tables.client.put_item(TableName=tables.registry, Item=_reminder_key(reminder, job_id)))


def forget(tables: Tables, reminder: Reminder, job_id: str) -> None:
    """Delete a reminder of a job. Cost: 1 write unit."""
    write(lambda: tables.client.delete_item(TableName=tables.registry, Key=_reminder_key(reminder, job_id)))


def remembered_ids(tables: Tables, reminder: Reminder) -> list[str]:
    """The ids of the jobs with a reminder. Cost: 0.5 read units per 4 KB, about 50 jobs."""
    return [item["sk"]["S"] for item in registry_part(tables, reminder)]


def _reminder_key(reminder: Reminder, job_id: str) -> Item:
    return encoded({"pk": reminder, "sk": job_id})


def _let_spec_expire(tables: Tables, job_id: str, expires_at: int | None) -> None:
    with suppress(ConditionFailed):
        write(
            lambda: tables.client.update_item(
                TableName=tables.registry,
                Key=encoded({"pk": "spec", "sk": job_id}),
                UpdateExpression="SET expires_at = if_not_exists(expires_at, :expires_at)",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues=encoded({":expires_at": expires_at}),
            )
        )


# --- parts of a write, and sizes ---------------------------------------------------------------------------------


def _add_to_block(
    tables: Tables, job: _Job, block: int, numbers: Mapping[Status, set[int]], expires_at: int | None
) -> int:
    """Add numbers to a block's sets; the number of its closed tasks."""
    item = _update(
        tables,
        job.block_key(block),
        set_to=encoded({"expires_at": expires_at}),
        add={outcome.value: _number_set(some) for outcome, some in numbers.items()},
    )
    found = decoded(item)
    return len(set().union(*(found.get(outcome.value, set()) for outcome in _OUTCOMES)))


def _update_job(tables: Tables, job: _Job, **clauses: Any) -> JobRecord | None:
    """Update a job's item; the job afterwards, None if it has expired."""
    key = encoded({"pk": "job", "sk": job.job_id})
    seen = encoded({":seen": job.created_at})
    try:
        return JobRecord.from_item(_update(tables, key, condition="#created_at = :seen", seen=seen, **clauses))
    except ConditionFailed:
        return None


def _update(
    tables: Tables,
    key: Item,
    *,
    set_to: Item | None = None,
    add: Item | None = None,
    delete: Item | None = None,
    remove: Collection[str] = (),
    condition: str | None = None,
    seen: Item | None = None,
) -> Item:
    """Update attributes of an item; the item afterwards.

    Raises:
        ConditionFailed: nothing was written.
    """
    set_to, add, delete = set_to or {}, add or {}, delete or {}
    clauses = {
        "SET": [f"#{name} = :{name}" for name in set_to],
        "ADD": [f"#{name} :{name}" for name in add],
        "DELETE": [f"#{name} :{name}" for name in delete],
        "REMOVE": [f"#{name}" for name in remove],
    }
    expression = " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses.items() if parts)
    names = re.findall(r"#(\w+)", f"{expression} {condition or ''}")
    values = {f":{name}": value for name, value in (set_to | add | delete).items()}
    arguments: Any = {"ConditionExpression": condition} if condition else {}
    answer = write(
        lambda: tables.client.update_item(
            TableName=tables.registry,
            Key=key,
            UpdateExpression=expression,
            ExpressionAttributeNames={f"#{name}": name for name in names},
            ExpressionAttributeValues=values | (seen or {}),
            ReturnValues="ALL_NEW",
            **arguments,
        )
    )
    item: Item = answer["Attributes"]
    return item


def _block_counts(block: Mapping[str, Any]) -> Counts:
    completed, dead, cancelled = (block.get(outcome.value, set()) for outcome in _OUTCOMES)
    return Counts(len(completed), len(dead - completed - cancelled), len(cancelled))


@lru_cache(maxsize=1024)
def _total(tables: Tables, job: _Job) -> int:
    """The number of a job's tasks; 0 if the job has expired."""
    record = get(tables, job.job_id)
    return 0 if record is None or record.created_at != job.created_at else record.total


def _piece_count(total: int, size: int) -> int:
    """The number of pieces of a size in a total; the last one may be smaller."""
    return -(-total // size)


def _block_size(total: int, block: int) -> int:
    """The number of tasks in a block, given the job's total."""
    return min(BLOCK, total - block * BLOCK)


def _group_size(total: int, group: int) -> int:
    """The number of tasks in a group, given the job's total."""
    return min(GROUP * BLOCK, total - group * GROUP * BLOCK)


def _block_sk(block: int) -> str:
    return f"{block:0{_BLOCK_DIGITS}d}"


def _number_set(numbers: Iterable[int]) -> dict[str, Any]:
    return {"NS": [str(number) for number in sorted(numbers)]}


def _block_expiry(now: int, retention_days: int | None) -> int | None:
    """Epoch seconds at which DynamoDB may delete progress items."""
    return None if retention_days is None else expiry(now, retention_days + _YEAR)
