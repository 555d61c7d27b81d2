"""Eight processes that know nothing of each other dispatch, report and scavenge the same tasks of three Workers."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing.context import ForkServerContext
from multiprocessing.queues import Queue
from queue import Empty
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import pytest

from sosw_runtime import aws
from sosw_runtime.domain.task import CLOSED, Move, Status, Task
from sosw_runtime.essentials import orchestrator, scavenger, scheduler
from sosw_runtime.storage import slots
from sosw_runtime.storage.items import to_tasks
from sosw_runtime.storage.tables import Tables
from sosw_runtime.testing import create_tables, register_worker
from tests.concurrency.hand import RUN_MS, TICK_MS, Accepted, Call, Essential, context, fate, lend
from tests.support.clock import Clock
from tests.support.dynamodb_local import DynamoDBLocal
from tests.support.environment import NOBODYS
from tests.support.lambdas import FakeLambda
from tests.support.stream import Record, Stream, batches, is_new, is_report

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

PROCESSES: Final = 8
LIMITS: Final = {"one": 1, "seven": 7, "fifty": 50}
TASKS: Final = {"one": 100, "seven": 400, "fifty": 1_500}

#: Records a batch. Small ones make for more that happens at once.
BATCH_SIZE: Final = 10
#: The part of the batches that Lambda delivers twice.
REPEATED: Final = 0.2
#: Seconds in which it must be over, on a machine however busy.
PATIENCE: Final = 600

RUNNING: Final = {
    "FilterExpression": "#status = :running",
    "ExpressionAttributeNames": {"#status": "status"},
    "ExpressionAttributeValues": {":running": {"S": "running"}},
    "ConsistentRead": True,
}


@dataclass
class Run:
    """What was seen while it went on, and what stands at the end."""

    records: list[Record] = field(default_factory=list)  # everything that ever happened to the tasks, in order
    samples: int = 0
    sampled: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # most running at once, by Worker
    accepted: list[Accepted] = field(default_factory=list)
    left: list[Task] = field(default_factory=list)  # not closed
    closed: list[Task] = field(default_factory=list)
    occupied: dict[str, int] = field(default_factory=dict)  # slots, by Worker


@pytest.fixture(scope="module")
def run(dynamodb_local: DynamoDBLocal) -> Run:
    """The whole of it, once."""
    settings = {
        **NOBODYS,
        "AWS_ACCESS_KEY_ID": "concurrency",  # DynamoDB Local keeps the tables of each apart
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_local.endpoint,
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
        "POWERTOOLS_METRICS_DISABLED": "true",
        "SOSW_NAME": f"sosw-{uuid.uuid4().hex[:8]}",
    }
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.concurrency.hand"])
    clock = Clock(time.time_ns() // 1_000_000, processes=processes)
    aws.forget_clients()
    with mock.patch.dict(os.environ, settings), mock.patch("time.time_ns", clock.time_ns), FakeLambda():
        tables = Tables.connect(settings["SOSW_NAME"])
        _submit(tables)
        with _hands(processes, settings, clock) as (calls, accepted):
            run = _worked_off(tables, calls)
            run.accepted = list(_taken(accepted))
        _settle_down(tables, clock)
        run.left = [task for table in (tables.tasks, tables.retry_tasks) for task in _tasks(tables.client, table)]
        run.closed = _tasks(tables.client, tables.closed_tasks)
        run.occupied = {worker_id: len(slots.occupied(tables, worker_id, consistent=True)) for worker_id in LIMITS}
    return run


def test_every_task_is_closed_exactly_once(run: Run) -> None:
    assert run.left == []
    assert Counter(task.worker_id for task in run.closed) == TASKS
    for task in run.closed:
        moves = Counter(entry.move for entry in task.history)
        assert task.status in CLOSED
        assert moves[Move.ARCHIVE] + moves[Move.DIE] == 1, task


def test_completions_count_once(run: Run) -> None:
    completions = Counter(task_id for task_id, state in run.accepted if state == "completed")
    assert completions == {task.task_id: 1 for task in run.closed if task.status is Status.COMPLETED}


def test_attempts_are_handed_out_once(run: Run) -> None:
    for task in run.closed:
        # A claim that took too long on a busy machine is taken back: its number was handed to nobody.
        handed_out = [
            entry.attempt
            for entry, following in pairwise([*task.history, None])
            if entry is not None and entry.move is Move.CLAIM
            if following is None or following.move is not Move.UNCLAIM
        ]
        assert handed_out == sorted(set(handed_out)), task


def test_what_ends_dead_was_meant_to(run: Run) -> None:
    dead = {task.task_id for task in run.closed if task.status is Status.DEAD}
    assert dead <= {task.task_id for task in run.closed if fate(task.task_id, 1) == "fails for good"}


def test_running_tasks_never_pass_a_limit(run: Run) -> None:
    most = _most_running(run.records)
    assert most == LIMITS, "the limits hold, and are made use of"


def test_no_sample_passes_a_limit(run: Run) -> None:
    assert run.samples > 10
    assert all(run.sampled[worker_id] <= limit for worker_id, limit in LIMITS.items()), run.sampled


def test_all_slots_are_free_at_the_end(run: Run) -> None:
    assert run.occupied == dict.fromkeys(LIMITS, 0)


# --- how it goes on ----------------------------------------------------------------------------------------------


def _submit(tables: Tables) -> None:
    create_tables(tables.client, tables.name)
    for worker_id, limit in LIMITS.items():
        register_worker(
            tables.client,
            tables.name,
            {
                "function_name": worker_id,
                "timeout_seconds": 1,
                "max_concurrency": limit,
                "retry": {"max_attempts": 100, "base_delay_seconds": 0},
                "job_schemas": {"default": {"chunkable_attrs": ["part"]}},
            },
        )
        job = {"worker": worker_id, "isolate_parts": True, "parts": list(range(TASKS[worker_id]))}
        scheduler.handler({"job": job}, context())


def _worked_off(tables: Tables, calls: Queue[Call]) -> Run:
    """Be the stream's mappings until all is closed, and watch."""
    run = Run()
    stream = Stream(tables.client, tables.tasks)
    sampler = _Sampler(tables, run)
    deadline = time.monotonic() + PATIENCE
    while not _is_worked_off(tables):
        assert time.monotonic() < deadline, f"{_count(tables.client, tables.closed_tasks)} closed in {PATIENCE} s"
        until = time.monotonic() + 1
        while time.monotonic() < until:
            records = stream.read()
            run.records += records
            for call in _mapped(records):
                calls.put(call)
            sampler.sample()
    run.records += stream.read()
    return run


@contextlib.contextmanager
def _hands(
    processes: ForkServerContext, settings: Mapping[str, str], clock: Clock
) -> Iterator[tuple[Queue[Call], Queue[Accepted]]]:
    """The processes at work: the queue of their calls, and that of the reports that were accepted."""
    calls, accepted, done = processes.Queue(), processes.Queue(), processes.Event()
    hands = [
        processes.Process(target=lend, args=(settings, clock, calls, accepted, done), daemon=True)
        for _ in range(PROCESSES)
    ]
    for hand in hands:
        hand.start()
    try:
        yield calls, accepted
        assert [hand.exitcode for hand in hands] == [None] * PROCESSES, "none of them broke down"
    finally:
        done.set()
        for hand in hands:
            hand.join(30)


def _mapped(records: list[Record]) -> Iterator[Call]:
    """What the two event source mappings do, some of it twice."""
    filters: list[tuple[Essential, Callable[[Record], bool]]] = [
        ("orchestrator", lambda record: is_new(record) or is_report(record)),
        ("scavenger", is_report),
    ]
    for essential, passes in filters:
        for batch in batches(filter(passes, records), BATCH_SIZE):
            yield essential, batch
            if random.random() < REPEATED:
                yield essential, batch


class _Sampler:
    """Counts what runs, by the table as it stands.

    A scan is no snapshot. But an attempt that two scans one after the other find running ran all the time between them,
    since no claim is ever made twice; hence all those ran at once.
    """

    def __init__(self, tables: Tables, run: Run) -> None:
        self._tables = tables
        self._run = run
        self._before: set[tuple[str, str | None]] = set()

    def sample(self) -> None:
        """Look once."""
        now = {(task.worker_id, task.claim) for task in _tasks(self._tables.client, self._tables.tasks, **RUNNING)}
        for worker_id, running in Counter(worker_id for worker_id, _ in now & self._before).items():
            self._run.sampled[worker_id] = max(self._run.sampled[worker_id], running)
        self._before = now
        self._run.samples += 1


def _most_running(records: list[Record]) -> dict[str, int]:
    """How many tasks of each Worker ever ran at once, by every change that was made, in the order of the stream."""
    running: dict[str, str] = {}  # Worker by task
    most: Counter[str] = Counter()
    for record in records:
        task_id = record["dynamodb"]["Keys"]["task_id"]["S"]
        task = record["dynamodb"].get("NewImage", {"status": {"S": "gone"}})
        if task["status"]["S"] == "running":
            running[task_id] = task["worker_id"]["S"]
        else:
            running.pop(task_id, None)
        most |= Counter(running.values())
    return dict(most)


def _is_worked_off(tables: Tables) -> bool:
    """Whether all tasks are closed, and none is midway there."""
    return _count(tables.client, tables.closed_tasks) == sum(TASKS.values()) and not _count(tables.client, tables.tasks)


def _count(dynamodb: DynamoDBClient, table: str) -> int:
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, Select="COUNT", ConsistentRead=True)
    return sum(page["Count"] for page in pages)


def _settle_down(tables: Tables, clock: Clock) -> None:
    """Two ticks, the first after the grace of slots that were just taken."""
    for _ in range(2):
        clock.advance(TICK_MS)
        orchestrator.handler({}, context())
        scavenger.handler({}, context())


def _taken(queue: Queue[Accepted]) -> Iterator[Accepted]:
    with contextlib.suppress(Empty):
        while True:
            yield queue.get(timeout=1)


def _tasks(dynamodb: DynamoDBClient, table: str, **arguments: Any) -> list[Task]:
    pages = dynamodb.get_paginator("scan").paginate(TableName=table, **{"ConsistentRead": True, **arguments})
    return list(to_tasks(item for page in pages for item in page["Items"]))


assert LIMITS.keys() == TASKS.keys() == RUN_MS.keys()
