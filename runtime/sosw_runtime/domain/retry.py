"""What becomes of a failed attempt and of a task whose time has come: another try, an end, or a longer wait."""

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
    spare: bool  # True: this attempt does not count against the maximum


@dataclass(frozen=True, slots=True)
class Die:
    """Do not try again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody wants it any more."""

    reason: str


def decide(
    task: Task, policy: RetryPolicy | None, now: int, uniform: Callable[[float, float], float], *, cancelled: bool
) -> Retry | Die | Cancel:
    """What becomes of a task whose current attempt failed or whose lease ended.

    An attempt that never ran is spared, as often as it takes: the delay grows with the attempts that were spared
    already, so that the tasks of a Worker that was stopped for a day are tried ever more seldom.

    Args:
        task: as it stands after the attempt.
        policy: of its Worker; None: not known for now, so that the task waits at least until it is.
        now: ms.
        uniform: draws a number between two bounds; `random.uniform`, or a fixed one in tests.
        cancelled: whether its job is.
    """
    if cancelled:
        return Cancel(_CANCELLED)
    known = policy or RetryPolicy()
    if task.never_ran:
        return Retry(now + round(1000 * delay_seconds(known, task.spared + 1, uniform)), spare=True)
    if not task.retryable:
        return Die("the Worker said that another try is of no use")
    if policy is not None and (exhausted := _exhausted(task, policy)):
        return exhausted
    return Retry(now + round(1000 * delay_seconds(known, task.counted_attempts, uniform)), spare=False)


def decide_due(task: Task, policy: RetryPolicy, *, cancelled: bool) -> Die | Cancel | None:
    """How a waiting task ends whose time has come; None: it does not, and is to be queued.

    It may have come to wait while its Worker's registration could not be read, or when more attempts were allowed.

    Args:
        task: as it waits.
        policy: of its Worker.
        cancelled: whether its job is.
    """
    return Cancel(_CANCELLED) if cancelled else _exhausted(task, policy)


def _exhausted(task: Task, policy: RetryPolicy) -> Die | None:
    """The end of a task that has no attempt left."""
    if task.counted_attempts < policy.max_attempts:
        return None
    return Die(f"attempt {task.counted_attempts} of {policy.max_attempts} failed")


def delay_seconds(policy: RetryPolicy, attempt: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds before the try after `attempt` (from 1): a draw between 0 and the doubled, capped base.

    Full jitter, as of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """
    doublings = min(attempt - 1, 63)
    return uniform(0, min(policy.max_delay_seconds, policy.base_delay_seconds * 2**doublings))
