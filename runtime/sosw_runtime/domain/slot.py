"""A slot: one permit of a pool, held by one task. A Worker's limit is a pool with the Worker's id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from sosw_runtime.domain.task import Task


@dataclass(frozen=True, slots=True)
class Slot:
    """One occupied slot and its holder. `claim` is unique, so that two holders are never confused."""

    pool: str
    index: int
    task_id: str
    rank: str  # the queue_rank under which the claim saw the task
    claim: str
    claimed_at: int  # ms

    @classmethod
    def of(cls, task: Task) -> Self | None:
        """The slot that a running or reported task holds, or held."""
        if task.slot is None or task.claim is None or task.started_at is None:
            return None
        return cls(task.worker_id, task.slot, task.task_id, "", task.claim, task.started_at)
