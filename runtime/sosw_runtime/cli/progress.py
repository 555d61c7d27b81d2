"""How far a job has come: counts by state, rate and time left."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sosw_runtime.domain.task import CLOSED

#: Seconds over which the rate is taken: long enough to smooth single tasks, short enough to follow a change.
RATE_WINDOW: Final = 60.0


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
        """Tasks that will not change any more."""
        return self.completed + self.dead + self.cancelled

    @property
    def done(self) -> bool:
        """Every task is closed."""
        return self.closed == self.total

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(self).items()}


class JobProgress:
    """Looks at a job again and again; a task that is found closed is not looked at again, since closed is final."""

    def __init__(self, job_id: str, states: Callable[[Sequence[int]], Mapping[int, str]]) -> None:
        """Begin.

        Args:
            job_id: names the job.
            states: reads the states of tasks by their numbers; one that is nowhere is left out.
        """
        self._job_id = job_id
        self._states = states
        self._total = 0
        self._open: list[int] = []
        self._closed: Counter[str] = Counter()
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, total: int, now: float) -> Snapshot:
        """The state of all `total` tasks at `now` (seconds of a clock that never goes back)."""
        self._open.extend(range(self._total, total))
        self._total = total
        found = self._states(self._open)
        self._closed.update(state for state in found.values() if state in CLOSED)
        self._open = [number for number in self._open if found.get(number) not in CLOSED]
        open_ = Counter(found[number] for number in self._open if number in found)
        closed = self._closed.total()
        rate = self._rate(closed, now)
        left = total - closed
        return Snapshot(
            job_id=self._job_id,
            total=total,
            to_come=left - open_.total(),
            queued=open_["queued"],
            running=open_["running"],
            waiting=open_["waiting"] + open_["failed"],
            completed=self._closed["completed"],
            dead=self._closed["dead"],
            cancelled=self._closed["cancelled"],
            rate_per_second=rate,
            seconds_left=left / rate if rate else None,
        )

    def _rate(self, closed: int, now: float) -> float | None:
        self._looks.append((now, closed))
        while len(self._looks) > 2 and self._looks[1][0] <= now - RATE_WINDOW:
            self._looks.popleft()
        since, before = self._looks[0]
        return (closed - before) / (now - since) if now > since else None
