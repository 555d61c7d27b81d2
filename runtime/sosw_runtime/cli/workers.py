"""`sosw workers`: list, pause and resume Workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from sosw_runtime.cli import caller, options, output, selection, times
from sosw_runtime.cli import columns as columns_of
from sosw_runtime.cli.installation import COUNTED_AT_MOST, counted
from sosw_runtime.cli.options import AsJson, Columns, DryRun, Labels, Name, Wide
from sosw_runtime.cli.table import Column
from sosw_runtime.errors import Refused
from sosw_runtime.storage import registry, slots, tasks
from sosw_runtime.storage.registry import Control, WorkerRecord
from sosw_runtime.storage.tables import Tables

app = typer.Typer(help="List, pause and resume Workers.", no_args_is_help=True)

WorkerIds = Annotated[list[str] | None, typer.Argument(metavar="WORKER", help="Ids of Workers, instead of --label.")]


@app.command("list")
def list_(
    *,
    label: Labels = None,
    columns: Columns = None,
    wide: Wide = False,
    name: Name = "sosw",
    as_json: AsJson = False,
) -> None:
    """List the Workers with their limit, health, running and queued tasks."""
    layout = columns_of.layout(_COLUMNS, columns, wide=wide, as_json=as_json)
    tables = Tables.connect(name)
    found = selection.with_labels(registry.workers(tables), options.labels_of(label))
    nothing = "No Worker has the labels." if label else "No Worker is registered."
    layout.print([_line(tables, each) for each in found], nothing)


@app.command()
def pause(
    worker_ids: WorkerIds = None,
    *,
    label: Labels = None,
    reason: Annotated[str | None, typer.Option(help="Reason, shown by `list`.")] = None,
    name: Name = "sosw",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Start no more tasks of these Workers. Running tasks finish, and the queue is kept."""
    _change_control(
        worker_ids,
        label,
        Control(paused=True, since=times.now(), reason=reason, by=None if dry_run else caller.name()),
        name,
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def resume(
    worker_ids: WorkerIds = None,
    *,
    label: Labels = None,
    name: Name = "sosw",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Resume paused Workers, within a minute."""
    _change_control(worker_ids, label, Control(paused=False, since=times.now()), name, dry_run=dry_run, as_json=as_json)


def _change_control(
    worker_ids: list[str] | None, label: list[str] | None, control: Control, name: str, *, dry_run: bool, as_json: bool
) -> None:
    if bool(worker_ids) == bool(label):
        raise Refused("WORKER", worker_ids, "expected ids of Workers, or --label")
    tables = Tables.connect(name)
    workers = selection.known_workers(tables, worker_ids) if worker_ids else registry.workers(tables)
    found = selection.with_labels(workers, options.labels_of(label))
    if not found:
        output.print_message("No Worker has the labels.")
    for worker in found:
        change = registry.control(tables, worker.worker_id).paused != control.paused
        if change and not dry_run:
            registry.put_control(tables, worker.worker_id, control)
        if as_json:
            output.print_json({"worker_id": worker.worker_id, "paused": control.paused, "changed": change})
        else:
            word = "paused" if control.paused else "resumed"
            result = (f"would be {word}" if dry_run else word) if change else f"is {word} already"
            output.print_line(f"{worker.worker_id} {result}")


def _line(tables: Tables, worker: WorkerRecord) -> dict[str, Any]:
    """A Worker as `list --json` prints it."""
    limit = None if worker.registration is None else worker.registration.max_concurrency
    return {
        "worker_id": worker.worker_id,
        "max_concurrency": limit,
        "health": worker.level.name.lower(),
        "allowed": None if limit is None else worker.current_limit,
        "running": len(slots.occupied(tables, worker.worker_id)),
        "queued": len(tasks.queue_head(tables, worker.worker_id, worker.shards, COUNTED_AT_MOST)),
        "paused": worker.control.paused,
        "paused_since": worker.control.since if worker.control.paused else None,
        "paused_reason": worker.control.reason if worker.control.paused else None,
        "problem": _problem(worker),
    }


def _problem(worker: WorkerRecord) -> str | None:
    if not worker.is_registered:
        return "not registered any more"
    return None if worker.problem is None else str(worker.problem)


def _state(line: Mapping[str, Any]) -> str:
    if line["problem"]:
        return str(line["problem"])
    if not line["paused"]:
        return "active"
    reason = f": {line['paused_reason']}" if line["paused_reason"] else ""
    return f"paused since {times.as_text(line['paused_since'])}{reason}"


def _state_style(text: str) -> str:
    if text == "active":
        return ""
    return "yellow" if text.startswith("paused since ") else "red"


_COLUMNS: Final = (
    columns_of.plain("worker_id", "WORKER"),
    columns_of.plain("max_concurrency", "LIMIT", rank=4),
    columns_of.plain("health", "HEALTH", rank=5, style=lambda text: "" if text == "high" else "yellow"),
    columns_of.plain("allowed", "ALLOWED", rank=6),
    columns_of.plain("running", "RUNNING", rank=3),
    Column("queued", "QUEUED", lambda line: counted(line["queued"]), rank=2),
    Column("state", "STATE", _state, rank=1, narrowing="wrap", style=_state_style),
)
