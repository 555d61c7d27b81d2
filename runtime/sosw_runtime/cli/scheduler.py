"""Asking the Scheduler to take a job, and waiting for its answer."""

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

# The answer comes when the function ends, after 15 minutes at most, and may be lost on the way. The job's id is given,
# so that a repeated request adds nothing.
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_PATIENT: Final = Config(
    connect_timeout=5,
    read_timeout=15 * 60 + 10,
    tcp_keepalive=True,
    retries={"mode": "standard", "total_max_attempts": 3},
)


class RefusedByScheduler(SoswError):
    """The Scheduler refused the job as a whole; the message names the field. Nothing was enqueued."""


class SchedulerFailed(SoswError):
    """The Scheduler ended with an error or a time-out; whether the job is accepted is not known."""


class _Refusal(BaseModel):
    """The message of `sosw_runtime.errors.JobRefused`."""

    error: Literal["refused"]
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
        """What the Scheduler would have answered."""
        return self.model_dump(include={"job_id", "tasks", "first_start"})


class FunctionError(BaseModel):
    """What Lambda answers for a function that raised, or was ended."""

    type: str = Field(alias="errorType", default="Error")
    message: str = Field(alias="errorMessage", default="")

    @property
    def reason(self) -> str:
        """The same for people, whoever raised it."""
        told = _told(self.message)
        return f"{self.type}: {self.message}" if told is None else told.message

    def raised(self) -> SoswError:
        """The same as an exception of this side: one of those of `ask`."""
        match _told(self.message):
            case _Refusal() as refusal:
                return RefusedByScheduler(refusal.message)
            case _Interruption() as interruption:
                return JobInterrupted(interruption.answer, interruption.message)
        match self.type:
            case "Unavailable":
                return Unavailable(self.message)
            case "Misconfigured":
                return Misconfigured(self.message)
        return SchedulerFailed(f"the Scheduler failed: {self.type}: {self.message}")


class _Message(RootModel[Annotated[_Refusal | _Interruption, Field(discriminator="error")]]):
    """The message of one of them."""


def _told(message: str) -> _Refusal | _Interruption | None:
    """What a message says that is JSON."""
    try:
        return _Message.model_validate_json(message).root
    except ValidationError:
        return None


@dataclass
class Doubt:
    """Whether a job may be accepted although nobody heard so: of all tries of a request, not of the last alone."""

    remains: bool = False

    def note(
        self, response: tuple[Any, Mapping[str, Any]] | None, caught_exception: Exception | None, **_: object
    ) -> None:
        """How a try ended, as botocore tells it before it decides on another one.

        A time-out of the answer and a connection that was closed leave it open whether the Scheduler ran, as do errors
        of the server. Where there was no connection, or AWS refused the call, it did not run.
        """
        failed = response is not None and response[1]["ResponseMetadata"]["HTTPStatusCode"] >= 500
        self.remains = self.remains or failed or isinstance(caught_exception, HTTPClientError)


def ask(name: str, event: Mapping[str, Any], doubt: Doubt | None = None) -> dict[str, Any]:
    """Have the Scheduler of the installation `name` take the job of an event that names its id.

    Args:
        name: of the installation.
        event: with the job.
        doubt: notes whether the job may be accepted, for a caller who gets an error.

    Returns:
        Its answer, `{"job_id": str, "tasks": int, "first_start": int (ms)}`.

    Raises:
        JobInterrupted: the job is accepted, and the Scavenger resumes it.
        RefusedByScheduler: the job is wrong, and nothing of it was accepted.
        Misconfigured: the Worker's registration, or the Scheduler's settings, cannot be read.
        Unavailable, SchedulerFailed: the job is not known to be accepted; to ask again with the same id is harmless.
        botocore.exceptions.ClientError, BotoCoreError: AWS could not be asked.
    """
    doubt = doubt or Doubt()
    client: LambdaClient = boto3.Session().client("lambda", config=_PATIENT)
    client.meta.events.register("needs-retry.lambda.Invoke", doubt.note)
    response: Mapping[str, Any] = client.invoke(
        FunctionName=f"{name}_scheduler", InvocationType="RequestResponse", Payload=json.dumps(event).encode()
    )
    before, doubt.remains = doubt.remains, True  # it ran; until its answer is read nobody knows what it says
    answer = response["Payload"].read()
    if "FunctionError" not in response:
        return dict(json.loads(answer))
    error = FunctionError.model_validate_json(answer).raised()
    doubt.remains = before or isinstance(error, Unavailable | SchedulerFailed)
    raise error
