"""A task is put once, whatever becomes of it while a Scheduler looks whether it was ever written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sosw_runtime.domain.task import Status
from sosw_runtime.storage import jobs, moves
from sosw_runtime.storage.items import to_task
from tests.guarantees.flows import WORKER
from tests.guarantees.invariants import Watch
from tests.support.builders import MINUTE, SECOND
from tests.support.events import failed, job
from tests.support.faults import Call, Fault, Stop
from tests.support.world import World

pytestmark = pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)

_READS = {"BatchGetItem", "Query"}


@pytest.fixture
def resumable(world: World) -> World:
    """A job of five tasks whose Scheduler stopped behind its first batch; both tasks of it have failed, and wait."""
    world.register(WORKER, 2, retry={"max_attempts": 9, "base_delay_seconds": 1})
    with world.faults.armed(lambda call: Fault.STOP_AFTER if call.operation == "BatchWriteItem" else None):
        assert isinstance(world.run("scheduler", job(WORKER, 5, "job-half")), Stop)
    _fail_all(world)
    assert len(world.now["retry_tasks"]) == 2
    world.clock.advance(3 * MINUTE)
    return world


@pytest.mark.parametrize("first", range(4))
def test_an_id_that_was_ever_put_is_never_put_again(resumable: World, watch: Watch, first: int) -> None:
    """A task moves on between each two reads, from the first one on, of the Scheduler that takes over.

    reads the tasks ── T is queued again ── reads what waits ── T runs, fails and waits ── reads the closed ones
    """
    _resume_while(resumable, lambda: _tick_or_fail(resumable), first)
    resumable.settle(30)
    watch.check_quiet()


@pytest.mark.parametrize("first", range(4))
def test_a_dead_task_that_is_replayed_meanwhile_is_not_put_again(resumable: World, watch: Watch, first: int) -> None:
    world = resumable
    world.register(WORKER, 2, retry={"max_attempts": 1})
    world.clock.advance(MINUTE)

    def replay_or_fail() -> None:
        for item in list(world.now["closed_tasks"].values()):
            task = to_task(item)
            if task.status is Status.DEAD and jobs.tasks_before_cursor(world.tables, [task]):
                moves.replay(world.tables, task, 1, world.clock.read())
        _tick_or_fail(world)

    _resume_while(world, replay_or_fail, first)
    world.settle(30)
    watch.check_quiet()


def test_a_scheduler_that_lost_the_job_finishes_it_for_nobody(resumable: World, watch: Watch) -> None:
    """It goes on after another took over, in the midst of the last window, and must not end the other's work."""
    world = resumable
    taken_over: list[bool] = []

    def take_over(call: Call) -> Fault | None:
        return Fault.OVERTAKEN if call.operation == "TransactWriteItems" and not taken_over else None

    def other() -> None:
        taken_over.append(True)
        world.clock.advance(5 * MINUTE)
        with world.faults.armed(lambda call: Fault.STOP_BEFORE if call.operation == "TransactWriteItems" else None):
            assert isinstance(world.run("scheduler", {"resume": "job-half"}), Stop)

    world.faults.meanwhile = other
    with world.faults.armed(take_over):
        world.run("scheduler", {"resume": "job-half"})
    assert taken_over
    world.faults.meanwhile = lambda: None
    world.settle(30)
    watch.check_quiet()


def _resume_while(world: World, others_act: Callable[[], None], first: int) -> None:
    """Another Scheduler takes the job over, and others act before each of its reads, from the first one on."""
    reads = 0

    def before_each_read(call: Call) -> Fault | None:
        nonlocal reads
        reads += call.operation in _READS
        return Fault.OVERTAKEN if call.operation in _READS and reads > first else None

    world.faults.meanwhile = others_act
    with world.faults.armed(before_each_read):
        world.run("scheduler", {"resume": "job-half"})
    world.faults.meanwhile = lambda: None
    assert reads >= 3


def _tick_or_fail(world: World) -> None:
    """What waits is queued again; what is queued runs and fails."""
    if world.now["tasks"]:
        _fail_all(world)
    else:
        world.clock.advance(2 * SECOND)
        world.tick("scavenger")


def _fail_all(world: World) -> None:
    world.tick("orchestrator")
    for event in [event for event in world.events if event.function == WORKER]:
        execution = world.start(event)
        world.report(failed(event))
        world.end(execution)
    world.deliver("scavenger")
    world.lose_records()
