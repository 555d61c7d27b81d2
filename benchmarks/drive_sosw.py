"""Drives sosw 0.7 through whole lives of tasks on DynamoDB Local by its public classes, and counts what they cost.

`python -m benchmarks.drive_sosw '<Setup as JSON>' <file for the outcome>`, in an environment of sosw's own.
"""

from __future__ import annotations

import sys
import time
import uuid
from typing import Any, Final
from unittest import mock

import boto3
from sosw import app  # type: ignore[import-not-found]  # it is in an environment of its own
from sosw.orchestrator import Orchestrator  # type: ignore[import-not-found]  # in its own environment
from sosw.scavenger import Scavenger  # type: ignore[import-not-found]  # in its own environment
from sosw.scheduler import Scheduler  # type: ignore[import-not-found]  # in its own environment
from sosw.worker_assistant import WorkerAssistant  # type: ignore[import-not-found]  # in its own environment

from benchmarks.life import LIMIT, RESULT, STATS, WORKER, Outcome, Setup, job, per_task
from benchmarks.meter import Meter

#: What the services other than DynamoDB answer.
_ANSWERS: Final[dict[str, dict[str, Any]]] = {
    "glue.GetTable": {"Error": {"Code": "EntityNotFoundException", "Message": "no data catalog is used"}},
    "lambda.GetFunctionConfiguration": {"Timeout": 60},
    "lambda.Invoke": {"StatusCode": 202},
    "s3.DeleteObject": {},
    "s3.PutObject": {},
}

#: The tables and indexes that sosw's own CloudFormation example makes, on demand.
#: https://github.com/sosw/sosw/blob/master/examples/yaml/initial/sosw-dev-shared-dynamodb.yaml
_TABLES: Final[list[dict[str, Any]]] = [
    {
        "TableName": "sosw_tasks",
        "KeySchema": [("task_id", "HASH")],
        "GlobalSecondaryIndexes": [("sosw_tasks_greenfield", "labourer_id", "greenfield", {"ProjectionType": "ALL"})],
    },
    {
        "TableName": "sosw_closed_tasks",
        "KeySchema": [("task_id", "HASH")],
        "GlobalSecondaryIndexes": [
            (
                "labourer_task_status_with_time",
                "labourer_id_task_status",
                "closed_at",
                {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["completed_at", "greenfield", "attempts"]},
            )
        ],
    },
    {
        "TableName": "sosw_retry_tasks",
        "KeySchema": [("labourer_id", "HASH"), ("task_id", "RANGE")],
        "LocalSecondaryIndexes": [
            ("labourer_id_greenfield", "labourer_id", "desired_launch_time", {"ProjectionType": "ALL"})
        ],
    },
    {"TableName": "sosw_tasks_meta", "KeySchema": [("task_id", "HASH"), ("created_at", "RANGE")]},
    {"TableName": "config", "KeySchema": [("env", "HASH"), ("config_name", "RANGE")]},
]
_NUMBERS: Final = {"greenfield", "closed_at", "created_at", "desired_launch_time"}

#: After these many seconds sosw takes a task for lost: a duration and a cool-down that 0.7.51 lets nobody set.
_EXPIRY_SECONDS: Final = 900 + 300 + 2
#: What it waits for another try: the function's time-out, times the attempts.
_RETRY_SECONDS: Final = 60 + 2


class Clock:
    """The time as sosw is told it."""

    def __init__(self) -> None:
        self.skipped_seconds = 0
        self._real = time.time

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self._real() + self.skipped_seconds


class Context:
    """Lambda's, as far as sosw reads it."""

    aws_request_id = str(uuid.uuid4())
    function_name = "sosw"
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:sosw"
    log_stream_name = "2026/01/31/[$LATEST]0123456789abcdef0123456789abcdef"

    def get_remaining_time_in_millis(self) -> int:
        """As Lambda's own; it does not fall."""
        return 900_000


class Driver:
    """One installation, whose slots are all busy."""

    def __init__(self, setup: Setup, meter: Meter, clock: Clock) -> None:
        self._setup = setup
        self._meter = meter
        self._clock = clock
        self._dynamodb: Any = boto3.client("dynamodb")
        for table in _TABLES:
            self._dynamodb.create_table(**_definition(table))
        app.global_vars.lambda_context = Context()
        labourer = {"arn": WORKER, "max_simultaneous_invocations": LIMIT}
        tasks = {"task_config": {"labourers": {WORKER: labourer}}}
        schema = {"chunkable_attrs": [["part", {}]]}
        self._scheduler = Scheduler(
            custom_config={**tasks, "job_schema": schema, "job_schema_variants": {"default": schema}}
        )
        self._orchestrator = Orchestrator(custom_config=tasks)
        self._scavenger = Scavenger(custom_config=tasks)
        self._worker_assistant = WorkerAssistant()
        self._fill(setup.queued + LIMIT)
        self._orchestrator({})
        self._running = self._started()

    def live(self) -> Outcome:
        """Enqueue, dispatch, report and archive tasks; with `failing_first` each is retried once."""
        start = time.perf_counter()
        with self._meter.phase("enqueue"):
            self._schedule(self._setup.enqueued)
        seconds = time.perf_counter() - start
        for _ in range(self._setup.rounds):
            if self._setup.failing_first:
                self._report("mark_task_as_failed")
                self._clock.skipped_seconds += _EXPIRY_SECONDS
                self._scavenge()
                self._clock.skipped_seconds += _RETRY_SECONDS
                while self._count("sosw_retry_tasks"):
                    self._scavenge()
                self._dispatch()
            self._report("mark_task_as_completed")
            self._scavenge()
            self._dispatch()
        return per_task(self._setup, self._meter.costs, seconds)

    def _schedule(self, tasks: int) -> None:
        self._scheduler({"job": {"lambda_name": WORKER, **job(self._setup, tasks)}})

    def _fill(self, tasks: int) -> None:
        """Queue tasks: one by the Scheduler, the others as copies of it, each at its own place in the queue."""
        self._schedule(1)
        [first] = self._dynamodb.scan(TableName="sosw_tasks")["Items"]
        copies = [
            {
                **first,
                "task_id": {"S": uuid.uuid1().hex},
                "greenfield": {"N": str(int(first["greenfield"]["N"]) + 1000 * number)},
            }
            for number in range(1, tasks)
        ]
        for start in range(0, len(copies), 25):
            puts = [{"PutRequest": {"Item": item}} for item in copies[start : start + 25]]
            assert not self._dynamodb.batch_write_item(RequestItems={"sosw_tasks": puts})["UnprocessedItems"]

    def _report(self, action: str) -> None:
        for event in self._running:
            with self._meter.phase("report"):
                self._worker_assistant(
                    {"action": action, "task_id": event["task_id"], "stats": STATS, "result": RESULT}
                )

    def _dispatch(self) -> None:
        with self._meter.phase("dispatch"):
            self._orchestrator({})
        self._running = self._started()

    def _scavenge(self) -> None:
        with self._meter.phase("settle"):
            self._scavenger({})

    def _started(self) -> list[Any]:
        started = self._meter.take_invoked()
        assert len(started) == LIMIT, len(started)
        return started

    def _count(self, table: str) -> int:
        return int(self._dynamodb.scan(TableName=table, Select="COUNT")["Count"])


def _definition(table: dict[str, Any]) -> dict[str, Any]:
    """Arguments of CreateTable."""
    indexes: dict[str, Any] = {
        kind: [
            {
                "IndexName": name,
                "KeySchema": _key([(partition, "HASH"), (sort, "RANGE")]),
                "Projection": projection,
            }
            for name, partition, sort, projection in table[kind]
        ]
        for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        if kind in table
    }
    keys = [name for name, _ in table["KeySchema"]]
    keys += [key["AttributeName"] for kind in indexes.values() for index in kind for key in index["KeySchema"]]
    return {
        "TableName": table["TableName"],
        "KeySchema": _key(table["KeySchema"]),
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": "N" if name in _NUMBERS else "S"} for name in dict.fromkeys(keys)
        ],
        "BillingMode": "PAY_PER_REQUEST",
        **indexes,
    }


def _key(parts: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in parts]


def main() -> None:
    """Measure one setup."""
    setup = Setup.from_json(sys.argv[1])
    clock = Clock()
    with Meter(_ANSWERS) as meter, mock.patch("time.time", clock):
        Driver(setup, meter, clock).live().write(sys.argv[2])


if __name__ == "__main__":
    main()
