"""One process of many that dispatch, run, report and scavenge the same tasks."""

from __future__ import annotations

import heapq
import itertools
import os
import random
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from queue import Empty
from typing import Any, Final, Literal
from unittest import mock

from sosw_runtime.essentials import orchestrator, scavenger, worker_assistant
from tests.support.clock import Clock
from tests.support.lambdas import FakeContext, FakeLambda

#: How much time goes by with each thing that a process does, and each time that it finds nothing to do, in ms. As time
#: goes by with the work, leases end because of what a Worker does, and not because the machine is busy.
STEP_MS: Final = 10
IDLE_MS: Final = 100
TICK_MS: Final = 60_000

Fate = Literal["completes", "reports twice", "fails", "fails for good", "never reports", "reports too late"]

#: By how much a Worker's run is longer that reports too late, in ms: more than a lease.
_TOO_LATE: Final = 100_000
#: How long a Worker runs, by its id, in ms.
RUN_MS: Final[Mapping[str, int]] = {"one": 0, "seven": 1_000, "fifty": 10_000}

Essential = Literal["orchestrator", "scavenger"]
#: What Lambda invokes: an Essential, with its event.
Call = tuple[Essential, dict[str, Any]]
#: A report that was accepted: the task, and the state that it took.
Accepted = tuple[str, str]

_HANDLERS: Final = {"orchestrator": orchestrator.handler, "scavenger": scavenger.handler}


def fate(task_id: str, attempt: int) -> Fate:
    """What becomes of an attempt, the same in every run in which it is made."""
    number = zlib.crc32(f"{task_id}/{attempt}".encode()) % 100
    for fate_, below in (("fails", 6), ("reports twice", 12), ("never reports", 14), ("reports too late", 16)):
        if number < below:
            return fate_  # type: ignore[return-value]  # the loop's own words
    return "fails for good" if attempt == 1 and number < 18 else "completes"


def lend(
    environment: Mapping[str, str],
    clock: Clock,
    calls: Queue[Call],
    accepted: Queue[Accepted],
    done: Event,
) -> None:
    """Serve Lambda's calls, and run the Workers that they invoke, until it is done."""
    os.environ.update(environment)
    with mock.patch("time.time_ns", clock.time_ns), FakeLambda() as lambdas:
        hand = _Hand(clock, lambdas, calls, accepted)
        while not done.is_set():
            clock.advance(STEP_MS if hand.works() else IDLE_MS)


@dataclass
class _Hand:
    clock: Clock
    lambdas: FakeLambda
    calls: Queue[Call]
    accepted: Queue[Accepted]
    running: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)  # by the time at which they report
    begun: int = 0  # of Lambda's invocations
    serial: itertools.count[int] = field(default_factory=itertools.count)
    next_tick: int = 0

    def __post_init__(self) -> None:
        self.next_tick = self.clock.now + random.randrange(TICK_MS)

    def works(self) -> bool:
        """Do the next thing that is due, if any."""
        if self.running and self.running[0][0] <= self.clock.now:
            self._report(heapq.heappop(self.running)[2])
            return True
        if self.next_tick <= self.clock.now:
            self.next_tick = self.clock.now + TICK_MS
            orchestrator.handler({}, context())
            scavenger.handler({}, context())
        else:
            try:
                essential, event = self.calls.get(timeout=0.01)
            except Empty:
                return False
            _HANDLERS[essential](event, context())
        self._run()
        return True

    def _run(self) -> None:
        """Start the Workers that were invoked."""
        for invocation in self.lambdas.invocations[self.begun :]:
            event = invocation.event
            ends_at = self.clock.now + RUN_MS[event["worker_id"]]
            match fate(event["task_id"], event["attempt"]):
                case "never reports":
                    continue
                case "reports too late":
                    ends_at += _TOO_LATE
                case "reports twice":
                    heapq.heappush(self.running, (ends_at, next(self.serial), event))
            heapq.heappush(self.running, (ends_at, next(self.serial), event))
        self.begun = len(self.lambdas.invocations)

    def _report(self, event: Mapping[str, Any]) -> None:
        outcome = fate(event["task_id"], event["attempt"])
        failed = outcome in {"fails", "fails for good"}
        report = {
            "action": "mark_task_as_failed" if failed else "mark_task_as_completed",
            "task_id": event["task_id"],
            "attempt": event["attempt"],
            "token": event["sosw_token"],
            "retryable": outcome != "fails for good",
        }
        answer = worker_assistant.handler(report, context())
        if answer["accepted"]:
            self.accepted.put((event["task_id"], answer["state"]))


def context() -> FakeContext:
    """Of an invocation that has all the time in the world."""
    return FakeContext(remaining_millis=900_000)
