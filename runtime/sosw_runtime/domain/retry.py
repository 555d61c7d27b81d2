"""Decisions on failed attempts and on due tasks: retry, die or cancel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sosw_runtime.domain.registration import RetryPolicy
from sosw_runtime.domain.task import Task

_CANCELLED = "its job is cancelled"


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `due_at` (ms)."""

    due_at: int
    spare: bool  # True: this attempt does not count towards the maximum


@dataclass(frozen=True, slots=True)
class Die:
    """The task is dead."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """The task is cancelled with its job."""

    reason: str


def decision_on_failure(
    task: Task, policy: RetryPolicy | None, now: int, uniform: Callable[[float, float], float], *, cancelled: bool
) -> Retry | Die | Cancel:
    """Decide on a task whose current attempt failed or whose lease ended.

    An attempt that never ran is always spared. The delay grows with the number of spared attempts, so that tasks of a
    Worker that is stopped for a day are tried less and less often. A time that the Worker asked for replaces the delay.

    Args:
        task: as it is after the attempt.
        policy: of its Worker; None if it is not known now: the task then waits for it.
        now: ms.
        uniform: draws a number between two bounds; `random.uniform`, or a fixed one in tests.
        cancelled: whether its job is cancelled.
    """
    if cancelled:
        return Cancel(_CANCELLED)
    known = policy or RetryPolicy()
    if task.never_ran:
        return Retry(now + round(1000 * delay_seconds(known, task.spared + 1, uniform)), spare=True)
    if not task.retryable:
        return Die("the Worker said that another try is of no use")
    if policy is not None and (death := _death_if_exhausted(task, policy)):
        return death
    if task.retry_at is not None:
        return Retry(max(now, task.retry_at), spare=False)
    return Retry(now + round(1000 * delay_seconds(known, task.counted_attempts, uniform)), spare=False)


def decision_when_due(task: Task, policy: RetryPolicy, *, cancelled: bool) -> Die | Cancel | None:
    """Decide on a waiting task that is due; None: queue it.

    Its attempts may be used up: it was retried while its Worker's registration could not be read, or when more attempts
    were allowed.

    Args:
        task: as it waits.
        policy: of its Worker.
        cancelled: whether its job is cancelled.
    """
    return Cancel(_CANCELLED) if cancelled else _death_if_exhausted(task, policy)


def _death_if_exhausted(task: Task, policy: RetryPolicy) -> Die | None:
    """The death of a task that has no attempt left."""
    if task.counted_attempts < policy.max_attempts:
        return None
    return Die(f"attempt {task.counted_attempts} of {policy.max_attempts} failed")


def delay_seconds(policy: RetryPolicy, attempt: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds before the try after `attempt` (from 1): a draw between 0 and the doubled, capped base.

    This is full jitter, https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """
    doublings = min(attempt - 1, 63)
    return uniform(0, min(policy.max_delay_seconds, policy.base_delay_seconds * 2**doublings))
