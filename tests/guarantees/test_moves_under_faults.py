"""Every call of every flow meets every fault, and once all is quiet again nothing is lost, doubled or left over."""

from __future__ import annotations

import random
from functools import partial
from typing import Final

import pytest

from tests.guarantees import flows
from tests.guarantees.flows import FLOWS, Flow
from tests.guarantees.invariants import Watch
from tests.support.builders import MINUTE, SECOND
from tests.support.faults import PASSING, Call, Fault, nothing
from tests.support.installation import ESSENTIALS, Essential
from tests.support.units import WRITES
from tests.support.world import World

pytestmark = pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)

#: Enough for two attempts whose leases end, and their retries.
_MINUTES: Final = 15

#: One call meets it, each in turn.
_LASTING: Final = (
    Fault.REFUSED,
    Fault.LOST,
    Fault.TIMED_OUT,
    Fault.UNREACHED,
    Fault.STOP_AFTER,
    Fault.THROTTLED,
    Fault.CONFLICT,
    Fault.SENT_BACK,
    Fault.HALF,
    Fault.LATE,
)

#: The calls of the flows that were looked at.
_found: Final[dict[str, list[Call]]] = {}

_ESSENTIALS: Final = tuple(ESSENTIALS)


@pytest.mark.parametrize("fault", _LASTING, ids=lambda fault: fault.name)
@pytest.mark.parametrize("flow", FLOWS)
def test_a_fault_at_any_call_leaves_nothing_that_the_ticks_do_not_mend(
    world: World, watch: Watch, flow: str, fault: Fault
) -> None:
    _strike_every_call(world, watch, flow, fault)


@pytest.mark.parametrize("fault", PASSING, ids=lambda fault: fault.name)
@pytest.mark.parametrize("flow", FLOWS)
def test_faults_that_pass_at_all_calls_do_no_harm(world: World, watch: Watch, flow: str, fault: Fault) -> None:
    """Every call meets one, since none is to notice."""
    FLOWS[flow].prepare(world)
    with world.faults.armed(lambda call: fault):
        FLOWS[flow].act(world)
    world.settle(_MINUTES)
    watch.check_quiet()


@pytest.mark.parametrize("seconds", [0, 40])
@pytest.mark.parametrize("flow", FLOWS)
def test_a_call_that_others_overtake_does_no_harm(world: World, watch: Watch, flow: str, seconds: int) -> None:
    world.faults.meanwhile = partial(_others_go_on, world, seconds * SECOND)
    _strike_every_call(world, watch, flow, Fault.OVERTAKEN)


@pytest.mark.parametrize("flow", FLOWS)
def test_a_lost_answer_does_no_harm_when_others_act_in_between(world: World, watch: Watch, flow: str) -> None:
    world.faults.meanwhile = partial(_others_go_on, world, 0)
    _strike_every_call(world, watch, flow, Fault.LOST_OVERTAKEN)


@pytest.mark.parametrize("lag", [5, 5 * SECOND, 90 * SECOND], ids=lambda ms: f"{ms}ms")
def test_reads_that_lag_do_no_harm(world: World, watch: Watch, lag: int) -> None:
    """Of indexes, and all others that are not consistent: they show anything that stood of late."""
    for flow in FLOWS.values():
        _come_to(world, watch, flow)
        world.replicas.lag = lag
        flow.act(world)
        world.tick("orchestrator", "orchestrator", "scavenger")
        world.settle(_MINUTES)
        watch.check_quiet()


@pytest.mark.parametrize("fast", [_ESSENTIALS[:2], _ESSENTIALS[2:], _ESSENTIALS[::2], _ESSENTIALS[1::2]], ids="+".join)
def test_clocks_that_differ_do_no_harm(world: World, watch: Watch, fast: tuple[Essential, ...]) -> None:
    """Of any two Essentials each one's clock is once five seconds ahead of the other's."""
    for flow in FLOWS.values():
        watch.start_over()
        world.skew = dict.fromkeys(fast, 5 * SECOND)
        flow.prepare(world)
        flow.act(world)
        world.settle(_MINUTES)
        watch.check_quiet()


@pytest.mark.parametrize(
    "flow", ["dispatch-tick", "hand-on", "report-completed", "report-without-token", "report-noted", "retry", "mend"]
)
def test_no_slot_is_held_longer_than_its_lease_and_two_ticks(world: World, watch: Watch, flow: str) -> None:
    """The process ends after each call in turn, no Worker ever reports, and the stream is silent."""
    for call in _calls(world, watch, flow):
        _come_to(world, watch, FLOWS[flow])
        with world.faults.armed(partial(_only, call.number, Fault.STOP_AFTER)):
            FLOWS[flow].act(world)
        longest = world.registrations[flows.WORKER].lease_ms + 2 * MINUTE
        for _ in range(longest // MINUTE + 3):
            world.lose_records()
            world.clock.advance(MINUTE)
            world.tick("scavenger", "orchestrator")
            held = [world.clock.now - item["claimed_at"] for item in world.rows("registry") if "claimed_at" in item]
            assert max(held, default=0) <= longest, f"after call {call}"


def _strike_every_call(world: World, watch: Watch, name: str, fault: Fault) -> None:
    """Let each call of a flow meet a fault, every time on an empty installation; name those that do harm."""
    harm, flow = [], FLOWS[name]
    for call in _calls(world, watch, name):
        if not fault.fits(call):
            continue
        _come_to(world, watch, flow)
        with world.faults.armed(partial(_only, call.number, fault)):
            flow.act(world)
        if world.faults.late:
            # What a caller gave up on may act for a while yet.
            _others_go_on(world, 20 * SECOND)
            world.faults.deliver_late()
        world.settle(_MINUTES)
        try:
            watch.check_quiet()
        except AssertionError as violations:
            harm.append(f"call {call} {fault.value}:\n{violations}")
    assert not harm, "\n\n".join(harm)


def _only(number: int, fault: Fault, call: Call) -> Fault | None:
    return fault if call.number == number else None


def _calls(world: World, watch: Watch, flow: str) -> list[Call]:
    """The calls of a flow on a calm day, after which all is well."""
    # The same on every calm day: found out once by this process.
    if flow not in _found:
        _come_to(world, watch, FLOWS[flow])
        with world.faults.armed(nothing):
            FLOWS[flow].act(world)
            calls = list(world.faults.calls)
        assert calls
        world.settle(_MINUTES)
        watch.check_quiet()
        _found[flow] = calls
    return _found[flow]


def _come_to(world: World, watch: Watch, flow: Flow) -> None:
    watch.start_over()
    flow.prepare(world)


def _others_go_on(world: World, ms: int) -> None:
    """The other Essentials hear of all that happened, Workers end, and time goes by."""
    reporting, world.reporting = world.reporting, None
    world.deliver("orchestrator")
    world.clock.advance(ms)
    world.work()
    world.deliver("scavenger")
    world.deliver("orchestrator")
    world.tick("scavenger", "orchestrator")
    world.reporting = reporting


# --- throttled writes ------------------------------------------------------------------------------------------------


def test_a_tick_fills_all_slots_while_half_of_all_writes_are_throttled(world: World, watch: Watch) -> None:
    world.register(flows.WORKER, 50)
    world.submit(flows.WORKER, 60)
    draw = random.Random(0)

    def half(call: Call) -> Fault | None:
        return Fault.THROTTLED if call.operation in WRITES and draw.random() < 0.5 else None

    with world.faults.armed(half):
        world.tick("orchestrator")
    assert len(world.faults.injected) > 50
    running = [row["claim"] for row in world.rows("tasks") if row["status"] == "running"]
    held = [item["claim"] for item in world.rows("registry") if item["pk"].startswith("slots#")]
    assert (len(running), sorted(held)) == (50, sorted(running))
    world.settle(_MINUTES)
    watch.check_quiet()


def test_a_claim_that_is_throttled_for_too_long_frees_its_slot(world: World, watch: Watch) -> None:
    world.register(flows.WORKER, 2)
    world.submit(flows.WORKER, 3)
    before = world.clock.now
    with world.faults.armed(lambda call: Fault.THROTTLED if call.operation == "UpdateItem" else None):
        answer = world.run("orchestrator", {})
    assert answer == {"Failures": 2, "Outages": 2}
    assert world.clock.now - before < 12 * SECOND, "a claim is void after 5 s"
    assert [item for item in world.rows("registry") if item["pk"].startswith("slots#")] == []
    assert {row["status"] for row in world.rows("tasks")} == {"queued"}
    assert world.run("orchestrator", {}) == {"Dispatched": 2}
    world.settle(_MINUTES)
    watch.check_quiet()
