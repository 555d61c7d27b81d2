"""Scavenger: archives what completed, retries or buries what failed, and puts right whatever was left half-way."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final

from sosw_runtime import aws, telemetry
from sosw_runtime.domain.registration import Registration, RetryPolicy
from sosw_runtime.domain.retry import Die, decide
from sosw_runtime.domain.task import REPORTED, Status, Task
from sosw_runtime.errors import Unavailable
from sosw_runtime.essentials import closing
from sosw_runtime.essentials.invocation import Invocation, LambdaContext, is_stream, written_tasks
from sosw_runtime.essentials.tally import Tally, do_batch, done
from sosw_runtime.storage import jobs, registry, slots, tasks
from sosw_runtime.storage.jobs import Cursor
from sosw_runtime.storage.registry import Standing
from sosw_runtime.storage.slots import Slot

#: How long a report may wait for its record, and a slot for its claim, before the tick looks into it, in ms.
GRACE_MS: Final = 15_000

#: Workers and chores that are looked after at once.
_AT_ONCE: Final = 8
_CALLS_AT_ONCE: Final = 8

#: Waiting tasks that are held in memory.
_DUE_AT_ONCE: Final = 200

logger = telemetry.logger("scavenger")


def handler(event: dict[str, Any], context: LambdaContext | None) -> dict[str, Any]:
    """Settle the reports of a batch of the stream, or on the tick look after everything.

    Args:
        event: a batch of the tasks table's stream; anything else is the tick.
        context: Lambda's.

    Returns:
        Counts of `Archived`, `Retried`, `DeadTasks`, `Requeued`, `Freed`, `Alarms`, `Resumed`, `Failures`, `Outages`.

    Raises:
        Unavailable: an outage of AWS kept a part of a batch from being settled, all else is. Lambda hands the batch
            over again until it passes, which repeats nothing that is done. What failed for another reason holds up no
            records behind it: the tick looks at it again.
    """
    invocation = Invocation.begin(context)
    tally = on_stream(invocation, event["Records"]) if is_stream(event) else on_tick(invocation)
    telemetry.count("scavenger", invocation.settings.name, tally)
    if is_stream(event) and tally["Outages"] > 0:
        raise Unavailable(f"batch of {len(event['Records'])} records: {tally['Outages']} failed")
    return dict(tally)


def on_stream(invocation: Invocation, records: Iterable[Mapping[str, Any]]) -> Tally:
    """Settle the tasks that have just reported."""
    # Each once, since DynamoDB takes no batch that names an item twice.
    reported = list({task.task_id: task for task in written_tasks(records) if task.status in REPORTED}.values())
    failed = (task.worker_id for task in reported if task.status is Status.FAILED)
    standings = registry.standing(invocation.tables, failed)
    return _settled(invocation, reported, standings)


def on_tick(invocation: Invocation) -> Tally:
    """Look after every slot and what was left half-way, then queue what is due, of which there may be a backlog."""
    standings = registry.standings(invocation.tables)
    # Shuffled, so that Workers with much to do are not always in front of the same others.
    random.shuffle(standings)

    def at_once(work: Iterable[Callable[[], Tally]]) -> Tally:
        return done(lambda part: part(), work, _AT_ONCE, logger, "not looked after")

    return (
        at_once(
            [
                partial(closing.outbox_announced, invocation),
                partial(closing.jobs_closed, invocation),
                partial(closing.look_after_grouped_jobs, invocation),
                partial(_jobs_resumed, invocation),
                *(partial(_slots_mended, invocation, standing) for standing in standings),
            ]
        )
        + at_once([partial(_swept, invocation, standings)])
        + at_once(partial(_requeued, invocation, standing) for standing in standings)
    )


# --- what reported, and what never will ----------------------------------------------------------------------------


def _settled(invocation: Invocation, ended: Sequence[Task], standings: Mapping[str, Standing]) -> Tally:
    """Archive, retry or bury tasks whose attempt ended."""

    def archive(completed: Sequence[Task]) -> Tally:
        # Completed is final: the job counts it before it leaves the table, so that a crash in between counts it again.
        closing.count(invocation, completed)
        tasks.archive(invocation.tables, completed, invocation.settings.closed_tasks_retention_days)
        return Tally(Archived=len(completed))

    def settle(task: Task) -> Tally:
        return _retried_or_buried(invocation, task, standings.get(task.worker_id))

    completed = [task for task in ended if task.status is Status.COMPLETED]
    failed = [task for task in ended if task.status is not Status.COMPLETED]
    archived = do_batch(archive, completed, _CALLS_AT_ONCE, logger, "not archived", telemetry.ids)
    return archived + done(settle, failed, _CALLS_AT_ONCE, logger, "task not settled", telemetry.ids)


def _retried_or_buried(invocation: Invocation, task: Task, standing: Standing | None) -> Tally:
    registration = None if standing is None else standing.registration
    # A Worker without a readable registration may get one with the next apply; its tasks are not given up for it.
    policy = registration.retry if isinstance(registration, Registration) else RetryPolicy()
    now = invocation.clock()
    decision = decide(task, policy, now, random.uniform)
    failure = str(task.failure) if task.status is Status.FAILED else "the lease ended without a report"
    if isinstance(decision, Die):
        dead = tasks.die(invocation.tables, task, now, f"{decision.reason}; {failure}")
        if dead is None:
            return Tally()
        logger.warning("dead", extra={**telemetry.ids(task), "reason": decision.reason})
        told = closing.announced(invocation, [dead])
        # It is buried, and stands in the outbox: an alarm that failed is the tick's to send, no reason to settle again.
        return Tally(DeadTasks=1, Alarms=told["Alarms"], Failures=told["Failures"])
    if not tasks.retry(invocation.tables, task, decision.due_at, now, failure, spare=decision.spare):
        return Tally()
    logger.info("retry", extra={**telemetry.ids(task), "due_in_ms": decision.due_at - now})
    return Tally(Retried=1)


# --- slots -------------------------------------------------------------------------------------------------------


def _slots_mended(invocation: Invocation, standing: Standing) -> Tally:
    """Look at the task of every slot that was not just taken, and put right what is found."""
    # The slots first: what they tell of a task is then never newer than the task itself. Of one just taken the claim
    # may be under way, and neither report nor lease can be overdue, so that its task need not be read.
    occupied = [
        slot
        for slot in slots.occupied(invocation.tables, standing.worker_id, consistent=True)
        if invocation.clock() > slot.claimed_at + GRACE_MS
    ]
    found = tasks.glimpse(invocation.tables, (slot.task_id for slot in occupied))

    def mend(slot: Slot) -> Tally:
        seen = found.get(slot.task_id)
        if seen is not None and seen.claim == slot.claim:
            if not _has_ended(invocation, seen.status, seen.finished_at, seen.lease_until):
                return Tally()
            task = tasks.get(invocation.tables, slot.task_id)
            return Tally() if task is None or task.claim != slot.claim else _ended(invocation, task, standing)
        # Where the claim went no further than the slot, it might still arrive.
        if seen is not None and seen.rank == slot.rank:
            task = tasks.get(invocation.tables, slot.task_id)
            if task is None or task.queue_rank != slot.rank:
                return Tally()
            if not tasks.void(invocation.tables, task, standing.shards, invocation.clock()):
                return Tally()
        return _freed(invocation, slot)

    def about(slot: Slot) -> dict[str, object]:
        return {"worker_id": slot.worker_id, "slot": slot.index, "task_id": slot.task_id}

    return done(mend, occupied, _CALLS_AT_ONCE, logger, "slot not mended", about)


def _has_ended(invocation: Invocation, status: str | None, finished_at: int, lease_until: int) -> bool:
    """Whether a task's report is overdue to be settled, or its lease has ended."""
    now = invocation.clock()
    return now > finished_at + GRACE_MS if status in REPORTED else status == Status.RUNNING and now > lease_until


def _ended(invocation: Invocation, task: Task, standing: Standing | None) -> Tally:
    """Settle a task whose report's record is overdue or whose lease ended, and free its slot."""
    if not _has_ended(invocation, task.status, task.finished_at or 0, task.lease_until or 0):
        return Tally()
    tally = _settled(invocation, [task], {} if standing is None else {task.worker_id: standing})
    slot = Slot.of(task)
    settled = tally["Archived"] + tally["Retried"] + tally["DeadTasks"] > 0
    return tally + _freed(invocation, slot) if settled and slot is not None else tally


def _freed(invocation: Invocation, slot: Slot) -> Tally:
    return Tally(Freed=int(slots.free(invocation.tables, slot)))


# --- chores ------------------------------------------------------------------------------------------------------


def _requeued(invocation: Invocation, standing: Standing) -> Tally:
    """Queue a Worker's waiting tasks whose time has come."""

    def requeue(task: Task) -> Tally:
        return Tally(Requeued=int(tasks.requeue(invocation.tables, task, standing.shards, invocation.clock())))

    tally = Tally()
    due = tasks.waiting(invocation.tables, standing.worker_id, until=invocation.clock())
    while not invocation.out_of_time and (some := list(islice(due, _DUE_AT_ONCE))):
        tally += done(requeue, some, _CALLS_AT_ONCE, logger, "task not requeued", telemetry.ids)
    return tally


def _swept(invocation: Invocation, standings: Sequence[Standing]) -> Tally:
    """Settle what ended in the next page of the table: tasks that no record and no slot tells of any more.

    One that is found seldom comes alone, as a stream loses a batch at a time: then the next page is looked at as well.
    """
    by_worker = {standing.worker_id: standing for standing in standings}

    def settle(task: Task) -> Tally:
        return _ended(invocation, task, by_worker.get(task.worker_id))

    begun_after = after = registry.sweep_position(invocation.tables)
    tally = Tally()
    while True:
        page, after = tasks.sweep(invocation.tables, after)
        found = done(settle, page, _CALLS_AT_ONCE, logger, "task not settled", telemetry.ids)
        tally += found
        if not found or after is None or invocation.out_of_time:
            break
    if after != begun_after:
        registry.put_sweep_position(invocation.tables, after)
    return tally


def _jobs_resumed(invocation: Invocation) -> Tally:
    """Hand the jobs whose Scheduler stopped half-way to another, and finish those that were cancelled."""

    def resume(cursor: Cursor) -> Tally:
        if cursor.cancelled and cursor.at_rest:
            return closing.rest_cancelled(invocation, cursor)
        aws.lambda_().invoke(
            FunctionName=invocation.settings.function("scheduler"),
            InvocationType="Event",
            Payload=json.dumps({"resume": cursor.job_id}).encode(),
        )
        return Tally(Resumed=1)

    stopped = [cursor for cursor in jobs.enqueuing(invocation.tables) if cursor.lease_until < invocation.clock()]
    return done(resume, stopped, _CALLS_AT_ONCE, logger, "job not resumed", lambda cursor: {"job_id": cursor.job_id})
