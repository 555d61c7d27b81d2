"""The command tree. Every error becomes one line and an exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import ValidationError

import sosw_runtime
from sosw_runtime.cli import failures, jobs, output, tasks, worker_package, workers
from sosw_runtime.cli.import_config import import_config
from sosw_runtime.cli.package import package
from sosw_runtime.cli.run import run as run_worker
from sosw_runtime.cli.status import status
from sosw_runtime.errors import SoswError

app = typer.Typer(
    name="sosw",
    help="Orchestrates asynchronous invocations of AWS Lambda Workers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(package)
app.command("run")(run_worker)
app.command()(status)
app.command("import-config")(import_config)
app.add_typer(jobs.app, name="jobs")
app.add_typer(tasks.app, name="tasks")
app.add_typer(workers.app, name="workers")
app.add_typer(worker_package.app, name="worker")


def _show_version(wanted: bool) -> None:
    if wanted:
        output.print_line(sosw_runtime.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Orchestrates asynchronous invocations of AWS Lambda Workers."""


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Returns:
        Its exit code: 0 success; 1 the answer is no, e.g. a task is dead, or a file could not be written; 2 the input
        is refused; 3 a call to AWS failed; 130 interrupted.
    """
    try:
        code = _command()(args=list(arguments), prog_name="sosw", standalone_mode=False)
    except typer.Abort:
        return 130
    except (typer.TyperException, SoswError, ValidationError, BotoCoreError, ClientError, OSError) as failure:
        code, line = failures.exit_code_and_line(failure)
        if line:  # empty if the help was printed instead
            output.print_problem(line)
    return code if isinstance(code, int) else 0


def _command() -> Callable[..., object]:
    """The command tree, whose help shows a flag without a type."""
    root = typer.main.get_command(app)
    remaining = [root]
    while remaining:
        command = remaining.pop()
        remaining += getattr(command, "commands", {}).values()
        for parameter in command.get_params(typer.Context(command)):
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
    return root
