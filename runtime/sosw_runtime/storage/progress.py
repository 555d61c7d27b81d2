"""Progress of jobs: which of a job's tasks are closed, and the job with them.

A job's tasks are counted in blocks of 256. A block's item (`progress#<job_id>#<created_at>`, block) holds the numbers
of its closed tasks as sets, one for each outcome. To add a number to a set again changes nothing, so that no crash,
repetition or second Scavenger can make a count wrong. A block that is full is noted on the job; with the last one the
job is closed. Where that fails, (`closing`, job_id) remembers it. An id may come again once its job has expired: the
time of its creation tells the two apart.

A number comes into a second set when a dead task is cancelled, or is replayed and then completes or is cancelled. From
there is no way back, so that both win over dead.

The item of a job of more than 2^24 tasks has no room for all its blocks. They form groups of 256. A full block is noted
on its group's item (`progress_groups#<job_id>#<created_at>`, group). Once all its blocks are full, the group's tasks
are counted by outcome: the item then holds the counts instead of the blocks, and the group is noted on the job; with
the last one the job is closed. When a task of a full group changes, the group is counted again. (`grouped`, job_id)
remembers the job until it is closed.

Version 0.1.0 knows no groups and notes every full block on the job. `regroup` moves such notes to the groups.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
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

#: Tasks of the largest job whose full blocks are noted on its own item, of whose 400 KB their numbers then take 256.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
LARGEST_UNGROUPED: Final = 2**24

#: Blocks, or groups, of a cancelled job that are noted by one call of `note_unwritten`; groups moved by one `regroup`.
_AT_ONCE: Final = 20

#: Digits of a block's number in its sort key; above a million it has one more.
_BLOCK_DIGITS: Final = 6

_OUTCOMES: Final = (Status.COMPLETED, Status.DEAD, Status.CANCELLED)

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
class _Job:
    """A job, told apart from those that had its id before."""

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


# --- what the Scavenger notes ------------------------------------------------------------------------------------


def note(tables: Tables, closed: Sequence[Task], now: int, retention_days: int | None) -> list[JobRecord]:
    """Count tasks as closed; the jobs whose last task is among them.

    Repeatable. A job is returned until `close` has noted it.
    Cost: 1 or 2 write units a block that is touched; once a block the job's item, or of a large job 1 or 2 write units;
    once a group of a large job, and for each task of a full group that changes, its 256 blocks are read (1 read unit
    each) and the job's item is written.
    """
    numbers: dict[_Job, dict[int, dict[Status, set[int]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(set)))
    for task in closed:
        numbers[_Job(task.job_id, task.created_at)][task.number // BLOCK][Status(task.status)].add(task.number)
    return _note(tables, numbers, _block_expiry(now, retention_days))


def note_unwritten(
    tables: Tables, job: JobRecord, position: int, now: int, retention_days: int | None
) -> tuple[int, list[JobRecord]]:
    """Count the next tasks from a position on, which were never written as their job was cancelled, as cancelled.

    Returns the position that was reached, and jobs as `note` does. Some blocks are noted, or some groups of a large
    job of which no task was written. Repeatable. Cost: 2 write units a block, 1 a group; the job's item.
    """
    expires_at, size = _block_expiry(now, retention_days), GROUP * BLOCK
    if is_grouped(job) and position % size == 0:
        reached = min(position + _AT_ONCE * size, job.total)
        groups = set(range(position // size, _pieces(reached, size)))
        _remember_grouped(tables, _Job.of(job))
        for group in groups:
            _put_counts(tables, _Job.of(job), group, Counts(cancelled=_group_size(job.total, group)), expires_at)
        return reached, _open_and_full([_note_groups(tables, _Job.of(job), groups)])
    border = _pieces(position, size) * size if is_grouped(job) else job.total
    reached = min(position + _AT_ONCE * BLOCK, border, job.total)
    blocks: dict[int, dict[Status, set[int]]] = defaultdict(lambda: {Status.CANCELLED: set()})
    for number in range(position, reached):
        blocks[number // BLOCK][Status.CANCELLED].add(number)
    return reached, _note(tables, {_Job.of(job): blocks}, expires_at)


def _note(tables: Tables, numbers: _Numbers, expires_at: int | None) -> list[JobRecord]:
    records = []
    for job, blocks in numbers.items():
        full = {
            block
            for block, by_outcome in blocks.items()
            if _add(tables, job, block, by_outcome, expires_at) == _block_size(_total(tables, job), block)
        }
        if full:
            records.append(_note_blocks(tables, job, full, expires_at))
    return _open_and_full(records)


def _note_blocks(tables: Tables, job: _Job, full: set[int], expires_at: int | None) -> JobRecord | None:
    """Note full blocks where their job's are noted; the job as it stands then, None if it need not be closed."""
    if _total(tables, job) <= LARGEST_UNGROUPED:
        return _update_job(tables, job, add={"full_blocks": _number_set(full)})
    _remember_grouped(tables, job)
    groups = _fill_groups(tables, job, full, expires_at)
    return _note_groups(tables, job, groups) if groups else None


def _fill_groups(tables: Tables, job: _Job, full: Iterable[int], expires_at: int | None) -> set[int]:
    """Note full blocks on their groups, and count the groups that are full then; these."""
    by_group: dict[int, set[int]] = defaultdict(set)
    for block in full:
        by_group[block // GROUP].add(block)
    groups = {group for group, blocks in by_group.items() if _is_full_with(tables, job, group, blocks, expires_at)}
    for group in groups:
        _count_group(tables, job, group, expires_at)
    return groups


def _note_groups(tables: Tables, job: _Job, full: set[int]) -> JobRecord | None:
    return _update_job(tables, job, add={"full_groups": _number_set(full)})


def _open_and_full(records: Iterable[JobRecord | None]) -> list[JobRecord]:
    return [record for record in records if record is not None and is_full(record) and record.closed_at is None]


def is_full(job: JobRecord) -> bool:
    """Whether all tasks of a job are closed, as it is noted on the job."""
    noted = len(job.full_groups) * GROUP if is_grouped(job) else len(job.full_blocks)
    return noted * BLOCK >= job.total


# --- jobs that are counted in groups -----------------------------------------------------------------------------


def is_grouped(job: JobRecord) -> bool:
    """Whether a job's blocks are too many to be noted on the job."""
    return job.total > LARGEST_UNGROUPED


def regroup(tables: Tables, job: JobRecord, now: int, retention_days: int | None) -> JobRecord | None:
    """Move some of the full blocks that version 0.1.0 noted on a large job to their groups; the job as it stands then.

    Repeatable: the job forgets the blocks as it notes the groups that are full with them.
    Cost: for each of 20 groups 2 write units and, once it is full, as `note`; the job's item.
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


def _is_full_with(tables: Tables, job: _Job, group: int, blocks: set[int], expires_at: int | None) -> bool:
    """Note full blocks on their group; whether all its blocks are full."""
    item = _update(
        tables,
        job.group_key(group),
        set_to=encoded({"expires_at": expires_at}),
        add={"full_blocks": _number_set(blocks)},
    )
    of_group = _pieces(_group_size(_total(tables, job), group), BLOCK)
    return "dead" in item or len(item["full_blocks"]["NS"]) == of_group


def _count_group(tables: Tables, job: _Job, group: int, expires_at: int | None) -> None:
    """Count a group's tasks by outcome from its blocks, all of which are full. Cost: 256 read units."""
    keys = [job.block_key(block) for block in range(group * GROUP, (group + 1) * GROUP)]
    counts = sum(map(_counts, map(decoded, get_batches(tables, tables.registry, keys))), Counts())
    # A group that was counted while none of its tasks was written has no blocks.
    if sum(astuple(counts)) == _group_size(_total(tables, job), group):
        _put_counts(tables, job, group, counts, expires_at)


def _put_counts(tables: Tables, job: _Job, group: int, counts: Counts, expires_at: int | None) -> None:
    """Note the counts of a full group, unless newer ones are noted. Only dead tasks change, so newer ones have fewer:

    A counts 2 dead ───────────────────────────────────────── A notes 2 dead: fails
    B:     one of them is cancelled ── counts and notes 1 dead
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


# --- how far a job has come --------------------------------------------------------------------------------------


def counts(tables: Tables, job: JobRecord) -> Counts:
    """A job's closed tasks so far.

    Cost: 1 read unit per 4 KB, about 1,000 tasks; of a large job 1 per 30 full groups, 2 million tasks, and 1 per 1,000
    closed tasks of the others.
    """
    if not is_grouped(job):
        return sum(map(_counts, _blocks(tables, _Job.of(job))), Counts())
    full: dict[int, Counts] = {}
    for item in map(decoded, registry_part(tables, _Job.of(job).groups_pk, consistent=True)):
        if "dead" in item:
            full[int(item["sk"])] = Counts(item["completed"], item["dead"], item["cancelled"])
    others = (
        _counts(block)
        for blocks in _between(full, _pieces(job.total, GROUP * BLOCK))
        for block in _some_blocks(tables, _Job.of(job), blocks)
    )
    return sum((*full.values(), *others), Counts())


def final_outcomes(tables: Tables, job: JobRecord) -> dict[int, Status]:
    """A job's completed and cancelled tasks so far, by number: a dead one may still be replayed.

    For small jobs: all numbers are held in memory. Cost: 1 read unit per 4 KB, about 1,000 tasks.
    """
    return {
        number: outcome
        for block in _blocks(tables, _Job.of(job))
        for outcome in (Status.COMPLETED, Status.CANCELLED)
        for number in block.get(outcome.value, ())
    }


def final_numbers(tables: Tables, job: JobRecord, numbers: Sequence[int]) -> set[int]:
    """Those of some numbers that are counted as completed or cancelled. Cost: 1 read unit a block of 256."""
    blocks = sorted({number // BLOCK for number in numbers})
    found = get_batches(tables, tables.registry, [_Job.of(job).block_key(block) for block in blocks])
    sets = (decoded(block).get(outcome, set()) for block in found for outcome in (Status.COMPLETED, Status.CANCELLED))
    return set().union(*sets) & set(numbers)


def _blocks(tables: Tables, job: _Job) -> Iterator[dict[str, Any]]:
    return map(decoded, registry_part(tables, job.blocks_pk, consistent=True))


def _between(full: Collection[int], groups: int) -> Iterator[range]:
    """The blocks of the groups that are not full, side by side as far as they can be."""
    start = 0
    for group in (*sorted(full), groups):
        if start < group:
            yield range(start * GROUP, group * GROUP)
        start = group + 1


def _some_blocks(tables: Tables, job: _Job, blocks: range) -> Iterator[dict[str, Any]]:
    """The blocks of a range that any task was closed of.

    Sort keys are ordered as texts: those of six digits and those of seven are asked for by themselves, and what of the
    others lies between is left out.
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
    """Note that a job is closed, with its counts. Once; repeated, it changes nothing.

    With a retention it expires, unless it has dead tasks, which are kept as well.
    Cost: 1 write unit; with a retention another one per KB of the spec, which goes with the tasks.
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


#: `closing`: all tasks of the job are closed, and the job could not be. `grouped`: it is counted in groups, and open.
Reminder = Literal["closing", "grouped"]


def remember(tables: Tables, reminder: Reminder, job_id: str) -> None:
    """Have the tick look at a job. Cost: 1 write unit."""
    write(lambda: tables.client.put_item(TableName=tables.registry, Item=_reminder_key(reminder, job_id)))


def forget(tables: Tables, reminder: Reminder, job_id: str) -> None:
    """Have the tick look at it no more. Cost: 1 write unit."""
    write(lambda: tables.client.delete_item(TableName=tables.registry, Key=_reminder_key(reminder, job_id)))


def remembered(tables: Tables, reminder: Reminder) -> list[str]:
    """The ids of the jobs that are remembered. Cost: 0.5 read units per 4 KB, about 50 jobs."""
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


def _add(tables: Tables, job: _Job, block: int, numbers: Mapping[Status, set[int]], expires_at: int | None) -> int:
    """Add numbers to a block's sets; how many of its tasks are closed."""
    item = _update(
        tables,
        job.block_key(block),
        set_to=encoded({"expires_at": expires_at}),
        add={outcome.value: _number_set(some) for outcome, some in numbers.items()},
    )
    found = decoded(item)
    return len(set().union(*(found.get(outcome.value, set()) for outcome in _OUTCOMES)))


def _update_job(tables: Tables, job: _Job, **clauses: Any) -> JobRecord | None:
    """Change what a job notes; the job as it stands then, None if it is not kept any more."""
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
    """Update an item, attribute by attribute; the item as it stands then.

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


def _counts(block: Mapping[str, Any]) -> Counts:
    completed, dead, cancelled = (block.get(outcome.value, set()) for outcome in _OUTCOMES)
    return Counts(len(completed), len(dead - completed - cancelled), len(cancelled))


@lru_cache(maxsize=1024)
def _total(tables: Tables, job: _Job) -> int:
    """Tasks of a job; 0 if it is not kept any more."""
    record = get(tables, job.job_id)
    return 0 if record is None or record.created_at != job.created_at else record.total


def _pieces(total: int, size: int) -> int:
    """How many pieces of a size so many make, the last one perhaps smaller."""
    return -(-total // size)


def _block_size(total: int, block: int) -> int:
    """Tasks of a block of a job of so many tasks."""
    return min(BLOCK, total - block * BLOCK)


def _group_size(total: int, group: int) -> int:
    """Tasks of a group of a job of so many tasks."""
    return min(GROUP * BLOCK, total - group * GROUP * BLOCK)


def _block_sk(block: int) -> str:
    return f"{block:0{_BLOCK_DIGITS}d}"


def _number_set(numbers: Iterable[int]) -> dict[str, Any]:
    return {"NS": [str(number) for number in sorted(numbers)]}


def _block_expiry(now: int, retention_days: int | None) -> int | None:
    """Epoch seconds at which DynamoDB may delete what tasks were counted by."""
    return None if retention_days is None else expiry(now, retention_days + _YEAR)
