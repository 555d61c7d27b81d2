"""Why the open tasks of a job do not move."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from sosw_runtime.cli import times
from sosw_runtime.cli.progress import Snapshot
from sosw_runtime.domain.health import allowed_slots
from sosw_runtime.storage.jobs import Cursor, JobRecord
from sosw_runtime.storage.registry import Control, WorkerRecord

Kind = Literal[
    "not registered",
    "unreadable registration",
    "paused",
    "bad health",
    "limit reached by other jobs",
    "waiting for start",
    "waiting for retry",
    "still enqueuing",
    "scheduler stopped",
    "not dispatched",
]

#: The Essentials tick every minute. This long after its time (ms), a tick that did its work would show.
_TICK_DUE_MS: Final = 120_000


@dataclass(frozen=True)
class Reason:
    """Something that keeps tasks from moving."""

    kind: Kind
    text: str  # for people
    stops: bool = False  # no task of the job starts meanwhile, so that its recent pace says nothing of its end


@dataclass(frozen=True)
class Situation:
    """What was read of a job and its Worker at one time."""

    at: int  # ms
    snapshot: Snapshot
    job: JobRecord
    cursor: Cursor | None  # None: all tasks are enqueued
    worker: WorkerRecord
    occupied: int = 0  # slots of the Worker, by tasks of any job
    by_others: int = 0  # those of them that tasks of other jobs occupy
    due_at: int | None = None  # ms, of the job's waiting task that is due first; None: none waits


def reasons(seen: Situation) -> list[Reason]:
    """What keeps open tasks of a job from moving, the gravest first; none if they move, or all are closed."""
    snapshot = seen.snapshot
    if not (snapshot.queued or snapshot.waiting or snapshot.to_come):
        return []
    found = [*_of_worker(seen.worker), *_of_scheduler(seen), *_of_waiting(seen)]
    return [*found, *_of_slots(seen, is_explained=bool(found))]


def end_at(seen: Situation, why: Iterable[Reason]) -> int | None:
    """When the job will end (ms) if it keeps its recent pace; None if that cannot be known."""
    left = seen.snapshot.seconds_left
    return None if left is None or any(reason.stops for reason in why) else seen.at + round(left * 1000)


def _of_worker(worker: WorkerRecord) -> Iterator[Reason]:
    if not worker.is_registered:
        text = f"Worker {worker.worker_id} is not registered any more: apply its worker module"
        yield Reason("not registered", text, stops=True)
    elif worker.problem is not None:
        yield Reason("unreadable registration", str(worker.problem), stops=True)
    if worker.control.paused:
        yield Reason("paused", f"Worker {worker.worker_id} is {pause_text(worker.control)}", stops=True)
    limit = _limit(worker)
    if (allowed := allowed_slots(limit, worker.level)) < limit:
        text = f"health allows {allowed} of {limit} slots: {_lowering_metrics(worker, limit)}"
        yield Reason("bad health", text, stops=not allowed)


def pause_text(control: Control) -> str:
    """Since when a Worker is paused, by whom and why, as far as that is known."""
    since = f" since {times.as_text(control.since)} UTC" if control.since is not None else ""
    by = f" by {control.by}" if control.by else ""
    reason = f": {control.reason}" if control.reason else ""
    return f"paused{since}{by}{reason}"


def _limit(worker: WorkerRecord) -> int:
    return 0 if worker.registration is None else worker.registration.max_concurrency


def _lowering_metrics(worker: WorkerRecord, limit: int) -> str:
    """The metrics that lower the limit, with their levels."""
    lowering = {name: level for name, level in worker.health.items() if allowed_slots(limit, level) < limit}
    return ", ".join(f"{name} is {level.name.lower()}" for name, level in sorted(lowering.items()))


def _of_scheduler(seen: Situation) -> Iterator[Reason]:
    cursor = seen.cursor
    if cursor is None or cursor.cancelled:
        return
    written = f"{cursor.position} of {seen.job.total} tasks are written"
    if cursor.lease_until >= seen.at:
        yield Reason("still enqueuing", f"the Scheduler still cuts the job: {written}")
    elif cursor.holder:
        ended = times.as_text(cursor.lease_until)
        text = f"the Scheduler stopped midway: {written}, its lease ended at {ended} UTC; the Scavenger resumes the job"
        yield Reason("scheduler stopped", f"{text} within a minute")
    else:
        yield Reason("still enqueuing", f"the Scheduler handed the job over to its next invocation: {written}")


def _of_waiting(seen: Situation) -> Iterator[Reason]:
    if not seen.snapshot.waiting or seen.due_at is None:
        return
    waiting, wait = seen.snapshot.waiting, seen.due_at - seen.at
    duration = times.duration_text(abs(wait) / 1000)
    if wait > 0:
        when = f"due at {times.as_text(seen.due_at)} UTC, in {duration}"
    elif -wait <= _TICK_DUE_MS:
        when = "due now: the Scavenger queues it within a minute"
    else:
        when = f"due for {duration}: the Scavenger should have queued it; see `sosw status`"
    if seen.job.first_start > max(seen.job.created_at, seen.at):
        yield Reason("waiting for start", f"{waiting} tasks wait for the job's start, {when}", stops=True)
    else:
        yield Reason("waiting for retry", f"{waiting} tasks wait for a retry, the next one {when}")


def _of_slots(seen: Situation, *, is_explained: bool) -> Iterator[Reason]:
    worker, snapshot = seen.worker, seen.snapshot
    allowed = worker.current_limit
    if not snapshot.queued or not allowed:
        return
    if seen.by_others and seen.occupied >= allowed:
        text = f"all {allowed} slots are taken, {seen.by_others} of them by tasks of other jobs"
        yield Reason("limit reached by other jobs", text)
    began = max(seen.job.first_start, worker.control.since or 0)
    if not is_explained and not seen.occupied and seen.at - began > _TICK_DUE_MS:
        text = f"{snapshot.queued} tasks are queued and {allowed} slots are free"
        yield Reason("not dispatched", f"{text}: the Orchestrator should have started some; see `sosw status`")
