"""What the stream, Lambda and Workers may do to a job's whole life, each by itself and as badly as it can."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.guarantees.flows import WORKER
from tests.guarantees.invariants import Watch
from tests.support.builders import MINUTE, SECOND
from tests.support.events import Event, completed, destination_record, failed, undelivered
from tests.support.world import World

pytestmark = pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)

#: Tasks of the job, twice as many as may run at once and one.
_TASKS: Final = 5
#: In which all of them are closed: both attempts of each, and a lease for each of these.
_MINUTES: Final = 25

Act = Callable[[World], object]


def _live(world: World, watch: Watch, *, tell: Act, work: Act) -> Counter[str]:
    """A job's life by stream and ticks, until all is quiet; its tasks by outcome."""
    world.register(WORKER, 2)
    world.submit(WORKER, _TASKS)
    for _ in range(_MINUTES):
        if world.is_quiet:
            break
        for _ in range(2):
            tell(world)
            work(world)
            watch.check_executions()
        world.clock.advance(MINUTE)
        world.age()
        world.tick()
    watch.check_quiet()
    return Counter(row["status"] for row in world.rows("closed_tasks"))


def _all_end_well(world: World) -> None:
    world.work()


def _all_is_told(world: World) -> None:
    world.deliver("orchestrator")
    world.deliver("scavenger")


# --- the stream ------------------------------------------------------------------------------------------------------


def test_records_that_come_again_and_again_do_no_harm(world: World, watch: Watch) -> None:
    told: list[Any] = []

    def tell_all_again(world: World) -> None:
        told.extend(world.unread["orchestrator"])
        for consumer in ("orchestrator", "scavenger", "scavenger", "orchestrator"):
            world.calmly(consumer, {"Records": told})
        world.lose_records()

    assert _live(world, watch, tell=tell_all_again, work=_all_end_well) == {"completed": _TASKS}


def test_records_in_any_order_do_no_harm(world: World, watch: Watch) -> None:
    held_back: list[Any] = []

    def tell_backwards(world: World) -> None:
        """The last first, and some of them not before the next ones."""
        nonlocal held_back
        records = [*world.unread["orchestrator"][::-1], *held_back]
        held_back = records[::2]
        for consumer in ("scavenger", "orchestrator"):
            world.calmly(consumer, {"Records": records[1::2]})
        world.lose_records()

    assert _live(world, watch, tell=tell_backwards, work=_all_end_well) == {"completed": _TASKS}


def test_records_that_never_come_do_no_harm(world: World, watch: Watch) -> None:
    assert _live(world, watch, tell=World.lose_records, work=_all_end_well) == {"completed": _TASKS}
    assert not world.unread["orchestrator"]


def test_a_task_that_an_index_shows_where_it_was_before_does_no_harm(world: World, watch: Watch) -> None:
    """In an older place of the queue, before an attempt that is over."""

    def fail_at_first(world: World) -> None:
        for event in list(world.events):
            execution = world.start(event)
            world.report((failed if event.attempt[1] == 1 else completed)(event))
            world.end(execution)

    for seconds in range(90, 120, 4):
        watch.start_over()
        world.replicas.lag = seconds * SECOND
        assert _live(world, watch, tell=_all_is_told, work=fail_at_first) == {"completed": _TASKS}
        assert Counter(event.attempt[1] for event in world.accepted) == {1: _TASKS, 2: _TASKS}


# --- Lambda ----------------------------------------------------------------------------------------------------------


def test_an_event_that_is_delivered_twice_does_no_harm(world: World, watch: Watch) -> None:
    """A second run begins in the midst of the first, and another one whenever something happens after it."""
    ended: list[Event] = []

    def run_twice(world: World) -> None:
        for event in list(world.events):
            for execution in (world.start(event), world.start(event)):
                world.report(completed(event))
                world.end(execution)
            ended.append(event)
        for event in ended:
            again = world.start(event)
            assert not _accepted(world.report(failed(event)))
            world.end(again)

    assert _live(world, watch, tell=_all_is_told, work=run_twice) == {"completed": _TASKS}
    assert {event.deliveries > 2 for event in world.accepted} == {True}


def test_an_event_that_is_delivered_late_does_no_harm(world: World, watch: Watch) -> None:
    """At the last moment of its age, and to a Worker that takes all of its time: its lease holds until then."""

    def run_late(world: World) -> None:
        registration = world.registrations[WORKER]
        if world.events:
            world.clock.advance(SECOND * registration.max_event_age_seconds)
        for event in list(world.events):
            world.start(event)
        world.tick()
        if world.running:
            world.clock.advance(SECOND * registration.timeout_seconds)
            world.tick()
        _all_end_well(world)

    assert _live(world, watch, tell=_all_is_told, work=run_late) == {"completed": _TASKS}
    assert Counter(event.attempt[1] for event in world.accepted) == {1: _TASKS}


@pytest.mark.parametrize("says_so", [True, False], ids=["and Lambda says so", "and nobody hears of it"])
def test_an_event_that_is_never_delivered_does_no_harm(world: World, watch: Watch, says_so: bool) -> None:
    def lose_the_first(world: World) -> None:
        for event in list(world.events):
            if event.attempt[1] == 1:
                world.events.remove(event)
                if says_so:
                    world.report(destination_record(event, "EventAgeExceeded", invocations=0))
        _all_end_well(world)

    assert _live(world, watch, tell=_all_is_told, work=lose_the_first) == {"completed": _TASKS}
    assert Counter(event.attempt[1] for event in world.accepted) == {1: _TASKS, 2: _TASKS}


# --- Workers ---------------------------------------------------------------------------------------------------------


def test_a_worker_that_ends_without_a_report_does_no_harm(world: World, watch: Watch) -> None:
    def end_in_silence(world: World) -> None:
        for event in list(world.events):
            world.end(world.start(event))

    assert _live(world, watch, tell=_all_is_told, work=end_in_silence) == {"dead": _TASKS}
    assert len(world.alarms) == _TASKS


def test_a_worker_that_reports_twice_does_no_harm(world: World, watch: Watch) -> None:
    def report_twice(world: World) -> None:
        for event in list(world.events):
            execution = world.start(event)
            first, second = world.report(completed(event)), world.report(failed(event))
            assert (_accepted(first), _accepted(second)) == (True, False)
            world.end(execution)

    assert _live(world, watch, tell=_all_is_told, work=report_twice) == {"completed": _TASKS}


def test_a_report_of_an_old_attempt_does_no_harm(world: World, watch: Watch) -> None:
    """Attempt 1 says that it went well when attempt 2 waits and when it runs: it is the second's to say."""
    old: dict[str, Event] = {}

    def report_the_old_one(world: World) -> None:
        for event in list(world.events):
            execution = world.start(event)
            if event.attempt[1] > 1:
                assert not _accepted(world.report(completed(old[event.attempt[0]])))
            world.report(failed(event))
            assert not _accepted(world.report(completed(event)))
            old.setdefault(event.attempt[0], event)
            world.end(execution)
        for event in old.values():
            world.report(completed(event))

    assert _live(world, watch, tell=_all_is_told, work=report_the_old_one) == {"dead": _TASKS}


def test_a_report_for_a_task_that_is_gone_does_no_harm(world: World, watch: Watch) -> None:
    """It is closed, or it waits for its next try; the report changes nothing and makes no task."""

    def report_the_gone(world: World) -> None:
        for event in world.accepted:
            stands = world.now["tasks"].get(event.attempt[0])
            if event.deliveries and stands is None:
                for report in (completed(event), failed(event), completed(event, names_attempt=False)):
                    before = world.now
                    assert not _accepted(world.report(report))
                    assert world.now is before
        for execution in [world.start(event) for event in list(world.events)]:
            world.report((failed if execution.event.attempt[1] == 1 else completed)(execution.event))
            world.end(execution)

    assert _live(world, watch, tell=_all_is_told, work=report_the_gone) == {"completed": _TASKS}


def test_a_report_without_its_token_does_no_harm(world: World, watch: Watch) -> None:
    """Of a Worker that was packaged with version 0.1.0: it counts, and no attempt is wasted."""

    def report_without_token(world: World) -> None:
        for event in list(world.events):
            execution = world.start(event)
            for report in (completed(event, has_token=False), failed(event, has_token=False)):
                assert not _accepted(world.report(report))
            world.end(execution)

    assert _live(world, watch, tell=_all_is_told, work=report_without_token) == {"completed": _TASKS}
    assert Counter(event.attempt[1] for event in world.accepted) == {1: _TASKS}


def test_a_report_without_its_token_is_not_lost_where_reads_lag(world: World, watch: Watch) -> None:
    def report_without_token(world: World) -> None:
        for event in list(world.events):
            execution = world.start(event)
            world.report(completed(event, has_token=False))
            world.end(execution)

    for seconds in (5, 60, 119):
        watch.start_over()
        world.replicas.lag = seconds * SECOND
        assert _live(world, watch, tell=World.lose_records, work=report_without_token) == {"completed": _TASKS}
        assert Counter(event.attempt[1] for event in world.accepted) == {1: _TASKS}


def test_a_report_of_another_worker_does_no_harm(world: World, watch: Watch) -> None:
    """It guesses ids and attempts, and fails all that runs; nothing comes of it, with or without the right token."""

    def be_impersonated(world: World) -> None:
        for event in list(world.events):
            execution = world.start(event)
            report = failed(event, retryable=False)
            for wrong in ({"token": "0123456789abcdef"}, {"worker_id": "another"}, {"installation": "another"}):
                before = world.now
                assert not _accepted(world.report(report | wrong))
                assert world.now is before
            world.report(failed(event, retryable=False, has_token=False))
            assert _accepted(world.report(completed(event)))
            world.end(execution)

    assert _live(world, watch, tell=_all_is_told, work=be_impersonated) == {"completed": _TASKS}
    assert Counter(event.attempt[1] for event in world.accepted) == {1: _TASKS}


def test_a_report_that_could_not_be_delivered_does_no_harm(world: World, watch: Watch) -> None:
    """Lambda delivers it, once or twice."""

    def raise_it(world: World) -> None:
        for event in list(world.events):
            execution = world.start(event)
            assert _accepted(world.report(undelivered(event)))
            assert not _accepted(world.report(undelivered(event)))
            world.end(execution)

    assert _live(world, watch, tell=_all_is_told, work=raise_it) == {"completed": _TASKS}
    assert Counter(event.attempt[1] for event in world.accepted) == {1: _TASKS}


def _accepted(answer: dict[str, Any] | BaseException) -> bool:
    assert isinstance(answer, dict), answer
    return bool(answer["accepted"])
