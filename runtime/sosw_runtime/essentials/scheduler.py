"""Scheduler: cuts jobs into tasks and queues them, each job whole or not at all, and once however often it is asked."""

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
from sosw_runtime.domain.chunking import AS_STORED, JobSchema, payload_texts
from sosw_runtime.domain.job import (
    RESERVED_BY_0_1_0,
    Job,
    Request,
    is_id,
    message_event,
    parse,
    records,
    worker_id_candidates,
)
from sosw_runtime.domain.pacing import Pace
from sosw_runtime.domain.registration import Registration
from sosw_runtime.domain.task import Entry, Move, Rank, Status, Task, task_id
from sosw_runtime.errors import JobInterrupted, JobRefused, Refused, Unavailable
from sosw_runtime.essentials.invocation import Invocation, LambdaContext, resume
from sosw_runtime.essentials.messages import are_queued, take_messages
from sosw_runtime.essentials.parallel import run_or_raise
from sosw_runtime.storage import jobs, moves, progress, registry
from sosw_runtime.storage.jobs import WINDOW, Cursor, JobRecord
from sosw_runtime.storage.tables import BATCH_WRITE, ConditionFailed, Tables

_CALLS_AT_ONCE: Final = 20

#: How long a Scheduler holds a job from each window on, in ms: longer than a window's calls may take with all their
#: tries (8 of 12 s, and the waits between them), and clocks that differ.
_LEASE_MS: Final = 150_000

#: How long the calls of a window may take, in ms, with all their tries.
_WINDOW_MS: Final = 120_000

#: How long writes whose answers were lost may be on their way, in ms.
_LATE_MS: Final = 30_000

#: ms after which whoever asked gets an answer, and the rest of the job is handed over: AWS's SDKs wait for a minute,
#: then ask again. https://docs.aws.amazon.com/botocore/latest/reference/config.html
_ANSWER_WITHIN_MS: Final = 30_000

#: Tasks that are counted between two looks at the clock.
_COUNTED_AT_ONCE: Final = 10_000

logger = telemetry.logger("scheduler")


@dataclass(frozen=True, slots=True)
class _Spec:
    """All that a job's tasks are cut from, so that they are the same tasks whenever they are cut."""

    job: Job
    schemas: dict[str, JobSchema]
    shards: int

    def to_json(self) -> str:
        return json.dumps(
            {
                "job": self.job.model_dump(mode="json", exclude_unset=True),
                "schemas": {name: schema.model_dump(mode="json") for name, schema in self.schemas.items()},
                "shards": self.shards,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> _Spec:
        values = json.loads(text)
        schemas = {
            name: JobSchema.model_validate(schema, context=AS_STORED) for name, schema in values["schemas"].items()
        }
        return cls(Job.model_validate(values["job"]), schemas, values["shards"])


@dataclass(frozen=True, slots=True)
class Held:
    """A job that this run of the Scheduler alone may enqueue."""

    spec: _Spec
    cursor: Cursor


def handler(event: Any, context: LambdaContext | None) -> dict[str, Any]:
    """Accept a job and queue its tasks, or resume one.

    Args:
        event: a job in any of the forms that the page on jobs gives, or `{"resume": <job_id>}`.
        context: Lambda's.

    Returns:
        `{"job_id", "tasks", "first_start"}`: their number, and the earliest start in ms. Asked again, the same.
        For a batch of messages of SQS or SNS `{"jobs": [...]}`, one such answer for each that is accepted; of SQS
        with `"batchItemFailures": []` beside it, as those that come again are an error.

    Raises:
        JobRefused: the job is wrong; nothing was written.
        Misconfigured: the Worker's registration cannot be read; nothing was written.
        Unavailable: the job is not accepted, or the answer to its acceptance was lost; ask again.
        JobInterrupted: the job is accepted, and the Scavenger resumes it.
    """
    invocation = Invocation.begin(context)
    batch = records(event)
    try:
        if batch is None:
            return _take_job(invocation, event)
        if are_queued(batch):
            url = _rejected_jobs_url(invocation, context)
            answers = take_messages(partial(_take_job, invocation), batch, url, invocation.has_time)
            return {"jobs": answers, "batchItemFailures": []}
        return {"jobs": _take_jobs(invocation, batch)}
    except Refused as refused:
        raise JobRefused.of(refused) from None


def _rejected_jobs_url(invocation: Invocation, context: LambdaContext | None) -> str | None:
    """The queue of jobs that nobody took, in the account of this function; None if there is no function."""
    if context is None:
        return None
    account = context.invoked_function_arn.split(":")[4]
    return aws.queue_url(account, f"{invocation.settings.name}_rejected_jobs")


def _take_jobs(invocation: Invocation, batch: Sequence[object]) -> list[dict[str, Any]]:
    """Take the jobs of a batch that no queue keeps, each by itself; the first error is raised at the end."""
    return run_or_raise(lambda record: _take_job(invocation, message_event(record)), batch, threads=1)


def _take_job(invocation: Invocation, event: object) -> dict[str, Any]:
    """Take one job, or resume one. Once it is known to be accepted, whatever fails is told as `JobInterrupted`."""
    # Alone, since a job may have a key of this name.
    resumed = isinstance(event, dict) and event.keys() == {"resume"}
    writing = invocation if resumed else _ending_before_callers_time_out(invocation)
    try:
        if isinstance(event, dict) and resumed:
            record, held = _accepted_job(invocation.tables, event["resume"]), None
        else:
            record, held = accept_job(invocation, parse(event, invocation.settings.timezone))
    except (BotoCoreError, ClientError, ConditionFailed, Unavailable) as error:
        raise Unavailable(f"not accepted, or not known to be; ask again with the same id: {error}") from error
    answer = {"job_id": record.job_id, "tasks": record.total, "first_start": record.first_start}
    try:
        held = held or take_over_job(invocation, record.job_id)
        if held is not None:
            enqueue_job(writing, record, held, must_advance=resumed)
    except Exception as error:
        message = f"job {record.job_id!r} is accepted, and the Scavenger resumes it: {type(error).__name__}: {error}"
        raise JobInterrupted(answer, message) from error
    return answer


def _ending_before_callers_time_out(invocation: Invocation) -> Invocation:
    """The same invocation, with the deadline of whoever waits for its answer."""
    ends_at = invocation.clock() + _ANSWER_WITHIN_MS + invocation.reserve
    return replace(invocation, ends_at=min(invocation.ends_at, ends_at))


def accept_job(invocation: Invocation, request: Request) -> tuple[JobRecord, Held | None]:
    """Check a job to its last task, then accept it; held, if this call is the one that accepted it.

    A job that is known already is answered as it stands.

    Raises:
        Refused, Misconfigured: nothing was written.
        Unavailable, botocore.exceptions.ClientError, BotoCoreError: the job is not accepted, or its answer was lost.
    """
    job, now = request.job, invocation.clock()
    registration = _registration(invocation.tables, job.worker)
    asked_at = now if request.event_time is None else round(request.event_time.timestamp() * 1000)
    today = periods.today(asked_at, job.time_zone or invocation.settings.timezone)
    spec = _Spec(job, registration.job_schemas, registration.queue_shards)
    record = JobRecord(
        job_id=job.job_id or request.event_id or invocation.request_id,
        worker_id=registration.worker_id,
        total=_count_tasks(invocation, spec, today),
        today=today,
        created_at=now,
        first_start=max(now, job.start_at or now),
        source=request.event_id or invocation.request_id,
        fingerprint=_fingerprint(job),
        schema_name=job.job_schema_name,
    )
    stored = jobs.compress(spec.to_json())
    if len(stored) > jobs.LARGEST_JOB:
        raise Refused("job", f"{len(stored)} bytes compressed", f"the most is {jobs.LARGEST_JOB}; split the job")
    cursor = Cursor(record.job_id, 0, uuid4().hex, invocation.clock() + _LEASE_MS)
    accepted = jobs.accept(invocation.tables, record, stored, cursor)
    if accepted is record:
        return record, Held(spec, cursor)
    if accepted.fingerprint != record.fingerprint:
        raise Refused("job_id", record.job_id, "another job has it; use another id, or none")
    return accepted, None


def _fingerprint(job: Job) -> str:
    """The same for the same job, in whatever order its keys come."""
    text = json.dumps(job.model_dump(mode="json", exclude_unset=True), sort_keys=True)
    return sha256(text.encode()).hexdigest()[:32]


def take_over_job(invocation: Invocation, job_id: str) -> Held | None:
    """Hold a job that nobody enqueues any more; None if somebody does, or if it is enqueued whole."""
    tables = invocation.tables
    seen = jobs.cursor(tables, job_id)
    if seen is None or seen.lease_until > invocation.clock():
        return None
    spec = jobs.spec(tables, job_id)
    cursor = None if spec is None else jobs.take_over(tables, seen, uuid4().hex, invocation.clock() + _LEASE_MS)
    return None if spec is None or cursor is None else Held(_Spec.from_json(spec), cursor)


def enqueue_job(invocation: Invocation, record: JobRecord, held: Held, *, must_advance: bool) -> None:
    """Write a job's tasks from its cursor on; short of time, hand the rest to the next Scheduler.

    A job that is cancelled meanwhile is left as it then stands; the Scavenger counts what is not written as cancelled.

    Args:
        invocation: whose tables, clock and deadline are used.
        record: the job.
        held: what its tasks are cut from, and from where on.
        must_advance: whether to hand over only what has become less; otherwise the time may have gone into checking.

    Raises:
        Exception: whatever stopped it; the lease ends and the Scavenger resumes the job.
    """
    try:
        _enqueue_or_hand_over(invocation, record, held, must_advance=must_advance)
    except Exception:
        _give_up(invocation, held.cursor)
        raise


def _enqueue_or_hand_over(invocation: Invocation, record: JobRecord, held: Held, *, must_advance: bool) -> None:
    tables = invocation.tables
    reached = _write_tasks(invocation, record, held)
    about = {"job_id": record.job_id, "worker_id": record.worker_id, "tasks": reached.position}
    if reached.position == record.total:
        if not jobs.finish(tables, reached):
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


def _give_up(invocation: Invocation, cursor: Cursor) -> None:
    """End the lease of a job early, where it is still this run's; it ends by itself where that fails."""
    try:
        # Writes whose answers were lost may still arrive; behind them another Scheduler looks what did.
        jobs.shorten_lease(invocation.tables, cursor.job_id, cursor.holder, invocation.clock() + _LATE_MS)
    except Exception:
        logger.warning("lease not ended early", exc_info=True, extra={"job_id": cursor.job_id})


def _write_tasks(invocation: Invocation, record: JobRecord, held: Held) -> Cursor:
    """Write a job's tasks while there is time, as fast as their keys take them; how far it came.

    Raises:
        Unavailable: the cursor was taken over.
    """
    tables, cursor = invocation.tables, held.cursor
    todo = _tasks_from(record, held.spec, cursor.position)
    pace = Pace.begin(pacing.units_a_second(held.spec.shards, delayed=_is_delayed(record)), invocation.clock())
    # Where an earlier Scheduler's window is in doubt, it is made whole also in a job that is cancelled.
    while cursor.suspect or not cursor.cancelled:
        # That one was as long as windows ever are, and its tasks are looked for one by one.
        window = list(islice(todo, WINDOW)) if cursor.suspect else _next_window(todo, pace.rate)
        units = sum(map(pacing.units, window))
        now = _wait(invocation, pace, units)
        if now is None:
            break
        if cursor.suspect:
            finished = progress.final_numbers(tables, record, [task.number for task in window])
            moves.enqueue_missing(tables, window, finished, jobs.fence(tables, cursor))
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
    """A held cursor whose lease is long enough for a window: nothing fences its batches.

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
    """Wait until so many units may be written; the time then, None at once if no more work should be begun by then."""
    now = invocation.clock()
    pause = pace.pause(units, now)
    if not invocation.has_time_until(now + pause):
        return None
    if pause:
        invocation.sleep(pause / 1000)
    return now + pause


def _next_window(todo: Iterator[Task], most_units: float) -> list[Task]:
    """The next tasks: as many as a window has, or as their key takes in a second."""
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

    Every batch is done with before the first error is raised.
    """
    put = moves.delay if window[0].status is Status.WAITING else moves.enqueue
    batches = [window[start : start + BATCH_WRITE] for start in range(0, len(window), BATCH_WRITE)]
    return any(run_or_raise(partial(put, tables), batches, _CALLS_AT_ONCE))


def _hand_over(invocation: Invocation, reached: Cursor) -> None:
    """Give the rest of a job to the next invocation."""
    resume(invocation, reached.job_id)
    logger.info("handed over", extra={"job_id": reached.job_id, "position": reached.position})


def _registration(tables: Tables, worker: str) -> Registration:
    """The registration of a Worker as a job names it.

    Raises:
        Refused: no such Worker is registered.
        Misconfigured: its registration cannot be read.
    """
    candidates = worker_id_candidates(worker)
    found = registry.find_workers(tables, candidates)
    for worker_id in candidates:
        if found[worker_id].is_registered:
            return found[worker_id].valid_registration
    raise Refused("worker", worker, "no such Worker is registered; apply its worker module, or correct the name")


def _accepted_job(tables: Tables, job_id: Any) -> JobRecord:
    """An accepted job."""
    record = jobs.get(tables, job_id) if is_id(job_id) else None
    if record is None:
        raise Refused("resume", job_id, "no such job was accepted")
    return record


def _count_tasks(invocation: Invocation, spec: _Spec, today: date) -> int:
    """The number of a job's tasks, each of which is cut and looked at.

    Raises:
        Refused: a task is wrong, there is none, or they are more than an invocation has the time for.
    """
    total = 0
    for total, _ in enumerate(payload_texts(spec.job, spec.schemas, today), 1):
        if total % _COUNTED_AT_ONCE == 0 and invocation.out_of_time:
            raise Refused("job", f"{total} tasks and more", "split it: one invocation has to look at each of its tasks")
    if total == 0:
        raise Refused("job", "no task", "its period and attributes must cover at least one")
    return total


def _tasks_from(record: JobRecord, spec: _Spec, start: int) -> Iterator[Task]:
    """The tasks of an accepted job from a number on, the same whenever they are cut."""
    delayed = _is_delayed(record)
    payloads = payload_texts(spec.job, spec.schemas, record.today, start, RESERVED_BY_0_1_0)
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
    """Whether a job's tasks wait for a time."""
    return record.first_start > record.created_at
