"""The users' side: a Worker that does one task per invocation and reports how it went.

As a class, whose one instance serves every invocation of a warm container:

    class Resize(Worker):
        DEFAULT_CONFIG = {"width": 800}

        def __call__(self, event):
            image = client("s3").get_object(Bucket=event["bucket"], Key=event["key"])
            self.stats["bytes"] += image["ContentLength"]
            return {"width": self.config["width"]}

    handler = Resize.handler()

Or around a function that Lambda already calls:

    @worker
    def handler(event, context):
        handler.stats["images"] += 1
        return {"width": 800}

What is reported:

- A call that returns: completed. The result is the returned object, or `self.result` if it returned None.
- A call that raises: failed, and worth another try unless the exception is a `NotRetryable`. The exception goes on to
  Lambda afterwards, so that its `Errors` metric counts it.
- An event without `task_id` (a test invocation): nothing.

Of a result and of stats 16 KB of JSON each are kept. In place of a larger one its size is reported, and in place of a
larger result Lambda gets its size as the answer too: it fails an invocation whose answer is over 6 MB, although the
work is done. Put what is large into S3, and its key into the result. One with more than 200 levels is replaced as well.

The report is an invocation of the WorkerAssistant that waits for the answer. It may be sent more than once: it names
the attempt, and only the current attempt can finish a task, once. While Lambda throttles it, or the WorkerAssistant
fails, it is sent again until a second before the function's time-out. When it cannot be delivered at all, the
invocation of a completed task raises `ReportUndelivered`, and that of a failed one raises the task's own error. Either
way Lambda's on-failure destination tells the WorkerAssistant within seconds: of `ReportUndelivered` that the task is
completed, with the result and the stats that the error carries. Had the lost report been recorded after all, the
destination's changes nothing.

The event's key `sosw_token` is a secret by which the WorkerAssistant knows the Worker that was handed the task. The
report carries it; the Worker's own code gets the event without it, so that it may log its event.

Settings, from the environment:

| variable | default | meaning |
| --- | --- | --- |
| `SOSW_NAME` | the event's `sosw_installation`, or `sosw` | the `name` of the Terraform module |
| `SOSW_WORKER_ASSISTANT` | `<name>_worker_assistant` | name or ARN of the function that takes the reports |
| `SOSW_WORKER_CONFIG` | none | configuration of the Worker, a JSON object |

The role needs `lambda:InvokeFunction` on the WorkerAssistant and, where the Worker has a configuration in SSM,
`ssm:GetParameter` on its parameter. The Terraform module `worker` grants both.

A Worker's package needs this one and tenacity, as `sosw worker package` and `sosw package --layer` put it together;
boto3 is part of Lambda's runtimes. Both are imported when first used.
"""

# ruff: noqa: PLC0415 - boto3 and tenacity are imported when first used, so that a Worker that needs neither starts without

from __future__ import annotations

import json
import logging
import os
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Self

from sosw_runtime.contract import Answer, Event, Report
from sosw_runtime.errors import Misconfigured, NotRetryable, ReportUndelivered, Retry, Unavailable, shortened
from sosw_runtime.outcome_limits import replacement
from sosw_runtime.worker_clients import client, connect_timeout_seconds
from sosw_runtime.worker_config import Configuration, installation_name
from sosw_runtime.worker_logs import powertools_keys

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # Python's own has no default before 3.13

    EventT = TypeVar("EventT", bound=Mapping[str, Any], default=Event)
else:
    from typing import TypeVar

    EventT = TypeVar("EventT")

__all__ = ["Event", "Handler", "NotRetryable", "Report", "ReportUndelivered", "Retry", "Worker", "client", "worker"]

LONGEST_MESSAGE: Final = 2_000

#: How long a report may wait for its answer: the longest that the time left allows, for each costs a client of its own.
#: The first is longer than the WorkerAssistant's own time-out, by default 30 s: one still at work is not asked again.
REPORT_READ_TIMEOUTS_SECONDS: Final = (35.0, 10.0, 3.0, 1.0)
#: What is left of an invocation when no report is sent any more: the time to end with an error, for the slowest.
RESERVE_MS: Final = 1_000
#: How long reports are sent again outside Lambda, where no time-out is known.
PATIENCE_MS: Final = 10_000

#: What a report repeats of its event, by its own name for it.
_REPEATED: Final = {
    "task_id": "task_id",
    "attempt": "attempt",
    "worker_id": "worker_id",
    "installation": "sosw_installation",
    "token": "sosw_token",
}

logger = logging.getLogger(__name__)


class Worker(ABC, Generic[EventT]):
    """Base class of Workers; `handler()` makes what Lambda calls.

    `Worker[ResizeEvent]` is a Worker whose events have more keys than `Event`, for type checkers.

    The instance is made by the first invocation and serves the following ones, one at a time. `stats`, `result` and
    `context` belong to an invocation and start anew with each; whatever else the instance holds stays.
    """

    DEFAULT_CONFIG: ClassVar[Mapping[str, Any]] = {}
    CONFIG_REFRESH_SECONDS: ClassVar[float | None] = None
    """How old `config` may be when a task begins; None reads it once per instance."""

    stats: defaultdict[str, float]
    """Counted by name, from 0: `self.stats["rows"] += 1`. Reported with the task, also with a failed one."""
    result: dict[str, Any]
    """Reported when the call returns None."""
    context: Any
    """Lambda's context of the invocation."""
    _configuration: Configuration

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        instance = super().__new__(cls)
        instance._configuration = Configuration()
        instance._begin(None)
        return instance

    @abstractmethod
    def __call__(self, event: EventT) -> Mapping[str, Any] | None:
        """Do the task: the payload's keys, `task_id`, `worker_id`, `job_id`, `attempt` and `created_at` (ms)."""

    def remaining_seconds(self) -> float | None:
        """Seconds until Lambda stops the invocation; None outside Lambda."""
        milliseconds: Callable[[], float] | None = getattr(self.context, "get_remaining_time_in_millis", None)
        return None if milliseconds is None else milliseconds() / 1000

    @classmethod
    def handler(cls) -> Handler:
        """What Lambda calls: `handler = Resize.handler()`."""
        return Handler(cls)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Three layers, the later wins, nested objects merged key by key; read when first used.

        1. `DEFAULT_CONFIG` of the class.
        2. The environment variable `SOSW_WORKER_CONFIG`, a JSON object.
        3. The SSM parameter `/<SOSW_NAME>/<function name>/config`, a String or SecureString with a JSON object. It may
           be missing. One that the role may not read is left out, and a warning in the log says so once. Outside
           Lambda, where `AWS_LAMBDA_FUNCTION_NAME` is not set, it is not read.

        It stays the same within a task. With `CONFIG_REFRESH_SECONDS` it is read again in a task that begins so long
        after; where SSM does not answer then, what was read before stays.

        Raises `Misconfigured` for a layer that is not a JSON object, and `Unavailable` when SSM does not answer.
        """
        return self._configuration.read(self.DEFAULT_CONFIG)

    def _begin(self, context: Any) -> None:
        self.stats = defaultdict(int)
        self.result = {}
        self.context = context
        if self._configuration.is_older_than(self.CONFIG_REFRESH_SECONDS):
            self.__dict__.pop("config", None)


class Handler:
    """A Lambda handler around a Worker: runs it and reports."""

    def __init__(self, make: Callable[[], Worker[Any]]) -> None:
        self._make = make

    @cached_property
    def worker(self) -> Worker[Any]:
        return self._make()

    @property
    def stats(self) -> defaultdict[str, float]:
        """`Worker.stats`, for a decorated function."""
        return self.worker.stats

    @property
    def config(self) -> dict[str, Any]:
        """`Worker.config`, for a decorated function."""
        return self.worker.config

    def remaining_seconds(self) -> float | None:
        """`Worker.remaining_seconds`, for a decorated function."""
        return self.worker.remaining_seconds()

    def __call__(self, event: Mapping[str, Any], context: Any = None) -> dict[str, Any]:
        """Do the task that `event` is, report it and return its result, as it was reported."""
        task = _Task(event, context)
        stats: Mapping[str, float] = {}
        try:
            self.worker._configuration.installation = task.installation
            self.worker._begin(context)
            stats = self.worker.stats
            with powertools_keys(task._ids):
                returned = self.worker(_without_token(event))
            result = _json_object("result", self.worker.result if returned is None else returned)
            stats = _json_object("stats", stats)
        except Exception as error:
            task.failed(error, stats)
            raise
        return task.completed(result, stats)


def worker(function: Callable[[EventT, Any], Mapping[str, Any] | None]) -> Handler:
    """Make a plain Lambda handler a Worker.

    `stats`, `config` and `remaining_seconds()` are attributes of the decorated function.
    """
    handler = Handler(lambda: _FunctionWorker(function))
    update_wrapper(handler, function)
    return handler


class _FunctionWorker(Worker[EventT]):
    def __init__(self, function: Callable[[EventT, Any], Mapping[str, Any] | None]) -> None:
        self._function = function

    def __call__(self, event: EventT) -> Mapping[str, Any] | None:
        return self._function(event, self.context)


class _Task:
    """The task of an event, towards the WorkerAssistant; of an event without `task_id` nothing is reported."""

    def __init__(self, event: object, context: Any) -> None:
        fields: dict[str, Any] = event if isinstance(event, dict) else {}
        names = ("task_id", "worker_id", "job_id", "attempt")
        self._ids = {name: fields[name] for name in names if name in fields}
        self._repeated = {name: fields[key] for name, key in _REPEATED.items() if key in fields}
        self._context = context
        self.installation: str | None = self._repeated.get("installation")

    def completed(self, result: dict[str, Any], stats: Mapping[str, float]) -> dict[str, Any]:
        reported, stats = _kept(result) if "task_id" in self._ids else result, _kept(stats)
        try:
            self._report({"action": "mark_task_as_completed", "result": reported, "stats": stats})
        except Exception as error:
            self._log(logging.ERROR, f"completed, but the report was not delivered: {error}")
            raise ReportUndelivered(_message(error), reported, stats) from error
        return reported

    def failed(self, error: Exception, stats: Mapping[str, float]) -> None:
        name = type(error).__name__
        retryable = not isinstance(error, NotRetryable)
        self._log(logging.WARNING, f"failed with {name}, {'worth' if retryable else 'not worth'} another try")
        report: dict[str, Any] = {
            "action": "mark_task_as_failed",
            "error": {"type": shortened(name, LONGEST_MESSAGE), "message": _message(error)},
            "retryable": retryable,
            "stats": {} if _json_problem(stats) else _kept(stats),
        }
        if isinstance(error, Retry):
            report["retry_after_seconds"] = error.after.total_seconds()
        try:
            self._report(report)
        except Exception as undelivered:  # noqa: BLE001 - whatever it is, Lambda must see the task's own error
            self._log(logging.ERROR, f"failed, and the report was not delivered: {undelivered}")

    def _report(self, report: Mapping[str, Any]) -> None:
        if "task_id" not in self._ids:
            return
        answer = _deliver({**report, **self._repeated}, _milliseconds_left(self._context))
        if answer["accepted"]:
            self._log(logging.INFO, f"reported: {answer.get('state')}")
        else:
            self._log(logging.WARNING, f"report not accepted: {answer.get('reason')}")

    def _log(self, level: int, message: str) -> None:
        ids = "".join(f" {name}={value}" for name, value in self._ids.items())
        logger.log(level, "%s%s", message, ids, extra=self._ids)


def _without_token(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value for key, value in event.items() if key != "sosw_token"} if isinstance(event, dict) else event


_taker: Callable[[Report], Answer] | None = None


@contextmanager
def reporting_to(take: Callable[[Report], Answer]) -> Iterator[None]:
    """Hand the reports of this process to `take` instead of the WorkerAssistant, for runs without AWS."""
    global _taker  # noqa: PLW0603  whichever thread a Worker runs in
    before, _taker = _taker, take
    try:
        yield
    finally:
        _taker = before


def _milliseconds_left(context: Any) -> Callable[[], float]:
    """How long a report may still take: until shortly before Lambda ends the invocation."""
    remaining: Callable[[], float] | None = getattr(context, "get_remaining_time_in_millis", None)
    if remaining is not None:
        return lambda: remaining() - RESERVE_MS
    end = time.monotonic() + PATIENCE_MS / 1000
    return lambda: 1000 * (end - time.monotonic())


def _deliver(report: Mapping[str, Any], left: Callable[[], float]) -> Mapping[str, Any]:
    """The WorkerAssistant's answer. While there is time, a call that AWS did not serve or that failed is repeated.

    Raises `Misconfigured` when there is no such function, or not for this role, and `Unavailable` when no time is left
    or when no repetition would help.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from tenacity import Retrying, retry_if_exception, retry_if_result, wait_random_exponential

    payload = json.dumps(report)
    if _taker is not None:
        return _taker(json.loads(payload))
    function = (
        os.environ.get("SOSW_WORKER_ASSISTANT") or f"{installation_name(report.get('installation'))}_worker_assistant"
    )

    def invoke() -> tuple[dict[str, Any], bool]:
        lambda_ = client("lambda", read_timeout_seconds=_read_timeout(left()), tries=1)
        response = lambda_.invoke(FunctionName=function, InvocationType="RequestResponse", Payload=payload)
        return _parsed_answer(response["Payload"].read()), "FunctionError" in response

    def may_recover(answered: tuple[dict[str, Any], bool]) -> bool:
        answer, failed = answered
        return failed and answer.get("errorType") != "Refused"

    retrying = Retrying(
        retry=retry_if_result(may_recover) | retry_if_exception(_is_transient),
        wait=wait_random_exponential(multiplier=0.5, max=5),
        stop=lambda state: left() - 1000 * state.upcoming_sleep < 1000 * _longest(REPORT_READ_TIMEOUTS_SECONDS[-1]),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    try:
        answer, failed = retrying(invoke)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("AccessDeniedException", "ResourceNotFoundException"):
            raise Misconfigured(f"SOSW_WORKER_ASSISTANT: {function} cannot be invoked: {error}") from error
        raise Unavailable(f"{function} could not be invoked: {error}") from error
    except BotoCoreError as error:
        raise Unavailable(f"{function} could not be invoked: {error}") from error
    if failed:
        raise Unavailable(f"{function} failed, the last time with {answer.get('errorType')}")
    if "accepted" not in answer:
        raise Misconfigured(f"SOSW_WORKER_ASSISTANT: {function} does not answer as the WorkerAssistant does")
    return answer


def _is_transient(error: BaseException) -> bool:
    """Whether AWS may serve the same call later: throttled, not reached, failed, or its function not ready yet."""
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's name

    if not isinstance(error, ClientError):
        return isinstance(error, ConnectionError | HTTPClientError)
    status = error.response["ResponseMetadata"].get("HTTPStatusCode", 500)
    return status in (409, 429) or status >= 500 or error.response["Error"]["Code"] == "ThrottlingException"


def _read_timeout(left_ms: float) -> float:
    """Of the read time-outs of a report the longest whose call fits into the time left, or the shortest of all."""
    fitting = (seconds for seconds in REPORT_READ_TIMEOUTS_SECONDS if 1000 * _longest(seconds) <= left_ms)
    return next(fitting, REPORT_READ_TIMEOUTS_SECONDS[-1])


def _longest(read_timeout_seconds: float) -> float:
    """How long a call may take, in seconds."""
    return connect_timeout_seconds(read_timeout_seconds) + read_timeout_seconds


def _parsed_answer(text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _json_object(name: str, value: object) -> dict[str, Any]:
    """`value` as a dict that JSON can carry; else a `NotRetryable`, for the next try would return the same."""
    if not isinstance(value, Mapping):
        raise NotRetryable(f"{name}: {type(value).__name__} is refused; it must be a dict")
    document = dict(value)
    if _json_problem(document):
        path, culprit = _culprit(name, document)
        raise NotRetryable(f"{path} is refused: {_json_problem(culprit)}")
    return document


def _json_problem(value: object) -> str | None:
    try:
        json.dumps(value, allow_nan=False)
    except RecursionError:
        return None  # the work is done: what is too deep is replaced when it is reported
    except (TypeError, ValueError) as error:
        return str(error)
    return None


def _culprit(path: str, value: object) -> tuple[str, object]:
    """The innermost part of `value` that JSON cannot carry, and the way to it."""
    ancestors: list[object] = []
    while True:
        ancestors.append(value)
        parts = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
        )
        for key, part in parts:
            circular = any(part is ancestor for ancestor in ancestors)
            if not circular and _json_problem(part):
                path, value = f"{path}[{key!r}]", part
                break
        else:
            return path, value


def _kept(value: Mapping[str, Any]) -> dict[str, Any]:
    return replacement(value) or dict(value)


def _message(error: Exception) -> str:
    try:
        return shortened(str(error), LONGEST_MESSAGE)
    except Exception as unreadable:  # noqa: BLE001 - whatever it is, the task's own error is what is reported
        return f"its message cannot be read: {type(unreadable).__name__}"
