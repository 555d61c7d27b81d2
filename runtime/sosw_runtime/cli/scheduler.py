"""Synchronous requests to the Scheduler."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import HTTPClientError
from pydantic import BaseModel, Field, RootModel, ValidationError

from sosw_runtime.errors import JobInterrupted, Misconfigured, SoswError, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

# The function answers after 15 minutes at most, and the answer may be lost. Every request names its job's id, so that a
# retry adds no job.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_PATIENT: Final = Config(
    connect_timeout=5,
    read_timeout=15 * 60 + 10,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 3},
)


class RefusedByScheduler(SoswError):
    """The Scheduler refused the job, and enqueued none of it. The message names the field."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


class SchedulerFailed(SoswError):
    """The Scheduler ended with an error or a time-out. The job may be accepted or not."""


class _Refusal(BaseModel):
    """The message of `sosw_runtime.errors.JobRefused`."""

    error: Literal["refused"]
    field: str = ""
    message: str


class _Interruption(BaseModel):
    """The message of `sosw_runtime.errors.JobInterrupted`."""

    error: Literal["interrupted"]
    job_id: str
    tasks: int
    first_start: int
    message: str

    @property
    def answer(self) -> dict[str, Any]:
        """The Scheduler's answer."""
        return self.model_dump(include={"job_id", "tasks", "first_start"})


class FunctionError(BaseModel):
    """Lambda's response for a function that raised or timed out."""

    type: str = Field(alias="errorType", default="Error")
    message: str = Field(alias="errorMessage", default="")

    @property
    def reason(self) -> str:
        """The error as text for people."""
        structured = _structured_message(self.message)
        return f"{self.type}: {self.message}" if structured is None else structured.message

    def to_exception(self) -> SoswError:
        """The exception that `submit` raises for this error."""
        match _structured_message(self.message):
            case _Refusal() as refusal:
                return RefusedByScheduler(refusal.field, refusal.message)
            case _Interruption() as interruption:
                return JobInterrupted(interruption.answer, interruption.message)
        match self.type:
            case "Unavailable":
                return Unavailable(self.message)
            case "Misconfigured":
                return Misconfigured(self.message)
        return SchedulerFailed(f"the Scheduler failed: {self.type}: {self.message}")


class _Message(RootModel[Annotated[_Refusal | _Interruption, Field(discriminator="error")]]):
    """A structured message of the Scheduler."""


def _structured_message(message: str) -> _Refusal | _Interruption | None:
    """The parsed message; None if it is no JSON of the Scheduler's."""
    try:
        return _Message.model_validate_json(message).root
    except ValidationError:
        return None


@dataclass
class Doubt:
    """Whether any try of a request may have got the job accepted without an answer."""

    remains: bool = False

    def record_try(
        self, response: tuple[Any, Mapping[str, Any]] | None, caught_exception: Exception | None, **_: object
    ) -> None:
        """Record the end of a try. botocore calls it before it decides on a retry.

        After a read time-out, a closed connection or a server error the Scheduler may have run. If there was no
        connection, or AWS refused the call, it did not run.
        """
        failed = response is not None and response[1]["ResponseMetadata"]["HTTPStatusCode"] >= 500
        self.remains = self.remains or failed or isinstance(caught_exception, HTTPClientError)


def submit(name: str, event: Mapping[str, Any], doubt: Doubt | None = None) -> dict[str, Any]:
    """Send a job to the Scheduler and wait for the answer. The event names the job's id.

    Args:
        name: of the installation.
        event: with the job.
        doubt: records whether the job may be accepted, for a caller that gets an error.

    Returns:
        Its answer, `{"job_id": str, "tasks": int, "first_start": int (ms)}`.

    Raises:
        JobInterrupted: the job is accepted, and the Scavenger resumes it.
        RefusedByScheduler: the job is invalid and was not accepted.
        Misconfigured: the Worker's registration or the Scheduler's settings cannot be read.
        Unavailable, SchedulerFailed: the job may be accepted or not; a retry with the same id is safe.
        botocore.exceptions.ClientError, BotoCoreError: the call to AWS failed.
    """
    doubt = doubt or Doubt()
    client: LambdaClient = boto3.Session().client("lambda", config=_PATIENT)
    client.meta.events.register("needs-retry.lambda.Invoke", doubt.record_try)
    response: Mapping[str, Any] = client.invoke(
        FunctionName=f"{name}_scheduler", InvocationType="RequestResponse", Payload=json.dumps(event).encode()
    )
    before, doubt.remains = doubt.remains, True  # it ran, and its answer is not yet read
    answer = response["Payload"].read()
    if "FunctionError" not in response:
        return dict(json.loads(answer))
    error = FunctionError.model_validate_json(answer).to_exception()
    doubt.remains = before or isinstance(error, Unavailable | SchedulerFailed)
    raise error


def dry_run(name: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """The Scheduler's answer for a job that it does not accept.

    Raises:
        RefusedByScheduler: the job is invalid.
        SchedulerFailed: the Scheduler failed, or is of a version without dry runs.
        Misconfigured, Unavailable, botocore.exceptions.ClientError, BotoCoreError: as `submit`.
    """
    try:
        return submit(name, {"dry_run": {"job": job}})
    except RefusedByScheduler as refused:
        # An older Scheduler reads a job with the only key `dry_run`, and misses the Worker.
        if (
            refused.field == "worker"
            and (job.get("worker") or job.get("lambda_name"))
            and str(refused).startswith("worker: None ")
        ):
            raise SchedulerFailed(
                "the Scheduler is of a version without dry runs; upgrade the installation"
            ) from refused
        raise
