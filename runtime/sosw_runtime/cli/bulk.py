"""One move for many tasks, several at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from sosw_runtime import aws
from sosw_runtime.cli import failures, output
from sosw_runtime.domain.task import Task
from sosw_runtime.errors import SoswError

#: Tasks held at a time: their payloads may be large.
_TASKS_IN_MEMORY: Final = 10 * aws.CONCURRENCY


def move_all(participle: str, tasks: Iterable[Task], move: Callable[[Task], bool], *, as_json: bool) -> bool:
    """Move every task and print the result.

    Args:
        participle: names what happened to a moved task, e.g. `cancelled`.
        tasks: as they were seen.
        move: one of `sosw_runtime.storage.moves`; returns False if the task has changed since.
        as_json: print a line for every task.

    Returns:
        Whether all of them were moved.

    Raises:
        Whatever reading the tasks raises. The result so far is printed first.
    """
    moved, obstacles = 0, Counter[str]()
    try:
        with _progress_bar() as bar:
            line = bar.add_task(participle, total=None)
            for task, obstacle in _move_concurrently(tasks, move):
                moved += obstacle is None
                obstacles.update([obstacle] if obstacle else [])
                bar.update(line, completed=moved)
                if as_json:
                    output.print_json({**identity(task), "done": obstacle is None, "reason": obstacle})
    finally:  # reading the tasks may fail midway
        result = f"{participle}: {moved} of {moved + obstacles.total()} tasks"
        if not as_json:
            output.print_line(result)
        elif not moved + obstacles.total():
            output.print_message(result)
        for obstacle, count in obstacles.items():
            output.print_problem(f"not {participle}: {count} tasks: {obstacle}")
    return not obstacles


def identity(task: Task) -> dict[str, object]:
    """The ids of a task, for JSON output."""
    return {"task_id": task.task_id, "worker_id": task.worker_id, "job_id": task.job_id}


def _move_concurrently(tasks: Iterable[Task], move: Callable[[Task], bool]) -> Iterator[tuple[Task, str | None]]:
    """Move the tasks; each of them, and why it was not moved."""

    def try_move(task: Task) -> str | None:
        try:
            return None if move(task) else "they had moved on"
        except (SoswError, BotoCoreError, ClientError) as error:
            return failures.exit_code_and_line(error)[1]

    remaining = iter(tasks)
    with ThreadPoolExecutor(aws.CONCURRENCY) as pool:
        while batch := list(islice(remaining, _TASKS_IN_MEMORY)):
            yield from zip(batch, pool.map(try_move, batch), strict=True)


def _progress_bar() -> Progress:
    console = Console(stderr=True)
    columns = (SpinnerColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
