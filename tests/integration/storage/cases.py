"""Every move with its legal states, and what it makes of each: the contract that the tests of the moves go through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sosw_runtime.domain.task import Entry, Error, Move, Note, Rank, Status, Task
from sosw_runtime.storage import moves
from sosw_runtime.storage.items import Item, due_key, encoded, to_item
from sosw_runtime.storage.moves import Report
from sosw_runtime.storage.tables import Tables
from tests.support.builders import (
    HOUR,
    LEASE,
    MINUTE,
    NO_DEADLINE,
    NOON,
    SECOND,
    completed,
    failed,
    queued,
    running,
    slot,
    waiting,
)
from tests.support.installation import Installation

NOW = NOON + 5 * SECOND

#: When the task of these cases may wait for.
DUE = (NOON + MINUTE, NOON + HOUR)
DEAD = replace(
    failed().moved(Move.DIE, NOON + SECOND, "attempt 3 of 3 failed"),
    status=Status.DEAD,
    attempt=3,
    claim=None,
    lease_until=None,
    finished_at=None,
    closed_at=NOON + SECOND,
    duration_ms=SECOND,
    in_outbox=True,
)
CANCELLED = replace(DEAD, status=Status.CANCELLED)
CLOSED_COMPLETED = replace(DEAD, status=Status.COMPLETED, in_outbox=False)

#: One task in each of the states that it can be in.
STATES: dict[str, Task] = {
    "queued": queued(),
    "running": running(),
    "completed": completed(),
    "failed": failed(),
    "waiting": waiting(),
    "dead": DEAD,
    "cancelled": CANCELLED,
    "archived": CLOSED_COMPLETED,
}


@dataclass(frozen=True)
class Case:
    """A move of the task, as somebody does it who saw the task in one of the legal states."""

    act: Callable[[Tables, Task], Any]
    legal: dict[str, Task]  # what it makes of the task, by the state that it was in
    refused: Any = False  # its answer when it finds another state


def _entry(task: Task, move: Move, reason: str | None = None, attempt: int | None = None, at: int = NOW) -> Task:
    entry = Entry(at, move, task.attempt if attempt is None else attempt, reason)
    return replace(task, history=(*task.history, entry))


def _in_queue_again(task: Task, move: Move, **changes: Any) -> Task:
    task = replace(_entry(task, move).unassigned(), **changes)
    return task.in_queue(Rank(task.priority, fresh=False, time=NOW, sequence=task.attempt), 1)


def closed(task: Task, status: Status, move: Move, reason: str | None, at: int = NOW) -> Task:
    return replace(
        _entry(task.out_of_queue(), move, reason, at=at),
        status=status,
        closed_at=at,
        duration_ms=None if task.started_at is None else (task.finished_at or at) - task.started_at,
        in_outbox=status is not Status.COMPLETED,
        claim=None,
        lease_until=None,
        finished_at=None,
        due_at=None,
    )


def _waiting(task: Task, reason: str) -> Task:
    return replace(_entry(task, Move.RETRY, reason).unassigned(), status=Status.WAITING, due_at=NOON + HOUR)


CASES: dict[str, Case] = {
    "claim": Case(
        lambda tables, _: moves.claim(
            tables, slot(queued(), index=2, claim="mine", claimed_at=NOW), NOW + LEASE, NO_DEADLINE
        ),
        {
            "queued": replace(
                _entry(queued().out_of_queue(), Move.CLAIM, attempt=1),
                status=Status.RUNNING,
                attempt=1,
                slot=2,
                claim="mine",
                started_at=NOW,
                lease_until=NOW + LEASE,
            )
        },
        refused=None,
    ),
    "unclaim": Case(
        lambda tables, _: moves.unclaim(tables, running(), queued().queue_rank or "", 1, NOW, "AccessDenied: no"),
        {
            "running": replace(_entry(running(), Move.UNCLAIM, "AccessDenied: no", attempt=0), attempt=0)
            .unassigned()
            .in_queue(Rank(0, fresh=False, time=NOW, sequence=0), 1)
        },
    ),
    "void": Case(
        lambda tables, _: moves.void(tables, queued().task_id, queued().queue_rank or "", NOW),
        {"queued": _entry(queued(), Move.VOID).in_queue(Rank(0, fresh=False, time=NOW, sequence=0), 1)},
    ),
    "note": Case(
        lambda tables, _: moves.note(tables, running(), Report(running().task_id, True, 1, "[7]", "{}")),
        {"running": replace(running(), note=Note("claim-1", True, "[7]", "{}"))},
    ),
    "report of a success": Case(
        lambda tables, _: moves.report(tables, Report(running().task_id, True, 1, "[7]", "{}"), NOW).accepted,
        {
            "running": replace(
                _entry(running(), Move.REPORT), status=Status.COMPLETED, finished_at=NOW, result="[7]", stats="{}"
            )
        },
    ),
    "report of a failure": Case(
        lambda tables, _: (
            moves.report(
                tables, Report(running().task_id, False, 1, error=Error("Busy", "later"), retryable=False), NOW
            ).accepted
        ),
        {
            "running": replace(
                _entry(running(), Move.REPORT, "failed"),
                status=Status.FAILED,
                finished_at=NOW,
                error=Error("Busy", "later").to_json(),
                retryable=False,
            )
        },
    ),
    "retry": Case(
        lambda tables, seen: moves.retry(tables, seen, NOON + HOUR, NOW, "Busy: later", spare=False),
        {"failed": _waiting(failed(), "Busy: later"), "running": _waiting(running(), "Busy: later")},
    ),
    "die": Case(
        lambda tables, seen: moves.die(tables, seen, NOW, "enough") is not None,
        {
            "failed": closed(failed(), Status.DEAD, Move.DIE, "enough"),
            "running": closed(running(), Status.DEAD, Move.DIE, "enough"),
            "waiting": closed(waiting(), Status.DEAD, Move.DIE, "enough"),
        },
    ),
    "requeue": Case(
        lambda tables, _: moves.requeue(tables, waiting(), 1, NOW),
        {"waiting": _in_queue_again(waiting(), Move.REQUEUE)},
    ),
    "announce": Case(
        lambda tables, seen: moves.announce(tables, seen, NOW, None),
        {
            "dead": replace(_entry(DEAD, Move.ANNOUNCE), in_outbox=False),
            "cancelled": replace(_entry(CANCELLED, Move.ANNOUNCE), in_outbox=False),
        },
    ),
    "cancel": Case(
        lambda tables, seen: moves.cancel(tables, seen, NOW, "not needed"),
        {
            "dead": replace(
                _entry(DEAD, Move.CANCEL, "not needed"), status=Status.CANCELLED, closed_at=NOW, in_outbox=True
            ),
            "failed": closed(failed(), Status.CANCELLED, Move.CANCEL, "not needed"),
            "running": closed(running(), Status.CANCELLED, Move.CANCEL, "not needed"),
            "queued": closed(queued(), Status.CANCELLED, Move.CANCEL, "not needed"),
            "waiting": closed(waiting(), Status.CANCELLED, Move.CANCEL, "not needed"),
        },
    ),
    "replay": Case(
        lambda tables, _: moves.replay(tables, DEAD, 1, NOW),
        {"dead": _in_queue_again(DEAD, Move.REPLAY, spared=3)},
    ),
}


def put(sosw: Installation, task: Task) -> None:
    """Let a task stand where its state belongs, and nowhere else."""
    item, tables = to_item(task), sosw.tables
    keys: list[tuple[str, Item]] = [
        (tables.tasks, {"task_id": item["task_id"]}),
        (tables.closed_tasks, {"task_id": item["task_id"]}),
        *((tables.retry_tasks, encoded({"worker_id": "resize", "due": due_key(due, task.task_id)})) for due in DUE),
    ]
    place = tables.closed_tasks if task.closed_at else tables.retry_tasks if task.due_at else tables.tasks
    requests: dict[str, list[Any]] = {place: [{"PutRequest": {"Item": item}}]}
    for table, key in keys:
        if table != place or not key.items() <= item.items():
            requests.setdefault(table, []).append({"DeleteRequest": {"Key": key}})
    for table, writes in requests.items():
        sosw.client.batch_write_item(RequestItems={table: writes})
