"""Scavenger: archives what completed, retries or buries what failed, and puts right whatever was left midway."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from itertools import islice
from typing import Any, Final

from sosw_runtime import telemetry
from sosw_runtime.domain.registration import RetryPolicy
from sosw_runtime.domain.retry import Cancel, Die, Retry, decide, decide_due
from sosw_runtime.domain.slot import Slot
from sosw_runtime.domain.task import REPORTED, Status, Task
from sosw_runtime.errors import Unavailable
from sosw_runtime.essentials import announcements, closing
from sosw_runtime.essentials.invocation import Invocation, LambdaContext, resume
from sosw_runtime.essentials.parallel import Counters, run_all, run_batch
from sosw_runtime.essentials.rounds import Turns, in_one_turn, serve_in_rounds
from sosw_runtime.essentials.stream import is_stream, written_tasks
from sosw_runtime.storage import jobs, moves, registry, slots, tasks
from sosw_runtime.storage.items import Unreadable
from sosw_runtime.storage.jobs import Cursor
from sosw_runtime.storage.registry import WorkerRecord

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
        Counts of `Archived`, `Retried`, `DeadTasks`, `Cancelled`, `Requeued`, `Freed`, `Alarms`, `Resumed`,
        `Unreadable`, `Failures`, `Outages`, and of `LeftOver`: Workers, jobs and chores for which there was no time, or
        not enough.

    Raises:
        Unavailable: an outage of AWS kept a part of a batch from being settled, all else is. Lambda hands the batch
            over again until it passes, which repeats nothing that is done. What failed for another reason holds up no
            records behind it: the tick looks at it again.
    """
    invocation = Invocation.begin(context)
    counters = on_stream(invocation, event["Records"]) if is_stream(event) else on_tick(invocation)
    telemetry.count("scavenger", invocation.settings.name, counters)
    if is_stream(event) and counters["Outages"] > 0:
        raise Unavailable(f"batch of {len(event['Records'])} records: {counters['Outages']} failed")
    return dict(counters)


def on_stream(invocation: Invocation, records: Iterable[Mapping[str, Any]]) -> Counters:
    """Settle the tasks that have just reported."""
    # Each once, since DynamoDB takes no batch that names an item twice.
    reported = list({task.task_id: task for task in written_tasks(records) if task.status in REPORTED}.values())
    failed = (task.worker_id for task in reported if task.status is Status.FAILED)
    workers = registry.find_workers(invocation.tables, failed)
    counters = _settle(invocation, reported, workers)
    if counters["DeadTasks"] + counters["Cancelled"] > 0:
        # They stand in the outbox: an alarm that failed is the tick's to send, no reason to settle the batch again.
        told = run_all(partial(_announce_ended, invocation), [reported], 1, logger, "closed tasks not announced")
        counters += Counters(Alarms=told["Alarms"], Failures=told["Failures"])
    return counters


def _announce_ended(invocation: Invocation, settled: Sequence[Task]) -> Counters:
    """Announce those tasks that are dead or cancelled by now, together."""
    found = tasks.find_closed(invocation.tables, (task.task_id for task in settled)).values()
    return announcements.announce(invocation, [task for task in found if task.in_outbox])


def on_tick(invocation: Invocation) -> Counters:
    """Queue what is due, mend slots, send alarms, see to jobs and sweep, each in a share of the time.

    What a chore does not use of its share passes on, in the end to what is due and was left over.
    """
    found = registry.workers(invocation.tables)
    workers = {worker.worker_id: worker for worker in found if not worker.is_gone}
    counters = Counters()

    def serve(chore: Callable[[Invocation], dict[str, Turns]], parts: int, label: str = "worker_id") -> tuple[str, ...]:
        """Give a chore its share of so many equal parts; the names of the work that is left over."""
        share = invocation.share(1 / parts)
        served = serve_in_rounds(share, chore(share), logger, "not looked after", label)
        counters.update(served.total)
        return served.left_over

    still_due = serve(lambda share: _by_worker(_requeue_due, share, workers.values()), 6)
    left_over = [
        *serve(lambda share: _by_worker(_mend_slots, share, workers.values()), 5),
        *serve(lambda share: {"alarms": announcements.announce_outbox(share)}, 4, "chore"),
        *serve(_job_chores, 3, "chore"),
        *serve(lambda share: {"sweep": _sweep(share, workers)}, 2, "chore"),
        *serve(lambda share: _by_worker(_requeue_due, share, [workers[worker_id] for worker_id in still_due]), 1),
    ]
    return counters + Counters(LeftOver=len(left_over))


def _by_worker(
    chore: Callable[[Invocation, WorkerRecord], Turns], share: Invocation, workers: Iterable[WorkerRecord]
) -> dict[str, Turns]:
    return {worker.worker_id: chore(share, worker) for worker in workers}


# --- what reported, and what never will ----------------------------------------------------------------------------


def _settle(invocation: Invocation, ended: Sequence[Task], workers: Mapping[str, WorkerRecord]) -> Counters:
    """Archive, retry or bury tasks whose attempt ended."""

    def archive(completed: Sequence[Task]) -> Counters:
        # Completed is final: the job counts it before it leaves the table, so that a crash in between counts it again.
        closing.count_closed(invocation, completed)
        moves.archive(invocation.tables, completed, invocation.settings.closed_tasks_retention_days)
        return Counters(Archived=len(completed))

    def settle(task: Task) -> Counters:
        worker = workers.get(task.worker_id)
        return _retry_or_end(invocation, task, worker, cancelled=task.job_id in cancelled)

    completed = [task for task in ended if task.status is Status.COMPLETED]
    failed = [task for task in ended if task.status is not Status.COMPLETED]
    archived = run_batch(archive, completed, _CALLS_AT_ONCE, logger, "not archived", telemetry.ids)
    cancelled = jobs.cancelled_ids(invocation.tables, (task.job_id for task in failed))
    return archived + run_all(settle, failed, _CALLS_AT_ONCE, logger, "task not settled", telemetry.ids)


def _retry_or_end(invocation: Invocation, task: Task, worker: WorkerRecord | None, *, cancelled: bool) -> Counters:
    now = invocation.clock()
    decision = decide(task, _retry_policy(worker), now, random.uniform, cancelled=cancelled)
    failure = str(task.failure) if task.status is Status.FAILED else "the lease ended without a report"
    if not isinstance(decision, Retry):
        return _end(invocation, task, decision, failure)
    if not moves.retry(invocation.tables, task, decision.due_at, now, failure, spare=decision.spare):
        return Counters()
    logger.info("retry", extra={**telemetry.ids(task), "due_in_ms": decision.due_at - now})
    return Counters(Retried=1)


def _end(invocation: Invocation, task: Task, decision: Die | Cancel, failure: str) -> Counters:
    """Bury or cancel a task that is not tried again."""
    now, reason = invocation.clock(), f"{decision.reason}; {failure}"
    if isinstance(decision, Cancel):
        return Counters(Cancelled=int(moves.cancel(invocation.tables, task, now, reason)))
    dead = moves.die(invocation.tables, task, now, reason)
    if dead is None:
        return Counters()
    logger.warning("dead", extra={**telemetry.ids(task), "reason": decision.reason})
    return Counters(DeadTasks=1)


def _retry_policy(worker: WorkerRecord | None) -> RetryPolicy | None:
    """How a Worker's tasks are tried again; None while its registration is gone or cannot be read."""
    return None if worker is None or worker.registration is None else worker.registration.retry


# --- slots -------------------------------------------------------------------------------------------------------


def _mend_slots(invocation: Invocation, worker: WorkerRecord) -> Turns:
    """Look at the task of every slot that was not just taken, and put right what is found."""
    # The slots first: what they tell of a task is then never newer than the task itself. Of one just taken the claim
    # may be under way, and neither report nor lease can be overdue, so that its task need not be read.
    occupied = [
        slot
        for slot in slots.occupied(invocation.tables, worker.worker_id)
        if invocation.clock() > slot.claimed_at + GRACE_MS
    ]
    # Of many, not always the same ones are left over.
    random.shuffle(occupied)
    while True:
        some, occupied = occupied[:_SLOTS_A_TURN], occupied[_SLOTS_A_TURN:]
        counters = _mend_some_slots(invocation, worker, some)
        if not occupied and invocation.has_time():
            return counters
        yield counters


def _mend_some_slots(invocation: Invocation, worker: WorkerRecord, occupied: Sequence[Slot]) -> Counters:
    found = tasks.summaries(invocation.tables, (slot.task_id for slot in occupied))

    def mend(slot: Slot) -> Counters:
        seen = found.get(slot.task_id)
        try:
            if seen is not None and seen.claim == slot.claim:
                if not _has_ended(invocation, seen.status, seen.finished_at, seen.lease_until):
                    return Counters()
                task = tasks.get(invocation.tables, slot.task_id)
                return (
                    Counters()
                    if task is None or task.claim != slot.claim
                    else _settle_overdue(invocation, task, worker)
                )
            # Where the claim went no further than the slot, it might still arrive.
            if seen is not None and seen.rank == slot.rank:
                voided = moves.void(invocation.tables, slot.task_id, slot.rank, invocation.clock())
                return _free(invocation, slot) if voided else Counters()
        except Unreadable as error:
            logger.error("task not read", extra={"task_id": slot.task_id, "reason": str(error)})
            moves.set_aside(invocation.tables, slot.task_id, slot.rank)
            return _free(invocation, slot) + Counters(Unreadable=1)
        return _free(invocation, slot)

    def about(slot: Slot) -> dict[str, object]:
        return {"worker_id": worker.worker_id, "slot": slot.index, "task_id": slot.task_id}

    return run_all(mend, occupied, _CALLS_AT_ONCE, logger, "slot not mended", about, invocation.has_time)


def _has_ended(invocation: Invocation, status: str | None, finished_at: int, lease_until: int) -> bool:
    """Whether a task's report is overdue to be settled, or its lease has ended."""
    now = invocation.clock()
    return now > finished_at + GRACE_MS if status in REPORTED else now > lease_until


def _settle_overdue(invocation: Invocation, task: Task, worker: WorkerRecord | None) -> Counters:
    """Settle a task whose report's record is overdue or whose lease ended, and free its slot."""
    slot = Slot.of(task)
    if not _has_ended(invocation, task.status, task.finished_at or 0, task.lease_until or 0):
        return Counters()
    if task.status not in REPORTED | {Status.RUNNING}:
        # A later version knows what becomes of it; in a slot it does not run.
        return Counters() if slot is None else _free(invocation, slot)
    if task.status is Status.RUNNING and task.noted is not None:
        reported = _report_noted(invocation, task)
        if reported is None:
            return Counters()
        task = reported
    counters = _settle(invocation, [task], {} if worker is None else {task.worker_id: worker})
    settled = counters["Archived"] + counters["Retried"] + counters["DeadTasks"] + counters["Cancelled"] > 0
    return counters + _free(invocation, slot) if settled and slot is not None else counters


def _report_noted(invocation: Invocation, task: Task) -> Task | None:
    """Count a report that lacked its token, since no other came in the lease; the task as it is then reported."""
    if moves.report(invocation.tables, moves.reported_note(task), invocation.clock()).accepted:
        logger.info("noted report counted", extra=telemetry.ids(task))
    found = tasks.get(invocation.tables, task.task_id)
    return found if found is not None and found.claim == task.claim and found.status in REPORTED else None


def _free(invocation: Invocation, slot: Slot) -> Counters:
    return Counters(Freed=int(slots.free(invocation.tables, slot)))


# --- chores ------------------------------------------------------------------------------------------------------


def _requeue_due(invocation: Invocation, worker: WorkerRecord) -> Turns:
    """Queue a Worker's waiting tasks whose time has come, or end those that are not to be tried again."""
    policy = _retry_policy(worker)
    if policy is None:
        return Counters()
    due = tasks.due(invocation.tables, worker.worker_id, invocation.clock())
    unreadable = 0
    while True:
        found = list(islice(due, _DUE_A_TURN))
        some = [task for task in found if isinstance(task, Task)]
        unreadable += len(found) - len(some)
        cancelled = jobs.cancelled_ids(invocation.tables, (task.job_id for task in some))

        def requeue(task: Task, cancelled: Set[str] = cancelled) -> Counters:
            end = decide_due(task, policy, cancelled=task.job_id in cancelled)
            if end is not None:
                return _end(invocation, task, end, "it waited for its next try")
            return Counters(Requeued=int(moves.requeue(invocation.tables, task, worker.shards, invocation.clock())))

        movable = jobs.tasks_before_cursor(invocation.tables, some)
        counters = run_all(
            requeue, movable, _CALLS_AT_ONCE, logger, "task not requeued", telemetry.ids, invocation.has_time
        )
        if len(found) < _DUE_A_TURN and invocation.has_time():
            return counters + Counters(Unreadable=unreadable)
        yield counters


def _sweep(invocation: Invocation, workers: Mapping[str, WorkerRecord]) -> Turns:
    """Settle what ended in the next page of the table: tasks that no record and no slot tells of any more.

    One that is found seldom comes alone, as a stream loses a batch at a time: then the next page is looked at as well.
    """

    def settle(task: Task) -> Counters:
        return _settle_overdue(invocation, task, workers.get(task.worker_id))

    begun_after = registry.sweep_position(invocation.tables)
    while True:
        page = tasks.sweep_page(invocation.tables, begun_after)
        found = run_all(
            settle, page.tasks, _CALLS_AT_ONCE, logger, "task not settled", telemetry.ids, invocation.has_time
        )
        counters = found + Counters(Unreadable=page.unreadable)
        # A page for which the time was too short is looked at again.
        if invocation.has_time():
            if page.after != begun_after:
                registry.put_sweep_position(invocation.tables, page.after)
            if not found or page.after is None:
                return counters
            begun_after = page.after
        yield counters


def _job_chores(invocation: Invocation) -> dict[str, Turns]:
    return {
        "jobs to close": in_one_turn(lambda: closing.close_jobs(invocation)),
        "large jobs": in_one_turn(lambda: closing.close_grouped_jobs(invocation)),
        "stopped jobs": in_one_turn(lambda: _resume_jobs(invocation)),
    }


def _resume_jobs(invocation: Invocation) -> Counters:
    """Hand the jobs whose Scheduler stopped midway to another, and finish those that were cancelled."""
    stopped = [cursor for cursor in jobs.cursors(invocation.tables) if cursor.lease_until < invocation.clock()]
    work = {cursor.job_id: _resume_job(invocation, cursor) for cursor in stopped}
    served = serve_in_rounds(invocation, work, logger, "job not resumed", "job_id")
    return served.total + Counters(LeftOver=len(served.left_over))


def _resume_job(invocation: Invocation, cursor: Cursor) -> Turns:
    if cursor.cancelled and cursor.is_at_rest:
        return (yield from closing.cancel_rest(invocation, cursor))
    resume(invocation, cursor.job_id)
    return Counters(Resumed=1)
