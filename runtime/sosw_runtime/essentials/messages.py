"""Messages of an SQS queue: each job of a batch is accepted or rejected independently of the others.

If the function fails, Lambda makes all messages of the batch visible again; otherwise it deletes all. It handles single
messages only for a mapping with `ReportBatchItemFailures`. A function cannot see whether its mapping has that setting,
and without it an answer that names failures would lose jobs. So this module handles single messages for any mapping:

- A message whose job is accepted is handled.
- A job that can never be accepted as it is goes to `<name>_rejected_jobs`, and its message is handled.
- If AWS fails for a message, the handled messages are deleted and the batch fails: the other messages come again.

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

#: Characters that are replaced in a message's attribute: all that SQS refuses, and some that it accepts.
#: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
_UNSENDABLE: Final = re.compile(r"[^\t\n\r\x20-\x7e]")

logger = telemetry.logger("scheduler")


def are_sqs_messages(records: Sequence[object]) -> bool:
    """Whether all records are messages of an SQS queue."""
    return bool(records) and all(
        isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs" for record in records
    )


def accept_messages(
    accept: Callable[[Mapping[str, Any]], Answer],
    records: Sequence[Any],
    rejected_jobs_url: str | None,
    has_time: Callable[[], bool],
) -> list[Answer]:
    """Accept the job of each message; the answers for accepted jobs.

    Args:
        accept: accepts the job of one event.
        records: messages of an SQS queue.
        rejected_jobs_url: the queue for refused jobs; without it their messages come again.
        has_time: whether the invocation may begin more work.

    Raises:
        Exception: the first error that leaves open whether a job is accepted.
    """

    def accept_or_reject(record: Any) -> Answer | None:
        try:
            return accept(message_event(record))
        except JobInterrupted as accepted:
            return accepted.answer
        except (Refused, Misconfigured) as refusal:
            if rejected_jobs_url is None:
                raise
            if record is not records[0] and not has_time():
                # Earlier messages used up the time, which may be the reason for the refusal.
                raise Unavailable("the invocation has no time for this message, which comes again") from refusal
            _reject(record, refusal, rejected_jobs_url)
            return None

    results = list(run_concurrently(accept_or_reject, records, threads=1))
    failures = [result for _, result in results if isinstance(result, Exception)]
    if failures:
        _delete_messages(record for record, result in results if not isinstance(result, Exception))
        raise failures[0]
    return [result for _, result in results if isinstance(result, dict)]


def _reject(record: Mapping[str, Any], refusal: Refused | Misconfigured, url: str) -> None:
    """Send a job to the queue of rejected jobs, with the attributes that EventBridge uses for undelivered events."""
    error = JobRefused.of(refusal) if isinstance(refusal, Refused) else refusal
    attributes = {"ERROR_CODE": type(error).__name__, "ERROR_MESSAGE": _UNSENDABLE.sub("?", str(error))}
    aws.sqs().send_message(
        QueueUrl=url,
        MessageBody=_rejected_body(record),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )
    field = error.field if isinstance(error, JobRefused) else None
    logger.warning("job rejected", extra={"message_id": record["messageId"], "field": field})


def _rejected_body(record: Mapping[str, Any]) -> str:
    """The event that a message carries, with its id and time; without an event the message's text."""
    try:
        # Without escapes, which could exceed the size limit of SQS.
        return json.dumps(message_event(record), ensure_ascii=False)
    except Refused:
        return str(record["body"])


def _delete_messages(records: Iterable[Mapping[str, Any]]) -> None:
    """Delete messages from their queue. A message whose deletion fails comes again and gets the same answer."""
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
    """The receipts of messages by queue, in parts for one deletion each."""
    by_queue: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_queue[record["eventSourceARN"]].append(record["receiptHandle"])
    for queue_arn, receipts in by_queue.items():
        for start in range(0, len(receipts), _DELETED_AT_ONCE):
            yield queue_arn, receipts[start : start + _DELETED_AT_ONCE]
