"""What becomes of a failed attempt, and of a task whose time has come."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sosw_runtime.domain.registration import RetryPolicy
from sosw_runtime.domain.retry import Cancel, Die, Retry, decision_on_failure, decision_when_due, delay_seconds
from tests.support.builders import NOON, SECOND, delayed, failed, running, waiting

POLICY = RetryPolicy(max_attempts=3, base_delay_seconds=30, max_delay_seconds=100)


def longest(_low: float, high: float) -> float:
    return high


def shortest(low: float, _high: float) -> float:
    return low


# --- the delay -------------------------------------------------------------------------------------------------------


def test_the_longest_delay_doubles_with_each_attempt_up_to_the_cap() -> None:
    assert [delay_seconds(POLICY, attempt, longest) for attempt in range(1, 6)] == [30, 60, 100, 100, 100]


def test_the_shortest_delay_is_none_so_that_retries_spread() -> None:
    assert {delay_seconds(POLICY, attempt, shortest) for attempt in range(1, 6)} == {0}


@given(
    base=st.floats(0, 1e6),
    beyond=st.floats(0, 1e6),
    attempt=st.integers(1, 10_000),
    seed=st.integers(),
)
def test_a_delay_is_within_zero_the_cap_and_the_doubled_base(
    base: float, beyond: float, attempt: int, seed: int
) -> None:
    policy = RetryPolicy(base_delay_seconds=base, max_delay_seconds=base + beyond)
    delay = delay_seconds(policy, attempt, random.Random(seed).uniform)
    assert 0 <= delay <= policy.max_delay_seconds
    assert delay <= base * 2.0 ** min(attempt - 1, 63)


def test_without_a_delay_a_task_is_due_at_once() -> None:
    policy = RetryPolicy(base_delay_seconds=0, max_delay_seconds=0)
    assert decision_on_failure(failed(), policy, NOON, random.uniform, cancelled=False) == Retry(NOON, spare=False)


# --- the decision ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "spared", "decision"),
    [
        (1, 0, Retry(NOON + 30 * SECOND, spare=False)),
        (2, 0, Retry(NOON + 60 * SECOND, spare=False)),
        (3, 0, Die("attempt 3 of 3 failed")),
        (4, 0, Die("attempt 4 of 3 failed")),
        (4, 3, Retry(NOON + 30 * SECOND, spare=False)),
        (6, 3, Die("attempt 3 of 3 failed")),
    ],
)
def test_a_task_is_tried_again_while_it_has_attempts_that_count(
    attempt: int, spared: int, decision: Retry | Die
) -> None:
    for task in (failed(attempt=attempt, spared=spared), running(attempt=attempt, spared=spared)):
        assert decision_on_failure(task, POLICY, NOON, longest, cancelled=False) == decision


def test_a_task_that_another_try_cannot_help_dies_whatever_attempts_it_has() -> None:
    assert decision_on_failure(failed(retryable=False), POLICY, NOON, longest, cancelled=False) == Die(
        "the Worker said that another try is of no use"
    )


@pytest.mark.parametrize(("asked", "due"), [(NOON + 7 * SECOND, NOON + 7 * SECOND), (NOON - SECOND, NOON)])
def test_a_time_that_the_worker_asked_for_replaces_the_delay(asked: int, due: int) -> None:
    for policy in (POLICY, None):
        task = failed(attempt=2, retry_at=asked)
        assert decision_on_failure(task, policy, NOON, longest, cancelled=False) == Retry(due, spare=False)


def test_a_time_that_the_worker_asked_for_adds_no_attempt() -> None:
    task = failed(attempt=3, retry_at=NOON + SECOND)
    assert decision_on_failure(task, POLICY, NOON, longest, cancelled=False) == Die("attempt 3 of 3 failed")


def test_an_attempt_that_never_ran_is_spared_even_if_it_was_the_last() -> None:
    task = failed(attempt=3, never_ran=True)
    assert decision_on_failure(task, POLICY, NOON, longest, cancelled=False) == Retry(NOON + 30 * SECOND, spare=True)


def test_spared_attempts_wait_longer_and_longer_up_to_the_cap() -> None:
    decisions = [
        decision_on_failure(failed(attempt=n + 1, spared=n, never_ran=True), POLICY, NOON, longest, cancelled=False)
        for n in range(4)
    ]
    assert decisions == [Retry(NOON + seconds * SECOND, spare=True) for seconds in (30, 60, 100, 100)]


@given(max_attempts=st.integers(1, 100), seed=st.integers())
def test_every_task_dies_after_exactly_its_allowance_of_failures(max_attempts: int, seed: int) -> None:
    policy, draw = RetryPolicy(max_attempts=max_attempts), random.Random(seed).uniform
    task, failures = failed(attempt=1), 1
    while isinstance(decision_on_failure(task, policy, NOON, draw, cancelled=False), Retry):
        task, failures = replace(task, attempt=task.attempt + 1), failures + 1
    assert failures == max_attempts


def test_a_cancelled_jobs_task_ends_whatever_its_attempt_was() -> None:
    for task in (failed(), running(attempt=3), failed(never_ran=True), failed(retryable=False)):
        for policy in (POLICY, None):
            assert decision_on_failure(task, policy, NOON, longest, cancelled=True) == Cancel("its job is cancelled")


def test_a_task_waits_while_nobody_knows_how_often_it_may_be_tried() -> None:
    for attempt in (1, 3, 100):
        decision = decision_on_failure(failed(attempt=attempt), None, NOON, longest, cancelled=False)
        assert isinstance(decision, Retry)
        assert not decision.spare
    assert isinstance(decision_on_failure(failed(retryable=False), None, NOON, longest, cancelled=False), Die)


def test_a_due_task_is_queued_if_it_has_attempts_left() -> None:
    for task in (delayed(), waiting(), waiting(attempt=2), waiting(attempt=5, spared=3)):
        assert decision_when_due(task, POLICY, cancelled=False) is None
        assert decision_when_due(task, POLICY, cancelled=True) == Cancel("its job is cancelled")
    assert decision_when_due(waiting(attempt=3), POLICY, cancelled=False) == Die("attempt 3 of 3 failed")
