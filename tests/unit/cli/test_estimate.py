"""How long a job would take and what it would cost, of what is known before it comes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks import idle

from sosw_runtime.cli.costs import DOLLARS_A_MILLION, dollars
from sosw_runtime.cli.estimate import Estimate, Outlook
from tests.support.builders import NOON, SECOND

OUTLOOK = Outlook(durations_ms=[1000, 3000], allowed=4, ahead=6, ahead_is_cut=False)
ESTIMATE = Estimate(tasks=10, payload_bytes=600, start_at=NOON, outlook=OUTLOOK)


def test_the_constants_are_what_the_benchmarks_measured() -> None:
    results = Path(__file__).parents[3] / "benchmarks" / "results.json"
    found = idle.Found.read(json.loads(results.read_text())["idle"])

    for payload, parts in DOLLARS_A_MILLION.items():
        assert parts == pytest.approx(idle.million_tasks(found, payload), abs=0.001)


def test_dollars_grow_with_tasks_and_payloads() -> None:
    small, large = (sum(each.values()) for each in DOLLARS_A_MILLION.values())

    assert sum(dollars(1_000_000, 600).values()) == pytest.approx(small)
    assert sum(dollars(2_000_000, 3_500).values()) == pytest.approx(2 * large)
    assert dollars(1000, 10) == dollars(1000, 600)
    assert small < sum(dollars(1_000_000, 2_000).values()) < large


def test_the_duration_is_that_of_all_tasks_before_and_of_the_job() -> None:
    assert ESTIMATE.seconds == (6 + 10) * 2 / 4
    assert ESTIMATE.end_at == NOON + 8 * SECOND
    assert replace(ESTIMATE, tasks=1, outlook=replace(OUTLOOK, ahead=0)).seconds == 2


@pytest.mark.parametrize("unknown", [replace(OUTLOOK, durations_ms=[]), replace(OUTLOOK, allowed=0)])
def test_the_end_is_unknown_without_durations_or_slots(unknown: Outlook) -> None:
    fields = replace(ESTIMATE, outlook=unknown).fields()

    assert (fields["duration"], fields["ends"]) == ("unknown", "unknown")


def test_the_assumptions_are_named() -> None:
    assert ESTIMATE.assumptions()[:2] == [
        "A task takes 2.0 s, the mean of 2 recent ones.",
        "4 slots, and 6 tasks of the Worker before the job.",
    ]
    cut = replace(ESTIMATE, outlook=Outlook([], 4, 1000, ahead_is_cut=True)).assumptions()
    assert cut[0].startswith("No recent task of the Worker is completed")
    assert "at least 1000 tasks" in cut[1]
