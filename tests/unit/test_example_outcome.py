"""The demo's verdict: it passes what ended as planned, and names everything else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from examples.complete.outcome import (
    Evidence,
    Plan,
    deviations,
    failed_attempts,
    median_and_95_percent,
    slots_filled,
    waits_in_queue,
)

from sosw_runtime.domain.task import Entry, Error, Move, Status, Task

PLAN = Plan(date(2012, 1, 1), 4, down_on_days_of_month=(2,), kills_on="2012-01-03", damaged_day="2012-01-04")


def task(day: str, status: Status = Status.COMPLETED, attempt: int = 1, **fields: Any) -> Task:
    dead = status is Status.DEAD
    values: dict[str, Any] = {
        "task_id": f"task-{day}",
        "worker_id": "collect",
        "job_id": "job",
        "number": 0,
        "status": status,
        "payload": json.dumps({"date_list": [day]}),
        "created_at": 0,
        "attempt": attempt,
        "result": None if dead else json.dumps({"from": day}),
        "error": Error("NotRetryable", f"{day}: the row is damaged").to_json() if dead else None,
    }
    return Task(**(values | fields))


AS_PLANNED = (
    task("2012-01-01"),
    task("2012-01-02", attempt=2),
    task("2012-01-03", attempt=2),
    task("2012-01-04", Status.DEAD),
)


def evidence(
    closed: Sequence[Task] = AS_PLANNED, live: int = 0, occupied_slots: int = 0, alarmed: str = "task-2012-01-04"
) -> Evidence:
    return Evidence(closed, live, occupied_slots, [{"task_id": alarmed}])


def test_what_ended_as_planned_has_no_deviation() -> None:
    assert deviations(PLAN, evidence()) == []


def test_another_attempt_than_planned_is_no_deviation() -> None:
    assert deviations(PLAN, evidence([replace(AS_PLANNED[0], attempt=2), *AS_PLANNED[1:]])) == []


@pytest.mark.parametrize(
    ("found", "deviation"),
    [
        (evidence(AS_PLANNED[1:]), "2012-01-01: 0 closed tasks instead of one"),
        (evidence([*AS_PLANNED, AS_PLANNED[0]]), "2012-01-01: 2 closed tasks instead of one"),
        (evidence([*AS_PLANNED, task("2013-01-01")]), "2013-01-01: not a day of the job"),
        (
            evidence([task("2012-01-01", Status.CANCELLED), *AS_PLANNED[1:]]),
            "2012-01-01: cancelled instead of completed",
        ),
        (evidence([*AS_PLANNED[:3], task("2012-01-04")]), "2012-01-04: completed instead of dead"),
        (
            evidence([*AS_PLANNED[:3], task("2012-01-04", Status.DEAD, error=Error("OSError", "disk").to_json())]),
            "2012-01-04: dead for another reason",
        ),
        (
            evidence([task("2012-01-01", result=json.dumps({"from": "2012-01-02"})), *AS_PLANNED[1:]]),
            "2012-01-01: the result is another day's",
        ),
        (
            evidence([AS_PLANNED[0], task("2012-01-02"), *AS_PLANNED[2:]]),
            "2012-01-02: 1 attempts, although the first should have failed",
        ),
        (evidence(live=1), "1 tasks are queued, running or waiting"),
        (evidence(occupied_slots=1), "1 slots are occupied"),
        (evidence(alarmed="another"), "2012-01-04: dead without an alarm"),
    ],
)
def test_a_deviation_is_named(found: Evidence, deviation: str) -> None:
    named = deviations(PLAN, found)
    assert any(each.startswith(deviation) for each in named), named


def history(*moves: tuple[int, Move, int]) -> tuple[Entry, ...]:
    return tuple(Entry(at, move, attempt) for at, move, attempt in moves)


AT_ONCE = task(
    "2012-01-01",
    history=history((0, Move.ENQUEUE, 0), (10, Move.CLAIM, 1), (110, Move.REPORT, 1), (120, Move.ARCHIVE, 1)),
)
RETRIED = task(
    "2012-01-02",
    attempt=2,
    history=(
        *history((0, Move.ENQUEUE, 0), (60, Move.CLAIM, 1), (100, Move.REPORT, 1)),
        Entry(105, Move.RETRY, 1, "ConnectionError: down"),
        *history((500, Move.REQUEUE, 1), (530, Move.CLAIM, 2), (600, Move.REPORT, 2), (610, Move.ARCHIVE, 2)),
    ),
)
LAST = task("2012-01-03", history=history((0, Move.ENQUEUE, 0), (110, Move.CLAIM, 1), (160, Move.REPORT, 1)))


def test_every_attempt_waits_in_the_queue_by_itself() -> None:
    assert waits_in_queue([AT_ONCE, RETRIED]) == [10, 60, 30]


def test_failed_attempts_are_counted_by_their_error() -> None:
    assert failed_attempts([AT_ONCE, RETRIED, AS_PLANNED[3]]) == {"ConnectionError": 1, "NotRetryable": 1}


def test_slots_are_filled_by_what_runs_while_first_attempts_are_queued() -> None:
    # From 10 to 110: one slot busy throughout, the other for 40 of 100.
    assert slots_filled([AT_ONCE, RETRIED, LAST], 2) == pytest.approx(0.7)


def test_median_and_95_percent() -> None:
    assert median_and_95_percent(range(101)) == (50, 95)
