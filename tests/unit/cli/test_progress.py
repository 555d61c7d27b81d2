"""Progress of a job: every task counted once, closed ones not asked for again, a rate that follows the present."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from sosw_runtime.cli.progress import RATE_WINDOW, JobProgress, TaskCounter


class Tasks:
    """Tasks whose states a test sets; notes which were asked for."""

    def __init__(self) -> None:
        self.states: dict[int, str] = {}
        self.asked: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> Mapping[int, str]:
        self.asked.append(list(numbers))
        return {number: self.states[number] for number in numbers if number in self.states}


@pytest.fixture
def counts() -> Counter[str]:
    """How many tasks of the job stand where, for a test to set."""
    return Counter()


@pytest.fixture
def job(counts: Counter[str]) -> JobProgress:
    return JobProgress("nightly", 100, lambda: counts)


def test_every_task_is_in_exactly_one_count(counts: Counter[str], job: JobProgress) -> None:
    counts.update(queued=40, running=20, failed=1, waiting=2, completed=25, dead=3, cancelled=4)

    seen = job.take_snapshot(now=0)

    assert (seen.to_come, seen.queued, seen.running, seen.waiting) == (5, 40, 20, 3)
    assert (seen.completed, seen.dead, seen.cancelled) == (25, 3, 4)
    assert not seen.is_closed


def test_a_job_is_done_when_every_task_is_closed(counts: Counter[str], job: JobProgress) -> None:
    counts.update(completed=90, dead=6, cancelled=4)

    assert job.take_snapshot(now=0).is_closed


def test_the_rate_is_what_closed_since_the_first_look(counts: Counter[str], job: JobProgress) -> None:
    counts.update(completed=40)
    first = job.take_snapshot(now=0)
    counts.update(completed=20)

    second = job.take_snapshot(now=10)

    assert (first.rate_per_second, first.seconds_left) == (None, None)
    assert (second.rate_per_second, second.seconds_left) == (2.0, 20.0)


def test_the_rate_forgets_what_is_older_than_its_window(counts: Counter[str], job: JobProgress) -> None:
    job.take_snapshot(now=0)
    counts.update(completed=60)
    job.take_snapshot(now=1)
    job.take_snapshot(now=RATE_WINDOW)

    stalled = job.take_snapshot(now=1 + RATE_WINDOW)

    assert (stalled.rate_per_second, stalled.seconds_left) == (0.0, None)


def test_json_has_the_counts_and_short_figures(counts: Counter[str], job: JobProgress) -> None:
    job.take_snapshot(now=0)
    counts.update(completed=1, queued=99)

    assert job.take_snapshot(now=3).to_json() == {
        "job_id": "nightly",
        "total": 100,
        "to_come": 0,
        "queued": 99,
        "running": 0,
        "waiting": 0,
        "completed": 1,
        "dead": 0,
        "cancelled": 0,
        "rate_per_second": 0.33,
        "seconds_left": 297.0,
    }


def test_a_closed_task_is_not_asked_for_again_and_stays_counted() -> None:
    tasks = Tasks()
    counter = TaskCounter(4, tasks)
    tasks.states = {0: "completed", 1: "running", 2: "dead"}
    assert counter.count() == Counter(completed=1, running=1, dead=1)
    tasks.states = {1: "completed", 3: "queued"}

    assert counter.count() == Counter(completed=2, dead=1, queued=1)

    assert tasks.asked == [[0, 1, 2, 3], [1, 3]]
