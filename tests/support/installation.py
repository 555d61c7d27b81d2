"""An installation under test: what happens to it, in one word each, and what stands in its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, Final, Literal
from unittest import mock

from sosw_runtime.domain.registration import Registration
from sosw_runtime.domain.slot import Slot
from sosw_runtime.domain.task import Status, Task, task_id
from sosw_runtime.essentials import invocation, orchestrator, scavenger, scheduler, worker_assistant
from sosw_runtime.storage import registry, slots, tokens
from sosw_runtime.storage.items import Item, to_item, to_task
from sosw_runtime.storage.tables import Tables
from tests.support import builders, events
from tests.support.clock import Clock
from tests.support.lambdas import FakeContext, FakeLambda
from tests.support.rights import Rights

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Essential = Literal["scheduler", "orchestrator", "scavenger", "worker_assistant"]

ESSENTIALS: Final[Mapping[Essential, Callable[[Any, Any], Any]]] = {
    "scheduler": scheduler.handler,
    "orchestrator": orchestrator.handler,
    "scavenger": scavenger.handler,
    "worker_assistant": worker_assistant.handler,
}
#: The minute's rule.
TICK: Final = {"source": "aws.events"}
TABLES: Final = ("tasks", "retry_tasks", "closed_tasks", "registry")


class Installation(AbstractContextManager["Installation"]):
    """The four tables of one test, and the four Essentials at work on them.

    Inside the `with` block the Essentials take the clock's time for theirs, the Scheduler answers who invokes it, and
    `rights.missing()` tells which calls of an Essential `policies.tf` does not grant.
    """

    def __init__(self, dynamodb: DynamoDBClient, name: str, lambdas: FakeLambda, clock: Clock | None = None) -> None:
        self.name = name
        self.client = dynamodb  # of the tables
        self.tables = Tables.with_client(dynamodb, name)
        self.lambdas = lambdas
        self.clock = clock or Clock()
        self.rights = Rights(name)
        self._exit = ExitStack()

    def __enter__(self) -> Installation:
        self._exit.enter_context(self.rights)
        self._exit.enter_context(mock.patch.object(invocation, "time", self.clock))
        self.lambdas.answer(f"{self.name}_scheduler", self.submit)
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    # --- what happens ------------------------------------------------------------------------------------------------

    def run(self, essential: Essential, event: Any, context: FakeContext | None = None) -> dict[str, Any]:
        """One invocation of an Essential: its answer."""
        with self.rights.of(essential):
            answer: dict[str, Any] = ESSENTIALS[essential](event, context or FakeContext())
        return answer

    def register(
        self, worker_id: str = "resize", *, require_token: bool = True, token_seen: bool = True, **inputs: Any
    ) -> Registration:
        """Register a Worker, by default one that may run three at once, and whose reports carried tokens before."""
        registration = builders.registration(worker_id, **inputs)
        registry.put_registration(self.tables, registration, require_token=require_token)
        if token_seen:
            tokens.record_token_seen(self.tables, worker_id, builders.ONE_TRY)
        return registration

    def submit(self, event: Any, context: FakeContext | None = None) -> dict[str, Any]:
        """Ask the Scheduler."""
        return self.run("scheduler", event, context)

    def submit_photos(self, count: int, **keys: Any) -> list[str]:
        """Submit a job of so many tasks for the Worker `resize`; the tasks' ids by number."""
        answer = self.submit(events.job("resize", count, "album", **keys))
        assert answer["tasks"] == count
        return [task_id(answer["job_id"], number) for number in range(count)]

    def wake_orchestrator(self, *tasks: Task, event: str = "INSERT") -> dict[str, Any]:
        """Hand the Orchestrator the stream's records of tasks."""
        return self.run("orchestrator", stream(tasks, event))

    def tick_orchestrator(self, context: FakeContext | None = None) -> dict[str, Any]:
        """The Orchestrator's minute."""
        return self.run("orchestrator", TICK, context)

    def report(self, event: Any) -> dict[str, Any]:
        """Hand the WorkerAssistant a report or a destination record."""
        return self.run("worker_assistant", event)

    def complete(self, task: Task, **more: Any) -> dict[str, Any]:
        """Report, as a Worker does, that an attempt succeeded."""
        return self.report({"action": "mark_task_as_completed", **_of_attempt(task), **more})

    def fail(self, task: Task, **more: Any) -> dict[str, Any]:
        """Report, as a Worker does, that an attempt failed."""
        return self.report({"action": "mark_task_as_failed", **_of_attempt(task), **more})

    def wake_scavenger(self, *tasks: Task, event: str = "MODIFY") -> dict[str, Any]:
        """Hand the Scavenger the stream's records of tasks."""
        return self.run("scavenger", stream(tasks, event))

    def tick_scavenger(self, context: FakeContext | None = None) -> dict[str, Any]:
        """The Scavenger's minute."""
        return self.run("scavenger", TICK, context)

    # --- what stands -------------------------------------------------------------------------------------------------

    def put(self, *tasks: Task) -> None:
        """Let tasks stand where their status says, and occupy the slots of those that run or just ran."""
        for task in tasks:
            self.client.put_item(TableName=self._table(task.status), Item=to_item(task))
            if task.claim is not None and task.slot is not None:
                assert slots.take(self.tables, builders.held(task), None, builders.NO_DEADLINE)

    def rows(self, table: str) -> list[Item]:
        """All items of a table, in a stable order."""
        pages = self.client.get_paginator("scan").paginate(TableName=f"{self.name}_{table}", ConsistentRead=True)
        items: list[Item] = [item for page in pages for item in page["Items"]]
        return sorted(items, key=repr)

    def everything(self) -> Mapping[str, list[Item]]:
        """All items of all tables: equal before and after means that nothing was written."""
        return {table: self.rows(table) for table in TABLES}

    def all_tasks(self) -> list[Task]:
        """Every task by number, wherever it stands; one in two tables is here twice."""
        items = [item for table in ("tasks", "retry_tasks", "closed_tasks") for item in self.rows(table)]
        return sorted(map(to_task, items), key=lambda task: (task.job_id, task.number))

    def task(self, number: int = 0) -> Task:
        """The task of a number, in the one table where it stands."""
        [found] = [task for task in self.all_tasks() if task.number == number]
        return found

    def with_status(self, status: Status) -> list[Task]:
        """The tasks that stand so, by number."""
        return [task for task in self.all_tasks() if task.status is status]

    def slots(self, worker_id: str = "resize") -> list[Slot]:
        """A Worker's occupied slots, by index."""
        return slots.occupied(self.tables, worker_id, consistent=True)

    def _table(self, status: Status | str) -> str:
        match status:
            case Status.WAITING:
                return self.tables.retry_tasks
            case Status.DEAD | Status.CANCELLED:
                return self.tables.closed_tasks
            case _:
                return self.tables.tasks


def stream(tasks: Iterable[Task], event: str) -> dict[str, Any]:
    """A batch of the stream of the tasks table."""
    return {"Records": [{"eventID": "1", "eventName": event, "dynamodb": {"NewImage": to_item(t)}} for t in tasks]}


def _of_attempt(task: Task) -> dict[str, Any]:
    token = {} if task.required_token is None else {"token": task.required_token}
    return {"task_id": task.task_id, "attempt": task.attempt, **token}
