"""What becomes of a failed attempt: exponential delay with full jitter, or death."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sosw_runtime.domain.registration import RetryPolicy
from sosw_runtime.domain.task import Task


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `due_at` (ms)."""

    due_at: int
    spare: bool  # True: this attempt does not count against the maximum


@dataclass(frozen=True, slots=True)
class Die:
    """Do not try again."""

    reason: str


def decide(task: Task, policy: RetryPolicy, now: int, uniform: Callable[[float, float], float]) -> Retry | Die:
    """What becomes of a task whose current attempt failed or whose lease ended.

    An attempt that never ran is spared, as often as it takes: the delay grows with the attempts that were spared
    already, so that the tasks of a Worker that was stopped for a day are tried ever more seldom.

    Args:
        task: as it stands after the attempt.
        policy: of its Worker.
        now: ms.
        uniform: draws a number between two bounds; `random.uniform`, or a fixed one in tests.
    """
    if task.never_ran:
        return Retry(now + round(1000 * delay_seconds(policy, task.spared + 1, uniform)), spare=True)
    if not task.retryable:
        return Die("the Worker said that another try is of no use")
    if task.counted_attempts >= policy.max_attempts:
        return Die(f"attempt {task.counted_attempts} of {policy.max_attempts} failed")
    return Retry(now + round(1000 * delay_seconds(policy, task.counted_attempts, uniform)), spare=False)


def delay_seconds(policy: RetryPolicy, attempt: int, uniform: Callable[[float, float], float]) -> float:
    """Seconds before the try after `attempt` (from 1): a draw between 0 and the doubled, capped base.

    Full jitter, as of https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
    """
    doublings = min(attempt - 1, 63)
    return uniform(0, min(policy.max_delay_seconds, policy.base_delay_seconds * 2**doublings))
