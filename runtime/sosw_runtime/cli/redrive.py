"""Jobs that the Scheduler could not take, as Lambda left them in the queue `<name>_rejected_jobs`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sosw_runtime import aws
from sosw_runtime.cli.scheduler import FunctionError

#: Seconds for which nobody else receives a job: the longest that the Scheduler can take for its answer, and a grace.
_OURS: Final = 16 * 60


class _RequestContext(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    request_id: str = Field(alias="requestId")
    condition: str


class _Record(BaseModel):
    """What Lambda sends to the destination of a failed asynchronous invocation.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """

    timestamp: datetime
    context: _RequestContext = Field(alias="requestContext")
    event: JsonValue = Field(alias="requestPayload")
    response: FunctionError | None = Field(default=None, alias="responsePayload")


@dataclass(frozen=True)
class RejectedJob:
    """One job in the queue."""

    event: dict[str, Any]  # to ask the Scheduler with; the same job on the same days, however often
    reason: str
    receipt: str  # of the queue

    @property
    def job_id(self) -> str:
        """The id that the job has, or will have."""
        job = self.event.get("job")
        named = job.get("job_id") if isinstance(job, dict) else None
        return str(named or self.event.get("resume") or self.event.get("id"))


class RejectedJobs:
    """The queue."""

    def __init__(self, name: str) -> None:
        self._sqs = aws.sqs()
        self._url = self._sqs.get_queue_url(QueueName=f"{name}_rejected_jobs")["QueueUrl"]

    def receive(self) -> Iterator[RejectedJob]:
        """All of them, each once; until `give_back` or `delete` nobody else receives them."""
        while messages := self._sqs.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=1, VisibilityTimeout=_OURS, WaitTimeSeconds=1
        ).get("Messages"):
            yield _rejected(messages[0]["Body"], messages[0]["ReceiptHandle"])

    def give_back(self, job: RejectedJob) -> None:
        """Leave a job in the queue."""
        self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=job.receipt, VisibilityTimeout=0)

    def delete(self, job: RejectedJob) -> None:
        """Take a job out of the queue."""
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=job.receipt)


def _rejected(body: str, receipt: str) -> RejectedJob:
    try:
        record = _Record.model_validate_json(body)
    except ValidationError:
        return RejectedJob({"job": body}, "not a record of Lambda's", receipt)
    reason = record.context.condition if record.response is None else str(record.response.raised())
    return RejectedJob(_again(record), reason, receipt)


def _again(record: _Record) -> dict[str, Any]:
    """The event as it was, and what it got its id and its days from: the first request."""
    event = record.event
    first = {"id": record.context.request_id, "time": record.timestamp.isoformat()}
    if isinstance(event, dict) and ("resume" in event or "detail-type" in event):
        return event
    return {**first, **event} if isinstance(event, dict) and "job" in event else {**first, "job": event}
