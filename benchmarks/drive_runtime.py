"""Drives this runtime through whole lives of tasks on DynamoDB Local, as it runs in AWS, and counts what they cost.

`python -m benchmarks.drive_runtime '<Setup as JSON>' <file for the outcome>`, in a process of its own.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Final
from unittest import mock

import boto3
from tests.support.clock import Clock
from tests.support.lambdas import FakeContext
from tests.support.stream import Record, Stream, batches, is_new, is_report

from benchmarks.life import LIMIT, RESULT, STATS, TASKS_A_MINUTE, WORKER, Outcome, Setup, job, per_task
from benchmarks.meter import Meter
from sosw_runtime.essentials import orchestrator, scavenger, scheduler, worker_assistant
from sosw_runtime.storage import tokens
from sosw_runtime.storage.tables import Deadline, Tables
from sosw_runtime.testing import create_tables, register_worker

NAME: Final = "sosw"

#: Seconds that a task takes.
SECONDS: Final = 60 * LIMIT // TASKS_A_MINUTE

#: What Lambda answers to an asynchronous invoke.
ACCEPTED: Final = {"lambda.Invoke": {"StatusCode": 202}}


def standing_clock() -> Clock:
    """The time as the Essentials are told it, so that what they find old does not depend on the machine."""
    return Clock(time.time_ns() // 1_000_000)


class Driver:
    """One installation, whose slots are all busy."""

    def __init__(self, setup: Setup, meter: Meter, clock: Clock) -> None:
        self._setup = setup
        self._meter = meter
        self._clock = clock
        dynamodb = boto3.client("dynamodb")
        create_tables(dynamodb, NAME)
        register_worker(
            dynamodb,
            NAME,
            {
                "function_name": WORKER,
                "timeout_seconds": 60,
                "max_concurrency": LIMIT,
                "retry": {"base_delay_seconds": 0},
                "job_schemas": {"default": {"chunkable_attrs": ["part"]}},
            },
        )
        # It has reported before: the first reports of a Worker's life cost a write more.
        tables = Tables.with_client(dynamodb, NAME)
        tokens.record_token_seen(tables, WORKER, Deadline(0, lambda: 0))
        self._stream = Stream(dynamodb, f"{NAME}_tasks")
        self._schedule(setup.queued + LIMIT)
        self._stream.wait(is_new, setup.queued + LIMIT)
        orchestrator.handler({}, FakeContext())
        self._running = self._started()

    def live(self) -> Outcome:
        """Enqueue, dispatch, report and archive tasks; with `failing_first` each is retried once."""
        start = time.perf_counter()
        with self._meter.phase("enqueue"):
            self._schedule(self._setup.enqueued)
        seconds = time.perf_counter() - start
        self._pass_on(self._stream.wait(is_new, self._setup.enqueued), "notice")
        for _ in range(self._setup.rounds):
            if self._setup.failing_first:
                self._end("mark_task_as_failed", {"error": {"type": "Failed", "message": "the upstream is down"}})
                self._tick("requeue")
                self._pass_on(self._stream.wait(is_new, LIMIT))
            self._end("mark_task_as_completed", {"result": RESULT})
        self._tick("ticks")
        return per_task(self._setup, self._meter.costs, seconds)

    def _schedule(self, tasks: int) -> None:
        assert (
            scheduler.handler({"job": {"worker": WORKER, **job(self._setup, tasks)}}, FakeContext())["tasks"] == tasks
        )

    def _end(self, action: str, outcome: dict[str, Any]) -> None:
        """The running tasks report, and as many others start in their slots."""
        self._clock.sleep(SECONDS)
        for event in self._running:
            attempt = {"task_id": event["task_id"], "attempt": event["attempt"], "token": event["sosw_token"]}
            report = {"action": action, **attempt, "stats": STATS}
            with self._meter.phase("report"):
                answer = worker_assistant.handler({**report, **outcome}, FakeContext())
            assert answer["accepted"]
        self._pass_on(self._stream.wait(is_report, LIMIT))
        self._running = self._started()

    def _pass_on(self, records: list[Record], phase: str = "dispatch") -> None:
        """What the two event source mappings do."""
        for batch in self._batches(records, lambda record: is_new(record) or is_report(record)):
            with self._meter.phase(phase):
                orchestrator.handler(batch, FakeContext())
        for batch in self._batches(records, is_report):
            with self._meter.phase("settle"):
                scavenger.handler(batch, FakeContext())

    def _batches(self, records: list[Record], passes: Callable[[Record], bool]) -> Iterator[dict[str, Any]]:
        return batches(filter(passes, records), self._setup.batch_size)

    def _tick(self, phase: str) -> None:
        with self._meter.phase(phase):
            orchestrator.handler({}, FakeContext())
            scavenger.handler({}, FakeContext())

    def _started(self) -> list[Any]:
        started = self._meter.take_invoked()
        assert len(started) == LIMIT
        return started


def main() -> None:
    """Measure one setup."""
    setup = Setup.from_json(sys.argv[1])
    clock = standing_clock()
    with Meter(ACCEPTED) as meter, mock.patch("sosw_runtime.essentials.invocation.time", clock):
        Driver(setup, meter, clock).live().write(sys.argv[2])


if __name__ == "__main__":
    main()
