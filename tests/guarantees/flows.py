"""Every flow of the product: how it comes to it, and what is then done, call by call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal
from unittest import mock

from sosw_runtime.domain.task import Status, Task
from sosw_runtime.storage import moves, progress
from sosw_runtime.storage.items import to_task
from tests.support.builders import MINUTE, SECOND
from tests.support.events import Event, completed, failed, job
from tests.support.faults import Fault, Stop
from tests.support.world import Execution, World

Step = Callable[[World], object]
Report = Callable[[Event], dict[str, Any]]
Consumer = Literal["orchestrator", "scavenger"]

WORKER: Final = "resize"


@dataclass(frozen=True)
class Flow:
    """A flow: `act` is what meets faults."""

    prepare: Step
    act: Step


def _submitted(count: int, limit: int = 2, **keys: Any) -> Step:
    def prepare(world: World) -> None:
        world.register(WORKER, limit)
        world.submit(WORKER, count, **keys)

    return prepare


def _running(count: int, limit: int = 2) -> Step:
    """Queued tasks, and as many running as the limit allows."""

    def prepare(world: World) -> None:
        _submitted(count, limit)(world)
        world.tick("orchestrator")
        for event in list(world.events):
            world.start(event)
        world.lose_records()

    return prepare


def _reported(report: Report, count: int = 3) -> Step:
    """Two running tasks have just been reported."""

    def prepare(world: World) -> None:
        _running(count)(world)
        for execution in world.running:
            world.report(report(execution.event))
            world.end(execution)

    return prepare


def _lowered(world: World) -> None:
    """Four tasks ran at a limit of four. The two in the lowest slots have reported, and the limit is three now."""
    _running(8, limit=4)(world)
    for execution in sorted(world.running, key=lambda execution: _slot(world, execution))[:2]:
        world.report(completed(execution.event))
        world.end(execution)
    world.register(WORKER, 3)
    world.limits[WORKER] = 4  # what runs may finish


def _slot(world: World, execution: Execution) -> int:
    return int(world.now["tasks"][execution.event.attempt[0]]["slot"]["N"])


def _without_token(event: Event) -> dict[str, Any]:
    """As a Worker that was packaged with version 0.1.0 reports."""
    return completed(event, has_token=False)


def _noted(world: World) -> None:
    """Two tasks were reported without their tokens, and their leases have ended."""
    _reported(_without_token)(world)
    world.lose_records()
    world.clock.advance(3 * MINUTE)


def _waiting(world: World) -> None:
    """Two tasks have failed once, and wait until now."""
    _reported(failed)(world)
    world.deliver("scavenger")
    world.lose_records()
    world.clock.advance(2 * SECOND)


def _dead(world: World) -> None:
    """Two tasks are dead."""
    _reported(_final)(world)
    world.deliver("scavenger")
    world.lose_records()


def _final(event: Event) -> dict[str, Any]:
    return failed(event, retryable=False)


def _replayed(world: World) -> None:
    """Two dead tasks of a full group were replayed, and have just been reported as completed."""
    _reported(_final, 4)(world)
    world.deliver("scavenger")
    world.deliver("orchestrator")
    world.work()
    world.deliver("scavenger")
    world.deliver("orchestrator")
    FLOWS["replay"].act(world)
    world.tick("orchestrator")
    world.lose_records()
    world.work()
    assert len(world.unread["scavenger"]) == 2
    assert [item["dead"] for item in world.rows("registry") if item["pk"].startswith("progress_groups#")] == [2]


def _noted_on_the_job(world: World) -> None:
    """Of a job's five tasks version 0.1.0 counted the first four, which are a group now, and this version the fifth."""
    _running(5, limit=5)(world)
    *first, last = world.running
    for execution in first:
        world.report(completed(execution.event))
        world.end(execution)
    with mock.patch.object(progress, "LARGEST_UNGROUPED", 5):
        world.deliver("scavenger")
    world.report(completed(last.event))
    world.end(last)
    world.deliver("scavenger")
    world.lose_records()
    [record] = [item for item in world.rows("registry") if item["pk"] == "job"]
    assert (record["full_blocks"], record["full_groups"]) == ({0, 1}, {1})


def _orphaned(world: World) -> None:
    """One slot was taken for a task that was then not claimed, and one task ran without a report; both are overdue."""
    _submitted(3)(world)
    with world.faults.armed(lambda call: Fault.STOP_BEFORE if call.operation == "UpdateItem" else None):
        world.run("orchestrator", {})
    world.clock.advance(MINUTE)
    world.tick("orchestrator")
    for event in list(world.events):
        world.end(world.start(event))
    world.lose_records()
    world.clock.advance(3 * MINUTE)


def _unseen(world: World) -> None:
    """Two tasks were reported a minute ago, one of each kind, and nobody heard of it."""
    _running(3)(world)
    succeeds, fails = world.running
    world.report(completed(succeeds.event))
    world.report(failed(fails.event))
    world.end(succeeds)
    world.end(fails)
    world.lose_records()
    world.clock.advance(MINUTE)


def _half_enqueued(world: World) -> None:
    """The Scheduler stopped behind its first batch, and its lease has ended."""
    world.register(WORKER, 2)
    with world.faults.armed(lambda call: Fault.STOP_AFTER if call.operation == "BatchWriteItem" else None):
        assert isinstance(world.run("scheduler", job(WORKER, 5, "job-half")), Stop)
    assert len(world.now["tasks"]) == 2
    world.lose_records()
    world.clock.advance(3 * MINUTE)


def _half_cancelled(world: World) -> None:
    """So did one, and meanwhile the job was cancelled."""
    _half_enqueued(world)
    world.cancel("job-half")


def _finish_cancelled(world: World) -> None:
    """Another Scheduler makes the window in doubt whole; the Scavenger counts what is not written."""
    world.run("scheduler", {"resume": "job-half"})
    world.run("scavenger", {})


def _submit(world: World, **keys: Any) -> None:
    """The event, which AWS delivers again where its first delivery failed."""
    event = job(WORKER, 3, f"job-{world.clock.now}", **keys)
    if isinstance(world.run("scheduler", event, "first"), BaseException):
        with world.faults.armed(lambda call: None):
            world.run("scheduler", event, "second")


def _command(move: Callable[[World, Task], object], *statuses: Status) -> Step:
    """The command line does a move with every task that stands so, and ends with the first error."""

    def act(world: World) -> None:
        found = [
            to_task(item) for table in ("tasks", "retry_tasks", "closed_tasks") for item in world.now[table].values()
        ]
        try:
            for task in found:
                if task.status in statuses:
                    move(world, task)
        except (Exception, Stop):  # noqa: BLE001 - the command has failed, and says so
            return

    return act


def cancel(status: Status) -> Step:
    """The command line cancels what stands so."""
    return _command(lambda world, task: moves.cancel(world.tables, task, world.clock.read(), "tests"), status)


def _refused(world: World) -> None:
    world.lambdas.refuse(WORKER, "AccessDeniedException")
    world.run("orchestrator", {})
    world.lambdas.accept(WORKER)


FLOWS: Final = {
    "submit": Flow(lambda world: world.register(WORKER, 2), _submit),
    "submit-delayed": Flow(
        lambda world: world.register(WORKER, 2),
        lambda world: _submit(world, start_at=(world.clock.now + 90 * SECOND)),
    ),
    "resume": Flow(_half_enqueued, lambda world: world.run("scheduler", {"resume": "job-half"})),
    "resume-cancelled": Flow(_half_cancelled, _finish_cancelled),
    "dispatch-new-work": Flow(_submitted(3), lambda world: world.deliver("orchestrator")),
    "dispatch-tick": Flow(_submitted(3), lambda world: world.run("orchestrator", {})),
    "invoke-refused": Flow(_submitted(3), _refused),
    "report-completed": Flow(_running(3), lambda world: _report_all(world, completed)),
    "report-failed": Flow(_running(3), lambda world: _report_all(world, failed)),
    "report-without-token": Flow(_running(3), lambda world: _report_all(world, _without_token)),
    "report-noted": Flow(_noted, lambda world: world.run("scavenger", {})),
    "hand-on": Flow(_reported(completed), lambda world: world.deliver("orchestrator")),
    "hand-on-lowered": Flow(_lowered, lambda world: world.deliver("orchestrator")),
    "hand-on-nothing": Flow(_reported(completed, 2), lambda world: world.deliver("orchestrator")),
    "archive": Flow(_reported(completed), lambda world: world.deliver("scavenger")),
    "retry": Flow(_reported(failed), lambda world: world.deliver("scavenger")),
    "archive-replayed": Flow(_replayed, lambda world: world.deliver("scavenger")),
    "regroup": Flow(_noted_on_the_job, lambda world: world.run("scavenger", {})),
    "bury": Flow(_reported(_final), lambda world: world.deliver("scavenger")),
    "requeue": Flow(_waiting, lambda world: world.run("scavenger", {})),
    "mend": Flow(_orphaned, lambda world: world.run("scavenger", {})),
    "overdue": Flow(_unseen, lambda world: world.run("scavenger", {})),
    "cancel-queued": Flow(_submitted(2), cancel(Status.QUEUED)),
    "cancel-waiting": Flow(_waiting, cancel(Status.WAITING)),
    "replay": Flow(_dead, _command(lambda w, t: moves.replay(w.tables, t, 1, w.clock.read()), Status.DEAD)),
}


def _report_all(world: World, report: Report) -> None:
    """Every Worker at work reports; where the answer is an error, it says it once more."""
    for execution in world.running:
        if isinstance(world.report(report(execution.event)), BaseException):
            world.report(report(execution.event))
        world.end(execution)
