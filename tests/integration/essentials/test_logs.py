"""What the Essentials log: enough to follow a task, and nothing of what it carries."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from sosw_runtime import __version__
from sosw_runtime.domain.task import Status
from sosw_runtime.errors import Refused
from tests.support.builders import LEASE, MINUTE, queued, running
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
    with pytest.raises(Refused):
        sosw.report({"task_id": "t", "attempt": 1, "result": SECRET})
    claims = set[str]()
    for _ in range(2):
        sosw.tick_orchestrator()
        first, *others = sosw.with_status(Status.RUNNING)
        claims.update(task.claim or "" for task in (first, *others))
        sosw.report({"action": "mark_task_as_completed", "task_id": first.task_id, "result": SECRET})
        sosw.complete(first, token="wrong")
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
    printed = logs.getvalue() + capsys.readouterr().out
    assert SECRET not in printed
    assert [claim for claim in claims if claim in printed] == [], "a claim is the token of its attempt"


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


@pytest.mark.parametrize("essential", ["scheduler", "orchestrator", "scavenger", "worker_assistant"])
def test_a_package_that_is_not_the_pinned_one_works_and_says_so(
    sosw: Installation,
    monkeypatch: pytest.MonkeyPatch,
    logs: StringIO,
    capsys: pytest.CaptureFixture[str],
    essential: str,
) -> None:
    sosw.register()
    monkeypatch.setenv("SOSW_PINNED_VERSION", f"0.0.1-{essential}-{sosw.tables.name}")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", essential)
    acts: dict[str, Callable[[], object]] = {
        "scheduler": lambda: sosw.submit_photos(1),
        "orchestrator": sosw.tick_orchestrator,
        "scavenger": sosw.tick_scavenger,
        "worker_assistant": lambda: sosw.complete(running()),
    }
    for _ in range(3):
        acts[essential]()
    lines = [json.loads(line) for line in logs.getvalue().splitlines()]
    [warning] = [line for line in lines if line["level"] == "WARNING"]
    assert (warning["service"], warning["package"]) == (essential, __version__)
    assert warning["pinned"].startswith("0.0.1-")
    counted = [line["service"] for line in metrics(capsys) if "VersionMismatch" in line]
    assert counted == [essential] * 3


def test_a_report_without_its_token_is_told_of(
    sosw: Installation, logs: StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    sosw.register()
    sosw.put(queued())
    sosw.tick_orchestrator()
    sosw.report({"action": "mark_task_as_completed", "task_id": queued().task_id})
    sosw.clock.advance(LEASE)
    sosw.tick_scavenger()
    on_task = [line for line in map(json.loads, logs.getvalue().splitlines()) if "task_id" in line]
    assert [(line["level"], line["message"]) for line in on_task] == [
        ("INFO", "dispatched"),
        ("WARNING", "report without its token"),
        ("INFO", "report"),
        ("INFO", "noted report counted"),
    ]
    assert {line["worker_id"] for line in on_task} == {"resize"}
    assert [line["ReportsWithoutToken"] for line in metrics(capsys) if "ReportsWithoutToken" in line] == [[1.0]]


def metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What was printed in CloudWatch's embedded metric format."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"CloudWatchMetrics"' in line]


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
    lines = metrics(capsys)
    assert sum(line["Enqueued"][0] for line in lines if "Enqueued" in line) == 2
    assert [line for line in lines if "worker_id" in line] == []
