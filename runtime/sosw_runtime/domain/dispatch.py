"""The policy of a dispatch: how many tasks of a Worker may run, and which of its slots are filled, handed on or freed.

A limit may be lowered while more tasks run. Any number of Orchestrators may plan at once, each from its own view of
the slots, older or newer. No Orchestrator takes a slot at or above its own `usable`. So no task starts while the limit
is reached:

- Let K be the largest `usable` of all plans, and V the view that it was made from. V had at most `limit - K` slots
  occupied at or above K.
- No plan takes a slot at or above K, so that after V those slots are only freed.
- Below K there are K slots. All occupied slots are at most `K + (limit - K)`.

This holds for plans of one limit. Plans of different limits, each made before the other's slots were taken, together
follow the highest of their limits. After a change that holds for as long as invocations overlap, directly or by others,
with one that began before the change.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sosw_runtime.domain.health import Level, allowed_slots
from sosw_runtime.domain.slot import Slot


@dataclass(frozen=True, slots=True)
class Plan:
    """What a dispatch does with a Worker's slots."""

    hand_on: tuple[Slot, ...]  # their tasks have reported; each slot goes to the next task
    fill: tuple[int, ...]  # indexes of free slots, each for a task
    free: tuple[Slot, ...]  # their tasks have reported; no task is started in them


def current_limit(max_concurrency: int, level: Level, *, paused: bool) -> int:
    """How many tasks of a Worker may run now.

    Args:
        max_concurrency: as it is registered.
        level: of the Worker's health.
        paused: whether somebody paused it.
    """
    return 0 if paused else allowed_slots(max_concurrency, level)


def usable(limit: int, occupied: Collection[int]) -> int:
    """How many slots may be used, counted from index 0. Slots at or above it are only freed.

    It is the largest `k` up to the limit for which `k` plus the occupied slots at or above `k` is within the limit, or
    0. That sum grows by at most one with `k`, so that the whole limit is used.

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


def plan(limit: int, occupied: Iterable[Slot], reported: Iterable[Slot], *, new_work: bool) -> Plan:
    """The plan for a Worker's slots.

    A slot is compared by its claim: by the time of an old stream record another task may hold the slot.

    Args:
        limit: as it is now.
        occupied: every occupied slot. Those below the limit may be left out if none is at or above it and there is no
            new work.
        reported: slots whose tasks have reported, just now or long ago.
        new_work: whether free slots are filled even if no slot is freed.
    """
    held = {slot.claim: slot for slot in occupied}
    ended = {slot.claim: slot for slot in sorted(reported, key=lambda slot: slot.claimed_at)}
    live = {slot.index for slot in held.values() if slot.claim not in ended}
    end = usable(limit, live)
    # The newest record of a slot counts.
    hand_on = {slot.index: slot for slot in ended.values() if slot.index < end and slot.index not in live}
    free = tuple(slot for slot in held.values() if slot.claim in ended and slot.index >= end)
    fill = range(end) if new_work or free else ()
    return Plan(
        hand_on=tuple(hand_on.values()),
        fill=tuple(index for index in fill if index not in live and index not in hand_on),
        free=free,
    )
