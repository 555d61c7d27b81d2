"""A task: the frozen record, its place in the queue and its history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID, uuid5

#: Entries of a history that are kept at its beginning and at its end. Those between are dropped.
HISTORY_HEAD: Final = 10
HISTORY_TAIL: Final = 40

#: Longest reason in a history entry, in bytes of UTF-8, and longest message of an error, in characters.
REASON_LENGTH: Final = 300

_NAMESPACE: Final = UUID("6f3c1c52-5a0b-5d0e-9d43-0f4f2b6f5c11")

HIGHEST_PRIORITY: Final = 9


def task_id(job_id: str, number: int) -> str:
    """The id of a job's task: uuid5 of (job_id, number from 0), so that it is always the same."""
    return str(uuid5(_NAMESPACE, f"{job_id}/{number}"))


class Status(StrEnum):
    """The status of a task. `waiting` is the retry table's, the last three are the closed table's.

    `unreadable` marks an item that was in the queue and is no task.
    """

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    WAITING = "waiting"
    UNREADABLE = "unreadable"
    DEAD = "dead"
    CANCELLED = "cancelled"


CLOSED: Final = frozenset({Status.COMPLETED, Status.DEAD, Status.CANCELLED})
REPORTED: Final = frozenset({Status.COMPLETED, Status.FAILED})


class Move(StrEnum):
    """The only writes to a task; `storage.moves` has one function for each."""

    ENQUEUE = "enqueue"
    DELAY = "delay"
    CLAIM = "claim"
    UNCLAIM = "unclaim"
    VOID = "void"
    NOTE = "note"  # never in the history, as version 0.1.0 could not read it there; `set aside` neither
    REPORT = "report"
    ARCHIVE = "archive"
    RETRY = "retry"
    DIE = "die"
    ANNOUNCE = "announce"
    REQUEUE = "requeue"
    CANCEL = "cancel"
    REPLAY = "replay"
    SET_ASIDE = "set aside"
    BURY = "bury"


@dataclass(frozen=True, slots=True)
class Rank:
    """A task's place in its Worker's queue: by priority, then returned tasks before fresh ones, then time, then number.

    No task has the same rank twice. A claim is conditional on the rank that it saw, so that an overtaken claim fails.
    """

    priority: int  # 0 to 9, 9 first
    fresh: bool  # False: the task left the queue before and returns to the head of its priority
    time: int  # ms; of the enqueue, or of the return to the queue
    sequence: int  # fresh: the number in the job; otherwise the attempts so far

    def __str__(self) -> str:
        return f"{HIGHEST_PRIORITY - self.priority}{int(self.fresh)}{self.time:013d}{self.sequence:07d}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` wrote."""
        return cls(HIGHEST_PRIORITY - int(text[0]), text[1] == "1", int(text[2:15]), int(text[15:]))

    @property
    def attempt(self) -> int:
        """Attempts before this place in the queue."""
        return 0 if self.fresh else self.sequence

    def returned(self, now: int) -> Rank:
        """The rank at the head of the priority, for a task whose claim is undone."""
        return Rank(self.priority, fresh=False, time=max(now, self.time + 1), sequence=self.attempt)


@dataclass(frozen=True, slots=True)
class Entry:
    """One move in a task's history."""

    at: int  # ms
    move: Move | str  # a plain string is a move of a later version
    attempt: int
    reason: str | None = None
    more: tuple[Any, ...] = ()  # values of a later version, kept as they are stored

    def to_list(self) -> list[int | str]:
        """The entry as it is stored, without `more`."""
        entry: list[int | str] = [self.at, str(self.move), self.attempt]
        if self.reason is None and not self.more:
            return entry
        # Cut by bytes, so that 50 entries and the largest payload fit into DynamoDB's 400 KB an item.
        reason = (self.reason or "").encode(errors="replace")[:REASON_LENGTH].decode(errors="ignore")
        return [*entry, reason]


@dataclass(frozen=True, slots=True)
class Error:
    """Why an attempt failed."""

    type: str
    message: str

    def __str__(self) -> str:
        return f"{self.type}: {self.message}"

    def to_json(self) -> str:
        """The error as it is stored: type and message cut to `REASON_LENGTH` characters."""
        return json.dumps({"type": self.type[:REASON_LENGTH], "message": self.message[:REASON_LENGTH]})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote. Any other text becomes the message."""
        try:
            value = json.loads(text)
            return cls(str(value["type"]), str(value["message"]))
        except (LookupError, TypeError, ValueError):
            return cls("Error", text[:REASON_LENGTH])


@dataclass(frozen=True, slots=True)
class Note:
    """A report without the token of its attempt. It counts if the lease ends without another report."""

    claim: str  # of the attempt
    completed: bool
    result: str | None = None  # JSON
    stats: str | None = None  # JSON
    error: str | None = None  # JSON: type and message
    retryable: bool = True
    never_ran: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One invocation of one Worker, in any table."""

    task_id: str
    worker_id: str
    job_id: str
    number: int  # in its job, from 0
    status: Status | str  # a plain string is a status of a later version; its task is not changed
    payload: str  # JSON object: the business keys
    created_at: int  # ms
    priority: int = 0  # 0 to 9, 9 first
    attempt: int = 0  # tries so far
    spared: int = 0  # attempts that do not count towards the maximum
    queue_key: str | None = None  # only while queued
    queue_rank: str | None = None  # only while queued
    slot: int | None = None  # index of the slot of the current or last attempt
    claim: str | None = None  # unique id of the current or last claim, also on the slot
    token: str | None = None  # the claim again, if a report of its attempt must carry it; the Worker's secret
    note: Note | None = None  # a report without the token
    started_at: int | None = None  # ms, of the current or last attempt
    lease_until: int | None = None  # ms, of the current or last attempt
    finished_at: int | None = None  # ms, time of the report; removed when the task is closed
    result: str | None = None  # JSON
    stats: str | None = None  # JSON
    error: str | None = None  # JSON: type and message
    retryable: bool = True  # False: the Worker said that a retry is of no use
    retry_at: int | None = None  # ms, of a failed attempt: when the Worker wants the next one; None: it did not say
    never_ran: bool = False  # True: AWS dropped the event before an invocation
    due_at: int | None = None  # ms, only while waiting
    closed_at: int | None = None  # ms, once closed
    duration_ms: int | None = None  # of the last attempt, once closed
    in_outbox: bool = False  # True: dead or cancelled, and not yet announced
    history: tuple[Entry, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)  # attributes of a later version, kept as they are stored

    @property
    def counted_attempts(self) -> int:
        """Attempts that count towards the Worker's maximum."""
        return self.attempt - self.spared

    @property
    def failure(self) -> Error | None:
        """The last reported error."""
        return None if self.error is None else Error.from_json(self.error)

    @property
    def required_token(self) -> str | None:
        """The token that a report of the current attempt must carry; None if it needs none.

        Version 0.1.0 claims without a token and leaves the token of an older claim on the task. That one is ignored.
        """
        return self.token if self.token == self.claim else None

    @property
    def noted(self) -> Note | None:
        """The note on the current attempt."""
        return self.note if self.note is not None and self.note.claim == self.claim else None

    def event(self, installation: str, *, with_token: bool) -> dict[str, Any]:
        """The event for the Worker; `labourer_id` and `attempts` are for code of sosw 0.7."""
        payload = json.loads(self.payload)
        # A job that version 0.1.0 accepted may have this key, and a Worker would send it as the attempt's token.
        payload.pop("sosw_token", None)
        token = {"sosw_token": self.claim} if with_token else {}
        return {
            **payload,
            "task_id": self.task_id,
            "worker_id": self.worker_id,
            "job_id": self.job_id,
            "attempt": self.attempt,
            "created_at": self.created_at,
            "labourer_id": self.worker_id,
            "attempts": self.attempt,
            "sosw_installation": installation,
            **token,
        }

    def moved(self, move: Move, at: int, reason: str | None = None, **changes: Any) -> Task:
        """This task after a move: with the changes, and the move appended to its bounded history."""
        changed = replace(self, **changes)
        history = (*self.history, Entry(at, move, changed.attempt, reason))
        if len(history) > HISTORY_HEAD + HISTORY_TAIL:
            history = (*history[:HISTORY_HEAD], *history[-HISTORY_TAIL:])
        return replace(changed, history=history)

    def out_of_queue(self) -> Task:
        """This task without its place in the queue."""
        return replace(self, queue_key=None, queue_rank=None)

    def in_queue(self, rank: Rank, shards: int) -> Task:
        """This task queued at a rank, on the shard of its number."""
        key = _queue_key(self.worker_id, self.number % shards)
        return replace(self, status=Status.QUEUED, queue_key=key, queue_rank=str(rank))

    def unassigned(self) -> Task:
        """This task without the attributes of an attempt. The last error stays, for people to read."""
        return replace(
            self,
            slot=None,
            claim=None,
            token=None,
            note=None,
            started_at=None,
            lease_until=None,
            finished_at=None,
            result=None,
            stats=None,
            retryable=True,
            retry_at=None,
            never_ran=False,
            due_at=None,
            closed_at=None,
            duration_ms=None,
            in_outbox=False,
        )


def queue_keys(worker_id: str, shards: int) -> list[str]:
    """Every `queue_key` of a Worker's queue. With fewer shards the list is a prefix of this one."""
    return [_queue_key(worker_id, shard) for shard in range(shards)]


def _queue_key(worker_id: str, shard: int) -> str:
    return worker_id if shard == 0 else f"{worker_id}#{shard}"
