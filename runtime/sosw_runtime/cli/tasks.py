"""`sosw tasks`: find tasks, see what became of them, replay the dead and cancel what is not wanted any more."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import replace
from itertools import islice
from typing import Annotated, Any, Final, Literal

import typer

from sosw_runtime.cli import bulk, options, output, selection, times
from sosw_runtime.cli.options import AsJson, DryRun, JobId, Labels, Limit, Name, Outcome, Since, Until, WorkerId
from sosw_runtime.domain.task import Status, Task
from sosw_runtime.errors import Refused
from sosw_runtime.storage import jobs, moves, registry
from sosw_runtime.storage import tasks as stored_tasks
from sosw_runtime.storage.items import Unreadable, salvaged
from sosw_runtime.storage.tables import Tables

#: What history says of a task that was cancelled here.
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
    outcome: Annotated[Outcome | None, typer.Option(help="Only tasks that stand there.")] = None,
    label: Labels = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 1000,
    name: Name = "sosw",
    as_json: AsJson = False,
) -> None:
    """List tasks: of each Worker queued, running and waiting ones, then closed ones from the oldest."""
    outcomes = _LISTED if outcome is None else {Status(outcome)}
    wanted = options.selection(outcomes, worker, job, label, since, until)
    found = selection.select(Tables.connect(name), wanted)
    first = list(islice(found, limit))
    if as_json:
        for task in first:
            output.result_json(_line(task))
    else:
        _table(first)
    if next(found, None) is not None:
        output.more_than(limit)


@app.command()
def show(
    task_id: Annotated[str, typer.Argument(metavar="TASK_ID", help="Id of the task.")],
    name: Name = "sosw",
    as_json: AsJson = False,
) -> None:
    """Show a task whole, with its history and its payload."""
    task = _find_one(Tables.connect(name), task_id)
    if as_json:
        output.result_json(_details(task))
        return
    whole = _details(task)
    del whole["history"]
    output.result_fields(times.readable(whole))
    output.result("")
    output.result_table(
        ["AT", "MOVE", "ATTEMPT", "REASON"],
        ([times.shown(entry.at), entry.move, entry.attempt, entry.reason or ""] for entry in task.history),
    )


@app.command()
def replay(
    task_ids: TaskIds = None,
    *,
    worker: WorkerId = None,
    job: JobId = None,
    outcome: Annotated[Literal["dead"] | None, typer.Option(help="Only tasks that stand there.")] = None,
    label: Labels = None,
    since: Since = None,
    until: Until = None,
    name: Name = "sosw",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Queue dead tasks again, each with a new allowance of attempts; exit code 1 if one was not replayed."""
    tables = Tables.connect(name)
    filtered = any([worker, job, outcome, label, since, until])
    wanted = options.selection({Status.DEAD}, worker, job, label, since, until)
    # A replayed task may be dead again before the last is replayed; it is not replayed twice.
    wanted = replace(wanted, until=min(wanted.until or times.now(), times.now()))
    found = _find(tables, task_ids, {Status.DEAD}, wanted, filtered=filtered)
    workers = {worker.worker_id: worker for worker in registry.workers(tables)}

    def move(task: Task) -> bool:
        shards = workers[task.worker_id].valid_registration.queue_shards
        return bool(jobs.passed(tables, [task])) and moves.replay(tables, task, shards, times.now())

    raise typer.Exit(0 if _carry_out("replayed", found, move, dry_run=dry_run, as_json=as_json) else 1)


@app.command()
def cancel(
    task_ids: TaskIds = None,
    *,
    worker: WorkerId = None,
    job: JobId = None,
    outcome: Annotated[
        Literal["queued", "waiting", "dead"] | None,
        typer.Option(help="Only tasks that stand there; dead ones by this or by their ids only."),
    ] = None,
    label: Labels = None,
    since: Since = None,
    until: Until = None,
    name: Name = "sosw",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take out queued and waiting tasks, and give up dead ones; exit code 1 if one was not cancelled."""
    tables = Tables.connect(name)
    outcomes = NOT_STARTED if outcome is None else {Status(outcome)}
    wanted = options.selection(outcomes, worker, job, label, since, until)
    filtered = any([worker, job, outcome, label, since, until])
    found = _find(tables, task_ids, NOT_STARTED | {Status.DEAD}, wanted, filtered=filtered)
    raise typer.Exit(0 if cancel_all(tables, found, dry_run=dry_run, as_json=as_json) else 1)


@app.command()
def unreadable(*, name: Name = "sosw", as_json: AsJson = False) -> None:
    """List items in the tables that are no task any more; exit code 1 if there is one. Reads the tables whole."""
    tables = Tables.connect(name)
    damaged = [_about(each) for each in stored_tasks.unreadable(tables)]
    if as_json:
        for line in damaged:
            output.result_json(line)
    else:
        output.result_table(["TASK", "WORKER", "JOB", "REASON"], (list(line.values()) for line in damaged))
    raise typer.Exit(1 if damaged else 0)


@app.command()
def bury(
    task_ids: Annotated[list[str], typer.Argument(metavar="TASK_ID", help="Ids as `unreadable` lists them.")],
    *,
    name: Name = "sosw",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Give up items that are no task any more: dead, with the whole item as payload. Exit code 1 if one moved on."""
    tables, wanted = Tables.connect(name), set(task_ids)
    found = {_about(each)["task_id"]: each for each in stored_tasks.unreadable(tables)}
    for task_id in task_ids:
        if task_id not in found:
            raise Refused("TASK_ID", task_id, "expected the id of an item that `sosw tasks unreadable` lists")
    buried = True
    for task_id in sorted(wanted):
        moved = dry_run or moves.bury(tables, found[task_id], times.now())
        buried = buried and moved
        said = ("would be buried" if dry_run else "buried") if moved else "moved on"
        output.result_json({"task_id": task_id, "buried": moved}) if as_json else output.result(f"{task_id}: {said}")
    raise typer.Exit(0 if buried else 1)


def _about(damaged: Unreadable) -> dict[str, str]:
    """An item that cannot be read, as `unreadable --json` prints it."""
    task = salvaged(damaged)
    return {**{name: str(value) for name, value in bulk.identity(task).items()}, "reason": str(damaged)}


def cancel_all(tables: Tables, found: Iterable[Task], *, dry_run: bool, as_json: bool) -> bool:
    """Cancel tasks and say how it went; whether all were cancelled."""

    def move(task: Task) -> bool:
        return moves.cancel(tables, task, times.now(), _REASON)

    return _carry_out("cancelled", found, move, dry_run=dry_run, as_json=as_json)


def _find(
    tables: Tables, task_ids: list[str] | None, movable: Set[Status], wanted: selection.Selection, *, filtered: bool
) -> Iterator[Task]:
    """The tasks that a command is to move, by ids or by a filter, never all of them by mistake."""
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


def _carry_out(
    moved: str, found: Iterable[Task], move: Callable[[Task], bool], *, dry_run: bool, as_json: bool
) -> bool:
    if not dry_run:
        return bulk.carry_out(moved, found, move, as_json=as_json)
    count = 0
    for task in found:
        count += 1
        output.result_json(_line(task)) if as_json else output.result(task.task_id)
    output.progress(f"{count} tasks would be {moved}.")
    return True


def _line(task: Task) -> dict[str, Any]:
    """A task as `list --json` prints it: without payload, result and history."""
    whole = _details(task)
    return {key: whole[key] for key in whole if key not in {"payload", "result", "stats", "history"}}


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
    return None if text is None else json.loads(text)


def _table(tasks: Iterable[Task]) -> None:
    output.result_table(
        ["TASK", "WORKER", "JOB", "OUTCOME", "ATTEMPT", "CREATED", "CLOSED", "ERROR"],
        (
            [
                task.task_id,
                task.worker_id,
                task.job_id,
                task.status,
                task.attempt,
                times.shown(task.created_at),
                times.shown(task.closed_at),
                task.failure or "",
            ]
            for task in tasks
        ),
    )
