"""Scheduler: cuts jobs into tasks and enqueues them. A job is accepted whole or not at all; a repeat adds no tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from hashlib import sha256
from itertools import islice
from typing import Any, Final
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError

from sosw_runtime import aws, telemetry
from sosw_runtime.domain import pacing, periods
from sosw_runtime.domain.chunking import ACCEPTED, payload_texts
from sosw_runtime.domain.job import (
    Request,
    is_id,
    message_event,
    parse,
    records,
)
from sosw_runtime.domain.pacing import Pace
from sosw_runtime.domain.registration import Registration
from sosw_runtime.domain.spec import Spec
from sosw_runtime.domain.task import Entry, Move, Rank, Status, Task, task_id
from sosw_runtime.errors import JobInterrupted, JobRefused, Refused, Unavailable
from sosw_runtime.essentials.invocation import Invocation, LambdaContext, invoke_scheduler
from sosw_runtime.essentials.messages import accept_messages, are_sqs_messages
from sosw_runtime.essentials.parallel import run_or_raise
from sosw_runtime.storage import jobs, moves, progress, registry
from sosw_runtime.storage.jobs import WINDOW, Cursor, JobRecord
from sosw_runtime.storage.tables import BATCH_WRITE, ConditionFailed, Tables

_CALLS_AT_ONCE: Final = 20

#: Lease of a Scheduler on a job from each window on, in ms: longer than a window's calls with all their tries (8 of
#: 12 s, and the waits between them), plus clocks that differ.
_LEASE_MS: Final = 150_000

#: Longest duration of a window's calls with all their tries, in ms.
_WINDOW_MS: Final = 120_000

#: How long a write whose answer was lost may still act, in ms.
_LATE_MS: Final = 30_000

#: Time after which the caller gets its answer and the rest of the job is handed over, in ms: AWS's SDKs wait for a
#: minute, then retry. https://docs.aws.amazon.com/botocore/latest/reference/config.html
_ANSWER_WITHIN_MS: Final = 30_000

#: Tasks that are counted between two checks of the time.
_COUNTED_AT_ONCE: Final = 10_000

logger = telemetry.logger("scheduler")


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job whose lease this run of the Scheduler holds."""

    spec: Spec
    cursor: Cursor


def handler(event: Any, context: LambdaContext | None) -> dict[str, Any]:
    """Accept a job and enqueue its tasks, or resume a job.

    Args:
        event: a job in any of the forms on the page on jobs; `{"resume": <job_id>}`; or `{"dry_run": <job>}`, the
            same forms: the answer that the job would get, and nothing is written.
        context: Lambda's.

    Returns:
        `{"job_id", "tasks", "first_start"}`: the number of tasks, and the earliest start in ms. A repeat gets the same.
        For a batch of messages of SQS or SNS `{"jobs": [...]}` with one such answer for each accepted job; for SQS also
        `"batchItemFailures": []`, as messages that must come again raise an error.

    Raises:
        JobRefused: the job is wrong; nothing was written.
        Misconfigured: the Worker's registration cannot be read; nothing was written.
        Unavailable: the job is not accepted, or the answer to its acceptance was lost; retry.
        JobInterrupted: the job is accepted, and the Scavenger resumes it.
    """
    invocation = Invocation.begin(context)
    batch = records(event)
    try:
        if batch is None and _is_dry_run(event):
            return _answer_without_acceptance(invocation, event["dry_run"])
        if batch is None:
            return _accept_and_enqueue(invocation, event)
        if are_sqs_messages(batch):
            url = _rejected_jobs_url(invocation, context)
            answers = accept_messages(partial(_accept_and_enqueue, invocation), batch, url, invocation.has_time)
            return {"jobs": answers, "batchItemFailures": []}
        return {"jobs": _accept_batch(invocation, batch)}
    except Refused as refused:
        raise JobRefused.of(refused) from None


def _rejected_jobs_url(invocation: Invocation, context: LambdaContext | None) -> str | None:
    """The URL of the queue of rejected jobs in the function's account; None without a Lambda context."""
    if context is None:
        return None
    account = context.invoked_function_arn.split(":")[4]
    return aws.queue_url(account, f"{invocation.settings.name}_rejected_jobs")


def _accept_batch(invocation: Invocation, batch: Sequence[object]) -> list[dict[str, Any]]:
    """Accept each job of a batch that does not come from a queue; raise the first error at the end."""
    return run_or_raise(lambda record: _accept_and_enqueue(invocation, message_event(record)), batch, threads=1)


def _accept_and_enqueue(invocation: Invocation, event: object) -> dict[str, Any]:
    """Accept a job or resume one, and enqueue its tasks. After acceptance every error becomes `JobInterrupted`."""
    # The only key: a job may have a key of this name too.
    resumed = isinstance(event, dict) and event.keys() == {"resume"}
    writing = invocation if resumed else _with_answer_deadline(invocation)
    try:
        if isinstance(event, dict) and resumed:
            record, held = _accepted_job(invocation.tables, event["resume"]), None
        else:
            record, held = accept_job(invocation, parse(event, invocation.settings.timezone))
    except (BotoCoreError, ClientError, ConditionFailed, Unavailable) as error:
        raise Unavailable(f"not accepted, or not known to be; ask again with the same id: {error}") from error
    answer = _answer(record)
    try:
        held = held or take_over_job(invocation, record.job_id)
        if held is not None:
            enqueue_job(writing, record, held, must_advance=resumed)
    except Exception as error:
        message = f"job {record.job_id!r} is accepted, and the Scavenger resumes it: {type(error).__name__}: {error}"
        raise JobInterrupted(answer, message) from error
    return answer


def _is_dry_run(event: object) -> bool:
    """Whether an event only asks. A version that knows no dry run reads a job without a Worker, and refuses it."""
    return isinstance(event, dict) and event.keys() == {"dry_run"}


def _answer_without_acceptance(invocation: Invocation, event: object) -> dict[str, Any]:
    """The answer for a job, after every check that comes before its acceptance. Cost: 2.5 read units."""
    try:
        record, _, _ = _checked_job(invocation, parse(event, invocation.settings.timezone))
        known = jobs.get(invocation.tables, record.job_id)
    except (BotoCoreError, ClientError, Unavailable) as error:
        raise Unavailable(f"not known whether it would be accepted; ask again: {error}") from error
    return _answer(record if known is None else _same_job(known, record))


def _answer(record: JobRecord) -> dict[str, Any]:
    return {"job_id": record.job_id, "tasks": record.total, "first_start": record.first_start}


def _with_answer_deadline(invocation: Invocation) -> Invocation:
    """This invocation with the deadline of the caller that waits for its answer."""
    ends_at = invocation.clock() + _ANSWER_WITHIN_MS + invocation.reserve
    return replace(invocation, ends_at=min(invocation.ends_at, ends_at))


def accept_job(invocation: Invocation, request: Request) -> tuple[JobRecord, HeldJob | None]:
    """Check all tasks of a job, then accept it; the job, and its lease if this call accepted it.

    A job that was accepted before is returned as it is.

    Raises:
        Refused, Misconfigured: nothing was written.
        Unavailable, botocore.exceptions.ClientError, BotoCoreError: the job is not accepted, or the answer was lost.
    """
    record, spec, stored = _checked_job(invocation, request)
    cursor = Cursor(record.job_id, 0, uuid4().hex, invocation.clock() + _LEASE_MS)
    accepted = jobs.accept(invocation.tables, record, stored, cursor)
    if accepted is record:
        return record, HeldJob(spec, cursor)
    return _same_job(accepted, record), None


def _checked_job(invocation: Invocation, request: Request) -> tuple[JobRecord, Spec, bytes]:
    """A job that may be accepted, with its spec, also as it is stored.

    Raises:
        Refused, Misconfigured: it may not.
        botocore.exceptions.ClientError, BotoCoreError: the registration cannot be read now.
    """
    job, now = request.job, invocation.clock()
    registration = _registration(invocation.tables, job.worker)
    asked_at = now if request.event_time is None else round(request.event_time.timestamp() * 1000)
    today = periods.today(asked_at, job.time_zone or invocation.settings.timezone)
    spec = Spec(job, registration.job_schemas, registration.queue_shards)
    record = JobRecord(
        job_id=job.job_id or request.event_id or invocation.request_id,
        worker_id=registration.worker_id,
        total=_check_and_count_tasks(invocation, spec, today),
        today=today,
        created_at=now,
        first_start=max(now, job.start_at or now),
        source=request.event_id or invocation.request_id,
        fingerprint=_fingerprint(spec),
        schema_name=job.job_schema_name,
    )
    stored = jobs.compress(spec.to_json())
    if len(stored) > jobs.LARGEST_JOB:
        raise Refused("job", f"{len(stored)} bytes compressed", f"the most is {jobs.LARGEST_JOB}; split the job")
    return record, spec, stored


def _same_job(known: JobRecord, asked: JobRecord) -> JobRecord:
    """The job that was accepted under an id, if it is the one that is asked for again.

    Raises:
        Refused: it is another one.
    """
    if known.fingerprint != asked.fingerprint:
        raise Refused("job_id", asked.job_id, "another job has it; use another id, or none")
    return known


def _fingerprint(spec: Spec) -> str:
    """A hash of a job that does not depend on the order of its keys."""
    text = json.dumps(spec.job_as_asked, sort_keys=True)
    return sha256(text.encode()).hexdigest()[:32]


def take_over_job(invocation: Invocation, job_id: str) -> HeldJob | None:
    """Take over a job whose lease has ended; None if it has not, or if all tasks are enqueued."""
    tables = invocation.tables
    seen = jobs.cursor(tables, job_id)
    if seen is None or seen.lease_until > invocation.clock():
        return None
    spec = jobs.spec(tables, job_id)
    cursor = None if spec is None else jobs.take_over(tables, seen, uuid4().hex, invocation.clock() + _LEASE_MS)
    return None if spec is None or cursor is None else HeldJob(Spec.from_json(spec), cursor)


def enqueue_job(invocation: Invocation, record: JobRecord, held: HeldJob, *, must_advance: bool) -> None:
    """Write a job's tasks from its cursor on; at the end of the time, hand the rest to another invocation.

    If the job is cancelled, no more tasks are written; the Scavenger counts the unwritten ones as cancelled.

    Args:
        invocation: whose tables, clock and deadline are used.
        record: the job.
        held: its spec and its cursor.
        must_advance: whether to hand over only if tasks were written. False for a new job: checking it may have taken
            all the time.

    Raises:
        Exception: any error; the lease ends and the Scavenger resumes the job.
    """
    try:
        _enqueue_or_hand_over(invocation, record, held, must_advance=must_advance)
    except Exception:
        _shorten_lease(invocation, held.cursor)
        raise


def _enqueue_or_hand_over(invocation: Invocation, record: JobRecord, held: HeldJob, *, must_advance: bool) -> None:
    tables = invocation.tables
    reached = _write_tasks(invocation, record, held)
    about = {"job_id": record.job_id, "worker_id": record.worker_id, "tasks": reached.position}
    if reached.position == record.total:
        if not jobs.delete_cursor(tables, reached):
            raise Unavailable(f"job {record.job_id!r} is accepted, and another Scheduler has taken it over")
        logger.info("enqueued", extra=about)
        telemetry.count("scheduler", invocation.settings.name, {"Enqueued": record.total})
        return
    jobs.release(tables, reached)
    if reached.cancelled:
        logger.info("cancelled", extra=about)
        return
    if must_advance and reached.position == held.cursor.position:
        raise Unavailable(f"job {record.job_id!r} stays at task {reached.position} for a whole invocation")
    _hand_over(invocation, reached)


def _shorten_lease(invocation: Invocation, cursor: Cursor) -> None:
    """End the lease of a job early, if this run still holds it. If that fails, the lease ends at its time."""
    try:
        # Writes whose answers were lost may still act. The next Scheduler checks after them what is written.
        jobs.shorten_lease(invocation.tables, cursor.job_id, cursor.holder, invocation.clock() + _LATE_MS)
    except Exception:
        logger.warning("lease not ended early", exc_info=True, extra={"job_id": cursor.job_id})


def _write_tasks(invocation: Invocation, record: JobRecord, held: HeldJob) -> Cursor:
    """Write a job's tasks while there is time, at the pace of their keys; the cursor that was reached.

    Raises:
        Unavailable: the cursor was taken over.
    """
    tables, cursor = invocation.tables, held.cursor
    todo = _tasks_from(record, held.spec, cursor.position)
    pace = Pace.begin(pacing.units_a_second(held.spec.shards, delayed=_is_delayed(record)), invocation.clock())
    # A suspect window is completed even if the job is cancelled.
    while cursor.suspect or not cursor.cancelled:
        # A suspect window has the full length. Its tasks are checked one by one.
        window = list(islice(todo, WINDOW)) if cursor.suspect else _next_window(todo, pace.rate)
        units = sum(map(pacing.units, window))
        now = _wait(invocation, pace, units)
        if now is None:
            break
        if cursor.suspect:
            final_numbers = progress.final_numbers(tables, record, [task.number for task in window])
            moves.enqueue_missing(tables, window, final_numbers, jobs.fence(tables, cursor))
        else:
            cursor = _renew_lease(invocation, cursor)
            pace = pace.after(units, now, throttled=_write_window(tables, window))
        position = cursor.position + len(window)
        if position == record.total:
            return replace(cursor, position=position)
        advanced = jobs.advance(tables, cursor, position, invocation.clock() + _LEASE_MS)
        if advanced is None:
            raise Unavailable("another Scheduler took it over")
        cursor = advanced
    return cursor


def _renew_lease(invocation: Invocation, cursor: Cursor) -> Cursor:
    """Renew the lease if it is too short for a window: batch writes have no fence; the cursor.

    Raises:
        Unavailable: the cursor was taken over.
    """
    now = invocation.clock()
    if now + _WINDOW_MS <= cursor.lease_until:
        return cursor
    renewed = jobs.advance(invocation.tables, cursor, cursor.position, now + _LEASE_MS)
    if renewed is None:
        raise Unavailable("another Scheduler took it over")
    return renewed


def _wait(invocation: Invocation, pace: Pace, units: int) -> int | None:
    """Wait until this many units may be written; the time then. None, without a wait, if no work may begin then."""
    now = invocation.clock()
    pause = pace.pause(units, now)
    if not invocation.has_time_until(now + pause):
        return None
    if pause:
        invocation.sleep(pause / 1000)
    return now + pause


def _next_window(todo: Iterator[Task], most_units: float) -> list[Task]:
    """The next tasks: one window, or the most units that their key takes in a second."""
    window: list[Task] = []
    units = 0
    for task in todo:
        window.append(task)
        units += pacing.units(task)
        if len(window) == WINDOW or units >= most_units:
            break
    return window


def _write_window(tables: Tables, window: Sequence[Task]) -> bool:
    """Write new tasks, several batches at once; whether DynamoDB was too busy for some of them at first.

    The first error is raised after all batches have ended.
    """
    put = moves.delay if window[0].status is Status.WAITING else moves.enqueue
    batches = [window[start : start + BATCH_WRITE] for start in range(0, len(window), BATCH_WRITE)]
    return any(run_or_raise(partial(put, tables), batches, _CALLS_AT_ONCE))


def _hand_over(invocation: Invocation, reached: Cursor) -> None:
    """Invoke the Scheduler for the rest of a job."""
    invoke_scheduler(invocation, reached.job_id)
    logger.info("handed over", extra={"job_id": reached.job_id, "position": reached.position})


def _registration(tables: Tables, worker: str) -> Registration:
    """The registration of a Worker as a job names it.

    Raises:
        Refused: no such Worker is registered.
        Misconfigured: its registration cannot be read.
    """
    found = registry.find_named(tables, worker)
    if found is None:
        raise Refused("worker", worker, "no such Worker is registered; apply its worker module, or correct the name")
    return found.valid_registration


def _accepted_job(tables: Tables, job_id: Any) -> JobRecord:
    """An accepted job."""
    record = jobs.get(tables, job_id) if is_id(job_id) else None
    if record is None:
        raise Refused("resume", job_id, "no such job was accepted")
    return record


def _check_and_count_tasks(invocation: Invocation, spec: Spec, today: date) -> int:
    """The number of a job's tasks. Cuts and checks each of them.

    Raises:
        Refused: a task is invalid, there is none, or there are more than one invocation can check.
    """
    total = 0
    for total, _ in enumerate(payload_texts(spec.job, spec.schemas, today), 1):
        if total % _COUNTED_AT_ONCE == 0 and invocation.out_of_time:
            raise Refused("job", f"{total} tasks and more", "split it: one invocation has to look at each of its tasks")
    if total == 0:
        raise Refused("job", "no task", "its period and attributes must cover at least one")
    return total


def _tasks_from(record: JobRecord, spec: Spec, start: int) -> Iterator[Task]:
    """The tasks of an accepted job from a number on; the same on every call."""
    delayed = _is_delayed(record)
    payloads = payload_texts(spec.job, spec.schemas, record.today, start, ACCEPTED)
    for number, payload in enumerate(payloads, start):
        task = Task(
            task_id=task_id(record.job_id, number),
            worker_id=record.worker_id,
            job_id=record.job_id,
            number=number,
            status=Status.WAITING,
            payload=payload,
            created_at=record.created_at,
            priority=spec.job.priority,
            due_at=record.first_start if delayed else None,
            history=(Entry(record.created_at, Move.DELAY if delayed else Move.ENQUEUE, 0),),
        )
        place = Rank(task.priority, fresh=True, time=record.created_at, sequence=number)
        yield task if delayed else task.in_queue(place, spec.shards)


def _is_delayed(record: JobRecord) -> bool:
    """Whether a job's tasks wait for a start time."""
    return record.first_start > record.created_at
