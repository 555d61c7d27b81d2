"""`sosw jobs`: submit jobs, follow them to their end, cancel them, and send rejected ones again."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from heapq import nlargest
from statistics import fmean
from typing import Annotated, Any, Final
from uuid import uuid4

import typer
from botocore.exceptions import BotoCoreError, ClientError

from sosw_runtime.cli import columns as columns_of
from sosw_runtime.cli import deaths, inputs, outlooks, output, progress, scheduler, selection, tasks, times
from sosw_runtime.cli import preview as tasks_of_job
from sosw_runtime.cli.estimate import Estimate
from sosw_runtime.cli.options import AsJson, Columns, DryRun, Limit, Name, Wide, WorkerId
from sosw_runtime.cli.redrive import RejectedJob, RejectedJobs
from sosw_runtime.cli.table import print_table
from sosw_runtime.cli.watch import follow_until_closed, show_json, view
from sosw_runtime.cli.watch import show as show_progress
from sosw_runtime.domain.chunking import JobSchema
from sosw_runtime.domain.job import json_object
from sosw_runtime.domain.job import parse as parse_job
from sosw_runtime.domain.spec import Spec
from sosw_runtime.errors import JobInterrupted, Refused, SoswError
from sosw_runtime.storage import jobs as stored_jobs
from sosw_runtime.storage.jobs import Cursor, JobRecord
from sosw_runtime.storage.tables import Tables

app = typer.Typer(help="Submit, watch and cancel jobs.", no_args_is_help=True)

JobFile = Annotated[
    typer.FileText,
    typer.Argument(metavar="JOB", encoding="utf-8", help="File with the job, a JSON object; - for standard input."),
]
KnownJobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="Id of the job, as `submit` prints it.")]

WithEstimate = Annotated[
    bool, typer.Option("--estimate", help="Print how long the job would take, and what it would cost.")
]

#: Seconds between two passes over a job that is cancelled while the Scheduler still writes a window of it.
_ENQUEUING_PAUSE: Final = 1.0
#: State of a closed job with open tasks again.
_REPLAYING: Final = "replaying"


@app.command()
def submit(
    file: JobFile,
    *,
    follow: Annotated[bool, typer.Option("--watch", help="Then watch the job, as `watch` does.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only ask what the Scheduler would answer.")] = False,
    estimate: WithEstimate = False,
    name: Name = "sosw",
    as_json: AsJson = False,
) -> None:
    """Have the Scheduler take a job."""
    if follow and dry_run:
        raise Refused("--watch", True, "expected either --watch or --dry-run")
    job = json_object("job", inputs.read_text(file))
    if estimate:
        _print_estimate(_estimate(name, json.dumps({"job": job}), None, None, None), as_json=as_json)
    try:
        answer = scheduler.dry_run(name, job) if dry_run else _accept(name, job)
    except scheduler.RefusedByScheduler as refused:
        output.print_problem(str(refused))
        raise typer.Exit(2) from refused
    if as_json:
        output.print_json(answer)
    else:
        what = "would be accepted" if dry_run else f"job {answer['job_id']}"
        start = times.as_text(answer["first_start"])
        output.print_line(f"{what}: {answer['tasks']} tasks, the first may start at {start} UTC")
    if follow:
        raise typer.Exit(_watch(name, answer["job_id"], as_json=as_json))


def _accept(name: str, job: dict[str, Any]) -> dict[str, Any]:
    """The Scheduler's answer for a job that it accepted."""
    # With an id, a request that is sent twice is one job.
    is_named = job.get("job_id") is not None
    if not is_named:
        job["job_id"] = str(uuid4())
    doubt = scheduler.Doubt()
    try:
        return scheduler.submit(name, {"job": job}, doubt)
    except scheduler.RefusedByScheduler:
        raise
    except JobInterrupted as interrupted:
        output.print_message(interrupted.message)
        return interrupted.answer
    except (SoswError, BotoCoreError, ClientError) as failed:
        if doubt.remains and not is_named:
            output.print_message(f"The job may be accepted: submit it again with `job_id` {job['job_id']!r}.")
        if not isinstance(failed, scheduler.SchedulerFailed):
            raise
        output.print_problem(f"job {job['job_id']}: {failed}")
        raise typer.Exit(1) from failed


@app.command()
def preview(
    file: JobFile,
    *,
    schema: Annotated[
        typer.FileText | None,
        typer.Option(metavar="FILE", encoding="utf-8", help="File with the Worker's `job_schemas`, a JSON object."),
    ] = None,
    worker: Annotated[
        str | None, typer.Option(metavar="WORKER", help="Worker whose registered `job_schemas` are read from AWS.")
    ] = None,
    name: Name = "sosw",
    today: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Day from which periods count, as YYYY-MM-DD."),
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Only print how many tasks there are.")] = False,
    estimate: WithEstimate = False,
    as_json: AsJson = False,
) -> None:
    """Print the payload of every task of a job, a JSON object a line. Only --worker and --estimate ask AWS."""
    if schema is not None and worker is not None:
        raise Refused("--worker", worker, "expected either --worker or --schema")
    day: date | None = None if today is None else today.date()
    text = inputs.read_text(file)
    schemas: str | Mapping[str, JobSchema] | None = None if schema is None else inputs.read_text(schema)
    if estimate:
        _print_estimate(_estimate(name, text, worker, schemas, day), as_json=as_json)
        return
    if worker is not None:
        schemas = outlooks.worker_of(Tables.connect(name), worker).valid_registration.job_schemas
    if count:
        output.print_line(str(tasks_of_job.count(text, schemas, day)))
        return
    for payload in tasks_of_job.preview(text, schemas, day):
        output.print_line(payload)


def _estimate(
    name: str, text: str, worker_id: str | None, schemas: str | Mapping[str, JobSchema] | None, day: date | None
) -> Estimate:
    """The estimate of a job, by default for the Worker that it names and with the schemas that are registered."""
    tables, job = Tables.connect(name), parse_job(text).job
    worker = outlooks.worker_of(tables, worker_id or job.worker)
    if schemas is None:
        schemas = worker.valid_registration.job_schemas
    sizes = [len(payload.encode()) for payload in tasks_of_job.preview(text, schemas, day)]
    start = max(times.now(), job.start_at or 0)
    return Estimate(len(sizes), fmean(sizes), start, outlooks.read(tables, worker))


def _print_estimate(estimate: Estimate, *, as_json: bool) -> None:
    if as_json:
        output.print_json(estimate.to_json())
        return
    output.print_fields(estimate.fields())
    for assumption in estimate.assumptions():
        output.print_message(assumption)


@app.command()
def watch(job_id: KnownJobId, name: Name = "sosw", as_json: AsJson = False) -> None:
    """Show a job's progress until all its tasks are closed; exit code 1 if one is dead."""
    raise typer.Exit(_watch(name, job_id, as_json=as_json))


def _watch(name: str, job_id: str, *, as_json: bool) -> int:
    """Follow a job until it is closed; the exit code."""
    tables = Tables.connect(name)
    job = selection.known_job(tables, job_id)
    job_progress = progress.of_job(tables, job)
    views = follow_until_closed(
        lambda: view(tables, job, job_progress.take_snapshot(time.monotonic()), times.now()),
    )
    last = show_json(views) if as_json else show_progress(views)
    return 1 if last.dead else 0


@app.command("list")
def list_(
    *,
    worker: WorkerId = None,
    since: Annotated[
        str | None, typer.Option(help="Only jobs created since: 30m, 6h or 2d ago, or a time as 2026-01-31T06:00.")
    ] = None,
    limit: Limit = 100,
    columns: Columns = None,
    wide: Wide = False,
    name: Name = "sosw",
    as_json: AsJson = False,
) -> None:
    """List the jobs, the newest first."""
    layout = columns_of.layout(_COLUMNS, columns, wide=wide, as_json=as_json)
    earliest = 0 if since is None else times.parse("--since", since, times.now())
    tables = Tables.connect(name)
    if worker is not None:
        selection.known_workers(tables, [worker])
    cursors = {cursor.job_id: cursor for cursor in stored_jobs.cursors(tables)}
    found = [
        job for job in stored_jobs.list_all(tables) if worker in {None, job.worker_id} and job.created_at >= earliest
    ]
    newest = nlargest(limit, found, key=lambda job: job.created_at)
    lines = [_line(tables, job, cursors.get(job.job_id)) for job in newest]
    replayed = deaths.replayed_jobs(tables, {job: line["dead"] for job, line in zip(newest, lines, strict=True)})
    for line in lines:
        if line["job_id"] in replayed:
            line["state"] = _REPLAYING
    layout.print(lines, "No job passes the filters." if worker or since else "There is no job.")
    if len(found) > limit:
        output.print_limit_reached(limit)


@app.command()
def show(job_id: KnownJobId, name: Name = "sosw", as_json: AsJson = False) -> None:
    """Show a job: what was requested, by which request, and its tasks by status."""
    tables = Tables.connect(name)
    job = selection.known_job(tables, job_id)
    snapshot = progress.of_job(tables, job).take_snapshot(0)
    cursor = stored_jobs.cursor(tables, job.job_id)
    spec = stored_jobs.spec(tables, job.job_id)
    line = _line(tables, job, cursor)
    if job.closed_at is not None and (
        snapshot.queued + snapshot.running + snapshot.waiting or deaths.replayed_jobs(tables, {job: line["dead"]})
    ):
        line["state"] = _REPLAYING
    failures = deaths.failures(tables, job, snapshot.dead) if snapshot.dead else []
    about = {
        **line,
        "first_start_at": job.first_start,
        "today": job.today.isoformat(),
        "source": job.source,
        "schema": job.schema_name,
        "enqueued": job.total if cursor is None else cursor.position,
        **{
            status: getattr(snapshot, status)
            for status in ("queued", "running", "waiting", "completed", "dead", "cancelled")
        },
        "job": None if spec is None else Spec.from_json(spec).job_as_asked,
    }
    if as_json:
        output.print_json({**about, "failures": [asdict(failure) for failure in failures]})
    else:
        output.print_fields(times.with_times_as_text(about))
        if failures:
            output.print_line("")
            print_table(_FAILURES, [asdict(failure) for failure in failures], all_columns=True)
    if (grouped := sum(failure.count for failure in failures)) < snapshot.dead:
        output.print_message(f"{grouped} of {snapshot.dead} dead tasks were read.")


@app.command()
def cancel(job_id: KnownJobId, *, name: Name = "sosw", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Cancel a job's queued and waiting tasks. Running tasks finish, and those that fail are not retried.

    Exit code 1 if a task was not cancelled.
    """
    tables = Tables.connect(name)
    job = selection.known_job(tables, job_id)
    job_id = job.job_id
    wanted = selection.Selection(tasks.NOT_STARTED, job_id=job_id)
    while True:
        cursor = stored_jobs.cursor(tables, job_id) if dry_run else stored_jobs.cancel(tables, job_id, times.now())
        all_cancelled = tasks.cancel_all(tables, selection.select(tables, wanted), dry_run=dry_run, as_json=as_json)
        if cursor is None or cursor.is_at_rest or dry_run:
            break
        lease_end = times.as_text(cursor.lease_until)
        output.print_message(f"The Scheduler is still at work on it, until {lease_end} UTC at most.")
        time.sleep(_ENQUEUING_PAUSE)
    if cursor is not None:
        would = "would never be" if dry_run else "are not"
        unwritten = job.total - cursor.position
        output.print_message(f"{unwritten} tasks {would} queued, and count as cancelled within minutes.")
    raise typer.Exit(0 if all_cancelled else 1)


@app.command()
def redrive(*, name: Name = "sosw", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Send rejected jobs to the Scheduler again; exit code 1 if one is still not accepted."""
    queue = RejectedJobs(name)
    taken, kept = 0, list[RejectedJob]()
    try:
        for job in queue.receive_all():
            kept.append(job)
            reason = job.reason if dry_run else _submit_again(name, job)
            if reason is None:
                queue.delete(kept.pop())
                taken += 1
            if as_json:
                output.print_json({"job_id": job.job_id, "taken": reason is None, "reason": reason})
            else:
                output.print_line(f"{job.job_id}: {reason or 'taken'}")
    finally:
        for job in kept:
            queue.release(job)
    output.print_message(f"{taken} jobs taken, {len(kept)} left in the queue.")
    raise typer.Exit(1 if kept and not dry_run else 0)


def _submit_again(name: str, job: RejectedJob) -> str | None:
    """Send a job to the Scheduler; None if it is accepted, otherwise the error."""
    try:
        scheduler.submit(name, job.event)
    except JobInterrupted:
        return None
    except SoswError as failure:
        return str(failure)
    return None


def _line(tables: Tables, job: JobRecord, cursor: Cursor | None) -> dict[str, Any]:
    """A job as `list --json` prints it; times in milliseconds."""
    counts = progress.closed_counts(tables, job)
    return {
        "job_id": job.job_id,
        "worker_id": job.worker_id,
        "created_at": job.created_at,
        "closed_at": job.closed_at,
        "state": _state(job, cursor),
        "total": job.total,
        "completed": counts.completed,
        "dead": counts.dead,
        "cancelled": counts.cancelled,
    }


def _state(job: JobRecord, cursor: Cursor | None) -> str:
    if job.closed_at is not None:
        return "closed"
    if job.cancelled_at is not None or (cursor is not None and cursor.cancelled):
        return "cancelled"
    return "open" if cursor is None else "enqueuing"


_COLUMNS: Final = (
    columns_of.plain("job_id", "JOB", narrowing="id"),
    columns_of.plain("worker_id", "WORKER", rank=5),
    columns_of.plain("created_at", "CREATED", rank=6),
    columns_of.plain("closed_at", "CLOSED", rank=8),
    columns_of.plain("total", "TASKS", rank=3),
    columns_of.plain("completed", "COMPLETED", rank=4),
    columns_of.plain("dead", "DEAD", rank=2, style=lambda text: "" if text == "0" else "bold red"),
    columns_of.plain("cancelled", "CANCELLED", rank=7),
    columns_of.plain("state", "STATE", rank=1, style=lambda text: "yellow" if text == _REPLAYING else ""),
)
_FAILURES: Final = (
    columns_of.plain("count", "DEAD"),
    columns_of.plain("type", "ERROR", narrowing="cut", style=lambda _: "red"),
    columns_of.plain("task_id", "EXAMPLE"),
    columns_of.plain("message", "MESSAGE", narrowing="wrap"),
)
