"""Two at the same work at once: each write of the one falls before and after each write of the other."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from sosw_runtime.domain.task import Status
from tests.guarantees import flows
from tests.guarantees.flows import FLOWS, WORKER, Step
from tests.guarantees.invariants import Watch
from tests.support.builders import MINUTE, SECOND
from tests.support.events import completed, failed, job
from tests.support.faults import Call, Fault, Stop
from tests.support.units import WRITES
from tests.support.world import World

pytestmark = pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)


@dataclass(frozen=True)
class Pair:
    """Two at once, after a preparation; `pause` lies between the first's and the second's beginning."""

    prepare: Step
    first: Step
    second: Step
    pause: int = 0  # ms


@dataclass
class Turns:
    """Lets two threads write in turn: the first some times, the second some times, then the first and the second on."""

    quotas: dict[str, list[float]]
    between: Callable[[], None]  # when the turn passes for the first time
    turn: str = "first"
    condition: threading.Condition = field(default_factory=threading.Condition)
    writes: dict[str, int] = field(default_factory=lambda: {"first": 0, "second": 0})

    def gate(self, call: Call) -> None:
        """Before a call: wait for the turn."""
        name = threading.current_thread().name
        if name not in self.quotas:
            return
        writes = call.operation in WRITES or call.operation == "Invoke"
        with self.condition:
            while self.turn != name or (writes and self.quotas[name][0] == 0):
                if self.turn == name:
                    self.quotas[name].pop(0)
                    self._pass(name)
                else:
                    self.condition.wait()
            if writes:
                self.quotas[name][0] -= 1
                self.writes[name] += 1

    def end(self) -> None:
        """A thread has done all: the other goes on without it."""
        name = threading.current_thread().name
        with self.condition:
            other = _other(name)
            self.quotas[other] = [math.inf]
            if self.turn == name:
                self._pass(name)

    def _pass(self, name: str) -> None:
        between, self.between = self.between, lambda: None
        between()
        self.turn = _other(name)
        self.condition.notify_all()


def _other(name: str) -> str:
    return "second" if name == "first" else "first"


def _together(world: World, pair: Pair, ahead: float, then: float) -> dict[str, int]:
    """Both at once, the first `ahead` writes ahead, the second `then` writes in between; how often each wrote."""
    turns = Turns({"first": [ahead, math.inf], "second": [then, math.inf]}, lambda: world.clock.advance(pair.pause))
    broken: list[BaseException] = []

    def take_part(step: Step) -> None:
        try:
            step(world)
        except BaseException as error:  # noqa: BLE001 - told below, in the thread of the test
            broken.append(error)
        finally:
            turns.end()

    world.faults.gate = turns.gate
    try:
        threads = [
            threading.Thread(target=take_part, args=(step,), name=name)
            for name, step in (("first", pair.first), ("second", pair.second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "the two wait for each other"
    finally:
        world.faults.gate = lambda call: None
    if broken:
        raise broken[0]
    return turns.writes


def _tick_orchestrator(world: World) -> None:
    world.tick("orchestrator")


def _tick_scavenger(world: World) -> None:
    world.tick("scavenger")


def _hear(consumer: flows.Consumer) -> Step:
    """Of all that the stream told so far; the records stay, for the other to hear them as well."""

    def hear(world: World) -> None:
        world.calmly(consumer, {"Records": list(world.unread[consumer])})

    return hear


def _hear_one(number: int) -> Step:
    """The Scavenger hears of one of the reports."""

    def hear(world: World) -> None:
        world.calmly("scavenger", {"Records": [world.unread["scavenger"][number]]})

    return hear


def _reports_well(world: World) -> None:
    for execution in world.executions:
        world.report(completed(execution.event))


def _reports_badly(world: World) -> None:
    for execution in world.executions:
        world.report(failed(execution.event))


def _lease_over(world: World) -> None:
    FLOWS["report-completed"].prepare(world)
    for execution in world.running:
        world.end(execution)
    world.clock.advance(3 * MINUTE)


def _rest_cancelled(world: World) -> None:
    """A job of nine tasks was cancelled when four were written: a group and a part of one are left."""
    world.register(WORKER, 2)
    with world.faults.armed(lambda call: Fault.STOP_AFTER if call.operation == "UpdateItem" else None):
        assert isinstance(world.run("scheduler", job(WORKER, 9, "job-twice")), Stop)
    world.cancel("job-twice")
    world.clock.advance(3 * MINUTE)
    world.run("scheduler", {"resume": "job-twice"})
    world.lose_records()


def _same_event(world: World) -> None:
    world.run("scheduler", job(WORKER, 9, "job-twice"))


def _cancel_it(world: World) -> None:
    world.cancel("job-twice")


PAIRS = {
    "claim, claim": Pair(FLOWS["dispatch-tick"].prepare, _tick_orchestrator, _tick_orchestrator),
    "claim, claim by the stream": Pair(FLOWS["dispatch-tick"].prepare, _tick_orchestrator, _hear("orchestrator")),
    "claim, void": Pair(FLOWS["dispatch-tick"].prepare, _tick_orchestrator, _tick_scavenger, pause=20 * SECOND),
    "claim, cancel": Pair(FLOWS["dispatch-tick"].prepare, _tick_orchestrator, flows.cancel(Status.QUEUED)),
    "hand on, hand on": Pair(FLOWS["hand-on"].prepare, _hear("orchestrator"), _hear("orchestrator")),
    "hand on, hand on at a lowered limit": Pair(
        FLOWS["hand-on-lowered"].prepare, _hear("orchestrator"), _hear("orchestrator")
    ),
    "hand on, claim at a lowered limit": Pair(
        FLOWS["hand-on-lowered"].prepare, _hear("orchestrator"), _tick_orchestrator
    ),
    "hand on, archive": Pair(FLOWS["hand-on"].prepare, _hear("orchestrator"), _hear("scavenger")),
    "hand on, tick": Pair(FLOWS["hand-on"].prepare, _hear("orchestrator"), _tick_scavenger, pause=20 * SECOND),
    "report, end of the lease": Pair(_lease_over, _reports_well, _tick_scavenger),
    "report, report": Pair(FLOWS["report-completed"].prepare, _reports_well, _reports_badly),
    "archive, archive": Pair(FLOWS["archive"].prepare, _hear("scavenger"), _hear("scavenger")),
    "archive of one, of another": Pair(FLOWS["archive-replayed"].prepare, _hear_one(0), _hear_one(1)),
    "regroup, regroup": Pair(FLOWS["regroup"].prepare, _tick_scavenger, _tick_scavenger),
    "count as cancelled, count as cancelled": Pair(_rest_cancelled, _tick_scavenger, _tick_scavenger),
    "retry, retry": Pair(FLOWS["retry"].prepare, _hear("scavenger"), _hear("scavenger")),
    "retry, tick": Pair(FLOWS["retry"].prepare, _hear("scavenger"), _tick_scavenger, pause=20 * SECOND),
    "bury, bury": Pair(FLOWS["bury"].prepare, _hear("scavenger"), _hear("scavenger")),
    "end of the lease, end of the lease": Pair(_lease_over, _tick_scavenger, _tick_scavenger),
    "requeue, requeue": Pair(FLOWS["requeue"].prepare, _tick_scavenger, _tick_scavenger),
    "requeue, cancel": Pair(FLOWS["requeue"].prepare, _tick_scavenger, flows.cancel(Status.WAITING)),
    "enqueue, enqueue": Pair(FLOWS["submit"].prepare, _same_event, _same_event),
    "enqueue, cancel the job": Pair(FLOWS["submit"].prepare, _same_event, _cancel_it),
    "resume, resume": Pair(FLOWS["resume"].prepare, FLOWS["resume"].act, FLOWS["resume"].act),
    "replay, replay": Pair(FLOWS["replay"].prepare, FLOWS["replay"].act, FLOWS["replay"].act),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_two_at_the_same_work_do_no_harm(world: World, watch: Watch, pair: str) -> None:
    harm, ahead, then = [], 0, 1
    while True:
        watch.start_over()
        PAIRS[pair].prepare(world)
        writes = _together(world, PAIRS[pair], ahead, then)
        world.settle(minutes=15)
        try:
            watch.check_quiet()
        except AssertionError as violations:
            harm.append(f"{ahead} writes of the first, then {then} of the second:\n{violations}")
        if writes["second"] > then:
            then += 1
        elif writes["first"] > ahead:
            ahead, then = ahead + 1, 1
        else:
            break
    assert ahead > 0, "there was nothing to interleave"
    assert not harm, "\n\n".join(harm)
