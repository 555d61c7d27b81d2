"""The dollars that the benchmarks print follow from what was counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from benchmarks.idle import MINUTES, PRICES, Found, Idle, Work, health_metric_month, idle_month, million_tasks

#: A tenth of a second of a whole CPU, at a gigabyte of memory.
TICK = Work(invocations=1, cpu_seconds=0.1 * 1024 / 1769, log_bytes=1000, calls=0, write_units=2, read_units=10)
IDLE = Idle(workers=1, metrics=3, ticks={"orchestrator": TICK, "scavenger": TICK})
FOUND = Found(16, {"orchestrator": 1024, "scavenger": 1024}, [IDLE], {"600": {"scavenger": TICK}})


def test_a_month_without_tasks_is_alarms_metrics_and_ticks() -> None:
    assert idle_month(FOUND, IDLE) == pytest.approx(
        {
            "alarms": 1.6,
            "custom metrics": 0.9,
            "DynamoDB writes": 4 * MINUTES / 1e6 * 0.625,
            "DynamoDB reads": 20 * MINUTES / 1e6 * 0.125,
            "Lambda invocations": 2 * MINUTES / 1e6 * 0.2,
            "Lambda compute": 0.2 * MINUTES * 0.0000133334,
            "logs": 2000 * MINUTES / 1e9 * 0.5,
        }
    )


def test_a_million_tasks_are_a_million_times_one() -> None:
    assert sum(million_tasks(FOUND, 600).values()) == pytest.approx(
        2 * 0.625 + 10 * 0.125 + 0.2 + 0.1 * 13.3334 + 1000 / 1000 * 0.5
    )


def test_a_health_metric_is_asked_for_by_every_tick() -> None:
    assert sum(health_metric_month().values()) == pytest.approx(0.3 + MINUTES * PRICES["asked"].dollars / 1000)


def test_calls_are_waited_for_eight_at_once_in_a_tick() -> None:
    waiting = replace(TICK, cpu_seconds=0, calls=80)
    assert waiting.billed_seconds("scavenger", 512) == pytest.approx(0.05)
    assert waiting.billed_seconds("worker_assistant", 512) == pytest.approx(0.4)


def test_lambdas_own_lines_are_logged_with_each_invocation() -> None:
    own = Work.printed("", 0).log_bytes
    assert Work.printed("größer\n", 0).log_bytes == own + len("größer\n".encode()) + 26
    assert own > 3 * 26
