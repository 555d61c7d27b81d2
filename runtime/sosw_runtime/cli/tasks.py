"""`sosw tasks`: list and show tasks, replay dead ones, cancel tasks, bury unreadable items."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from itertools import islice
from typing import Annotated, Any, Final, Literal

import typer

from sosw_runtime.cli import bulk, options, output, selection, times
from sosw_runtime.cli import columns as columns_of
from sosw_runtime.cli.options import (
    AsJson,
    Columns,
    DryRun,
    JobId,
    Labels,
    Limit,
    Name,
    Outcome,
    Since,
    Until,
    Where,
    Wide,
    WorkerId,
)
from sosw_runtime.cli.table import Column, print_table
from sosw_runtime.domain.task import Error, Status, Task
from sosw_runtime.errors import Refused
from sosw_runtime.storage import jobs, moves, registry
from sosw_runtime.storage import tasks as stored_tasks
from sosw_runtime.storage.items import Unreadable, salvaged_task
from sosw_runtime.storage.tables import Tables

#: Reason in the history of a task that is cancelled here.
_REASON: Final = "asked for on the command line"
NOT_STARTED: Final = frozenset({Status.QUEUED, Status.WAITING})
_LISTED: Final = NOT_STARTED | {Status.RUNNING, Status.COMPLETED, Status.DEAD, Status.CANCELLED}

app = typer.Typer(help="Find, replay and cancel tasks.", no_args_is_help=True)

TaskIds = Annotated[list[str] | None, typer.Argument(metavar="TASK_ID", help="Ids of tasks, instead of a filter.")]


@app.command("list")
def list_(
    *,
    worker: WorkerId = None,
    job: JobId = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Only tasks in this status.")] = None,
    label: Labels = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    limit: Limit = 1000,
    columns: Columns = None,
    wide: Wide = False,
    name: Name = "sosw",
    as_json: AsJson = False,
) -> None:
    """List tasks by Worker: queued, running and waiting ones, then closed ones from the oldest."""
    layout = columns_of.layout(_COLUMNS, columns, wide=wide, as_json=as_json, payload_keys=True)
    statuses = _LISTED if outcome is None else {Status(outcome)}
    wanted = options.selection(statuses, worker, job, label, since, until, where)
    found = selection.select(Tables.connect(name), wanted)
    first = list(islice(found, limit))
    layout.print([_line(task) for task in first], "No task passes the filters.")
    if next(found, None) is not None:
        output.print_limit_reached(limit)


@app.command()
def show(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID", help="Id of the task.")],
    name: Name = "sosw",
    as_json: AsJson = False,
) -> None:
    """Show a task with its history and payload."""
    task = _find_one(Tables.connect(name), task_id)
    if as_json:
        output.print_json(_details(task))
        return
    whole = _details(task)
    history = whole.pop("history")
    output.print_fields(times.with_times_as_text(whole))
    output.print_line("")
    print_table(_HISTORY, history, all_columns=True)


@app.command()
def replay(
    task_ids: TaskIds = None,
    *,
    worker: WorkerId = None,
    job: JobId = None,
    outcome: Annotated[Literal["dead"] | None, typer.Option(help="Only tasks in this status.")] = None,
    label: Labels = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    name: Name = "sosw",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Queue dead tasks again, each with a new allowance of attempts; exit code 1 if one was not replayed."""
    tables = Tables.connect(name)
    filtered = any([worker, job, outcome, label, since, until, where])
    wanted = options.selection({Status.DEAD}, worker, job, label, since, until, where)
    # A replayed task may die again before the command ends. It is not replayed twice.
    now = times.now()
    wanted = replace(wanted, until=now if wanted.until is None else min(wanted.until, now))
    found = _find(tables, task_ids, {Status.DEAD}, wanted, filtered=filtered)
    workers = {worker.worker_id: worker for worker in registry.workers(tables)}

    def move(task: Task) -> bool:
        shards = workers[task.worker_id].valid_registration.queue_shards
        is_before_cursor = bool(jobs.tasks_before_cursor(tables, [task]))
        return is_before_cursor and moves.replay(tables, task, shards, times.now())

    raise typer.Exit(0 if _move_all("replayed", found, move, dry_run=dry_run, as_json=as_json) else 1)


@app.command()
def cancel(
    task_ids: TaskIds = None,
    *,
    worker: WorkerId = None,
    job: JobId = None,
    outcome: Annotated[
        Literal["queued", "waiting", "dead"] | None,
        typer.Option(help="Only tasks in this status; dead ones by this or by their ids only."),
    ] = None,
    label: Labels = None,
    since: Since = None,
    until: Until = None,
    where: Where = None,
    name: Name = "sosw",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Cancel queued, waiting or dead tasks; exit code 1 if one was not cancelled."""
    tables = Tables.connect(name)
    statuses = NOT_STARTED if outcome is None else {Status(outcome)}
    wanted = options.selection(statuses, worker, job, label, since, until, where)
    filtered = any([worker, job, outcome, label, since, until, where])
    found = _find(tables, task_ids, NOT_STARTED | {Status.DEAD}, wanted, filtered=filtered)
    raise typer.Exit(0 if cancel_all(tables, found, dry_run=dry_run, as_json=as_json) else 1)


@app.command()
def unreadable(*, columns: Columns = None, wide: Wide = False, name: Name = "sosw", as_json: AsJson = False) -> None:
    """List unreadable items; exit code 1 if there is one. Scans the tables."""
    layout = columns_of.layout(_UNREADABLE, columns, wide=wide, as_json=as_json)
    lines = [_unreadable_line(each) for each in stored_tasks.unreadable_items(Tables.connect(name))]
    layout.print(lines, "Every item can be read.")
    raise typer.Exit(1 if lines else 0)


@app.command()
def bury(
    task_ids: Annotated[list[str], typer.Argument(metavar="TASK_ID", help="Ids as `unreadable` lists them.")],
    *,
    name: Name = "sosw",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Turn unreadable items into dead tasks with the whole item as payload; exit code 1 if one has changed."""
    tables, wanted = Tables.connect(name), set(task_ids)
    found = {_unreadable_line(each)["task_id"]: each for each in stored_tasks.unreadable_items(tables)}
    for task_id in task_ids:
        if task_id not in found:
            raise Refused("TASK_ID", task_id, "expected the id of an item that `sosw tasks unreadable` lists")
    all_buried = True
    for task_id in sorted(wanted):
        buried = dry_run or moves.bury(tables, found[task_id], times.now())
        all_buried = all_buried and buried
        result = ("would be buried" if dry_run else "buried") if buried else "moved on"
        if as_json:
            output.print_json({"task_id": task_id, "buried": buried})
        else:
            output.print_line(f"{task_id}: {result}")
    raise typer.Exit(0 if all_buried else 1)


def _unreadable_line(unreadable_item: Unreadable) -> dict[str, str]:
    """An unreadable item as `unreadable --json` prints it."""
    task = salvaged_task(unreadable_item)
    return {**{name: str(value) for name, value in bulk.identity(task).items()}, "reason": str(unreadable_item)}


def cancel_all(tables: Tables, found: Iterable[Task], *, dry_run: bool, as_json: bool) -> bool:
    """Cancel tasks and print the result; whether all were cancelled."""

    def move(task: Task) -> bool:
        return moves.cancel(tables, task, times.now(), _REASON)

    return _move_all("cancelled", found, move, dry_run=dry_run, as_json=as_json)


def _find(
    tables: Tables, task_ids: list[str] | None, movable: Set[Status], wanted: selection.Selection, *, filtered: bool
) -> Iterator[Task]:
    """The tasks to move, by ids or by a filter. One of them is required, so that nobody moves all tasks by mistake."""
    if bool(task_ids) == filtered:
        raise Refused("TASK_ID", task_ids, "expected ids of tasks, or a filter such as --worker or --job")
    if not task_ids:
        return selection.select(tables, wanted)
    tasks = [_find_one(tables, task_id) for task_id in dict.fromkeys(task_ids)]
    for task in tasks:
        if task.status not in movable:
            *others, last = sorted(movable)
            expected = f"{', '.join(others)} or {last}" if others else last
            raise Refused("TASK_ID", task.task_id, f"expected a {expected} task, this one is {task.status}")
    return iter(tasks)


def _find_one(tables: Tables, task_id: str) -> Task:
    task = selection.find(tables, task_id)
    if task is None:
        raise Refused("TASK_ID", task_id, f"expected the id of a task in {tables.tasks}, waiting or closed")
    return task


def _move_all(
    participle: str, found: Iterable[Task], move: Callable[[Task], bool], *, dry_run: bool, as_json: bool
) -> bool:
    if not dry_run:
        return bulk.move_all(participle, found, move, as_json=as_json)
    count = 0
    for task in found:
        count += 1
        output.print_json(_line(task)) if as_json else output.print_line(task.task_id)
    output.print_message(f"{count} tasks would be {participle}.")
    return True


def _line(task: Task) -> dict[str, Any]:
    """A task as `list --json` prints it: without result, stats and history."""
    whole = _details(task)
    return {key: whole[key] for key in whole if key not in {"result", "stats", "history"}}


def _details(task: Task) -> dict[str, Any]:
    """A task as `show --json` prints it; times in milliseconds."""
    return {
        **bulk.identity(task),
        "number": task.number,
        "outcome": str(task.status),
        "attempt": task.attempt,
        "spared": task.spared,
        "priority": task.priority,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "due_at": task.due_at,
        "closed_at": task.closed_at,
        "duration_ms": task.duration_ms,
        "error": _parse_json(task.error),
        "payload": _parse_json(task.payload),
        "result": _parse_json(task.result),
        "stats": _parse_json(task.stats),
        "history": [
            {"at": entry.at, "move": str(entry.move), "attempt": entry.attempt, "reason": entry.reason}
            for entry in task.history
        ],
    }


def _parse_json(text: str | None) -> Any:
    """A stored value; a text that is no JSON, as somebody else may have written it, as it is."""
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text


def _error_cell(line: Mapping[str, Any]) -> str:
    error = line["error"]
    return "" if error is None else str(Error.from_json(json.dumps(error)))


def _outcome_style(text: str) -> str:
    return "bold red" if text == "dead" else ""


_COLUMNS: Final = (
    columns_of.plain("task_id", "TASK"),
    columns_of.plain("worker_id", "WORKER", rank=5),
    columns_of.plain("job_id", "JOB", rank=3, narrowing="id"),
    columns_of.plain("number", "NUMBER", only_wide=True),
    columns_of.plain("outcome", "OUTCOME", rank=1, style=_outcome_style),
    columns_of.plain("attempt", "ATTEMPT", rank=4),
    columns_of.plain("spared", "SPARED", only_wide=True),
    columns_of.plain("priority", "PRIORITY", only_wide=True),
    columns_of.plain("created_at", "CREATED", rank=7),
    columns_of.plain("started_at", "STARTED", only_wide=True),
    columns_of.plain("due_at", "DUE", only_wide=True),
    columns_of.plain("closed_at", "CLOSED", rank=6),
    columns_of.plain("duration_ms", "DURATION_MS", only_wide=True),
    Column("error", "ERROR", _error_cell, rank=2, narrowing="cut", style=lambda text: "red" if text else ""),
    columns_of.plain("payload", "PAYLOAD", narrowing="cut", only_wide=True),
)
_HISTORY: Final = (
    Column("at", "AT", lambda entry: times.as_text(entry["at"])),
    columns_of.plain("move", "MOVE"),
    columns_of.plain("attempt", "ATTEMPT"),
    columns_of.plain("reason", "REASON", narrowing="wrap"),
)
_UNREADABLE: Final = (
    columns_of.plain("task_id", "TASK"),
    columns_of.plain("worker_id", "WORKER", rank=2),
    columns_of.plain("job_id", "JOB", rank=3, narrowing="id"),
    columns_of.plain("reason", "REASON", rank=1, narrowing="wrap"),
)
