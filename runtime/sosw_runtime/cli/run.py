"""`sosw run`: a Worker's tasks in this process, without AWS."""

from __future__ import annotations

import json
import sys
import traceback
from contextlib import redirect_stdout
from datetime import datetime
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from sosw_runtime.cli import inputs, output
from sosw_runtime.cli import preview as tasks_of_job
from sosw_runtime.cli.inputs import FileRefused
from sosw_runtime.cli.options import AsJson
from sosw_runtime.domain.job import json_object
from sosw_runtime.errors import Refused
from sosw_runtime.testing import Outcome, run_task
from sosw_runtime.testing.tasks import Runnable

_DEFAULT_NAME: Final = "handler"
_DEFAULT_LIMIT: Final = 10


def run(
    handler: Annotated[
        str,
        typer.Argument(
            metavar="FILE[:NAME]",
            help=f"File with the Worker, and the name of its handler, by default {_DEFAULT_NAME}.",
        ),
    ],
    *,
    payload: Annotated[str | None, typer.Option(metavar="JSON", help="Payload of one task, a JSON object.")] = None,
    job: Annotated[
        typer.FileText | None,
        typer.Option(
            metavar="FILE", encoding="utf-8", help="File with a job, whose tasks run in turn; - for standard input."
        ),
    ] = None,
    schema: Annotated[
        typer.FileText | None,
        typer.Option(metavar="FILE", encoding="utf-8", help="File with the Worker's `job_schemas`, a JSON object."),
    ] = None,
    today: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DATE", help="Day from which periods count, as YYYY-MM-DD."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Most tasks of the job to run, by default 10.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run a Worker in this process as Lambda would call it, without AWS: its reports go nowhere.

    What the Worker prints goes to standard error. Exit code 1 if a task failed.
    """
    if payload is not None and job is None:
        for option, value in (("--schema", schema), ("--today", today), ("--limit", limit)):
            if value is not None:
                raise Refused(option, str(value), "expected none with --payload, which is one task")
        payloads = iter([json_object("--payload", payload)])
    elif job is not None and payload is None:
        texts = inputs.read_text(job), None if schema is None else inputs.read_text(schema)
        payloads = map(json.loads, tasks_of_job.preview(*texts, None if today is None else today.date()))
    elif payload is not None:
        raise Refused("--payload", payload, "expected either --payload or --job")
    else:
        raise FileRefused("FILE: expected either --payload or --job beside it")
    most = limit or _DEFAULT_LIMIT
    worker = _load(handler)
    failed = False
    for number, each in enumerate(islice(payloads, most)):
        with redirect_stdout(sys.stderr):
            outcome = run_task(worker, each, number=number)
        failed = failed or outcome.failed
        _show(each, outcome, number, as_json=as_json)
    if next(payloads, None) is not None:
        output.print_message(f"There are more than {most} tasks; see --limit.")
    raise typer.Exit(1 if failed else 0)


def _load(handler: str) -> Runnable:
    """The handler that `FILE[:NAME]` names, imported as Lambda imports it: its folder is on the path."""
    file, _, name = handler.rpartition(":")
    if not (file and name.isidentifier()):
        file, name = handler, _DEFAULT_NAME
    path = Path(file)
    spec = spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise FileRefused(f"FILE: {file} is refused; expected a file of Python")
    sys.path.insert(0, str(path.resolve().parent))
    module = sys.modules[path.stem] = module_from_spec(spec)
    try:
        with redirect_stdout(sys.stderr):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        where = f" in line {lines[-1]}" if lines else ""
        raise FileRefused(f"FILE: {file} cannot be imported: {type(error).__name__}{where}: {error}") from error
    found: Runnable | None = getattr(module, name, None)
    if not callable(found):
        raise FileRefused(
            f"NAME: {name} is refused; expected a handler in {file}, such as `handler = Resize.handler()`"
        )
    return found


def _show(payload: dict[str, Any], outcome: Outcome, number: int, *, as_json: bool) -> None:
    told = {
        "task": number,
        "payload": payload,
        "outcome": "completed" if outcome.completed else "failed",
        "result": outcome.result,
        "stats": outcome.stats,
        "error": outcome.error,
        "retryable": outcome.retryable,
        "duration_ms": outcome.duration_ms,
        "report": outcome.report,
    }
    if outcome.retry_after_seconds is not None:
        told["retry_after_seconds"] = outcome.retry_after_seconds
    if as_json:
        output.print_json(told)
        return
    if outcome.exception is not None:
        output.print_message("".join(traceback.format_exception(outcome.exception)).rstrip())
    if number > 0:
        output.print_line("")
    retryable = json.dumps(outcome.retryable) if outcome.failed else None
    output.print_fields({**told, "retryable": retryable})
