"""Progress of a job: every task counted once, closed ones not asked for again, a rate that follows the present."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from sosw_runtime.cli.progress import RATE_WINDOW, JobProgress


class Tasks:
    """Tasks whose states a test sets; notes which were asked for."""

    def __init__(self) -> None:
        self.states: dict[int, str] = {}
        self.asked: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> Mapping[int, str]:
        self.asked.append(list(numbers))
        return {number: self.states[number] for number in numbers if number in self.states}


@pytest.fixture
def tasks() -> Tasks:
    return Tasks()


@pytest.fixture
def progress(tasks: Tasks) -> JobProgress:
    return JobProgress("nightly", tasks)


def test_every_task_is_in_exactly_one_count(tasks: Tasks, progress: JobProgress) -> None:
    tasks.states = dict(
        enumerate(["queued", "running", "failed", "waiting", "completed", "completed", "dead", "cancelled"])
    )

    seen = progress.look(total=10, now=0)

    assert (seen.to_come, seen.queued, seen.running, seen.waiting) == (2, 1, 1, 2)
    assert (seen.completed, seen.dead, seen.cancelled) == (2, 1, 1)
    assert not seen.done


def test_a_closed_task_is_not_asked_for_again_and_stays_counted(tasks: Tasks, progress: JobProgress) -> None:
    tasks.states = {0: "completed", 1: "running", 2: "dead"}
    progress.look(total=3, now=0)
    tasks.states = {1: "completed"}

    seen = progress.look(total=3, now=1)

    assert tasks.asked == [[0, 1, 2], [1]]
    assert (seen.completed, seen.dead, seen.done) == (2, 1, True)


def test_a_total_that_grows_while_the_job_is_enqueued_is_followed(tasks: Tasks, progress: JobProgress) -> None:
    tasks.states = {0: "completed"}
    assert progress.look(total=1, now=0).done
    tasks.states = {1: "queued"}

    seen = progress.look(total=3, now=1)

    assert tasks.asked[-1] == [1, 2]
    assert (seen.completed, seen.queued, seen.to_come, seen.done) == (1, 1, 1, False)


def test_the_rate_is_what_closed_since_the_first_look(tasks: Tasks, progress: JobProgress) -> None:
    tasks.states = dict.fromkeys(range(40), "completed") | dict.fromkeys(range(40, 100), "queued")
    first = progress.look(total=100, now=0)
    tasks.states = dict.fromkeys(range(60), "completed") | dict.fromkeys(range(60, 100), "queued")

    second = progress.look(total=100, now=10)

    assert (first.rate_per_second, first.seconds_left) == (None, None)
    assert (second.rate_per_second, second.seconds_left) == (2.0, 20.0)


def test_the_rate_forgets_what_is_older_than_its_window(tasks: Tasks, progress: JobProgress) -> None:
    progress.look(total=100, now=0)
    tasks.states = dict.fromkeys(range(60), "completed")
    progress.look(total=100, now=1)
    progress.look(total=100, now=RATE_WINDOW)

    stalled = progress.look(total=100, now=1 + RATE_WINDOW)

    assert (stalled.rate_per_second, stalled.seconds_left) == (0.0, None)


def test_json_has_the_counts_and_short_figures(tasks: Tasks, progress: JobProgress) -> None:
    progress.look(total=3, now=0)
    tasks.states = {0: "completed"}

    assert progress.look(total=3, now=3).to_json() == {
        "job_id": "nightly",
        "total": 3,
        "to_come": 2,
        "queued": 0,
        "running": 0,
        "waiting": 0,
        "completed": 1,
        "dead": 0,
        "cancelled": 0,
        "rate_per_second": 0.33,
        "seconds_left": 6.0,
    }
