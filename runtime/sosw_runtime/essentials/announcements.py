"""Announcements: dead tasks are alarmed and closed tasks are counted in their jobs, before they leave the outbox."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

from sosw_runtime import telemetry
from sosw_runtime.domain.task import REASON_LENGTH, Status, Task
from sosw_runtime.essentials.closing import count_closed
from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.essentials.notifications import publish
from sosw_runtime.essentials.parallel import Counters, log_if_failed, run_all, run_batch, run_concurrently
from sosw_runtime.essentials.rounds import Turns
from sosw_runtime.storage import moves, tasks
from sosw_runtime.storage.tables import BATCH_READ

_CALLS_AT_ONCE: Final = 8

#: Dead tasks in one message. A message may have 256 KB, and a dead task with its texts of 300 characters up to 10 KB.
_DEATHS_A_MESSAGE: Final = 20

logger = telemetry.logger("scavenger")


def announce(invocation: Invocation, closed: Sequence[Task]) -> Counters:
    """Publish alarms of dead tasks, count closed tasks in their jobs, then take them out of the outbox.

    In this order an alarm may come twice, but is never lost. A task whose announcement fails stays in the outbox.
    """

    def alarm(dead: Sequence[Task]) -> Counters:
        _publish_alarm(invocation, dead)
        return Counters(Alarms=1)

    counters, published = Counters(), [task for task in closed if task.status is not Status.DEAD]
    for dead, result in run_concurrently(alarm, _dead_by_message(closed), _CALLS_AT_ONCE, invocation.has_time):
        about = {"worker_id": dead[0].worker_id, "job_id": dead[0].job_id, "task_ids": [task.task_id for task in dead]}
        counters += log_if_failed(result, logger, "alarm not sent", **about)
        if not isinstance(result, Exception):
            published += dead

    def leave_outbox(task: Task) -> Counters:
        retention = invocation.settings.closed_tasks_retention_days
        moves.announce(invocation.tables, task, invocation.clock(), retention)
        return Counters()

    def count_and_leave_outbox(some: Sequence[Task]) -> Counters:
        count_closed(invocation, some)
        return run_all(leave_outbox, some, _CALLS_AT_ONCE, logger, "closed task not announced", telemetry.ids)

    return counters + run_batch(
        count_and_leave_outbox, published, _CALLS_AT_ONCE, logger, "closed tasks not counted", telemetry.ids
    )


def announce_outbox(invocation: Invocation) -> Turns:
    """Announce the tasks in the outbox: the command line closed them, or an earlier announcement failed."""
    ids = tasks.outbox_ids(invocation.tables)
    while some := list(islice(ids, BATCH_READ)):
        found = tasks.find_closed(invocation.tables, some).values()
        yield announce(invocation, [task for task in found if task.in_outbox])
    return Counters()


def _dead_by_message(closed: Iterable[Task]) -> list[list[Task]]:
    """The dead tasks of each message: of one job, as many as a message holds."""
    by_job: dict[tuple[str, str], list[Task]] = defaultdict(list)
    for task in closed:
        if task.status is Status.DEAD:
            by_job[task.worker_id, task.job_id].append(task)
    return [
        dead[start : start + _DEATHS_A_MESSAGE]
        for dead in by_job.values()
        for start in range(0, len(dead), _DEATHS_A_MESSAGE)
    ]


def _publish_alarm(invocation: Invocation, dead: Sequence[Task]) -> None:
    """Publish the alarm of a dead task, or of several of one job."""
    name, first = invocation.settings.name, dead[0]
    subject = f"{name}: a task of {first.worker_id} is dead"
    message: dict[str, Any] = {"alarm": "dead task", **telemetry.ids(first), **_dead_task_fields(first)}
    if len(dead) > 1:
        subject = f"{name}: {len(dead)} tasks of {first.worker_id} are dead"
        deaths = [_dead_task_fields(task) for task in dead]
        message = {"alarm": "dead tasks", "worker_id": first.worker_id, "job_id": first.job_id, "tasks": deaths}
    publish(invocation.settings.alarm_topic_arn, subject, message)


def _dead_task_fields(task: Task) -> dict[str, Any]:
    """A dead task in its alarm."""
    failure, reason = task.failure, task.history[-1].reason
    return {
        "task_id": task.task_id,
        "attempt": task.attempt,
        "error": None if failure is None else {"type": failure.type, "message": failure.message},
        "reason": None if reason is None else reason[:REASON_LENGTH],
        "dead_at": task.closed_at,
    }
