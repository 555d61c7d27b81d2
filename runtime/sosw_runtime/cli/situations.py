"""Reading what the reasons of a standing job are found in."""

from __future__ import annotations

from sosw_runtime.cli.progress import Snapshot
from sosw_runtime.cli.reasons import Situation
from sosw_runtime.storage import jobs, registry, slots, tasks
from sosw_runtime.storage.jobs import JobRecord
from sosw_runtime.storage.tables import Tables


def read(tables: Tables, job: JobRecord, snapshot: Snapshot, at: int) -> Situation:
    """What stands in the tables of a job and its Worker at `at` (ms).

    Cost: 1.5 read units for the Worker, 1 for the cursor of a job that is not wholly enqueued. While tasks are queued
    0.5 per 25 slots, and 1 per slot if not all are the job's own. While tasks wait 1 per 4 KB of waiting tasks of the
    Worker that are due earlier, and at most 256 beyond them.
    """
    occupied = slots.occupied(tables, job.worker_id) if snapshot.queued else []
    by_others = 0
    if len(occupied) > snapshot.running:
        held = tasks.find(tables, (slot.task_id for slot in occupied)).values()
        by_others = sum(task.job_id != job.job_id for task in held)
    return Situation(
        at=at,
        snapshot=snapshot,
        job=job,
        cursor=jobs.cursor(tables, job.job_id) if snapshot.to_come else None,
        worker=registry.find_workers(tables, [job.worker_id])[job.worker_id],
        occupied=len(occupied),
        by_others=by_others,
        due_at=_first_due(tables, job) if snapshot.waiting else None,
    )


def _first_due(tables: Tables, job: JobRecord) -> int | None:
    """When the job's waiting task that is due first is due (ms). The Worker's tasks are read by that time."""
    own = (task for task in tasks.waiting(tables, job.worker_id) if task.job_id == job.job_id)
    first = next(own, None)
    return None if first is None else first.due_at
