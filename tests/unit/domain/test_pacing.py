"""How fast new tasks are written: as fast as their keys take them, slower while DynamoDB is too busy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sosw_runtime.domain.pacing import Pace, units, units_a_second
from tests.support.builders import NOON, SECOND, delayed, queued

MOST = 500


def write(pace: Pace, count: int, now: int, *, throttled: bool = False) -> tuple[Pace, int]:
    """Wait as long as the pace asks for, and write; the pace and the time then."""
    now += pace.pause(count, now)
    return pace.after(count, now, throttled=throttled), now


@given(st.lists(st.integers(1, MOST)))
def test_a_job_of_less_than_a_seconds_worth_never_waits(windows: list[int]) -> None:
    pace, written = Pace.begin(MOST, NOON), 0
    for window in windows:
        written += window
        if written > MOST:
            break
        assert pace.pause(window, NOON) == 0
        pace = pace.after(window, NOON, throttled=False)


def test_a_long_job_is_written_as_fast_as_its_keys_take_it() -> None:
    pace, now = Pace.begin(MOST, NOON), NOON
    for _ in range(100):
        pace, now = write(pace, 500, now)
    assert now == NOON + 99 * SECOND, "the first second's worth came at once"


@given(st.lists(st.tuples(st.integers(1, MOST), st.integers(0, 3 * SECOND), st.booleans()), min_size=1))
def test_in_no_span_of_time_more_is_written_than_the_keys_take(windows: list[tuple[int, int, bool]]) -> None:
    pace, now, written = Pace.begin(MOST, NOON), NOON, [(NOON, 0)]
    for count, pause, throttled in windows:
        pace, now = write(pace, count, now + pause, throttled=throttled)
        written.append((now, count))
    for start, (begin, _) in enumerate(written):
        total = 0
        for end, count in written[start:]:
            total += count
            assert total <= MOST * (1 + (end - begin) / SECOND) + 1


def test_throttled_the_pace_is_halved_once_a_second_down_to_a_tenth() -> None:
    pace = Pace.begin(MOST, NOON)
    rates = []
    for at in range(0, 6 * SECOND, SECOND // 4):
        pace = pace.after(1, NOON + at, throttled=True)
        rates.append(pace.rate)
    assert rates[::4] == [250, 125, 62.5, 50, 50, 50]
    assert rates[:4] == [250] * 4


def test_ten_seconds_after_throttling_the_pace_is_the_fastest_again() -> None:
    pace = Pace(MOST, MOST / 10, NOON, NOON, NOON)
    rates = []
    for second in range(1, 13):
        pace = pace.after(1, NOON + second * SECOND, throttled=False)
        rates.append(round(pace.rate))
    assert rates == [95, 140, 185, 230, 275, 320, 365, 410, 455, 500, 500, 500]


def test_at_the_slowest_pace_a_window_waits_for_the_one_before_it() -> None:
    pace = Pace(MOST, MOST / 10, NOON, NOON, NOON)
    assert pace.pause(500, NOON) == 0
    assert pace.after(500, NOON, throttled=True).pause(500, NOON) == 10 * SECOND


def test_a_task_larger_than_a_second_of_its_key_is_written_all_the_same() -> None:
    assert Pace.begin(100, NOON).pause(350, NOON) == 0


@pytest.mark.parametrize(("size", "taken"), [(1, 1), (500, 1), (600, 2), (10 * 1024, 11), (350 * 1024, 351)])
def test_a_waiting_task_takes_its_size_of_its_key_and_a_queued_one_a_unit(size: int, taken: int) -> None:
    payload = "ü" * (size // 2) + "x" * (size % 2)
    assert units(delayed(payload=payload)) == taken
    assert units(queued(payload=payload)) == 1


def test_each_shard_is_a_key_of_its_own_but_all_that_waits_shares_one() -> None:
    assert (units_a_second(1, delayed=False), units_a_second(4, delayed=False)) == (500, 2000)
    assert units_a_second(1, delayed=True) == units_a_second(4, delayed=True) == 1000
