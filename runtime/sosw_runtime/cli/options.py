"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from sosw_runtime.cli import json_path, times
from sosw_runtime.cli.pip import Architecture, Python
from sosw_runtime.cli.selection import Selection
from sosw_runtime.domain.task import Status
from sosw_runtime.errors import Refused

Name = Annotated[str, typer.Option("--name", envvar="SOSW_NAME", help="`name` of the Terraform module.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Columns = Annotated[
    str | None,
    typer.Option("--columns", metavar="NAME,...", help="Only these columns, named as the keys of --json."),
]
Wide = Annotated[bool, typer.Option("--wide", help="Every column, and nothing cut.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only print what would be changed.")]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="NAME=VALUE", help="Only Workers with this label. Repeatable."),
]
WorkerId = Annotated[str | None, typer.Option("--worker", help="Only this Worker's.")]
JobId = Annotated[str | None, typer.Option("--job", help="Only this job's tasks.")]
Since = Annotated[
    str | None,
    typer.Option(
        help="Only tasks closed (open ones: created) since then: 30m, 6h or 2d ago, or a time such as 2026-01-31T06:00."
    ),
]
Until = Annotated[str | None, typer.Option(help="Only tasks closed (open ones: created) until then.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Only tasks with this in their payload; a dotted key, e.g. order.id, reaches into it. Repeatable.",
    ),
]
PythonOption = Annotated[Python, typer.Option("--python", help="Version of the Lambda runtime.")]
ArchitectureOption = Annotated[Architecture, typer.Option("--architecture", help="Instruction set of the functions.")]
FolderOption = Annotated[Path, typer.Option("--output", help="Folder that receives the zip.")]
Limit = Annotated[int, typer.Option(min=1, help="Most lines to print.")]
Outcome = Literal["completed", "dead", "cancelled", "queued", "running", "waiting"]


def labels_of(given: Iterable[str] | None) -> dict[str, str]:
    """Labels by name.

    Raises:
        Refused: one is not written as NAME=VALUE.
    """
    labels = {}
    for text in given or ():
        label, equals, value = text.partition("=")
        if not (label and equals):
            raise Refused("--label", text, "expected NAME=VALUE")
        labels[label] = value
    return labels


def selection(
    statuses: Iterable[Status],
    worker_id: str | None,
    job_id: str | None,
    labels: Iterable[str] | None,
    since: str | None,
    until: str | None,
    where: Iterable[str] | None = None,
) -> Selection:
    """The selection that the options describe.

    Raises:
        Refused: names the option.
    """
    at = times.now()
    return Selection(
        statuses=frozenset(statuses),
        worker_id=worker_id,
        job_id=job_id,
        labels=labels_of(labels),
        since=None if since is None else times.parse("--since", since, at),
        until=None if until is None else times.parse("--until", until, at),
        where=json_path.conditions(where),
    )
