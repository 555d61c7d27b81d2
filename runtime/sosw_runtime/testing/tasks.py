"""Tasks that run in this process as Lambda would run them, and report to nobody else."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sosw_runtime.contract import Answer, Report, ReportedError
from sosw_runtime.domain.job import RESERVED_KEYS, json_object
from sosw_runtime.domain.task import Status, Task, task_id
from sosw_runtime.errors import NotRetryable, Refused
from sosw_runtime.worker import Worker, reporting_to

if TYPE_CHECKING:
    from types import TracebackType

#: Lambda's longest, https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LONGEST_TIMEOUT_SECONDS: Final = 900

_JOB_ID: Final = "local"
_TOKEN: Final = "local"  # noqa: S105  there is nobody to keep it from

#: A Worker's class, a `Handler`, or a plain Lambda handler.
Runnable = type[Worker[Any]] | Callable[[dict[str, Any], Any], Any]


@dataclass(frozen=True)
class Outcome:
    """How a task ended, as its installation would take it."""

    completed: bool
    result: Any  # as it was reported: one that is too large is its size
    stats: dict[str, Any]
    error: ReportedError | None  # of a failed task
    retryable: bool  # whether another try is worth it; False of a completed task
    retry_after_seconds: float | None  # until that try, where the Worker raised `Retry`
    report: Report | None  # what the Worker sent; None of a function that leaves it to Lambda's destinations
    duration_ms: int
    exception: BaseException | None  # what the Worker raised

    @property
    def failed(self) -> bool:
        """The opposite of `completed`."""
        return not self.completed


class FakeWorkerAssistant(AbstractContextManager["FakeWorkerAssistant"]):
    """Takes the reports of this process inside the `with` block: of each attempt the first, as the WorkerAssistant."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        """In the order in which they came, with those that were not accepted."""
        self._ended: dict[tuple[str, int | None], str] = {}
        self._taking = reporting_to(self._take)

    def __enter__(self) -> FakeWorkerAssistant:
        self._taking.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._taking.__exit__(kind, error, traceback)

    def _take(self, report: Report) -> Answer:
        self.reports.append(report)
        attempt = report["task_id"], report.get("attempt")
        accepted = attempt not in self._ended
        state = self._ended.setdefault(attempt, report["action"].removeprefix("mark_task_as_"))
        reason = None if accepted else f"the task is {state} already"
        return Answer(task_id=attempt[0], accepted=accepted, state=state, reason=reason)


@dataclass
class LocalContext:
    """Lambda's context of an invocation, as far as one in this process has it."""

    function_name: str = "local"
    timeout_seconds: float = LONGEST_TIMEOUT_SECONDS
    function_version: str = "$LATEST"
    memory_limit_in_mb: int = 128
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    _started: float = field(default_factory=time.monotonic)

    @property
    def invoked_function_arn(self) -> str:
        """An ARN of `function_name`, in no account."""
        return f"arn:aws:lambda:us-east-1:000000000000:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """What is left of `timeout_seconds`; nothing stops the invocation when it is 0."""
        return max(0, round(1000 * (self._started + self.timeout_seconds - time.monotonic())))


def run_task(
    worker: Runnable,
    payload: Mapping[str, Any],
    *,
    number: int = 0,
    attempt: int = 1,
    timeout_seconds: float = LONGEST_TIMEOUT_SECONDS,
) -> Outcome:
    """Run a task in this process, without AWS: its report goes nowhere.

    Args:
        worker: a Worker's class, of which an instance is made; a `Handler`, which keeps its instance; or a plain
            function of Lambda's.
        payload: of the task.
        number: of the task in its job, from 0.
        attempt: from 1.
        timeout_seconds: what the context tells of the time left; nothing stops a Worker that takes longer.

    Raises:
        Refused: the payload is not JSON, or has a key of the event's own.
    """
    handler: Callable[[dict[str, Any], Any], Any] = (
        worker.handler() if isinstance(worker, type) and issubclass(worker, Worker) else worker
    )
    name = getattr(worker, "__name__", None) or type(worker).__name__
    event, context = _event(payload, number, attempt), LocalContext(name, timeout_seconds)
    exception: BaseException | None = None
    returned = None
    started = time.monotonic()
    with FakeWorkerAssistant() as assistant:
        try:
            returned = handler(event, context)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it is, it is what the task failed with
            exception = error
    duration_ms = round(1000 * (time.monotonic() - started))
    told = _told(assistant.reports, event["task_id"])
    if told is None:
        return _of_lambda(returned, exception, duration_ms)
    completed = told["action"] == "mark_task_as_completed"
    return Outcome(
        completed=completed,
        result=told.get("result"),
        stats=told.get("stats", {}),
        error=told.get("error"),
        retryable=not completed and told.get("retryable", True),
        retry_after_seconds=told.get("retry_after_seconds"),
        report=told,
        duration_ms=duration_ms,
        exception=exception,
    )


def _event(payload: Mapping[str, Any], number: int, attempt: int) -> dict[str, Any]:
    try:
        text = json.dumps(dict(payload), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as problem:
        raise Refused("payload", payload, f"expected a JSON object: {problem}") from problem
    for key in json_object("payload", text):
        if key in RESERVED_KEYS:
            raise Refused(key, payload[key], "expected another name for it: this key of an event is the runtime's")
    task = Task(
        task_id=task_id(_JOB_ID, number),
        worker_id="local",
        job_id=_JOB_ID,
        number=number,
        status=Status.RUNNING,
        payload=text,
        created_at=round(1000 * time.time()),
        attempt=attempt,
        claim=_TOKEN,
    )
    return task.event("local", with_token=True)


def _told(reports: list[Report], task: str) -> Report | None:
    """The report that counts."""
    return next((report for report in reports if report["task_id"] == task), None)


def _of_lambda(returned: Any, exception: BaseException | None, duration_ms: int) -> Outcome:
    """How a function ended that did not report: as Lambda tells its destinations."""
    error: ReportedError | None = None
    if exception is not None:
        name = "Runtime.ExitError" if isinstance(exception, SystemExit) else type(exception).__name__
        error = {"type": name, "message": str(exception)}
    else:
        try:
            json.dumps(returned)
        except (TypeError, ValueError, RecursionError) as unsendable:
            error = {"type": "Runtime.MarshalError", "message": f"Unable to marshal response: {unsendable}"}
    return Outcome(
        completed=error is None,
        result=returned if error is None else None,
        stats={},
        error=error,
        retryable=error is not None and not isinstance(exception, NotRetryable),
        retry_after_seconds=None,
        report=None,
        duration_ms=duration_ms,
        exception=exception,
    )
