"""A task that runs in this process ends as it would in an installation, and reaches no AWS."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sosw_runtime.domain.job import RESERVED_KEYS
from sosw_runtime.errors import Refused, ReportUndelivered
from sosw_runtime.testing import FakeWorkerAssistant, LocalContext, Outcome, run_task
from sosw_runtime.worker import Event, NotRetryable, Worker, worker


class ResizeEvent(Event):
    images: list[str]


class Resize(Worker[ResizeEvent]):
    def __call__(self, event: ResizeEvent) -> dict[str, Any]:
        if not event["images"]:
            raise NotRetryable("no images")
        self.stats["images"] += len(event["images"])
        return {"first": event["images"][0], "attempt": event["attempt"]}


def test_a_completed_task_has_its_result_and_its_report() -> None:
    outcome = run_task(Resize, {"images": ["a", "b"]}, attempt=3)

    assert (outcome.completed, outcome.failed, outcome.retryable) == (True, False, False)
    assert outcome.result == {"first": "a", "attempt": 3}
    assert outcome.stats == {"images": 2}
    assert (outcome.error, outcome.exception) == (None, None)
    assert outcome.report is not None
    assert outcome.report["action"] == "mark_task_as_completed"
    assert outcome.report["attempt"] == 3
    assert outcome.duration_ms >= 0


def test_a_failed_task_has_its_error_and_whether_it_is_worth_another_try() -> None:
    def crash(event: Any, context: Any) -> None:
        raise ConnectionError("upstream is down")

    hopeless, hopeful = run_task(Resize.handler(), {"images": []}), run_task(worker(crash), {})

    assert hopeless.failed
    assert (hopeless.error, hopeless.retryable) == ({"type": "NotRetryable", "message": "no images"}, False)
    assert isinstance(hopeless.exception, NotRetryable)
    assert (hopeful.error, hopeful.retryable) == ({"type": "ConnectionError", "message": "upstream is down"}, True)
    assert hopeful.report is not None
    assert hopeful.result is None


def test_a_handler_keeps_its_instance_from_task_to_task() -> None:
    handler = Resize.handler()
    run_task(handler, {"images": ["a"]})
    warm = handler.worker

    assert run_task(handler, {"images": ["a"]}, number=1).stats == {"images": 1}
    assert handler.worker is warm


def test_a_worker_gets_what_lambda_would_give_it() -> None:
    seen: dict[str, Any] = {}

    @worker
    def look(event: Any, context: Any) -> None:
        seen.update(event=event, left=look.remaining_seconds(), arn=context.invoked_function_arn)

    run_task(look, {"day": "2012-01-01"}, timeout_seconds=20)

    assert seen["event"].keys() == {"day", *RESERVED_KEYS} - {"sosw_token"}
    assert 19 < seen["left"] <= 20
    assert seen["arn"].endswith(":function:look")
    assert LocalContext(timeout_seconds=0).get_remaining_time_in_millis() == 0


def raising(error: BaseException) -> Callable[[], None]:
    def ended() -> None:
        raise error

    return ended


class TestFunctionWithoutAReport:
    """Lambda tells of it."""

    def outcome(self, ended: Any) -> Outcome:
        return run_task(lambda event, context: ended(), {})

    def test_what_it_returns_is_the_result(self) -> None:
        returned = self.outcome(lambda: [1, 2])
        assert (returned.completed, returned.result, returned.report) == (True, [1, 2], None)

    @pytest.mark.parametrize(
        ("ended", "error", "retryable"),
        [
            (raising(ZeroDivisionError()), "ZeroDivisionError", True),
            (raising(NotRetryable("no")), "NotRetryable", False),
            (raising(SystemExit(3)), "Runtime.ExitError", True),
            (object, "Runtime.MarshalError", True),
        ],
    )
    def test_it_fails_as_lambda_says(self, ended: Any, error: str, retryable: bool) -> None:
        outcome = self.outcome(ended)
        assert outcome.failed
        assert outcome.error is not None
        assert (outcome.error["type"], outcome.retryable) == (error, retryable)


def test_the_first_report_counts_as_in_an_installation() -> None:
    inner = Resize.handler()

    def wrapped(event: dict[str, Any], context: Any) -> None:
        inner(event, context)
        raise OSError("after the report")

    outcome = run_task(wrapped, {"images": ["a"]})

    assert outcome.completed
    assert isinstance(outcome.exception, OSError)


@pytest.mark.parametrize("payload", [{"task_id": "x"}, {"sosw_token": "x"}, {"at": object()}, {"mean": float("nan")}])
def test_a_payload_that_no_job_can_have_is_refused(payload: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        run_task(Resize, payload)


def test_reports_go_to_the_fake_inside_its_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:9")
    monkeypatch.setattr("sosw_runtime.worker.PATIENCE_MS", 0)
    monkeypatch.setattr("sosw_runtime.worker_clients._clients", {})
    event = {"task_id": "t-1", "attempt": 1, "images": ["a"]}
    with FakeWorkerAssistant() as assistant:
        Resize.handler()(event)
        Resize.handler()(event)
        Resize.handler()({**event, "attempt": 2})

    assert [report.get("attempt") for report in assistant.reports] == [1, 1, 2]
    with pytest.raises(ReportUndelivered):
        Resize.handler()(event)


def test_a_second_report_of_an_attempt_is_not_accepted(caplog: pytest.LogCaptureFixture) -> None:
    with FakeWorkerAssistant():
        for _ in range(2):
            Resize.handler()({"task_id": "t-1", "attempt": 1, "images": ["a"]})

    assert "report not accepted: the task is completed already" in caplog.text


def test_the_module_needs_neither_pytest_nor_moto() -> None:

    program = "import sys, sosw_runtime.testing; print({'pytest', 'moto'} & set(sys.modules))"
    runtime = Path(__file__).parents[2] / "runtime"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=runtime)
    assert done.stdout == "set()\n"
