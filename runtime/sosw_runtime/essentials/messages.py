"""Messages of a queue of SQS: each job is taken by itself, whatever becomes of the others of its batch.

Lambda makes all messages of a batch visible again if the function fails, and deletes all of them if it does not. It
tells them apart only for a mapping with `ReportBatchItemFailures`, and a function cannot see whether its mapping has
that: an answer that names failures would lose jobs where it has not. So messages are told apart here, for any mapping:

- A job that is accepted is done with.
- A job that can never be accepted as it stands goes to `<name>_rejected_jobs`, and is done with as well.
- Where AWS failed, the messages that are done with are deleted, and the batch fails: the others come again.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sosw_runtime import aws, telemetry
from sosw_runtime.domain.job import message_event
from sosw_runtime.errors import JobInterrupted, JobRefused, Misconfigured, Refused, Unavailable
from sosw_runtime.essentials.parallel import run_concurrently

Answer = dict[str, Any]

#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessageBatch.html
_DELETED_AT_ONCE: Final = 10

#: Characters that an attribute of a message may not have, and some that it may.
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_UNSENDABLE: Final = re.compile(r"[^\t\n\r\x20-\x7e]")

logger = telemetry.logger("scheduler")


def are_queued(records: Sequence[object]) -> bool:
    """Whether records are messages that Lambda received from a queue."""
    return bool(records) and all(
        isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs" for record in records
    )


def take_messages(
    take: Callable[[Mapping[str, Any]], Answer],
    records: Sequence[Any],
    rejected_jobs_url: str | None,
    has_time: Callable[[], bool],
) -> list[Answer]:
    """Take the job of each message; the answers of those that are accepted.

    Args:
        take: takes the job of one event.
        records: what Lambda received from a queue.
        rejected_jobs_url: where refused jobs go; without it they come again.
        has_time: whether the invocation may begin more work.

    Raises:
        Exception: the first that says that a job is not known to be accepted.
    """

    def take_or_reject(record: Any) -> Answer | None:
        try:
            return take(message_event(record))
        except JobInterrupted as accepted:
            return accepted.answer
        except (Refused, Misconfigured) as refusal:
            if rejected_jobs_url is None:
                raise
            if record is not records[0] and not has_time():
                # The messages before it used up the time: it may be refused for their sake.
                raise Unavailable("the invocation has no time for this message, which comes again") from refusal
            _reject(record, refusal, rejected_jobs_url)
            return None

    outcomes = list(run_concurrently(take_or_reject, records, threads=1))
    failures = [outcome for _, outcome in outcomes if isinstance(outcome, Exception)]
    if failures:
        _delete(record for record, outcome in outcomes if not isinstance(outcome, Exception))
        raise failures[0]
    return [outcome for _, outcome in outcomes if isinstance(outcome, dict)]


def _reject(record: Mapping[str, Any], refusal: Refused | Misconfigured, url: str) -> None:
    """Put a job among the rejected ones, with its reason, as EventBridge does where it cannot deliver an event."""
    error = JobRefused.of(refusal) if isinstance(refusal, Refused) else refusal
    attributes = {"ERROR_CODE": type(error).__name__, "ERROR_MESSAGE": _UNSENDABLE.sub("?", str(error))}
    aws.sqs().send_message(
        QueueUrl=url,
        MessageBody=_rejected_text(record),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )
    field = error.field if isinstance(error, JobRefused) else None
    logger.warning("job rejected", extra={"message_id": record["messageId"], "field": field})


def _rejected_text(record: Mapping[str, Any]) -> str:
    """The event that a message carries, with its id and its time; the message as it is, if it carries none."""
    try:
        # As short as it came: escapes could make it longer than a queue takes.
        return json.dumps(message_event(record), ensure_ascii=False)
    except Refused:
        return str(record["body"])


def _delete(records: Iterable[Mapping[str, Any]]) -> None:
    """Take messages out of their queue. One that stays comes again, and is answered as it was."""
    for queue_arn, receipts in _receipts(records):
        *_, account, name = queue_arn.split(":")
        try:
            aws.sqs().delete_message_batch(
                QueueUrl=aws.queue_url(account, name),
                Entries=[{"Id": f"{number}", "ReceiptHandle": receipt} for number, receipt in enumerate(receipts)],
            )
        except Exception:
            logger.warning("messages not deleted; they come again", exc_info=True)


def _receipts(records: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """The receipts of messages by queue, in parts that are deleted at once."""
    by_queue: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_queue[record["eventSourceARN"]].append(record["receiptHandle"])
    for queue_arn, receipts in by_queue.items():
        for start in range(0, len(receipts), _DELETED_AT_ONCE):
            yield queue_arn, receipts[start : start + _DELETED_AT_ONCE]
