"""Has the Scheduler enqueue one large job on DynamoDB Local, in as many invocations as it needs.

`python -m benchmarks.drive_jobs <tasks> <file for the outcome>`, in a process of its own, which stands for the
one instance of a warm Lambda function. Once a second it prints how many tasks it wrote.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from tests.support.lambdas import FakeContext

from benchmarks.jobs import BARE_TASKS, INVOCATION_SECONDS, QUEUE_SHARDS, WIDTH, Outcome
from benchmarks.life import WORKER
from benchmarks.meter import Meter
from sosw_runtime import aws
from sosw_runtime.essentials import scheduler
from sosw_runtime.storage.items import to_item
from sosw_runtime.storage.tables import BATCH_WRITE, Tables
from sosw_runtime.storage.tasks import find, queue_head
from sosw_runtime.testing import create_tables, register_worker

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

NAME: Final = "sosw"
_THREADS: Final = 20  # as the Scheduler has


class Context(FakeContext):
    """Of an invocation that ends after some seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._ends_at = time.monotonic() + INVOCATION_SECONDS

    def get_remaining_time_in_millis(self) -> int:
        """As Lambda's own."""
        return round(1000 * (self._ends_at - time.monotonic()))


def enqueue(tasks: int, meter: Meter) -> Outcome:
    """Submit the job, and invoke the Scheduler again as often as it hands over."""
    dynamodb = aws.dynamodb()
    create_tables(dynamodb, NAME)
    register_worker(
        dynamodb,
        NAME,
        {
            "function_name": WORKER,
            "timeout_seconds": 60,
            "max_concurrency": 1,
            "queue_shards": QUEUE_SHARDS,
            "job_schemas": {"default": {"chunkable_attrs": ["store", "product"]}},
        },
    )
    before = _peak()
    start = time.perf_counter()
    event: Any = {
        "job": {
            "worker": WORKER,
            "isolate_products": True,
            "stores": [f"store-{number:04d}" for number in range(tasks // WIDTH)],
            "products": [f"product-{number:04d}" for number in range(WIDTH)],
        }
    }
    invocations = 0
    with meter.phase("enqueue"):
        while event is not None:
            answer = scheduler.handler(event, Context())
            invocations += 1
            assert answer["tasks"] == tasks
            event = next(iter(meter.take_invoked()), None)
    seconds = time.perf_counter() - start
    peak = _peak()
    assert _count(dynamodb) == tasks
    cost = meter.costs["enqueue"] / tasks
    return Outcome(tasks, invocations, tasks / seconds, before, peak, asdict(cost), _bare(dynamodb))


def _bare(dynamodb: DynamoDBClient) -> float:
    """Tasks a second that bare calls write: the first of the same items, in their order, to tables of the same kind."""
    tables = Tables.with_client(dynamodb, NAME)
    first = [candidate.task_id for candidate in queue_head(tables, WORKER, shards=QUEUE_SHARDS, limit=BARE_TASKS)]
    found = find(tables, first)
    puts = [{"PutRequest": {"Item": to_item(found[task_id])}} for task_id in first]
    batches = [puts[start : start + BATCH_WRITE] for start in range(0, len(puts), BATCH_WRITE)]
    # DynamoDB Local slows down with the stream records of other tables; an access key has a database of its own.
    with mock.patch.dict(os.environ, AWS_ACCESS_KEY_ID="bare"):
        aws.forget_clients()
        alone = aws.dynamodb()
        create_tables(alone, NAME)
    start = time.perf_counter()
    with ThreadPoolExecutor(_THREADS) as pool:
        answers = list(pool.map(lambda batch: alone.batch_write_item(RequestItems={tables.tasks: batch}), batches))
    seconds = time.perf_counter() - start
    assert not any(answer["UnprocessedItems"] for answer in answers)
    return len(puts) / seconds


def _count(dynamodb: DynamoDBClient) -> int:
    """Of the tasks; DynamoDB Local counts exactly, and at once."""
    return dynamodb.describe_table(TableName=f"{NAME}_tasks")["Table"]["ItemCount"]


def _peak() -> float:
    """The most memory that the process ever had, in MB."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes / (1024 if sys.platform == "linux" else 1024 * 1024)


def _written(meter: Meter) -> Iterator[int]:
    while True:
        time.sleep(1)
        yield round(meter.costs["enqueue"].calls) * BATCH_WRITE


def _tell(meter: Meter) -> None:
    for written in _written(meter):
        sys.stdout.write(f"{written}\n")
        sys.stdout.flush()


def main() -> None:
    """Measure one size."""
    with Meter({"lambda.Invoke": {"StatusCode": 202}}) as meter:
        threading.Thread(target=_tell, args=(meter,), daemon=True).start()
        Path(sys.argv[2]).write_text(json.dumps(asdict(enqueue(int(sys.argv[1]), meter))))


if __name__ == "__main__":
    main()
