"""A state machine over a whole world: people, Workers, Lambda, the stream, the Essentials, time, and faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sosw_runtime.domain.task import Status, Task
from sosw_runtime.storage import jobs, moves
from sosw_runtime.storage.items import Item, to_task
from tests.guarantees.invariants import Watch
from tests.support.builders import SECOND
from tests.support.events import Event, completed, destination_record, failed, job, undelivered
from tests.support.faults import Call, Fault, Plan, Stop
from tests.support.installation import Essential
from tests.support.world import Execution, World

#: Limits by Worker: one that runs one at a time, one that runs some.
LIMITS: Final = {"single": 1, "several": 3}

#: Minutes in which all that was begun is over: two attempts, with their leases and what stood midway; and the minutes
#: that a task more takes where only ticks tell of anything, and one runs at a time.
_MINUTES: Final = 15
_MINUTES_A_TASK: Final = 3

_WORKERS: Final = st.sampled_from(sorted(LIMITS))
_CONSUMERS: Final[st.SearchStrategy[Essential]] = st.sampled_from(["orchestrator", "scavenger"])
_ANY: Final = st.integers(0, 99)
#: By the number of the call in the step that meets it.
_STRIKES: Final = st.dictionaries(st.integers(0, 9), st.sampled_from(Fault), max_size=3)

#: How a Worker may end: what it, or Lambda for it, says at once.
_ENDINGS: Final[Mapping[str, Callable[[Event], list[dict[str, Any]]]]] = {
    "well": lambda event: [completed(event)],
    "well, by its destination": lambda event: [destination_record(event, "Success", {"done": True})],
    "well, as sosw 0.7 says it": lambda event: [completed(event, names_attempt=False)],
    "well, as version 0.1.0 says it": lambda event: [completed(event, has_token=False)],
    "well, after somebody said otherwise": lambda event: [failed(event, has_token=False), completed(event)],
    "well, and could not report it": lambda event: [undelivered(event)],
    "well, and says it twice": lambda event: [completed(event), completed(event)],
    "well, and then fails": lambda event: [completed(event), failed(event)],
    "badly": lambda event: [failed(event)],
    "badly, as version 0.1.0 says it": lambda event: [failed(event, has_token=False), _exhausted(event)],
    "badly, by its destination": lambda event: [_exhausted(event)],
    "badly, and asks for a time": lambda event: [failed(event, retry_after=2)],
    "for good": lambda event: [failed(event, retryable=False)],
    "without a word": lambda event: [],
}


#: Attributes of a task's item that version 0.1 knows.
_OF_VERSION_0_1: Final = frozenset(
    {
        "started_at",
        "due",
        "payload",
        "queue_rank",
        "history",
        "attempt",
        "finished_at",
        "worker_id",
        "task_id",
        "retryable",
        "claim",
        "never_ran",
        "spared",
        "result",
        "created_at",
        "slot",
        "lease_until",
        "error",
        "stats",
        "number",
        "priority",
        "job_id",
        "status",
        "queue_key",
    }
)

#: What another Worker's report says, or one of another installation.
_WRONG: Final[Mapping[str, dict[str, Any]]] = {
    "a guessed token": {"token": "0123456789abcdef"},
    "another Worker": {"worker_id": "another"},
    "another installation": {"installation": "another"},
}


def _exhausted(event: Event) -> dict[str, Any]:
    return destination_record(event, "RetriesExhausted", {"errorType": "Crash", "errorMessage": "as asked"})


class Machine(RuleBasedStateMachine):
    """What may happen to an installation. A subclass names the world, which is emptied for each run."""

    world: World
    watch: Watch
    counted: Callable[[str], None] = staticmethod(lambda what: None)

    @initialize(
        skews=st.lists(st.sampled_from([-4 * SECOND, 0, 4 * SECOND]), min_size=4, max_size=4),
        lag=st.sampled_from([0, 5, 5 * SECOND]),
        token_seen=st.booleans(),
    )
    def begin(self, skews: list[int], lag: int, token_seen: bool) -> None:
        """An empty installation with two Workers, whose Essentials' clocks differ, and whose reads lag."""
        self.watch.start_over()
        self.world.faults.meanwhile = self._others_go_on
        for worker_id, limit in LIMITS.items():
            self.world.register(worker_id, limit, token_seen=token_seen)
            self.world.lambdas.accept(worker_id)
        essentials: tuple[Essential, ...] = ("scheduler", "orchestrator", "scavenger", "worker_assistant")
        self.world.skew = dict(zip(essentials, skews, strict=True))
        self.world.replicas.lag = lag
        self.asked: list[tuple[str, dict[str, Any]]] = []  # every job's event, with its id
        self.told: dict[Essential, list[Any]] = {"orchestrator": [], "scavenger": []}  # records already delivered
        self.mail: list[dict[str, Any]] = []  # what Lambda may yet tell, once, twice or never
        self.paused: set[str] = set()

    # --- people ------------------------------------------------------------------------------------------------------

    @rule(
        worker_id=_WORKERS, count=st.integers(1, 5), priority=st.integers(0, 1), delayed=st.booleans(), strikes=_STRIKES
    )
    def submit(self, worker_id: str, count: int, priority: int, delayed: bool, strikes: dict[int, Fault]) -> None:
        """Somebody asks for a job."""
        keys = {"start_at": self.world.clock.now + 90 * SECOND} if delayed else {}
        event = job(worker_id, count, f"job-{self.world.clock.now}", priority=priority, **keys)
        self.asked.append((event["job"]["job_id"], event))
        self._run("scheduler", event, strikes)

    @precondition(lambda self: self.asked)
    @rule(which=_ANY, strikes=_STRIKES)
    def submit_again(self, which: int, strikes: dict[int, Fault]) -> None:
        """The event of a job is delivered again."""
        self._run("scheduler", self.asked[which % len(self.asked)][1], strikes)

    @precondition(lambda self: self.asked)
    @rule(which=_ANY, unwritten=st.booleans(), strikes=_STRIKES)
    def cancel_job(self, which: int, unwritten: bool, strikes: dict[int, Fault]) -> None:
        """Somebody cancels a job, whether it is enqueued whole or not; its tasks may wait, run or be closed."""
        ids = self._unwritten if unwritten else [job_id for job_id, _ in self.asked]
        if ids:
            self._under_faults(strikes, lambda: self.world.cancel(ids[which % len(ids)]))

    @precondition(lambda self: self.world.now["tasks"] or self.world.now["retry_tasks"])
    @rule(which=_ANY, strikes=_STRIKES)
    def cancel(self, which: int, strikes: dict[int, Fault]) -> None:
        """Somebody cancels a task that has not started."""
        self._command(which, {Status.QUEUED, Status.WAITING}, strikes, self._cancel)

    @precondition(lambda self: self.world.now["closed_tasks"])
    @rule(which=_ANY, strikes=_STRIKES)
    def replay(self, which: int, strikes: dict[int, Fault]) -> None:
        """Somebody replays a dead task."""
        self._command(which, {Status.DEAD}, strikes, self._replay)

    @rule(worker_id=_WORKERS)
    def pause(self, worker_id: str) -> None:
        """Somebody pauses a Worker, or lets it go on."""
        self.paused ^= {worker_id}
        self.world.pause(worker_id, worker_id in self.paused)

    @rule(worker_id=_WORKERS, limit=st.integers(1, 4), require_token=st.booleans())
    def apply(self, worker_id: str, limit: int, require_token: bool) -> None:
        """Somebody applies another limit, or asks for tokens or for none; what runs above a lower limit may finish."""
        most = self.world.limits[worker_id]
        self.world.register(worker_id, limit, require_token=require_token, token_seen=False)
        self.world.limits[worker_id] = max(most, limit)

    @rule(worker_id=_WORKERS, which=_ANY, strikes=_STRIKES)
    def lower(self, worker_id: str, which: int, strikes: dict[int, Fault]) -> None:
        """Somebody lowers a limit below what runs, while more is queued; one task ends, and the stream tells of it."""
        self.submit(worker_id, 5, 0, False, {})
        self.tick("orchestrator", {})
        for event in self._for_workers:
            self.world.start(event)
        at_work = [execution for execution in self.world.running if execution.worker_id == worker_id]
        if len(at_work) < 2:
            return
        self.apply(worker_id, len(at_work) - 1, require_token=True)
        self._end(at_work[which % len(at_work)], "well", {})
        records, self.world.unread["orchestrator"] = self.world.unread["orchestrator"], []
        self.told["orchestrator"] += records
        self._run("orchestrator", {"Records": records}, strikes)

    # --- other versions ----------------------------------------------------------------------------------------------

    @precondition(lambda self: self._open)
    @rule(which=_ANY)
    def touch_by_a_later_version(self, which: int) -> None:
        """A later version changes a task: an attribute and a move that this one does not know."""
        table, item = self._open[which % len(self._open)]
        polish = {"L": [{"N": str(self.world.clock.now)}, {"S": "polish"}, item["attempt"], {"S": ""}, {"S": "bright"}]}
        history = {"L": [*item["history"]["L"], polish]}
        self.world.overwrite(table, {**item, "mood": {"M": {"is": {"N": "0.5"}}}, "history": history})

    @precondition(lambda self: self._open)
    @rule(which=_ANY)
    def touch_by_an_earlier_version(self, which: int) -> None:
        """An earlier version put a task where it stands, and left out what it does not know."""
        table, item = self._open[which % len(self._open)]
        if item.get("status") != {"S": "running"}:  # which a version only updates
            known = {name: value for name, value in item.items() if name in _OF_VERSION_0_1}
            self.world.overwrite(table, known)

    # --- AWS ---------------------------------------------------------------------------------------------------------

    @precondition(lambda self: any(self.world.unread.values()))
    @rule(consumer=_CONSUMERS, count=st.integers(1, 4), backwards=st.booleans(), strikes=_STRIKES)
    def deliver(self, consumer: Essential, count: int, backwards: bool, strikes: dict[int, Fault]) -> None:
        """The stream hands the next records to a consumer, perhaps in another order."""
        unread = self.world.unread[consumer]
        records = unread[:count]
        del unread[:count]
        self.told[consumer] += records
        if records:
            self._run(consumer, {"Records": records[::-1] if backwards else records}, strikes)

    @precondition(lambda self: len(self.world.unread["orchestrator"]) > 1)
    @rule(at=st.sets(st.integers(0, 12), min_size=1, max_size=4), backwards=st.booleans())
    def deliver_side_by_side(self, at: set[int], backwards: bool) -> None:
        """Two shards of the stream wake two Orchestrators; the one does all its work between two calls of the other."""
        unread, others = self.world.unread["orchestrator"], self.world.faults.meanwhile
        records = unread[:8]
        del unread[:8]
        self.told["orchestrator"] += records
        first, second = (records[1::2], records[::2]) if backwards else (records[::2], records[1::2])

        def wake_the_other() -> None:
            self.world.run("orchestrator", {"Records": second})

        self.world.faults.meanwhile = wake_the_other
        try:
            self._run("orchestrator", {"Records": first}, dict.fromkeys(at, Fault.OVERTAKEN))
        finally:
            self.world.faults.meanwhile = others

    @precondition(lambda self: any(self.told.values()))
    @rule(consumer=_CONSUMERS, which=_ANY, strikes=_STRIKES)
    def repeat(self, consumer: Essential, which: int, strikes: dict[int, Fault]) -> None:
        """The stream hands an old record to a consumer again."""
        if self.told[consumer]:
            self._run(consumer, {"Records": [self.told[consumer][which % len(self.told[consumer])]]}, strikes)

    @rule(consumer=_CONSUMERS)
    def lose(self, consumer: Essential) -> None:
        """A consumer never gets to see what is new in the stream."""
        self.world.unread[consumer].clear()

    @rule(essential=_CONSUMERS, strikes=_STRIKES)
    def tick(self, essential: Essential, strikes: dict[int, Fault]) -> None:
        """The minute's rule."""
        self._run(essential, {"source": "aws.events"}, strikes)

    @rule(seconds=st.sampled_from([1, 20, 60, 120]))
    def pass_time(self, seconds: int) -> None:
        """Time goes by."""
        self.world.clock.advance(seconds * SECOND)

    @rule(worker_id=_WORKERS, refused=st.booleans())
    def refuse(self, worker_id: str, refused: bool) -> None:
        """Lambda does not take a Worker's events, or takes them again."""
        if refused:
            self.world.lambdas.refuse(worker_id, "TooManyRequestsException")
        else:
            self.world.lambdas.accept(worker_id)

    @precondition(lambda self: self.world.events)
    @rule(which=_ANY, strikes=_STRIKES)
    def start(self, which: int, strikes: dict[int, Fault]) -> None:
        """Lambda delivers an event."""
        event = self.world.events[which % len(self.world.events)]
        if event.function in self.world.registrations:
            self.world.start(event)
        else:
            self.world.events.remove(event)
            self._run("scheduler", event.payload, strikes)

    @precondition(lambda self: self._for_workers)
    @rule(which=_ANY)
    def turn_away(self, which: int) -> None:
        """Somebody set the Worker's reserved concurrency to 0: Lambda hands the event straight to its destination."""
        event = self._for_workers[which % len(self._for_workers)]
        self.world.events.remove(event)
        self.mail.append(destination_record(event, "ZeroReservedConcurrency", invocations=0))

    @precondition(lambda self: self.world.running)
    @rule(which=_ANY)
    def start_again(self, which: int) -> None:
        """Lambda delivers an event once more."""
        self.world.start(self.world.running[which % len(self.world.running)].event)

    @precondition(lambda self: self.mail)
    @rule(which=_ANY, again=st.booleans(), strikes=_STRIKES)
    def tell(self, which: int, again: bool, strikes: dict[int, Fault]) -> None:
        """Lambda tells how an event ended, perhaps not for the last time."""
        record = self.mail[which % len(self.mail)]
        if not again:
            self.mail.remove(record)
        self._report(record, strikes)

    # --- Workers -----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.running)
    @rule(which=_ANY, how=st.sampled_from(sorted(_ENDINGS)), strikes=_STRIKES)
    def end(self, which: int, how: str, strikes: dict[int, Fault]) -> None:
        """A Worker ends."""
        self._end(self.world.running[which % len(self.world.running)], how, strikes)

    @precondition(lambda self: self.world.running)
    @rule(which=_ANY, well=st.booleans(), wrong=st.sampled_from(sorted(_WRONG)), strikes=_STRIKES)
    def impersonate(self, which: int, well: bool, wrong: str, strikes: dict[int, Fault]) -> None:
        """Another Worker, or one of another installation, reports for one that is at work."""
        event = self.world.running[which % len(self.world.running)].event
        report = (completed if well else failed)(event) | _WRONG[wrong]
        if "sosw_token" in event.payload or "token" not in _WRONG[wrong]:
            self._report(report, strikes)

    @precondition(lambda self: self.world.accepted)
    @rule(which=_ANY, well=st.booleans(), strikes=_STRIKES)
    def report_late(self, which: int, well: bool, strikes: dict[int, Fault]) -> None:
        """A report of any attempt that ever ended arrives, for a task that may have gone on, or be gone."""
        event = self.world.accepted[which % len(self.world.accepted)]
        if event.deliveries and all(execution.event is not event for execution in self.world.running):
            self._report(completed(event) if well else failed(event), strikes)

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        """I1, I2, I4, I5 and I6, after each single write so far."""
        if not hasattr(self, "asked"):
            return  # not yet begun
        self._age()
        self.watch.check_executions()
        self.watch.raise_violations()

    def teardown(self) -> None:
        """Faults end, people let everything run, and once all is quiet the other invariants hold."""
        if not hasattr(self, "asked"):
            return
        self.world.faults.deliver_late()
        for worker_id in LIMITS:
            self.world.lambdas.accept(worker_id)
            self.world.pause(worker_id, False)
        left = len(self.world.now["tasks"]) + len(self.world.now["retry_tasks"]) + 5 * len(self._unwritten)
        self.world.settle(_MINUTES + _MINUTES_A_TASK * left)
        self.watch.check_quiet()

    @property
    def _unwritten(self) -> list[str]:
        """Jobs that are not enqueued whole."""
        return [item["sk"]["S"] for item in self.world.now["registry"].values() if item["pk"]["S"] == "enqueuing"]

    @property
    def _open(self) -> list[tuple[str, Item]]:
        """Items of tasks that are not closed, each with its table."""
        return [(table, item) for table in ("tasks", "retry_tasks") for item in self.world.now[table].values()]

    @property
    def _for_workers(self) -> list[Event]:
        """Events that a Worker was not yet handed."""
        return [event for event in self.world.events if event.function in self.world.registrations]

    # --- inside ------------------------------------------------------------------------------------------------------

    def _run(self, essential: Essential, event: Any, strikes: Mapping[int, Fault]) -> None:
        before, paused = len(self.world.accepted), set(self.paused)
        with self.world.faults.armed(self._plan(strikes)):
            self.world.run(essential, event)
        self._arrive_late()
        for started in self.world.accepted[before:]:
            if started.function in paused:
                self.watch.violations.append(("pause", f"{started.function} was invoked while it was paused"))

    def _report(self, report: dict[str, Any], strikes: Mapping[int, Fault]) -> None:
        with self.world.faults.armed(self._plan(strikes)):
            self.world.report(report)
        self._arrive_late()

    def _plan(self, strikes: Mapping[int, Fault]) -> Plan:
        def plan(call: Call) -> Fault | None:
            fault = strikes.get(call.number)
            if fault is not None and fault.fits(call):
                note(f"{call} {fault.value}")
                self.counted(fault.name)
            return fault

        return plan

    def _arrive_late(self) -> None:
        """What callers gave up on acts in the end, seconds after they did."""
        if self.world.faults.late:
            self._others_go_on()
            self.world.faults.deliver_late()

    def _others_go_on(self) -> None:
        """Other invocations of the Essentials, and Workers, act in the midst of one."""
        reporting, self.world.reporting = self.world.reporting, None
        self.world.deliver("orchestrator")
        for execution in self.world.running[:1]:
            self._end(execution, "well", {})
        self.world.deliver("scavenger")
        self.world.run("scavenger", {})
        self.world.reporting = reporting

    def _end(self, execution: Execution, how: str, strikes: Mapping[int, Fault]) -> None:
        self.world.end(execution)
        for report in _ENDINGS[how](execution.event):
            self._report(report, strikes)
        if how == "without a word":
            self.mail.append(_exhausted(execution.event))

    def _age(self) -> None:
        at_work = self.world.running
        dropped = self.world.age()
        self.mail += [destination_record(event, "EventAgeExceeded", invocations=0) for event in dropped]
        self.mail += [_exhausted(execution.event) for execution in at_work if execution.ended_at is not None]

    def _command(
        self, which: int, statuses: set[Status], strikes: Mapping[int, Fault], move: Callable[[Task], object]
    ) -> None:
        """The command line reads a task, and moves it; if AWS gives out, it says so and ends."""
        tables = ("tasks", "retry_tasks", "closed_tasks")
        found = [to_task(item) for table in tables for item in self.world.now[table].values()]
        movable = sorted(
            (task for task in found if task.status in statuses), key=lambda task: (task.job_id, task.number)
        )
        if movable:
            self._under_faults(strikes, lambda: move(movable[which % len(movable)]))

    def _under_faults(self, strikes: Mapping[int, Fault], command: Callable[[], object]) -> None:
        with self.world.faults.armed(self._plan(strikes)):
            try:
                command()
            except (Exception, Stop) as error:  # noqa: BLE001 - the command says so
                note(f"the command failed: {error!r}")
        self._arrive_late()

    def _cancel(self, task: Task) -> None:
        moves.cancel(self.world.tables, task, self.world.clock.read(), "tests")

    def _replay(self, task: Task) -> None:
        if jobs.tasks_before_cursor(self.world.tables, [task]):
            moves.replay(self.world.tables, task, 1, self.world.clock.read())
