"""The same move for many tasks, side by side."""

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

#: Tasks in memory at a time: their payloads may be large.
_AT_A_TIME: Final = 10 * aws.CONCURRENCY


def carry_out(moved: str, tasks: Iterable[Task], move: Callable[[Task], bool], *, as_json: bool) -> bool:
    """Make a move with every task and say how it went.

    Args:
        moved: what a task is after the move, e.g. `cancelled`.
        tasks: as they were seen.
        move: one of `sosw_runtime.storage.moves`; False when the task stands otherwise by now.
        as_json: print a line for every task.

    Returns:
        Whether all of them were moved.

    Raises:
        Whatever the reading of the tasks raises, once it is said how it went until then.
    """
    done, left_out = 0, Counter[str]()
    try:
        with _progress() as progress:
            line = progress.add_task(moved, total=None)
            for task, obstacle in _side_by_side(tasks, move):
                done += obstacle is None
                left_out.update([obstacle] if obstacle else [])
                progress.update(line, completed=done)
                if as_json:
                    output.result_json({**identity(task), "done": obstacle is None, "reason": obstacle})
    finally:  # also of what ends before all tasks are read
        if not as_json:
            output.result(f"{moved}: {done} of {done + left_out.total()} tasks")
        for obstacle, count in left_out.items():
            output.problem(f"not {moved}: {count} tasks: {obstacle}")
    return not left_out


def identity(task: Task) -> dict[str, object]:
    """What names a task to machines."""
    return {"task_id": task.task_id, "worker_id": task.worker_id, "job_id": task.job_id}


def _side_by_side(tasks: Iterable[Task], move: Callable[[Task], bool]) -> Iterator[tuple[Task, str | None]]:
    """Each task and what stood in the way."""

    def attempt(task: Task) -> str | None:
        try:
            return None if move(task) else "they had moved on"
        except (SoswError, BotoCoreError, ClientError) as error:
            return failures.explain(error)[1]

    left = iter(tasks)
    with ThreadPoolExecutor(aws.CONCURRENCY) as pool:
        while batch := list(islice(left, _AT_A_TIME)):
            yield from zip(batch, pool.map(attempt, batch), strict=True)


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (SpinnerColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
