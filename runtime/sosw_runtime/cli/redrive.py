"""The queue `<name>_rejected_jobs`: jobs that the Scheduler could not accept or did not receive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sosw_runtime import aws
from sosw_runtime.cli.rules import target_input
from sosw_runtime.cli.scheduler import FunctionError
from sosw_runtime.domain.job import (
    is_eventbridge,
    json_object,
    message_event,
    parse,
    records,
    to_envelope,
    with_id_and_time,
)
from sosw_runtime.errors import Refused

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

#: Seconds for which nobody else receives a job: the Scheduler's longest run, and a grace.
_VISIBILITY_SECONDS: Final = 16 * 60


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

    event: dict[str, Any]  # for the Scheduler; with the first request's id and time, so that a repeat adds no job
    reason: str  # why the job is in the queue
    receipt: str  # SQS's receipt handle

    @property
    def job_id(self) -> str:
        """The id of the job, accepted or not."""
        try:
            request = parse(self.event)
        except Refused:
            return str(self.event.get("resume") or self.event.get("id"))
        return str(request.job.job_id or request.event_id)


class RejectedJobs:
    """The queue. Lambda and EventBridge write to it, and the Scheduler for jobs that came by SQS."""

    def __init__(self, name: str) -> None:
        self._sqs = aws.sqs()
        self._url = self._sqs.get_queue_url(QueueName=f"{name}_rejected_jobs")["QueueUrl"]

    def receive_all(self) -> Iterator[RejectedJob]:
        """Receive every job once. Nobody else receives it before `release` or `delete`."""
        while messages := self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=1,
            VisibilityTimeout=_VISIBILITY_SECONDS,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages"):
            yield _rejected_job(messages[0])

    def release(self, job: RejectedJob) -> None:
        """Let others receive a job."""
        self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=job.receipt, VisibilityTimeout=0)

    def delete(self, job: RejectedJob) -> None:
        """Delete a job from the queue."""
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=job.receipt)


def _rejected_job(message: MessageTypeDef) -> RejectedJob:
    receipt = message["ReceiptHandle"]
    try:
        record = _Record.model_validate_json(message["Body"])
    except ValidationError:
        attributes = {
            name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()
        }
        return RejectedJob(_undelivered_event(message, attributes), _reason(attributes), receipt)
    reason = record.context.condition if record.response is None else record.response.reason
    return RejectedJob(
        _repeatable_event(record.event, record.context.request_id, record.timestamp.isoformat()), reason, receipt
    )


def _undelivered_event(message: MessageTypeDef, attributes: Mapping[str, str]) -> dict[str, Any]:
    """The event of a message of EventBridge or of the Scheduler.

    EventBridge sends the event that the rule matched. The target's input may differ from it.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    event: object = message["Body"]
    try:
        carried = to_envelope(json_object("message", event))
    except Refused:
        carried = {}
    if is_eventbridge(carried) and "RULE_ARN" in attributes:
        event = target_input(carried, attributes["RULE_ARN"], attributes.get("TARGET_ARN", ""))
    sent_at = message["Attributes"]["SentTimestamp"]
    return _repeatable_event(event, carried.get("id") or message["MessageId"], carried.get("time") or int(sent_at))


def _reason(attributes: Mapping[str, str]) -> str:
    """Why EventBridge or the Scheduler rejected a job."""
    if "ERROR_CODE" not in attributes:
        return "no reason is given"
    return FunctionError(errorType=attributes["ERROR_CODE"], errorMessage=attributes.get("ERROR_MESSAGE", "")).reason


def _repeatable_event(event: object, event_id: str, time: str | int) -> dict[str, Any]:
    """An event with the id and the time of the first request, which decide the job's id and its days."""
    batch = records(event)
    if isinstance(event, dict) and event.keys() == {"resume"}:
        return event
    try:
        return with_id_and_time(
            message_event(batch[0]) if batch is not None and len(batch) == 1 else event, event_id, time
        )
    except Refused:
        return {"id": event_id, "time": time, "job": event}
