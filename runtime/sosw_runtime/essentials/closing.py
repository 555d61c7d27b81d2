"""Closing of jobs: their closed tasks are counted, and with the last one the job is closed and told of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Final

from sosw_runtime import telemetry
from sosw_runtime.domain.task import Task
from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.essentials.notifications import publish
from sosw_runtime.essentials.parallel import Counters, run_all
from sosw_runtime.essentials.rounds import Turns
from sosw_runtime.storage import jobs, progress
from sosw_runtime.storage.jobs import Cursor, JobRecord

_CALLS_AT_ONCE: Final = 8

logger = telemetry.logger("scavenger")


def count_closed(invocation: Invocation, closed: Sequence[Task]) -> None:
    """Count closed tasks in their jobs, and close the jobs whose last task is among them. Repeatable."""
    retention = invocation.settings.closed_tasks_retention_days
    _close_all(invocation, progress.add_closed(invocation.tables, closed, invocation.clock(), retention))


def cancel_rest(invocation: Invocation, cursor: Cursor) -> Turns:
    """Count what is not written of a cancelled job as cancelled, some blocks at a time, then be done with it."""
    job = jobs.get(invocation.tables, cursor.job_id)
    while job is not None and cursor.position < job.total:
        retention = invocation.settings.closed_tasks_retention_days
        position, full = progress.add_unwritten(invocation.tables, job, cursor.position, invocation.clock(), retention)
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

    waiting = progress.remembered_ids(invocation.tables, "closing")
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

    found = progress.remembered_ids(invocation.tables, "grouped")
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
    publish(
        invocation.settings.jobs_topic_arn,
        f"{invocation.settings.name}: a job of {job.worker_id} is closed",
        {"job_id": job.job_id, "worker_id": job.worker_id, "tasks": job.total, **asdict(found)},
    )
    retention = invocation.settings.closed_tasks_retention_days
    progress.close(invocation.tables, job, found, invocation.clock(), retention)
