"""Progress of a job: tasks by status, rate and time left."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sosw_runtime.domain.task import CLOSED, Status
from sosw_runtime.storage import jobs, progress, slots, tasks
from sosw_runtime.storage.jobs import JobRecord
from sosw_runtime.storage.progress import Counts
from sosw_runtime.storage.tables import Tables

#: Seconds that the rate covers: long enough to smooth single tasks, short enough to follow a change.
RATE_WINDOW: Final = 60.0
#: The largest job whose tasks are read one by one: 50 calls a table and snapshot, about 1 s.
FEW: Final = 5_000


@dataclass(frozen=True)
class Snapshot:
    """The counts of a job's tasks at one time. Every task is in exactly one of the counts."""

    job_id: str
    total: int
    to_come: int  # not yet enqueued, or just moving between two tables
    queued: int
    running: int
    waiting: int  # for a retry or a start time, or failed and not yet settled
    completed: int
    dead: int
    cancelled: int
    rate_per_second: float | None  # tasks closed, over the last minute; None in the first snapshot
    seconds_left: float | None  # at that rate; None while no task closes

    @property
    def closed(self) -> int:
        """Number of closed tasks."""
        return self.completed + self.dead + self.cancelled

    @property
    def is_closed(self) -> bool:
        """Whether every task is closed."""
        return self.closed == self.total

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(self).items()}


class JobProgress:
    """Takes snapshots of a job and computes the rate between them."""

    def __init__(self, job_id: str, total: int, count: Callable[[], Mapping[str, int]]) -> None:
        """Take no snapshot yet.

        Args:
            job_id: names the job.
            total: number of its tasks.
            count: reads the number of its tasks by status.
        """
        self._job_id = job_id
        self._total = total
        self._count = count
        self._closed_at_times: deque[tuple[float, int]] = deque()

    def take_snapshot(self, now: float) -> Snapshot:
        """Read the counts at `now` (seconds of a monotonic clock)."""
        found = Counter(self._count())
        closed = sum(found[outcome] for outcome in CLOSED)
        rate = self._update_rate(closed, now)
        return Snapshot(
            job_id=self._job_id,
            total=self._total,
            to_come=self._total - found.total(),
            queued=found["queued"],
            running=found["running"],
            waiting=found["waiting"] + found["failed"],
            completed=found["completed"],
            dead=found["dead"],
            cancelled=found["cancelled"],
            rate_per_second=rate,
            seconds_left=(self._total - closed) / rate if rate else None,
        )

    def _update_rate(self, closed: int, now: float) -> float | None:
        self._closed_at_times.append((now, closed))
        while len(self._closed_at_times) > 2 and self._closed_at_times[1][0] <= now - RATE_WINDOW:
            self._closed_at_times.popleft()
        since, before = self._closed_at_times[0]
        return (closed - before) / (now - since) if now > since else None


class TaskCounter:
    """Counts tasks by status, and reads each until it is closed."""

    def __init__(self, total: int, read_statuses: Callable[[Sequence[int]], Mapping[int, str]]) -> None:
        """Take every task as open.

        Args:
            total: number of tasks of the job.
            read_statuses: reads the status of tasks by number, without those that are in no table.
        """
        self._open = list(range(total))
        self._read_statuses = read_statuses
        self._closed: Counter[str] = Counter()

    def count(self) -> Counter[str]:
        """Read the open tasks; the number of tasks by status."""
        found = self._read_statuses(self._open)
        self._closed.update(status for status in found.values() if status in CLOSED)
        self._open = [number for number in self._open if found.get(number) not in CLOSED]
        return self._closed + Counter(found[number] for number in self._open if number in found)


def closed_counts(tables: Tables, job: JobRecord) -> Counts:
    """A job's closed tasks by outcome, as the Scavenger counted them. Dead ones may have been replayed since.

    Cost: nothing for a job that was closed without dead tasks, else 1 read unit per 1,000 tasks.
    """
    if job.closed_at is None:
        return progress.counts(tables, job)
    as_closed = Counts(job.completed or 0, job.dead or 0, job.cancelled or 0)
    if not as_closed.dead:
        return as_closed
    now = progress.counts(tables, job)
    # A job with dead tasks outlives its progress items.
    return now if now.total == job.total else as_closed


def count_by_status(tables: Tables, job: JobRecord) -> Counter[str]:
    """The number of a large job's tasks by status, without reading each task.

    Slots give the running tasks, a read the waiting ones, the Scavenger's counts the closed ones, some seconds late.
    All other written tasks count as queued. Cost: 1 read unit per 1,000 tasks, and 1 per running or waiting task.
    """
    held = tasks.find(tables, (slot.task_id for slot in slots.occupied(tables, job.worker_id))).values()
    running = sum(task.job_id == job.job_id and task.status is Status.RUNNING for task in held)
    waiting = sum(task.job_id == job.job_id for task in tasks.waiting(tables, job.worker_id))
    closed = closed_counts(tables, job)
    cursor = jobs.cursor(tables, job.job_id)
    written = job.total if cursor is None else cursor.position
    found = Counter(running=running, waiting=waiting, **asdict(closed))
    found["queued"] = max(0, written - found.total())
    return found


def of_job(tables: Tables, job: JobRecord) -> JobProgress:
    """The progress of a job: up to `FEW` tasks are read one by one, more are counted."""
    if job.closed_at is not None and not job.dead:
        return JobProgress(job.job_id, job.total, lambda: asdict(closed_counts(tables, job)))
    if job.total > FEW:
        return JobProgress(job.job_id, job.total, lambda: count_by_status(tables, job))

    def read_statuses(numbers: Sequence[int]) -> dict[int, str]:
        found: dict[int, str] = dict(jobs.statuses(tables, job, numbers))
        if len(found) < len(numbers):
            # Expired tasks, and tasks that a cancelled job never wrote, are in no table. Their outcomes are counted.
            missing = set(numbers) - found.keys()
            final = progress.final_outcomes(tables, job)
            found |= {number: outcome for number, outcome in final.items() if number in missing}
        return found

    return JobProgress(job.job_id, job.total, TaskCounter(job.total, read_statuses).count)
