"""Jobs: accepted whole or not at all, and enqueued by one Scheduler at a time.

A job is three items: what stands of it (`job`, id); what its tasks are cut from (`spec`, id), which may be large and
never changes; and (`enqueuing`, id), the cursor and the lease of the Scheduler at work, which goes with the last task
written.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from sosw_runtime.domain.task import Status, task_id
from sosw_runtime.storage.items import Item, decoded, encoded
from sosw_runtime.storage.tables import ConditionFailed, Tables, conditional, query
from sosw_runtime.storage.tasks import find, find_closed, waiting_ids

#: Bytes of a compressed job; the rest of DynamoDB's 400 KB item is left for its other attributes.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
LARGEST_JOB: Final = 380 * 1024


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
    schema_name: str | None = None  # the job schema that it names
    full_blocks: frozenset[int] = frozenset()  # blocks of tasks that are all closed
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
            schema_name=values.get("schema_name"),
            full_blocks=frozenset(values.get("full_blocks", ())),
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
    holder: str  # unique to one run of the Scheduler
    lease_until: int  # ms
    suspect: bool = False  # True: an earlier holder stopped unseen, the batch behind the position may be written


def compress(spec: str) -> bytes:
    """What a job's tasks are cut from, as it is stored."""
    return zlib.compress(spec.encode())


def accept(tables: Tables, record: JobRecord, spec: bytes) -> JobRecord:
    """Accept a job, unless its id is known already; the job that stands under the id in the end.

    One transaction. Cost: 4 write units, and 2 per KB of the spec.
    """
    items = [
        record.to_item(),
        # Of a job that has expired, a spec that is not yet deleted may stand here.
        encoded({"pk": "spec", "sk": record.job_id}) | {"spec": {"B": spec}},
        _cursor_item(Cursor(record.job_id, 0, "", 0)),
    ]
    puts: list[Any] = [{"Put": {"TableName": tables.registry, "Item": item}} for item in items]
    puts[0]["Put"]["ConditionExpression"] = "attribute_not_exists(pk)"
    try:
        conditional(lambda: tables.client.transact_write_items(TransactItems=puts))
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


def spec(tables: Tables, job_id: str) -> str:
    """What an accepted job's tasks are cut from."""
    answer = tables.client.get_item(
        TableName=tables.registry, Key=encoded({"pk": "spec", "sk": job_id}), ConsistentRead=True
    )
    return zlib.decompress(answer["Item"]["spec"]["B"]).decode()


def everyone(tables: Tables) -> Iterator[JobRecord]:
    """Every job that is still kept, in no order. Cost: 0.5 read units per 4 KB, about 15 jobs."""
    items = query(
        tables,
        TableName=tables.registry,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues=encoded({":pk": "job"}),
    )
    return map(JobRecord.from_item, items)


def cursor(tables: Tables, job_id: str) -> Cursor | None:
    """How far a job is enqueued; None once it is enqueued whole."""
    answer = tables.client.get_item(TableName=tables.registry, Key=_cursor_key(job_id), ConsistentRead=True)
    return _cursor(answer["Item"]) if "Item" in answer else None


def hold(tables: Tables, seen: Cursor, holder: str, lease_until: int) -> Cursor | None:
    """Take over a cursor as it was seen; None when somebody was first. Cost: 1 write unit."""
    taken = Cursor(seen.job_id, seen.position, holder, lease_until, suspect=seen.suspect or seen.holder != "")
    return taken if _replace(tables, seen, taken) else None


def advance(tables: Tables, seen: Cursor, position: int) -> Cursor | None:
    """Note that all tasks before `position` are written; None when the cursor was taken over. Cost: 1 write unit."""
    advanced = Cursor(seen.job_id, position, seen.holder, seen.lease_until)
    return advanced if _replace(tables, seen, advanced) else None


def release(tables: Tables, seen: Cursor) -> None:
    """Let the next Scheduler go on at once. Cost: 1 write unit."""
    _replace(tables, seen, replace(seen, holder="", lease_until=0))


def give_up(tables: Tables, job_id: str, holder: str, until: int) -> None:
    """End a holder's lease early, where its last writes are in doubt. Cost: 1 write unit."""
    seen = cursor(tables, job_id)
    if seen is not None and seen.holder == holder:
        _replace(tables, seen, replace(seen, lease_until=until))


def finish(tables: Tables, job_id: str) -> None:
    """Note that a job is enqueued whole. Repeatable. Cost: 1 write unit."""
    tables.client.delete_item(TableName=tables.registry, Key=_cursor_key(job_id))


def enqueuing(tables: Tables) -> list[Cursor]:
    """The jobs that are not enqueued whole. Cost: 0.5 read units per 4 KB, about 25 jobs."""
    items = query(
        tables,
        TableName=tables.registry,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues=encoded({":pk": "enqueuing"}),
    )
    return [_cursor(item) for item in items]


def states(tables: Tables, job: JobRecord, numbers: Sequence[int]) -> dict[int, Status]:
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


def _replace(tables: Tables, seen: Cursor, new: Cursor) -> bool:
    """Put a cursor over the one that was seen."""
    try:
        conditional(
            lambda: tables.client.put_item(
                TableName=tables.registry,
                Item=_cursor_item(new),
                ConditionExpression="holder = :holder AND #position = :position",
                ExpressionAttributeNames={"#position": "position"},
                ExpressionAttributeValues=encoded({":holder": seen.holder, ":position": seen.position}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        )
    except ConditionFailed as failure:
        # A first answer that was lost: the cursor that is found is the new one.
        return failure.found is not None and _cursor(failure.found) == new
    return True


def _cursor_key(job_id: str) -> Item:
    return encoded({"pk": "enqueuing", "sk": job_id})


def _cursor_item(cursor: Cursor) -> Item:
    values: dict[str, Any] = {
        "position": cursor.position,
        "holder": cursor.holder,
        "lease_until": cursor.lease_until,
        "suspect": cursor.suspect or None,
    }
    return _cursor_key(cursor.job_id) | encoded(values)


def _cursor(item: Item) -> Cursor:
    values = decoded(item)
    return Cursor(
        values["sk"], values["position"], values["holder"], values["lease_until"], values.get("suspect", False)
    )
