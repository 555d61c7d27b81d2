"""Large jobs: the Scheduler's speed, memory and units by the number of tasks, on DynamoDB Local."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.support.cache import CACHE, ROOT
from tests.support.dynamodb_local import DynamoDBLocal, dynamodb_local
from tests.support.server import tail

from benchmarks.costs import environment
from benchmarks.meter import Cost
from sosw_runtime.domain.pacing import QUEUED_A_SECOND

#: Numbers of tasks.
SIZES: Final = (10_000, 100_000, 1_000_000)
#: Products of each store: jobs are whole numbers of stores.
WIDTH: Final = 1_000
#: Shards of the Worker's queue: they take so many tasks a second that the Scheduler never waits for them.
QUEUE_SHARDS: Final = 20
#: After so many seconds an invocation would be ended by Lambda, so that large jobs are handed over.
INVOCATION_SECONDS: Final = 60
#: Tasks that bare calls write, for comparison.
BARE_TASKS: Final = 10_000

ARRANGEMENT: Final = (
    f"One job of stores by {WIDTH:,} products, each product of each store a task, taken by the Scheduler's handler in "
    f"one process, with {INVOCATION_SECONDS} s an invocation and as many hand-overs as that takes, on DynamoDB Local. "
    f"The Worker's queue has {QUEUE_SHARDS} shards, which take {QUEUE_SHARDS * QUEUED_A_SECOND:,} tasks a second, more "
    "than the Scheduler writes: what is measured is its own speed. "
    "Memory is the most that the process ever had, Python, boto3 and the benchmark's own counting included. Bare calls "
    f"are BatchWriteItem of as many threads, {BARE_TASKS:,} of the same items to tables of the same kind, which does "
    "nothing but send what is ready.",
)


@dataclass(frozen=True)
class Outcome:
    """What one size came to."""

    tasks: int
    invocations: int
    enqueued_a_second: float
    memory_before: float  # MB, the most until the job was submitted
    memory_peak: float  # MB
    cost: Mapping[str, float]  # of a task
    bare_a_second: float  # tasks that bare calls write

    @property
    def per_task(self) -> Cost:
        """What a task cost."""
        return Cost(**self.cost)

    @property
    def speed(self) -> float:
        """Over that of bare calls."""
        return self.enqueued_a_second / self.bare_a_second

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Out of the results' JSON."""
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """For the results."""
        return asdict(self)


def measure(written: Callable[[int, int], None]) -> list[Outcome]:
    """Measure each size; `written` is told of how many tasks of it so many are written."""
    return [_measured(size, written) for size in SIZES]


def _measured(tasks: int, written: Callable[[int, int], None]) -> Outcome:
    with dynamodb_local("dynamodb-local-benchmarks") as running, tempfile.TemporaryDirectory() as scratch:
        return _driven(running, tasks, Path(scratch) / "outcome.json", written)


def _driven(running: DynamoDBLocal, tasks: int, outcome: Path, written: Callable[[int, int], None]) -> Outcome:
    module = "benchmarks.drive_jobs"
    log = CACHE / "logs" / f"{module}.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(  # noqa: S603 - a Python and a module of ours
            [sys.executable, "-m", module, str(tasks), outcome],
            cwd=ROOT,
            env=environment(running),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as driver,
    ):
        for line in driver.stdout or ():
            if line.strip().isdigit():
                written(tasks, min(int(line), tasks))
    if driver.returncode:
        raise RuntimeError(f"{module} failed; its log {log} says:\n{tail(log)}")
    written(tasks, tasks)
    return Outcome.read(json.loads(outcome.read_text()))
