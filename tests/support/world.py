"""A whole installation in one process: the Essentials, the stream, Lambda and the people, under a simulated clock."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar
from unittest import mock
from urllib.parse import parse_qs, unquote, urlsplit

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID

from sosw_runtime import aws
from sosw_runtime.domain.registration import Registration
from sosw_runtime.essentials import orchestrator, scavenger, scheduler, worker_assistant
from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.settings import Settings
from sosw_runtime.storage import jobs, progress, registry, tokens
from sosw_runtime.storage.items import Item, decoded
from sosw_runtime.storage.registry import Control
from sosw_runtime.storage.tables import Tables
from sosw_runtime.testing import register_worker
from sosw_runtime.worker import ReportUndelivered
from tests.support.builders import MINUTE, NOON, ONE_TRY
from tests.support.faults import WRITES, Call, Faults, Stop
from tests.support.lambdas import FakeContext, FakeLambda

if TYPE_CHECKING:
    from types import TracebackType

    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_dynamodb import DynamoDBClient

Essential = Literal["scheduler", "orchestrator", "scavenger", "worker_assistant"]
Rows = dict[str, Item]  # items by key
Snapshot = dict[str, Rows]  # rows by table
Record = dict[str, Any]
Result = TypeVar("Result")

TABLES: Final = ("tasks", "retry_tasks", "closed_tasks", "registry")
REGION: Final = "eu-west-1"
TOPIC: Final = "arn:aws:sns:eu-west-1:123456789012:alarms"

#: The most by which reads may lag, in ms: more than the minute between two ticks.
LONGEST_LAG: Final = 120_000

_INVOCATION_MS: Final = 60_000
_RESERVE_MS: Final = 12_000

_HANDLERS: Final[Mapping[Essential, Callable[[Any, Any], dict[str, Any]]]] = {
    "scheduler": scheduler.handler,
    "orchestrator": orchestrator.handler,
    "scavenger": scavenger.handler,
    "worker_assistant": worker_assistant.handler,
}


@dataclass
class Clock:
    """Time that goes by when it is read or waited for. Essentials may each have a clock that is off."""

    now: int = NOON  # ms, true
    skew: dict[Essential, int] = field(default_factory=dict)  # ms

    def read(self) -> int:
        """The true time."""
        self.now += 1
        return self.now

    def wait(self, ms: int) -> None:
        """Let time go by."""
        self.now += ms


@dataclass
class Event:
    """An asynchronous event that Lambda accepted."""

    function: str
    payload: dict[str, Any]
    accepted_at: int  # ms
    deliveries: int = 0

    @property
    def attempt(self) -> tuple[str, int]:
        """Whose attempt it is."""
        return self.payload["task_id"], self.payload["attempt"]


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
    """One installation; what happens is told in one word each.

    Nothing happens by itself: the stream's records and Lambda's events lie about until they are delivered, or lost. All
    that the Essentials do side by side is done in one thread and in order, so that a story can be told again.
    """

    def __init__(self, dynamodb: DynamoDBClient, name: str, lambdas: FakeLambda, *, in_memory: bool) -> None:
        self.clock = Clock()
        self.name = name
        self.dynamodb = dynamodb  # sees no faults
        self.tables = Tables.connect(name)
        self.settings = Settings(name=name, alarm_topic_arn=TOPIC)
        self.faults = Faults(self.clock.wait, self._after, outdated=self._outdated, remembers_tokens=in_memory)
        self.lag = 0  # ms by which reads of indexes, and others that are not consistent, may be behind
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
        self._in_memory = in_memory
        self._past: deque[tuple[int, Snapshot]] = deque()  # what stood, and until when
        self._replicas = random.Random(0)  # draw what a read that lags shows
        self._serial = 0
        self._exit = ExitStack()
        self._acting = threading.local()

    def __enter__(self) -> World:
        patch = self._exit.enter_context
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
        self.now = self._read(TABLES)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._exit.close()

    # --- the Essentials ----------------------------------------------------------------------------------------------

    def run(self, essential: Essential, event: Any, request_id: str | None = None) -> dict[str, Any] | BaseException:
        """One invocation: its answer, or the error or stop with which it ended."""
        self._acting.essential = essential
        try:
            return _HANDLERS[essential](event, FakeContext(essential, aws_request_id=request_id or self._unique("r")))
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
            self.calmly(essential, {"source": "aws.events"})

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
        registration = Registration.model_validate(
            {
                "worker_id": worker_id,
                "function_name": worker_id,
                "timeout_seconds": 10,
                "max_concurrency": limit,
                "retry": {"max_attempts": 2, "base_delay_seconds": 1},
                **inputs,
            }
        )
        register_worker(self.dynamodb, self.name, registration, require_token=require_token)
        if token_seen:
            tokens.note_token_seen(Tables.by(self.dynamodb, self.name), worker_id, ONE_TRY)
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
        self.dynamodb.put_item(TableName=f"{self.name}_{table}", Item=item)
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
            self.clock.wait(MINUTE)
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

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A table's items as values."""
        return [decoded(item) for item in self.now[table].values()]

    def states(self) -> dict[str, list[tuple[str, dict[str, Any]]]]:
        """Every task's places: table and item, by id."""
        return states(self.now)

    def clear(self) -> None:
        """Start over: empty tables, no records, no events."""
        for table in TABLES:
            if self._in_memory:
                _motos_table(f"{self.name}_{table}").items.clear()
            else:
                for item in self._read((table,))[table].values():
                    key = {name: item[name] for name in _KEYS[table]}
                    self.dynamodb.delete_item(TableName=f"{self.name}_{table}", Key=key)
        self.now = self._read(TABLES)
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
        self.clock.skew.clear()
        self.clock.now = NOON
        self.lag = 0
        self._past.clear()
        self._replicas.seed(0)
        self._serial = 0
        # What the Scavenger remembers of jobs whose ids come again.
        progress._total.cache_clear()
        progress._remember_grouped.cache_clear()

    # --- inside ------------------------------------------------------------------------------------------------------

    def _begin(self, context: Any) -> Invocation:
        skew = self.clock.skew.get(self._acting.essential, 0)

        def clock() -> int:
            return self.clock.read() + skew

        def sleep(seconds: float) -> None:
            self.clock.wait(round(seconds * 1000))

        ends_at = clock() + _INVOCATION_MS
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

    def _outdated(self, call: Call, request: AWSPreparedRequest) -> dict[str, Any] | None:
        """What a read shows while all but consistent ones lag: any of what stood of late. None: what stands.

        What people write (registrations, controls) is told as it stands.
        """
        if not self.lag or call.operation not in {"Query", "Scan"}:
            return None
        assert isinstance(request.body, bytes)
        asked = json.loads(request.body)
        if asked.get("ConsistentRead"):
            return None
        shown = [snapshot for until, snapshot in self._past if until > self.clock.now - self.lag]
        rows = self._replicas.choice([*shown, self.now])[asked["TableName"].removeprefix(f"{self.name}_")].values()
        if call.operation == "Scan":
            # The sweep, the only one.
            return {"Items": [row for row in rows if row["status"] != {"S": "queued"}]}
        partition, _, placeholder = asked["KeyConditionExpression"].partition(" = ")
        wanted = asked["ExpressionAttributeValues"][placeholder]
        if wanted["S"] in {"worker", "health", "control"}:
            return None
        sort = {"queue": "queue_rank", "outbox": "closed_at", None: "sk"}[asked.get("IndexName")]
        found = sorted(
            (row for row in rows if row.get(partition) == wanted), key=lambda row: next(iter(row[sort].values()))
        )
        return {"Items": found}

    def _observe(self, tables: Iterable[str]) -> None:
        """Look at the tables that were written to, and note what the stream tells of it."""
        before, self.now = self.now, {**self.now, **self._read(tables)}
        self._past.append((self.clock.now, before))
        while self._past[0][0] <= self.clock.now - LONGEST_LAG:
            self._past.popleft()
        for record in _records(before["tasks"], self.now["tasks"]):
            is_report = record["eventName"] == "MODIFY" and _status(record) in {"completed", "failed"}
            if is_report:
                self.unread["scavenger"].append(record)
            if is_report or record["eventName"] == "INSERT":
                self.unread["orchestrator"].append(record)
        for observer in self.observers:
            observer(before, self.now)

    def _read(self, tables: Iterable[str]) -> Snapshot:
        if self._in_memory:
            return {table: _rows(table, _motos_items(f"{self.name}_{table}")) for table in tables}
        scan = self.dynamodb.get_paginator("scan")
        return {
            table: _rows(
                table,
                (
                    item
                    for page in scan.paginate(TableName=f"{self.name}_{table}", ConsistentRead=True)
                    for item in page["Items"]
                ),
            )
            for table in tables
        }


_KEYS: Final = {
    "tasks": ("task_id",),
    "retry_tasks": ("worker_id", "due"),
    "closed_tasks": ("task_id",),
    "registry": ("pk", "sk"),
}


def _rows(table: str, items: Iterable[Item]) -> Rows:
    return {"/".join(item[name]["S"] for name in _KEYS[table]): item for item in items}


def _motos_table(name: str) -> Any:
    """A table of moto's, past its HTTP layer, which takes longer than all else."""
    return get_backend("dynamodb")[ACCOUNT_ID][REGION].tables[name]


def _motos_items(name: str) -> Iterator[Item]:
    found = _motos_table(name)
    for value in found.items.values():
        for item in value.values() if found.has_range_key else [value]:
            yield {name: attribute.to_regular_json() for name, attribute in item.attrs.items()}


def _records(before: Rows, after: Rows) -> Iterator[Record]:
    """What the stream of the tasks table tells of a change."""
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if old != new:
            name = "INSERT" if old is None else "REMOVE" if new is None else "MODIFY"
            images = {"OldImage": old, "NewImage": new}
            yield {
                "eventID": f"{key}-{name}",
                "eventName": name,
                "dynamodb": {image: item for image, item in images.items() if item is not None},
            }


def _status(record: Record) -> str:
    return str(record["dynamodb"]["NewImage"].get("status", {}).get("S"))


def states(snapshot: Snapshot) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Every task's places: table and item, by id."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for table in ("tasks", "retry_tasks", "closed_tasks"):
        for item in snapshot[table].values():
            values = decoded(item)
            found.setdefault(values["task_id"], []).append((table, values))
    return found


# --- what people and Workers say -------------------------------------------------------------------------------------


def job(worker_id: str, count: int, job_id: str, **keys: Any) -> dict[str, Any]:
    """The event that asks for a job of so many tasks."""
    days = {"start_date": "2026-01-01", "end_date": str(date(2026, 1, 1) + timedelta(count - 1)), "isolate_days": True}
    return {"job": {"worker": worker_id, "job_id": job_id, **days, **keys}}


def completed(event: Event, *, names_attempt: bool = True, has_token: bool = True) -> dict[str, Any]:
    """A Worker's report that all went well; version 0.1.0 knows no token, and sosw 0.7 Workers name no attempt."""
    task_id, attempt = event.attempt
    report: dict[str, Any] = {"action": "mark_task_as_completed", "task_id": task_id, "result": {"attempt": attempt}}
    if not names_attempt:
        return report
    return {**report, "attempt": attempt, **(repeated(event) if has_token else {})}


def failed(event: Event, *, retryable: bool = True, has_token: bool = True) -> dict[str, Any]:
    """A Worker's report that it failed."""
    task_id, attempt = event.attempt
    error = {"type": "Broken", "message": "as asked"}
    report = {
        "action": "mark_task_as_failed",
        "task_id": task_id,
        "attempt": attempt,
        "error": error,
        "retryable": retryable,
    }
    return report | repeated(event) if has_token else report


def repeated(event: Event) -> dict[str, Any]:
    """What a report repeats of its event, beside task and attempt."""
    names = {"worker_id": "worker_id", "installation": "sosw_installation", "token": "sosw_token"}
    return {name: event.payload[key] for name, key in names.items() if key in event.payload}


def destination_record(event: Event, condition: str, response: Any = None, invocations: int = 1) -> dict[str, Any]:
    """What Lambda tells of an event: `Success`, `RetriesExhausted` or `EventAgeExceeded`."""
    return {
        "version": "1.0",
        "requestContext": {"condition": condition, "approximateInvokeCount": invocations},
        "requestPayload": event.payload,
        "responsePayload": response,
    }


def undelivered(event: Event) -> dict[str, Any]:
    """What Lambda tells of a Worker that completed its task and could not report it."""
    error = str(ReportUndelivered("throttled", {"attempt": event.attempt[1]}, {}))
    return destination_record(event, "RetriesExhausted", {"errorType": "ReportUndelivered", "errorMessage": error})


class _SameThread:
    """An executor that does at once what it is given."""

    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> _SameThread:
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, work: Callable[..., Result], *arguments: Iterable[Any]) -> list[Result]:
        return [work(*each) for each in zip(*arguments, strict=True)]
