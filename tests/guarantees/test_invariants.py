"""The invariants, one by one: each holds over a life with faults, and whatever breaks it is found.

`Watch` guards most of them in all stories. What it would miss would be worth nothing, so that every one of them is
broken here on purpose, by a write past the moves or by an Essential that leaves out what it must do.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, pairwise
from typing import Any, Final
from unittest import mock

import pytest

from sosw_runtime import aws
from sosw_runtime.domain.health import Level
from sosw_runtime.domain.task import Move, Status, Task
from sosw_runtime.essentials import announcements, scavenger, worker_assistant
from sosw_runtime.essentials.parallel import Counters
from sosw_runtime.storage import jobs, moves, slots, tasks
from sosw_runtime.storage.items import Item, encoded
from sosw_runtime.storage.jobs import Cursor
from sosw_runtime.storage.tables import Tables
from tests.guarantees import flows
from tests.guarantees.flows import FLOWS, WORKER, Flow
from tests.guarantees.invariants import Watch
from tests.support.builders import MINUTE, SECOND
from tests.support.events import Event, completed, destination_record, failed, job
from tests.support.faults import PASSING, Call, Fault
from tests.support.world import World

pytestmark = pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)

Act = Callable[[], object]

# --- a life with faults ----------------------------------------------------------------------------------------------

#: What every third call of the life below meets, of these the one that was seldom met so far.
_FAULTS: Final = (*PASSING, Fault.LOST, Fault.STOP_AFTER)


@pytest.fixture
def lived(world: World, watch: Watch) -> World:
    """A world that saw a job with faults all along, and is quiet again: nothing that it did is found wrong."""
    world.register(WORKER, 2)
    endings, met = cycle(_ENDINGS), Counter[Fault]()

    def every_third(call: Call) -> Fault | None:
        if call.number % 3:
            return None
        fault = min((fault for fault in _FAULTS if fault.fits(call)), key=lambda fault: met[fault])
        met[fault] += 1
        return fault

    with world.faults.armed(every_third):
        world.run("scheduler", job(WORKER, 6, "life"))
        for _ in range(8):
            for essential in ("scavenger", "orchestrator"):
                world.run(essential, {"source": "aws.events"})
                world.deliver(essential)
            for event in list(world.events):
                _end(world, event, next(endings))
            world.clock.advance(MINUTE)
            world.age()
    flows.cancel(Status.QUEUED)(world)
    world.settle(minutes=20)
    FLOWS["replay"].act(world)
    world.settle(minutes=20)
    watch.check_handed_out()
    watch.check_quiet()
    assert met.keys() == set(_FAULTS)
    return world


#: How Workers end, each in turn.
_ENDINGS: Final[tuple[Callable[[Event], list[dict[str, Any]]], ...]] = (
    lambda event: [completed(event), failed(event)],
    lambda event: [failed(event)],
    lambda event: [failed(event, retryable=False)],
    lambda event: [],
)


def _end(world: World, event: Event, ending: Callable[[Event], list[dict[str, Any]]]) -> None:
    if event.function == WORKER:
        world.end(world.start(event))
        for report in ending(event):
            world.report(report)
    else:
        world.events.remove(event)
        world.run("scheduler", event.payload)


# --- what is broken, is found ----------------------------------------------------------------------------------------


def _at_once(watch: Watch, act: Act) -> set[str]:
    """The invariants that an act breaks, as they are found with its writes."""
    watch.raise_violations()
    act()
    return _taken(watch)


def _once_quiet(world: World, watch: Watch, act: Act) -> set[str]:
    """The invariants that an act breaks, as they are found when nothing moves any more."""
    watch.raise_violations()
    act()
    watch.raise_violations()
    world.settle(minutes=20)
    with pytest.raises(AssertionError):
        watch.check_quiet()
    return _taken(watch)


def _taken(watch: Watch) -> set[str]:
    found = {number for number, _ in watch.violations}
    watch.violations.clear()
    return found


def _anew(world: World, watch: Watch, flow: str) -> None:
    """An installation that came to where a flow begins."""
    watch.start_over()
    FLOWS[flow].prepare(world)


def _some(world: World, status: str, table: str = "tasks") -> list[Item]:
    """The items of tasks that stand so, by number."""
    found = [item for item in world.now[table].values() if item["status"] == {"S": status}]
    return sorted(found, key=lambda item: int(item["number"]["N"]))


def _write(world: World, table: str, item: Item, **changes: Any) -> None:
    """Past the moves."""
    changed = {name: value for name, value in {**item, **encoded(changes)}.items() if changes.get(name, 0) is not None}
    world.tables.client.put_item(TableName=f"{world.name}_{table}", Item=changed)


def _delete(world: World, table: str, **key: str) -> None:
    world.tables.client.delete_item(TableName=f"{world.name}_{table}", Key=encoded(key))


def test_i1_no_task_is_ever_lost_and_it_has_one_state(lived: World, watch: Watch) -> None:
    world = lived
    _anew(world, watch, "dispatch-tick")
    first, second, _ = _some(world, "queued")
    assert _at_once(watch, lambda: _delete(world, "tasks", task_id=first["task_id"]["S"])) == {"I1"}
    assert _at_once(watch, lambda: _write(world, "retry_tasks", second, due="7#", status=None)) == {"I1"}
    _anew(world, watch, "archive")
    done, _ = _some(world, "completed")
    _write(world, "closed_tasks", done)
    watch.raise_violations()  # in two tables while it is archived
    assert _at_once(watch, lambda: _write(world, "closed_tasks", done, status="dead")) >= {"I1"}


def test_i2_live_leases_never_exceed_the_limit(lived: World, watch: Watch) -> None:
    world = lived
    _anew(world, watch, "report-completed")
    runs, _ = _some(world, "running")
    [waits] = _some(world, "queued")
    third = {**runs, **{name: waits[name] for name in ("task_id", "number", "payload")}}
    assert _at_once(watch, lambda: _write(world, "tasks", third, slot=2)) == {"I2"}

    _anew(world, watch, "report-completed")
    one, another = _some(world, "running")
    assert _at_once(watch, lambda: _write(world, "tasks", another, slot=int(one["slot"]["N"]))) == {"I2"}

    _anew(world, watch, "report-completed")
    watch.check_executions()
    event = world.accepted[0]
    world.start(replace(event, deliveries=0, payload={**event.payload, "attempt": 7}))
    assert _at_once(watch, watch.check_executions) == {"I2"}

    _anew(world, watch, "report-completed")
    any_slot_will_do = mock.patch.object(slots, "take", return_value=True)
    with any_slot_will_do, mock.patch.object(slots, "occupied", return_value=[]):
        assert _at_once(watch, lambda: world.tick("orchestrator")) == {"I2"}


def test_i3_once_quiet_the_occupied_slots_are_those_of_running_tasks(lived: World, watch: Watch) -> None:
    world = lived
    held = encoded(
        {"pk": f"slots#{WORKER}", "sk": "0000", "task_id": "gone", "rank": "", "claim": "c", "claimed_at": 0}
    )

    def leave_a_slot_occupied() -> None:
        world.tables.client.put_item(TableName=world.tables.registry, Item=held)

    with mock.patch.object(slots, "free", return_value=False):  # a Scavenger that mends nothing
        assert _once_quiet(world, watch, leave_a_slot_occupied) == {"I3"}


def test_i4_attempts_never_pass_the_maximum_and_fall_only_when_aws_refused(lived: World, watch: Watch) -> None:
    world = lived
    _anew(world, watch, "report-completed")
    runs, also_runs = _some(world, "running")
    assert _at_once(watch, lambda: _write(world, "tasks", runs, attempt=0)) == {"I4"}
    assert _at_once(watch, lambda: _write(world, "tasks", also_runs, attempt=3)) == {"I4"}

    _anew(world, watch, "invoke-refused")
    FLOWS["invoke-refused"].act(world)
    assert {(row["attempt"], row["history"][-1][1]) for row in world.rows("tasks") if len(row["history"]) > 1} == {
        (0, "unclaim")
    }
    watch.raise_violations()

    _anew(world, watch, "report-completed")
    assert _at_once(watch, watch.check_handed_out) == set()
    world.accepted.append(world.accepted[0])
    assert _at_once(watch, watch.check_handed_out) == {"I4"}


def test_i5_only_the_current_attempt_finishes_a_task(lived: World, watch: Watch) -> None:
    world = lived
    _anew(world, watch, "report-completed")
    old = world.accepted[0]
    for execution in world.running:
        world.report(failed(execution.event))
        world.end(execution)
    while {item["attempt"]["N"] for item in _some(world, "running")} != {"2"}:
        world.deliver("scavenger")
        world.clock.advance(MINUTE)
        world.tick()
    before = world.now
    world.report(completed(old))
    assert world.now is before, "it is the second attempt's to say"
    watch.raise_violations()

    def takes_any(tables: Tables, reported: moves.Report, now: int) -> moves.Recorded:
        token = world.now["tasks"][reported.task_id]["token"]["S"]
        return moves.report(tables, replace(reported, attempt=None, token=token), now)

    with mock.patch.object(worker_assistant, "report", takes_any):
        assert _at_once(watch, lambda: world.report(completed(old))) == {"I5"}

    _anew(world, watch, "report-completed")
    one, another = (execution.event for execution in world.running)
    with mock.patch.object(worker_assistant, "report", takes_any):
        assert _at_once(watch, lambda: world.report(completed(one, has_token=False))) == {"I5"}
        assert _at_once(watch, lambda: world.report(completed(another) | {"token": "0123456789abcdef"})) == {"I5"}


def test_i6_completed_is_final(lived: World, watch: Watch) -> None:
    world = lived
    _anew(world, watch, "archive")
    one, another = _some(world, "completed")
    assert _at_once(watch, lambda: _write(world, "tasks", one, status="failed")) == {"I6"}
    assert _at_once(watch, lambda: _write(world, "tasks", another, result="{}")) == {"I6"}

    _anew(world, watch, "archive")
    FLOWS["archive"].act(world)
    closed, _ = _some(world, "completed", "closed_tasks")
    assert _at_once(watch, lambda: _write(world, "closed_tasks", closed, status="cancelled")) == {"I6"}


def test_i7_every_accepted_task_ends_in_bounded_time(lived: World, watch: Watch) -> None:
    world = lived
    # A Scavenger that forgets what waits.
    _anew(world, watch, "requeue")
    with mock.patch.object(tasks, "due", return_value=iter(())):
        assert _once_quiet(world, watch, lambda: FLOWS["requeue"].act(world)) == {"I7"}

    _anew(world, watch, "archive")
    world.settle(minutes=10)
    [accepted] = [item for item in world.now["registry"].values() if item["pk"] == {"S": "job"}]
    assert _once_quiet(world, watch, lambda: _write(world, "registry", accepted, closed_at=None)) == {"I7"}

    # A Scavenger that goes on with no job: what is not written yet is missing in it as well.
    _anew(world, watch, "resume")
    with mock.patch.object(scavenger, "_resume_jobs", return_value=Counters()):
        assert _once_quiet(world, watch, lambda: None) == {"I7", "I8"}


def test_i8_a_jobs_tasks_cover_it_exactly_once(lived: World, watch: Watch) -> None:
    world = lived
    before = world.now
    for request_id in ("again", "and again"):
        world.run("scheduler", job(WORKER, 6, "life"), request_id)
    assert world.now == before

    [accepted] = [item for item in world.now["registry"].values() if item["pk"] == {"S": "job"}]
    assert _once_quiet(world, watch, lambda: _write(world, "registry", accepted, total=7)) == {"I8"}
    _write(world, "registry", accepted)
    one, another, *_ = sorted(world.now["closed_tasks"].values(), key=lambda item: int(item["number"]["N"]))
    payload = another["payload"]["S"]
    assert _once_quiet(world, watch, lambda: _write(world, "closed_tasks", one, payload=payload)) == {"I8"}
    _write(world, "closed_tasks", one)
    assert _once_quiet(world, watch, lambda: _write(world, "closed_tasks", one, task_id="another")) == {"I8"}
    watch.forget()
    _delete(world, "closed_tasks", task_id="another")
    watch.forget()
    watch.check_quiet()
    for counted in ("progress#life#", "progress_groups#life#"):
        [one, *_] = [item for item in world.now["registry"].values() if item["pk"]["S"].startswith(counted)]
        assert _once_quiet(world, watch, partial(_write, world, "registry", one, completed=None)) == {"I8"}
        _write(world, "registry", one)
        watch.forget()

    # A Scheduler that leaves out a task; its job is never over, either.
    _anew(world, watch, "submit")
    with mock.patch.object(moves, "enqueue", lambda tables, new, put=moves.enqueue: put(tables, new[:-1])):
        assert _once_quiet(world, watch, lambda: world.submit(WORKER, 3)) == {"I7", "I8"}


def test_i10_a_dead_task_has_at_least_one_alarm(lived: World, watch: Watch) -> None:
    world = lived
    died = {row["task_id"] for row in world.rows("closed_tasks") if "die" in {entry[1] for entry in row["history"]}}
    assert died
    assert died == {alarm["task_id"] for alarm in world.alarms if "task_id" in alarm}
    _anew(world, watch, "bury")
    with mock.patch.object(announcements, "_publish_alarm"):
        assert _once_quiet(world, watch, lambda: FLOWS["bury"].act(world)) == {"I10"}


# --- I9 --------------------------------------------------------------------------------------------------------------


@dataclass
class _Moves:
    """Every move that is made, to be made again."""

    world: World
    made: list[tuple[str, Act]]

    def repeat(self, newest: int | None = None) -> None:
        """Make all of them again, or the newest: nothing changes."""
        for name, again in self.made[-(newest or 0) :]:
            before = self.world.now
            again()
            assert self.world.now == before, f"{name}, repeated"


@contextmanager
def _recorded(world: World) -> Iterator[_Moves]:
    """Repeat each move at once, and keep it for later."""
    made = _Moves(world, [])
    originals = {move.value: getattr(moves, move.value) for move in _MOVES}
    # A Scheduler that does not know what became of a batch looks which of its tasks are missing.
    repeated = {**originals, "enqueue": _enqueue_missing, "delay": _enqueue_missing}

    def recorder(name: str) -> Callable[..., Any]:
        def record(*arguments: Any, **more: Any) -> Any:
            answer = originals[name](*arguments, **more)
            made.made.append((name, lambda: repeated[name](*arguments, **more)))
            made.repeat(1)
            return answer

        return record

    with ExitStack() as patches:
        for name in originals:
            patches.enter_context(mock.patch.object(moves, name, recorder(name)))
        patches.enter_context(mock.patch.object(worker_assistant, "report", moves.report))
        patches.enter_context(mock.patch.object(worker_assistant, "note", moves.note))
        yield made


def _stop_before_the_claim(world: World) -> None:
    with world.faults.armed(lambda call: Fault.STOP_BEFORE if call.operation == "UpdateItem" else None):
        world.run("orchestrator", {})


_CLAIM_THAT_STOPS: Final = Flow(FLOWS["dispatch-tick"].prepare, _stop_before_the_claim)


#: The moves of a task; what becomes of an item that is none is repeated in the tests of the moves.
_MOVES: Final = set(Move) - {Move.SET_ASIDE, Move.BURY}


def _enqueue_missing(tables: Tables, new: Sequence[Task]) -> int:
    held = jobs.cursor(tables, new[0].job_id) or Cursor(new[0].job_id, 0, "nobody", 0)
    return moves.enqueue_missing(tables, new, set(), jobs.fence(tables, held))


def test_i9_repeating_a_move_changes_nothing(world: World, watch: Watch) -> None:
    """At once, and whenever others acted since: all moves of a flow, and of all that follows until it is quiet."""
    seen: set[str] = set()
    for flow in (*FLOWS.values(), _CLAIM_THAT_STOPS):
        watch.start_over()
        with _recorded(world) as made:
            flow.prepare(world)
            flow.act(world)
            made.repeat()
            while not world.is_quiet:
                assert world.settle(minutes=1) == 1
                made.repeat()
        watch.check_quiet()
        seen |= {move for move, _ in made.made}
    assert seen == _MOVES


# --- I11 -------------------------------------------------------------------------------------------------------------

#: A value for each level, the best first.
_LOAD: Final = {Level.HIGH: 10, Level.MODERATE: 50, Level.LOW: 70, Level.POOR: 90, Level.BAD: 99}


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_i11_worse_health_never_raises_the_dispatch(world: World, watch: Watch, limit: int) -> None:
    """Neither what a tick starts, nor what is handed on as those report that ran when the level fell."""
    started, handed_on = [], []
    for level in _LOAD:
        _sick(world, watch, limit, f"{limit} at {level}")
        _measure(world, level)
        world.tick("orchestrator")
        started.append(len(world.accepted))

        _sick(world, watch, limit, f"{limit} until {level}")
        world.tick("orchestrator")
        assert len(world.accepted) == limit
        _measure(world, level)
        world.tick("orchestrator")
        assert len(world.accepted) == limit, "what runs goes on, and nothing starts"
        world.work()
        world.deliver("orchestrator")
        handed_on.append(len(world.accepted) - limit)
        watch.raise_violations()
    assert started[0] == handed_on[0] == limit
    assert started[-1] == handed_on[-1] == 0
    for by_level in (started, handed_on):
        assert all(worse <= better for better, worse in pairwise(by_level)), by_level


def _sick(world: World, watch: Watch, limit: int, metric_name: str) -> None:
    """A Worker that depends on something that may be unwell, and has more to do than it may do at once."""
    watch.start_over()
    metric = {"namespace": "tests", "metric_name": metric_name, "levels": {"4": 40, "3": 60, "2": 80, "1": 95}}
    world.register(WORKER, limit, health_metrics={"database": metric}, timeout_seconds=900)
    world.submit(WORKER, 30)
    world.lose_records()


def _measure(world: World, level: Level) -> None:
    """Let CloudWatch have a value, newer than all before."""
    world.clock.advance(10 * MINUTE)
    at = datetime.fromtimestamp((world.clock.now - 30 * SECOND) / 1000, UTC)
    metric_name = world.registrations[WORKER].health_metrics["database"].metric_name
    data: Any = [{"MetricName": metric_name, "Value": _LOAD[level], "Timestamp": at}]
    aws.cloudwatch().put_metric_data(Namespace="tests", MetricData=data)


# --- I12 and poison --------------------------------------------------------------------------------------------------
SICK: Final = "a-sick-one"
WELL: Final = "well"


def _cannot_be_read(world: World) -> None:
    """Its registration."""
    world.tables.client.put_item(
        TableName=world.tables.registry, Item=encoded({"pk": "worker", "sk": SICK, "spec": "{not JSON"})
    )


def _is_refused(world: World) -> None:
    """AWS does not invoke it."""
    world.lambdas.refuse(SICK, "AccessDeniedException")


def _cannot_be_given(world: World) -> None:
    """None of its tasks has a payload that a function could be given."""
    for item in _some(world, "queued"):
        _write(world, "tasks", item, payload=item["payload"]["S"][:-1])


def _is_never_taken(world: World) -> None:
    """AWS would take none of its events, from whomever and whenever."""
    world.lambdas.refuse(SICK, "RequestTooLargeException")


def _is_no_task(world: World) -> None:
    """One of its items is none of ours, and the stream tells of it as if it had reported."""
    first, *_ = _some(world, "queued")
    _write(world, "tasks", first, payload=None)
    odd = {**world.now["tasks"][first["task_id"]["S"]], **encoded({"status": "failed"})}
    for records in world.unread.values():
        records.insert(0, {"eventName": "MODIFY", "dynamodb": {"NewImage": odd}})


def _raises(world: World) -> None:
    """As `_work` has it."""


TROUBLES: Final = {
    "whose registration cannot be read": _cannot_be_read,
    "that AWS refuses to invoke": _is_refused,
    "whose tasks no function can be given": _cannot_be_given,
    "whose events AWS never takes": _is_never_taken,
    "one of whose items is no task": _is_no_task,
    "that raises every time": _raises,
}


def _work(world: World) -> None:
    """The sick Worker raises; of the others' tasks the second fails at first."""
    for event in list(world.events):
        execution = world.start(event)
        if event.function == SICK:
            raised = {"errorType": "Poisoned", "errorMessage": "as always"}
            world.report(destination_record(event, "RetriesExhausted", raised))
        else:
            number = world.now["tasks"][event.attempt[0]]["number"]["N"]
            world.report((failed if (number, event.attempt[1]) == ("1", 1) else completed)(event))
        world.end(execution)


def _stand(world: World, worker_id: str) -> Counter[str]:
    """How many of a Worker's tasks stand how."""
    found = [values for places in world.states().values() for _, values in places]
    return Counter(values.get("status", "waiting") for values in found if values["worker_id"] == worker_id)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_i12_one_workers_trouble_delays_others_by_a_tick_at_most(world: World, watch: Watch, trouble: str) -> None:
    world.register(SICK, 2)
    world.register(WELL, 2)
    world.submit(SICK, 3)
    TROUBLES[trouble](world)

    asked = [job(SICK, 1, "more of it"), job(WELL, 3, "as usual")]
    batch = [{"messageId": f"m-{number}", "body": json.dumps(event)} for number, event in enumerate(asked)]
    world.run("scheduler", {"Records": batch})
    assert _stand(world, WELL) == {"queued": 3}, "the Scheduler takes the other job of a batch"

    world.deliver("orchestrator")
    assert _stand(world, WELL) == {"running": 2, "queued": 1}, "the Orchestrator starts the others' of a batch"
    _work(world)
    world.deliver("scavenger")
    assert _stand(world, WELL) == {"completed": 1, "waiting": 1, "queued": 1}, "the Scavenger settles theirs"
    world.deliver("orchestrator")
    assert _stand(world, WELL) == {"completed": 1, "waiting": 1, "running": 1}, "the Orchestrator hands on their slots"
    _work(world)
    world.deliver("orchestrator")
    world.lose_records()  # only the sweep finds the report

    world.clock.advance(MINUTE)
    world.tick("scavenger")
    assert _stand(world, WELL) == {"completed": 2, "queued": 1}, "the Scavenger's tick settles and requeues theirs"
    world.tick("orchestrator")
    assert _stand(world, WELL) == {"completed": 2, "running": 1}, "the Orchestrator's tick starts theirs"
    _work(world)
    # An item that is no task may be called running: it never was, and the slot that was taken for it is filled again.
    assert [
        what for _, what in watch.violations if not (trouble == "one of whose items is no task" and SICK in what)
    ] == []


@pytest.mark.parametrize(
    ("trouble", "error", "reason"),
    [
        ("whose tasks no function can be given", "UnreadablePayload", "another try is of no use"),
        ("whose events AWS never takes", "ImpossibleEvent", "another try is of no use"),
        ("that raises every time", "Poisoned", "attempt 2 of 2 failed"),
    ],
)
def test_poison_ends_dead_with_its_reason_and_an_alarm(
    world: World, watch: Watch, trouble: str, error: str, reason: str
) -> None:
    _side_by_side(world, trouble)
    _minutes(world, 10)
    watch.check_quiet()
    assert _stand(world, WELL) == {"completed": 3}
    assert _stand(world, SICK) == {"dead": 3}
    for row in world.rows("closed_tasks"):
        if row["worker_id"] == SICK:
            [alarm] = [alarm for alarm in world.alarms if alarm.get("task_id") == row["task_id"]]
            [death] = [entry for entry in row["history"] if entry[1] == "die"]
            assert (alarm["worker_id"], alarm["error"]["type"]) == (SICK, error)
            assert alarm["reason"] == death[3]
            assert reason in death[3]
            assert error in death[3]


@pytest.mark.parametrize(
    ("trouble", "told"),
    [("whose registration cannot be read", "Failures"), ("that AWS refuses to invoke", "Refused")],
)
def test_a_worker_that_cannot_be_invoked_is_told_of_and_keeps_its_queue(
    world: World, watch: Watch, trouble: str, told: str
) -> None:
    _side_by_side(world, trouble)
    with mock.patch("sosw_runtime.telemetry.count") as count:
        _minutes(world, 5)
    assert {values[told] for _, _, values, *_ in (call.args for call in count.call_args_list) if told in values} >= {1}
    assert _stand(world, WELL) == {"completed": 3}
    assert _stand(world, SICK) == {"queued": 3}

    world.register(SICK, 2)
    world.lambdas.accept(SICK)
    world.settle(minutes=10)
    watch.check_quiet()
    assert _stand(world, SICK) == {"completed": 3}


def _side_by_side(world: World, trouble: str) -> None:
    """A job of each of two Workers, one of which is in trouble."""
    world.register(SICK, 2)
    world.register(WELL, 2)
    world.submit(SICK, 3)
    TROUBLES[trouble](world)
    world.submit(WELL, 3)


def _minutes(world: World, count: int) -> None:
    """Let minutes go by in which all is told and every Worker ends at once."""
    for _ in range(count):
        for _ in range(2):
            world.deliver("orchestrator")
            _work(world)
            world.deliver("scavenger")
        world.clock.advance(MINUTE)
        world.tick()
