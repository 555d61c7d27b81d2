"""Pacing: how fast new tasks are written, so that other writes to the same keys are not throttled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from sosw_runtime.domain.task import Status, Task

#: New tasks a second that one key of the index `queue` takes: it has 1,000 write units, and a task takes one when it is
#: queued and one when it is claimed.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
QUEUED_A_SECOND: Final = 500

#: Write units a second of the one key that a Worker's waiting tasks share. A task takes one per KB.
WAITING_UNITS_A_SECOND: Final = 1_000

#: Burst that may be written at once, as ms at the full pace: a small job never waits.
_BURST_MS: Final = 1_000

#: When DynamoDB throttles, the pace is halved, at most once in this time, in ms.
_HALVED_EVERY_MS: Final = 1_000

#: The slowest pace as a part of the fastest, and the ms in which it recovers to the fastest.
_SLOWEST: Final = 0.1
_RECOVERY_MS: Final = 10_000

#: Bytes of a task's item beside its payload.
_ITEM_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of one job, in units that its tasks take of their shared key."""

    top_rate: float  # units a second that the key takes
    rate: float  # units a second at present
    paid_until: float  # ms; when everything written so far has had its time at the rate
    halved_at: float  # ms
    raised_at: float  # ms

    @classmethod
    def begin(cls, top_rate: float, now: int) -> Pace:
        """The pace before the first write."""
        return cls(top_rate, top_rate, now, now - _HALVED_EVERY_MS, now)

    def pause(self, units: int, now: int) -> int:
        """Milliseconds to wait before this many units are written."""
        price = min(self._milliseconds_for(units), _BURST_MS)
        return max(0, ceil(self.paid_until + price - _BURST_MS - now))

    def after(self, units: int, now: int, *, throttled: bool) -> Pace:
        """The pace after this many units were written; `throttled`: DynamoDB sent some of them back at first."""
        paid_until = max(self.paid_until, now) + self._milliseconds_for(units)
        if not throttled:
            raised = self.rate + self.top_rate * (1 - _SLOWEST) * (now - self.raised_at) / _RECOVERY_MS
            return replace(self, paid_until=paid_until, rate=min(self.top_rate, raised), raised_at=now)
        if now - self.halved_at < _HALVED_EVERY_MS:
            return replace(self, paid_until=paid_until, raised_at=now)
        rate = max(self.top_rate * _SLOWEST, self.rate / 2)
        return replace(self, paid_until=paid_until, rate=rate, halved_at=now, raised_at=now)

    def _milliseconds_for(self, units: int) -> float:
        """Milliseconds that this many units take at the rate."""
        return 1000 * units / self.rate


def units(task: Task) -> int:
    """Units that a new task takes of the key that it shares with its job's other tasks.

    A queued task shares the index key alone, where it takes one unit whatever its size.
    """
    if task.status is Status.QUEUED:
        return 1
    return ceil((len(task.payload.encode()) + _ITEM_BYTES) / 1024)


def units_a_second(shards: int, *, delayed: bool) -> int:
    """Units a second that the shared keys of a Worker's new tasks take; `delayed`: the tasks wait for a start time."""
    return WAITING_UNITS_A_SECOND if delayed else QUEUED_A_SECOND * shards
