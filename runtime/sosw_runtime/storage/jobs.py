"""Jobs: accepted whole or not at all, and enqueued by one Scheduler at a time.

A job is three items: what stands of it (`job`, id); what its tasks are cut from (`spec`, id), which may be large and
never changes; and (`enqueuing`, id), the cursor and the lease of the Scheduler at work, which goes with the last task
written. A job that is cancelled meanwhile is marked there: its Scheduler stops, and what is not yet written never is.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from sosw_runtime.domain.task import Status, Task, task_id
from sosw_runtime.storage.items import Item, decoded, encoded
from sosw_runtime.storage.tables import ConditionFailed, Tables, get_batches, registry_part, write
from sosw_runtime.storage.tasks import find, find_closed, waiting_ids

#: Bytes of a compressed job; the rest of DynamoDB's 400 KB item is left for its other attributes.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
LARGEST_JOB: Final = 380 * 1024

#: Tasks that are written before the cursor moves, and so may stand behind it: 20 calls of 25, at once.
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
    source: str  # what asked for it, e.g. the event's id
    fingerprint: str  # of what was asked for: another job under the same id has another
    schema_name: str | None = None  # the job schema that it names
    full_blocks: frozenset[int] = frozenset()  # blocks of tasks that are all closed
    cancelled_at: int | None = None  # ms, once somebody cancelled it: no task of it starts again
    full_groups: frozenset[int] = frozenset()  # of a large job groups of such blocks, in place of the blocks
    closed_at: int | None = None  # ms, once all its tasks were closed
    completed: int | None = None  # tasks by outcome, as it was closed
    dead: int | None = None
    cancelled: int | None = None

    def to_item(self) -> Item:
        """As it is stored when it is accepted."""
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
        """Read what `to_item` wrote, and what its progress added."""
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
    holder: str  # unique to one run of the Scheduler; empty: none
    lease_until: int  # ms
    suspect: bool = False  # True: an earlier holder stopped unseen, the window behind the position may be written
    cancelled: bool = False  # True: somebody cancelled the job, nothing more is to be written

    @property
    def is_at_rest(self) -> bool:
        """Whether exactly the tasks before the position are written, and nobody is at work."""
        return not (self.holder or self.suspect)


def compress(spec: str) -> bytes:
    """What a job's tasks are cut from, as it is stored."""
    return zlib.compress(spec.encode())


def accept(tables: Tables, record: JobRecord, spec: bytes, cursor: Cursor) -> JobRecord:
    """Accept a job, unless its id is known already; the job that stands under the id in the end.

    Whoever has it accepted holds it from then on, by the cursor.
    One transaction. Cost: 4 write units, and 2 per KB of the spec.
    """
    items = [
        record.to_item(),
        # Of a job that has expired, a spec that is not yet deleted may stand here.
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
    """What an accepted job's tasks are cut from; None once it has expired with them."""
    answer = tables.client.get_item(
        TableName=tables.registry, Key=encoded({"pk": "spec", "sk": job_id}), ConsistentRead=True
    )
    return zlib.decompress(answer["Item"]["spec"]["B"]).decode() if "Item" in answer else None


def list_all(tables: Tables) -> Iterator[JobRecord]:
    """Every job that is still kept, in no order. Cost: 0.5 read units per 4 KB, about 15 jobs."""
    return map(JobRecord.from_item, registry_part(tables, "job"))


def cursor(tables: Tables, job_id: str) -> Cursor | None:
    """How far a job is enqueued; None once it is enqueued whole."""
    answer = tables.client.get_item(TableName=tables.registry, Key=_cursor_key(job_id), ConsistentRead=True)
    return _cursor(answer["Item"]) if "Item" in answer else None


def hold(tables: Tables, seen: Cursor, holder: str, lease_until: int) -> Cursor | None:
    """Take over a cursor as it was seen; None when somebody was first. Cost: 1 write unit."""
    return _change(
        tables, seen, replace(seen, holder=holder, lease_until=lease_until, suspect=seen.suspect or seen.holder != "")
    )


def advance(tables: Tables, seen: Cursor, position: int, lease_until: int) -> Cursor | None:
    """Note that all tasks before `position` are written; None when the cursor was taken over. Cost: 1 write unit."""
    return _change(tables, seen, replace(seen, position=position, lease_until=lease_until, suspect=False))


def release(tables: Tables, seen: Cursor) -> None:
    """Let the next Scheduler go on at once. Cost: 1 write unit."""
    _change(tables, seen, replace(seen, holder="", lease_until=0))


def give_up(tables: Tables, job_id: str, holder: str, until: int) -> None:
    """End a holder's lease early, where its last writes are in doubt. Cost: 1 write unit."""
    seen = cursor(tables, job_id)
    if seen is not None and seen.holder == holder:
        _change(tables, seen, replace(seen, lease_until=until))


def cancel(tables: Tables, job_id: str, now: int) -> Cursor | None:
    """Have nothing more of a job written, and no failed task of it tried again; its cursor, None if enqueued whole.

    Repeatable. Cost: 2 write units.
    """
    # The job first: whoever finds the cursor at rest or gone finds the job cancelled.
    _mark(tables, {"pk": "job", "sk": job_id}, "cancelled_at = if_not_exists(cancelled_at, :value)", now)
    item = _mark(tables, {"pk": "enqueuing", "sk": job_id}, "cancelled = :value", True)
    return None if item is None else _cursor(item)


def _mark(tables: Tables, key: Mapping[str, str], change: str, value: int) -> Item | None:
    """Set an attribute of an item that is there; the item as it stands then."""
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


def cancelled(tables: Tables, job_ids: Iterable[str]) -> set[str]:
    """Those of some jobs that somebody cancelled, read consistently. Cost: 1 read unit per 4 KB of each."""
    keys = [encoded({"pk": "job", "sk": job_id}) for job_id in dict.fromkeys(job_ids)]
    found = get_batches(tables, tables.registry, keys, attributes=("sk", "cancelled_at"))
    return {item["sk"]["S"] for item in found if "cancelled_at" in item}


def tasks_before_cursor(tables: Tables, tasks: Sequence[Task]) -> list[Task]:
    """Those of some tasks that their job's cursor has passed: no Scheduler will look any more whether they are written.

    Once true of a task it is true for ever. Only these may return to the queue, see `moves.enqueue_missing`.
    Cost: 1 read unit a job.
    """
    keys = [_cursor_key(job_id) for job_id in dict.fromkeys(task.job_id for task in tasks)]
    cursors = {cursor.job_id: cursor for cursor in map(_cursor, get_batches(tables, tables.registry, keys))}
    return [task for task in tasks if task.job_id not in cursors or task.number < cursors[task.job_id].position]


def fence(tables: Tables, held: Cursor) -> dict[str, Any]:
    """The part of a transaction that fails once a cursor was taken over, or has moved. Cost: 2 write units."""
    return {
        "ConditionCheck": {
            "TableName": tables.registry,
            "Key": _cursor_key(held.job_id),
            "ConditionExpression": "holder = :holder AND #position = :position",
            "ExpressionAttributeNames": {"#position": "position"},
            "ExpressionAttributeValues": encoded({":holder": held.holder, ":position": held.position}),
        }
    }


def finish(tables: Tables, held: Cursor) -> bool:
    """Note that a job is enqueued whole; False if another has taken its cursor over. Repeatable. Cost: 1 write unit.

    A holder that lost the cursor may have failed to write what is missing (`fence`), which the next one still will.
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


def enqueuing(tables: Tables) -> list[Cursor]:
    """The jobs that are not enqueued whole. Cost: 0.5 read units per 4 KB, about 25 jobs."""
    return [_cursor(item) for item in registry_part(tables, "enqueuing")]


def statuses(tables: Tables, job: JobRecord, numbers: Sequence[int]) -> dict[int, Status | str]:
    """Where some tasks of a job stand, by number; those not yet written are left out.

    Closed wins, as a task that is being archived stands in two tables. A task on its way between two tables while they
    are read may be left out as well: ask again.
    """
    ids = {task_id(job.job_id, number): number for number in numbers}
    found = {task.number: task.status for task in find(tables, ids).values()}
    if len(found) < len(ids):
        found |= {ids[waiting]: Status.WAITING for waiting in waiting_ids(tables, job.worker_id) & ids.keys()}
    closed = {task.number: task.status for task in find_closed(tables, ids).values()}
    return found | closed


def _change(tables: Tables, seen: Cursor, new: Cursor) -> Cursor | None:
    """Change a cursor as it was seen; as it stands then, None when somebody was first.

    Whether the job is cancelled is others' to say: it is neither asked for nor changed.
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
        # A first answer that was lost: the cursor that is found is the new one.
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
