"""Reading what the estimate of a job rests on."""

from __future__ import annotations

from heapq import nlargest
from typing import Final

from sosw_runtime.cli.estimate import Outlook
from sosw_runtime.cli.installation import COUNTED_AT_MOST
from sosw_runtime.domain.task import Status, task_id
from sosw_runtime.errors import Refused
from sosw_runtime.storage import jobs, registry, slots, tasks
from sosw_runtime.storage.registry import WorkerRecord
from sosw_runtime.storage.tables import BATCH_READ, Tables

#: The newest jobs whose tasks are sampled, one read of tasks each.
_SAMPLED_JOBS: Final = 3


def worker_of(tables: Tables, named: str) -> WorkerRecord:
    """The registered Worker that a job names, by its id, its function's name or ARN.

    Raises:
        Refused: there is none.
    """
    found = registry.find_named(tables, named)
    if found is None:
        raise Refused("worker", named, "expected a registered Worker")
    return found


def read(tables: Tables, worker: WorkerRecord) -> Outlook:
    """What is known of a Worker. Cost in read units: 0.5 per 15 stored jobs, and about 350 at most for the rest."""
    queued = tasks.queue_head(tables, worker.worker_id, worker.shards, COUNTED_AT_MOST)
    return Outlook(
        durations_ms=_recent_durations(tables, worker.worker_id),
        allowed=worker.current_limit,
        ahead=len(queued) + len(slots.occupied(tables, worker.worker_id)),
        ahead_is_cut=len(queued) == COUNTED_AT_MOST,
    )


def _recent_durations(tables: Tables, worker_id: str) -> list[int]:
    """Durations (ms) of completed tasks, spread over the Worker's newest jobs."""
    own = (job for job in jobs.list_all(tables) if job.worker_id == worker_id)
    durations = []
    for job in nlargest(_SAMPLED_JOBS, own, key=lambda job: job.created_at):
        numbers = range(0, job.total, max(1, job.total // BATCH_READ))[:BATCH_READ]
        closed = tasks.find_closed(tables, (task_id(job.job_id, number) for number in numbers)).values()
        durations += [
            task.duration_ms for task in closed if task.status is Status.COMPLETED and task.duration_ms is not None
        ]
    return durations
