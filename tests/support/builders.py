"""Builders of what stories are about: tasks in each of their states, slots, registrations and jobs.

The Worker is `resize` and it is noon, unless a test says otherwise.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any, Final

from sosw_runtime.domain.registration import Registration
from sosw_runtime.domain.slot import Slot
from sosw_runtime.domain.task import Entry, Error, Move, Rank, Status, Task, task_id
from sosw_runtime.storage.jobs import JobRecord
from sosw_runtime.storage.tables import Deadline

#: 2026-03-10 12:00 UTC, a Tuesday, in ms.
NOON: Final = 1_773_144_000_000
SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

LEASE: Final = 2 * MINUTE


def registration(worker_id: str = "resize", **inputs: Any) -> Registration:
    """A Worker that may run three at once, for ten seconds each."""
    return Registration.model_validate(
        {"worker_id": worker_id, "function_name": worker_id, "timeout_seconds": 10, "max_concurrency": 3, **inputs}
    )


def queued(number: int = 0, *, worker_id: str = "resize", shards: int = 1, **changes: Any) -> Task:
    """The task of a number of the job `album`, as the Scheduler queues it."""
    task = Task(
        task_id=task_id("album", number),
        worker_id=worker_id,
        job_id="album",
        number=number,
        status=Status.QUEUED,
        payload=json.dumps({"photo": number}),
        created_at=NOON,
        history=(Entry(NOON, Move.ENQUEUE, 0),),
    )
    task = replace(task, **changes)
    return task.in_queue(Rank(task.priority, fresh=True, time=task.created_at, sequence=number), shards)


def slot(task: Task, index: int = 0, claim: str = "claim-1", claimed_at: int = NOON) -> Slot:
    """A slot as a claim takes it for a queued task."""
    assert task.queue_rank is not None
    return Slot(task.worker_id, index, task.task_id, task.queue_rank, claim, claimed_at)


def running(number: int = 0, *, attempt: int = 1, index: int = 0, claim: str = "claim-1", **changes: Any) -> Task:
    """A task in an attempt that started at noon."""
    task = replace(
        queued(number).out_of_queue(),
        status=Status.RUNNING,
        attempt=attempt,
        slot=index,
        claim=claim,
        started_at=NOON,
        lease_until=NOON + LEASE,
        history=(Entry(NOON, Move.ENQUEUE, 0), Entry(NOON, Move.CLAIM, attempt)),
    )
    return replace(task, **changes)


def held(task: Task) -> Slot:
    """The slot of a running or reported task, as the registry has it."""
    found = Slot.of(task)
    assert found is not None
    return replace(found, rank=str(Rank(task.priority, fresh=True, time=task.created_at, sequence=task.number)))


def completed(number: int = 0, *, finished_at: int = NOON + SECOND, **changes: Any) -> Task:
    """A task whose Worker reported success a second after noon."""
    return _reported(number, Status.COMPLETED, finished_at, **changes)


def failed(number: int = 0, *, finished_at: int = NOON + SECOND, **changes: Any) -> Task:
    """A task whose Worker reported an error a second after noon."""
    error = Error("Timeout", "the store did not answer").to_json()
    return _reported(number, Status.FAILED, finished_at, **{"error": error, **changes})


def waiting(number: int = 0, *, due_at: int = NOON + MINUTE, **changes: Any) -> Task:
    """A task whose first attempt failed and that waits a minute for its second."""
    task = replace(failed(number).unassigned(), status=Status.WAITING)
    return replace(task.moved(Move.RETRY, NOON + SECOND, "Timeout: the store did not answer"), due_at=due_at, **changes)


def delayed(number: int = 0, *, due_at: int = NOON + HOUR, **changes: Any) -> Task:
    """A new task whose job starts in an hour."""
    task = replace(queued(number).out_of_queue(), status=Status.WAITING, due_at=due_at)
    return replace(task, history=(Entry(NOON, Move.DELAY, 0),), **changes)


def job_record(job_id: str = "album", **changes: Any) -> JobRecord:
    """An accepted job of three tasks, the first of which may start at once."""
    record = JobRecord(job_id, "resize", 3, date(2026, 3, 10), NOON, NOON, source="event-1", fingerprint="f1")
    return replace(record, **changes)


def _reported(number: int, status: Status, finished_at: int, **changes: Any) -> Task:
    task = running(number)
    entry = Entry(
        finished_at,
        Move.REPORT,
        changes.get("attempt", task.attempt),
        None if status is Status.COMPLETED else status.value,
    )
    task = replace(task, status=status, finished_at=finished_at, history=(*task.history, entry))
    return replace(task, **changes)


#: A deadline that is over: for one try of a write.
ONE_TRY = Deadline(0, lambda: 0)

#: A deadline that never passes.
NO_DEADLINE = Deadline(DAY, lambda: 0)
