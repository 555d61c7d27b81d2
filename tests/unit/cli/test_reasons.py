"""Why a job stands still, of what was read of it; and when it will end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sosw_runtime.cli.progress import Snapshot
from sosw_runtime.cli.reasons import Situation, end_at, reasons
from sosw_runtime.domain.health import Level
from sosw_runtime.errors import Misconfigured
from sosw_runtime.storage.jobs import Cursor
from sosw_runtime.storage.registry import Control, WorkerRecord
from tests.support.builders import HOUR, MINUTE, NOON, SECOND, job_record, registration

WORKER = WorkerRecord("resize", registration(), {}, Control())
NOW = NOON + MINUTE


def snapshot(**counts: Any) -> Snapshot:
    """A job of ten tasks that closes two a second; the rest of them are completed."""
    open_counts = {"to_come": 0, "queued": 0, "running": 0, "waiting": 0, **counts}
    completed = 10 - sum(open_counts.values())
    return Snapshot(
        "album", 10, **open_counts, completed=completed, dead=0, cancelled=0, rate_per_second=2, seconds_left=3
    )


MOVING = Situation(NOW, snapshot(queued=4, running=3), job_record(total=10), None, WORKER, occupied=3)


def paused(**control: Any) -> WorkerRecord:
    return replace(WORKER, control=Control(paused=True, **control))


def enqueuing(**changes: Any) -> dict[str, Any]:
    cursor = replace(Cursor("album", 5, "scheduler-1", NOW + MINUTE), **changes)
    return {"snapshot": snapshot(to_come=5, queued=2, running=3), "cursor": cursor}


WAITING = {"snapshot": snapshot(waiting=2), "occupied": 0}

STORIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "its tasks run": ({}, []),
    "all its slots are its own": ({"snapshot": snapshot(queued=7, running=3)}, []),
    "the last tasks run of a paused Worker": ({"snapshot": snapshot(running=3), "worker": paused()}, []),
    "paused": (
        {"worker": paused(since=NOON, by="user/anna", reason="the database moves")},
        ["Worker resize is paused since 2026-03-10 12:00:00 UTC by user/anna: the database moves"],
    ),
    "paused by who knows whom": ({"worker": paused()}, ["Worker resize is paused"]),
    "not registered": (
        {"worker": replace(WORKER, registration=None, problem=Misconfigured("gone"), is_registered=False)},
        ["Worker resize is not registered any more: apply its worker module"],
    ),
    "unreadable": (
        {"worker": replace(WORKER, registration=None, problem=Misconfigured("the registration cannot be read"))},
        ["the registration cannot be read"],
    ),
    "bad health": (
        {"worker": replace(WORKER, health={"errors": Level.POOR, "load": Level.HIGH})},
        ["health allows 0 of 3 slots: errors is poor"],
    ),
    "other jobs": (
        {"snapshot": snapshot(queued=4, running=1), "by_others": 2},
        ["all 3 slots are taken, 2 of them by tasks of other jobs"],
    ),
    "a retry": (
        {**WAITING, "due_at": NOW + 40 * SECOND},
        ["2 tasks wait for a retry, the next one due at 2026-03-10 12:01:40 UTC, in 40 s"],
    ),
    "a retry that is due": (
        {**WAITING, "due_at": NOW - SECOND},
        ["2 tasks wait for a retry, the next one due now: the Scavenger queues it within a minute"],
    ),
    "a retry that nobody queues": (
        {**WAITING, "due_at": NOW - 5 * MINUTE},
        [
            "2 tasks wait for a retry, the next one due for 5 min 0 s: the Scavenger should have queued it; "
            "see `sosw status`"
        ],
    ),
    "the start": (
        {**WAITING, "due_at": NOON + HOUR, "job": job_record(total=10, first_start=NOON + HOUR)},
        ["2 tasks wait for the job's start, due at 2026-03-10 13:00:00 UTC, in 59 min 0 s"],
    ),
    "the Scheduler is at work": (enqueuing(), ["the Scheduler still cuts the job: 5 of 10 tasks are written"]),
    "the Scheduler hands over": (
        enqueuing(holder="", lease_until=0),
        ["the Scheduler handed the job over to its next invocation: 5 of 10 tasks are written"],
    ),
    "the Scheduler stopped": (
        enqueuing(lease_until=NOON),
        [
            "the Scheduler stopped midway: 5 of 10 tasks are written, its lease ended at 2026-03-10 12:00:00 UTC; "
            "the Scavenger resumes the job within a minute"
        ],
    ),
    "it is cancelled": (enqueuing(cancelled=True, lease_until=NOON), []),
    "nobody starts them": (
        {"at": NOON + HOUR, "snapshot": snapshot(queued=4), "occupied": 0},
        ["4 tasks are queued and 3 slots are free: the Orchestrator should have started some; see `sosw status`"],
    ),
    "it was just submitted": ({"snapshot": snapshot(queued=4), "occupied": 0}, []),
    "it is closed": ({"snapshot": snapshot(), "worker": paused()}, []),
}


@pytest.mark.parametrize("story", STORIES)
def test_a_reason_says_what_keeps_tasks_from_moving(story: str) -> None:
    changes, texts = STORIES[story]

    assert [reason.text for reason in reasons(replace(MOVING, **changes))] == texts


def test_every_reason_that_holds_is_told() -> None:
    seen = replace(MOVING, worker=replace(paused(), health={"load": Level.BAD}), **enqueuing(lease_until=NOON))

    assert [reason.kind for reason in reasons(seen)] == ["paused", "bad health", "scheduler stopped"]


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, NOW + 3 * SECOND),
        ({"worker": replace(WORKER, health={"load": Level.LOW})}, NOW + 3 * SECOND),
        ({"worker": replace(WORKER, health={"load": Level.BAD})}, None),
        ({"worker": paused()}, None),
        ({"snapshot": replace(MOVING.snapshot, seconds_left=None)}, None),
    ],
)
def test_the_end_is_known_only_while_tasks_start(changes: dict[str, Any], end: int | None) -> None:
    seen = replace(MOVING, **changes)

    assert end_at(seen, reasons(seen)) == end
