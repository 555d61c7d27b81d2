"""What a task costs in request units and calls, here and in sosw 0.7, side by side on one DynamoDB Local."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from tests.support.cache import CACHE, REQUIREMENTS, ROOT, made_once, pip
from tests.support.dynamodb_local import DynamoDBLocal, dynamodb_local
from tests.support.server import tail

from benchmarks.life import LIMIT, STATS, TASKS_A_MINUTE, WORKER, Outcome, Setup

System = Literal["runtime", "sosw"]

PAYLOADS: Final = (600, 3_500)
QUEUES: Final = (100, 1_000, 10_000)
BATCH_SIZES: Final = (1, 10, 100)

ARRANGEMENT: Final = (
    f"One Worker, `{WORKER}`, with a limit of {LIMIT}, all slots busy and the queue filled beforehand. Reports carry "
    f"{len(json.dumps(STATS))} bytes of stats and about as many of result. The Worker's invoke of the WorkerAssistant "
    "is the same call in both and is counted in neither.",
    "This runtime: the Scheduler's handler takes a job of 1,000 tasks; the Orchestrator's and the Scavenger's take the "
    "records of the table's own stream through the root module's filters, in batches of 100 unless said otherwise; the "
    f"WorkerAssistant's takes one report a task; a minute's ticks of both are divided among {TASKS_A_MINUTE:,} tasks. "
    "What the Scheduler waits for the keys of the queue takes no time here.",
    "sosw 0.7.51: its Scheduler, Orchestrator, Scavenger and WorkerAssistant are called as its Lambdas call them, on "
    "the tables and indexes of its CloudFormation example, its event log on as by default; a job of 20 tasks, and one "
    f"call of the Orchestrator and the Scavenger for {LIMIT} tasks, the most that it dispatches at once. A failed "
    "task is found after its expiry, to which the clock is set forward; the ticks in between are not counted.",
    "Units are those that DynamoDB Local returns, writes to a global index inside a transaction counted once, as AWS "
    "does.",
)


@dataclass(frozen=True)
class Measurement:
    """One setup in one system."""

    system: System
    setup: Setup
    outcome: Outcome

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Out of the results' JSON."""
        return cls(values["system"], Setup(**values["setup"]), Outcome.read(values["outcome"]))

    def to_json(self) -> dict[str, Any]:
        """For the results."""
        return asdict(self)


def setups() -> list[tuple[System, Setup]]:
    """All that is measured, in order."""
    found: list[tuple[System, Setup]] = []
    for payload in PAYLOADS:
        for queue in QUEUES:
            found.append(("runtime", Setup(payload, queue, enqueued=1_000, rounds=3)))
            found.append(("sosw", Setup(payload, queue, enqueued=20, rounds=1)))
        found.append(("runtime", Setup(payload, QUEUES[0], enqueued=1_000, rounds=1, failing_first=True)))
        found.append(("sosw", Setup(payload, QUEUES[0], enqueued=20, rounds=1, failing_first=True)))
    found += [
        ("runtime", Setup(PAYLOADS[0], QUEUES[1], enqueued=1_000, rounds=1, batch_size=size))
        for size in BATCH_SIZES[:-1]
    ]
    return found


def measure(begun: Callable[[str], None], done: Callable[[], None]) -> list[Measurement]:
    """Measure every setup; `begun` and `done` are told of each."""
    pythons: dict[System, Path] = {"runtime": Path(sys.executable), "sosw": sosw_environment() / "bin" / "python"}
    measured = []
    with dynamodb_local("dynamodb-local-benchmarks") as running:
        for system, setup in setups():
            retried = ", each task retried once" if setup.failing_first else ""
            begun(f"{system}: {setup.payload_bytes:,} bytes, {setup.queued:,} queued{retried}")
            found = run_driver(f"benchmarks.drive_{system}", [setup.to_json()], running, pythons[system])
            measured.append(Measurement(system, setup, Outcome.read(found)))
            done()
    return measured


def run_driver(
    module: str,
    arguments: Sequence[str],
    running: DynamoDBLocal,
    python: Path = Path(sys.executable),
    settings: Mapping[str, str] | None = None,
) -> Any:
    """Run a driver to its end, on tables of its own; what it found, read from its JSON.

    Args:
        module: the driver, a module of ours.
        arguments: what it is given before the path where it writes what it found.
        running: where its tables are.
        python: which runs it.
        settings: of its environment.

    Raises:
        RuntimeError: it failed; what it wrote is in the message.
    """
    log = CACHE / "logs" / f"{module}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, log.open("wb") as output:
        outcome = Path(scratch) / "outcome.json"
        ended = subprocess.run(  # noqa: S603 - a Python and a module of ours
            [python, "-m", module, *arguments, outcome],
            cwd=ROOT,
            env=environment(running) | dict(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"{module} failed; its log {log} says:\n{tail(log)}")
        return json.loads(outcome.read_text())


def environment(running: DynamoDBLocal) -> dict[str, str]:
    """Of a process that reaches this DynamoDB Local and nothing else, with tables of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SOSW_"))}
    return inherited | {
        "AWS_ACCESS_KEY_ID": uuid.uuid4().hex[:20],  # DynamoDB Local keeps the tables of each apart
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_DYNAMODB": running.endpoint,
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "POWERTOOLS_LOG_LEVEL": "WARNING",
        "POWERTOOLS_METRICS_DISABLED": "true",
    }


def sosw_environment() -> Path:
    """The virtual environment of sosw 0.7, pinned with hashes."""
    lock = REQUIREMENTS / "sosw.txt"

    def make(directory: Path) -> None:
        venv.create(directory, with_pip=True, symlinks=True)
        pip(directory / "bin" / "python", "install", "--require-hashes", "--requirement", str(lock))

    return made_once("sosw-0.7.51", f"{sys.version}\n{sys.base_prefix}\n{lock.read_text()}", make)
