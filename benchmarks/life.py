"""What is measured of tasks' lives: the setup that both drivers are given, and the outcome that they give back.

Imported beside sosw 0.7 as well, hence nothing but the standard library and botocore.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.meter import Cost

#: The Worker; its name is part of every item.
WORKER: Final = "acme-resize-images"
#: Its limit: tasks that run at a time, and that a round ends and starts.
LIMIT: Final = 100
#: What a Worker reports.
STATS: Final = {"rows": 1461}
RESULT: Final = {"mm": 3.2}
#: Tasks among which a minute's ticks are divided: at this limit they take 6 s each.
TASKS_A_MINUTE: Final = 1000


@dataclass(frozen=True)
class Setup:
    """One measurement."""

    payload_bytes: int  # of a task's payload, as compact JSON
    queued: int  # tasks that the queue holds already
    enqueued: int  # tasks of the job that is measured
    rounds: int  # in each of which all running tasks report and as many others start
    failing_first: bool = False  # whether each task fails once
    batch_size: int = 100  # records of the stream that a handler is given at once, where there is a stream

    def to_json(self) -> str:
        """For a driver's command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Outcome:
    """What one measurement found."""

    phases: Mapping[str, Cost]  # a task's, in the order of its life
    enqueued_a_second: float

    @property
    def life(self) -> Cost:
        """A task's whole life."""
        return sum(self.phases.values(), Cost())

    def write(self, path: str) -> None:
        """As JSON."""
        Path(path).write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Out of the JSON."""
        return cls({phase: Cost(**cost) for phase, cost in values["phases"].items()}, values["enqueued_a_second"])


def per_task(setup: Setup, costs: Mapping[str, Cost], seconds: float) -> Outcome:
    """What the measured phases cost a task, where the enqueue took some seconds."""
    tasks = {"enqueue": setup.enqueued, "notice": setup.enqueued, "ticks": TASKS_A_MINUTE}
    phases = {phase: cost / tasks.get(phase, setup.rounds * LIMIT) for phase, cost in costs.items()}
    return Outcome(phases, setup.enqueued / seconds)


def job(setup: Setup, tasks: int) -> dict[str, Any]:
    """What a job is cut from, but for the name of its Worker: the same keys for both."""
    empty = {"parts": parts(1), "padding": ""}
    padding = "x" * (setup.payload_bytes - len(json.dumps(empty, separators=(",", ":"))))
    return {"isolate_parts": True, "parts": parts(tasks), "padding": padding}


def parts(count: int) -> list[str]:
    """Values by which a job is cut, all of six characters."""
    return [f"{number:06d}" for number in range(count)]
