"""An installation that the command talks to: real tables, the real Essentials, and Workers that a test plays."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sosw_runtime import aws
from sosw_runtime.cli.app import run
from sosw_runtime.essentials import orchestrator, scavenger, scheduler, worker_assistant
from sosw_runtime.storage.tables import Tables
from sosw_runtime.testing import register_worker
from tests.support.isolation import link
from tests.support.lambdas import FakeContext, FakeLambda

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

RETENTION_DAYS = 30


@pytest.fixture(scope="session")
def boto3_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Lambda's own: boto3, what it needs, and nothing else."""
    return link({"boto3"}, tmp_path_factory.mktemp("var_runtime"))


class Installation:
    """The Essentials, called as Lambda and the stream would call them."""

    def __init__(self, dynamodb: DynamoDBClient, name: str, lambdas: FakeLambda) -> None:
        self.tables = Tables.by(dynamodb, name)
        self._lambdas = lambdas
        self._reported: set[tuple[str, int]] = set()
        lambdas.answer(f"{name}_scheduler", self._schedule)

    def register(self, worker_id: str, **more: Any) -> None:
        """Register a Worker that runs three tasks at a time and tries each once, unless told otherwise."""
        spec = {"timeout_seconds": 10, "max_concurrency": 3, "retry": {"max_attempts": 1}, **more}
        register_worker(self.tables.client, self.tables.name, {"function_name": worker_id, **spec})

    def take(self, job_id: str, tasks: int, worker_id: str = "resize", **more: Any) -> None:
        """Have the Scheduler take a job of so many tasks."""
        job = {"job_id": job_id, "worker": worker_id, "period": f"last_{tasks}_days", "isolate_days": True, **more}
        self._schedule({"job": job})

    def dispatch(self) -> list[dict[str, Any]]:
        """Fill the free slots; the events of all tasks that run now."""
        with redirect_stdout(io.StringIO()):  # where the Essentials write their metrics
            orchestrator.handler({"tick": True}, FakeContext())
        sent = [invocation.event for invocation in self._lambdas.accepted if invocation.kind == "Event"]
        return [event for event in sent if (event["task_id"], event["attempt"]) not in self._reported]

    def tick(self) -> None:
        """The Scavenger's minute."""
        with redirect_stdout(io.StringIO()):
            scavenger.handler({"tick": True}, FakeContext())

    def complete(self, event: Mapping[str, Any]) -> None:
        """The Worker completes a task, and the stream tells the Scavenger."""
        self._report(event, action="mark_task_as_completed", result={"pixels": 7})

    def fail(self, event: Mapping[str, Any]) -> None:
        """The Worker fails on a task, and the stream tells the Scavenger."""
        error = {"type": "ValueError", "message": "row 7 is damaged"}
        self._report(event, action="mark_task_as_failed", error=error)

    def _schedule(self, event: Any) -> dict[str, Any]:
        with redirect_stdout(io.StringIO()):
            return scheduler.handler(event, FakeContext())

    def _report(self, event: Mapping[str, Any], **report: Any) -> None:
        attempt = {"task_id": event["task_id"], "attempt": event["attempt"], "token": event["sosw_token"]}
        said = {**attempt, **report}
        assert worker_assistant.handler(said, FakeContext())["accepted"]
        self._reported.add((event["task_id"], event["attempt"]))
        answer = self.tables.client.get_item(TableName=self.tables.tasks, Key={"task_id": {"S": event["task_id"]}})
        records = [{"eventName": "MODIFY", "dynamodb": {"NewImage": answer["Item"]}}]
        with redirect_stdout(io.StringIO()):
            scavenger.handler({"Records": records}, FakeContext())
            orchestrator.handler({"Records": records}, FakeContext())


class Command:
    """The command line, and what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        self._capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code

    @property
    def json(self) -> list[dict[str, Any]]:
        """The lines of standard output, each a JSON object."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def installation(
    dynamodb: DynamoDBClient, name: str, lambdas: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> Installation:
    monkeypatch.setenv("SOSW_CLOSED_TASKS_RETENTION_DAYS", str(RETENTION_DAYS))
    installed = Installation(dynamodb, name, lambdas)
    installed.register("resize", labels={"team": "media"})
    return installed


@pytest.fixture
def reads(installation: Installation) -> list[str]:
    """The table, or table and index, of every read from now on, as `tasks` or `tasks/queue`."""
    seen: list[str] = []

    def note(params: Mapping[str, Any], **_: Any) -> None:
        tables = params.get("RequestItems") or [params["TableName"]]
        for table in tables:
            index = [params["IndexName"]] if "IndexName" in params else []
            seen.append("/".join([table.removeprefix(f"{installation.tables.name}_"), *index]))

    for call in ("Query", "GetItem", "BatchGetItem"):
        aws.dynamodb().meta.events.register(f"provide-client-params.dynamodb.{call}", note)
    return seen


@pytest.fixture
def sosw(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)
