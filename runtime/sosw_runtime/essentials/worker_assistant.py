"""WorkerAssistant: records what Workers, and Lambda on their behalf, say of their attempts."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from sosw_runtime import telemetry
from sosw_runtime.contract import Answer
from sosw_runtime.domain.task import Error, Status, Task
from sosw_runtime.errors import NotRetryable, Refused, ReportUndelivered
from sosw_runtime.essentials.invocation import Invocation, LambdaContext
from sosw_runtime.outcome_limits import LONGEST_RETRY_AFTER_SECONDS, replacement, replacement_of_json, to_json
from sosw_runtime.storage import tokens
from sosw_runtime.storage.moves import Recorded, Report, note, report, reported_note
from sosw_runtime.storage.tables import Deadline

logger = telemetry.logger("worker_assistant")


def _text_or_none(value: object) -> str | None:
    """A text, and None of all else: an event of version 0.1.0 may have anything under these keys."""
    return value if isinstance(value, str) else None


_OptionalText = Annotated[str | None, BeforeValidator(_text_or_none)]


class _WorkerReport(BaseModel):
    """What a Worker sends."""

    model_config = ConfigDict(frozen=True)

    action: Literal["mark_task_as_completed", "mark_task_as_failed"]
    task_id: str = Field(min_length=1)
    attempt: int | None = Field(default=None, ge=1)
    worker_id: _OptionalText = None
    installation: _OptionalText = None
    token: _OptionalText = None
    stats: Any = None
    result: Any = None
    error: Any = None
    retryable: bool = True
    retry_after_seconds: float | None = Field(default=None, ge=0, le=LONGEST_RETRY_AFTER_SECONDS)

    def report(self) -> Report:
        completed = self.action == "mark_task_as_completed"
        return Report(
            task_id=self.task_id,
            completed=completed,
            attempt=self.attempt,
            result=_to_kept_json(self.result),
            stats=_to_kept_json(self.stats),
            error=None if completed else _error(self.error),
            retryable=self.retryable,
            retry_after_ms=_milliseconds(None if completed else self.retry_after_seconds),
            worker_id=self.worker_id,
            token=self.token,
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
    worker_id: _OptionalText = None
    sosw_installation: _OptionalText = None
    sosw_token: _OptionalText = None


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

    @property
    def installation(self) -> str | None:
        return self.requestPayload.sosw_installation

    def report(self) -> Report:
        result, stats = self._outcome()
        return Report(
            task_id=self.requestPayload.task_id,
            completed=self._completed,
            attempt=self.requestPayload.attempt,
            result=_to_kept_json(result),
            stats=_to_kept_json(stats),
            error=None if self._completed else self._error(),
            retryable=self._raised is not NotRetryable,
            never_ran=self._never_ran(),
            worker_id=self.requestPayload.worker_id,
            token=self.requestPayload.sosw_token,
            only_returned=self.requestContext.condition == "Success",
        )

    @property
    def _raised(self) -> type[Exception] | None:
        """Which of the exceptions that are known here the function ended with."""
        match self.responsePayload:
            case {"errorType": str(name)}:
                return {raised.__name__: raised for raised in (NotRetryable, ReportUndelivered)}.get(name)
        return None

    @property
    def _completed(self) -> bool:
        return self.requestContext.condition == "Success" or self._raised is ReportUndelivered

    def _outcome(self) -> tuple[Any, Any]:
        """Result and stats."""
        if self.requestContext.condition == "Success":
            return self.responsePayload, None
        match self.responsePayload:
            case {"errorMessage": str(message)} if self._completed:
                return ReportUndelivered.outcome(message)
        return None, None

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
            case {"errorType": str(type_), "errorMessage": str(message)}:
                return Error(_storable(type_), _storable(message))
            case {"errorMessage": str(message)}:
                return Error("Unhandled", _storable(message))
            case _:
                what = "never started" if self._never_ran() else "ended without an answer"
                return Error(self.requestContext.condition, f"the Worker {what}")


def handler(event: dict[str, Any], context: LambdaContext | None) -> Answer:
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
        return _refusal(None, "the event carried no task")
    parsed = _parse(event)
    reported = parsed.report()
    name = invocation.settings.name
    if parsed.installation not in (None, name):
        answer = _refusal(reported.task_id, f"the task is of installation {parsed.installation!r}, this is {name!r}")
        logger.warning("report", extra=answer)
        return answer
    recorded = report(invocation.tables, reported, invocation.clock())
    found = recorded.found
    if found is not None and _says_otherwise(reported, found):
        # The function returned, and a report without the token had said that its task failed, maybe of its own code,
        # or of anybody: the attempt failed, and the task is tried again, whatever that report said of it.
        reported = replace(reported_note(found), retryable=True)
        recorded = report(invocation.tables, reported, invocation.clock())
    if found is not None and _lacks_its_token(reported, found):
        note(invocation.tables, found, reported)
        logger.warning("report without its token", extra=telemetry.ids(found))
        telemetry.count("worker_assistant", name, {"ReportsWithoutToken": 1})
    if found is not None and recorded.accepted and _shows_token(reported, found):
        _record_token_seen(invocation, found.worker_id)
    answer = _answer(reported, recorded)
    task = {} if found is None else telemetry.ids(found)
    attempt = {} if reported.attempt is None else {"attempt": reported.attempt}
    logger.info("report", extra={**task, **answer, **attempt})
    return answer


def _lacks_its_token(reported: Report, found: Task) -> bool:
    """Whether a report could end the attempt that runs, if it had the attempt's token."""
    return (
        found.status is Status.RUNNING
        and found.required_token is not None
        and reported.token is None
        and reported.attempt in (None, found.attempt)
        and reported.worker_id in (None, found.worker_id)
    )


def _says_otherwise(reported: Report, found: Task) -> bool:
    """Whether a function whose return Lambda tells of had reported a failure, without the token."""
    return (
        reported.only_returned
        and found.status is Status.RUNNING
        and reported.token == found.claim
        and found.noted is not None
        and not found.noted.completed
    )


def _shows_token(reported: Report, found: Task) -> bool:
    """Whether an accepted report carried a token that its attempt does not ask for yet.

    Lambda's records carry it as well, whatever the Worker's package knows; all but that of an undelivered report, which
    only a package that knows tokens raises.
    """
    return (
        reported.completed
        and not reported.only_returned
        and reported.token == found.claim
        and found.required_token is None
    )


def _record_token_seen(invocation: Invocation, worker_id: str) -> None:
    """Note that a Worker sends tokens. Where that fails the report stands, and the next one shows it again."""
    try:
        tokens.record_token_seen(invocation.tables, worker_id, Deadline(invocation.clock(), invocation.clock))
    except Exception:
        logger.warning("token not noted", exc_info=True, extra={"worker_id": worker_id})


def _is_destination_record(event: object) -> bool:
    context = event.get("requestContext") if isinstance(event, dict) else None
    return isinstance(context, dict) and "condition" in context


def _is_of_a_task(event: dict[str, Any]) -> bool:
    payload = event.get("requestPayload")
    return isinstance(payload, dict) and "task_id" in payload and "attempt" in payload


def _parse(event: dict[str, Any]) -> _WorkerReport | _DestinationRecord:
    model = _DestinationRecord if _is_destination_record(event) else _WorkerReport
    try:
        return model.model_validate(event)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "event"
        # Of what is missing pydantic shows all around it, of which nobody is to see anything.
        value = type(event).__name__ if field == "event" else None if first["type"] == "missing" else first["input"]
        raise Refused(field, value, first["msg"]) from None


def _answer(reported: Report, recorded: Recorded) -> Answer:
    if recorded.accepted:
        state = Status.COMPLETED if reported.completed else Status.FAILED
        return {"task_id": reported.task_id, "accepted": True, "state": state.value, "reason": None}
    if recorded.found is None:
        reason = "no such task is running: it is closed, waits for another try, or never was"
        return _refusal(reported.task_id, reason)
    return _refusal(reported.task_id, _reason(reported, recorded.found), str(recorded.found.status))


def _reason(reported: Report, found: Task) -> str:
    """Why a report of a task was not accepted."""
    if reported.worker_id not in (None, found.worker_id):
        return f"the task is of Worker {found.worker_id!r}, the report of {reported.worker_id!r}"
    if found.status is not Status.RUNNING:
        return f"the task is {found.status} already"
    if reported.attempt not in (None, found.attempt):
        return f"attempt {reported.attempt} is over, attempt {found.attempt} is running"
    if reported.token is None:
        return "the token of the attempt is missing: it counts when the lease ends, unless another report comes first"
    return "the token is not that of the attempt"


def _refusal(task_id: str | None, reason: str, state: str = "unknown") -> Answer:
    return {"task_id": task_id, "accepted": False, "state": state, "reason": reason}


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)


def _to_kept_json(value: object) -> str | None:
    """A result or stats as JSON text; what cannot be kept is replaced by what tells so, so that the report counts."""
    if value is None:
        return None
    if isinstance(value, str) and _is_json(value):
        replaced = replacement_of_json(value)
        return value if replaced is None else to_json(replaced)
    replaced = replacement(value)
    return to_json(value if replaced is None else replaced)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
        text.encode()
    except RecursionError:
        return True
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
            return Error("Error", _shown(value))


def _shown(value: object) -> str:
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return "an error that cannot be shown"


def _storable(text: str) -> str:
    """Without halves of surrogate pairs, as Python's messages have them of file names that are no UTF-8."""
    return text.encode(errors="replace").decode()
