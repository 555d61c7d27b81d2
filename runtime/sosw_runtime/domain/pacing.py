"""Pacing: how fast new tasks are written, so that the keys that they share have room left for everyone else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Final

from sosw_runtime.domain.task import Status, Task

#: New tasks a second that one key of the index `queue` takes: 1,000 write units, of which a task takes one when it is
#: queued, and leaves one for its claim.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
QUEUED_A_SECOND: Final = 500

#: Write units a second that the key takes under which all waiting tasks of a Worker stand; a task takes one a KB.
WAITING_UNITS_A_SECOND: Final = 1_000

#: What may be written at once is worth so long, in ms: a small job never waits.
_BURST_MS: Final = 1_000

#: Throttled, the pace is halved, at most once in this time, in ms.
_HALVED_EVERY_MS: Final = 1_000

#: The slowest pace, over the fastest; and the time in which the slowest becomes the fastest again, in ms.
_SLOWEST: Final = 0.1
_RECOVERY_MS: Final = 10_000

#: Bytes of a task's item beside its payload.
_ITEM_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace of one job, in units: of what its tasks take of the key that they share."""

    most: float  # units a second that the key takes
    rate: float  # units a second, for now
    paid_until: float  # ms; at this time all that was written is worth its time at the rate
    halved_at: float  # ms
    raised_at: float  # ms

    @classmethod
    def begin(cls, most: float, now: int) -> Pace:
        """Nothing is written yet."""
        return cls(most, most, now, now - _HALVED_EVERY_MS, now)

    def pause(self, units: int, now: int) -> int:
        """Milliseconds to wait before so many units more are written."""
        worth = min(self._worth(units), _BURST_MS)
        return max(0, ceil(self.paid_until + worth - _BURST_MS - now))

    def after(self, units: int, now: int, *, throttled: bool) -> Pace:
        """The pace once so many units were written, and DynamoDB was too busy for some of them at first, or not."""
        paid_until = max(self.paid_until, now) + self._worth(units)
        if not throttled:
            raised = self.rate + self.most * (1 - _SLOWEST) * (now - self.raised_at) / _RECOVERY_MS
            return replace(self, paid_until=paid_until, rate=min(self.most, raised), raised_at=now)
        if now - self.halved_at < _HALVED_EVERY_MS:
            return replace(self, paid_until=paid_until, raised_at=now)
        rate = max(self.most * _SLOWEST, self.rate / 2)
        return replace(self, paid_until=paid_until, rate=rate, halved_at=now, raised_at=now)

    def _worth(self, units: int) -> float:
        """Milliseconds in which so many units are written at the rate."""
        return 1000 * units / self.rate


def units(task: Task) -> int:
    """What a new task takes of the key that it shares with the others of its job.

    Queued, that is its entry in the index, whatever its size: the task itself stands under a key of its own.
    """
    if task.status is Status.QUEUED:
        return 1
    return ceil((len(task.payload.encode()) + _ITEM_BYTES) / 1024)


def most(shards: int, *, delayed: bool) -> int:
    """Units a second that the keys of a Worker's new tasks take, which wait for a time or are queued."""
    return WAITING_UNITS_A_SECOND if delayed else QUEUED_A_SECOND * shards
