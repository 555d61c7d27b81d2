"""How far a job has come: counts by state, rate and time left."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, Final

from sosw_runtime.domain.task import CLOSED, Status
from sosw_runtime.storage import jobs, progress, slots, tasks
from sosw_runtime.storage.jobs import JobRecord
from sosw_runtime.storage.progress import Counts
from sosw_runtime.storage.tables import Tables

#: Seconds over which the rate is taken: long enough to smooth single tasks, short enough to follow a change.
RATE_WINDOW: Final = 60.0
#: Tasks up to which each is looked at by itself: 50 calls a table and look, about 1 s.
FEW: Final = 5_000


@dataclass(frozen=True)
class Snapshot:
    """One look at a job. Every task is in exactly one of the counts."""

    job_id: str
    total: int
    to_come: int  # not yet enqueued, or between two tables at this moment
    queued: int
    running: int
    waiting: int  # for another try or a start time; a failed attempt that awaits this decision too
    completed: int
    dead: int
    cancelled: int
    rate_per_second: float | None  # tasks closed, over the last minute; None before two looks
    seconds_left: float | None  # at that rate; None while nothing closes

    @property
    def closed(self) -> int:
        """Tasks that will not change by themselves any more."""
        return self.completed + self.dead + self.cancelled

    @property
    def is_done(self) -> bool:
        """Every task is closed."""
        return self.closed == self.total

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(self).items()}


class JobProgress:
    """Looks at a job again and again."""

    def __init__(self, job_id: str, total: int, states: Callable[[], Mapping[str, int]]) -> None:
        """Begin.

        Args:
            job_id: names the job.
            total: its tasks.
            states: how many of them stand where now.
        """
        self._job_id = job_id
        self._total = total
        self._states = states
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, now: float) -> Snapshot:
        """How the job stands at `now` (seconds of a clock that never goes back)."""
        found = Counter(self._states())
        closed = sum(found[outcome] for outcome in CLOSED)
        rate = self._rate(closed, now)
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

    def _rate(self, closed: int, now: float) -> float | None:
        self._looks.append((now, closed))
        while len(self._looks) > 2 and self._looks[1][0] <= now - RATE_WINDOW:
            self._looks.popleft()
        since, before = self._looks[0]
        return (closed - before) / (now - since) if now > since else None


class EachTask:
    """Where the tasks stand, each looked at by itself until it is found closed."""

    def __init__(self, total: int, states: Callable[[Sequence[int]], Mapping[int, str]]) -> None:
        """Begin.

        Args:
            total: tasks of the job.
            states: reads where tasks stand, by number; one that is nowhere is left out.
        """
        self._open = list(range(total))
        self._states = states
        self._closed: Counter[str] = Counter()

    def __call__(self) -> Counter[str]:
        """How many stand where now."""
        found = self._states(self._open)
        self._closed.update(state for state in found.values() if state in CLOSED)
        self._open = [number for number in self._open if found.get(number) not in CLOSED]
        return self._closed + Counter(found[number] for number in self._open if number in found)


def closed_tasks(tables: Tables, job: JobRecord) -> Counts:
    """A job's closed tasks by outcome, as they are counted: those that were dead may have been replayed since.

    Cost: nothing for a job that was closed without dead tasks, else 1 read unit per 1,000 tasks.
    """
    if job.closed_at is None:
        return progress.counts(tables, job)
    as_closed = Counts(job.completed or 0, job.dead or 0, job.cancelled or 0)
    if not as_closed.dead:
        return as_closed
    now = progress.counts(tables, job)
    # A job with dead tasks is kept longer than what it is counted by.
    return now if sum(astuple(now)) == job.total else as_closed


def count_states(tables: Tables, job: JobRecord) -> Counter[str]:
    """Where the tasks of a large job stand, by what is counted of it anyway.

    Running ones are those in slots, waiting ones are read, closed ones are the Scavenger's count, which comes some
    seconds later; whatever else is written counts as queued. Cost: 1 read unit per 1,000 tasks, and per running or
    waiting one.
    """
    held = tasks.find(tables, (slot.task_id for slot in slots.occupied(tables, job.worker_id))).values()
    running = sum(task.job_id == job.job_id and task.status is Status.RUNNING for task in held)
    waiting = sum(task.job_id == job.job_id for task in tasks.waiting(tables, job.worker_id))
    closed = closed_tasks(tables, job)
    cursor = jobs.cursor(tables, job.job_id)
    written = job.total if cursor is None else cursor.position
    found = Counter(running=running, waiting=waiting, **asdict(closed))
    found["queued"] = max(0, written - found.total())
    return found


def of_job(tables: Tables, job: JobRecord) -> JobProgress:
    """The progress of a job, by the way that fits its size."""
    if job.closed_at is not None and not job.dead:
        return JobProgress(job.job_id, job.total, lambda: asdict(closed_tasks(tables, job)))
    if job.total > FEW:
        return JobProgress(job.job_id, job.total, lambda: count_states(tables, job))

    def states(numbers: Sequence[int]) -> dict[int, str]:
        found: dict[int, str] = dict(jobs.states(tables, job, numbers))
        if len(found) < len(numbers):
            # What was not yet written when its job was cancelled, and what has expired, stands nowhere and is counted.
            missing = set(numbers) - found.keys()
            found |= {number: outcome for number, outcome in progress.final(tables, job).items() if number in missing}
        return found

    return JobProgress(job.job_id, job.total, EachTask(job.total, states))
