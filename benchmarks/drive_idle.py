"""Lets an installation idle on DynamoDB Local, or tasks live on it, and counts what the Essentials do and print.

`python -m benchmarks.drive_idle idle <Workers> <file for the outcome>`, or `life <bytes of the payload> <file>`, in a
process of its own.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from unittest import mock

import boto3
from tests.support.lambdas import FakeContext

from benchmarks.drive_runtime import ACCEPTED, NAME, Driver, standing_clock
from benchmarks.idle import TICKS, Work
from benchmarks.life import LIMIT, Outcome, Setup
from benchmarks.meter import Meter
from sosw_runtime.essentials import orchestrator, scavenger, scheduler, worker_assistant
from sosw_runtime.testing import create_tables, register_worker

_MODULES: Final[dict[str, ModuleType]] = {
    "scheduler": scheduler,
    "orchestrator": orchestrator,
    "scavenger": scavenger,
    "worker_assistant": worker_assistant,
}

#: Whose calls the phases of a life are.
_PHASES: Final = {
    "enqueue": "scheduler",
    "notice": "orchestrator",
    "dispatch": "orchestrator",
    "report": "worker_assistant",
    "settle": "scavenger",
}

_ROUNDS: Final = 3

Handler = Callable[[Any, Any], dict[str, Any]]


class Gauge:
    """Counts what the Essentials do, and keeps what they print."""

    def __init__(self) -> None:
        self.work: dict[str, Work] = defaultdict(Work)
        self.printed = ""

    @contextmanager
    def on(self) -> Iterator[None]:
        """Count what the handlers do inside the block."""
        with ExitStack() as patches:
            for essential, module in _MODULES.items():
                patches.enter_context(mock.patch.object(module, "handler", self._watched(essential, module.handler)))
            yield

    def _watched(self, essential: str, handler: Handler) -> Handler:
        def handle(event: Any, context: Any) -> dict[str, Any]:
            with _printed() as text:
                before = time.process_time()
                answer = handler(event, context)
                seconds = time.process_time() - before
            self.work[essential] += Work.printed(text.getvalue(), seconds)
            self.printed += text.getvalue()
            return answer

        return handle

    def metrics(self) -> set[str]:
        """The custom metrics that were printed, each with its namespace and dimensions."""
        lines = [json.loads(line) for line in self.printed.splitlines()]
        return {
            json.dumps([told["Namespace"], [[name, line[name]] for name in dimensions], metric["Name"]])
            for line in lines
            for told in line.get("_aws", {}).get("CloudWatchMetrics", [])
            for dimensions in told["Dimensions"]
            for metric in told["Metrics"]
        }


@contextmanager
def _printed() -> Iterator[StringIO]:
    """What is printed inside the block, by the logs as well, which keep the stream that they began with."""
    text = StringIO()
    handlers = [
        handler
        for logger in logging.root.manager.loggerDict.values()
        if isinstance(logger, logging.Logger)
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    streams = [handler.setStream(text) for handler in handlers]
    with redirect_stdout(text):
        yield text
    for handler, stream in zip(handlers, streams, strict=True):
        handler.setStream(stream)


def idle(workers: int) -> dict[str, Any]:
    """A minute of so many Workers that have nothing to do."""
    gauge = Gauge()
    with Meter({}, counts_misses=True) as meter:
        dynamodb = boto3.client("dynamodb")
        create_tables(dynamodb, NAME)
        for number in range(workers):
            inputs = {"function_name": f"acme-worker-{number:04d}", "timeout_seconds": 60, "max_concurrency": 10}
            register_worker(dynamodb, NAME, inputs)
        for _ in range(2):
            _tick()
        with gauge.on():
            for _ in range(TICKS):
                _tick(meter)
    ticks = {}
    for essential, work in gauge.work.items():
        cost = meter.costs[essential]
        asked = replace(work, calls=cost.calls, write_units=cost.write_units, read_units=cost.read_units)
        ticks[essential] = asdict(asked / TICKS)
    return {"ticks": ticks, "metrics": len(gauge.metrics())}


def _tick(meter: Meter | None = None) -> None:
    for essential in ("orchestrator", "scavenger"):
        with meter.phase(essential) if meter else ExitStack():
            answer = _MODULES[essential].handler({}, FakeContext())
        assert "Failures" not in answer, answer


def life(payload_bytes: int) -> dict[str, Any]:
    """What is done for a task from its enqueue to its archive; the ticks, which come once a minute, are left out."""
    tasks = _ROUNDS * LIMIT
    setup = Setup(payload_bytes, queued=LIMIT, enqueued=tasks, rounds=_ROUNDS)
    clock, gauge = standing_clock(), Gauge()
    with Meter(ACCEPTED, counts_misses=True) as meter, mock.patch("time.time_ns", clock.time_ns):
        driver = Driver(setup, meter, clock)
        with gauge.on(), mock.patch.object(driver, "_tick"):
            outcome: Outcome = driver.live()
    works = {essential: work / tasks for essential, work in gauge.work.items()}
    for phase, cost in outcome.phases.items():
        works[_PHASES[phase]] += Work(calls=cost.calls, write_units=cost.write_units, read_units=cost.read_units)
    return {essential: asdict(work) for essential, work in works.items()}


def main() -> None:
    """Measure one of the two."""
    what, size, outcome = sys.argv[1:]
    found = idle(int(size)) if what == "idle" else life(int(size))
    Path(outcome).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
