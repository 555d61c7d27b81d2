"""The policy of a dispatch: nothing starts beyond a limit, also a lowered one, and no part of it is left unused."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sosw_runtime.domain.dispatch import current_limit, plan, usable
from sosw_runtime.domain.health import Level
from sosw_runtime.domain.slot import Slot

LIMITS = st.integers(0, 8)
INDEXES = st.integers(0, 11)


def slot(index: int, claim: str | None = None, claimed_at: int = 0) -> Slot:
    """A slot whose holder is named after its index, unless told otherwise."""
    return Slot("resize", index, f"task-{index}", "", claim or f"claim-{index}", claimed_at)


def slots(*indexes: int) -> list[Slot]:
    return [slot(index) for index in indexes]


# --- the limit -------------------------------------------------------------------------------------------------------


def test_a_pause_and_bad_health_lower_the_limit() -> None:
    assert current_limit(10, Level.HIGH, paused=False) == 10
    assert current_limit(10, Level.LOW, paused=False) == 5
    assert current_limit(10, Level.HIGH, paused=True) == 0


# --- slots that may be used ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "occupied", "expected"),
    [
        (5, [], 5),
        (5, [0, 1, 2, 3, 4], 5),
        (5, range(10), 0),
        (5, [5, 6, 7, 8, 9], 0),
        (5, [6, 7, 8, 9], 1),
        (5, [0, 6, 7, 8, 9], 1),
        (5, [1, 6, 7, 8], 2),
        (5, [9], 4),
        (0, [3], 0),
        (0, [], 0),
    ],
)
def test_only_slots_below_the_limit_are_used(limit: int, occupied: Collection[int], expected: int) -> None:
    assert usable(limit, occupied) == expected


@given(LIMITS, st.sets(INDEXES))
def test_as_many_slots_are_usable_as_the_limit_has_room_for(limit: int, occupied: set[int]) -> None:
    def at_most(k: int) -> int:
        return k + sum(index >= k for index in occupied)

    fitting = [k for k in range(limit + 1) if at_most(k) <= limit]
    end = usable(limit, occupied)
    assert end == max(fitting, default=0)
    if len(occupied) <= limit:
        assert at_most(end) == limit


# --- the plan --------------------------------------------------------------------------------------------------------


def test_finished_slots_below_the_limit_are_handed_on() -> None:
    found = plan(3, [], slots(0, 2), new_work=False)
    assert (found.hand_on, found.fill, found.free) == (tuple(slots(0, 2)), (), ())


def test_new_work_fills_what_is_free() -> None:
    found = plan(4, slots(1), slots(0), new_work=True)
    assert (found.hand_on, found.fill, found.free) == (tuple(slots(0)), (2, 3), ())


def test_without_a_limit_all_that_finished_is_freed() -> None:
    found = plan(0, slots(0, 5), slots(0, 5, 0), new_work=True)
    assert (found.hand_on, found.fill, found.free) == ((), (), tuple(slots(0, 5)))


def test_a_finished_slot_above_the_limit_makes_room_below_it() -> None:
    found = plan(2, slots(0, 5), slots(5), new_work=False)
    assert (found.hand_on, found.fill, found.free) == ((), (1,), tuple(slots(5)))


def test_while_as_many_run_as_may_what_finished_is_freed() -> None:
    found = plan(2, slots(0, 4, 5), slots(0), new_work=True)
    assert (found.hand_on, found.fill, found.free) == ((), (), tuple(slots(0)))


def test_an_old_record_hides_nobody_and_frees_nothing() -> None:
    old = [slot(0, "old"), slot(7, "old too")]
    found = plan(2, slots(0, 4), old, new_work=True)
    assert (found.hand_on, found.fill, found.free) == ((), (), ())


def test_of_two_records_of_one_slot_the_newer_counts() -> None:
    newer, older = slot(1, "newer", claimed_at=2), slot(1, "older", claimed_at=1)
    assert plan(2, [], [newer, older], new_work=False).hand_on == (newer,)


@given(LIMITS, st.sets(INDEXES), st.lists(INDEXES), st.booleans())
def test_a_plan_uses_each_slot_once(limit: int, occupied: set[int], finished: list[int], new_work: bool) -> None:
    found = plan(limit, slots(*occupied), slots(*finished), new_work=new_work)
    used = [held.index for held in (*found.hand_on, *found.free)] + list(found.fill)
    assert len(set(used)) == len(used)
    live = len(occupied - set(finished))
    assert len(found.hand_on) + len(found.fill) <= max(limit - live, 0)
    if new_work:
        assert len(found.hand_on) + len(found.fill) == max(limit - live, 0)


# --- many plans at once ----------------------------------------------------------------------------------------------


@dataclass
class Planner:
    """An Orchestrator that has planned, and carries its plan out step by step."""

    highest_limit: int  # since it planned
    steps: list[Slot | int] = field(default_factory=list)  # a finished slot to hand on, or a free one to fill


class Dispatches(RuleBasedStateMachine):
    """Any number of Orchestrators, each with a view that grows old, while limits change and tasks end.

    The tables do what DynamoDB does: a slot is taken if it is free, or still held by the claim that the plan saw.
    """

    @initialize(limit=LIMITS, running=st.sets(INDEXES))
    def begin(self, limit: int, running: set[int]) -> None:
        self.limit = limit
        self.held = {index: slot(index) for index in running}
        self.reports: list[Slot] = []  # every record of a report, to be told again at any time
        self.planners: list[Planner] = []
        self.numbers = count()

    @rule(limit=LIMITS)
    def apply(self, limit: int) -> None:
        """Somebody applies another limit; those that were at work at a higher one come to their end."""
        self.limit = limit
        self.planners = [planner for planner in self.planners if planner.highest_limit <= limit]
        for planner in self.planners:
            planner.highest_limit = limit

    @rule(data=st.data(), new_work=st.booleans())
    def look(self, data: st.DataObject, new_work: bool) -> None:
        told = data.draw(st.lists(st.sampled_from(self.reports), max_size=6)) if self.reports else []
        # Below the limit only what was asked for is read.
        seen = [held for held in self.held.values() if new_work or held.index >= self.limit]
        if any(held.index >= self.limit for held in seen):
            seen = list(self.held.values())
        made = plan(self.limit, seen, told, new_work=new_work)
        for freed in made.free:
            if self.held[freed.index].claim == freed.claim:
                del self.held[freed.index]
        self.planners.append(Planner(self.limit, [*made.hand_on, *made.fill]))

    @precondition(lambda self: any(planner.steps for planner in self.planners))
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        planner = data.draw(st.sampled_from([planner for planner in self.planners if planner.steps]))
        step = planner.steps.pop(data.draw(st.integers(0, len(planner.steps) - 1)))
        index, claim = (step.index, step.claim) if isinstance(step, Slot) else (step, None)
        if index not in self.held or self.held[index].claim == claim:
            number = next(self.numbers)
            self.held[index] = slot(index, f"started-{number}", claimed_at=number + 1)
            assert len(self.live) <= self.limit, f"{sorted(self.live)} run at a limit of {self.limit}"

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        self.reports.append(self.held[data.draw(st.sampled_from(sorted(self.live)))])

    @precondition(lambda self: self.reports)
    @rule(data=st.data())
    def tick(self, data: st.DataObject) -> None:
        """The Scavenger frees a slot whose task has ended."""
        ended = data.draw(st.sampled_from(self.reports))
        if ended.index in self.held and self.held[ended.index].claim == ended.claim:
            del self.held[ended.index]

    @property
    def live(self) -> set[int]:
        """The slots whose tasks have not reported."""
        return {index for index, held in self.held.items() if held not in self.reports}

    @invariant()
    def an_idle_installation_uses_its_whole_limit(self) -> None:
        """A plan for new work, carried out at once, has as many run as may."""
        if hasattr(self, "held"):
            made = plan(self.limit, self.held.values(), self.reports, new_work=True)
            assert len(self.live) + len(made.hand_on) + len(made.fill) == max(self.limit, len(self.live))


Dispatches.TestCase.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
TestManyDispatchesAtOnce = Dispatches.TestCase
