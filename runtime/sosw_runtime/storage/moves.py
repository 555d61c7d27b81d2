"""The moves of a task: one function each, and no other write to a task anywhere.

A move names its legal source state in its condition. Found otherwise, it does nothing and says so in its return value.
Costs are in write units for an item of up to 1 KB (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html),
of which a transaction takes two an item and one an index; larger items multiply all but the index's part.
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

Outcome = TypeVar("Outcome")

#: Attributes by which an item that cannot be read is known to stand as it was seen.
_SEEN_OF_UNREADABLE: Final = ("status", "claim", "queue_rank", "attempt", "closed_at")


@dataclass(frozen=True, slots=True)
class Report:
    """What a Worker, or Lambda on its behalf, says of an attempt."""

    task_id: str
    completed: bool
    attempt: int | None = None  # None: an unmodified sosw 0.7 Worker
    result: str | None = None  # JSON
    stats: str | None = None  # JSON
    error: Error | None = None
    retryable: bool = True
    never_ran: bool = False
    worker_id: str | None = None  # None: a Worker packaged with version 0.1.0, or one of sosw 0.7
    token: str | None = None  # as the attempt's event had it
    only_returned: bool = False  # Lambda says that the function returned; what it said itself of its task counts more


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a report."""

    accepted: bool
    found: Task | None  # the task before the report; None when it is not among the running ones, or cannot be read


# --- Scheduler ---------------------------------------------------------------------------------------------------


def enqueue(tables: Tables, tasks: Sequence[Task]) -> bool:
    """Put new tasks into the queue; whether DynamoDB was too busy for some at first. From nothing to queued.

    Not repeatable, as any of them may be claimed at once: after an error, `enqueue_missing`.
    Cost: 2 write units a task (item and index), 25 tasks a call.

    Raises:
        Unavailable, botocore.exceptions.ClientError, BotoCoreError: any part may be written, or be on its way.
    """
    return put_new(tables, tables.tasks, [to_item(task) for task in tasks])


def delay(tables: Tables, tasks: Sequence[Task]) -> bool:
    """Put new tasks among those that wait for a time; whether DynamoDB was too busy at first. From nothing to waiting.

    Not repeatable, as `enqueue`. Cost: 1 write unit a task, 25 tasks a call.

    Raises:
        Unavailable, botocore.exceptions.ClientError, BotoCoreError: any part may be written, or be on its way.
    """
    return put_new(tables, tables.retry_tasks, [to_item(task) for task in tasks])


def enqueue_missing(tables: Tables, tasks: Sequence[Task], finished: Set[int], fence: Mapping[str, Any]) -> int:
    """`enqueue` or `delay` those tasks that were never written; how many there were.

    For the window behind a cursor whose earlier holder stopped: some of its tasks may be written, and even closed. A
    task that was ever written is found by reading the three tables in the order in which tasks pass through them, since
    nothing takes it the other way: `requeue` and `replay` leave alone what the cursor has not passed.

        T in the tasks ──────── T waits ───────────────────────── T is closed
        read tasks ── read waiting ── read closed: T is in one of them

    Nor can it be written in between: the fence lets the present holder alone write.

    Args:
        tables: of the installation.
        tasks: of the window, of one job.
        finished: numbers that are counted as completed or cancelled, whose closed tasks may have expired.
        fence: the part of a transaction that fails once the cursor was taken over (`jobs.fence`).

    Cost: reads of every task in three tables, and of all that waits for the Worker; 7 write units a missing task (item
    and index, two checks), one unit less for one that waits. One transaction a task.
    """
    if not tasks:
        return 0
    ids = [task.task_id for task in tasks]
    written = set(find_ids(tables, tables.tasks, ids))
    written |= waiting_ids(tables, tasks[0].worker_id)
    written |= set(find_ids(tables, tables.closed_tasks, ids))
    missing = [task for task in tasks if task.task_id not in written and task.number not in finished]
    return sum(_put_if_missing(tables, task, fence) for task in missing)


def _put_if_missing(tables: Tables, task: Task, fence: Mapping[str, Any]) -> bool:
    table = tables.retry_tasks if task.status is Status.WAITING else tables.tasks
    return _transfer(tables, _transact_put_new(table, to_item(task)), _is_not_in(tables.closed_tasks, task), fence)


# --- Orchestrator ------------------------------------------------------------------------------------------------


def claim(
    tables: Tables, slot: Slot, lease_until: int, deadline: Deadline | None = None, *, require_token: bool = False
) -> Task | None:
    """Start an attempt in a slot that was taken for it. From queued to running; the task as it runs.

    With `require_token` a report of the attempt must carry the claim, which the event hands to the Worker.

    Conditional on the rank that the claim saw. No task has the same rank twice, so that a claim which was overtaken
    fails, however late it arrives:

        A reads T at rank r ── takes a slot ────────────────────────────────── claims T at r: fails
        B:      claims T at r ── AWS refuses the invoke ── T queued again at r'

    Cost: 2 write units (item, and its entry in the index removed).

    Raises:
        NotWritten: the task is as it was.
        Unavailable: it runs, or not, or may still be started.
        Unreadable: the task was claimed, and is none that can be started; its slot is to be freed.
    """
    attempt = _parsed_rank(slot.task_id, slot.rank).attempt + 1
    update = _Update(
        set_to={
            "status": Status.RUNNING.value,
            "attempt": attempt,
            "slot": slot.index,
            "claim": slot.claim,
            "token": slot.claim if require_token else None,
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
        # A first answer that was lost: the claim that is found is this one.
        mine = encoded({"status": Status.RUNNING.value, "claim": slot.claim})
        found = failure.found or {}
        return to_task(found) if mine.items() <= found.items() else None


def _parsed_rank(task_id: str, rank: str) -> Rank:
    try:
        return Rank.parse(rank)
    except ValueError as error:
        raise Unreadable({"task_id": encode(task_id)}, f"its queue_rank is {rank!r}") from error


def _update_queued(
    tables: Tables, task_id: str, rank: str, update: _Update, send: Callable[[Any], Mapping[str, Any]]
) -> Item:
    """Change a task that is queued at a rank, by `send` with the arguments of UpdateItem; the item as it stands then.

    Raises:
        ConditionFailed: it does not stand there any more.
        Unreadable: an item stands there that is no task.
    """
    try:
        answer = send(
            {
                **_at(tables.tasks, task_id),
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
        # The history is no list, and nothing was written.
        if error.response["Error"]["Code"] == "ValidationException":
            raise Unreadable({"task_id": encode(task_id)}, str(error)) from error
        raise
    return dict(answer["Attributes"])


def unclaim(tables: Tables, task: Task, rank: str, shards: int, now: int, reason: str) -> bool:
    """Take back a claim whose invoke AWS refused. From running to queued, at the head; the attempt is given back.

    Nobody was handed the attempt's number, so that it may be used again. Conditional on the claim.
    Cost: 2 write units.
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
        # A first answer that was lost: the place in the queue that is found is the new one.
        return failure.found is not None and failure.found.get("queue_rank") == encode(str(place))
    return True


# --- WorkerAssistant ---------------------------------------------------------------------------------------------


def report(tables: Tables, reported: Report, now: int) -> Recorded:
    """Record the end of an attempt. From running to completed or failed.

    Conditional on the attempt and the Worker, where the report names them, on the attempt's token, if it asks for one,
    and on no noted failure, if the report only says that the function returned:

        attempt 1 runs ── its lease ends ── attempt 2 runs ── attempt 1 reports: refused

    Result and stats for which the item has no room are replaced by their sizes: finished work counts without them.
    Cost: 1 write unit.
    """
    return _fitting(lambda fitting: _report(tables, fitting, now), reported)


def _report(tables: Tables, reported: Report, now: int) -> Recorded:
    status = Status.COMPLETED if reported.completed else Status.FAILED
    update = _Update(
        set_to={
            "status": status.value,
            "finished_at": now,
            "result": reported.result,
            "stats": reported.stats,
            "error": None if reported.error is None else reported.error.to_json(),
            "retryable": None if reported.retryable else False,
            "never_ran": reported.never_ran or None,
        },
        # The error of an earlier attempt is no property of one that completed.
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
                **_at(tables.tasks, reported.task_id),
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
    """Keep a report that lacks the token of the current attempt. From running to running.

    Anybody could have sent it, so that it ends nothing; and a Worker that was packaged before there were tokens may
    have, so that it is not lost. A report with the token wins over it at any time:

        attempt 1 runs ── is noted completed ── its lease ends ── the Scavenger reports it completed
        attempt 1 runs ── is noted completed ── reports with its token that it failed: failed

    Conditional on the claim; the first note on an attempt stays. Result and stats as of `report`. Cost: 1 write unit.
    """
    return _fitting(lambda fitting: _note(tables, task, fitting), reported)


def _note(tables: Tables, task: Task, reported: Report) -> bool:
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
                **_at(tables.tasks, task.task_id),
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
        # Noted before: by another, or by this call, whose first answer was lost.
        return found is not None and found.status is Status.RUNNING and found.claim == task.claim
    return True


def _fitting(record: Callable[[Report], Outcome], reported: Report) -> Outcome:
    """Write a report; if the item has no room for it, with the sizes of result and stats in their place."""
    try:
        return record(reported)
    except ClientError as error:
        details = error.response["Error"]
        if details["Code"] != "ValidationException" or "size" not in details.get("Message", ""):
            raise
    return record(replace(reported, result=_size_of(reported.result), stats=_size_of(reported.stats)))


def _size_of(text: str | None) -> str | None:
    return None if text is None else json.dumps({"dropped_bytes": len(text.encode())})


# --- Scavenger ---------------------------------------------------------------------------------------------------


def reported_note(task: Task) -> Report:
    """What is noted of a task's attempt, as a report with the token that the note lacked."""
    if task.noted is None:
        raise ValueError(f"nothing is noted of task {task.task_id}")
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

    After it the slot may be freed, with no assumption on how late the claim arrives. Conditional on the rank.
    Cost: 3 write units (item, and its entry in the index removed and put).

    Raises:
        Unreadable: the item is no task.
    """
    place = _parsed_rank(task_id, rank).returned(now)
    update = _Update(set_to={"queue_rank": str(place)}, remove=(), entry=Entry(now, Move.VOID, place.attempt))

    def send(arguments: Any) -> Mapping[str, Any]:
        return write(lambda: tables.client.update_item(**arguments))

    try:
        _update_queued(tables, task_id, rank, update, send)
    except ConditionFailed as failure:
        # A first answer that was lost: the place in the queue that is found is the new one.
        return failure.found is not None and failure.found.get("queue_rank") == encode(str(place))
    return True


def set_aside(tables: Tables, task_id: str, rank: str) -> bool:
    """Take an item that is no task out of the queue. From queued to unreadable. Cost: 2 write units (item and index).

    People find it by the command line, and bury it. Conditional on the rank.
    """
    try:
        write(
            lambda: tables.client.update_item(
                **_at(tables.tasks, task_id),
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
    """Put completed tasks into the closed table, then take them out of the tasks. From completed to closed.

    The closed item is a function of the completed task alone, so that any number of Scavengers write the same bytes; a
    completed task never changes and its id is never used again, so that neither half needs a condition.
    Cost: 2 write units a task (closed item, delete), 25 tasks a call.

    Raises:
        Unavailable: any part may have been written; repeat it.
    """
    closed = [_closed(task, Status.COMPLETED, Move.ARCHIVE, task.finished_at or 0) for task in tasks]
    put_batches(
        tables,
        tables.closed_tasks,
        [_put(to_item(task, expiry(task.closed_at or 0, retention_days))) for task in closed],
    )
    put_batches(tables, tables.tasks, [{"DeleteRequest": {"Key": task_key(task.task_id)}} for task in tasks])


def retry(tables: Tables, task: Task, due_at: int, now: int, reason: str, *, spare: bool) -> bool:
    """Let a failed attempt wait for its next try. From failed, or running with an ended lease, to waiting.

    One transaction, conditional on the claim and the status, and of a running task on no note: a report or another
    Scavenger that was first wins. Cost: 4 write units.
    """
    waiting = replace(task.unassigned(), status=Status.WAITING, due_at=due_at, spared=task.spared + int(spare))
    return _transfer(
        tables,
        _delete_open(tables, task),
        _transact_put(tables.retry_tasks, to_item(waiting.moved(Move.RETRY, now, reason))),
    )


def die(tables: Tables, task: Task, now: int, reason: str) -> Task | None:
    """Bury a task, into the outbox. From failed, running with an ended lease, or waiting, to dead; the dead task.

    It is kept until it is replayed, however long completed tasks are kept.
    One transaction, conditional on the place where it was seen. Cost: 6 write units (item and two indexes, delete).
    """
    dead = replace(_closed(task, Status.DEAD, Move.DIE, now, reason), in_outbox=True)
    buried = _transfer(tables, _delete_open(tables, task), _transact_put(tables.closed_tasks, to_item(dead)))
    return dead if buried else None


def requeue(tables: Tables, task: Task, shards: int, now: int) -> bool:
    """Queue a task whose time has come. From waiting to queued, at the head of its priority.

    Only for a task before its job's cursor (`jobs.tasks_before_cursor`), see `enqueue_missing`.
    One transaction. Cost: 5 write units (item and index, delete).
    """
    place = Rank(task.priority, fresh=False, time=now, sequence=task.attempt)
    queued_again = task.unassigned().in_queue(place, shards).moved(Move.REQUEUE, now)
    return _transfer(tables, _delete_waiting(tables, task), _transact_put_new(tables.tasks, to_item(queued_again)))


def announce(tables: Tables, task: Task, now: int, retention_days: int | None) -> bool:
    """Take a task out of the outbox: alarmed, and counted in its job. From dead or cancelled to the same.

    From then on a cancelled one may expire; a dead one is kept until it is replayed or cancelled.
    Repeated, it changes nothing. Cost: 2 write units (item, its entry in the index `outbox` removed).
    """
    expires_at = expiry(task.closed_at or 0, retention_days) if task.status is Status.CANCELLED else None
    update = _Update(
        set_to={"expires_at": expires_at}, remove=("outbox",), entry=Entry(now, Move.ANNOUNCE, task.attempt)
    )
    try:
        write(
            lambda: tables.client.update_item(
                **_at(tables.closed_tasks, task.task_id),
                **update.expression("outbox = :outbox AND closed_at = :closed_at"),
                ExpressionAttributeValues=update.values({":outbox": OUTBOX, ":closed_at": task.closed_at}),
            )
        )
    except ConditionFailed:
        return False
    return True


# --- command line ------------------------------------------------------------------------------------------------


def cancel(tables: Tables, task: Task, now: int, reason: str) -> bool:
    """Give a task up that will not start any more. From any state but running in its lease and closed, or from dead.

    To cancelled, into the outbox. Conditional on the place where the task was seen. One transaction, of a dead one an
    update. Cost: 7 write units when queued (item, index, item and two indexes), 6 when waiting, failed or running with
    an ended lease, 4 when dead (item, indexes).
    """
    if task.status is Status.DEAD:
        return _cancel_dead(tables, task, now, reason)
    cancelled = replace(_closed(task, Status.CANCELLED, Move.CANCEL, now, reason), in_outbox=True)
    return _transfer(tables, _delete_open(tables, task), _transact_put(tables.closed_tasks, to_item(cancelled)))


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
                **_at(tables.closed_tasks, task.task_id),
                **update.expression("#status = :dead AND #closed_at = :seen"),
                ExpressionAttributeValues=update.values({":dead": Status.DEAD.value, ":seen": task.closed_at}),
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        )
    except ConditionFailed as failure:
        # A first answer that was lost: the entry that is found last is this one.
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
            **_at(tables.closed_tasks, task.task_id),
            "ConditionExpression": "#status = :dead AND closed_at = :closed_at",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": encoded({":dead": Status.DEAD.value, ":closed_at": task.closed_at}),
        }
    }
    put = _transact_put_new(tables.tasks, to_item(queued_again.moved(Move.REPLAY, now)))
    return _transfer(tables, source, put)


def bury(tables: Tables, unreadable: Unreadable, now: int) -> bool:
    """Give up an item that cannot be read. From unreadable, in whichever table, to dead, into the outbox.

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
    dead = _closed(salvaged_task(unreadable), Status.DEAD, Move.BURY, now, str(unreadable))
    put = _transact_put(tables.closed_tasks, to_item(replace(dead, in_outbox=True)))
    if "closed_at" in item:
        return _transfer(tables, {"Put": {**put["Put"], **condition}})
    waits = "due" in item
    key = {name: item[name] for name in (("worker_id", "due") if waits else ("task_id",))}
    source = {"Delete": {"TableName": tables.retry_tasks if waits else tables.tasks, "Key": key, **condition}}
    return _transfer(tables, source, put)


# --- parts of a write --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Update:
    """An update that also appends to the history. Every name goes through a placeholder: many are reserved words."""

    set_to: Mapping[str, str | int | None]  # None: left as it is
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


def _transfer(tables: Tables, *writes: Mapping[str, Any]) -> bool:
    """One transaction. botocore sends a repeated try with the same token, so that it is done once."""
    items: Any = list(writes)
    try:
        write(lambda: tables.client.transact_write_items(TransactItems=items))
    except ConditionFailed:
        return False
    return True


def _delete_open(tables: Tables, task: Task) -> dict[str, Any]:
    """Take a task away from where it was seen: its place in the queue, its wait or its attempt."""
    match task.status:
        case Status.WAITING:
            return _delete_waiting(tables, task)
        case Status.QUEUED:
            return _delete_seen(tables, task, "queue_rank", task.queue_rank)
    delete = _delete_seen(tables, task, "claim", task.claim)
    if task.status is Status.RUNNING:
        # What lags may not show a note: an attempt with one ends by `report_noted`.
        delete["Delete"]["ConditionExpression"] += " AND (attribute_not_exists(#note) OR #note.#claim <> :seen)"
        delete["Delete"]["ExpressionAttributeNames"] |= {"#note": "note", "#claim": "claim"}
    return delete


def _delete_seen(tables: Tables, task: Task, name: str, value: str | None) -> dict[str, Any]:
    return {
        "Delete": {
            **_at(tables.tasks, task.task_id),
            "ConditionExpression": f"#status = :status AND {name} = :seen",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": encoded({":status": str(task.status), ":seen": value}),
        }
    }


def _delete_waiting(tables: Tables, task: Task) -> dict[str, Any]:
    if task.due_at is None:
        raise ValueError(f"task {task.task_id} does not wait")
    return {
        "Delete": {
            "TableName": tables.retry_tasks,
            "Key": encoded({"worker_id": task.worker_id, "due": due_key(task.due_at, task.task_id)}),
            "ConditionExpression": "attribute_exists(due)",
        }
    }


def _transact_put(table: str, item: Item) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": item}}


def _transact_put_new(table: str, item: Item) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(task_id)"}}


def _is_not_in(table: str, task: Task) -> dict[str, Any]:
    return {"ConditionCheck": {**_at(table, task.task_id), "ConditionExpression": "attribute_not_exists(task_id)"}}


def _put(item: Item) -> dict[str, Any]:
    return {"PutRequest": {"Item": item}}


def _closed(task: Task, status: Status, move: Move, at: int, reason: str | None = None) -> Task:
    """A task as it is closed; of its last attempt's times `started_at` and `duration_ms` stay."""
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
        due_at=None,
    )
    return closed_task.moved(move, at, reason)


def _at(table: str, task_id: str) -> dict[str, Any]:
    return {"TableName": table, "Key": task_key(task_id)}
