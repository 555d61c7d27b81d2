"""The four tables, and how calls to them fail."""

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

#: The call was refused as a whole, since the table or one of its keys was busy: nothing was written.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
_THROTTLED: Final = frozenset({"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"})

#: Transient errors of a single write or a transaction, and reasons of a transaction's: nothing was written.
#: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_TRANSIENT: Final = _THROTTLED | {
    "ProvisionedThroughputExceeded",
    "ThrottlingError",
    "TransactionConflict",
    "TransactionConflictException",
}

#: Tries of a call beside those that its client makes, and the seconds after which none is begun: the client waits for
#: seconds as well between its own tries of a write that is throttled.
_TRIES: Final = 8
_LAST_TRY_AFTER: Final = 8
#: Tries of a write whose client makes none of its own.
_TRIES_OF_A_CLAIM: Final = 50

#: No connection came about: nothing was sent.
_UNREACHED: Final = (ConnectTimeoutError, EndpointConnectionError)

Call = Callable[[], Mapping[str, Any]]


class ConditionFailed(Exception):
    """The item stands otherwise than the write demands; nothing was written."""

    def __init__(self, found: Item | None) -> None:
        self.found = found
        super().__init__("the item stands otherwise than the write demands")


class NotWritten(Unavailable):
    """DynamoDB took no try of a write: nothing is written, nor on its way."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A time after which nothing more is tried."""

    at: int  # ms
    clock: Callable[[], int]  # ms

    def has_passed(self, wait: float = 0) -> bool:
        """Whether it is over now, or will be after so many seconds."""
        return self.clock() + 1000 * wait > self.at


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one installation, and the clients that reach them."""

    client: DynamoDBClient  # tries a failed call again
    name: str
    once: DynamoDBClient  # sends no call twice
    brief: DynamoDBClient  # sends no call twice either, and waits only for the seconds that a claim has

    @classmethod
    def connect(cls, name: str) -> Self:
        """The tables of the installation `name`, by the clients of this process."""
        return cls(aws.dynamodb(), name, aws.dynamodb_once(), aws.dynamodb_brief())

    @classmethod
    def by(cls, client: DynamoDBClient, name: str) -> Self:
        """The tables of the installation `name`, all by one client, for those who enqueue and claim nothing."""
        return cls(client, name, client, client)

    @property
    def tasks(self) -> str:
        """Queued and running tasks, and those just reported."""
        return f"{self.name}_tasks"

    @property
    def retry_tasks(self) -> str:
        """Tasks that wait for a time."""
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
    """Send a single write or a transaction, conditional or repeatable; a transient error is tried again.

    Raises:
        ConditionFailed: with the item as it was found, where the call asked for it.
        Unavailable: the error stayed.
        botocore.exceptions.ClientError, BotoCoreError: any other failure.
    """
    for attempt in _patiently():
        with attempt:
            return _send(call)
    raise AssertionError("unreachable")  # pragma: no cover


def write_by(deadline: Deadline | None, call: Call) -> Mapping[str, Any]:
    """Send a conditional write by `Tables.brief`; whatever may pass is tried again until the deadline.

    The write has to know its own earlier try again, whose answer was lost.

    Raises:
        ConditionFailed: with the item as it was found, where the call asked for it.
        NotWritten: every try failed before it acted.
        Unavailable: the last try failed; it is written, or not, or may still be.
        botocore.exceptions.ClientError, BotoCoreError: any other failure.
    """
    in_doubt = False
    for attempt in _until(deadline):
        with attempt:
            try:
                return _send(call)
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
    """Put or delete any number of items, 25 a call; those that DynamoDB sends back are sent again.

    Raises:
        Unavailable: some were still sent back at the end; any part may have been written.
    """
    _write_batches(tables.client, table, requests)


def put_new(tables: Tables, table: str, items: Sequence[Item]) -> bool:
    """Put any number of items that others change as soon as they see them; what DynamoDB may have taken is sent once.

        A puts T, its answer is lost ─────────────────────── A puts T again: T is as new, and runs twice
        B:               claims T ── T runs ── T completes

    Returns:
        Whether DynamoDB sent any of them back before it took them: it is asked for more than it can do.

    Raises:
        Unavailable: some were still sent back at the end; any part may have been written.
        botocore.exceptions.ClientError, BotoCoreError: an answer was lost; any part may be written, or be on its way.
    """
    return _write_batches(tables.once, table, [{"PutRequest": {"Item": item}} for item in items])


def _write_batches(client: DynamoDBClient, table: str, requests: Sequence[Mapping[str, Any]]) -> bool:
    """Send writes until none is sent back; whether any was."""
    sent_back = False
    for start in range(0, len(requests), BATCH_WRITE):
        left: Any = {table: list(requests[start : start + BATCH_WRITE])}
        tries = 0
        for attempt in _patiently():
            with attempt:
                tries += 1
                left = _left_of(client, left)
                if left:
                    raise Unavailable(f"{table}: {len(left[table])} writes were sent back")
        sent_back = sent_back or tries > 1
    return sent_back


def _left_of(client: DynamoDBClient, requests: Any) -> Any:
    """Send a batch; what DynamoDB sends back.

    Raises:
        Unavailable: nothing of it was written.
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
    """Read any number of items, or some attributes of each, 100 a call, in no order; those missing are left out.

    Raises:
        Unavailable: some keys were still sent back at the end.
    """
    projection = {
        "ProjectionExpression": ", ".join(f"#{name}" for name in attributes),
        "ExpressionAttributeNames": {f"#{name}": name for name in attributes},
    }
    for start in range(0, len(keys), BATCH_READ):
        left: Any = {
            table: {
                "Keys": list(keys[start : start + BATCH_READ]),
                "ConsistentRead": consistent,
                **(projection if attributes else {}),
            }
        }
        for attempt in _patiently():
            with attempt:
                answer = tables.client.batch_get_item(RequestItems=left)
                yield from answer["Responses"].get(table, [])
                left = answer["UnprocessedKeys"]
                if left:
                    raise Unavailable(f"{table}: {len(left[table]['Keys'])} reads were sent back")


def query(tables: Tables, **arguments: Any) -> Iterator[Item]:
    """All pages of a query."""
    for page in tables.client.get_paginator("query").paginate(**arguments):
        yield from page["Items"]


def registry_part(tables: Tables, pk: str, *, start: str = "", consistent: bool = False) -> Iterator[Item]:
    """All items of the registry under one partition key, or those from a sort key on, by their sort keys."""
    return query(
        tables,
        TableName=tables.registry,
        KeyConditionExpression="pk = :pk AND sk >= :start" if start else "pk = :pk",
        ExpressionAttributeValues=encoded({":pk": pk, ":start": start or None}),
        ConsistentRead=consistent,
    )


def _patiently() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        stop=stop_any(stop_after_attempt(_TRIES), stop_after_delay(_LAST_TRY_AFTER)),
        reraise=True,
    )


def _until(deadline: Deadline | None) -> Retrying:
    enough = stop_after_attempt(_TRIES_OF_A_CLAIM)

    def stop(state: RetryCallState) -> bool:
        return enough(state) or (deadline is not None and deadline.has_passed(state.upcoming_sleep))

    return Retrying(
        retry=retry_if_exception_type(Unavailable),
        wait=wait_random_exponential(multiplier=0.05, max=0.5),
        stop=stop,
        reraise=True,
    )


def _send(call: Call) -> Mapping[str, Any]:
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
