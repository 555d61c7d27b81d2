"""Jobs: accepted whole or not at all, and enqueued by one Scheduler at a time.

A job has three items: its record (`job`, id); its spec (`spec`, id), from which its tasks are cut, which may be large
and never changes; and the cursor (`enqueuing`, id) with the lease of the Scheduler that writes its tasks. The cursor is
deleted with the last task written. Cancelling a job marks its cursor: the Scheduler stops and writes no more tasks.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from sosw_runtime.domain.task import Status, Task, task_id
from sosw_runtime.storage.items import Item, decoded, encoded
from sosw_runtime.storage.tables import ConditionFailed, Tables, get_batches, query, registry_part, write
from sosw_runtime.storage.tasks import find, find_closed, waiting_ids

#: Most bytes of a compressed spec. The rest of DynamoDB's 400 KB an item is for the other attributes.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
LARGEST_JOB: Final = 380 * 1024

#: Tasks that are written before the cursor moves past them: 20 calls of 25, at once.
WINDOW: Final = 500


@dataclass(frozen=True, slots=True)
class JobRecord:
    """An accepted job."""

    job_id: str
    worker_id: str
    total: int  # tasks
    today: date  # the day from which its periods count
    created_at: int  # ms
    first_start: int  # ms
    source: str  # the id of the event or request
    fingerprint: str  # of the request, to detect another job under the same id
    schema_name: str | None = None  # the job schema that it names
    full_blocks: frozenset[int] = frozenset()  # blocks whose tasks are all closed
    cancelled_at: int | None = None  # ms, once the job is cancelled: none of its tasks starts again
    full_groups: frozenset[int] = frozenset()  # of a large job, in place of the blocks: groups of full blocks
    closed_at: int | None = None  # ms, once all its tasks are closed
    completed: int | None = None  # tasks by outcome, as it was closed
    dead: int | None = None
    cancelled: int | None = None

    def to_item(self) -> Item:
        """The item of a job that is being accepted."""
        return encoded(
            {
                "pk": "job",
                "sk": self.job_id,
                "worker_id": self.worker_id,
                "total": self.total,
                "today": self.today.isoformat(),
                "created_at": self.created_at,
                "first_start": self.first_start,
                "source": self.source,
                "fingerprint": self.fingerprint,
                "schema_name": self.schema_name,
            }
        )

    @classmethod
    def from_item(cls, item: Item) -> JobRecord:
        """Read an item that `to_item` made, with the attributes that were added later."""
        values = decoded(item)
        return cls(
            job_id=values["sk"],
            worker_id=values["worker_id"],
            total=values["total"],
            today=date.fromisoformat(values["today"]),
            created_at=values["created_at"],
            first_start=values["first_start"],
            source=values["source"],
            fingerprint=values["fingerprint"],
            schema_name=values.get("schema_name"),
            full_blocks=frozenset(values.get("full_blocks", ())),
            cancelled_at=values.get("cancelled_at"),
            full_groups=frozenset(values.get("full_groups", ())),
            closed_at=values.get("closed_at"),
            completed=values.get("completed"),
            dead=values.get("dead"),
            cancelled=values.get("cancelled"),
        )


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a job is enqueued, held by one Scheduler until its lease ends."""

    job_id: str
    position: int  # the number of the next task to write
    holder: str  # unique to one run of the Scheduler; empty: nobody holds it
    lease_until: int  # ms
    suspect: bool = False  # True: an earlier holder stopped; tasks from the position on may be written
    cancelled: bool = False  # True: the job is cancelled, and no more tasks are written

    @property
    def is_at_rest(self) -> bool:
        """Whether nobody holds the cursor, and exactly the tasks before the position are written."""
        return not (self.holder or self.suspect)


def compress(spec: str) -> bytes:
    """Compress a spec for its item."""
    return zlib.compress(spec.encode())


def accept(tables: Tables, record: JobRecord, spec: bytes, cursor: Cursor) -> JobRecord:
    """Accept a job; if its id is known already, the job that has the id.

    The holder of the cursor holds an accepted job. One transaction. Cost: 4 write units, and 2 per KB of the spec.
    """
    items = [
        record.to_item(),
        # Without a condition: the spec of an expired job with this id may not be deleted yet.
        encoded({"pk": "spec", "sk": record.job_id}) | {"spec": {"B": spec}},
        _cursor_key(record.job_id)
        | encoded({"position": cursor.position, "holder": cursor.holder, "lease_until": cursor.lease_until}),
    ]
    puts: list[Any] = [{"Put": {"TableName": tables.registry, "Item": item}} for item in items]
    puts[0]["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"
    try:
        write(lambda: tables.client.transact_write_items(TransactItems=puts))
    except ConditionFailed:
        known = get(tables, record.job_id)
        if known is None:
            raise
        return known
    return record


def get(tables: Tables, job_id: str) -> JobRecord | None:
    """An accepted job, read consistently."""
    answer = tables.client.get_item(
        TableName=tables.registry, Key=encoded({"pk": "job", "sk": job_id}), ConsistentRead=True
    )
    return JobRecord.from_item(answer["Item"]) if "Item" in answer else None


def spec(tables: Tables, job_id: str) -> str | None:
    """The spec of an accepted job; None once it has expired with the tasks."""
    answer = tables.client.get_item(
        TableName=tables.registry, Key=encoded({"pk": "spec", "sk": job_id}), ConsistentRead=True
    )
    return zlib.decompress(answer["Item"]["spec"]["B"]).decode() if "Item" in answer else None


def list_all(tables: Tables) -> Iterator[JobRecord]:
    """Every stored job, in no order. Cost: 0.5 read units per 4 KB, about 15 jobs."""
    return map(JobRecord.from_item, registry_part(tables, "job"))


def starting_with(tables: Tables, beginning: str) -> Iterator[JobRecord]:
    """The stored jobs whose ids begin so, by id; read three at a time. Cost: 0.5 read units a page."""
    items = query(
        tables,
        TableName=tables.registry,
        KeyConditionExpression="pk = :pk AND begins_with(sk, :beginning)",
        ExpressionAttributeValues=encoded({":pk": "job", ":beginning": beginning}),
        Limit=3,
    )
    return map(JobRecord.from_item, items)


def cursor(tables: Tables, job_id: str) -> Cursor | None:
    """A job's cursor; None once all its tasks are enqueued."""
    answer = tables.client.get_item(TableName=tables.registry, Key=_cursor_key(job_id), ConsistentRead=True)
    return _cursor(answer["Item"]) if "Item" in answer else None


def take_over(tables: Tables, seen: Cursor, holder: str, lease_until: int) -> Cursor | None:
    """Take over a cursor as it was seen; None if another was first. Cost: 1 write unit."""
    return _update_cursor(
        tables, seen, replace(seen, holder=holder, lease_until=lease_until, suspect=seen.suspect or seen.holder != "")
    )


def advance(tables: Tables, seen: Cursor, position: int, lease_until: int) -> Cursor | None:
    """Record that all tasks before `position` are written; None if the cursor was taken over. Cost: 1 write unit."""
    return _update_cursor(tables, seen, replace(seen, position=position, lease_until=lease_until, suspect=False))


def release(tables: Tables, seen: Cursor) -> None:
    """Give the cursor to whichever Scheduler comes next. Cost: 1 write unit."""
    _update_cursor(tables, seen, replace(seen, holder="", lease_until=0))


def shorten_lease(tables: Tables, job_id: str, holder: str, until: int) -> None:
    """End a holder's lease at `until` (ms), when its last writes are in doubt. Cost: 1 write unit."""
    seen = cursor(tables, job_id)
    if seen is not None and seen.holder == holder:
        _update_cursor(tables, seen, replace(seen, lease_until=until))


def cancel(tables: Tables, job_id: str, now: int) -> Cursor | None:
    """Mark a job and its cursor as cancelled; the cursor, None if all tasks are enqueued.

    No more tasks are written, and failed ones are not retried. Idempotent. Cost: 2 write units.
    """
    # The job first: if the cursor is at rest or gone, the job is already marked.
    _set_attribute(tables, {"pk": "job", "sk": job_id}, "cancelled_at = if_not_exists(cancelled_at, :value)", now)
    item = _set_attribute(tables, {"pk": "enqueuing", "sk": job_id}, "cancelled = :value", True)
    return None if item is None else _cursor(item)


def _set_attribute(tables: Tables, key: Mapping[str, str], change: str, value: int) -> Item | None:
    """Set an attribute of an existing item; the item afterwards, None if there is none."""
    try:
        answer = write(
            lambda: tables.client.update_item(
                TableName=tables.registry,
                Key=encoded(key),
                UpdateExpression=f"SET {change}",
                ConditionExpression="attribute_exists(pk)",
                ExpressionAttributeValues=encoded({":value": value}),
                ReturnValues="ALL_NEW",
            )
        )
    except ConditionFailed:
        return None
    return dict(answer["Attributes"])


def cancelled_ids(tables: Tables, job_ids: Iterable[str]) -> set[str]:
    """The given ids of cancelled jobs, read consistently. Cost: 1 read unit per 4 KB of each job."""
    keys = [encoded({"pk": "job", "sk": job_id}) for job_id in dict.fromkeys(job_ids)]
    found = get_batches(tables, tables.registry, keys, attributes=("sk", "cancelled_at"))
    return {item["sk"]["S"] for item in found if "cancelled_at" in item}


def tasks_before_cursor(tables: Tables, tasks: Sequence[Task]) -> list[Task]:
    """The given tasks that are before their job's cursor: no Scheduler checks any more whether they are written.

    Once before the cursor, a task stays so. Only such tasks may return to the queue, see `moves.enqueue_missing`.
    Cost: 1 read unit a job.
    """
    keys = [_cursor_key(job_id) for job_id in dict.fromkeys(task.job_id for task in tasks)]
    cursors = {cursor.job_id: cursor for cursor in map(_cursor, get_batches(tables, tables.registry, keys))}
    return [task for task in tasks if task.job_id not in cursors or task.number < cursors[task.job_id].position]


def fence(tables: Tables, held: Cursor) -> dict[str, Any]:
    """The condition that fails a transaction once the cursor was taken over or has moved. Cost: 2 write units."""
    return {
        "ConditionCheck": {
            "TableName": tables.registry,
            "Key": _cursor_key(held.job_id),
            "ConditionExpression": "holder = :holder AND #position = :position",
            "ExpressionAttributeNames": {"#position": "position"},
            "ExpressionAttributeValues": encoded({":holder": held.holder, ":position": held.position}),
        }
    }


def delete_cursor(tables: Tables, held: Cursor) -> bool:
    """Delete the cursor, as all tasks are enqueued; False if it was taken over. Idempotent. Cost: 1 write unit.

    After a takeover the fence may have stopped this holder from writing missing tasks. The new holder writes them.
    """
    try:
        write(
            lambda: tables.client.delete_item(
                TableName=tables.registry,
                Key=_cursor_key(held.job_id),
                ConditionExpression="attribute_not_exists(pk) OR holder = :holder",
                ExpressionAttributeValues=encoded({":holder": held.holder}),
            )
        )
    except ConditionFailed:
        return False
    return True


def cursors(tables: Tables) -> list[Cursor]:
    """The cursors of all jobs that have one. Cost: 0.5 read units per 4 KB, about 25 jobs."""
    return [_cursor(item) for item in registry_part(tables, "enqueuing")]


def statuses(tables: Tables, job: JobRecord, numbers: Sequence[int]) -> dict[int, Status | str]:
    """The statuses of some tasks of a job by number, without tasks that are not written.

    A task that is being archived is in two tables: closed wins. A task that moves between two tables during the read
    may be missing.
    """
    ids = {task_id(job.job_id, number): number for number in numbers}
    found = {task.number: task.status for task in find(tables, ids).values()}
    if len(found) < len(ids):
        found |= {ids[waiting]: Status.WAITING for waiting in waiting_ids(tables, job.worker_id) & ids.keys()}
    closed = {task.number: task.status for task in find_closed(tables, ids).values()}
    return found | closed


def _update_cursor(tables: Tables, seen: Cursor, new: Cursor) -> Cursor | None:
    """Change a cursor as it was seen; the new cursor, None if another was first.

    `cancelled` is neither compared nor changed.
    """
    try:
        answer = write(
            lambda: tables.client.update_item(
                TableName=tables.registry,
                Key=_cursor_key(seen.job_id),
                UpdateExpression=(
                    "SET #position = :position, holder = :holder, lease_until = :lease_until"
                    + (", suspect = :true" if new.suspect else " REMOVE suspect")
                ),
                ConditionExpression=(
                    "holder = :seen_holder AND #position = :seen_position AND lease_until = :seen_lease_until"
                ),
                ExpressionAttributeNames={"#position": "position"},
                ExpressionAttributeValues=encoded(
                    {
                        ":position": new.position,
                        ":holder": new.holder,
                        ":lease_until": new.lease_until,
                        ":true": True if new.suspect else None,
                        ":seen_holder": seen.holder,
                        ":seen_position": seen.position,
                        ":seen_lease_until": seen.lease_until,
                    }
                ),
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        )
    except ConditionFailed as failure:
        # The answer to an earlier try was lost: the cursor already has the new values.
        found = None if failure.found is None else _cursor(failure.found)
        return found if found is not None and found == replace(new, cancelled=found.cancelled) else None
    return _cursor(answer["Attributes"])


def _cursor_key(job_id: str) -> Item:
    return encoded({"pk": "enqueuing", "sk": job_id})


def _cursor(item: Item) -> Cursor:
    values = decoded(item)
    return Cursor(
        values["sk"],
        values["position"],
        values["holder"],
        values["lease_until"],
        values.get("suspect", False),
        values.get("cancelled", False),
    )
