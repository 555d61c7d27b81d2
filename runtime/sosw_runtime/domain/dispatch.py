"""The policy of a dispatch: how many tasks of a Worker may run, and which of its slots are filled, kept or freed.

A limit may be lowered while more tasks run. Any number of Orchestrators may plan at once, each from its own view of
the slots, older or newer. Each one takes no slot at or above its own `usable`. Nothing is then started while as many
tasks run as the limit allows:

- Let K be the largest `usable` of all plans, and V the view that it was made from. V had at most `limit - K` slots
  occupied at or above K.
- No plan takes a slot at or above K, so that from V on those slots only come free.
- Below K there are K slots. All occupied slots are at most `K + (limit - K)`.

A plan that was made at a higher limit still follows that limit. It lasts as long as the invocation that made it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sosw_runtime.domain.health import Level, allowed
from sosw_runtime.domain.slot import Slot


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of a Worker's slots."""

    hand_on: tuple[Slot, ...]  # their tasks have reported; each is given to the next task
    fill: tuple[int, ...]  # indexes of free slots, each given to a task
    free: tuple[Slot, ...]  # their tasks have reported; nothing is started in them


def current_limit(max_concurrency: int, level: Level, *, paused: bool) -> int:
    """How many tasks of a Worker may run now.

    Args:
        max_concurrency: as it is registered.
        level: of the Worker's health.
        paused: whether somebody paused it.
    """
    return 0 if paused else allowed(max_concurrency, level)


def usable(limit: int, occupied: Collection[int]) -> int:
    """How many slots may be used, counted from index 0; those at or above it must only come free.

    The largest `k` up to the limit such that `k` and the occupied slots at or above it are no more than the limit; 0 if
    there is none. The sum of the two grows by at most one with `k`, so that no part of the limit is left unused.

    Args:
        limit: as it is now.
        occupied: indexes of the slots whose tasks have not reported.
    """
    taken = frozenset(occupied)
    most, k = len(taken), 0  # `most`: k and the occupied slots at or above it
    while k < limit and most + (k not in taken) <= limit:
        most += k not in taken
        k += 1
    return k


def plan(limit: int, occupied: Iterable[Slot], finished: Iterable[Slot], *, new_work: bool) -> Plan:
    """What becomes of a Worker's slots.

    A slot is known by its claim: an old record of a report names a slot that another task may hold by now.

    Args:
        limit: as it is now.
        occupied: every occupied slot; those below the limit may be left out if there is none at or above it and no new
            work.
        finished: slots whose tasks have just reported, or did so long ago.
        new_work: whether free slots are filled even if no slot is freed.
    """
    held = {slot.claim: slot for slot in occupied}
    done = {slot.claim: slot for slot in sorted(finished, key=lambda slot: slot.claimed_at)}
    live = {slot.index for slot in held.values() if slot.claim not in done}
    end = usable(limit, live)
    # Of several records of one slot the newest counts.
    hand_on = {slot.index: slot for slot in done.values() if slot.index < end and slot.index not in live}
    free = tuple(slot for slot in held.values() if slot.claim in done and slot.index >= end)
    fill = range(end) if new_work or free else ()
    return Plan(
        hand_on=tuple(hand_on.values()),
        fill=tuple(index for index in fill if index not in live and index not in hand_on),
        free=free,
    )
