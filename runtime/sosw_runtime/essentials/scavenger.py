"""Scavenger: archives completed tasks, retries failed ones or lets them die, and mends what was left unfinished."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import partial
from itertools import islice
from typing import Any, Final

from sosw_runtime import telemetry
from sosw_runtime.domain.registration import RetryPolicy
from sosw_runtime.domain.retry import Cancel, Die, Retry, decision_on_failure, decision_when_due
from sosw_runtime.domain.slot import Slot
from sosw_runtime.domain.task import REPORTED, Status, Task
from sosw_runtime.errors import Unavailable
from sosw_runtime.essentials import announcements, closing
from sosw_runtime.essentials.invocation import Invocation, LambdaContext, invoke_scheduler
from sosw_runtime.essentials.parallel import Counters, run_all, run_batch
from sosw_runtime.essentials.rounds import Turns, serve_in_rounds, single_turn
from sosw_runtime.essentials.stream import is_stream, written_tasks
from sosw_runtime.storage import jobs, moves, registry, slots, tasks
from sosw_runtime.storage.items import Unreadable
from sosw_runtime.storage.jobs import Cursor
from sosw_runtime.storage.registry import WorkerRecord

#: How long the tick leaves a report to the stream, and a slot to its claim, in ms.
GRACE_MS: Final = 15_000

_CALLS_AT_ONCE: Final = 8

#: Tasks that are requeued, and slots that are checked, in one turn of a Worker.
_DUE_A_TURN: Final = 200
_SLOTS_A_TURN: Final = 100

logger = telemetry.logger("scavenger")


def handler(event: dict[str, Any], context: LambdaContext | None) -> dict[str, Any]:
    """Settle the reported tasks of a batch of the stream, or on the tick do all chores.

    Args:
        event: a batch of the tasks table's stream; anything else is the tick.
        context: Lambda's.

    Returns:
        Counts of `Archived`, `Retried`, `DeadTasks`, `Cancelled`, `Requeued`, `Freed`, `Alarms`, `Resumed`,
        `Unreadable`, `Failures`, `Outages`, and of `LeftOver`: Workers, jobs and chores for which there was too little
        time.

    Raises:
        Unavailable: transient errors kept some tasks of a batch from being settled; all others are. Lambda retries the
            batch, and settling is idempotent. Other failures do not fail the batch: the tick retries them.
    """
    invocation = Invocation.begin(context)
    counters = on_stream(invocation, event["Records"]) if is_stream(event) else on_tick(invocation)
    telemetry.count("scavenger", invocation.settings.name, counters)
    if is_stream(event) and counters["Outages"] > 0:
        raise Unavailable(f"batch of {len(event['Records'])} records: {counters['Outages']} failed")
    return dict(counters)


def on_stream(invocation: Invocation, records: Iterable[Mapping[str, Any]]) -> Counters:
    """Settle the tasks that have just reported."""
    # Each task once: DynamoDB refuses a batch that names an item twice.
    reported = list({task.task_id: task for task in written_tasks(records) if task.status in REPORTED}.values())
    failed = (task.worker_id for task in reported if task.status is Status.FAILED)
    workers = registry.find_workers(invocation.tables, failed)
    counters = _settle(invocation, reported, workers)
    if counters["DeadTasks"] + counters["Cancelled"] > 0:
        # If an alarm fails, the tick sends it from the outbox. So it counts as no outage, and the batch is not retried.
        announced = run_all(partial(_announce_closed, invocation), [reported], 1, logger, "closed tasks not announced")
        counters += Counters(Alarms=announced["Alarms"], Failures=announced["Failures"])
    return counters


def _announce_closed(invocation: Invocation, settled: Sequence[Task]) -> Counters:
    """Announce the settled tasks that are now dead or cancelled."""
    found = tasks.find_closed(invocation.tables, (task.task_id for task in settled)).values()
    return announcements.announce(invocation, [task for task in found if task.in_outbox])


def on_tick(invocation: Invocation) -> Counters:
    """Requeue due tasks, mend slots, announce the outbox, close and resume jobs, sweep; each in a share of the time.

    The unused part of a share goes to the chores after it, and at last to the due tasks that were left over.
    """
    found = registry.workers(invocation.tables)
    workers = {worker.worker_id: worker for worker in found if not worker.is_gone}
    counters = Counters()

    def serve(chore: Callable[[Invocation], dict[str, Turns]], parts: int, label: str = "worker_id") -> tuple[str, ...]:
        """Do a chore in one of `parts` equal parts of the remaining time; the names of the work that is left over."""
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


# --- settling ended attempts ---------------------------------------------------------------------------------------


def _settle(invocation: Invocation, ended: Sequence[Task], workers: Mapping[str, WorkerRecord]) -> Counters:
    """Archive, retry or end tasks whose attempt ended."""

    def archive(completed: Sequence[Task]) -> Counters:
        # Counted before they leave the table: after a crash in between they are counted again, which changes nothing.
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
    decision = decision_on_failure(task, _retry_policy(worker), now, random.uniform, cancelled=cancelled)
    failure = str(task.failure) if task.status is Status.FAILED else "the lease ended without a report"
    if not isinstance(decision, Retry):
        return _die_or_cancel(invocation, task, decision, failure)
    if not moves.retry(invocation.tables, task, decision.due_at, now, failure, spare=decision.spare):
        return Counters()
    logger.info("retry", extra={**telemetry.ids(task), "due_in_ms": decision.due_at - now})
    return Counters(Retried=1)


def _die_or_cancel(invocation: Invocation, task: Task, decision: Die | Cancel, failure: str) -> Counters:
    """Make a task dead or cancelled, as decided."""
    now, reason = invocation.clock(), f"{decision.reason}; {failure}"
    if isinstance(decision, Cancel):
        return Counters(Cancelled=int(moves.cancel(invocation.tables, task, now, reason)))
    dead = moves.die(invocation.tables, task, now, reason)
    if dead is None:
        return Counters()
    logger.warning("dead", extra={**telemetry.ids(task), "reason": decision.reason})
    return Counters(DeadTasks=1)


def _retry_policy(worker: WorkerRecord | None) -> RetryPolicy | None:
    """The retry policy of a Worker; None while its registration is missing or cannot be read."""
    return None if worker is None or worker.registration is None else worker.registration.retry


# --- slots -------------------------------------------------------------------------------------------------------


def _mend_slots(invocation: Invocation, worker: WorkerRecord) -> Turns:
    """Check the task of every slot that was not just taken; settle the task and free the slot if necessary."""
    # The slots are read before the tasks, so that a slot is never newer than its task. A slot that was just taken is
    # skipped: its claim may be under way, and neither a report nor a lease can be overdue.
    occupied = [
        slot
        for slot in slots.occupied(invocation.tables, worker.worker_id)
        if invocation.clock() > slot.claimed_at + GRACE_MS
    ]
    # Shuffled, so that not always the same slots are left over.
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
            # The claim took the slot but did not update the task yet. It may still arrive, so it is voided first.
            if seen is not None and seen.rank == slot.rank:
                voided = moves.void(invocation.tables, slot.task_id, slot.rank, invocation.clock())
                return _free_slot(invocation, slot) if voided else Counters()
        except Unreadable as error:
            logger.error("task not read", extra={"task_id": slot.task_id, "reason": str(error)})
            moves.set_aside(invocation.tables, slot.task_id, slot.rank)
            return _free_slot(invocation, slot) + Counters(Unreadable=1)
        return _free_slot(invocation, slot)

    def about(slot: Slot) -> dict[str, object]:
        return {"worker_id": worker.worker_id, "slot": slot.index, "task_id": slot.task_id}

    return run_all(mend, occupied, _CALLS_AT_ONCE, logger, "slot not mended", about, invocation.has_time)


def _has_ended(invocation: Invocation, status: str | None, finished_at: int, lease_until: int) -> bool:
    """Whether a task's report is overdue to be settled, or its lease has ended."""
    now = invocation.clock()
    return now > finished_at + GRACE_MS if status in REPORTED else now > lease_until


def _settle_overdue(invocation: Invocation, task: Task, worker: WorkerRecord | None) -> Counters:
    """Settle a task whose report is overdue to be settled or whose lease has ended, and free its slot."""
    slot = Slot.of(task)
    if not _has_ended(invocation, task.status, task.finished_at or 0, task.lease_until or 0):
        return Counters()
    if task.status not in REPORTED | {Status.RUNNING}:
        # The status is a later version's: the task is left to it, and does not need the slot.
        return Counters() if slot is None else _free_slot(invocation, slot)
    if task.status is Status.RUNNING and task.noted is not None:
        reported = _report_note(invocation, task)
        if reported is None:
            return Counters()
        task = reported
    counters = _settle(invocation, [task], {} if worker is None else {task.worker_id: worker})
    settled = counters["Archived"] + counters["Retried"] + counters["DeadTasks"] + counters["Cancelled"] > 0
    return counters + _free_slot(invocation, slot) if settled and slot is not None else counters


def _report_note(invocation: Invocation, task: Task) -> Task | None:
    """Report what is noted on a task, as its lease ended without another report; the reported task."""
    if moves.report(invocation.tables, moves.reported_note(task), invocation.clock()).accepted:
        logger.info("noted report counted", extra=telemetry.ids(task))
    found = tasks.get(invocation.tables, task.task_id)
    return found if found is not None and found.claim == task.claim and found.status in REPORTED else None


def _free_slot(invocation: Invocation, slot: Slot) -> Counters:
    return Counters(Freed=int(slots.free(invocation.tables, slot)))


# --- chores ------------------------------------------------------------------------------------------------------


def _requeue_due(invocation: Invocation, worker: WorkerRecord) -> Turns:
    """Requeue a Worker's due tasks, or end those that must not be retried."""
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
            end = decision_when_due(task, policy, cancelled=task.job_id in cancelled)
            if end is not None:
                return _die_or_cancel(invocation, task, end, "it waited for its next try")
            return Counters(Requeued=int(moves.requeue(invocation.tables, task, worker.shards, invocation.clock())))

        movable = jobs.tasks_before_cursor(invocation.tables, some)
        counters = run_all(
            requeue, movable, _CALLS_AT_ONCE, logger, "task not requeued", telemetry.ids, invocation.has_time
        )
        if len(found) < _DUE_A_TURN and invocation.has_time():
            return counters + Counters(Unreadable=unreadable)
        yield counters


def _sweep(invocation: Invocation, workers: Mapping[str, WorkerRecord]) -> Turns:
    """Settle ended tasks in the next page of the tasks table: those that have lost their stream record and their slot.

    A stream loses records by the batch. So if a page has such a task, the next page is read as well.
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
        # A page for which the time was too short is read again.
        if invocation.has_time():
            if page.after != begun_after:
                registry.put_sweep_position(invocation.tables, page.after)
            if not found or page.after is None:
                return counters
            begun_after = page.after
        yield counters


def _job_chores(invocation: Invocation) -> dict[str, Turns]:
    return {
        "jobs to close": single_turn(lambda: closing.close_remembered_jobs(invocation)),
        "large jobs": single_turn(lambda: closing.close_grouped_jobs(invocation)),
        "stopped jobs": single_turn(lambda: _resume_jobs(invocation)),
    }


def _resume_jobs(invocation: Invocation) -> Counters:
    """Resume the jobs whose Scheduler stopped, and count the unwritten tasks of cancelled jobs."""
    stopped = [cursor for cursor in jobs.cursors(invocation.tables) if cursor.lease_until < invocation.clock()]
    work = {cursor.job_id: _resume_job(invocation, cursor) for cursor in stopped}
    served = serve_in_rounds(invocation, work, logger, "job not resumed", "job_id")
    return served.total + Counters(LeftOver=len(served.left_over))


def _resume_job(invocation: Invocation, cursor: Cursor) -> Turns:
    if cursor.cancelled and cursor.is_at_rest:
        return (yield from closing.count_unwritten(invocation, cursor))
    invoke_scheduler(invocation, cursor.job_id)
    return Counters(Resumed=1)
