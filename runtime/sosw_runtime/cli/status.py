"""`sosw status`: one screen of an installation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sosw_runtime.cli import output, survey, times
from sosw_runtime.cli.installation import Installation, Unknown, WorkerState, counted
from sosw_runtime.cli.options import AsJson, Name
from sosw_runtime.cli.reasons import pause_text
from sosw_runtime.storage.tables import Tables

#: Least seconds between two screens of `--watch`.
_PAUSE: Final = 10.0


def status(
    *,
    name: Name = "sosw",
    watch: Annotated[bool, typer.Option("--watch", help="Refresh until it is interrupted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show an installation: Workers, jobs, alarms and versions; exit code 1 if something needs a person."""
    tables = Tables.connect(name)
    if not watch:
        seen = survey.read(tables, name)
        _print(seen, as_json=as_json)
        raise typer.Exit(1 if seen.needs() else 0)
    console = Console()
    if as_json or not console.is_terminal:
        for seen in _read_again_and_again(tables, name):
            _print(seen, as_json=as_json)
        return
    with Live(console=console, screen=True, auto_refresh=False) as live:
        for seen in _read_again_and_again(tables, name):
            live.update(screen(seen), refresh=True)


def _read_again_and_again(tables: Tables, name: str) -> Iterator[Installation]:
    while True:
        began = time.monotonic()
        yield survey.read(tables, name)
        time.sleep(times.pause_seconds(time.monotonic() - began, _PAUSE))


def _print(seen: Installation, *, as_json: bool) -> None:
    if as_json:
        output.print_json(seen.to_json())
    else:
        Console(soft_wrap=True).print(screen(seen))


def screen(seen: Installation) -> Group:
    """The whole screen. Long lines wrap."""
    return Group(*map(Text, _summary(seen)), Text(), _workers(seen), Text(), *_needs(seen))


def _summary(seen: Installation) -> Iterator[str]:
    yield f"{seen.name} at {times.as_text(seen.at)} UTC, sosw {seen.version}"
    if isinstance(seen.versions, Unknown):
        yield str(seen.versions)
    elif set(seen.versions.values()) == {seen.version}:
        yield f"functions: {seen.version}, all the same"
    if isinstance(seen.alarms, Unknown):
        yield str(seen.alarms)
    else:
        yield f"alarms on: {len(seen.alarms)}"
    yield f"jobs open: {len(seen.open_jobs)}"
    oldest = seen.oldest_queued
    if oldest is not None:
        yield f"oldest queued task: of {oldest.worker_id}, for {_age(oldest, seen.at)}"
    for worker in seen.workers:
        if worker.control.paused:
            yield f"{worker.worker_id}: {pause_text(worker.control)}"


def _workers(seen: Installation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("WORKER", overflow="fold")
    for column in ("QUEUED", "OLDEST", "RUNNING", "LIMIT", "HEALTH", "DEAD", "STATE"):
        table.add_column(column, no_wrap=True)
    for worker in seen.workers:
        cells = [
            worker.worker_id,
            counted(worker.queued),
            _age(worker, seen.at),
            str(worker.running),
            _limit(worker),
            worker.health,
            counted(worker.dead),
            worker.state,
        ]
        table.add_row(*map(Text, cells))
    return table


def _limit(worker: WorkerState) -> str:
    """The limit, after the part of it that may run now if that is less."""
    if worker.max_concurrency is None or worker.allowed is None:
        return ""
    limit = str(worker.max_concurrency)
    return limit if worker.allowed == worker.max_concurrency else f"{worker.allowed} of {limit}"


def _age(worker: WorkerState, at: int) -> str:
    """How long the oldest counted task of a queue is in it."""
    return "" if worker.oldest_queued_at is None else times.duration_text((at - worker.oldest_queued_at) / 1000)


def _needs(seen: Installation) -> Iterator[Text]:
    needs = seen.needs()
    yield Text("Needs a person:" if needs else "Nothing needs a person.", "bold red" if needs else "green")
    yield from (Text(f"- {' '.join(need.split())}") for need in needs)
