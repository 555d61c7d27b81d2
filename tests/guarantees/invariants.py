"""The invariants, checked on the tables as they stand and on what Lambda was handed."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, Final

from sosw_runtime.domain.task import CLOSED, task_id
from sosw_runtime.storage import progress
from tests.support.snapshots import Snapshot, states
from tests.support.world import World

_REPORTED: Final = {"completed", "failed"}

#: What was found wrong: the invariant's number, and what of it.
Violation = tuple[str, str]


class Watch:
    """Looks at every write of a world, and keeps what it found wrong.

    I1, I2, I4, I5 and I6 hold after each single write; `check_quiet` looks at the others once a world is quiet.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.violations: list[Violation] = []
        self._accepted: set[str] = set()  # every task that ever stood in a table
        self._completed: dict[str, Any] = {}  # what completed tasks completed with
        self._dead: set[str] = set()  # every task that was ever dead
        world.observers.append(self._look)

    def start_over(self) -> None:
        """Clear the world, and forget what was seen of it."""
        self.world.clear()
        self.forget()

    def forget(self) -> None:
        """As if nothing had been seen."""
        self.violations.clear()
        self._accepted.clear()
        self._completed.clear()
        self._dead.clear()

    def raise_violations(self) -> None:
        """Fail with all that was found wrong."""
        assert not self.violations, "\n".join(f"{number}: {what}" for number, what in self.violations)

    # --- after each write --------------------------------------------------------------------------------------------

    def _look(self, before: Snapshot, after: Snapshot) -> None:
        if all(before[table] is after[table] for table in ("tasks", "retry_tasks", "closed_tasks")):
            return
        old, new = states(before), states(after)
        self._accepted |= new.keys()
        self._i1(new)
        self._i2(old, new)
        for key in new:
            was, is_ = _winner(old.get(key)), _winner(new[key])
            self._i4(key, was, is_)
            self._i5(key, was, is_)
            self._i6(key, new[key])
            self._ends_with_its_job(key, was, is_)
            if is_["status"] == "dead":
                self._dead.add(key)

    def _i1(self, new: dict[str, list[tuple[str, dict[str, Any]]]]) -> None:
        """No task is ever lost, and it has one state (closed wins)."""
        for key in self._accepted - new.keys():
            self._found("I1", f"task {key} is in no table")
            self._accepted.discard(key)
        for key, places in new.items():
            where = [(table, values.get("status", "waiting")) for table, values in places]
            if len(where) > 1 and sorted(where) != [("closed_tasks", "completed"), ("tasks", "completed")]:
                self._found("I1", f"task {key} has two states: {where}")

    def _i2(
        self, old: dict[str, list[tuple[str, dict[str, Any]]]], new: dict[str, list[tuple[str, dict[str, Any]]]]
    ) -> None:
        """Live leases never exceed the limit, and neither do the Workers at work; what starts is within the newest."""
        now = self.world.clock.now
        live: dict[str, list[int]] = defaultdict(list)
        started: set[str] = set()
        for key, places in new.items():
            for table, values in places:
                if values.get("status") == "running" and values["lease_until"] >= now:
                    live[values["worker_id"]].append(values["slot"])
                    if _claim(old.get(key), table) != values["claim"]:
                        started.add(values["worker_id"])
        for worker_id in started:
            limit = self.world.registrations[worker_id].max_concurrency
            if len(live[worker_id]) > limit:
                self._found("I2", f"{worker_id}: one starts where {len(live[worker_id])} run at a limit of {limit}")
        for worker_id, slots in live.items():
            limit = self.world.limits[worker_id]
            if len(slots) > limit:
                self._found("I2", f"{worker_id}: {len(slots)} live leases at a limit of {limit}")
            if len(set(slots)) < len(slots):
                self._found("I2", f"{worker_id}: two live leases of one slot among {sorted(slots)}")

    def check_executions(self) -> None:
        """I2 for what really runs. A second run of one event is Lambda's own doing: once the report of one of the two
        counts, the other one may outlast the slot.
        """
        at_work: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for execution in self.world.running:
            if execution.event.deliveries < 2 or self._runs(*execution.event.attempt):
                at_work[execution.worker_id].add(execution.event.attempt)
        for worker_id, attempts in at_work.items():
            limit = self.world.limits[worker_id]
            if len(attempts) > limit:
                self._found("I2", f"{worker_id}: {len(attempts)} Workers at work at a limit of {limit}: {attempts}")

    def _runs(self, key: str, attempt: int) -> bool:
        item = self.world.now["tasks"].get(key, {})
        return (item.get("status"), item.get("attempt")) == ({"S": "running"}, {"N": str(attempt)})

    def _i4(self, key: str, was: dict[str, Any] | None, is_: dict[str, Any]) -> None:
        """Attempts never fall (one whose event AWS refused was none), and never pass the maximum."""
        given_back = is_["history"][-1][1] == "unclaim"
        if was is not None and is_["attempt"] < was["attempt"] - given_back:
            self._found("I4", f"task {key}: attempt fell from {was['attempt']} to {is_['attempt']}")
        most = self.world.registrations[is_["worker_id"]].retry.max_attempts
        if is_["attempt"] - is_.get("spared", 0) > most:
            self._found("I4", f"task {key}: attempt {is_['attempt']} of at most {most}")

    def _i5(self, key: str, was: dict[str, Any] | None, is_: dict[str, Any]) -> None:
        """Only the current attempt finishes a task, by its token if it has one."""
        if was is None or was["status"] != "running" or is_["status"] not in _REPORTED:
            return
        report = self.world.reporting or {}
        named = report.get("requestPayload", report).get("attempt", was["attempt"])
        if (named, is_["attempt"]) != (was["attempt"], was["attempt"]):
            self._found("I5", f"task {key}: attempt {named} finished attempt {was['attempt']}")
        if report and was.get("token") == was["claim"]:
            token = report["requestPayload"].get("sosw_token") if "requestPayload" in report else report.get("token")
            if token != was["token"]:
                self._found("I5", f"task {key}: a report with the token {token} finished attempt {was['attempt']}")

    def _i6(self, key: str, places: list[tuple[str, dict[str, Any]]]) -> None:
        """Completed is final."""
        for _, values in places:
            outcome = (values["attempt"], values.get("result"))
            if values.get("status") == "completed":
                if self._completed.setdefault(key, outcome) != outcome:
                    self._found("I6", f"task {key}: completed twice, {self._completed[key]} and {outcome}")
            elif key in self._completed:
                self._found("I6", f"task {key}: completed, and now {values.get('status', 'waiting')}")

    def _ends_with_its_job(self, key: str, was: dict[str, Any] | None, is_: dict[str, Any]) -> None:
        """No task of a cancelled job is tried again."""
        if (
            was is None
            or len(is_["history"]) <= len(was["history"])
            or is_["history"][-1][1] not in {"retry", "requeue"}
        ):
            return
        job = self.world.now["registry"].get(f"job/{is_['job_id']}", {})
        if "cancelled_at" in job:
            self._found("cancel", f"task {key} of a cancelled job: {is_['history'][-1][1]}")

    # --- once quiet --------------------------------------------------------------------------------------------------

    def check_handed_out(self) -> None:
        """I4 for what Lambda took: no number of an attempt is handed out twice, and they rise."""
        handed: dict[str, list[int]] = defaultdict(list)
        for event in self.world.accepted:
            handed[event.attempt[0]].append(event.attempt[1])
        for key, attempts in handed.items():
            if sorted(set(attempts)) != attempts:
                self._found("I4", f"task {key}: attempts handed out are {attempts}")

    def check_quiet(self) -> None:
        """I1, I3, I7, I8 and I10, once a world had the time to become quiet; then fail with all that was found."""
        self.check_handed_out()
        found = states(self.world.now)
        registry = self.world.rows("registry")
        for key in self._accepted - found.keys():
            self._found("I1", f"task {key} is in no table")
        claims = {values["claim"] for _, values in map(_only, found.values()) if values.get("status") == "running"}
        held = {item["claim"] for item in registry if item["pk"].startswith("slots#")}
        if claims != held:
            self._found("I3", f"slots are held by {held}, and {claims} run")
        for key, places in found.items():
            if not any(table == "closed_tasks" for table, _ in places):
                self._found("I7", f"task {key} is still {places[0][1].get('status', 'waiting')}: {places[0][1]}")
        if [item for item in registry if item["pk"] == "enqueuing"]:
            self._found("I7", "a job is not enqueued whole")
        self._i8(found, registry)
        alarmed = {alarm["task_id"] for alarm in self.world.alarms if "task_id" in alarm}
        for key in self._dead - alarmed:
            if _winner(found.get(key, [("", {})]))["status"] == "dead":
                self._found("I10", f"task {key} is dead without an alarm")
        self.raise_violations()

    def _i8(self, found: dict[str, list[tuple[str, dict[str, Any]]]], registry: list[dict[str, Any]]) -> None:
        """A job's tasks cover it exactly once, and the job is closed with their counts."""
        numbers: dict[str, list[int]] = defaultdict(list)
        outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        payloads: dict[str, list[str]] = defaultdict(list)
        for key, places in found.items():
            values = _winner(places)
            numbers[values["job_id"]].append(values["number"])
            if values["status"] in CLOSED:
                outcomes[values["job_id"]][values["status"]] += 1
            payloads[values["job_id"]].append(values["payload"])
            if key != task_id(values["job_id"], values["number"]):
                self._found("I8", f"task {key} is not the id of {values['job_id']}/{values['number']}")
        jobs = {item["sk"]: item for item in registry if item["pk"] == "job"}
        for job_id, job in jobs.items():
            unwritten = set(range(job["total"])) - set(numbers[job_id])
            if job_id in self.world.cancelled:
                # What was not yet written when the job was cancelled is a task no more, and is counted all the same.
                outcomes[job_id] += Counter(cancelled=len(unwritten))
            elif unwritten:
                self._found("I8", f"job {job_id} of {job['total']} tasks has {sorted(numbers[job_id])}")
            if set(numbers[job_id]) - set(range(job["total"])):
                self._found("I8", f"job {job_id} of {job['total']} tasks has {sorted(numbers[job_id])}")
            if len(set(payloads[job_id])) < len(payloads[job_id]):
                self._found("I8", f"job {job_id} has one payload twice")
            counted = self._counted(job, registry)
            if counted != outcomes[job_id]:
                self._found("I8", f"job {job_id} counts {counted}, and its tasks are {outcomes[job_id]}")
            if "closed_at" not in job:
                self._found("I7", f"job {job_id} is not closed")
        for job_id in numbers.keys() - jobs.keys():
            self._found("I8", f"tasks of a job {job_id} that nobody accepted")

    def _counted(self, job: dict[str, Any], registry: list[dict[str, Any]]) -> Counter[str]:
        """A job's closed tasks by outcome; a full group of blocks, unless none was written, counts what they count."""
        name, counted = f"{job['sk']}#{job['created_at']}", Counter[str]()
        blocks: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for item in registry:
            if item["pk"] == f"progress#{name}":
                blocks[int(item["sk"]) // progress.GROUP].append(item)
        groups = [item for item in registry if item["pk"] == f"progress_groups#{name}" and "dead" in item]
        full = {int(item["sk"]): +Counter({outcome: item.get(outcome, 0) for outcome in CLOSED}) for item in groups}
        for number in blocks.keys() | full.keys():
            of_blocks = _counted(blocks[number])
            if number in full and of_blocks and full[number] != of_blocks:
                self._found("I8", f"group {number} of job {job['sk']} counts {full[number]}, its blocks {of_blocks}")
            counted += of_blocks or full.get(number, Counter())
        return counted

    def _found(self, number: str, what: str) -> None:
        if (number, what) not in self.violations:
            self.violations.append((number, what))


def _winner(places: list[tuple[str, dict[str, Any]]] | None) -> Any:
    """The task as it counts: closed wins."""
    if places is None:
        return None
    _, values = max(places, key=lambda place: place[0] == "closed_tasks")
    return {"status": "waiting", **values}


def _claim(places: list[tuple[str, dict[str, Any]]] | None, table: str) -> str | None:
    """The claim by which a task was seen in a table."""
    return next((values.get("claim") for place, values in places or () if place == table), None)


def _counted(blocks: list[dict[str, Any]]) -> Counter[str]:
    """Closed tasks by outcome, as a job's blocks have them; one that was dead and replayed stands in two."""
    counts: Counter[str] = Counter()
    for block in blocks:
        completed, dead, cancelled = (block.get(name, set()) for name in ("completed", "dead", "cancelled"))
        counts["completed"] += len(completed)
        counts["dead"] += len(dead - completed - cancelled)
        counts["cancelled"] += len(cancelled)
    return +counts


def _only(places: list[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    return places[0]
