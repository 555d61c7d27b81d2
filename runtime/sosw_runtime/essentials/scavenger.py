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
from sosw_runtime.domain.slot import Slot
from sosw_runtime.domain.task import REPORTED, Status, Task
from sosw_runtime.errors import Unavailable
from sosw_runtime.essentials import closing
from sosw_runtime.essentials.invocation import Invocation, LambdaContext, is_stream, written_tasks
from sosw_runtime.essentials.rounds import Turns, in_one_turn, serve_in_rounds
from sosw_runtime.essentials.tally import Tally, done
from sosw_runtime.storage import jobs, registry, slots, tasks
from sosw_runtime.storage.jobs import Cursor
from sosw_runtime.storage.registry import Standing

#: How long a report may wait for its record, and a slot for its claim, before the tick looks into it, in ms.
GRACE_MS: Final = 15_000

_CALLS_AT_ONCE: Final = 8

#: Tasks that are queued, and slots that are looked at, before it is another Worker's turn.
_DUE_A_TURN: Final = 200
_SLOTS_A_TURN: Final = 100

logger = telemetry.logger("scavenger")


def handler(event: dict[str, Any], context: LambdaContext | None) -> dict[str, Any]:
    """Settle the reports of a batch of the stream, or on the tick look after everything.

    Args:
        event: a batch of the tasks table's stream; anything else is the tick.
        context: Lambda's.

    Returns:
        Counts of `Archived`, `Retried`, `DeadTasks`, `Requeued`, `Freed`, `Alarms`, `Resumed`, `Failures`, `Outages`,
        and of `LeftOver`: Workers, jobs and chores for which there was no time, or not enough.

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
    tally = _settled(invocation, reported, standings)
    if tally["DeadTasks"] > 0:
        # They stand in the outbox: an alarm that failed is the tick's to send, no reason to settle the batch again.
        told = done(partial(_dead_announced, invocation), [reported], 1, logger, "dead tasks not announced")
        tally += Tally(Alarms=told["Alarms"], Failures=told["Failures"])
    return tally


def _dead_announced(invocation: Invocation, settled: Sequence[Task]) -> Tally:
    """Announce those tasks that are dead by now, together."""
    found = tasks.find_closed(invocation.tables, (task.task_id for task in settled)).values()
    return closing.announce(invocation, [task for task in found if task.in_outbox])


def on_tick(invocation: Invocation) -> Tally:
    """Queue what is due, mend slots, send alarms, see to jobs and sweep, each in a share of the time.

    What a chore does not use of its share passes on, in the end to what is due and was left over.
    """
    found = registry.standings(invocation.tables)
    standings = {standing.worker_id: standing for standing in found if not standing.is_gone}
    tally = Tally()

    def serve(chore: Callable[[Invocation], dict[str, Turns]], parts: int, label: str = "worker_id") -> tuple[str, ...]:
        """Give a chore its share of so many equal parts; the names of the work that is left over."""
        share = invocation.share(1 / parts)
        served = serve_in_rounds(share, chore(share), logger, "not looked after", label)
        tally.update(served.total)
        return served.left_over

    still_due = serve(lambda share: _by_worker(_requeued, share, standings.values()), 6)
    left_over = [
        *serve(lambda share: _by_worker(_slots_mended, share, standings.values()), 5),
        *serve(lambda share: {"alarms": closing.outbox_announced(share)}, 4, "chore"),
        *serve(_jobs_looked_after, 3, "chore"),
        *serve(lambda share: {"sweep": _swept(share, standings)}, 2, "chore"),
        *serve(lambda share: _by_worker(_requeued, share, [standings[worker_id] for worker_id in still_due]), 1),
    ]
    return tally + Tally(LeftOver=len(left_over))


def _by_worker(
    chore: Callable[[Invocation, Standing], Turns], share: Invocation, standings: Iterable[Standing]
) -> dict[str, Turns]:
    return {standing.worker_id: chore(share, standing) for standing in standings}


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
    archived = done(archive, [completed] if completed else [], 1, logger, "tasks not archived")
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
        return Tally(DeadTasks=1)
    if not tasks.retry(invocation.tables, task, decision.due_at, now, failure, spare=decision.spare):
        return Tally()
    logger.info("retry", extra={**telemetry.ids(task), "due_in_ms": decision.due_at - now})
    return Tally(Retried=1)


# --- slots -------------------------------------------------------------------------------------------------------


def _slots_mended(invocation: Invocation, standing: Standing) -> Turns:
    """Look at the task of every slot that was not just taken, and put right what is found."""
    # The slots first: what they tell of a task is then never newer than the task itself. Of one just taken the claim
    # may be under way, and neither report nor lease can be overdue, so that its task need not be read.
    occupied = [
        slot
        for slot in slots.occupied(invocation.tables, standing.worker_id)
        if invocation.clock() > slot.claimed_at + GRACE_MS
    ]
    # Of many, not always the same ones are left over.
    random.shuffle(occupied)
    while True:
        some, occupied = occupied[:_SLOTS_A_TURN], occupied[_SLOTS_A_TURN:]
        tally = _some_slots_mended(invocation, standing, some)
        if not occupied and invocation.has_time():
            return tally
        yield tally


def _some_slots_mended(invocation: Invocation, standing: Standing, occupied: Sequence[Slot]) -> Tally:
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

    return done(mend, occupied, _CALLS_AT_ONCE, logger, "slot not mended", about, invocation.has_time)


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


def _requeued(invocation: Invocation, standing: Standing) -> Turns:
    """Queue a Worker's waiting tasks whose time has come."""

    def requeue(task: Task) -> Tally:
        return Tally(Requeued=int(tasks.requeue(invocation.tables, task, standing.shards, invocation.clock())))

    due = tasks.waiting(invocation.tables, standing.worker_id, until=invocation.clock())
    while True:
        some = list(islice(due, _DUE_A_TURN))
        tally = done(requeue, some, _CALLS_AT_ONCE, logger, "task not requeued", telemetry.ids, invocation.has_time)
        if len(some) < _DUE_A_TURN and invocation.has_time():
            return tally
        yield tally


def _swept(invocation: Invocation, standings: Mapping[str, Standing]) -> Turns:
    """Settle what ended in the next page of the table: tasks that no record and no slot tells of any more.

    One that is found seldom comes alone, as a stream loses a batch at a time: then the next page is looked at as well.
    """

    def settle(task: Task) -> Tally:
        return _ended(invocation, task, standings.get(task.worker_id))

    begun_after = registry.sweep_position(invocation.tables)
    while True:
        page, after = tasks.sweep(invocation.tables, begun_after)
        found = done(settle, page, _CALLS_AT_ONCE, logger, "task not settled", telemetry.ids, invocation.has_time)
        # A page for which the time was too short is looked at again.
        if invocation.has_time():
            if after != begun_after:
                registry.put_sweep_position(invocation.tables, after)
            if not found or after is None:
                return found
            begun_after = after
        yield found


def _jobs_looked_after(invocation: Invocation) -> dict[str, Turns]:
    return {
        "jobs to close": in_one_turn(lambda: closing.jobs_closed(invocation)),
        "stopped jobs": in_one_turn(lambda: _jobs_resumed(invocation)),
    }


def _jobs_resumed(invocation: Invocation) -> Tally:
    """Hand the jobs whose Scheduler stopped half-way to another, and finish those that were cancelled."""
    stopped = [cursor for cursor in jobs.enqueuing(invocation.tables) if cursor.lease_until < invocation.clock()]
    work = {cursor.job_id: _job_resumed(invocation, cursor) for cursor in stopped}
    served = serve_in_rounds(invocation, work, logger, "job not resumed", "job_id")
    return served.total + Tally(LeftOver=len(served.left_over))


def _job_resumed(invocation: Invocation, cursor: Cursor) -> Turns:
    if cursor.cancelled and cursor.at_rest:
        return (yield from closing.rest_cancelled(invocation, cursor))
    aws.lambda_().invoke(
        FunctionName=invocation.settings.function("scheduler"),
        InvocationType="Event",
        Payload=json.dumps({"resume": cursor.job_id}).encode(),
    )
    return Tally(Resumed=1)
