"""Asking the Scheduler to take a job, and waiting for its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import boto3
from botocore.config import Config
from pydantic import BaseModel, Field, ValidationError

from sosw_runtime.errors import SoswError, Unavailable

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


class JobRefused(SoswError):
    """The Scheduler refused the job as a whole; the message names the field. Nothing was enqueued."""


class SchedulerFailed(SoswError):
    """The Scheduler ended with an error or a time-out; the job may be enqueued in part."""


class _Refusal(BaseModel):
    """The message of `sosw_runtime.essentials.scheduler.JobRefused`."""

    error: Literal["refused"]
    field: str
    message: str


class FunctionError(BaseModel):
    """What Lambda answers for a function that raised, or was ended."""

    type: str = Field(alias="errorType", default="Error")
    message: str = Field(alias="errorMessage", default="")

    def raised(self) -> JobRefused | Unavailable | SchedulerFailed:
        """The same as an exception of this side."""
        try:
            return JobRefused(_Refusal.model_validate_json(self.message).message)
        except ValidationError:
            pass
        if self.type == "Unavailable":
            return Unavailable(self.message)
        return SchedulerFailed(f"the Scheduler failed: {self.type}: {self.message}")


def ask(name: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """Have the Scheduler of the installation `name` take the job of an event that names its id.

    Returns:
        Its answer, `{"job_id": str, "tasks": int, "first_start": int (ms)}`.

    Raises:
        JobRefused, SchedulerFailed: see there.
        Unavailable: the job is accepted, and gone on with by itself.
        botocore.exceptions.ClientError, BotoCoreError: AWS could not be asked.
    """
    client: LambdaClient = boto3.Session().client("lambda", config=_PATIENT)
    response: Mapping[str, Any] = client.invoke(
        FunctionName=f"{name}_scheduler", InvocationType="RequestResponse", Payload=json.dumps(event).encode()
    )
    answer = response["Payload"].read()
    if "FunctionError" not in response:
        return dict(json.loads(answer))
    raise FunctionError.model_validate_json(answer).raised()
