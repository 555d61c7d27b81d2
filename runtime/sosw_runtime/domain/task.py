"""A task: the frozen record, its place in the queue and its history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID, uuid5

#: Entries of a history that are kept from its beginning and from its end; those between are dropped.
HISTORY_HEAD: Final = 10
HISTORY_TAIL: Final = 40

#: Longest reason in a history entry, in bytes of UTF-8, and longest message of an error, in characters.
REASON_LENGTH: Final = 300

_NAMESPACE: Final = UUID("6f3c1c52-5a0b-5d0e-9d43-0f4f2b6f5c11")

HIGHEST_PRIORITY: Final = 9


def task_id(job_id: str, number: int) -> str:
    """The id of a job's task, the same whenever it is asked: uuid5 of (job_id, number from 0)."""
    return str(uuid5(_NAMESPACE, f"{job_id}/{number}"))


class Status(StrEnum):
    """Where a task stands. `waiting` is the retry table's, the last three are the closed table's.

    `unreadable` is an item that stood in the queue and is no task.
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
    NOTE = "note"  # without an entry in the history, where version 0.1.0 could not read it; as `set aside`
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
    """A task's place in its Worker's queue: priority, then tasks that were out before, then time, then number.

    No task ever has the same rank twice. A claim names the rank that it saw, so that a claim which was overtaken fails.
    """

    priority: int  # 0 to 9, 9 first
    fresh: bool  # False: was out before and goes to the head of its priority
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
        """The place at the head that a task takes when its claim is taken back."""
        return Rank(self.priority, fresh=False, time=max(now, self.time + 1), sequence=self.attempt)


@dataclass(frozen=True, slots=True)
class Entry:
    """One move in a task's history."""

    at: int  # ms
    move: Move | str  # a plain text is a move of a later version
    attempt: int
    reason: str | None = None
    more: tuple[Any, ...] = ()  # what a later version adds, carried along as it is stored

    def compact(self) -> list[int | str]:
        """As it is stored, but for `more`."""
        entry: list[int | str] = [self.at, str(self.move), self.attempt]
        if self.reason is None and not self.more:
            return entry
        # Bytes, so that 50 entries and the largest payload fit into DynamoDB's 400 KB an item.
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
        """As it is stored: type and message cut to `REASON_LENGTH` characters."""
        return json.dumps({"type": self.type[:REASON_LENGTH], "message": self.message[:REASON_LENGTH]})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; of any other text it is the message."""
        try:
            value = json.loads(text)
            return cls(str(value["type"]), str(value["message"]))
        except (LookupError, TypeError, ValueError):
            return cls("Error", text[:REASON_LENGTH])


@dataclass(frozen=True, slots=True)
class Note:
    """A report that lacked the token of its attempt. It counts if the lease ends without another report."""

    claim: str  # of the attempt
    completed: bool
    result: str | None = None  # JSON
    stats: str | None = None  # JSON
    error: str | None = None  # JSON: type and message
    retryable: bool = True
    never_ran: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One invocation of one Worker, wherever it stands."""

    task_id: str
    worker_id: str
    job_id: str
    number: int  # in its job, from 0
    status: Status | str  # a plain text is a status of a later version, whose task is left alone
    payload: str  # JSON object: the business keys
    created_at: int  # ms
    priority: int = 0  # 0 to 9, 9 first
    attempt: int = 0  # tries so far
    spared: int = 0  # attempts that do not count against the maximum
    queue_key: str | None = None  # only while queued
    queue_rank: str | None = None  # only while queued
    slot: int | None = None  # index of the slot of the current or last attempt
    claim: str | None = None  # unique id of the current or last claim, on the slot as well
    token: str | None = None  # the claim once more, if a report of its attempt must carry it; a secret of the Worker's
    note: Note | None = None  # a report without the token
    started_at: int | None = None  # ms, of the current or last attempt
    lease_until: int | None = None  # ms, of the current or last attempt
    finished_at: int | None = None  # ms, when it was reported, until it is closed
    result: str | None = None  # JSON
    stats: str | None = None  # JSON
    error: str | None = None  # JSON: type and message
    retryable: bool = True  # False: the Worker said that another try is of no use
    never_ran: bool = False  # True: AWS dropped the event before an invocation
    due_at: int | None = None  # ms, only while waiting
    closed_at: int | None = None  # ms, once closed
    duration_ms: int | None = None  # of the last attempt, once closed
    in_outbox: bool = False  # True: dead or cancelled, and not yet announced
    history: tuple[Entry, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)  # attributes of a later version, carried along as stored

    @property
    def counted_attempts(self) -> int:
        """Attempts that count against the Worker's maximum."""
        return self.attempt - self.spared

    @property
    def failure(self) -> Error | None:
        """The last reported error."""
        return None if self.error is None else Error.from_json(self.error)

    @property
    def required_token(self) -> str | None:
        """The token that a report of the current attempt must carry; None: it needs none.

        Version 0.1.0 claims without a token and leaves the one of an older claim in place, which nobody was handed.
        """
        return self.token if self.token == self.claim else None

    @property
    def noted(self) -> Note | None:
        """The note on the current attempt."""
        return self.note if self.note is not None and self.note.claim == self.claim else None

    def event(self, installation: str, *, with_token: bool) -> dict[str, Any]:
        """What the Worker receives; `labourer_id` and `attempts` are as sosw 0.7 code reads them."""
        payload = json.loads(self.payload)
        # One of a job that version 0.1.0 accepted would be taken for the attempt's.
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
        """This task after a move: changed, and the move in its history, which stays of bounded length."""
        changed = replace(self, **changes)
        history = (*self.history, Entry(at, move, changed.attempt, reason))
        if len(history) > HISTORY_HEAD + HISTORY_TAIL:
            history = (*history[:HISTORY_HEAD], *history[-HISTORY_TAIL:])
        return replace(changed, history=history)

    def out_of_queue(self) -> Task:
        """Without its place in the queue."""
        return replace(self, queue_key=None, queue_rank=None)

    def in_queue(self, rank: Rank, shards: int) -> Task:
        """Queued at a rank, on the shard of its number."""
        key = _queue_key(self.worker_id, self.number % shards)
        return replace(self, status=Status.QUEUED, queue_key=key, queue_rank=str(rank))

    def unassigned(self) -> Task:
        """Without what belongs to an attempt; the last error stays, for people to read."""
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
            never_ran=False,
            due_at=None,
            closed_at=None,
            duration_ms=None,
            in_outbox=False,
        )


def queue_keys(worker_id: str, shards: int) -> list[str]:
    """Every `queue_key` under which a Worker's tasks are queued; those of fewer shards are the first of them."""
    return [_queue_key(worker_id, shard) for shard in range(shards)]


def _queue_key(worker_id: str, shard: int) -> str:
    return worker_id if shard == 0 else f"{worker_id}#{shard}"
