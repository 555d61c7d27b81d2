"""What the Scheduler says of a job is true, whichever of its calls fails: accepted, or not known to be accepted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from sosw_runtime.errors import JobInterrupted, Unavailable
from sosw_runtime.essentials import scheduler
from tests.guarantees.flows import WORKER, Step
from tests.support.builders import MINUTE
from tests.support.events import job
from tests.support.faults import Call, Fault, Plan, Stop, nothing
from tests.support.world import World

#: Every way in which a call fails that leaves the process to answer.
_FAULTS: Final = (
    Fault.REFUSED,
    Fault.LOST,
    Fault.TIMED_OUT,
    Fault.UNREACHED,
    Fault.THROTTLED,
    Fault.CONFLICT,
    Fault.SENT_BACK,
    Fault.HALF,
    Fault.LATE,
)

_TASKS: Final = 9
_ASKED: Final = job(WORKER, _TASKS, "album")


@dataclass(frozen=True)
class Asked:
    """A question to the Scheduler, which has come so far before."""

    prepare: Step
    event: dict[str, Any]


def _register(world: World) -> None:
    world.register(WORKER, 2)


def _stop_half_way(world: World) -> None:
    """A Scheduler stopped in its first window, and its lease has ended."""
    _register(world)
    with world.faults.armed(lambda call: Fault.STOP_AFTER if call.operation == "BatchWriteItem" else None):
        assert isinstance(world.run("scheduler", _ASKED), Stop)
    world.clock.advance(3 * MINUTE)


_QUESTIONS: Final = {
    "new": Asked(_register, _ASKED),
    "known": Asked(_stop_half_way, _ASKED),
    "resumed": Asked(_stop_half_way, {"resume": "album"}),
}


@pytest.fixture(autouse=True)
def _hand_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is up before the last window of a job."""
    monkeypatch.setattr(scheduler, "_ANSWER_WITHIN_MS", 6)


@pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)
@pytest.mark.parametrize("fault", _FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("question", _QUESTIONS)
def test_what_the_scheduler_says_of_a_job_is_true(world: World, question: str, fault: Fault) -> None:
    _check_every_call(world, _QUESTIONS[question], fault, and_those_after_it=False)


@pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST], ids=lambda fault: fault.name)
def test_what_the_scheduler_says_is_true_while_aws_is_out(world: World, fault: Fault) -> None:
    _check_every_call(world, _QUESTIONS["new"], fault, and_those_after_it=True)


@pytest.mark.parametrize("dynamodb", ["dynamodb-local"], indirect=True)
@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.LOST], ids=lambda fault: fault.name)
def test_what_the_scheduler_says_is_true_on_awss_own_engine(world: World, fault: Fault) -> None:
    _check_every_call(world, _QUESTIONS["new"], fault, and_those_after_it=False)


def _check_every_call(world: World, asked: Asked, fault: Fault, *, and_those_after_it: bool) -> None:
    for call in _calls(world, asked):
        if not fault.fits(call):
            continue
        _come_to(world, asked)
        stood = _stands(world)
        with world.faults.armed(_strike(call, fault, and_those_after_it=and_those_after_it)):
            said = world.run("scheduler", asked.event)
        _check(world, said, stood, f"call {call} {fault.value}")
        assert world.calmly("scheduler", asked.event)["tasks"] == _TASKS, f"call {call} {fault.value}: asked again"


def _check(world: World, said: object, stood: bool, what: str) -> None:
    injected = [call.operation for call, _ in world.faults.injected]
    world.faults.deliver_late()
    match said:
        case dict() | JobInterrupted():
            answer = said.answer if isinstance(said, JobInterrupted) else said
            assert answer == {"job_id": "album", "tasks": _TASKS, "first_start": answer["first_start"]}, what
            assert _stands(world), f"{what}: told of a job as accepted that does not stand"
        case Unavailable():
            assert stood or not _stands(world) or "TransactWriteItems" in injected, f"{what}: {said!r}"
        case _:
            raise AssertionError(f"{what}: {said!r}")


def _stands(world: World) -> bool:
    return "job/album" in world.now["registry"]


def _strike(first: Call, fault: Fault, *, and_those_after_it: bool) -> Plan:
    def plan(call: Call) -> Fault | None:
        struck = call.number >= first.number if and_those_after_it else call.number == first.number
        return fault if struck else None

    return plan


def _calls(world: World, asked: Asked) -> Iterator[Call]:
    """The calls that a question takes on a calm day: some before the job is accepted, some after it."""
    _come_to(world, asked)
    with world.faults.armed(nothing):
        world.calmly("scheduler", asked.event)
        calls = list(world.faults.calls)
    assert calls[-1].operation == ("DeleteItem" if "resume" in asked.event else "Invoke")
    yield from calls


def _come_to(world: World, asked: Asked) -> None:
    world.clear()
    asked.prepare(world)
