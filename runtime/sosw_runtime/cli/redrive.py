"""Jobs that the Scheduler could not take, or was not handed, in the queue `<name>_rejected_jobs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from sosw_runtime import aws
from sosw_runtime.cli.rules import target_input
from sosw_runtime.cli.scheduler import FunctionError
from sosw_runtime.domain.job import enveloped, identified, is_eventbridge, json_object, message_event, parse, records
from sosw_runtime.errors import Refused

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageTypeDef

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
        try:
            request = parse(self.event)
        except Refused:
            return str(self.event.get("resume") or self.event.get("id"))
        return str(request.job.job_id or request.event_id)


class RejectedJobs:
    """The queue. Three write to it: Lambda, EventBridge, and the Scheduler itself for messages of a queue of SQS."""

    def __init__(self, name: str) -> None:
        self._sqs = aws.sqs()
        self._url = self._sqs.get_queue_url(QueueName=f"{name}_rejected_jobs")["QueueUrl"]

    def receive(self) -> Iterator[RejectedJob]:
        """All of them, each once; until `give_back` or `delete` nobody else receives them."""
        while messages := self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=1,
            VisibilityTimeout=_OURS,
            WaitTimeSeconds=1,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["SentTimestamp"],
        ).get("Messages"):
            yield _rejected(messages[0])

    def give_back(self, job: RejectedJob) -> None:
        """Leave a job in the queue."""
        self._sqs.change_message_visibility(QueueUrl=self._url, ReceiptHandle=job.receipt, VisibilityTimeout=0)

    def delete(self, job: RejectedJob) -> None:
        """Take a job out of the queue."""
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=job.receipt)


def _rejected(message: MessageTypeDef) -> RejectedJob:
    receipt = message["ReceiptHandle"]
    try:
        record = _Record.model_validate_json(message["Body"])
    except ValidationError:
        attributes = {
            name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()
        }
        return RejectedJob(_undelivered(message, attributes), _reason(attributes), receipt)
    reason = record.context.condition if record.response is None else record.response.reason
    return RejectedJob(_again(record.event, record.context.request_id, record.timestamp.isoformat()), reason, receipt)


def _undelivered(message: MessageTypeDef, attributes: Mapping[str, str]) -> dict[str, Any]:
    """The event that the Scheduler was not handed, or could not take out of a message.

    EventBridge keeps what the rule matched, of which the rule's target may have made another input.
    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
    """
    event: object = message["Body"]
    try:
        carried = enveloped(json_object("message", event))
    except Refused:
        carried = {}
    if is_eventbridge(carried) and "RULE_ARN" in attributes:
        event = target_input(carried, attributes["RULE_ARN"], attributes.get("TARGET_ARN", ""))
    sent_at = message["Attributes"]["SentTimestamp"]
    return _again(event, carried.get("id") or message["MessageId"], carried.get("time") or int(sent_at))


def _reason(attributes: Mapping[str, str]) -> str:
    """Why EventBridge, or the Scheduler, left a job there."""
    if "ERROR_CODE" not in attributes:
        return "no reason is given"
    return FunctionError(errorType=attributes["ERROR_CODE"], errorMessage=attributes.get("ERROR_MESSAGE", "")).reason


def _again(event: object, event_id: str, time: str | int) -> dict[str, Any]:
    """An event as it was, with the id and the time of the first request: the job's id and its days come of them."""
    batch = records(event)
    if isinstance(event, dict) and event.keys() == {"resume"}:
        return event
    try:
        return identified(message_event(batch[0]) if batch is not None and len(batch) == 1 else event, event_id, time)
    except Refused:
        return {"id": event_id, "time": time, "job": event}
