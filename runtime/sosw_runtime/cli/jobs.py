"""`sosw jobs`: submit jobs, follow them to their end, cancel them, and send rejected ones again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from heapq import nlargest
from typing import Annotated, Any, Final
from uuid import uuid4

import typer
from botocore.exceptions import BotoCoreError, ClientError

from sosw_runtime.cli import inputs, output, progress, scheduler, selection, tasks, times
from sosw_runtime.cli import preview as tasks_of_job
from sosw_runtime.cli.options import AsJson, DryRun, Limit, Name, WorkerId
from sosw_runtime.cli.redrive import RejectedJob, RejectedJobs
from sosw_runtime.cli.watch import show as show_progress
from sosw_runtime.cli.watch import show_json, until_done
from sosw_runtime.domain.job import json_object
from sosw_runtime.errors import JobInterrupted, SoswError
from sosw_runtime.storage import jobs as stored_jobs
from sosw_runtime.storage.jobs import Cursor, JobRecord
from sosw_runtime.storage.tables import Tables

app = typer.Typer(help="Submit, watch and cancel jobs.", no_args_is_help=True)

JobFile = Annotated[
    typer.FileText,
    typer.Argument(metavar="JOB", encoding="utf-8", help="File with the job, a JSON object; - for standard input."),
]
KnownJobId = Annotated[str, typer.Argument(metavar="JOB_ID", help="Id of the job, as `submit` prints it.")]

#: Seconds between two passes over a job that is cancelled while it is enqueued: its Scheduler ends its window.
_ENQUEUING_PAUSE: Final = 1.0


@app.command()
def submit(file: JobFile, name: Name = "sosw", as_json: AsJson = False) -> None:
    """Have the Scheduler take a job."""
    job = json_object("job", inputs.text(file))
    # An id given here makes a request that is sent twice the same job.
    is_named = job.get("job_id") is not None
    if not is_named:
        job["job_id"] = str(uuid4())
    doubt = scheduler.Doubt()
    try:
        answer = scheduler.ask(name, {"job": job}, doubt)
    except scheduler.RefusedByScheduler as refused:
        output.problem(str(refused))
        raise typer.Exit(2) from refused
    except JobInterrupted as interrupted:
        output.progress(interrupted.message)
        answer = interrupted.answer
    except (SoswError, BotoCoreError, ClientError) as failed:
        if doubt.remains and not is_named:
            output.progress(f"The job may be accepted: submit it again with `job_id` {job['job_id']!r}.")
        if not isinstance(failed, scheduler.SchedulerFailed):
            raise
        output.problem(f"job {job['job_id']}: {failed}")
        raise typer.Exit(1) from failed
    if as_json:
        output.result_json(answer)
    else:
        start = times.shown(answer["first_start"])
        output.result(f"job {answer['job_id']}: {answer['tasks']} tasks, the first may start at {start} UTC")


@app.command()
def preview(
    file: JobFile,
    *,
    schema: Annotated[
        typer.FileText | None,
        typer.Option(metavar="FILE", encoding="utf-8", help="File with the Worker's `job_schemas`, a JSON object."),
    ] = None,
    today: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Day from which periods count, as YYYY-MM-DD."),
    ] = None,
    count: Annotated[bool, typer.Option("--count", help="Only print how many tasks there are.")] = False,
) -> None:
    """Print the payload of every task that a job would have, a JSON object a line, without asking AWS."""
    day: date | None = None if today is None else today.date()
    texts = inputs.text(file), None if schema is None else inputs.text(schema)
    if count:
        output.result(str(tasks_of_job.count(*texts, day)))
        return
    for payload in tasks_of_job.preview(*texts, day):
        output.result(payload)


@app.command()
def watch(job_id: KnownJobId, name: Name = "sosw", as_json: AsJson = False) -> None:
    """Show a job's progress until all its tasks are closed; exit code 1 if one is dead."""
    tables = Tables.connect(name)
    looks = progress.of_job(tables, selection.known_job(tables, job_id))
    snapshots = until_done(lambda: looks.look(time.monotonic()))
    last = show_json(snapshots) if as_json else show_progress(snapshots)
    raise typer.Exit(1 if last.dead else 0)


@app.command("list")
def list_(
    *,
    worker: WorkerId = None,
    since: Annotated[
        str | None, typer.Option(help="Only jobs created since: 30m, 6h or 2d ago, or a time as 2026-01-31T06:00.")
    ] = None,
    limit: Limit = 100,
    name: Name = "sosw",
    as_json: AsJson = False,
) -> None:
    """List the jobs, the newest first."""
    earliest = 0 if since is None else times.parse("--since", since, times.now())
    tables = Tables.connect(name)
    cursors = {cursor.job_id: cursor for cursor in stored_jobs.enqueuing(tables)}
    found = [
        job for job in stored_jobs.list_all(tables) if worker in {None, job.worker_id} and job.created_at >= earliest
    ]
    newest = nlargest(limit, found, key=lambda job: job.created_at)
    lines = [_line(tables, job, cursors.get(job.job_id)) for job in newest]
    if as_json:
        for line in lines:
            output.result_json(line)
    else:
        _table(lines)
    if len(found) > limit:
        output.more_than(limit)


def _table(lines: Iterable[Mapping[str, Any]]) -> None:
    output.result_table(
        ["JOB", "WORKER", "CREATED", "CLOSED", "TASKS", "COMPLETED", "DEAD", "CANCELLED", "STATE"],
        (
            [
                line["job_id"],
                line["worker_id"],
                times.shown(line["created_at"]),
                times.shown(line["closed_at"]),
                *(line[count] for count in ("total", "completed", "dead", "cancelled", "state")),
            ]
            for line in lines
        ),
    )


@app.command()
def show(job_id: KnownJobId, name: Name = "sosw", as_json: AsJson = False) -> None:
    """Show a job: who asked for what and when, and where its tasks stand."""
    tables = Tables.connect(name)
    job = selection.known_job(tables, job_id)
    snapshot = progress.of_job(tables, job).look(0)
    cursor = stored_jobs.cursor(tables, job_id)
    spec = stored_jobs.spec(tables, job_id)
    about = {
        **_line(tables, job, cursor),
        "first_start_at": job.first_start,
        "today": job.today.isoformat(),
        "source": job.source,
        "schema": job.schema_name,
        "enqueued": job.total if cursor is None else cursor.position,
        **{
            state: getattr(snapshot, state)
            for state in ("queued", "running", "waiting", "completed", "dead", "cancelled")
        },
        "job": None if spec is None else json.loads(spec)["job"],
    }
    if as_json:
        output.result_json(about)
    else:
        output.result_fields(times.readable(about))


@app.command()
def cancel(job_id: KnownJobId, *, name: Name = "sosw", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Take out what has not started of a job; running tasks finish, and those that fail are not tried again.

    Exit code 1 if a task had moved on.
    """
    tables = Tables.connect(name)
    job = selection.known_job(tables, job_id)
    wanted = selection.Selection(tasks.NOT_STARTED, job_id=job_id)
    while True:
        cursor = stored_jobs.cursor(tables, job_id) if dry_run else stored_jobs.cancel(tables, job_id, times.now())
        moved = tasks.cancel_all(tables, selection.select(tables, wanted), dry_run=dry_run, as_json=as_json)
        if cursor is None or cursor.at_rest or dry_run:
            break
        output.progress(f"The Scheduler is still at work on it, until {times.shown(cursor.lease_until)} UTC at most.")
        time.sleep(_ENQUEUING_PAUSE)
    if cursor is not None:
        would = "would never be" if dry_run else "are not"
        output.progress(f"{job.total - cursor.position} tasks {would} queued, and count as cancelled within minutes.")
    raise typer.Exit(0 if moved else 1)


@app.command()
def redrive(*, name: Name = "sosw", dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Send jobs again that the Scheduler could not take; exit code 1 if it still cannot take one."""
    queue = RejectedJobs(name)
    taken, kept = 0, list[RejectedJob]()
    try:
        for job in queue.receive():
            kept.append(job)
            reason = job.reason if dry_run else _ask_again(name, job)
            if reason is None:
                queue.delete(kept.pop())
                taken += 1
            if as_json:
                output.result_json({"job_id": job.job_id, "taken": reason is None, "reason": reason})
            else:
                output.result(f"{job.job_id}: {reason or 'taken'}")
    finally:
        for job in kept:
            queue.give_back(job)
    output.progress(f"{taken} jobs taken, {len(kept)} left in the queue.")
    raise typer.Exit(1 if kept and not dry_run else 0)


def _ask_again(name: str, job: RejectedJob) -> str | None:
    """Ask the Scheduler to take a job; None once it is accepted, or else why that is not known."""
    try:
        scheduler.ask(name, job.event)
    except JobInterrupted:
        return None
    except SoswError as failure:
        return str(failure)
    return None


def _line(tables: Tables, job: JobRecord, cursor: Cursor | None) -> dict[str, Any]:
    """A job as `list --json` prints it; times in milliseconds."""
    counts = progress.closed_tasks(tables, job)
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
