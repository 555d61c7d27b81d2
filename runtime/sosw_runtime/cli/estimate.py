"""How long a job would take, and what it would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from sosw_runtime.cli import costs, times


@dataclass(frozen=True)
class Outlook:
    """What is known of a Worker before the job comes."""

    durations_ms: Sequence[int]  # of recent completed attempts; empty: none are known
    allowed: int  # slots, by limit, health and pause
    ahead: int  # tasks that are queued or run; at least so many if `ahead_is_cut`
    ahead_is_cut: bool


@dataclass(frozen=True)
class Estimate:
    """Of a job whose tasks are all completed at their first attempt."""

    tasks: int
    payload_bytes: float  # of a task, on average
    start_at: int  # ms
    outlook: Outlook

    @property
    def seconds(self) -> float | None:
        """From the start to the end of the last task; None if it cannot be known."""
        if not (self.outlook.durations_ms and self.outlook.allowed):
            return None
        mean = fmean(self.outlook.durations_ms) / 1000
        return max(mean, (self.outlook.ahead + self.tasks) * mean / self.outlook.allowed)

    @property
    def end_at(self) -> int | None:
        """ms; None if it cannot be known."""
        return None if self.seconds is None else self.start_at + round(self.seconds * 1000)

    @property
    def dollars(self) -> dict[str, float]:
        """By part."""
        return costs.dollars(self.tasks, self.payload_bytes)

    def assumptions(self) -> list[str]:
        """What the figures rest on, a sentence each."""
        known = self.outlook.durations_ms
        more = "at least " if self.outlook.ahead_is_cut else ""
        return [
            f"A task takes {fmean(known) / 1000:.1f} s, the mean of {len(known)} recent ones."
            if known
            else "No recent task of the Worker is completed, so that the duration is unknown.",
            f"{self.outlook.allowed} slots, and {more}{self.outlook.ahead} tasks of the Worker before the job.",
            "No task is retried, and no other job comes.",
            f"Prices of us-east-1 as of {costs.AS_OF}. The Workers' own cost is not included.",
        ]

    def fields(self) -> dict[str, str | int]:
        """As people read it."""
        seconds = self.seconds
        parts = {f"  {part}": f"{amount:.6f}" for part, amount in self.dollars.items()}
        return {
            "tasks": self.tasks,
            "duration": "unknown" if seconds is None else times.duration_text(seconds),
            "ends": "unknown" if self.end_at is None else f"{times.as_text(self.end_at)} UTC",
            "dollars": f"{sum(self.dollars.values()):.6f}",
            **parts,
        }

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "tasks": self.tasks,
            "seconds": self.seconds,
            "end_at": self.end_at,
            "dollars": self.dollars,
            "assumptions": self.assumptions(),
        }
