"""The stream of a tasks table, as Lambda's event source mappings hand it to the Essentials."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import boto3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

#: As in the root module.
BATCH_SIZE: Final = 100

Record = dict[str, Any]


class Stream:
    """All records of a stream on DynamoDB Local, each once and in the order in which the changes were made."""

    def __init__(self, dynamodb: DynamoDBClient, table: str) -> None:
        self._client: Any = boto3.client("dynamodbstreams", endpoint_url=dynamodb.meta.endpoint_url)
        self._arn = dynamodb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        self._iterators: dict[str, str | None] = {}

    def read(self) -> list[Record]:
        """What came since the last read."""
        for shard in self._client.describe_stream(StreamArn=self._arn)["StreamDescription"]["Shards"]:
            if shard["ShardId"] not in self._iterators:
                iterator = self._client.get_shard_iterator(
                    StreamArn=self._arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
                )
                self._iterators[shard["ShardId"]] = iterator["ShardIterator"]
        records = [record for shard in list(self._iterators) for record in self._pages(shard)]
        return sorted(records, key=lambda record: int(record["dynamodb"]["SequenceNumber"]))

    def wait(self, wanted: Callable[[Record], bool], count: int, timeout_seconds: float = 30) -> list[Record]:
        """The next records until `count` of them are `wanted`; `TimeoutError` when they do not come."""
        records: list[Record] = []
        deadline = time.monotonic() + timeout_seconds
        while sum(map(wanted, records)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{sum(map(wanted, records))} of {count} records came")
            records += self.read()
        return records

    def _pages(self, shard: str) -> Iterator[Record]:
        while (iterator := self._iterators[shard]) is not None:
            page = self._client.get_records(ShardIterator=iterator, Limit=1000)
            self._iterators[shard] = page.get("NextShardIterator")
            yield from page["Records"]
            if not page["Records"]:
                return


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Record]:
    """The records of what became of the tasks table's items, by key."""
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new:
            name = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
            images = {"OldImage": old, "NewImage": new}
            yield {
                "eventID": f"{key}-{name}",
                "eventName": name,
                "dynamodb": {image: item for image, item in images.items() if item is not None},
            }


def is_new(record: Record) -> bool:
    """Whether a record passes the Orchestrator's filter for new work."""
    return bool(record["eventName"] == "INSERT")


def is_report(record: Record) -> bool:
    """Whether a record passes the filter for reports, the Scavenger's only one."""
    status = record["dynamodb"].get("NewImage", {}).get("status", {}).get("S")
    return record["eventName"] == "MODIFY" and status in {"completed", "failed"}


def batches(records: Iterable[Record], size: int = BATCH_SIZE) -> Iterator[dict[str, Any]]:
    """The events that Lambda makes of records."""
    left = iter(records)
    while batch := list(islice(left, size)):
        yield {"Records": batch}
