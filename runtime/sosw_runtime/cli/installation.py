"""The state of an installation at one time, and what of it needs a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sosw_runtime.cli import times
from sosw_runtime.storage.jobs import Cursor, JobRecord
from sosw_runtime.storage.registry import Control

#: Tasks of a kind are counted up to this number, since counting reads them.
COUNTED_AT_MOST: Final = 1000

#: The Scavenger resumes a stopped job within a minute. This long after the end of the lease (ms) it has failed to.
_RESUMED_WITHIN_MS: Final = 300_000


@dataclass(frozen=True)
class WorkerState:
    """A Worker and its open tasks."""

    worker_id: str
    queued: int  # at most `COUNTED_AT_MOST`
    oldest_queued_at: int | None  # ms, since when a task is in the queue; of the counted ones
    running: int  # occupied slots
    max_concurrency: int | None  # None: there is no readable registration
    allowed: int | None  # by health, and 0 while it is paused
    health: str
    dead: int  # at most `COUNTED_AT_MOST`
    control: Control
    is_registered: bool
    problem: str | None  # why there is no registration, or it cannot be read

    @property
    def state(self) -> str:
        """One word."""
        if self.problem is not None:
            return "unreadable" if self.is_registered else "unregistered"
        return "paused" if self.control.paused else "active"


@dataclass(frozen=True)
class Alarm:
    """A CloudWatch alarm that is on."""

    name: str
    since: int  # ms


@dataclass(frozen=True)
class Unknown:
    """Something that could not be read, and why."""

    what: str
    why: str

    def __str__(self) -> str:
        return f"{self.what} not known: {self.why}"


@dataclass(frozen=True)
class Installation:
    """All that was read."""

    name: str
    at: int  # ms
    version: str  # of the command's package
    workers: Sequence[WorkerState]
    open_jobs: Sequence[JobRecord]
    cursors: Sequence[Cursor]
    alarms: Sequence[Alarm] | Unknown
    versions: dict[str, str | None] | Unknown  # by function; None: it names none

    @property
    def oldest_queued(self) -> WorkerState | None:
        """The Worker whose queue has the oldest task."""
        queues = [worker for worker in self.workers if worker.oldest_queued_at is not None]
        return min(queues, key=lambda worker: worker.oldest_queued_at or 0, default=None)

    def needs(self) -> list[str]:
        """What a person has to look at, a sentence each."""
        return [*self._alarms(), *self._versions(), *self._workers(), *self._jobs()]

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        unknown = [str(read) for read in (self.alarms, self.versions) if isinstance(read, Unknown)]
        return {
            "name": self.name,
            "at": self.at,
            "needs": self.needs(),
            "unknown": unknown,
            "workers": [
                {**{key: value for key, value in asdict(worker).items() if key != "control"}, "state": worker.state}
                for worker in self.workers
            ],
            "open_jobs": [job.job_id for job in self.open_jobs],
            "alarms": None if isinstance(self.alarms, Unknown) else [asdict(alarm) for alarm in self.alarms],
            "version": self.version,
            "function_versions": None if isinstance(self.versions, Unknown) else self.versions,
        }

    def _alarms(self) -> Iterator[str]:
        if not isinstance(self.alarms, Unknown):
            for alarm in self.alarms:
                yield f"alarm {alarm.name} is on since {times.as_text(alarm.since)} UTC"

    def _versions(self) -> Iterator[str]:
        if not isinstance(self.versions, Unknown):
            for function, version in self.versions.items():
                if version != self.version:
                    yield f"{function} is of version {version or 'unknown'}, this command of {self.version}"

    def _workers(self) -> Iterator[str]:
        for worker in self.workers:
            if worker.dead:
                yield f"{counted(worker.dead)} dead tasks of {worker.worker_id}: inspect, then replay or cancel them"
            if worker.problem is not None and (worker.is_registered or worker.queued):
                yield worker.problem

    def _jobs(self) -> Iterator[str]:
        for cursor in self.cursors:
            if cursor.holder and not cursor.cancelled and self.at - cursor.lease_until > _RESUMED_WITHIN_MS:
                ended = times.as_text(cursor.lease_until)
                yield f"job {cursor.job_id} is not wholly enqueued, and nobody resumes it since {ended} UTC"


def counted(number: int) -> str:
    """A count as text, with a sign where counting ended."""
    return f"{number}+" if number >= COUNTED_AT_MOST else str(number)
