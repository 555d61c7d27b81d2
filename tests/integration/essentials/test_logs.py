"""What the Essentials log: enough to follow a task, and nothing of what it carries."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import pytest

from sosw_runtime.domain.task import Status
from sosw_runtime.errors import Refused
from tests.support.builders import MINUTE, queued
from tests.support.installation import Installation
from tests.support.lambdas import FakeLambda

SECRET = "correct-horse-battery-staple"


def test_no_payload_result_stats_or_error_message_ever_reaches_the_logs(
    sosw: Installation, lambdas: FakeLambda, logs: StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    sosw.register("resize", retry={"max_attempts": 2}, job_schemas={"default": {"chunkable_attrs": ["photo"]}})
    sosw.register("crop", function_name="gone")
    lambdas.refuse("gone", "ResourceNotFoundException")
    lambdas.time_out("resize", acts=True, times=1)
    for worker_id in ("resize", "crop"):
        sosw.submit({"job": {"worker": worker_id, "period": "last_3_days", "isolate_days": True, "password": SECRET}})
    sosw.put(replace(queued(9), payload=f'{{"password": "{SECRET}"'))
    with pytest.raises(Refused):
        sosw.submit({"job": {"worker": "resize", "password": SECRET, "priority": 10}})
    for _ in range(2):
        sosw.tick_orchestrator()
        first, *others = sosw.with_status(Status.RUNNING)
        sosw.complete(first, result={"password": SECRET}, stats={SECRET: 1})
        for task in others:
            sosw.fail(task, error={"type": "LoginFailed", "message": SECRET})
        sosw.fail(first, error=SECRET)
        sosw.wake_scavenger(*sosw.with_status(Status.COMPLETED), *sosw.with_status(Status.FAILED))
        sosw.clock.advance(60 * MINUTE)
        sosw.tick_scavenger()

    closed = {task.status for task in sosw.all_tasks() if task.closed_at is not None}
    assert closed == {Status.COMPLETED, Status.DEAD}, "the story was told to its end"
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    told = {line["message"] for line in lines}
    assert told >= {"enqueued", "dispatched", "invoke refused", "invoke in doubt", "report", "retry", "dead"}
    assert SECRET not in logs.getvalue()
    assert SECRET not in capsys.readouterr().out


def test_every_line_on_a_task_names_it_with_its_worker_job_and_attempt(
    sosw: Installation, lambdas: FakeLambda, logs: StringIO
) -> None:
    sosw.register(retry={"max_attempts": 2})
    sosw.put(queued())
    for _ in range(2):
        sosw.tick_orchestrator()
        sosw.fail(sosw.task())
        sosw.wake_scavenger(sosw.task())
        sosw.clock.advance(60 * MINUTE)
        sosw.tick_scavenger()
    assert sosw.task().status is Status.DEAD
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    on_task = [line for line in lines if "task_id" in line]
    assert [line["message"] for line in on_task] == ["dispatched", "report", "retry", "dispatched", "report", "dead"]
    assert [line["attempt"] for line in on_task] == [1, 1, 1, 2, 2, 2]
    for line in on_task:
        assert (line["task_id"], line["worker_id"], line["job_id"]) == (queued().task_id, "resize", "album"), line
    assert {line["service"] for line in on_task} == {"orchestrator", "worker_assistant", "scavenger"}


def test_no_metric_is_kept_of_each_worker_that_does_well(
    sosw: Installation, lambdas: FakeLambda, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each costs, with a thousand Workers hundreds of dollars a month."""
    for worker_id in ("resize", "crop"):
        sosw.register(worker_id)
        sosw.submit({"worker": worker_id, "photo": 1})
    sosw.tick_orchestrator()
    for task in sosw.with_status(Status.RUNNING):
        sosw.complete(task)
    sosw.wake_scavenger(*sosw.with_status(Status.COMPLETED))
    sosw.tick_orchestrator()
    sosw.tick_scavenger()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert sum(line["Enqueued"][0] for line in lines if "Enqueued" in line) == 2
    assert [line for line in lines if "worker_id" in line] == []
