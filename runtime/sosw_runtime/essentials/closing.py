"""Closing: what is told and noted once tasks are closed. The dead are alarmed, all are counted, and their job ends."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any, Final

from sosw_runtime import aws, telemetry
from sosw_runtime.domain.task import REASON_LENGTH, Status, Task
from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.essentials.parallel import Counters, log_if_failed, run_all, run_batch, run_concurrently
from sosw_runtime.essentials.rounds import Turns
from sosw_runtime.storage import jobs, moves, progress, tasks
from sosw_runtime.storage.jobs import Cursor, JobRecord
from sosw_runtime.storage.tables import BATCH_READ

_CALLS_AT_ONCE: Final = 8

#: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_LONGEST_SUBJECT: Final = 100

#: Dead tasks of one message, which may have 256 KB: each of them has up to 10 KB, its texts being of 300 characters.
_DEATHS_A_MESSAGE: Final = 20

logger = telemetry.logger("scavenger")


# --- tasks -------------------------------------------------------------------------------------------------------


def announce(invocation: Invocation, closed: Sequence[Task]) -> Counters:
    """Publish the alarms of dead tasks, count the closed in their jobs, then take them out of the outbox.

    In this order, so that an alarm may come twice, never not at all. What fails stays in the outbox.
    """

    def publish(dead: Sequence[Task]) -> Counters:
        _publish_alarm(invocation, dead)
        return Counters(Alarms=1)

    counters, published = Counters(), [task for task in closed if task.status is not Status.DEAD]
    for dead, outcome in run_concurrently(publish, _by_alarm(closed), _CALLS_AT_ONCE, invocation.has_time):
        about = {"worker_id": dead[0].worker_id, "job_id": dead[0].job_id, "task_ids": [task.task_id for task in dead]}
        counters += log_if_failed(outcome, logger, "alarm not sent", **about)
        if not isinstance(outcome, Exception):
            published += dead

    def leave_outbox(task: Task) -> Counters:
        retention = invocation.settings.closed_tasks_retention_days
        moves.announce(invocation.tables, task, invocation.clock(), retention)
        return Counters()

    def count_and_leave_outbox(some: Sequence[Task]) -> Counters:
        count_closed(invocation, some)
        return run_all(leave_outbox, some, _CALLS_AT_ONCE, logger, "closed task not announced", telemetry.ids)

    return counters + run_batch(
        count_and_leave_outbox, published, _CALLS_AT_ONCE, logger, "closed tasks not counted", telemetry.ids
    )


def announce_outbox(invocation: Invocation) -> Turns:
    """Announce the closed tasks whose announcement did not come through, or that the command line closed."""
    ids = tasks.outbox(invocation.tables)
    while some := list(islice(ids, BATCH_READ)):
        found = tasks.find_closed(invocation.tables, some).values()
        yield announce(invocation, [task for task in found if task.in_outbox])
    return Counters()


def _by_alarm(closed: Iterable[Task]) -> list[list[Task]]:
    """The dead tasks of each message: those of one job, as many as a message holds."""
    by_job: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in closed:
        if task.status is Status.DEAD:
            by_job[task.worker_id, task.job_id].append(task)
    return [
        dead[start : start + _DEATHS_A_MESSAGE]
        for dead in by_job.values()
        for start in range(0, len(dead), _DEATHS_A_MESSAGE)
    ]


def _publish_alarm(invocation: Invocation, dead: Sequence[Task]) -> None:
    """Tell the people of a dead task, or of several of one job."""
    name, first = invocation.settings.name, dead[0]
    subject = f"{name}: a task of {first.worker_id} is dead"
    message: dict[str, Any] = {"alarm": "dead task", **telemetry.ids(first), **_death(first)}
    if len(dead) > 1:
        subject = f"{name}: {len(dead)} tasks of {first.worker_id} are dead"
        deaths = [_death(task) for task in dead]
        message = {"alarm": "dead tasks", "worker_id": first.worker_id, "job_id": first.job_id, "tasks": deaths}
    _publish(invocation.settings.alarm_topic_arn, subject, message)


def _death(task: Task) -> dict[str, Any]:
    """A dead task as its alarm tells of it."""
    failure, reason = task.failure, task.history[-1].reason
    return {
        "task_id": task.task_id,
        "attempt": task.attempt,
        "error": None if failure is None else {"type": failure.type, "message": failure.message},
        "reason": None if reason is None else reason[:REASON_LENGTH],
        "dead_at": task.closed_at,
    }


# --- jobs --------------------------------------------------------------------------------------------------------


def count_closed(invocation: Invocation, closed: Sequence[Task]) -> None:
    """Count closed tasks in their jobs, and close the jobs whose last task is among them. Repeatable."""
    retention = invocation.settings.closed_tasks_retention_days
    _close_all(invocation, progress.note(invocation.tables, closed, invocation.clock(), retention))


def cancel_rest(invocation: Invocation, cursor: Cursor) -> Turns:
    """Count what is not written of a cancelled job as cancelled, some blocks at a time, then be done with it."""
    job = jobs.get(invocation.tables, cursor.job_id)
    while job is not None and cursor.position < job.total:
        retention = invocation.settings.closed_tasks_retention_days
        position, full = progress.note_unwritten(invocation.tables, job, cursor.position, invocation.clock(), retention)
        _close_all(invocation, full)
        advanced = jobs.advance(invocation.tables, cursor, position, cursor.lease_until)
        if advanced is None:
            return Counters()
        cursor = advanced
        yield Counters()
    jobs.finish(invocation.tables, cursor)
    return Counters()


def close_jobs(invocation: Invocation) -> Counters:
    """Close the jobs that could not be closed when their last task was."""

    def close(job_id: str) -> Counters:
        job = jobs.get(invocation.tables, job_id)
        if job is not None and job.closed_at is None:
            _close(invocation, job)
        progress.forget(invocation.tables, "closing", job_id)
        return Counters()

    def about(job_id: str) -> dict[str, object]:
        return {"job_id": job_id}

    waiting = progress.remembered(invocation.tables, "closing")
    return run_all(close, waiting, _CALLS_AT_ONCE, logger, "job not closed", about, invocation.has_time)


def close_grouped_jobs(invocation: Invocation) -> Counters:
    """Move what version 0.1.0 noted of large jobs to their groups, and close the jobs that are full with it."""

    def look_after(job_id: str) -> Counters:
        job = jobs.get(invocation.tables, job_id)
        if job is None or job.closed_at is not None or not progress.is_grouped(job):
            progress.forget(invocation.tables, "grouped", job_id)
            return Counters()
        retention = invocation.settings.closed_tasks_retention_days
        while job is not None and job.full_blocks and not invocation.out_of_time:
            job = progress.regroup(invocation.tables, job, invocation.clock(), retention)
        if job is not None and progress.is_full(job):
            _close_all(invocation, [job])
        return Counters()

    found = progress.remembered(invocation.tables, "grouped")
    return run_all(look_after, found, _CALLS_AT_ONCE, logger, "job not regrouped", lambda job_id: {"job_id": job_id})


def _close_all(invocation: Invocation, done: Iterable[JobRecord]) -> None:
    """Close jobs; one that cannot be closed is remembered, so that its tasks need not wait for it."""
    for job in done:
        try:
            _close(invocation, job)
        except Exception:
            logger.exception("job not closed; the tick tries again", extra={"job_id": job.job_id})
            progress.remember(invocation.tables, "closing", job.job_id)


def _close(invocation: Invocation, job: JobRecord) -> None:
    """Tell that all tasks of a job are closed, then note it."""
    found = progress.counts(invocation.tables, job)
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
