"""Scavenger: archives what completed, retries or buries what failed, and puts right whatever was left half-way."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any, Final

from sosw_runtime import aws, telemetry
from sosw_runtime.domain.registration import Registration, RetryPolicy
from sosw_runtime.domain.retry import Die, decide
from sosw_runtime.domain.task import REPORTED, Status, Task
from sosw_runtime.errors import Unavailable
from sosw_runtime.essentials.invocation import Invocation, LambdaContext, is_stream, side_by_side, written_tasks
from sosw_runtime.storage import jobs, progress, registry, slots, tasks
from sosw_runtime.storage.jobs import Cursor, JobRecord
from sosw_runtime.storage.registry import Standing
from sosw_runtime.storage.slots import Slot
from sosw_runtime.storage.tables import BATCH_READ

#: How long a report may wait for its record, and a slot for its claim, before the tick looks into it, in ms.
GRACE_MS: Final = 15_000

_WORKERS_AT_ONCE: Final = 8
_CALLS_AT_ONCE: Final = 8

#: Waiting tasks that are held in memory.
_DUE_AT_ONCE: Final = 200

#: Tasks of a cancelled job that are counted between two looks at the clock.
_CANCELLED_AT_ONCE: Final = 20 * progress.BLOCK

#: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_LONGEST_SUBJECT: Final = 100

logger = telemetry.logger("scavenger")

#: What became of tasks, by metric name.
Tally = Counter[str]


def handler(event: dict[str, Any], context: LambdaContext | None) -> dict[str, Any]:
    """Settle the reports of a batch of the stream, or on the tick look after everything.

    Args:
        event: a batch of the tasks table's stream; anything else is the tick.
        context: Lambda's.

    Returns:
        Counts of `Archived`, `Retried`, `DeadTasks`, `Requeued`, `Freed`, `Alarms`, `Resumed` and `Failures`.

    Raises:
        Unavailable: a part of a batch failed, all else is settled. Lambda hands the batch over again, which repeats
            nothing that is done; otherwise the sweep alone would find that part, in its time.
    """
    invocation = Invocation.begin(context)
    tally = on_stream(invocation, event["Records"]) if is_stream(event) else on_tick(invocation)
    telemetry.count("scavenger", invocation.settings.name, tally)
    if is_stream(event) and tally["Failures"] > 0:
        raise Unavailable(f"batch of {len(event['Records'])} records: {tally['Failures']} failed")
    return dict(tally)


def on_stream(invocation: Invocation, records: Iterable[Mapping[str, Any]]) -> Tally:
    """Settle the tasks that have just reported."""
    reported = [task for task in written_tasks(records) if task.status in REPORTED]
    failed = (task.worker_id for task in reported if task.status is Status.FAILED)
    standings = registry.standing(invocation.tables, failed)
    return _settled(invocation, reported, standings)


def on_tick(invocation: Invocation) -> Tally:
    """Look after every Worker, one page of the table, the alarms and the jobs that stopped half-way."""
    standings = registry.standings(invocation.tables)
    # Shuffled, so that Workers with much to do are not always in front of the same others.
    random.shuffle(standings)

    def look_after(standing: Standing) -> Tally:
        return _slots_mended(invocation, standing) + _requeued(invocation, standing)

    tally = Tally()
    for standing, outcome in side_by_side(look_after, standings, _WORKERS_AT_ONCE):
        tally += _counted(outcome, "Worker not looked after", worker_id=standing.worker_id)
    chores: list[Callable[[], Tally]] = [
        lambda: _swept(invocation, standings),
        lambda: _outbox_announced(invocation),
        lambda: _jobs_resumed(invocation),
    ]
    for _, outcome in side_by_side(lambda chore: chore(), chores):
        tally += _counted(outcome, "chore not done")
    return tally


# --- what reported, and what never will ----------------------------------------------------------------------------


def _settled(invocation: Invocation, ended: Sequence[Task], standings: Mapping[str, Standing]) -> Tally:
    """Archive, retry or bury tasks whose attempt ended."""

    def archive(completed: Sequence[Task]) -> Tally:
        # Completed is final: the job counts it before it leaves the table, so that a crash in between counts it again.
        _count(invocation, completed)
        tasks.archive(invocation.tables, completed, invocation.settings.closed_tasks_retention_days)
        return Tally(Archived=len(completed))

    def settle(task: Task) -> Tally:
        return _retried_or_buried(invocation, task, standings.get(task.worker_id))

    tally = Tally()
    completed = [task for task in ended if task.status is Status.COMPLETED]
    failed = [task for task in ended if task.status is not Status.COMPLETED]
    for _, outcome in side_by_side(archive, [completed] if completed else []):
        tally += _counted(outcome, "tasks not archived")
    for task, outcome in side_by_side(settle, failed, _CALLS_AT_ONCE):
        tally += _counted(outcome, "task not settled", **telemetry.ids(task))
    return tally


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
        return Tally(DeadTasks=1) + _announced(invocation, [dead])
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
    found = tasks.find(invocation.tables, (slot.task_id for slot in occupied))

    def mend(slot: Slot) -> Tally:
        task = found.get(slot.task_id)
        if task is not None and task.claim == slot.claim:
            return _ended(invocation, task, standing)
        # Where the claim went no further than the slot, it might still arrive.
        pending = task if task is not None and task.queue_rank == slot.rank else None
        if pending is not None and not tasks.void(invocation.tables, pending, standing.shards, invocation.clock()):
            return Tally()
        return _freed(invocation, slot)

    tally = Tally()
    for slot, outcome in side_by_side(mend, occupied, _CALLS_AT_ONCE):
        tally += _counted(outcome, "slot not mended", worker_id=slot.worker_id, slot=slot.index, task_id=slot.task_id)
    return tally


def _ended(invocation: Invocation, task: Task, standing: Standing | None) -> Tally:
    """Settle a task whose report's record is overdue or whose lease ended, and free its slot."""
    now = invocation.clock()
    overdue = task.status in REPORTED and now > (task.finished_at or 0) + GRACE_MS
    expired = task.status is Status.RUNNING and now > (task.lease_until or 0)
    if not (overdue or expired):
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
        for task, outcome in side_by_side(requeue, some, _CALLS_AT_ONCE):
            tally += _counted(outcome, "task not requeued", **telemetry.ids(task))
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
        found, (page, after) = Tally(), tasks.sweep(invocation.tables, after)
        for task, outcome in side_by_side(settle, page, _CALLS_AT_ONCE):
            found += _counted(outcome, "task not settled", **telemetry.ids(task))
        tally += found
        if not found or after is None or invocation.out_of_time:
            break
    if after != begun_after:
        registry.put_sweep_position(invocation.tables, after)
    return tally


def _outbox_announced(invocation: Invocation) -> Tally:
    """Announce the closed tasks whose announcement did not come through, or that the command line closed."""
    tally, ids = Tally(), tasks.outbox(invocation.tables)
    while not invocation.out_of_time and (some := list(islice(ids, BATCH_READ))):
        found = tasks.find_closed(invocation.tables, some).values()
        tally += _announced(invocation, [task for task in found if task.in_outbox])
    return tally


def _announced(invocation: Invocation, closed: Sequence[Task]) -> Tally:
    """Publish the alarms of dead tasks, count the closed in their jobs, then take them out of the outbox.

    In this order, so that an alarm may come twice, never not at all.
    """

    def publish(task: Task) -> Tally:
        if task.status is not Status.DEAD:
            return Tally()
        _alarm(invocation, task)
        return Tally(Alarms=1)

    tally, published = Tally(), []
    for task, outcome in side_by_side(publish, closed, _CALLS_AT_ONCE):
        tally += _counted(outcome, "alarm not sent", **telemetry.ids(task))
        if not isinstance(outcome, Exception):
            published.append(task)
    try:
        _count(invocation, published)
    except Exception as error:  # noqa: BLE001 - logged and counted, and done again by the next tick
        return tally + _counted(error, "closed tasks not counted")

    def announce(task: Task) -> bool:
        return tasks.announce(invocation.tables, task, invocation.clock())

    for task, done in side_by_side(announce, published, _CALLS_AT_ONCE):
        if isinstance(done, Exception):
            tally += _counted(done, "closed task not announced", **telemetry.ids(task))
    return tally


def _alarm(invocation: Invocation, task: Task) -> None:
    """Tell the people of a dead task."""
    failure = task.failure
    _publish(
        invocation.settings.alarm_topic_arn,
        f"{invocation.settings.name}: a task of {task.worker_id} is dead",
        {
            "alarm": "dead task",
            **telemetry.ids(task),
            "error": None if failure is None else {"type": failure.type, "message": failure.message},
            "reason": task.history[-1].reason,
            "dead_at": task.closed_at,
        },
    )


def _count(invocation: Invocation, closed: Sequence[Task]) -> None:
    """Count closed tasks in their jobs, and close the jobs whose last task is among them."""
    retention = invocation.settings.closed_tasks_retention_days
    _close(invocation, progress.note(invocation.tables, closed, invocation.clock(), retention))


def _close(invocation: Invocation, done: Iterable[JobRecord]) -> None:
    """Close jobs whose tasks are all closed."""
    for job in done:
        found = progress.counts(invocation.tables, job.job_id)
        logger.info("job closed", extra={"job_id": job.job_id, "worker_id": job.worker_id, **asdict(found)})
        _publish(
            invocation.settings.jobs_topic_arn,
            f"{invocation.settings.name}: a job of {job.worker_id} is closed",
            {"job_id": job.job_id, "worker_id": job.worker_id, "tasks": job.total, **asdict(found)},
        )
        retention = invocation.settings.closed_tasks_retention_days
        progress.close(invocation.tables, job, found, invocation.clock(), retention)


def _publish(topic_arn: str | None, subject: str, message: Mapping[str, Any]) -> None:
    if topic_arn is not None:
        text = json.dumps(message, indent=2)
        aws.sns().publish(TopicArn=topic_arn, Subject=subject[:_LONGEST_SUBJECT], Message=text)


def _jobs_resumed(invocation: Invocation) -> Tally:
    """Hand the jobs whose Scheduler stopped half-way to another, and finish those that were cancelled."""

    def resume(cursor: Cursor) -> Tally:
        if cursor.cancelled and cursor.at_rest:
            return _rest_cancelled(invocation, cursor)
        aws.lambda_().invoke(
            FunctionName=invocation.settings.function("scheduler"),
            InvocationType="Event",
            Payload=json.dumps({"resume": cursor.job_id}).encode(),
        )
        return Tally(Resumed=1)

    tally = Tally()
    stopped = [cursor for cursor in jobs.enqueuing(invocation.tables) if cursor.lease_until < invocation.clock()]
    for cursor, outcome in side_by_side(resume, stopped, _CALLS_AT_ONCE):
        tally += _counted(outcome, "job not resumed", job_id=cursor.job_id)
    return tally


def _rest_cancelled(invocation: Invocation, cursor: Cursor) -> Tally:
    """Count what is not written of a cancelled job as cancelled, some blocks at a time, then be done with it."""
    job = jobs.get(invocation.tables, cursor.job_id)
    total = 0 if job is None else job.total
    while cursor.position < total:
        if invocation.out_of_time:
            return Tally()
        some = range(cursor.position, min(cursor.position + _CANCELLED_AT_ONCE, total))
        retention = invocation.settings.closed_tasks_retention_days
        now = invocation.clock()
        _close(invocation, progress.note_unwritten(invocation.tables, cursor.job_id, some, now, retention))
        advanced = jobs.advance(invocation.tables, cursor, some.stop, cursor.lease_until)
        if advanced is None:
            return Tally()
        cursor = advanced
    jobs.finish(invocation.tables, cursor.job_id)
    return Tally()


def _counted(outcome: Tally | Exception, message: str, **extra: object) -> Tally:
    """What was done; a failure is logged and counted, and whatever it left is found again by the next tick."""
    if isinstance(outcome, Exception):
        logger.error(message, exc_info=outcome, extra=extra)
        return Tally(Failures=1)
    return outcome
