"""The commands put together, and every error turned into one line and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

import sosw_runtime
from sosw_runtime.cli import output
from sosw_runtime.cli.package import package
from sosw_runtime.errors import Refused, SoswError, Unavailable

app = typer.Typer(
    name="sosw",
    help="Orchestrates asynchronous invocations of AWS Lambda Workers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(package)


def _show_version(wanted: bool) -> None:
    if wanted:
        output.result(sosw_runtime.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Orchestrates asynchronous invocations of AWS Lambda Workers."""


def run(arguments: Sequence[str]) -> int:
    """
    Runs one command.

    Returns its exit code: 0 done, 1 the command ran and its answer is no (a dead task, a package that could not be
    built), 2 the input is refused, 3 AWS could not be asked, 130 interrupted.
    """
    try:
        code = app(args=list(arguments), prog_name="sosw", standalone_mode=False)
    except typer.Abort:
        return 130
    except typer.TyperException as misuse:
        if text := misuse.format_message():  # none when the help was shown instead
            output.problem(text)
        return misuse.exit_code
    except Refused as refused:
        output.problem(str(refused))
        return 2
    except (BotoCoreError, ClientError, Unavailable) as unavailable:
        output.problem(str(unavailable))
        return 3
    except SoswError as failed:
        output.problem(str(failed))
        return 1
    return code if isinstance(code, int) else 0
