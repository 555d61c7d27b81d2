"""Closing: closed tasks are counted in their jobs, and a job is closed and published with its last task."""

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
    """Count closed tasks in their jobs, and close the jobs whose tasks are now all closed. Idempotent."""
    retention = invocation.settings.closed_tasks_retention_days
    _close_jobs(invocation, progress.add_closed(invocation.tables, closed, invocation.clock(), retention))


def count_unwritten(invocation: Invocation, cursor: Cursor) -> Turns:
    """Count the unwritten tasks of a cancelled job as cancelled, some blocks a turn, then delete its cursor."""
    job = jobs.get(invocation.tables, cursor.job_id)
    while job is not None and cursor.position < job.total:
        retention = invocation.settings.closed_tasks_retention_days
        position, full = progress.add_unwritten(invocation.tables, job, cursor.position, invocation.clock(), retention)
        _close_jobs(invocation, full)
        advanced = jobs.advance(invocation.tables, cursor, position, cursor.lease_until)
        if advanced is None:
            return Counters()
        cursor = advanced
        yield Counters()
    jobs.delete_cursor(invocation.tables, cursor)
    return Counters()


def close_remembered_jobs(invocation: Invocation) -> Counters:
    """Close the jobs whose closing failed when their last task was closed."""

    def close(job_id: str) -> Counters:
        job = jobs.get(invocation.tables, job_id)
        if job is not None and job.closed_at is None:
            _close_job(invocation, job)
        progress.forget(invocation.tables, "closing", job_id)
        return Counters()

    def about(job_id: str) -> dict[str, object]:
        return {"job_id": job_id}

    job_ids = progress.remembered_ids(invocation.tables, "closing")
    return run_all(close, job_ids, _CALLS_AT_ONCE, logger, "job not closed", about, invocation.has_time)


def close_grouped_jobs(invocation: Invocation) -> Counters:
    """Move the blocks that version 0.1.0 recorded on large jobs to their groups, and close jobs that are full."""

    def regroup_and_close(job_id: str) -> Counters:
        job = jobs.get(invocation.tables, job_id)
        if job is None or job.closed_at is not None or not progress.is_grouped(job):
            progress.forget(invocation.tables, "grouped", job_id)
            return Counters()
        retention = invocation.settings.closed_tasks_retention_days
        while job is not None and job.full_blocks and not invocation.out_of_time:
            job = progress.regroup(invocation.tables, job, invocation.clock(), retention)
        if job is not None and progress.is_full(job):
            _close_jobs(invocation, [job])
        return Counters()

    job_ids = progress.remembered_ids(invocation.tables, "grouped")
    return run_all(
        regroup_and_close, job_ids, _CALLS_AT_ONCE, logger, "job not regrouped", lambda job_id: {"job_id": job_id}
    )


def _close_jobs(invocation: Invocation, full: Iterable[JobRecord]) -> None:
    """Close jobs. A job whose closing fails is remembered for the tick, and its tasks do not wait for it."""
    for job in full:
        try:
            _close_job(invocation, job)
        except Exception:
            logger.exception("job not closed; the tick tries again", extra={"job_id": job.job_id})
            progress.remember(invocation.tables, "closing", job.job_id)


def _close_job(invocation: Invocation, job: JobRecord) -> None:
    """Publish that all tasks of a job are closed, then mark the job as closed."""
    found = progress.counts(invocation.tables, job)
    logger.info("job closed", extra={"job_id": job.job_id, "worker_id": job.worker_id, **asdict(found)})
    publish(
        invocation.settings.jobs_topic_arn,
        f"{invocation.settings.name}: a job of {job.worker_id} is closed",
        {"job_id": job.job_id, "worker_id": job.worker_id, "tasks": job.total, **asdict(found)},
    )
    retention = invocation.settings.closed_tasks_retention_days
    progress.close(invocation.tables, job, found, invocation.clock(), retention)
