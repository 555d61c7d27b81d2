"""The moves of a task, one function each. No other code writes to a task.

A move names its legal source state in its condition. If the condition fails, the move changes nothing and returns so.
Costs are in write units for an item of up to 1 KB (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html).
A transaction takes two units an item and one an index. Larger items multiply all but the index's part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from botocore.exceptions import ClientError

from sosw_runtime.domain.slot import Slot
from sosw_runtime.domain.task import Entry, Error, Move, Note, Rank, Status, Task
from sosw_runtime.storage.items import (
    OUTBOX,
    Item,
    Unreadable,
    due_key,
    encode,
    encode_history,
    encode_note,
    encoded,
    expiry,
    outcome_key,
    salvaged_task,
    task_key,
    to_item,
    to_task,
    to_tasks,
)
from sosw_runtime.storage.tables import (
    ConditionFailed,
    Deadline,
    Tables,
    put_batches,
    put_new,
    write,
    write_by,
)
from sosw_runtime.storage.tasks import find_ids, waiting_ids

_T = TypeVar("_T")

#: Attributes that show whether an unreadable item has changed.
_SEEN_OF_UNREADABLE: Final = ("status", "claim", "queue_rank", "attempt", "closed_at")


@dataclass(frozen=True, slots=True)
class Report:
    """The end of an attempt, as a Worker or Lambda reports it."""

    task_id: str
    completed: bool
    attempt: int | None = None  # None: an unmodified sosw 0.7 Worker
    result: str | None = None  # JSON
    stats: str | None = None  # JSON
    error: Error | None = None
    retryable: bool = True
    retry_after_ms: int | None = None  # from the report until the next attempt; None: as the Worker's policy has it
    never_ran: bool = False
    worker_id: str | None = None  # None: a Worker packaged with version 0.1.0, or one of sosw 0.7
    token: str | None = None  # from the attempt's event
    only_returned: bool = False  # True: Lambda tells that the function returned; a failure that it noted itself wins


@dataclass(frozen=True, slots=True)
class Recorded:
    """The result of a report."""

    accepted: bool
    found: Task | None  # the task before the report; None if it is not in the tasks table, or is unreadable


# --- Scheduler ---------------------------------------------------------------------------------------------------


def enqueue(tables: Tables, tasks: Sequence[Task]) -> bool:
    """Put new tasks into the queue; whether DynamoDB was too busy for some at first. From nothing to queued.

    Not idempotent, as a new task may be claimed at once: after an error use `enqueue_missing`.
    Cost: 2 write units a task (item and index), 25 tasks a call.

    Raises:
        Unavailable, botocore.exceptions.ClientError, BotoCoreError: any part may be written, now or later.
    """
    return put_new(tables, tables.tasks, [to_item(task) for task in tasks])


def delay(tables: Tables, tasks: Sequence[Task]) -> bool:
    """Put new tasks that wait for a time; whether DynamoDB was too busy for some at first. From nothing to waiting.

    Not idempotent, as `enqueue`. Cost: 1 write unit a task, 25 tasks a call.

    Raises:
        Unavailable, botocore.exceptions.ClientError, BotoCoreError: any part may be written, now or later.
    """
    return put_new(tables, tables.retry_tasks, [to_item(task) for task in tasks])


def enqueue_missing(tables: Tables, tasks: Sequence[Task], final_numbers: Set[int], fence: Mapping[str, Any]) -> int:
    """`enqueue` or `delay` the tasks that were never written; how many there were.

    For the window after a cursor whose earlier holder stopped: some of its tasks may be written, and even closed.
    Reading the three tables in the order in which tasks pass through them finds every task that was ever written. No
    move goes the other way: `requeue` and `replay` move only tasks before the cursor.

        T in the tasks ──────── T waits ───────────────────────── T is closed
        read tasks ── read waiting ── read closed: T is in one of them

    Nobody else writes T in between: the fence lets only the present holder write.

    Args:
        tables: of the installation.
        tasks: of the window, of one job.
        final_numbers: numbers that are counted as completed or cancelled; their closed tasks may have expired.
        fence: the condition that fails a transaction once the cursor was taken over (`jobs.fence`).

    Cost: reads of every task in three tables, and of all the Worker's waiting tasks; 7 write units a missing task (item
    and index, two checks), one unit less for one that waits. One transaction a task.
    """
    if not tasks:
        return 0
    ids = [task.task_id for task in tasks]
    written = set(find_ids(tables, tables.tasks, ids))
    written |= waiting_ids(tables, tasks[0].worker_id)
    written |= set(find_ids(tables, tables.closed_tasks, ids))
    missing = [task for task in tasks if task.task_id not in written and task.number not in final_numbers]
    return sum(_put_if_missing(tables, task, fence) for task in missing)


def _put_if_missing(tables: Tables, task: Task, fence: Mapping[str, Any]) -> bool:
    table = tables.retry_tasks if task.status is Status.WAITING else tables.tasks
    return _transact(tables, _insertion_if_new(table, to_item(task)), _absence_check(tables.closed_tasks, task), fence)


# --- Orchestrator ------------------------------------------------------------------------------------------------


def claim(
    tables: Tables, slot: Slot, lease_until: int, deadline: Deadline, *, asks_for_token: bool = False
) -> Task | None:
    """Start an attempt in a slot that was taken for it. From queued to running; the running task.

    With `asks_for_token` a report of the attempt must carry the claim, which the Worker gets in its event.

    Conditional on the rank that the claim saw. No task has the same rank twice, so that an overtaken claim fails,
    however late it arrives:

        A reads T at rank r ── takes a slot ────────────────────────────────── claims T at r: fails
        B:      claims T at r ── AWS refuses the invoke ── T queued again at r'

    Cost: 2 write units (item, and its entry in the index removed).

    Raises:
        NotWritten: the task is unchanged.
        Unavailable: the task may be running, now or later.
        Unreadable: the item is no task that can be started; its slot is to be freed.
    """
    attempt = _rank(slot.task_id, slot.rank).attempt + 1
    update = _Update(
        set_to={
            "status": Status.RUNNING.value,
            "attempt": attempt,
            "slot": slot.index,
            "claim": slot.claim,
            "token": slot.claim if asks_for_token else None,
            "started_at": slot.claimed_at,
            "lease_until": lease_until,
        },
        remove=("queue_key", "queue_rank"),
        entry=Entry(slot.claimed_at, Move.CLAIM, attempt),
    )

    def send(arguments: Any) -> Mapping[str, Any]:
        return write_by(deadline, lambda: tables.brief.update_item(**arguments))

    try:
        return to_task(_update_queued(tables, slot.task_id, slot.rank, update, send))
    except ConditionFailed as failure:
        # The answer to an earlier try was lost: the task already has this claim.
        mine = encoded({"status": Status.RUNNING.value, "claim": slot.claim})
        found = failure.found or {}
        return to_task(found) if mine.items() <= found.items() else None


def _rank(task_id: str, rank: str) -> Rank:
    try:
        return Rank.parse(rank)
    except ValueError as error:
        raise Unreadable({"task_id": encode(task_id)}, f"its queue_rank is {rank!r}") from error


def _update_queued(
    tables: Tables, task_id: str, rank: str, update: _Update, send: Callable[[Any], Mapping[str, Any]]
) -> Item:
    """Change a task that is queued at a rank, by `send` with the arguments of UpdateItem; the item afterwards.

    Raises:
        ConditionFailed: the task is not queued at this rank any more.
        Unreadable: the queued item is no task.
    """
    try:
        answer = send(
            {
                **_key_in(tables.tasks, task_id),
                **update.expression("#status = :queued AND #queue_rank = :rank"),
                "ExpressionAttributeValues": update.values({":queued": Status.QUEUED.value, ":rank": rank}),
                "ReturnValues": "ALL_NEW",
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
        )
    except ConditionFailed as failure:
        found = failure.found or {}
        if found.get("queue_rank") == encode(rank) and found.get("status") != encode(Status.QUEUED.value):
            raise Unreadable(found, f"it is queued, and its status is {found.get('status')}") from failure
        raise
    except ClientError as error:
        # The history is no list. Nothing was written.
        if error.response["Error"]["Code"] == "ValidationException":
            raise Unreadable({"task_id": encode(task_id)}, str(error)) from error
        raise
    return dict(answer["Attributes"])


def unclaim(tables: Tables, task: Task, rank: str, shards: int, now: int, reason: str) -> bool:
    """Undo a claim whose invoke AWS refused. From running to queued, at the head of the priority.

    No Worker got the attempt's number, so that it is used again. Conditional on the claim. Cost: 2 write units.
    """
    place = Rank.parse(rank).returned(now)
    queued_again = replace(task, attempt=task.attempt - 1).unassigned().in_queue(place, shards)
    try:
        write(
            lambda: tables.client.put_item(
                TableName=tables.tasks,
                Item=to_item(queued_again.moved(Move.UNCLAIM, now, reason)),
                ConditionExpression="#status = :running AND claim = :claim",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=encoded({":running": Status.RUNNING.value, ":claim": task.claim}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        )
    except ConditionFailed as failure:
        # The answer to an earlier try was lost: the task already has the new rank.
        return failure.found is not None and failure.found.get("queue_rank") == encode(str(place))
    return True


# --- WorkerAssistant ---------------------------------------------------------------------------------------------


def report(tables: Tables, reported: Report, now: int) -> Recorded:
    """Record the end of an attempt. From running to completed or failed.

    Conditional on the attempt and the Worker, if the report names them; on the attempt's token, if it asks for one;
    and on no noted failure, if the report only says that the function returned:

        attempt 1 runs ── its lease ends ── attempt 2 runs ── attempt 1 reports: refused

    Result and stats that do not fit into the item are replaced by their sizes. Cost: 1 write unit.
    """
    return _write_fitting(lambda fitting: _write_report(tables, fitting, now), reported)


def _write_report(tables: Tables, reported: Report, now: int) -> Recorded:
    status = Status.COMPLETED if reported.completed else Status.FAILED
    update = _Update(
        set_to={
            "status": status.value,
            "finished_at": now,
            "result": reported.result,
            "stats": reported.stats,
            "error": None if reported.error is None else reported.error.to_json(),
            "retryable": None if reported.retryable else False,
            "retry_at": None if reported.retry_after_ms is None else now + reported.retry_after_ms,
            "never_ran": reported.never_ran or None,
        },
        # The error may be an earlier attempt's.
        remove=("note", "error") if reported.completed else ("note",),
        entry=Entry(now, Move.REPORT, reported.attempt or 0, None if reported.completed else status.value),
    )
    condition = "#status = :running"
    named = {"attempt": reported.attempt, "worker_id": reported.worker_id}
    condition += "".join(f" AND {name} = :{name}" for name, value in named.items() if value is not None)
    has_token = "" if reported.token is None else " OR #token = :token"
    condition += f" AND (attribute_not_exists(#token) OR #token <> claim{has_token})"
    if reported.only_returned:
        condition += " AND (attribute_not_exists(#note) OR #note.#claim <> claim OR #note.#completed = :true)"
    values = {
        ":running": Status.RUNNING.value,
        ":token": reported.token,
        ":true": True if reported.only_returned else None,
        **{f":{name}": value for name, value in named.items()},
    }
    try:
        answer = write(
            lambda: tables.client.update_item(
                **_key_in(tables.tasks, reported.task_id),
                **update.expression(condition),
                ExpressionAttributeValues=update.values(values),
                ReturnValues="ALL_OLD",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        )
    except ConditionFailed as failure:
        return Recorded(False, next(to_tasks([] if failure.found is None else [failure.found]), None))
    return Recorded(True, next(to_tasks([answer["Attributes"]]), None))


def note(tables: Tables, task: Task, reported: Report) -> bool:
    """Keep a report without the token of the current attempt. From running to running.

    Anybody could have sent the report, so it does not end the attempt. A Worker with a package older than tokens may
    have sent it, so it is kept. A report with the token always wins over it:

        attempt 1 runs ── is noted completed ── its lease ends ── the Scavenger reports it completed
        attempt 1 runs ── is noted completed ── reports with its token that it failed: failed

    Conditional on the claim; the first note on an attempt stays. Result and stats as in `report`. Cost: 1 write unit.
    """
    return _write_fitting(lambda fitting: _write_note(tables, task, fitting), reported)


def _write_note(tables: Tables, task: Task, reported: Report) -> bool:
    if task.claim is None:
        raise ValueError(f"task {task.task_id} was never claimed")
    noted = Note(
        claim=task.claim,
        completed=reported.completed,
        result=reported.result,
        stats=reported.stats,
        error=None if reported.error is None else reported.error.to_json(),
        retryable=reported.retryable,
        never_ran=reported.never_ran,
    )
    try:
        write(
            lambda: tables.client.update_item(
                **_key_in(tables.tasks, task.task_id),
                UpdateExpression="SET #note = :note",
                ConditionExpression=(
                    "#status = :running AND #claim = :claim AND (attribute_not_exists(#note) OR #note.#claim <> :claim)"
                ),
                ExpressionAttributeNames={"#note": "note", "#status": "status", "#claim": "claim"},
                ExpressionAttributeValues={
                    **encoded({":running": Status.RUNNING.value, ":claim": task.claim}),
                    ":note": encode_note(noted),
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        )
    except ConditionFailed as failure:
        found = None if failure.found is None else to_task(failure.found)
        # Another report, or an earlier try whose answer was lost, has been noted.
        return found is not None and found.status is Status.RUNNING and found.claim == task.claim
    return True


def _write_fitting(record: Callable[[Report], _T], reported: Report) -> _T:
    """Write a report; if it does not fit into the item, replace result and stats by their sizes."""
    try:
        return record(reported)
    except ClientError as error:
        details = error.response["Error"]
        if details["Code"] != "ValidationException" or "size" not in details.get("Message", ""):
            raise
    return record(replace(reported, result=_dropped_size(reported.result), stats=_dropped_size(reported.stats)))


def _dropped_size(text: str | None) -> str | None:
    return None if text is None else json.dumps({"dropped_bytes": len(text.encode())})


# --- Scavenger ---------------------------------------------------------------------------------------------------


def reported_note(task: Task) -> Report:
    """The note on a task's attempt as a report with the attempt's token."""
    if task.noted is None:
        raise ValueError(f"task {task.task_id} has no note")
    noted = task.noted
    return Report(
        task_id=task.task_id,
        completed=noted.completed,
        attempt=task.attempt,
        result=noted.result,
        stats=noted.stats,
        error=None if noted.error is None else Error.from_json(noted.error),
        retryable=noted.retryable,
        never_ran=noted.never_ran,
        token=task.required_token,
    )


def void(tables: Tables, task_id: str, rank: str, now: int) -> bool:
    """Invalidate a claim that took a slot but never updated its task. From queued to queued, with another rank.

    Afterwards the slot may be freed, however late the claim arrives. Conditional on the rank.
    Cost: 3 write units (item, and its entry in the index removed and put).

    Raises:
        Unreadable: the item is no task.
    """
    place = _rank(task_id, rank).returned(now)
    update = _Update(set_to={"queue_rank": str(place)}, remove=(), entry=Entry(now, Move.VOID, place.attempt))

    def send(arguments: Any) -> Mapping[str, Any]:
        return write(lambda: tables.client.update_item(**arguments))

    try:
        _update_queued(tables, task_id, rank, update, send)
    except ConditionFailed as failure:
        # The answer to an earlier try was lost: the task already has the new rank.
        return failure.found is not None and failure.found.get("queue_rank") == encode(str(place))
    return True


def set_aside(tables: Tables, task_id: str, rank: str) -> bool:
    """Take an unreadable item out of the queue. From queued to unreadable. Cost: 2 write units (item and index).

    The command line lists and buries it. Conditional on the rank.
    """
    try:
        write(
            lambda: tables.client.update_item(
                **_key_in(tables.tasks, task_id),
                UpdateExpression="SET #status = :unreadable REMOVE queue_key, queue_rank",
                ConditionExpression="queue_rank = :rank",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues=encoded({":unreadable": Status.UNREADABLE.value, ":rank": rank}),
            )
        )
    except ConditionFailed:
        return False
    return True


def archive(tables: Tables, tasks: Sequence[Task], retention_days: int | None) -> None:
    """Put completed tasks into the closed table, then delete them from the tasks table. From completed to closed.

    The closed item depends on the completed task alone, so that all Scavengers write the same bytes. A completed task
    never changes and its id is never reused, so that neither write needs a condition. Idempotent.
    Cost: 2 write units a task (closed item, delete), 25 tasks a call.

    Raises:
        Unavailable: any part may be written; repeat it.
    """
    closed = [_closed_task(task, Status.COMPLETED, Move.ARCHIVE, task.finished_at or 0) for task in tasks]
    put_batches(
        tables,
        tables.closed_tasks,
        [_put_request(to_item(task, expiry(task.closed_at or 0, retention_days))) for task in closed],
    )
    put_batches(tables, tables.tasks, [{"DeleteRequest": {"Key": task_key(task.task_id)}} for task in tasks])


def retry(tables: Tables, task: Task, due_at: int, now: int, reason: str, *, spare: bool) -> bool:
    """Let a task wait for its next attempt. From failed, or running with an ended lease, to waiting.

    One transaction, conditional on the claim and the status, and for a running task on no note: an earlier report or
    Scavenger wins. Cost: 4 write units.
    """
    waiting = replace(task.unassigned(), status=Status.WAITING, due_at=due_at, spared=task.spared + int(spare))
    return _transact(
        tables,
        _deletion(tables, task),
        _insertion(tables.retry_tasks, to_item(waiting.moved(Move.RETRY, now, reason))),
    )


def die(tables: Tables, task: Task, now: int, reason: str) -> Task | None:
    """Make a task dead, in the outbox. From failed, running with an ended lease, or waiting, to dead; the dead task.

    A dead task is kept until it is replayed or cancelled, whatever the retention of completed tasks.
    One transaction, conditional on the state that was seen. Cost: 6 write units (item and two indexes, delete).
    """
    dead = replace(_closed_task(task, Status.DEAD, Move.DIE, now, reason), in_outbox=True)
    died = _transact(tables, _deletion(tables, task), _insertion(tables.closed_tasks, to_item(dead)))
    return dead if died else None


def requeue(tables: Tables, task: Task, shards: int, now: int) -> bool:
    """Queue a due task. From waiting to queued, at the head of its priority.

    Only for a task before its job's cursor (`jobs.tasks_before_cursor`), see `enqueue_missing`.
    One transaction. Cost: 5 write units (item and index, delete).
    """
    place = Rank(task.priority, fresh=False, time=now, sequence=task.attempt)
    queued_again = task.unassigned().in_queue(place, shards).moved(Move.REQUEUE, now)
    return _transact(
        tables, _deletion_from_waiting(tables, task), _insertion_if_new(tables.tasks, to_item(queued_again))
    )


def announce(tables: Tables, task: Task, now: int, retention_days: int | None) -> bool:
    """Take a task out of the outbox, once it is alarmed and counted in its job. From dead or cancelled to the same.

    A cancelled task may expire from then on. A dead one is kept until it is replayed or cancelled.
    Idempotent. Cost: 2 write units (item, its entry in the index `outbox` removed).
    """
    expires_at = expiry(task.closed_at or 0, retention_days) if task.status is Status.CANCELLED else None
    update = _Update(
        set_to={"expires_at": expires_at}, remove=("outbox",), entry=Entry(now, Move.ANNOUNCE, task.attempt)
    )
    try:
        write(
            lambda: tables.client.update_item(
                **_key_in(tables.closed_tasks, task.task_id),
                **update.expression("outbox = :outbox AND closed_at = :closed_at"),
                ExpressionAttributeValues=update.values({":outbox": OUTBOX, ":closed_at": task.closed_at}),
            )
        )
    except ConditionFailed:
        return False
    return True


# --- command line ------------------------------------------------------------------------------------------------


def cancel(tables: Tables, task: Task, now: int, reason: str) -> bool:
    """Cancel a task. From queued, waiting, failed, running with an ended lease, or dead, to cancelled, in the outbox.

    Conditional on the state that was seen. One transaction; for a dead task one update.
    Cost: 7 write units when queued (item, index, item and two indexes), 6 when waiting, failed or running with an ended
    lease, 4 when dead (item, indexes).
    """
    if task.status is Status.DEAD:
        return _cancel_dead(tables, task, now, reason)
    cancelled = replace(_closed_task(task, Status.CANCELLED, Move.CANCEL, now, reason), in_outbox=True)
    return _transact(tables, _deletion(tables, task), _insertion(tables.closed_tasks, to_item(cancelled)))


def _cancel_dead(tables: Tables, task: Task, now: int, reason: str) -> bool:
    update = _Update(
        set_to={
            "status": Status.CANCELLED.value,
            "outcome_key": outcome_key(task.worker_id, Status.CANCELLED),
            "closed_at": now,
            "outbox": OUTBOX,
        },
        remove=(),
        entry=Entry(now, Move.CANCEL, task.attempt, reason),
    )
    try:
        write(
            lambda: tables.client.update_item(
                **_key_in(tables.closed_tasks, task.task_id),
                **update.expression("#status = :dead AND #closed_at = :seen"),
                ExpressionAttributeValues=update.values({":dead": Status.DEAD.value, ":seen": task.closed_at}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        )
    except ConditionFailed as failure:
        # The answer to an earlier try was lost: the last entry of the history is this move's.
        return failure.found is not None and failure.found["history"]["L"][-1:] == encode_history([update.entry])["L"]
    return True


def replay(tables: Tables, task: Task, shards: int, now: int) -> bool:
    """Give a dead task a new allowance of attempts. From dead to queued, at the head of its priority.

    The attempt number keeps rising, so that none is used twice. Only for a task before its job's cursor
    (`jobs.tasks_before_cursor`), see `enqueue_missing`. One transaction, conditional on this death.
    Cost: 6 write units.
    """
    place = Rank(task.priority, fresh=False, time=now, sequence=task.attempt)
    queued_again = replace(task, spared=task.attempt).unassigned().in_queue(place, shards)
    source = {
        "Delete": {
            **_key_in(tables.closed_tasks, task.task_id),
            "ConditionExpression": "#status = :dead AND closed_at = :closed_at",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": encoded({":dead": Status.DEAD.value, ":closed_at": task.closed_at}),
        }
    }
    put = _insertion_if_new(tables.tasks, to_item(queued_again.moved(Move.REPLAY, now)))
    return _transact(tables, source, put)


def bury(tables: Tables, unreadable: Unreadable, now: int) -> bool:
    """Turn an unreadable item into a dead task. From unreadable, in any table, to dead, in the outbox.

    The dead task has the whole item as its payload. One transaction, conditional on the item as it was seen.
    Cost: 6 write units (item and two indexes, delete), 7 when queued, 5 where it is dead already (item and indexes).
    """
    item = unreadable.item
    seen = [name for name in _SEEN_OF_UNREADABLE if name in item]
    absent = [name for name in _SEEN_OF_UNREADABLE if name not in item]
    condition = {
        "ConditionExpression": " AND ".join(
            [*(f"#{name} = :{name}" for name in seen), *(f"attribute_not_exists(#{name})" for name in absent)]
        ),
        "ExpressionAttributeNames": {f"#{name}": name for name in _SEEN_OF_UNREADABLE},
        **({"ExpressionAttributeValues": {f":{name}": item[name] for name in seen}} if seen else {}),
    }
    dead = _closed_task(salvaged_task(unreadable), Status.DEAD, Move.BURY, now, str(unreadable))
    put = _insertion(tables.closed_tasks, to_item(replace(dead, in_outbox=True)))
    if "closed_at" in item:
        return _transact(tables, {"Put": {**put["Put"], **condition}})
    waits = "due" in item
    key = {name: item[name] for name in (("worker_id", "due") if waits else ("task_id",))}
    source = {"Delete": {"TableName": tables.retry_tasks if waits else tables.tasks, "Key": key, **condition}}
    return _transact(tables, source, put)


# --- parts of a write --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Update:
    """An update that also appends to the history. Every name has a placeholder, as many are reserved words."""

    set_to: Mapping[str, str | int | None]  # None: unchanged
    remove: Sequence[str]
    entry: Entry

    def expression(self, condition: str) -> dict[str, Any]:
        names = [name for name, value in self.set_to.items() if value is not None]
        sets = [*(f"#{name} = :{name}" for name in names), "#history = list_append(#history, :entry)"]
        text = f"SET {', '.join(sets)}"
        if self.remove:
            text += f" REMOVE {', '.join(f'#{name}' for name in self.remove)}"
        placed = {*names, *self.remove, "history", *re.findall(r"#(\w+)", condition)}
        return {
            "UpdateExpression": text,
            "ConditionExpression": condition,
            "ExpressionAttributeNames": {f"#{name}": name for name in sorted(placed)},
        }

    def values(self, conditions: Mapping[str, str | int | None]) -> Item:
        placed = {f":{name}": value for name, value in self.set_to.items()}
        return encoded({**placed, **conditions}) | {":entry": encode_history([self.entry])}


def _transact(tables: Tables, *writes: Mapping[str, Any]) -> bool:
    """Send one transaction; whether its conditions held. botocore retries with the same token, so that it acts once."""
    items: Any = list(writes)
    try:
        write(lambda: tables.client.transact_write_items(TransactItems=items))
    except ConditionFailed:
        return False
    return True


def _deletion(tables: Tables, task: Task) -> dict[str, Any]:
    """The deletion of a task from its table, conditional on the rank, the wait or the claim that was seen."""
    match task.status:
        case Status.WAITING:
            return _deletion_from_waiting(tables, task)
        case Status.QUEUED:
            return _deletion_from_tasks(tables, task, "queue_rank", task.queue_rank)
    delete = _deletion_from_tasks(tables, task, "claim", task.claim)
    if task.status is Status.RUNNING:
        # The task may have been read before it was noted: a note must be reported first.
        delete["Delete"]["ConditionExpression"] += " AND (attribute_not_exists(#note) OR #note.#claim <> :seen)"
        delete["Delete"]["ExpressionAttributeNames"] |= {"#note": "note", "#claim": "claim"}
    return delete


def _deletion_from_tasks(tables: Tables, task: Task, name: str, value: str | None) -> dict[str, Any]:
    return {
        "Delete": {
            **_key_in(tables.tasks, task.task_id),
            "ConditionExpression": f"#status = :status AND {name} = :seen",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": encoded({":status": str(task.status), ":seen": value}),
        }
    }


def _deletion_from_waiting(tables: Tables, task: Task) -> dict[str, Any]:
    if task.due_at is None:
        raise ValueError(f"task {task.task_id} does not wait")
    return {
        "Delete": {
            "TableName": tables.retry_tasks,
            "Key": encoded({"worker_id": task.worker_id, "due": due_key(task.due_at, task.task_id)}),
            "ConditionExpression": "attribute_exists(due)",
        }
    }


def _insertion(table: str, item: Item) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": item}}


def _insertion_if_new(table: str, item: Item) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(task_id)"}}


def _absence_check(table: str, task: Task) -> dict[str, Any]:
    return {"ConditionCheck": {**_key_in(table, task.task_id), "ConditionExpression": "attribute_not_exists(task_id)"}}


def _put_request(item: Item) -> dict[str, Any]:
    return {"PutRequest": {"Item": item}}


def _closed_task(task: Task, status: Status, move: Move, at: int, reason: str | None = None) -> Task:
    """The closed form of a task. Of its last attempt's times, `started_at` and `duration_ms` stay."""
    ended = task.finished_at or at
    duration = None if task.started_at is None else ended - task.started_at
    closed_task = replace(
        task.out_of_queue(),
        status=status,
        closed_at=at,
        duration_ms=duration,
        finished_at=None,
        claim=None,
        token=None,
        note=None,
        lease_until=None,
        retry_at=None,
        due_at=None,
    )
    return closed_task.moved(move, at, reason)


def _key_in(table: str, task_id: str) -> dict[str, Any]:
    return {"TableName": table, "Key": task_key(task_id)}
