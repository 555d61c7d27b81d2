"""Dispatch: fills the slots of one Worker. Claims first, then invokes, and takes back what AWS refuses."""

from __future__ import annotations

import json
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Final
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from sosw_runtime import aws, telemetry
from sosw_runtime.domain.dispatch import current_limit, plan
from sosw_runtime.domain.registration import Registration
from sosw_runtime.domain.slot import Slot
from sosw_runtime.domain.task import Error, Task
from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.essentials.parallel import Counters, run_all
from sosw_runtime.essentials.rounds import Turns
from sosw_runtime.storage import moves, slots, tasks
from sosw_runtime.storage.items import Unreadable
from sosw_runtime.storage.moves import Report
from sosw_runtime.storage.registry import WorkerRecord
from sosw_runtime.storage.tables import Deadline, NotWritten
from sosw_runtime.storage.tasks import Candidate

#: How often one dispatch reads the queue, when other Orchestrators were faster with what it read.
_READS: Final = 3

#: How long after its slot was taken a task may be claimed, and handed to AWS, in ms. The lease counts from there: its
#: grace of 30 s has to cover this, the invoke's own time-outs of 7 s, a function's initialisation of up to 10 s, which
#: is no part of its time-out, and clocks that differ.
#: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
_LATEST_INVOKE_MS: Final = 5_000

#: What AWS says of an event that it would never take, from whomever and whenever.
#: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
_IMPOSSIBLE_EVENT: Final = frozenset({"RequestTooLargeException", "InvalidRequestContentException"})

#: Calls at once for one Worker.
_CALLS_AT_ONCE: Final = 8

#: Slots that are filled or freed before it is another Worker's turn.
_SLOTS_A_TURN: Final = 100

logger = telemetry.logger("orchestrator")


@dataclass(frozen=True, slots=True)
class Opening:
    """A slot that may be filled."""

    index: int
    held_by: Slot | None  # the holder that has just reported; None: free


class InvokeRefused(Exception):
    """AWS refused an invoke: the Worker certainly does not run."""


class ImpossibleEvent(Exception):
    """AWS will never take this event: no fault of the Worker, and no other task is to wait for it."""


def dispatch(invocation: Invocation, worker: WorkerRecord, finished: Sequence[Slot], *, new_work: bool) -> Turns:
    """Fill a Worker's slots: those that the tasks which just reported hold, and with new work the free ones.

    Args:
        invocation: whose tables, clock and deadline are used.
        worker: whose slots they are.
        finished: slots whose task has just reported: handed on, or freed if there is nothing to start.
        new_work: whether to look for free slots as well.

    Raises:
        Misconfigured: the Worker's registration cannot be read. The slots are freed all the same.
    """
    limit = 0
    if worker.registration is not None:
        limit = current_limit(worker.registration.max_concurrency, worker.level, paused=worker.control.paused)
    # Where nothing may start, nothing need be read to free what has finished.
    occupied = _occupied(invocation, worker, limit, new_work=new_work) if limit else finished
    planned = plan(limit, occupied, finished, new_work=new_work)
    openings = [Opening(slot.index, slot) for slot in planned.hand_on]
    # Shuffled: Orchestrators at work at once seldom reach for the same.
    openings += [Opening(index, None) for index in random.sample(planned.fill, len(planned.fill))]
    filler = _Filler(invocation, worker, page=min(len(openings), _SLOTS_A_TURN))
    # Whatever stands midway, the Scavenger's next tick mends.
    counters = filler.free(planned.free)
    while openings:
        counters += filler.fill(openings[:_SLOTS_A_TURN])
        openings = openings[_SLOTS_A_TURN:]
        if filler.has_nothing_to_start:
            openings = [opening for opening in openings if opening.held_by is not None]
        if openings or filler.cut_short:
            yield counters
            counters = Counters()
    if worker.is_registered and worker.problem is not None:
        raise worker.problem
    return counters


def _occupied(invocation: Invocation, worker: WorkerRecord, limit: int, *, new_work: bool) -> list[Slot]:
    """The occupied slots as far as a plan needs them.

    Those at or above the limit must not be missed, and are read consistently. Of those below it the conditional write
    that takes a slot has the last word, unless some are above.
    """
    above = slots.occupied(invocation.tables, worker.worker_id, start=limit, consistent=True)
    if above:
        return slots.occupied(invocation.tables, worker.worker_id, consistent=True)
    return slots.occupied(invocation.tables, worker.worker_id) if new_work else []


class _Filler:
    """Fills slots from one queue, several at once."""

    def __init__(self, invocation: Invocation, worker: WorkerRecord, page: int) -> None:
        self._invocation = invocation
        self._worker = worker
        self._queue = tasks.queue(invocation.tables, worker.worker_id, worker.shards, page)
        self._candidates: deque[Candidate] = deque()
        self._reads_left = _READS - 1
        self._overtaken = False  # somebody else claimed a candidate: the queue may hold others
        self._refused = False  # AWS refused an invoke: the next would be refused as well
        self._lock = Lock()
        self._queue_ended = False  # there are no more candidates than were read
        self.cut_short = False  # there was no time for a candidate

    @property
    def has_nothing_to_start(self) -> bool:
        """Whether it is of no use to look for more candidates."""
        return self._queue_ended or self._refused

    def fill(self, openings: Sequence[Opening]) -> Counters:
        """Start the next tasks in slots; free those for which there is none."""
        wanted = 0 if self.has_nothing_to_start else len(openings)
        read = list(islice(self._queue, wanted))
        self._candidates.extend(read)
        self._queue_ended = len(read) < len(openings)
        # Without a candidate only those are worth a call that have something to free.
        worthwhile = [opening for nth, opening in enumerate(openings) if nth < len(read) or opening.held_by is not None]
        return run_all(self._fill, worthwhile, _CALLS_AT_ONCE, logger, "slot not filled", self._about)

    def free(self, held: Sequence[Slot]) -> Counters:
        """Free slots."""
        return run_all(self._free, held, _CALLS_AT_ONCE, logger, "slot not freed", self._about)

    def _about(self, _: object) -> dict[str, object]:
        return {"worker_id": self._worker.worker_id}

    def _fill(self, opening: Opening) -> Counters:
        held_by, counters = opening.held_by, Counters()
        while (candidate := self._next()) is not None:
            slot = Slot(
                self._worker.worker_id,
                opening.index,
                candidate.task_id,
                candidate.rank,
                claim=uuid4().hex[:16],
                claimed_at=self._invocation.clock(),
            )
            deadline = Deadline(slot.claimed_at + _LATEST_INVOKE_MS, self._invocation.clock)
            if not slots.take(self._invocation.tables, slot, held_by, deadline):
                self._give_back(candidate)
                return counters
            held_by = slot
            lease_until = slot.claimed_at + self._worker.valid_registration.lease_ms
            try:
                task = moves.claim(
                    self._invocation.tables, slot, lease_until, deadline, require_token=self._worker.requires_token
                )
            except NotWritten:
                # The task is queued as before, and the slot need not wait for the tick.
                self._free(slot)
                raise
            except Unreadable as error:
                logger.error("task not read", extra={"task_id": slot.task_id, "reason": str(error)})
                moves.set_aside(self._invocation.tables, slot.task_id, slot.rank)
                counters += Counters(Unreadable=1)
                task = None
            if task is not None:
                return counters + self._start(task, slot, deadline)
            self._overtaken = True
        return counters if held_by is None else counters + self._free(held_by)

    def _free(self, slot: Slot) -> Counters:
        slots.free(self._invocation.tables, slot)
        return Counters()

    def _start(self, task: Task, slot: Slot, deadline: Deadline) -> Counters:
        try:
            # As it was measured when the job was taken: escapes would make it up to three times as long.
            event = task.event(self._invocation.settings.name, with_token=self._worker.sends_token)
            payload = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            return self._fail_for_good(task, Error("UnreadablePayload", str(error)))
        if deadline.has_passed():
            self._take_back(task, slot, "the claim took too long")
            return Counters()
        try:
            invoke(self._worker.valid_registration, task, payload, deadline)
        except ImpossibleEvent as impossible:
            return self._fail_for_good(task, Error("ImpossibleEvent", str(impossible)))
        except InvokeRefused as refusal:
            self._refused = True
            self._take_back(task, slot, str(refusal))
            return Counters(Refused=1)
        logger.info("dispatched", extra={**telemetry.ids(task), "slot": slot.index})
        return Counters(Dispatched=1)

    def _fail_for_good(self, task: Task, error: Error) -> Counters:
        """Report a task as failed that no Worker can ever be given; the Scavenger buries it with the reason."""
        poison = Report(task.task_id, False, task.attempt, error=error, retryable=False, token=task.required_token)
        moves.report(self._invocation.tables, poison, self._invocation.clock())
        return Counters()

    def _take_back(self, task: Task, slot: Slot, reason: str) -> None:
        """Queue a task again that was not handed to AWS."""
        logger.warning("invoke refused", extra={**telemetry.ids(task), "reason": reason})
        moves.unclaim(self._invocation.tables, task, slot.rank, self._worker.shards, self._invocation.clock(), reason)
        slots.free(self._invocation.tables, slot)

    def _next(self) -> Candidate | None:
        with self._lock:
            if self._refused:
                return None
            if self._invocation.out_of_time:
                self.cut_short = self.cut_short or bool(self._candidates)
                return None
            if not self._candidates and self._overtaken and self._reads_left > 0:
                self._reads_left -= 1
                self._overtaken = False
                worker = self._worker
                self._candidates.extend(
                    tasks.queue_head(self._invocation.tables, worker.worker_id, worker.shards, _CALLS_AT_ONCE)
                )
            return self._candidates.popleft() if self._candidates else None

    def _give_back(self, candidate: Candidate) -> None:
        with self._lock:
            self._candidates.appendleft(candidate)


def invoke(registration: Registration, task: Task, payload: bytes, deadline: Deadline) -> None:
    """Hand an attempt to AWS, asynchronously.

    An answer that leaves open whether AWS took the event is taken for a yes: a Worker that runs reports, one that does
    not costs its lease. Sent again, the attempt might run twice.

    Args:
        registration: of the Worker.
        task: as it was claimed.
        payload: its event.
        deadline: until when a throttled invoke may be tried again.

    Raises:
        InvokeRefused: AWS certainly did not take it.
        ImpossibleEvent: nor will it ever.
    """
    try:
        for attempt in _on_throttling(deadline):
            with attempt:
                aws.lambda_().invoke(FunctionName=registration.function_name, InvocationType="Event", Payload=payload)
    except ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"].get("HTTPStatusCode", 500)
        if code in _IMPOSSIBLE_EVENT:
            raise ImpossibleEvent(f"{code}: {error.response['Error']['Message']}") from error
        if 400 <= status < 500:
            raise InvokeRefused(f"{code}: {error.response['Error']['Message']}") from error
        logger.warning("invoke in doubt", extra={**telemetry.ids(task), "reason": code})
    except (ConnectTimeoutError, EndpointConnectionError) as error:
        raise InvokeRefused(f"{type(error).__name__}: AWS Lambda was not reached") from error
    except BotoCoreError as error:
        logger.warning("invoke in doubt", extra={**telemetry.ids(task), "reason": type(error).__name__})


def _on_throttling(deadline: Deadline) -> Retrying:
    """A throttled invoke was not taken, so that it may be sent again."""

    def worth_it(error: BaseException) -> bool:
        throttled = isinstance(error, ClientError) and error.response["Error"]["Code"] == "TooManyRequestsException"
        return throttled and not deadline.has_passed()

    return Retrying(
        retry=retry_if_exception(worth_it),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        stop=stop_after_attempt(3),
        reraise=True,
    )
