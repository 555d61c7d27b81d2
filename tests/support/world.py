"""A whole installation in one process: the Essentials, the stream, Lambda and the people, under a simulated clock."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar
from unittest import mock
from urllib.parse import parse_qs, unquote, urlsplit

from sosw_runtime import aws
from sosw_runtime.domain.registration import Registration
from sosw_runtime.essentials import scheduler
from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.settings import Settings
from sosw_runtime.storage import jobs, progress, registry
from sosw_runtime.storage.items import Item, decoded
from sosw_runtime.storage.registry import Control
from sosw_runtime.storage.tables import Tables
from tests.support.builders import MINUTE, NOON
from tests.support.clock import Clock
from tests.support.events import Event, completed, job
from tests.support.faults import Call, Faults, Stop
from tests.support.installation import TABLES, TICK, Essential, Installation
from tests.support.lambdas import FakeContext, FakeLambda
from tests.support.replicas import Replicas
from tests.support.snapshots import Camera, Snapshot, states
from tests.support.stream import Record, changes, is_new, is_report
from tests.support.units import WRITES

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_dynamodb import DynamoDBClient

Result = TypeVar("Result")

TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:alarms"

_INVOCATION_MS: Final = 60_000
_RESERVE_MS: Final = 12_000


@dataclass
class Execution:
    """A Worker at work on an event."""

    event: Event
    started_at: int  # ms
    ended_at: int | None = None  # ms

    @property
    def worker_id(self) -> str:
        """Whose function runs."""
        return str(self.event.payload["worker_id"])


class World(AbstractContextManager["World"]):
    """An installation in which nothing happens by itself.

    The stream's records and Lambda's events lie about until they are delivered, or lost. All that the Essentials do
    side by side is done in one thread and in order, so that a story can be told again.
    """

    def __init__(self, dynamodb: DynamoDBClient, name: str, lambdas: FakeLambda, *, in_memory: bool) -> None:
        self.clock = Clock(pace=1)
        self.skew: dict[str, int] = {}  # ms by which an Essential's clock is off
        self.installation = Installation(dynamodb, name, lambdas, self.clock)  # sees no faults
        self.name = name
        self.replicas = Replicas(name, self.clock)
        self.settings = Settings(name=name, alarm_topic_arn=TOPIC)
        self.faults = Faults(self.clock.advance, self._after, outdated=self.replicas.answer, remembers_tokens=in_memory)
        self.registrations: dict[str, Registration] = {}
        self.limits: dict[str, int] = {}  # the most that a Worker's limit was of late
        self.observers: list[Callable[[Snapshot, Snapshot], None]] = []
        self.now = Snapshot()  # the tables as they stand
        self.unread: dict[Essential, list[Record]] = {"orchestrator": [], "scavenger": []}
        self.events: list[Event] = []  # accepted by Lambda, not yet delivered for the first time
        self.accepted: list[Event] = []  # Workers' events that Lambda ever accepted
        self.executions: list[Execution] = []
        self.alarms: list[dict[str, Any]] = []  # one of each dead task, and of each closed job
        self.cancelled: set[str] = set()  # jobs that somebody cancelled while they were enqueued
        self._in_hand = threading.local()
        self.lambdas = lambdas
        self._camera = Camera(self.installation, in_memory=in_memory)
        self._serial = 0
        self._exit = ExitStack()

    def __enter__(self) -> World:
        patch = self._exit.enter_context
        patch(self.installation)
        patch(self.faults)
        patch(mock.patch.object(Invocation, "begin", self._begin))
        patch(mock.patch("sosw_runtime.essentials.parallel.ThreadPoolExecutor", _SameThread))
        patch(mock.patch("sosw_runtime.telemetry.count"))
        # A job of a few tasks then takes several batches and windows.
        patch(mock.patch.object(scheduler, "BATCH_WRITE", 2))
        patch(mock.patch.object(scheduler, "WINDOW", 4))
        # One of three tasks or more is counted in groups of four, one of five in two of them.
        patch(mock.patch.multiple(progress, BLOCK=2, GROUP=2, LARGEST_UNGROUPED=2))
        logging.disable(logging.CRITICAL)
        self._exit.callback(logging.disable, logging.NOTSET)
        clients = (
            aws.dynamodb(),
            aws.dynamodb_once(),
            aws.dynamodb_brief(),
            aws.lambda_(),
            aws.sns(),
            aws.cloudwatch(),
        )
        for client in clients:
            self.faults.watch(client)
        aws.sns().create_topic(Name=TOPIC.rpartition(":")[2])
        self.now = self._camera.take()
        self.replicas.start(self.now)
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    # --- the Essentials ----------------------------------------------------------------------------------------------

    def run(self, essential: Essential, event: Any, request_id: str | None = None) -> dict[str, Any] | BaseException:
        """One invocation: its answer, or the error or stop with which it ended."""
        context = FakeContext(essential, aws_request_id=request_id or self._unique("r"))
        try:
            return self.installation.run(essential, event, context)
        except (Exception, Stop) as error:  # noqa: BLE001 - Lambda notes it, whatever it is
            return error

    def calmly(self, essential: Essential, event: Any) -> dict[str, Any]:
        """One invocation that has no reason to fail."""
        answer = self.run(essential, event)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def submit(self, worker_id: str, count: int, job_id: str | None = None, **keys: Any) -> str:
        """Ask the Scheduler for a job of so many tasks; the job's id."""
        job_id = job_id or self._unique("job")
        self.calmly("scheduler", job(worker_id, count, job_id, **keys))
        return job_id

    def tick(self, *essentials: Essential) -> None:
        """The minute's rule."""
        for essential in essentials or ("orchestrator", "scavenger"):
            self.calmly(essential, TICK)

    def deliver(self, consumer: Essential, count: int | None = None) -> None:
        """Hand the next records of the stream to one consumer."""
        unread = self.unread[consumer]
        batch = unread[:count]
        del unread[:count]
        if batch:
            self.run(consumer, {"Records": batch})

    def lose_records(self) -> None:
        """The stream's records never arrive."""
        for consumer in self.unread:
            self.unread[consumer] = []

    # --- Workers -----------------------------------------------------------------------------------------------------

    def register(
        self, worker_id: str, limit: int, *, require_token: bool = True, token_seen: bool = True, **inputs: Any
    ) -> Registration:
        """Register a Worker that may run so many at once, for ten seconds each, and is retried after a second.

        By default its reports carried tokens before.
        """
        allowed = {"max_concurrency": limit, "retry": {"max_attempts": 2, "base_delay_seconds": 1}}
        registration = self.installation.register(
            worker_id, require_token=require_token, token_seen=token_seen, **{**allowed, **inputs}
        )
        self.registrations[worker_id] = registration
        self.limits[worker_id] = limit
        self._observe(("registry",))
        return registration

    def pause(self, worker_id: str, paused: bool = True) -> None:
        """As the command line does."""
        registry.put_control(self.tables, worker_id, Control(paused, self.clock.read(), "tests"))

    def cancel(self, job_id: str) -> None:
        """Have nothing more of a job enqueued, as the command line does."""
        self.cancelled.add(job_id)
        jobs.cancel(self.tables, job_id, self.clock.read())

    def overwrite(self, table: str, item: Item) -> None:
        """Another version of the Essentials puts an item of a task."""
        self.installation.client.put_item(TableName=f"{self.name}_{table}", Item=item)
        self._observe((table,))

    def start(self, event: Event) -> Execution:
        """Lambda delivers an event: the Worker starts."""
        if event in self.events:
            self.events.remove(event)
        event.deliveries += 1
        execution = Execution(event, self.clock.read())
        self.executions.append(execution)
        return execution

    def end(self, execution: Execution) -> None:
        """The Worker's invocation is over, whatever it reported."""
        execution.ended_at = execution.ended_at or self.clock.read()

    @property
    def reporting(self) -> dict[str, Any] | None:
        """The report that the WorkerAssistant of this thread has in hand."""
        report: dict[str, Any] | None = getattr(self._in_hand, "report", None)
        return report

    @reporting.setter
    def reporting(self, report: dict[str, Any] | None) -> None:
        self._in_hand.report = report

    def report(self, event: dict[str, Any]) -> dict[str, Any] | BaseException:
        """Somebody hands the WorkerAssistant a report or a destination record."""
        self.reporting = event
        try:
            return self.run("worker_assistant", event)
        finally:
            self.reporting = None

    @property
    def running(self) -> list[Execution]:
        """The Workers at work."""
        return [execution for execution in self.executions if execution.ended_at is None]

    def age(self) -> list[Event]:
        """What AWS ends by itself: events that are too old are dropped, Workers that run too long are stopped."""
        dropped = []
        for event in [event for event in self.events if "worker_id" in event.payload]:
            registration = self.registrations[event.payload["worker_id"]]
            if self.clock.now > event.accepted_at + 1000 * registration.max_event_age_seconds:
                self.events.remove(event)
                dropped.append(event)
        for execution in self.running:
            latest = execution.started_at + 1000 * self.registrations[execution.worker_id].timeout_seconds
            if self.clock.now > latest:
                execution.ended_at = latest
        return dropped

    def work(self) -> None:
        """Every accepted event is delivered, and every function that is invoked ends well and says so."""
        for event in list(self.events):
            if event.function == self.settings.function("scheduler"):
                self.events.remove(event)
                self.calmly("scheduler", event.payload)
            else:
                self.start(event)
        for execution in self.running:
            self.report(completed(execution.event))
            self.end(execution)

    def settle(self, minutes: int) -> int:
        """Let minutes go by with nothing but ticks, and Workers that end well; the minutes until all was quiet."""
        for minute in range(minutes):
            if self.is_quiet:
                return minute
            self.lose_records()
            self.work()
            self.clock.advance(MINUTE)
            self.age()
            self.tick("scavenger", "orchestrator")
        return minutes

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is left to do."""
        registry_kinds = {item["pk"]["S"].split("#")[0] for item in self.now["registry"].values()}
        unannounced = any("outbox" in item for item in self.now["closed_tasks"].values())
        return not (
            self.now["tasks"]
            or self.now["retry_tasks"]
            or self.events
            or unannounced
            or registry_kinds & {"slots", "enqueuing", "closing", "grouped"}
        )

    # --- what stands -------------------------------------------------------------------------------------------------

    @property
    def tables(self) -> Tables:
        """By the clients of the runtime, whose calls meet the faults."""
        return Tables.connect(self.name)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table's items as values."""
        return [decoded(item) for item in self.now[table].values()]

    def states(self) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        """Every task's places: table and item, by id."""
        return states(self.now)

    def clear(self) -> None:
        """Start over: empty tables, no records, no events."""
        self._camera.clear()
        self.now = self._camera.take()
        self.lose_records()
        for forgotten in (
            self.events,
            self.accepted,
            self.executions,
            self.alarms,
            self.cancelled,
            self.faults.late,
        ):
            forgotten.clear()
        self.faults.injected.clear()
        self.faults.answered.clear()
        self.registrations.clear()
        self.skew.clear()
        self.clock.now = NOON
        self.replicas.start(self.now)
        self._serial = 0
        # What the Scavenger remembers of jobs whose ids come again.
        progress._total.cache_clear()
        progress._remember_grouped.cache_clear()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _begin(self, context: Any) -> Invocation:
        skew = self.skew.get(context.function_name, 0)

        def clock() -> int:
            return self.clock.read() + skew

        ends_at, sleep = clock() + _INVOCATION_MS, self.clock.sleep
        return Invocation(self.settings, self.tables, context.aws_request_id, ends_at, _RESERVE_MS, clock, sleep)

    def _unique(self, prefix: str) -> str:
        self._serial += 1
        return f"{prefix}-{self._serial}"

    def _after(self, call: Call, request: AWSPreparedRequest) -> None:
        """A call of the runtime acted."""
        body = request.body.decode() if isinstance(request.body, bytes) else str(request.body)
        match call.operation:
            case "Invoke":
                function = unquote(urlsplit(request.url).path.split("/")[3])
                event = Event(function, json.loads(body), self.clock.now)
                self.events.append(event)
                if function in self.registrations:
                    self.accepted.append(event)
            case "Publish":
                message = json.loads(parse_qs(body)["Message"][0])
                deaths = message.pop("tasks") if message.get("alarm") == "dead tasks" else [{}]
                self.alarms += [{**message, **death} for death in deaths]
            case operation if operation in WRITES:
                self._observe([table for table in TABLES if f'"{self.name}_{table}"' in body])

    def _observe(self, tables: Iterable[str]) -> None:
        """Look at the tables that were written to, and note what the stream tells of it."""
        before, self.now = self.now, {**self.now, **self._camera.take(tables)}
        self.replicas.keep(before, self.now)
        for record in changes(before["tasks"], self.now["tasks"]):
            if is_report(record):
                self.unread["scavenger"].append(record)
            if is_report(record) or is_new(record):
                self.unread["orchestrator"].append(record)
        for observer in self.observers:
            observer(before, self.now)


class _SameThread:
    """An executor that does at once what it is given."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> _SameThread:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, work: Callable[..., Result], *arguments: Iterable[Any]) -> list[Result]:
        return [work(*each) for each in zip(*arguments, strict=True)]
