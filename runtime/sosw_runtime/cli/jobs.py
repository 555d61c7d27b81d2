"""`sosw jobs`: submit jobs and follow them to their end."""

from __future__ import annotations

import json
import time
from typing import Annotated, Any
from uuid import uuid4

import typer

from sosw_runtime import aws
from sosw_runtime.cli import output, scheduler, selection, times
from sosw_runtime.cli.options import AsJson, Name
from sosw_runtime.cli.progress import JobProgress
from sosw_runtime.cli.watch import show, show_json, until_done
from sosw_runtime.errors import Refused
from sosw_runtime.storage import jobs as stored_jobs
from sosw_runtime.storage.tables import Tables

app = typer.Typer(help="Submit jobs and follow them.", no_args_is_help=True)

JobFile = Annotated[
    typer.FileText,
    typer.Argument(metavar="JOB", encoding="utf-8", help="File with the job, a JSON object; - for standard input."),
]


@app.command()
def submit(file: JobFile, name: Name = "sosw", as_json: AsJson = False) -> None:
    """Have the Scheduler take a job."""
    job = read_job(file)
    # An id given here makes a request that is sent twice the same job.
    job.setdefault("job_id", str(uuid4()))
    try:
        answer = scheduler.submit(name, job)
    except scheduler.JobRefused as refused:
        output.problem(str(refused))
        raise typer.Exit(2) from refused
    if as_json:
        output.result_json(answer)
    else:
        start = answer["first_start"]
        when = "" if start is None else f", the first may start at {times.shown(start)} UTC"
        output.result(f"job {answer['job_id']}: {answer['tasks']} tasks{when}")


def read_job(file: typer.FileText) -> dict[str, Any]:
    """The job in a file.

    Raises:
        Refused: the file holds no JSON object.
    """
    text = file.read()
    try:
        job = json.loads(text)
    except ValueError as error:
        raise Refused("job", text, f"expected a JSON object: {error}") from error
    if not isinstance(job, dict):
        raise Refused("job", job, "expected a JSON object")
    return job


@app.command()
def watch(
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", help="Id of the job, as `submit` prints it.")],
    name: Name = "sosw",
    as_json: AsJson = False,
) -> None:
    """Show a job's progress until all its tasks are closed; exit code 1 if one is dead."""
    tables = Tables(aws.dynamodb(), name)
    job = selection.known_job(tables, job_id)
    progress = JobProgress(job_id, lambda numbers: stored_jobs.states(tables, job, numbers))
    snapshots = until_done(lambda: progress.look(job.total, time.monotonic()))
    last = show_json(snapshots) if as_json else show(snapshots)
    raise typer.Exit(1 if last.dead else 0)
