"""What the demo's job should come to, what it came to, and where the two differ. Pure: tasks in, figures out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median, quantiles
from typing import Any

from sosw_runtime.domain.task import Move, Status, Task

Span = tuple[int, int]  # from, to; ms


@dataclass(frozen=True)
class Plan:
    """The days of the job and the trouble that is known beforehand."""

    first_day: date
    length: int  # days
    down_on_days_of_month: tuple[int, ...]
    kills_on: str
    damaged_day: str

    @property
    def days(self) -> list[str]:
        """Each `YYYY-MM-DD`, in order."""
        return [str(self.first_day + timedelta(days=number)) for number in range(self.length)]

    def outcome(self, day: str) -> Status:
        """How the task of this day ends."""
        return Status.DEAD if day == self.damaged_day else Status.COMPLETED

    def fewest_attempts(self, day: str) -> int:
        """More than these are no mistake: AWS may lose an event, and a busy machine may be late."""
        return 2 if day == self.kills_on or int(day[8:]) in self.down_on_days_of_month else 1


@dataclass(frozen=True)
class Evidence:
    """What is in the tables and in the queue of alarms once the job has ended."""

    closed: Sequence[Task]
    live: int  # tasks that are queued, running, reported or waiting
    occupied_slots: int
    alarms: Sequence[Mapping[str, Any]]  # messages, as SNS delivered them

    @property
    def dead(self) -> list[Task]:
        return [task for task in self.closed if task.status is Status.DEAD]


def deviations(plan: Plan, evidence: Evidence) -> list[str]:
    """Every way in which the job ended otherwise than planned; none if all is well."""
    by_day = Counter(day_of(task) for task in evidence.closed)
    found = [f"{day}: {by_day[day]} closed tasks instead of one" for day in plan.days if by_day[day] != 1]
    found += [f"{day}: not a day of the job" for day in by_day if day not in plan.days]
    for task in evidence.closed:
        found += _deviations_of_task(plan, task)
    if evidence.live:
        found.append(f"{evidence.live} tasks are queued, running or waiting after the end of the job")
    if evidence.occupied_slots:
        found.append(f"{evidence.occupied_slots} slots are occupied after the end of the job")
    alarmed = {alarm.get("task_id") for alarm in evidence.alarms}
    found += [f"{day_of(task)}: dead without an alarm" for task in evidence.dead if task.task_id not in alarmed]
    return found


def _deviations_of_task(plan: Plan, task: Task) -> Iterable[str]:
    day = day_of(task)
    if task.status is not plan.outcome(day):
        yield f"{day}: {task.status} instead of {plan.outcome(day)} ({task.failure or 'no error'})"
    elif task.status is Status.DEAD and (task.failure is None or day not in task.failure.message):
        yield f"{day}: dead for another reason than its row: {task.failure or 'no error'}"
    elif task.status is Status.COMPLETED and json.loads(task.result or "{}").get("from") != day:
        yield f"{day}: the result is another day's: {task.result}"
    if task.attempt < plan.fewest_attempts(day):
        yield f"{day}: {task.attempt} attempts, although the first should have failed"


def day_of(task: Task) -> str:
    """The day that a task of the job is for."""
    [day] = json.loads(task.payload)["date_list"]
    return str(day)


def failed_attempts(tasks: Iterable[Task]) -> Counter[str]:
    """Failed attempts by the type of their error."""
    counts: Counter[str] = Counter()
    for task in tasks:
        counts.update((entry.reason or "").split(":")[0] for entry in task.history if entry.move is Move.RETRY)
        if task.status is Status.DEAD:
            counts[task.failure.type if task.failure else "no report"] += 1
    return counts


def waits_in_queue(tasks: Iterable[Task]) -> list[int]:
    """How long each attempt stood in the queue before it was claimed, in ms."""
    waits = []
    for task in tasks:
        queued_at = None
        for entry in task.history:
            if entry.move in (Move.ENQUEUE, Move.REQUEUE, Move.UNCLAIM):
                queued_at = entry.at
            elif entry.move is Move.CLAIM and queued_at is not None:
                waits.append(entry.at - queued_at)
    return waits


def median_and_95_percent(values: Sequence[float]) -> tuple[float, float]:
    """The median, and what 95 % of the values do not exceed; two values at least."""
    return median(values), quantiles(values, n=20, method="inclusive")[-1]


def slots_filled(tasks: Sequence[Task], limit: int) -> float:
    """The share of all slots that was busy while first attempts stood in the queue, from 0 to 1.

    A slot is busy from its claim to the report. The time after the last first claim, when only retries are left to
    wait for, is left out: nothing could fill the slots then.
    """
    claims = [entry.at for task in tasks for entry in task.history if entry.move is Move.CLAIM and entry.attempt == 1]
    window = min(claims), max(claims)
    busy = sum(_overlap(span, window) for task in tasks for span in _busy_spans(task))
    return busy / (limit * (window[1] - window[0]))


def _busy_spans(task: Task) -> Iterable[Span]:
    claimed_at = None
    for entry in task.history:
        if entry.move is Move.CLAIM:
            claimed_at = entry.at
        elif entry.move in (Move.REPORT, Move.RETRY, Move.DIE, Move.UNCLAIM) and claimed_at is not None:
            yield claimed_at, entry.at
            claimed_at = None


def _overlap(span: Span, window: Span) -> int:
    return max(0, min(span[1], window[1]) - max(span[0], window[0]))
