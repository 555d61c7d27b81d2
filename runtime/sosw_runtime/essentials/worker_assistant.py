"""WorkerAssistant: records what Workers, and Lambda on their behalf, say of their attempts."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sosw_runtime import telemetry
from sosw_runtime.domain.task import Error, Status
from sosw_runtime.errors import Refused
from sosw_runtime.essentials.invocation import Invocation, LambdaContext
from sosw_runtime.kept import to_json, too_large
from sosw_runtime.storage.tasks import Recorded, Report, report

logger = telemetry.logger("worker_assistant")


class _WorkerReport(BaseModel):
    """What a Worker sends."""

    model_config = ConfigDict(frozen=True)

    action: Literal["mark_task_as_completed", "mark_task_as_failed"]
    task_id: str = Field(min_length=1)
    attempt: int | None = Field(default=None, ge=1)
    stats: Any = None
    result: Any = None
    error: Any = None
    retryable: bool = True

    def report(self) -> Report:
        completed = self.action == "mark_task_as_completed"
        return Report(
            task_id=self.task_id,
            completed=completed,
            attempt=self.attempt,
            result=_kept(self.result),
            stats=_kept(self.stats),
            error=None if completed else _error(self.error),
            retryable=self.retryable,
        )


class _RequestContext(BaseModel):
    model_config = ConfigDict(frozen=True)

    condition: str
    approximateInvokeCount: int = 1  # noqa: N815 - Lambda's name


class _ResponseContext(BaseModel):
    model_config = ConfigDict(frozen=True)

    statusCode: int = 200  # noqa: N815 - Lambda's name
    functionError: str | None = None  # noqa: N815 - Lambda's name


class _TaskEvent(BaseModel):
    """The part of a Worker's event that names its attempt."""

    model_config = ConfigDict(frozen=True)

    task_id: str = Field(min_length=1)
    attempt: int = Field(ge=1)


class _DestinationRecord(BaseModel):
    """What Lambda sends to a destination.

    Its shape: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """

    model_config = ConfigDict(frozen=True)

    requestContext: _RequestContext  # noqa: N815 - Lambda's name
    requestPayload: _TaskEvent  # noqa: N815 - Lambda's name
    responseContext: _ResponseContext | None = None  # noqa: N815 - Lambda's name
    responsePayload: Any = None  # noqa: N815 - Lambda's name

    @field_validator("responsePayload")
    @classmethod
    def _nothing_said(cls, value: object) -> object:
        return None if value == {} else value

    def report(self) -> Report:
        completed = self.requestContext.condition == "Success"
        return Report(
            task_id=self.requestPayload.task_id,
            completed=completed,
            attempt=self.requestPayload.attempt,
            result=_kept(self.responsePayload) if completed else None,
            error=None if completed else self._error(),
            retryable=completed or not _says_final(self.responsePayload),
            never_ran=self._never_ran(),
        )

    def _never_ran(self) -> bool:
        """Whether Lambda dropped the event without having started the Worker.

        It says so by the condition: `ZeroReservedConcurrency`, the emergency stop of a function, or
        `RecursiveInvocation`. Otherwise it must have counted no invocation (`EventAgeExceeded` of an event that was
        throttled all along) or have refused the last one (status 429 or 404; what a function answers, an error as
        well, has 200), and nothing may be there that only a function that ran leaves: an answer or an error.
        In doubt the Worker ran, for attempts that count come to an end.
        """
        response = self.responseContext or _ResponseContext()
        match self.requestContext.condition:
            case "Success":
                return False
            case "ZeroReservedConcurrency" | "RecursiveInvocation":
                return True
        if self.responsePayload is not None or response.functionError is not None:
            return False
        return self.requestContext.approximateInvokeCount == 0 or 400 <= response.statusCode < 500

    def _error(self) -> Error:
        match self.responsePayload:
            case {"errorMessage": str(message), **rest}:
                return Error(_storable(str(rest.get("errorType", "Unhandled"))), _storable(message))
            case _:
                what = "never started" if self._never_ran() else "ended without an answer"
                return Error(self.requestContext.condition, f"the Worker {what}")


def handler(event: dict[str, Any], context: LambdaContext | None) -> dict[str, Any]:
    """Record one report or destination record.

    Args:
        event: as the page on architecture gives it.
        context: Lambda's.

    Returns:
        `{"task_id", "accepted", "state", "reason"}`. A stale or repeated report is not accepted, and no error.

    Raises:
        Refused: the event is neither.
    """
    invocation = Invocation.begin(context)
    if _is_destination_record(event) and not _is_of_a_task(event):
        # Somebody invoked the Worker by hand, and asynchronously.
        return {"task_id": None, "accepted": False, "state": "unknown", "reason": "the event carried no task"}
    reported = _parsed(event)
    recorded = report(invocation.tables, reported, invocation.clock())
    answer = _answer(reported, recorded)
    task = {} if recorded.found is None else telemetry.ids(recorded.found)
    attempt = {} if reported.attempt is None else {"attempt": reported.attempt}
    logger.info("report", extra={**task, **answer, **attempt})
    return answer


def _is_destination_record(event: object) -> bool:
    context = event.get("requestContext") if isinstance(event, dict) else None
    return isinstance(context, dict) and "condition" in context


def _is_of_a_task(event: dict[str, Any]) -> bool:
    payload = event.get("requestPayload")
    return isinstance(payload, dict) and "task_id" in payload and "attempt" in payload


def _parsed(event: dict[str, Any]) -> Report:
    model = _DestinationRecord if _is_destination_record(event) else _WorkerReport
    try:
        return model.model_validate(event).report()
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "event"
        raise Refused(field, first["input"] if field != "event" else type(event).__name__, first["msg"]) from None


def _answer(reported: Report, recorded: Recorded) -> dict[str, Any]:
    found = recorded.found
    if recorded.accepted:
        state, reason = (Status.COMPLETED if reported.completed else Status.FAILED).value, None
    elif found is None:
        state, reason = "unknown", "no such task is running: it is closed, waits for another try, or never was"
    elif found.status is Status.RUNNING:
        state, reason = str(found.status), f"attempt {reported.attempt} is over, attempt {found.attempt} is running"
    else:
        state, reason = str(found.status), f"the task is {found.status} already"
    return {"task_id": reported.task_id, "accepted": recorded.accepted, "state": state, "reason": reason}


def _kept(value: object) -> str | None:
    """A result or stats as JSON text; what is too large to keep is replaced by its size, so that the report counts."""
    if value is None:
        return None
    text = value if isinstance(value, str) and _is_json(value) else to_json(value)
    size = too_large(text)
    return text if size is None else to_json(size)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
        text.encode()
    except ValueError:
        return False
    return True


def _error(value: object) -> Error:
    match value:
        case {"type": str(type_), "message": str(message)}:
            return Error(_storable(type_), _storable(message))
        case str(message):
            return Error("Error", _storable(message))
        case None:
            return Error("Error", "the Worker gave no reason")
        case _:
            return Error("Error", json.dumps(value))


def _storable(text: str) -> str:
    """Without halves of surrogate pairs, as Python's messages have them of file names that are no UTF-8."""
    return text.encode(errors="replace").decode()


def _says_final(response: object) -> bool:
    """Whether a Worker ended with the exception by which it says that another try is of no use."""
    return isinstance(response, dict) and response.get("errorType") == "NotRetryable"
