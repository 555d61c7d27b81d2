"""Dead tasks of jobs, as the index by outcome has them: why they died, and whether some were replayed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from sosw_runtime.cli import selection
from sosw_runtime.domain.task import Error, Status, Task
from sosw_runtime.storage import progress, tasks
from sosw_runtime.storage.jobs import JobRecord
from sosw_runtime.storage.tables import Tables

#: Most entries of the index that are read of a Worker: about 250 read units.
_ENTRIES: Final = 10_000
#: Most dead tasks that are read whole.
_TASKS: Final = 1_000


@dataclass(frozen=True)
class Failure:
    """The dead tasks of a job with one type of error."""

    type: str
    count: int
    task_id: str  # of the first of them to die
    message: str  # of its error


def failures(tables: Tables, job: JobRecord, dead: int) -> list[Failure]:
    """A job's dead tasks by the type of their last error, the most frequent first; of the first 1,000 to die.

    Cost: 0.5 read units per 20 of the Worker's dead tasks since the job was accepted, and 1 per 4 KB of each task.

    Args:
        tables: of the installation.
        job: whose tasks they are.
        dead: their number, at which reading ends.
    """
    entries = islice(tasks.closed_entries(tables, job.worker_id, Status.DEAD, job.created_at), _ENTRIES)
    ids = (entry.task_id for entry in entries if entry.job_id == job.job_id)
    of_type: dict[str, list[tuple[Task, Error]]] = defaultdict(list)
    for task in islice(selection.closed_by_id(tables, islice(ids, dead)), min(dead, _TASKS)):
        error = task.failure or Error("no error was reported", _last_reason(task))
        of_type[error.type].append((task, error))
    found = [
        Failure(kind, len(dead_ones), dead_ones[0][0].task_id, dead_ones[0][1].message)
        for kind, dead_ones in of_type.items()
    ]
    return sorted(found, key=lambda failure: -failure.count)


def replayed_jobs(tables: Tables, dead: Mapping[JobRecord, int]) -> set[str]:
    """The ids of closed jobs that have open tasks again: fewer of their tasks are dead than are counted as dead.

    Without the jobs of a Worker with more than 10,000 dead tasks since the oldest of them.
    Cost: 0.5 read units per 20 dead tasks, and for each job found as `progress.counts`.

    Args:
        tables: of the installation.
        dead: closed jobs with the number of their tasks that are counted as dead.
    """
    by_worker: dict[str, list[JobRecord]] = defaultdict(list)
    for job, count in dead.items():
        if job.closed_at is not None and count:
            by_worker[job.worker_id].append(job)
    found: set[str] = set()
    for worker_id, its_jobs in by_worker.items():
        still_dead = _dead_by_job(tables, worker_id, its_jobs)
        if still_dead is not None:
            fewer = (job for job in its_jobs if still_dead[job.job_id] < dead[job])
            found |= {job.job_id for job in fewer if _is_counted(tables, job)}
    return found


def _dead_by_job(tables: Tables, worker_id: str, its_jobs: Iterable[JobRecord]) -> Counter[str] | None:
    """The number of a Worker's dead tasks by job; None if there are too many to be read."""
    since = min(job.created_at for job in its_jobs)
    entries = tasks.closed_entries(tables, worker_id, Status.DEAD, since)
    by_job = Counter(entry.job_id for entry in islice(entries, _ENTRIES))
    return None if next(entries, None) is not None else by_job


def _is_counted(tables: Tables, job: JobRecord) -> bool:
    """Whether a job's progress is still there. It may expire before the job, and then its dead are those of its end."""
    return progress.counts(tables, job).total == job.total


def _last_reason(task: Task) -> str:
    return next((entry.reason for entry in reversed(task.history) if entry.reason), "")
