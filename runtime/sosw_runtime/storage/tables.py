"""The four tables: batches, retries of transient errors, and deadlines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    stop_any,
    wait_random_exponential,
)

from sosw_runtime import aws
from sosw_runtime.errors import Unavailable
from sosw_runtime.storage.items import Item, encoded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html
BATCH_WRITE: Final = 25
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
BATCH_READ: Final = 100

#: DynamoDB throttled the whole call: nothing was written.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
_THROTTLED: Final = frozenset({"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"})

#: Transient errors of a single write, and cancellation reasons of a transaction: nothing was written.
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_TRANSIENT: Final = _THROTTLED | {
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
    "TransactionConflict",
    "TransactionConflictException",
}

#: Tries of a call beside the client's own, and the seconds after which no try begins: the client also waits for seconds
#: between its own tries of a throttled write.
_TRIES: Final = 8
_LAST_TRY_AFTER: Final = 8
#: Tries of a write by a client that never retries.
_TRIES_OF_A_CLAIM: Final = 50

#: There was no connection: nothing was sent.
_UNREACHED: Final = (ConnectTimeoutError, EndpointConnectionError)

Call = Callable[[], Mapping[str, Any]]


class ConditionFailed(Exception):
    """The condition of a write failed; nothing was written."""

    def __init__(self, found: Item | None) -> None:
        self.found = found
        super().__init__("the condition of the write failed")


class NotWritten(Unavailable):
    """Every try of a write failed before it acted: nothing is written, now or later."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time after which no try begins."""

    at: int  # ms
    clock: Callable[[], int]  # ms

    def has_passed(self, wait: float = 0) -> bool:
        """Whether the deadline is over now, or will be after `wait` seconds."""
        return self.clock() + 1000 * wait > self.at


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one installation, with their clients."""

    client: DynamoDBClient  # retries failed calls
    name: str
    once: DynamoDBClient  # never retries
    brief: DynamoDBClient  # never retries, and has the short time-outs of a claim

    @classmethod
    def connect(cls, name: str) -> Self:
        """The tables of the installation `name`, with the clients of this process."""
        return cls(aws.dynamodb(), name, aws.dynamodb_once(), aws.dynamodb_brief())

    @classmethod
    def with_client(cls, client: DynamoDBClient, name: str) -> Self:
        """The tables of the installation `name`, with one client, for callers that neither enqueue nor claim."""
        return cls(client, name, client, client)

    @property
    def tasks(self) -> str:
        """Queued, running and just reported tasks."""
        return f"{self.name}_tasks"

    @property
    def retry_tasks(self) -> str:
        """Waiting tasks."""
        return f"{self.name}_retry_tasks"

    @property
    def closed_tasks(self) -> str:
        """Completed, dead and cancelled tasks."""
        return f"{self.name}_closed_tasks"

    @property
    def registry(self) -> str:
        """Registrations, slots, health, controls and jobs."""
        return f"{self.name}_registry"


def write(call: Call) -> Mapping[str, Any]:
    """Send a single write or a transaction that is conditional or idempotent, and retry transient errors.

    Raises:
        ConditionFailed: with the item as it was found, if the call asked for it.
        Unavailable: every try failed with a transient error.
        botocore.exceptions.ClientError, BotoCoreError: any other failure.
    """
    for attempt in _retries():
        with attempt:
            return _send_once(call)
    raise AssertionError("unreachable")  # pragma: no cover


def write_by(deadline: Deadline, call: Call) -> Mapping[str, Any]:
    """Send a conditional write by `Tables.brief`, and retry transient errors until the deadline.

    If an answer was lost, the caller must recognise the item that an earlier try wrote.

    Raises:
        ConditionFailed: with the item as it was found, if the call asked for it.
        NotWritten: every try failed before it acted.
        Unavailable: the last try failed; the write may have acted, or may still act.
        botocore.exceptions.ClientError, BotoCoreError: any other failure.
    """
    in_doubt = False
    for attempt in _retries_until(deadline):
        with attempt:
            try:
                return _send_once(call)
            except (Unavailable, *_UNREACHED) as error:
                failure = Unavailable if in_doubt else NotWritten
                raise failure(f"DynamoDB did not take a write in time: {error}") from error
            except (ClientError, BotoCoreError) as error:
                if isinstance(error, ClientError) and error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                    raise
                in_doubt = True
                raise Unavailable(f"DynamoDB did not say in time whether it took a write: {error}") from error
    raise AssertionError("unreachable")  # pragma: no cover


def put_batches(tables: Tables, table: str, requests: Sequence[Mapping[str, Any]]) -> None:
    """Put or delete any number of items, 25 a call, and resend unprocessed ones.

    Raises:
        Unavailable: some stayed unprocessed; any part may be written.
    """
    _write_batches(tables.client, table, requests)


def put_new(tables: Tables, table: str, items: Sequence[Item]) -> bool:
    """Put any number of new items. An item that DynamoDB may have taken is never sent again, as others may change it:

        A puts T, its answer is lost ─────────────────────── A puts T again: T is new again, and runs twice
        B:               claims T ── T runs ── T completes

    Returns:
        Whether DynamoDB sent some items back at first, as it was too busy.

    Raises:
        Unavailable: some stayed unprocessed; any part may be written.
        botocore.exceptions.ClientError, BotoCoreError: an answer was lost; any part may be written, now or later.
    """
    return _write_batches(tables.once, table, [{"PutRequest": {"Item": item}} for item in items])


def _write_batches(client: DynamoDBClient, table: str, requests: Sequence[Mapping[str, Any]]) -> bool:
    """Send writes until DynamoDB has processed all; whether it sent some back at first."""
    sent_back = False
    for start in range(0, len(requests), BATCH_WRITE):
        unprocessed: Any = {table: list(requests[start : start + BATCH_WRITE])}
        tries = 0
        for attempt in _retries():
            with attempt:
                tries += 1
                unprocessed = _send_batch(client, unprocessed)
                if unprocessed:
                    raise Unavailable(f"{table}: {len(unprocessed[table])} writes were sent back")
        sent_back = sent_back or tries > 1
    return sent_back


def _send_batch(client: DynamoDBClient, requests: Any) -> Any:
    """Send a batch; the requests that DynamoDB did not process.

    Raises:
        Unavailable: none of it was written.
    """
    try:
        return client.batch_write_item(RequestItems=requests)["UnprocessedItems"]
    except ClientError as error:
        if error.response["Error"]["Code"] in _THROTTLED:
            raise Unavailable(f"DynamoDB could not take a batch for now: {error}") from error
        raise
    except _UNREACHED as error:
        raise Unavailable(f"DynamoDB was not reached: {error}") from error


def get_batches(
    tables: Tables, table: str, keys: Sequence[Item], *, consistent: bool = True, attributes: Sequence[str] = ()
) -> Iterator[Item]:
    """The items under any number of keys, or some attributes of each, in no order. Reads 100 a call.

    Raises:
        Unavailable: some keys stayed unprocessed.
    """
    projection = {
        "ProjectionExpression": ", ".join(f"#{name}" for name in attributes),
        "ExpressionAttributeNames": {f"#{name}": name for name in attributes},
    }
    for start in range(0, len(keys), BATCH_READ):
        unprocessed: Any = {
            table: {
                "Keys": list(keys[start : start + BATCH_READ]),
                "ConsistentRead": consistent,
                **(projection if attributes else {}),
            }
        }
        for attempt in _retries():
            with attempt:
                answer = tables.client.batch_get_item(RequestItems=unprocessed)
                yield from answer["Responses"].get(table, [])
                unprocessed = answer["UnprocessedKeys"]
                if unprocessed:
                    raise Unavailable(f"{table}: {len(unprocessed[table]['Keys'])} reads were sent back")


def query(tables: Tables, **arguments: Any) -> Iterator[Item]:
    """The items of all pages of a query."""
    for page in tables.client.get_paginator("query").paginate(**arguments):
        yield from page["Items"]


def registry_part(tables: Tables, pk: str, *, start: str = "", consistent: bool = False) -> Iterator[Item]:
    """The registry's items under one partition key, from the sort key `start` on, by sort key."""
    return query(
        tables,
        TableName=tables.registry,
        KeyConditionExpression="pk = :pk AND sk >= :start" if start else "pk = :pk",
        ExpressionAttributeValues=encoded({":pk": pk, ":start": start or None}),
        ConsistentRead=consistent,
    )


def _retries() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_any(stop_after_attempt(_TRIES), stop_after_delay(_LAST_TRY_AFTER)),
        reraise=True,
    )


def _retries_until(deadline: Deadline) -> Retrying:
    enough = stop_after_attempt(_TRIES_OF_A_CLAIM)

    def stop(state: RetryCallState) -> bool:
        return enough(state) or deadline.has_passed(state.upcoming_sleep)

    return Retrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=0.05, max=0.5),
        stop=stop,
        reraise=True,
    )


def _send_once(call: Call) -> Mapping[str, Any]:
    """Send a write once.

    Raises:
        ConditionFailed, botocore.exceptions.ClientError, BotoCoreError: as `write`.
        Unavailable: a transient error; this try wrote nothing.
    """
    try:
        return call()
    except ClientError as error:
        response: Mapping[str, Any] = error.response
        code = response["Error"]["Code"]
        reasons = [reason for reason in response.get("CancellationReasons", []) if reason["Code"] != "None"]
        if code == "ConditionalCheckFailedException":
            raise ConditionFailed(response.get("Item")) from error
        if any(reason["Code"] == "ConditionalCheckFailed" for reason in reasons):
            raise ConditionFailed(None) from error
        if code in _TRANSIENT or (reasons and all(reason["Code"] in _TRANSIENT for reason in reasons)):
            raise Unavailable(f"DynamoDB could not take a write for now: {code}") from error
        raise
