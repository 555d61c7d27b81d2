"""The command line on an installation, and Workers that a test plays."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from sosw_runtime import aws
from sosw_runtime.cli import times
from sosw_runtime.cli.app import run
from sosw_runtime.domain.task import Status, Task
from sosw_runtime.storage import tasks
from tests.support.installation import Installation
from tests.support.isolation import link

RETENTION_DAYS = 30

#: What a Worker is invoked with.
Event = Mapping[str, Any]


@pytest.fixture(scope="session")
def boto3_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Lambda's own: boto3, what it needs, and nothing else."""
    return link({"boto3"}, tmp_path_factory.mktemp("var_runtime"))


class Command:
    """The command line, and what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys = capsys
        self._monkeypatch = monkeypatch
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        self._capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code

    def on_terminal(self, width: int, *arguments: str) -> list[str]:
        """The lines that the command shows on a terminal of a width, without their colours."""
        with self._monkeypatch.context() as patch:
            patch.setattr(sys.stdout, "isatty", lambda: True)
            patch.setenv("COLUMNS", str(width))
            patch.setenv("TERM", "xterm")
            self(*arguments)
        return [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", self.out).splitlines()]

    @property
    def json(self) -> list[dict[str, Any]]:
        """The lines of standard output, each a JSON object."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def sosw(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation with one Worker, which tries each task once; the command has the time of its clock."""
    monkeypatch.setenv("SOSW_CLOSED_TASKS_RETENTION_DAYS", str(RETENTION_DAYS))
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")  # they would be on the command's standard output
    monkeypatch.setattr(times, "time", sosw.clock)
    sosw.clock.pace = 1
    sosw.register("resize", labels={"team": "media"}, retry={"max_attempts": 1}, token_seen=False)
    return sosw


def dispatch(sosw: Installation) -> list[Event]:
    """Fill the free slots; the events of all tasks that run now."""
    sosw.tick_orchestrator()
    running = {(task.task_id, task.attempt) for task in sosw.with_status(Status.RUNNING)}
    sent = [invocation.event for invocation in sosw.lambdas.accepted if invocation.kind == "Event"]
    return [event for event in sent if (event["task_id"], event["attempt"]) in running]


def complete(sosw: Installation, event: Event) -> None:
    """The Worker completes a task, and the stream tells of it."""
    _end(sosw, event, sosw.complete, result={"pixels": 7})


def fail(sosw: Installation, event: Event) -> None:
    """The Worker fails on a task, and the stream tells of it."""
    _end(sosw, event, sosw.fail, error={"type": "ValueError", "message": "row 7 is damaged"})


def _end(sosw: Installation, event: Event, report: Callable[..., dict[str, Any]], **outcome: Any) -> None:
    assert report(_task(sosw, event), token=event["sosw_token"], **outcome)["accepted"]
    reported = _task(sosw, event)
    sosw.wake_scavenger(reported)
    sosw.wake_orchestrator(reported, event="MODIFY")


def _task(sosw: Installation, event: Event) -> Task:
    return tasks.find(sosw.tables, [event["task_id"]])[event["task_id"]]


@pytest.fixture
def reads(sosw: Installation) -> list[str]:
    """The table, or table and index, of every read from now on, as `tasks` or `tasks/queue`."""
    seen: list[str] = []

    def note(params: Mapping[str, Any], **_: Any) -> None:
        tables = params.get("RequestItems") or [params["TableName"]]
        for table in tables:
            index = [params["IndexName"]] if "IndexName" in params else []
            seen.append("/".join([table.removeprefix(f"{sosw.name}_"), *index]))

    for call in ("Query", "GetItem", "BatchGetItem"):
        aws.dynamodb().meta.events.register(f"provide-client-params.dynamodb.{call}", note)
    return seen


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return Command(capsys, monkeypatch)
