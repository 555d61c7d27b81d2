"""A Worker against a WorkerAssistant that answers over real HTTP, as Lambda's API would, and that can be in trouble."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import boto3
import pytest
from aws_lambda_powertools import Logger
from moto import mock_aws

from sosw_runtime import worker as worker_module
from sosw_runtime import worker_clients, worker_config
from sosw_runtime.errors import Misconfigured, Unavailable
from sosw_runtime.worker import Event, Handler, NotRetryable, ReportUndelivered, Retry, Worker, client, worker

#: As version 0.1.0 hands it out, and as this one does.
OLD_TASK = {"task_id": "t-1", "worker_id": "resize", "job_id": "j-1", "attempt": 2, "created_at": 1, "secret": "s3cr3t"}
TASK = {**OLD_TASK, "sosw_installation": "media", "sosw_token": "t0k3n"}

#: Bytes, https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LARGEST_REQUEST = 6 * 1024 * 1024


class Assistant(ThreadingHTTPServer):
    """Records what it is told. `troubles` are the ways in which the next calls go wrong, in order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.troubles: list[str] = []
        self.reports: list[dict[str, Any]] = []
        self.functions: list[str] = []
        self.finished: set[str] = set()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def record(self, report: dict[str, Any]) -> dict[str, Any]:
        self.reports.append(report)
        state = report["action"].removeprefix("mark_task_as_")
        accepted = report["task_id"] not in self.finished
        self.finished.add(report["task_id"])
        return {
            "task_id": report["task_id"],
            "accepted": accepted,
            "state": state,
            "reason": None if accepted else "not running",
        }

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hung up is part of the stories here."""


_REFUSALS = {
    "throttled": (429, "TooManyRequestsException"),
    "fails": (502, "ServiceException"),
    "is not ready": (409, "ResourceConflictException"),
    "denied": (403, "AccessDeniedException"),
    "absent": (404, "ResourceNotFoundException"),
    "cannot have the name": (400, "ValidationException"),
}


class _Call(BaseHTTPRequestHandler):
    server: Assistant

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if len(body) > LARGEST_REQUEST:
            self._refuse(413, "RequestTooLargeException")
            return
        report = json.loads(body)
        self.server.functions.append(self.path.split("/")[3])
        match self.server.troubles.pop(0) if self.server.troubles else "none":
            case "none":
                self._answer(200, self.server.record(report))
            case "acts, then the answer is lost":
                self.server.record(report)
                self.server.released.wait(10)
            case "drops the connection":
                self.close_connection = True
            case trouble if trouble in _REFUSALS:
                self._refuse(*_REFUSALS[trouble])
            case "has a parameter":
                self._answer(200, {"Parameter": {"Value": '{"width": 7}'}})
            case "raises":
                error = {"errorType": "Unavailable", "errorMessage": "DynamoDB"}
                self._answer(200, error, {"X-Amz-Function-Error": "Unhandled"})
            case "refuses":
                error = {"errorType": "Refused", "errorMessage": "attempt: 'x' is refused"}
                self._answer(200, error, {"X-Amz-Function-Error": "Unhandled"})
            case "is another function":
                self._answer(200, "hello")

    def _refuse(self, status: int, code: str) -> None:
        self._answer(status, {"__type": code}, {"x-amzn-ErrorType": code})

    def _answer(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Silent."""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_clients, "_clients", {})
    monkeypatch.setattr("time.sleep", lambda _seconds: None)


class Context:
    """Lambda's context of an invocation that ends after a time, which goes by where the Worker waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.left = 1000 * seconds
        monkeypatch.setattr("time.sleep", self._wait)

    def _wait(self, seconds: float) -> None:
        self.left -= 1000 * seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left)


@pytest.fixture
def assistant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Assistant]:
    with Assistant() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", server.url)
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


class Resize(Worker):
    """Counts, and does what the event asks for."""

    def __call__(self, event: Event) -> Mapping[str, Any] | None:
        self.stats["images"] += 1
        match event.get("then"):
            case "fail":
                raise ConnectionError("upstream is down")
            case "give up":
                raise NotRetryable("the image is no image")
            case "wait":
                raise Retry("too many requests", after=timedelta(minutes=5))
            case "fill the result":
                self.result["width"] = 7
                return None
        return {"width": 800}


class TestCompleted:
    def test_result_and_stats_are_reported_and_returned(self, assistant: Assistant) -> None:
        assert Resize.handler()(TASK, None) == {"width": 800}
        assert assistant.reports == [
            {
                "action": "mark_task_as_completed",
                "task_id": "t-1",
                "attempt": 2,
                "worker_id": "resize",
                "installation": "media",
                "token": "t0k3n",
                "result": {"width": 800},
                "stats": {"images": 1},
            }
        ]

    def test_an_event_of_version_0_1_is_reported_without_what_it_lacks(self, assistant: Assistant) -> None:
        assert Resize.handler()(OLD_TASK, None) == {"width": 800}
        assert assistant.reports[0].keys() == {"action", "task_id", "attempt", "worker_id", "result", "stats"}

    def test_the_workers_own_code_does_not_see_the_token(self, assistant: Assistant) -> None:
        @worker
        def handler(event: Event, context: Any) -> dict[str, Any]:
            return {"seen": event}

        seen = handler(TASK)["seen"]
        assert seen == {key: value for key, value in TASK.items() if key != "sosw_token"}
        assert TASK["sosw_token"] == "t0k3n", "the event is as it was"

    def test_a_call_that_returns_none_reports_what_it_put_into_result(self, assistant: Assistant) -> None:
        assert Resize.handler()({**TASK, "then": "fill the result"}) == {"width": 7}
        assert assistant.reports[0]["result"] == {"width": 7}

    def test_a_warm_container_keeps_its_instance_and_begins_anew(self, assistant: Assistant) -> None:
        handler = Resize.handler()
        handler({**TASK, "then": "fill the result"})
        warm = handler.worker
        handler({**TASK, "task_id": "t-2", "then": "fill the result"})
        assert handler.worker is warm
        assert [report["stats"] for report in assistant.reports] == [{"images": 1}, {"images": 1}]
        assert handler.worker.result == {"width": 7}

    def test_an_event_without_attempt_is_reported_without_one(self, assistant: Assistant) -> None:
        Resize.handler()({"task_id": "t-1"})
        assert "attempt" not in assistant.reports[0]

    def test_a_test_invocation_works_and_reports_nothing(self, assistant: Assistant) -> None:
        assert Resize.handler()({"bucket": "b"}) == {"width": 800}
        assert assistant.functions == []

    def test_a_report_that_comes_too_late_is_logged_and_no_error(
        self, assistant: Assistant, caplog: pytest.LogCaptureFixture
    ) -> None:
        assistant.finished.add("t-1")
        assert Resize.handler()(TASK) == {"width": 800}
        assert "report not accepted: not running task_id=t-1" in caplog.text


class TestFailed:
    def test_an_exception_is_reported_worth_another_try_and_raised(self, assistant: Assistant) -> None:
        with pytest.raises(ConnectionError, match="upstream is down"):
            Resize.handler()({**TASK, "then": "fail"})
        assert assistant.reports == [
            {
                "action": "mark_task_as_failed",
                "task_id": "t-1",
                "attempt": 2,
                "worker_id": "resize",
                "installation": "media",
                "token": "t0k3n",
                "error": {"type": "ConnectionError", "message": "upstream is down"},
                "retryable": True,
                "stats": {"images": 1},
            }
        ]

    def test_not_retryable_is_reported_as_not_worth_another_try(self, assistant: Assistant) -> None:
        with pytest.raises(NotRetryable):
            Resize.handler()({**TASK, "then": "give up"})
        assert assistant.reports[0]["retryable"] is False
        assert assistant.reports[0]["error"] == {"type": "NotRetryable", "message": "the image is no image"}

    def test_a_retry_is_reported_with_its_time(self, assistant: Assistant) -> None:
        with pytest.raises(Retry):
            Resize.handler()({**TASK, "then": "wait"})
        assert assistant.reports[0]["retry_after_seconds"] == 300
        assert assistant.reports[0]["retryable"] is True
        assert assistant.reports[0]["error"] == {"type": "Retry", "message": "too many requests"}

    @pytest.mark.parametrize("after", [timedelta(seconds=-1), timedelta(days=367)])
    def test_a_retry_that_nobody_could_wait_for_is_refused(self, after: timedelta) -> None:
        with pytest.raises(ValueError, match=r"after: .* is refused; expected 0 to 366 days"):
            Retry(after=after)

    def test_a_constructor_that_raises_fails_the_task_alone(self, assistant: Assistant) -> None:
        class Fragile(Resize):
            tries: ClassVar[int] = 0

            def __init__(self) -> None:
                Fragile.tries += 1
                if Fragile.tries == 1:
                    raise OSError("no model file")

        handler = Fragile.handler()
        with pytest.raises(OSError, match="no model file"):
            handler(TASK)
        assert assistant.reports[0]["error"]["type"] == "OSError"
        assert handler({**TASK, "task_id": "t-2"}) == {"width": 800}

    def test_a_long_message_is_cut(self, assistant: Assistant) -> None:
        @worker
        def handler(event: Event, context: Any) -> None:
            raise ValueError("x" * 100_000)

        with pytest.raises(ValueError, match="x"):
            handler(TASK)
        assert len(assistant.reports[0]["error"]["message"]) == 2_000

    def test_an_error_whose_message_cannot_be_read_is_reported_all_the_same(self, assistant: Assistant) -> None:
        deep: Any = 0
        for _ in range(100_000):
            deep = [deep]

        @worker
        def handler(event: Event, context: Any) -> None:
            raise ValueError(deep)

        with pytest.raises(ValueError):  # noqa: PT011 - its message is what cannot be read
            handler(TASK)
        error = {"type": "ValueError", "message": "its message cannot be read: RecursionError"}
        assert assistant.reports[0]["error"] == error

    def test_no_payload_and_no_message_of_an_error_is_logged(
        self, assistant: Assistant, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, logger="sosw_runtime.worker")
        Resize.handler()(TASK)
        with pytest.raises(ConnectionError):
            Resize.handler()({**TASK, "task_id": "t-2", "then": "fail"})
        assert "reported: completed task_id=t-1 worker_id=resize job_id=j-1 attempt=2" in caplog.text
        assert "failed with ConnectionError, worth another try task_id=t-2" in caplog.text
        assert "s3cr3t" not in caplog.text
        assert "t0k3n" not in caplog.text
        assert "upstream" not in caplog.text
        assert {record.__dict__["attempt"] for record in caplog.records} == {2}


class TestWhatIsTooLargeToKeep:
    def test_a_large_result_is_reported_and_returned_as_its_size(self, assistant: Assistant) -> None:
        @worker
        def handler(event: Event, context: Any) -> dict[str, Any]:
            handler.stats.update({f"photo {number}": number for number in range(2_000)})
            return {"text": "ü" * 2 * LARGEST_REQUEST}

        size = {"dropped_bytes": len('{"text":""}') + 2 * LARGEST_REQUEST * len("\\u00fc"), "largest_bytes": 16_384}
        assert handler(TASK) == size
        assert assistant.reports[0]["action"] == "mark_task_as_completed"
        assert assistant.reports[0]["result"] == size
        assert assistant.reports[0]["stats"].keys() == size.keys()

    @pytest.mark.parametrize(("length", "is_kept"), [(16_384, True), (16_385, False)])
    def test_up_to_16_kilobytes_of_json_are_kept(self, assistant: Assistant, length: int, is_kept: bool) -> None:
        result = {"text": "x" * (length - len('{"text":""}'))}
        assert (worker(lambda event, context: result)(TASK) == result) is is_kept
        assert (assistant.reports[0]["result"] == result) is is_kept

    def test_a_failure_is_reported_however_much_it_says(self, assistant: Assistant) -> None:
        @worker
        def handler(event: Event, context: Any) -> None:
            handler.stats.update({"x" * LARGEST_REQUEST: 1})
            raise type("E" * LARGEST_REQUEST, (ValueError,), {})("m" * LARGEST_REQUEST)

        with pytest.raises(ValueError, match="m"):
            handler(TASK)
        [report] = assistant.reports
        assert report["stats"] == {"dropped_bytes": LARGEST_REQUEST + len('{"":1}'), "largest_bytes": 16_384}
        assert {part: len(text) for part, text in report["error"].items()} == {"type": 2_000, "message": 2_000}

    def test_a_test_invocation_returns_it_all(self, assistant: Assistant) -> None:
        result = {"text": "x" * 20_000}
        assert worker(lambda event, context: result)({}) == result


class TestDelivery:
    @pytest.mark.parametrize("trouble", ["throttled", "drops the connection", "raises", "fails", "is not ready"])
    def test_trouble_that_passes_is_waited_out(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch, trouble: str
    ) -> None:
        assistant.troubles = [trouble] * 40
        Resize.handler()(TASK, Context(monkeypatch, seconds=900))
        assert len(assistant.functions) == 41
        assert len(assistant.reports) == 1

    def test_a_report_whose_answer_was_lost_is_sent_again_and_counts_once(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(worker_module, "REPORT_READ_TIMEOUTS_SECONDS", (0.3,))
        assistant.troubles = ["acts, then the answer is lost"]
        assert Resize.handler()(TASK) == {"width": 800}
        assert len(assistant.reports) == 2
        assert "report not accepted: not running" in caplog.text

    @pytest.mark.parametrize(
        ("seconds", "longest"),
        [(60, 35), (38, 35), (37.9, 10), (13, 10), (12.9, 3), (6, 3), (5.9, 1), (3, 1), (0, 1)],
    )
    def test_a_call_may_take_as_long_as_the_time_out_allows(
        self, monkeypatch: pytest.MonkeyPatch, seconds: float, longest: float
    ) -> None:
        """A second is left, after a connection that took its 2 s, or 1 s where there is no time for more."""
        left = worker_module._milliseconds_left(Context(monkeypatch, seconds))
        assert worker_module._read_timeout(left()) == longest

    @pytest.mark.parametrize("trouble", ["throttled", "drops the connection", "raises", "fails"])
    @pytest.mark.parametrize("seconds", [900, 60, 10, 3])
    def test_no_report_is_sent_that_could_outlast_the_time_out(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch, trouble: str, seconds: float
    ) -> None:
        context, left, read_timeout = Context(monkeypatch, seconds), list[float](), worker_module._read_timeout

        def noted(left_ms: float) -> float:
            left.append(left_ms)
            return read_timeout(left_ms)

        monkeypatch.setattr(worker_module, "_read_timeout", noted)
        assistant.troubles = [trouble] * 10_000
        with pytest.raises(ReportUndelivered):
            Resize.handler()(TASK, context)
        assert len(left) == len(assistant.functions)
        in_time = [ms >= 1000 * worker_module._longest(read_timeout(ms)) for ms in left]
        assert all(in_time), "each could have ended in time"
        assert context.left < 1000 * (1 + 2 + 5), "and no time was left that a report might have had"

    def test_a_report_is_sent_once_however_little_time_is_left(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert Resize.handler()(TASK, Context(monkeypatch, seconds=0.1)) == {"width": 800}
        assert len(assistant.reports) == 1

    def test_outside_lambda_a_report_has_some_seconds(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = Context(monkeypatch, seconds=0)
        monkeypatch.setattr(worker_module, "time", SimpleNamespace(monotonic=lambda: -clock.left / 1000))
        assistant.troubles = ["throttled"] * 10_000
        with pytest.raises(ReportUndelivered):
            Resize.handler()(TASK)
        assert len(assistant.functions) > 1
        assert -worker_module.PATIENCE_MS < clock.left < 0

    @pytest.mark.parametrize("trouble", ["throttled", "denied", "absent", "is another function", "raises", "refuses"])
    def test_an_undeliverable_report_hands_its_outcome_to_lambda(
        self,
        assistant: Assistant,
        monkeypatch: pytest.MonkeyPatch,
        trouble: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        assistant.troubles = [trouble] * 10_000
        with pytest.raises(ReportUndelivered) as undelivered:
            Resize.handler()(TASK, Context(monkeypatch, seconds=20))
        assert ReportUndelivered.outcome(str(undelivered.value)) == ({"width": 800}, {"images": 1})
        assert "media_worker_assistant" in json.loads(str(undelivered.value))["reason"]
        assert "t0k3n" not in str(undelivered.value)
        assert "completed, but the report was not delivered" in caplog.text
        assert "width" not in caplog.text

    def test_what_hinders_a_report_is_no_failure_of_the_task(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A package without what a report needs, for instance."""
        monkeypatch.setitem(sys.modules, "tenacity", None)
        with pytest.raises(ReportUndelivered, match="tenacity"):
            Resize.handler()(TASK)

    @pytest.mark.parametrize(
        "message", ["", "{", '{"reason": "", "result": {"wid', "[1]", "[" * 100_000, '{"result": 1}']
    )
    def test_of_a_message_that_was_cut_no_outcome_is_read(self, message: str) -> None:
        assert ReportUndelivered.outcome(message) == (None, None)

    def test_a_failed_task_whose_report_is_undeliverable_raises_its_own_error(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        assistant.troubles = ["throttled"] * 10_000
        with pytest.raises(ConnectionError, match="upstream is down"):
            Resize.handler()({**TASK, "then": "fail"}, Context(monkeypatch, seconds=20))
        assert "failed, and the report was not delivered" in caplog.text

    @pytest.mark.parametrize("trouble", ["denied", "absent", "is another function"])
    def test_a_wrong_worker_assistant_is_misconfigured_and_not_asked_twice(
        self, assistant: Assistant, trouble: str
    ) -> None:
        assistant.troubles = [trouble]
        with pytest.raises(ReportUndelivered) as undelivered:
            Resize.handler()(TASK)
        assert isinstance(undelivered.value.__cause__, Misconfigured)
        assert str(undelivered.value.__cause__).startswith("SOSW_WORKER_ASSISTANT: media_worker_assistant")
        assert len(assistant.functions) == 1

    def test_a_report_that_is_refused_is_not_sent_again(self, assistant: Assistant) -> None:
        assistant.troubles = ["refuses"] * 2
        with pytest.raises(ReportUndelivered, match="Refused"):
            Resize.handler()(TASK)
        assert len(assistant.functions) == 1

    def test_the_worker_assistant_follows_the_name_or_is_given(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Resize.handler()(TASK)
        monkeypatch.setenv("SOSW_NAME", "acme")
        Resize.handler()(TASK)
        monkeypatch.setenv("SOSW_WORKER_ASSISTANT", "elsewhere")
        Resize.handler()(TASK)
        of_hand = {key: value for key, value in TASK.items() if key != "sosw_installation"}
        monkeypatch.delenv("SOSW_NAME")
        monkeypatch.delenv("SOSW_WORKER_ASSISTANT")
        Resize.handler()(of_hand)
        names = ["media_worker_assistant", "acme_worker_assistant", "elsewhere", "sosw_worker_assistant"]
        assert assistant.functions == names


def _returning(result: dict[str, Any]) -> Handler:
    return worker(lambda event, context: result)


class TestWhatJsonCannotCarry:
    @pytest.mark.parametrize(
        ("result", "message"),
        [
            ({"days": [{"at": date(2012, 1, 1)}]}, r"result\['days'\]\[0\]\['at'\] is refused: .*type date"),
            ({"mean": float("nan")}, r"result\['mean'\] is refused: .*float"),
            ({"by": {("a", "b"): 1}}, r"result\['by'\] is refused: keys must be str"),
            ([1, 2], r"result: list is refused; it must be a dict"),
        ],
    )
    def test_is_named_and_not_tried_again(self, assistant: Assistant, result: Any, message: str) -> None:
        @worker
        def handler(event: Event, context: Any) -> Any:
            return result

        with pytest.raises(NotRetryable, match=message):
            handler(TASK)
        assert assistant.reports[0]["retryable"] is False

    def test_a_deep_result_is_replaced_and_the_task_is_done(self, assistant: Assistant) -> None:
        for levels in (199, 200, 201, 900, 5_000, 100_000):
            deep: dict[str, Any] = {}
            for _ in range(levels - 1):
                deep = {"in": deep}
            returned = _returning(deep)({**TASK, "task_id": f"t-{levels}"})
            report = assistant.reports.pop()
            assert report["action"] == "mark_task_as_completed"
            assert (returned == {"dropped": "it has more than 200 levels"}) is (levels > 200)
            assert report["result"] == returned

    def test_stats_that_are_too_deep_do_not_fail_a_task(self, assistant: Assistant) -> None:
        @worker
        def handler(event: Event, context: Any) -> dict[str, Any]:
            deep: Any = 0
            for _ in range(100_000):
                deep = [deep]
            handler.stats["share"] = deep
            return {}

        assert handler(TASK) == {}
        assert assistant.reports[0]["stats"] == {"dropped": "it has more than 200 levels"}

    def test_the_culprit_of_a_deep_result_is_named(self, assistant: Assistant) -> None:
        deep: Any = date(2012, 1, 1)
        for _ in range(700):
            deep = [deep]
        with pytest.raises(NotRetryable, match=r"result\['in'\]\[0\].* is refused: .*type date"):
            _returning({"in": deep})(TASK)

    def test_a_circle_is_named(self, assistant: Assistant) -> None:
        circle: dict[str, Any] = {}
        circle["again"] = circle

        @worker
        def handler(event: Event, context: Any) -> Any:
            return circle

        with pytest.raises(NotRetryable, match="Circular reference"):
            handler(TASK)

    def test_stats_too_and_the_failure_is_reported_without_them(self, assistant: Assistant) -> None:
        @worker
        def handler(event: Event, context: Any) -> None:
            handler.stats["share"] = float("inf")

        with pytest.raises(NotRetryable, match=r"stats\['share'\] is refused"):
            handler(TASK)
        assert assistant.reports[0]["stats"] == {}


class TestDecoratedFunction:
    def test_it_counts_reports_and_keeps_its_name(self, assistant: Assistant) -> None:
        context = object()

        @worker
        def resize(event: Event, context: Any) -> dict[str, Any]:
            """Resizes."""
            resize.stats["images"] += 2
            return {"same": context is resize.worker.context}

        assert resize(TASK, context) == {"same": True}
        assert assistant.reports[0]["stats"] == {"images": 2}
        assert (vars(resize)["__name__"], resize.__doc__) == ("resize", "Resizes.")

    def test_it_has_a_configuration(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOSW_WORKER_CONFIG", '{"width": 3}')

        @worker
        def resize(event: Event, context: Any) -> dict[str, Any]:
            return {"width": resize.config["width"]}

        assert resize({}, None) == {"width": 3}


class ImagesEvent(Event):
    """An event with the keys of its payload."""

    images: list[str]


class Typed(Worker[ImagesEvent]):
    def __call__(self, event: ImagesEvent) -> dict[str, Any]:
        return {"images": len(event["images"]), "attempt": event["attempt"]}


def test_a_worker_may_say_what_its_events_hold(assistant: Assistant) -> None:
    assert Typed.handler()({**TASK, "images": ["a", "b"]}) == {"images": 2, "attempt": 2}


class TestRemainingSeconds:
    def test_it_is_lambdas(self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
        @worker
        def handler(event: Event, context: Any) -> dict[str, Any]:
            return {"left": handler.remaining_seconds(), "same": handler.worker.remaining_seconds()}

        assert handler(TASK, Context(monkeypatch, seconds=12.5)) == {"left": 12.5, "same": 12.5}

    def test_outside_lambda_it_is_unknown(self) -> None:
        assert Resize().remaining_seconds() is None
        assert worker(lambda event, context: None).remaining_seconds() is None


class TestPowertoolsLogs:
    def test_each_service_carries_the_ids_while_a_task_runs(self, assistant: Assistant) -> None:
        streams = {name: io.StringIO() for name in ("resize", "database")}
        loggers = {name: Logger(service=name, stream=stream) for name, stream in streams.items()}
        again = Logger(service="resize")
        loggers["database"].append_keys(attempt="of connecting", database="main")

        @worker
        def handler(event: Event, context: Any) -> None:
            again.info("at work")
            loggers["database"].info("at work")
            raise ConnectionError

        with pytest.raises(ConnectionError):
            handler(TASK)
        for logger in loggers.values():
            logger.info("between tasks")

        written = {
            name: [json.loads(line) for line in stream.getvalue().splitlines()] for name, stream in streams.items()
        }
        ids = {"task_id": "t-1", "worker_id": "resize", "job_id": "j-1", "attempt": 2}
        for at_work, between in written.values():
            assert ids.items() <= at_work.items()
            assert not {"task_id", "worker_id", "job_id"} & between.keys()
            assert "t0k3n" not in json.dumps(at_work)
        assert "attempt" not in written["resize"][1]
        assert written["database"][1]["attempt"] == "of connecting"
        assert written["database"][0]["database"] == "main"

    def test_a_worker_without_powertools_never_loads_it(self) -> None:
        program = (
            "import sys; from sosw_runtime import worker\n"
            "handler = worker.worker(lambda event, context: {}); handler({'task': 1})\n"
            "print('aws_lambda_powertools' in sys.modules)"
        )
        runtime = Path(worker_module.__file__).parents[1]
        done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=runtime)
        assert done.stdout == "False\n"


class Configured(Resize):
    DEFAULT_CONFIG: ClassVar[Mapping[str, Any]] = {"width": 1, "source": {"bucket": "default", "prefix": "in/"}}


class Fresh(Configured):
    CONFIG_REFRESH_SECONDS: ClassVar[float | None] = 0


@mock_aws
class TestConfig:
    @pytest.fixture(autouse=True)
    def in_lambda(self, environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "resize")

    def put_parameter(self, name: str, value: str) -> None:
        boto3.client("ssm").put_parameter(Name=name, Value=value, Type="SecureString", Overwrite=True)

    def test_without_environment_and_parameter_the_defaults_hold(self) -> None:
        assert Configured().config == Configured.DEFAULT_CONFIG

    def test_later_layers_win_key_by_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOSW_WORKER_CONFIG", '{"width": 2, "source": {"bucket": "environment"}}')
        self.put_parameter("/sosw/resize/config", '{"width": 3, "extra": [1]}')
        source = {"bucket": "environment", "prefix": "in/"}
        assert Configured().config == {"width": 3, "source": source, "extra": [1]}
        assert Configured.DEFAULT_CONFIG["source"] == {"bucket": "default", "prefix": "in/"}

    def test_it_is_read_once_per_cold_start(self) -> None:
        warm = Configured()
        self.put_parameter("/sosw/resize/config", '{"width": 3}')
        assert warm.config["width"] == 3
        self.put_parameter("/sosw/resize/config", '{"width": 4}')
        assert warm.config["width"] == 3
        assert Configured().config["width"] == 4

    def test_it_is_read_again_by_a_task_that_begins_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Hourly(Configured):
            CONFIG_REFRESH_SECONDS = 3600

        now = 1_800_000_000.0
        monkeypatch.setattr(worker_config, "time", SimpleNamespace(time=lambda: now))
        self.put_parameter("/sosw/resize/config", '{"width": 3}')
        handler = Hourly.handler()
        handler({})
        assert handler.config["width"] == 3
        self.put_parameter("/sosw/resize/config", '{"width": 4}')

        now += 3599
        handler({})
        assert handler.config["width"] == 3
        now += 1
        assert handler.config["width"] == 3, "it stays the same within a task"
        handler({})
        assert handler.config["width"] == 4
        now += 3599
        handler({})
        self.put_parameter("/sosw/resize/config", '{"width": 5}')
        assert handler.config["width"] == 4

    def test_a_test_may_put_another_in_its_place(self) -> None:
        warm = Configured()
        warm.config = {"width": 9}
        warm._begin(None)
        assert warm.config == {"width": 9}

    def test_the_parameter_follows_the_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SOSW_NAME", "acme")
        self.put_parameter("/acme/resize/config", '{"width": 5}')
        assert Configured().config["width"] == 5

    def test_outside_lambda_no_parameter_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.put_parameter("/sosw/resize/config", '{"width": 3}')
        monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")
        assert Configured().config["width"] == 1

    @pytest.mark.parametrize(("text", "problem"), [("{s3cr3t", "not JSON"), ('["s3cr3t"]', "a JSON list")])
    def test_a_malformed_layer_is_named_and_not_quoted(
        self, text: str, problem: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.put_parameter("/sosw/resize/config", text)
        with pytest.raises(Misconfigured, match=f"SSM parameter /sosw/resize/config: {problem}") as refused:
            _ = Configured().config
        assert "s3cr3t" not in str(refused.value)
        monkeypatch.setenv("SOSW_WORKER_CONFIG", text)
        with pytest.raises(Misconfigured, match=f"SOSW_WORKER_CONFIG: {problem}"):
            _ = Configured().config


class TestConfigOfATroubledService:
    @pytest.fixture(autouse=True)
    def in_lambda(self, environment: None, assistant: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "resize")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", f"{assistant.url}/2015-03-31/functions/ssm")

    def test_a_parameter_that_cannot_be_read_is_never_taken_for_a_missing_one(self, assistant: Assistant) -> None:
        assistant.troubles = ["drops the connection"] * 6
        with pytest.raises(Unavailable, match="/sosw/resize/config could not be read"):
            _ = Configured().config

    def test_without_the_right_the_lower_layers_hold_and_a_line_says_so_once(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("SOSW_WORKER_CONFIG", '{"width": 2, "secret": "s3cr3t"}')
        assistant.troubles = ["denied"] * 3
        fresh = Fresh()
        for _ in range(3):
            fresh._begin(None)
            assert fresh.config["width"] == 2
        assert len(assistant.functions) == 3
        [record] = caplog.records
        assert record.levelname == "WARNING"
        assert record.getMessage().startswith("SSM parameter /sosw/resize/config is not read for the configuration")
        assert "s3cr3t" not in caplog.text

    def test_a_right_that_comes_late_is_used_a_minute_later(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1_800_000_000.0
        monkeypatch.setattr(worker_config, "time", SimpleNamespace(time=lambda: now))
        assistant.troubles = ["denied", "has a parameter"]
        worker = Configured()
        assert worker.config["width"] == Configured.DEFAULT_CONFIG["width"]
        now += 59
        worker._begin(None)
        assert worker.config["width"] == Configured.DEFAULT_CONFIG["width"]
        now += 1
        worker._begin(None)
        assert worker.config["width"] == 7

    def test_a_right_that_is_taken_away_takes_nothing_back(
        self, assistant: Assistant, caplog: pytest.LogCaptureFixture
    ) -> None:
        assistant.troubles = ["has a parameter", "denied", "denied"]
        fresh = Fresh()
        for _ in range(3):
            fresh._begin(None)
            assert fresh.config["width"] == 7
        assert len(caplog.records) == 1

    def test_a_name_that_ssm_cannot_have_is_no_parameter(self, assistant: Assistant) -> None:
        assistant.troubles = ["cannot have the name"]
        assert Configured().config == Configured.DEFAULT_CONFIG

    def test_a_throttled_parameter_is_asked_for_again(
        self, assistant: Assistant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assistant.troubles = ["throttled"] * 5 + ["has a parameter"]
        assert Configured().config["width"] == 7

    def test_where_ssm_is_out_what_was_read_before_stays(
        self, assistant: Assistant, caplog: pytest.LogCaptureFixture
    ) -> None:
        assistant.troubles = ["denied", *["drops the connection"] * 6]
        fresh = Fresh()
        before = fresh.config
        fresh._begin(None)
        assert fresh.config == before
        assert "the configuration is kept as it was: SSM parameter /sosw/resize/config could not be read" in caplog.text


def test_a_client_is_made_once_whoever_asks_first() -> None:
    with ThreadPoolExecutor(8) as pool:
        clients = list(pool.map(client, ["s3"] * 8))
    assert len({id(each) for each in clients}) == 1
    assert clients[0].meta.config.connect_timeout == 2
    assert clients[0].meta.config.read_timeout == 60


class TestImport:
    """In interpreters of their own, since this one has loaded everything."""

    def python(self, code: str) -> str:
        runtime = Path(worker_module.__file__).parents[1]
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=runtime)
        return done.stdout.strip()

    def test_it_loads_neither_boto3_nor_pydantic_nor_tenacity(self) -> None:
        heavy = "{'boto3', 'botocore', 'pydantic', 'pydantic_settings', 'aws_lambda_powertools', 'tenacity'}"
        assert self.python(f"import sys, sosw_runtime.worker; print(sorted({heavy} & set(sys.modules)))") == "[]"

    def test_it_takes_less_than_a_quarter_of_boto3(self) -> None:
        timed = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"

        def seconds(module: str) -> float:
            return min(float(self.python(timed.format(module))) for _ in range(5))

        assert seconds("sosw_runtime.worker") < seconds("boto3") / 4
