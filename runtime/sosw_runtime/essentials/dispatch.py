"""Dispatch: fills the slots of one Worker. Claims a task, invokes the Worker, and undoes the claim if AWS refuses."""

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
from sosw_runtime.domain.dispatch import plan
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

#: How often one dispatch reads the queue if other Orchestrators claim the tasks that it read.
_READS: Final = 3

#: How long after taking the slot a task may be claimed and invoked, in ms. The lease begins with the slot. Its grace of
#: 30 s covers this time, the invoke's time-outs of 7 s, a function's initialisation of up to 10 s, which is not part of
#: its time-out, and clocks that differ.
#: https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
_LATEST_INVOKE_MS: Final = 5_000

#: Errors for an event that AWS would never accept.
#: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
_IMPOSSIBLE_EVENT: Final = frozenset({"RequestTooLargeException", "InvalidRequestContentException"})

#: Concurrent calls for one Worker.
_CALLS_AT_ONCE: Final = 8

#: Slots that are filled or freed in one turn of a Worker.
_SLOTS_A_TURN: Final = 100

logger = telemetry.logger("orchestrator")


@dataclass(frozen=True, slots=True)
class Opening:
    """A slot that may be filled."""

    index: int
    held_by: Slot | None  # the holder that has just reported; None: free


class InvokeRefused(Exception):
    """AWS refused an invoke: the Worker does not run."""


class ImpossibleEvent(Exception):
    """AWS will never accept this event. Other tasks of the Worker are not affected."""


def dispatch(invocation: Invocation, worker: WorkerRecord, reported: Sequence[Slot], *, new_work: bool) -> Turns:
    """Fill a Worker's slots: those whose tasks have just reported, and with new work the free ones.

    Args:
        invocation: whose tables, clock and deadline are used.
        worker: whose slots they are.
        reported: slots whose task has just reported: handed on, or freed if there is no task to start.
        new_work: whether to fill free slots as well.

    Raises:
        Misconfigured: the Worker's registration cannot be read. The reported slots are freed first.
    """
    limit = worker.current_limit
    # With a limit of 0 the reported slots are freed without a read.
    occupied = _occupied_slots(invocation, worker, limit, new_work=new_work) if limit else reported
    planned = plan(limit, occupied, reported, new_work=new_work)
    openings = [Opening(slot.index, slot) for slot in planned.hand_on]
    # Shuffled, so that concurrent Orchestrators seldom try the same slot.
    openings += [Opening(index, None) for index in random.sample(planned.fill, len(planned.fill))]
    filler = _Filler(invocation, worker, page=min(len(openings), _SLOTS_A_TURN))
    # If this invocation stops here or later, the Scavenger's next tick mends the slots.
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


def _occupied_slots(invocation: Invocation, worker: WorkerRecord, limit: int, *, new_work: bool) -> list[Slot]:
    """The occupied slots that a plan needs.

    None at or above the limit may be missing, so these are read consistently. Below the limit a lagging read is enough,
    since taking a slot is a conditional write, unless a slot above is occupied.
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
        self._overtaken = False  # another Orchestrator claimed a candidate: the queue may hold new ones
        self._refused = False  # AWS refused an invoke, and would refuse the next
        self._lock = Lock()
        self._queue_ended = False  # the queue has no more candidates
        self.cut_short = False  # there was no time for a candidate

    @property
    def has_nothing_to_start(self) -> bool:
        """Whether there are no more candidates, or none may be started."""
        return self._queue_ended or self._refused

    def fill(self, openings: Sequence[Opening]) -> Counters:
        """Start the next tasks in slots, and free slots without a task."""
        wanted = 0 if self.has_nothing_to_start else len(openings)
        read = list(islice(self._queue, wanted))
        self._candidates.extend(read)
        self._queue_ended = len(read) < len(openings)
        # An opening without a candidate needs a call only if its slot must be freed.
        worthwhile = [opening for nth, opening in enumerate(openings) if nth < len(read) or opening.held_by is not None]
        return run_all(self._fill_one, worthwhile, _CALLS_AT_ONCE, logger, "slot not filled", self._log_fields)

    def free(self, held: Sequence[Slot]) -> Counters:
        """Free slots."""
        return run_all(self._free, held, _CALLS_AT_ONCE, logger, "slot not freed", self._log_fields)

    def _log_fields(self, _: object) -> dict[str, object]:
        return {"worker_id": self._worker.worker_id}

    def _fill_one(self, opening: Opening) -> Counters:
        held_by, counters = opening.held_by, Counters()
        while (candidate := self._take_candidate()) is not None:
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
                self._return_candidate(candidate)
                return counters
            held_by = slot
            lease_until = slot.claimed_at + self._worker.valid_registration.lease_ms
            try:
                task = moves.claim(
                    self._invocation.tables, slot, lease_until, deadline, asks_for_token=self._worker.asks_for_token
                )
            except NotWritten:
                # The task is still queued. The slot is freed now instead of by the tick.
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
            # Without escapes, as the Scheduler measured it: they could make it three times as long.
            event = task.event(self._invocation.settings.name, with_token=self._worker.gets_token)
            payload = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            return self._fail_for_good(task, Error("UnreadablePayload", str(error)))
        if deadline.has_passed():
            self._unclaim(task, slot, "claim undone", "it took too long")
            return Counters()
        try:
            invoke(self._worker.valid_registration, task, payload, deadline)
        except ImpossibleEvent as impossible:
            return self._fail_for_good(task, Error("ImpossibleEvent", str(impossible)))
        except InvokeRefused as refusal:
            self._refused = True
            self._unclaim(task, slot, "invoke refused", str(refusal))
            return Counters(Refused=1)
        logger.info("dispatched", extra={**telemetry.ids(task), "slot": slot.index})
        return Counters(Dispatched=1)

    def _fail_for_good(self, task: Task, error: Error) -> Counters:
        """Report a task as failed that can never be invoked. The Scavenger makes it dead, with the reason."""
        failure = Report(task.task_id, False, task.attempt, error=error, retryable=False, token=task.required_token)
        moves.report(self._invocation.tables, failure, self._invocation.clock())
        return Counters()

    def _unclaim(self, task: Task, slot: Slot, event: str, reason: str) -> None:
        """Queue a task again whose Worker was not invoked, and free its slot."""
        logger.warning(event, extra={**telemetry.ids(task), "reason": reason})
        moves.unclaim(self._invocation.tables, task, slot.rank, self._worker.shards, self._invocation.clock(), reason)
        slots.free(self._invocation.tables, slot)

    def _take_candidate(self) -> Candidate | None:
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

    def _return_candidate(self, candidate: Candidate) -> None:
        with self._lock:
            self._candidates.appendleft(candidate)


def invoke(registration: Registration, task: Task, payload: bytes, deadline: Deadline) -> None:
    """Invoke a Worker asynchronously for an attempt.

    If an error leaves open whether AWS accepted the event, it counts as accepted: either the Worker runs and reports,
    or the lease ends. A retry could run the attempt twice.

    Args:
        registration: of the Worker.
        task: as it was claimed.
        payload: the task's event as JSON.
        deadline: until when a throttled invoke may be retried.

    Raises:
        InvokeRefused: AWS did not accept the event.
        ImpossibleEvent: AWS will never accept the event.
    """
    try:
        for attempt in _retries_of_throttling(deadline):
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


def _retries_of_throttling(deadline: Deadline) -> Retrying:
    """Retries of a throttled invoke, which AWS did not accept."""

    def may_retry(error: BaseException) -> bool:
        throttled = isinstance(error, ClientError) and error.response["Error"]["Code"] == "TooManyRequestsException"
        return throttled and not deadline.has_passed()

    return Retrying(
        retry=retry_if_exception(may_retry),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        stop=stop_after_attempt(3),
        reraise=True,
    )
