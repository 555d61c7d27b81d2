"""Anything may happen in any order, and the guarantees hold."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.guarantees.invariants import Watch
from tests.guarantees.machine import Machine
from tests.support.world import World

_STEPS: Final = 50

#: The parts run side by side, and each has its own seed: the same stories on every run.
_PARTS: Final = 8
_STORIES_A_PART: Final = 25
#: Parts that `make test` tells; `make test-stories` tells the others.
_PARTS_AT_FIRST: Final = 2


@pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)
@pytest.mark.parametrize(
    "part",
    [pytest.param(part, marks=[pytest.mark.long] if part >= _PARTS_AT_FIRST else []) for part in range(_PARTS)],
)
def test_the_guarantees_hold_whatever_happens(world: World, watch: Watch, part: int) -> None:
    _tell_stories(world, watch, part, _STORIES_A_PART, _STEPS)


@pytest.mark.parametrize("dynamodb", ["dynamodb-local"], indirect=True)
def test_the_guarantees_hold_on_awss_own_engine(world: World, watch: Watch) -> None:
    _tell_stories(world, watch, _PARTS, stories=10, steps=20)


def _tell_stories(world: World, watch: Watch, part: int, stories: int, steps: int) -> None:
    machine = seed(part)(type("Machine", (Machine,), {"world": world, "watch": watch}))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=stories,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )
