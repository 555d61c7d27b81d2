"""Finding tasks by Worker, label, job, status and time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final

from sosw_runtime.cli import times
from sosw_runtime.cli.json_path import Condition
from sosw_runtime.cli.table import ELLIPSIS
from sosw_runtime.domain.job import is_id
from sosw_runtime.domain.task import CLOSED, Status, Task, task_id
from sosw_runtime.errors import Refused
from sosw_runtime.storage import jobs, progress, registry, slots, tasks
from sosw_runtime.storage.jobs import JobRecord
from sosw_runtime.storage.registry import WorkerRecord
from sosw_runtime.storage.tables import BATCH_READ, Tables

#: Queued tasks of a page of the queue's index: 20 read units, few compared to those of the tasks themselves.
_PAGE: Final = 1000
#: Statuses in the tasks table. A completed task is archived within seconds.
_IN_TASKS: Final = frozenset({Status.QUEUED, Status.RUNNING, Status.COMPLETED})


@dataclass(frozen=True)
class Selection:
    """Filters of tasks. None and empty values filter nothing.

    Raises:
        Refused: `since` is later than `until`.
    """

    statuses: frozenset[Status]
    worker_id: str | None = None
    job_id: str | None = None
    labels: Mapping[str, str] | None = None  # of the Worker's registration
    since: int | None = None  # ms, inclusive: when the task was closed or, while it is open, created
    until: int | None = None  # ms, inclusive
    where: tuple[Condition, ...] = ()  # of the payload

    def __post_init__(self) -> None:
        if self.since is not None and self.until is not None and self.since > self.until:
            expected = f"expected a time not later than --until, {times.as_text(self.until)}"
            raise Refused("--since", times.as_text(self.since), expected)

    def matches(self, task: Task) -> bool:
        """Whether a task passes all filters but the labels, which belong to its Worker."""
        at = time_of(task)
        return (
            task.status in self.statuses
            and self.worker_id in {None, task.worker_id}
            and self.job_id in {None, task.job_id}
            and (self.since is None or at >= self.since)
            and (self.until is None or at <= self.until)
            and (not self.where or self._payload_matches(task))
        )

    def _payload_matches(self, task: Task) -> bool:
        try:
            payload = json.loads(task.payload)
        except (ValueError, RecursionError):  # somebody else wrote it
            return False
        return all(condition.holds(payload) for condition in self.where)


def time_of(task: Task) -> int:
    """When a task was closed or, while it is open, created (ms)."""
    return task.created_at if task.closed_at is None else task.closed_at


def select(tables: Tables, wanted: Selection) -> Iterator[Task]:
    """The matching tasks. A task that moves between two tables during the read may be missing.

    Raises:
        Refused: the Worker or the job is unknown.
    """
    workers = _selected_workers(tables, wanted)
    if wanted.job_id is None:
        by_worker = _jobs_by_worker(tables) if Status.COMPLETED in wanted.statuses else {}
        found = (_tasks_of_worker(tables, each, wanted, by_worker.get(each.worker_id, ())) for each in workers)
        return filter(wanted.matches, chain.from_iterable(found))
    job = known_job(tables, wanted.job_id)
    if job.worker_id not in {worker.worker_id for worker in workers}:
        return iter(())
    wanted = replace(wanted, job_id=job.job_id)
    return filter(wanted.matches, _tasks_of_job(tables, job, wanted.statuses))


def known_job(tables: Tables, job_id: str) -> JobRecord:
    """An accepted job, by its id or by the beginning of it as a list cuts it: `nightly-2026…` or `nightly-2026...`.

    Without the ellipsis a text is a whole id: no command takes a job that only begins like the one meant.
    Cost: 1 read unit; for a beginning 1 more.

    Raises:
        Refused: there is no such job, or several begin so.
    """
    job = jobs.get(tables, job_id) if is_id(job_id) else None
    if job is not None:
        return job
    beginning = job_id.removesuffix("...").removesuffix(ELLIPSIS)
    if beginning == job_id or not is_id(beginning):
        raise Refused("job", job_id, f"expected the id of a job in {tables.registry}")
    first = list(islice(jobs.starting_with(tables, beginning), 3))
    match first:
        case [only]:
            return only
        case []:
            raise Refused("job", job_id, f"expected the beginning of a job's id in {tables.registry}")
        case _:
            ids = ", ".join(job.job_id for job in first[:2])
            more = ", ..." if first[2:] else ""
            raise Refused("job", job_id, f"expected the beginning of a single job's id; so begin {ids}{more}")


def known_workers(tables: Tables, worker_ids: Iterable[str]) -> list[WorkerRecord]:
    """Some Workers by id.

    Raises:
        Refused: one was never registered; the message lists the known ones.
    """
    workers = {worker.worker_id: worker for worker in registry.workers(tables)}
    for worker_id in worker_ids:
        if worker_id not in workers:
            known = ", ".join(workers) or "none"
            raise Refused("worker", worker_id, f"expected a registered Worker; known are: {known}")
    return [workers[worker_id] for worker_id in worker_ids]


def with_labels(workers: Iterable[WorkerRecord], labels: Mapping[str, str]) -> list[WorkerRecord]:
    """The Workers whose registration has all the labels."""
    return [
        worker
        for worker in workers
        if not labels or (worker.registration is not None and labels.items() <= worker.registration.labels.items())
    ]


def find(tables: Tables, task_id: str) -> Task | None:
    """One task, in whichever table it is. During archiving it is in two tables: closed wins."""
    if not is_id(task_id):  # no key of a table
        return None
    for _ in range(2):  # a task that moves to a table that was read already is found in the second pass
        open_ = tasks.find(tables, [task_id]).get(task_id)
        found = tasks.find_closed(tables, [task_id]).get(task_id) or open_ or _find_waiting(tables, task_id)
        if found is not None:
            return found
    return None


def _find_waiting(tables: Tables, task_id: str) -> Task | None:
    """One waiting task. Its id alone is no key, so every Worker's waiting tasks are searched."""
    for worker in registry.workers(tables):
        if task_id in tasks.waiting_ids(tables, worker.worker_id):
            return next((task for task in tasks.waiting(tables, worker.worker_id) if task.task_id == task_id), None)
    return None


def _selected_workers(tables: Tables, wanted: Selection) -> list[WorkerRecord]:
    named = registry.workers(tables) if wanted.worker_id is None else known_workers(tables, [wanted.worker_id])
    return with_labels(named, wanted.labels or {})


def _tasks_of_job(tables: Tables, job: JobRecord, statuses: frozenset[Status]) -> Iterator[Task]:
    """A job's tasks by number: their ids follow from the job's. Only tables that can hold the statuses are read."""
    cursor = jobs.cursor(tables, job.job_id)
    written = job.total if cursor is None else min(job.total, cursor.position + jobs.WINDOW)
    waiting = {}
    if Status.WAITING in statuses:
        waiting = {task.task_id: task for task in tasks.waiting(tables, job.worker_id) if task.job_id == job.job_id}
    for ids in _batches(task_id(job.job_id, number) for number in range(written)):
        found = waiting | (tasks.find(tables, ids) if statuses & _IN_TASKS else {})
        found |= tasks.find_closed(tables, ids) if statuses & CLOSED else {}
        yield from (found[each] for each in ids if each in found)


def _jobs_by_worker(tables: Tables) -> dict[str, list[JobRecord]]:
    """All jobs by Worker, the oldest first."""
    by_worker: dict[str, list[JobRecord]] = defaultdict(list)
    for job in sorted(jobs.list_all(tables), key=lambda job: job.created_at):
        by_worker[job.worker_id].append(job)
    return by_worker


def _tasks_of_worker(
    tables: Tables, worker: WorkerRecord, wanted: Selection, its_jobs: Iterable[JobRecord]
) -> Iterator[Task]:
    worker_id = worker.worker_id
    if Status.QUEUED in wanted.statuses:
        queue = tasks.queue(tables, worker_id, worker.shards, _PAGE)
        yield from _open_by_id(tables, (candidate.task_id for candidate in queue))
    if Status.RUNNING in wanted.statuses:
        yield from _open_by_id(tables, (slot.task_id for slot in slots.occupied(tables, worker_id)))
    if Status.WAITING in wanted.statuses:
        yield from tasks.waiting(tables, worker_id)
    for job in its_jobs:
        yield from _completed_tasks(tables, job, wanted)
    for outcome in sorted(wanted.statuses & CLOSED - {Status.COMPLETED}):
        entries = tasks.closed_entries(tables, worker_id, outcome, wanted.since or 0, wanted.until)
        yield from closed_by_id(tables, (entry.task_id for entry in entries))


def _completed_tasks(tables: Tables, job: JobRecord, wanted: Selection) -> Iterator[Task]:
    """A job's completed tasks by number. No index holds them."""
    if job.created_at > (wanted.until or job.created_at) or (job.closed_at or wanted.since or 0) < (wanted.since or 0):
        return iter(())
    final = progress.final_outcomes(tables, job)
    numbers = sorted(number for number, outcome in final.items() if outcome is Status.COMPLETED)
    return closed_by_id(tables, (task_id(job.job_id, number) for number in numbers))


def closed_by_id(tables: Tables, task_ids: Iterable[str]) -> Iterator[Task]:
    """The given tasks that are closed, in their order, read lazily. Cost: 1 read unit per 4 KB of each."""
    for ids in _batches(task_ids):
        found = tasks.find_closed(tables, ids)
        yield from (found[each] for each in ids if each in found)


def _open_by_id(tables: Tables, task_ids: Iterable[str]) -> Iterator[Task]:
    for ids in _batches(task_ids):
        found = tasks.find(tables, ids)
        yield from (found[each] for each in ids if each in found)


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(ids)
    while batch := list(islice(remaining, BATCH_READ)):
        yield batch
