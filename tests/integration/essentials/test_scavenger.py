"""The Scavenger: archives what completed, retries or buries what failed, and mends whatever was left midway."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sosw_runtime.domain.task import Entry, Error, Move, Status, Task, task_id
from sosw_runtime.errors import Unavailable
from sosw_runtime.essentials import scavenger
from sosw_runtime.essentials.scavenger import GRACE_MS
from sosw_runtime.storage import jobs, moves, progress, slots
from sosw_runtime.storage.items import encoded, to_item
from tests.integration.storage.cases import DEAD
from tests.support.builders import (
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NO_DEADLINE,
    NOON,
    SECOND,
    completed,
    failed,
    queued,
    running,
    slot,
    waiting,
)
from tests.support.installation import Installation
from tests.support.lambdas import FakeLambda

BUSY = Error("StoreDown", "the store is busy")


@pytest.fixture
def longest_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jitter that always draws the upper bound."""
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)


# --- what completed --------------------------------------------------------------------------------------------------


def test_a_report_that_a_batch_tells_twice_is_settled_once(sosw: Installation) -> None:
    sosw.register()
    sosw.put(completed(0), failed(1, slot=1, claim="1"))
    batch = (completed(0), failed(1, slot=1, claim="1"))
    assert sosw.wake_scavenger(*batch, *batch) == {"Archived": 1, "Retried": 1}


def test_a_completed_task_is_archived_with_all_that_it_left(sosw: Installation) -> None:
    sosw.register()
    sosw.put(completed(result='{"bytes":7}', stats='{"calls":2}'))
    assert sosw.wake_scavenger(completed(result='{"bytes":7}', stats='{"calls":2}'))["Archived"] == 1
    assert sosw.rows("tasks") == []
    task = sosw.task()
    assert (task.status, task.closed_at, task.duration_ms) == (Status.COMPLETED, NOON + SECOND, SECOND)
    assert (task.result, task.stats) == ('{"bytes":7}', '{"calls":2}')
    assert [entry.move for entry in task.history] == [Move.ENQUEUE, Move.CLAIM, Move.REPORT, Move.ARCHIVE]


def test_a_batch_of_reports_is_settled_whole(sosw: Installation) -> None:
    sosw.register()
    done = [completed(number, slot=number, claim=f"{number}") for number in range(30)]
    lost = [failed(number, slot=number, claim=f"{number}") for number in range(30, 40)]
    sosw.put(*done, *lost)
    assert sosw.wake_scavenger(*done, *lost) == {"Archived": 30, "Retried": 10}
    assert [task.status for task in sosw.all_tasks()] == [Status.COMPLETED] * 30 + [Status.WAITING] * 10


def test_closed_tasks_expire_and_dead_ones_are_kept(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOSW_CLOSED_TASKS_RETENTION_DAYS", "30")
    sosw.register()
    sosw.put(completed(0), failed(1, slot=1, claim="1", retryable=False))
    sosw.wake_scavenger(completed(0), failed(1, slot=1, claim="1", retryable=False))
    expiry = {row["number"]["N"]: row.get("expires_at") for row in sosw.rows("closed_tasks")}
    assert expiry == {"0": {"N": str((NOON + SECOND + 30 * DAY) // 1000)}, "1": None}


# --- what failed -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("longest_delays")
def test_a_failed_task_waits_twice_as_long_each_time_up_to_the_cap(sosw: Installation) -> None:
    sosw.register(retry={"max_attempts": 10, "base_delay_seconds": 30, "max_delay_seconds": 100})
    sosw.clock.advance(SECOND)
    delays = []
    for attempt in range(1, 5):
        task = failed(attempt, attempt=attempt, claim=f"{attempt}", slot=attempt)
        sosw.put(task)
        sosw.wake_scavenger(task)
        delays.append((sosw.task(attempt).due_at or 0) - sosw.clock.now)
    assert delays == [30 * SECOND, 60 * SECOND, 100 * SECOND, 100 * SECOND]


def test_the_delays_of_tasks_that_failed_together_are_spread(sosw: Installation) -> None:
    sosw.register(retry={"base_delay_seconds": 30})
    lost = [failed(number, slot=number, claim=f"{number}") for number in range(20)]
    sosw.put(*lost)
    sosw.wake_scavenger(*lost)
    delays = {(task.due_at or 0) - NOON for task in sosw.with_status(Status.WAITING)}
    assert min(delays) >= 0
    assert max(delays) <= 30 * SECOND
    assert len(delays) > 10, "full jitter: no thundering herd"


def test_a_failed_task_keeps_its_error_and_why_it_waits(sosw: Installation) -> None:
    sosw.register()
    sosw.put(failed(error=BUSY.to_json()))
    sosw.wake_scavenger(failed(error=BUSY.to_json()))
    task = sosw.task()
    assert (task.status, task.attempt, task.failure) == (Status.WAITING, 1, BUSY)
    assert (task.slot, task.claim, task.lease_until, task.finished_at) == (None, None, None, None)
    assert (task.history[-1].move, task.history[-1].reason) == (Move.RETRY, "StoreDown: the store is busy")


def test_a_task_is_tried_as_often_as_its_worker_allows_and_then_dies(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(retry={"max_attempts": 3})
    sosw.put(queued())
    for attempt in (1, 2, 3):
        sosw.tick_orchestrator()
        task = sosw.task()
        assert (task.status, task.attempt) == (Status.RUNNING, attempt)
        sosw.fail(task, error={"type": "StoreDown", "message": f"busy for the {attempt}. time"})
        sosw.wake_scavenger(sosw.task())
        sosw.clock.advance(HOUR)
        sosw.tick_scavenger()
    task = sosw.task()
    assert (task.status, task.attempt, task.failure) == (Status.DEAD, 3, Error("StoreDown", "busy for the 3. time"))
    death = next(entry for entry in task.history if entry.move is Move.DIE)
    assert death.reason == "attempt 3 of 3 failed; StoreDown: busy for the 3. time"
    assert [call.event["attempt"] for call in lambdas.accepted] == [1, 2, 3]
    assert sosw.slots() == []


def test_a_task_that_can_never_succeed_dies_at_once(sosw: Installation) -> None:
    sosw.register()
    sosw.put(failed(retryable=False))
    assert sosw.wake_scavenger(failed(retryable=False))["DeadTasks"] == 1
    assert sosw.task().status is Status.DEAD


def test_an_event_that_never_reached_the_worker_costs_no_attempt(sosw: Installation) -> None:
    sosw.register(retry={"max_attempts": 1})
    sosw.put(failed(never_ran=True))
    sosw.wake_scavenger(failed(never_ran=True))
    task = sosw.task()
    assert (task.status, task.attempt, task.counted_attempts, task.never_ran) == (Status.WAITING, 1, 0, False)


def test_a_repeated_or_old_record_changes_nothing(sosw: Installation) -> None:
    sosw.register()
    records = [
        completed(0),
        failed(1, slot=1, claim="1"),
        failed(2, slot=2, claim="2", retryable=False),
        # While attempt 2 runs, the record of attempt 1 comes again.
        failed(3, claim="an older one"),
    ]
    sosw.put(*records[:3], running(3, attempt=2, index=3, claim="3"))
    sosw.wake_scavenger(*records)
    settled = [Status.COMPLETED, Status.WAITING, Status.DEAD, Status.RUNNING]
    assert [task.status for task in sosw.all_tasks()] == settled
    before = sosw.everything()
    assert sosw.wake_scavenger(*records) == {"Archived": 1}, "an archive is repeated, to the same bytes"
    assert sosw.everything() == before


def test_records_of_tasks_that_did_not_report_are_passed_over(sosw: Installation) -> None:
    sosw.register()
    sosw.put(queued(0), running(1))
    before = sosw.everything()
    assert sosw.wake_scavenger(queued(0), running(1)) == {}
    assert sosw.everything() == before


# --- alarms ----------------------------------------------------------------------------------------------------------


class Inbox:
    """A queue that is subscribed to a topic."""

    def __init__(self) -> None:
        self._sqs: Any = boto3.client("sqs")
        self.topic_arn: str = boto3.client("sns").create_topic(Name="alarms")["TopicArn"]
        self._url = self._sqs.create_queue(QueueName="inbox")["QueueUrl"]
        queue_arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]
        boto3.client("sns").subscribe(TopicArn=self.topic_arn, Protocol="sqs", Endpoint=queue_arn["QueueArn"])

    def read(self) -> list[dict[str, Any]]:
        """The messages that came, as SNS wraps them."""
        messages = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", [])
        for message in messages:
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in messages]


@pytest.fixture
def inbox(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    """Where the alarms of dead tasks arrive."""
    inbox = Inbox()
    monkeypatch.setenv("SOSW_ALARM_TOPIC_ARN", inbox.topic_arn)
    return inbox


def test_a_death_is_alarmed_with_task_worker_attempts_and_last_error(sosw: Installation, inbox: Inbox) -> None:
    sosw.register()
    poison = failed(attempt=2, retryable=False, error=BUSY.to_json())
    sosw.put(poison)
    assert sosw.wake_scavenger(poison) == {"DeadTasks": 1, "Alarms": 1}
    [mail] = inbox.read()
    assert mail["Subject"] == f"{sosw.tables.name}: a task of resize is dead"
    alarm = json.loads(mail["Message"])
    assert (alarm["task_id"], alarm["worker_id"], alarm["job_id"]) == (poison.task_id, "resize", "album")
    assert (alarm["attempt"], alarm["dead_at"]) == (2, NOON)
    assert alarm["error"] == {"type": "StoreDown", "message": "the store is busy"}
    assert "another try is of no use" in alarm["reason"]

    sosw.tick_scavenger()
    sosw.wake_scavenger(poison)
    assert inbox.read() == [], "once"


def test_deaths_of_one_job_are_told_in_one_message(sosw: Installation, inbox: Inbox) -> None:
    sosw.put(*(dead(number) for number in range(3)), dead(3, job_id="other"), dead(4, worker_id="crop"))
    assert sosw.tick_scavenger() == {"Alarms": 3}
    mails = {json.loads(mail["Message"])["job_id"] + mail["Subject"]: mail for mail in inbox.read()}
    assert len(mails) == 3
    several = mails[f"album{sosw.tables.name}: 3 tasks of resize are dead"]
    message = json.loads(several["Message"])
    assert (message["alarm"], message["worker_id"], message["job_id"]) == ("dead tasks", "resize", "album")
    assert sorted(task["task_id"] for task in message["tasks"]) == sorted(dead(number).task_id for number in range(3))
    assert {name for task in message["tasks"] for name in task} == {"task_id", "attempt", "error", "reason", "dead_at"}
    for mail in mails.values():
        if mail is not several:
            assert json.loads(mail["Message"])["alarm"] == "dead task"
    assert sosw.tick_scavenger() == {}


def test_the_deaths_of_a_batch_of_the_stream_are_told_in_one_message(sosw: Installation, inbox: Inbox) -> None:
    sosw.register()
    poison = [failed(number, slot=number, claim=f"{number}", retryable=False) for number in range(10)]
    sosw.put(*poison, failed(10, slot=10, claim="10"))
    answer = sosw.wake_scavenger(*poison, failed(10, slot=10, claim="10"))
    assert answer == {"DeadTasks": 10, "Alarms": 1, "Retried": 1}
    [mail] = inbox.read()
    assert len(json.loads(mail["Message"])["tasks"]) == 10


def test_attempts_whose_leases_ended_together_die_with_one_message(sosw: Installation, inbox: Inbox) -> None:
    sosw.register(retry={"max_attempts": 1})
    sosw.put(*(running(number, index=number, claim=f"{number}") for number in range(10)))
    sosw.clock.now = NOON + LEASE + 1
    assert sosw.tick_scavenger() == {"DeadTasks": 10, "Alarms": 1, "Freed": 10}
    assert len(inbox.read()) == 1


def test_every_one_of_many_deaths_is_named_in_some_message(sosw: Installation, inbox: Inbox) -> None:
    """SNS refuses messages over 256 KB."""
    widest = "\N{SNAKE}" * 300
    error = Error(widest, widest).to_json()
    sosw.put(*(dead(number, error=error, history=(Entry(NOON, Move.DIE, 1, widest),)) for number in range(45)))
    assert sosw.tick_scavenger() == {"Alarms": 3}
    messages = [mail["Message"] for mail in inbox.read()]
    assert max(len(message) for message in messages) < 256 * 1024
    named = [task["task_id"] for message in messages for task in json.loads(message)["tasks"]]
    assert sorted(named) == sorted(dead(number).task_id for number in range(45))


def dead(number: int, **changes: Any) -> Task:
    """A task that died and was not yet announced."""
    return replace(DEAD, task_id=task_id("album", number), number=number, in_outbox=True, **changes)


def test_an_alarm_that_could_not_be_sent_stays_due_until_it_is(
    sosw: Installation, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.register()
    sosw.put(failed(retryable=False))
    monkeypatch.setenv("SOSW_ALARM_TOPIC_ARN", f"{inbox.topic_arn}-gone")
    buried = {"DeadTasks": 1, "Failures": 1}
    assert sosw.wake_scavenger(failed(retryable=False)) == buried, "no reason to hold up the records behind it"
    assert sosw.task().status is Status.DEAD
    assert sosw.tick_scavenger()["Failures"] == 1

    monkeypatch.setenv("SOSW_ALARM_TOPIC_ARN", inbox.topic_arn)
    assert sosw.tick_scavenger()["Alarms"] == 1
    assert len(inbox.read()) == 1
    assert "Alarms" not in sosw.tick_scavenger()


def test_the_alarm_of_a_worker_with_a_long_name_is_sent(sosw: Installation, inbox: Inbox) -> None:
    """SNS refuses subjects over 100 characters."""
    task = replace(failed(retryable=False), worker_id="w" * 140)
    sosw.put(task)
    assert sosw.wake_scavenger(task)["Alarms"] == 1
    assert len(inbox.read()[0]["Subject"]) == 100


def test_without_a_topic_a_task_dies_quietly(sosw: Installation) -> None:
    sosw.register()
    sosw.put(failed(retryable=False))
    assert "Failures" not in sosw.wake_scavenger(failed(retryable=False))
    assert sosw.task().status is Status.DEAD


# --- what waits ------------------------------------------------------------------------------------------------------


def test_what_waits_is_queued_at_the_head_of_its_priority_when_it_is_due(
    sosw: Installation, lambdas: FakeLambda
) -> None:
    sosw.register(max_concurrency=1)
    sosw.put(queued(0), waiting(1, due_at=NOON + MINUTE))
    sosw.clock.now = NOON + MINUTE - 1
    assert "Requeued" not in sosw.tick_scavenger()
    sosw.clock.now = NOON + MINUTE
    assert sosw.tick_scavenger()["Requeued"] == 1
    task = sosw.task(1)
    assert (task.status, task.attempt, task.due_at, task.history[-1].move) == (Status.QUEUED, 1, None, Move.REQUEUE)
    sosw.tick_orchestrator()
    assert [call.event["photo"] for call in lambdas.accepted] == [1]


def test_all_that_is_due_is_queued_at_once(sosw: Installation) -> None:
    sosw.register()
    sosw.put(*(waiting(number) for number in range(40)))
    sosw.clock.advance(MINUTE)
    assert sosw.tick_scavenger()["Requeued"] == 40
    assert len(sosw.with_status(Status.QUEUED)) == 40


# --- what was left midway ------------------------------------------------------------------------------------------


def test_an_attempt_whose_lease_ended_is_retried_and_its_slot_freed(sosw: Installation) -> None:
    sosw.register()
    sosw.put(running())
    sosw.clock.now = NOON + LEASE
    before = sosw.everything()
    assert sosw.tick_scavenger() == {}
    assert {**sosw.everything(), "registry": []} == {**before, "registry": []}, "until then it may still run"

    sosw.clock.advance(1)
    assert sosw.tick_scavenger() == {"Retried": 1, "Freed": 1}
    task = sosw.task()
    assert (task.status, task.history[-1].reason) == (Status.WAITING, "the lease ended without a report")
    assert sosw.slots() == []
    assert not sosw.complete(running())["accepted"], "a report that comes too late"


def test_the_last_attempt_whose_lease_ended_dies_with_an_alarm(sosw: Installation, inbox: Inbox) -> None:
    sosw.register(retry={"max_attempts": 1})
    sosw.put(running())
    sosw.clock.now = NOON + LEASE + 1
    assert sosw.tick_scavenger() == {"DeadTasks": 1, "Alarms": 1, "Freed": 1}
    assert "the lease ended without a report" in json.loads(inbox.read()[0]["Message"])["reason"]


def test_a_report_whose_record_was_lost_is_settled_and_its_slot_freed(sosw: Installation) -> None:
    sosw.register()
    sosw.put(completed(0), failed(1, slot=1, claim="1"))
    sosw.clock.now = NOON + SECOND + GRACE_MS
    assert sosw.tick_scavenger() == {}, "the record may be on its way"
    sosw.clock.advance(1)
    assert sosw.tick_scavenger() == {"Archived": 1, "Retried": 1, "Freed": 2}
    assert [task.status for task in sosw.all_tasks()] == [Status.COMPLETED, Status.WAITING]
    assert sosw.slots() == []


def test_a_slot_of_a_claim_that_never_came_is_voided_and_freed(
    sosw: Installation,
) -> None:
    """The Orchestrator was stopped between its two writes, or the second one is still on its way."""
    sosw.register()
    sosw.put(queued())
    taken = slot(queued())
    assert slots.take(sosw.tables, taken, None, NO_DEADLINE)
    sosw.clock.now = NOON + GRACE_MS
    assert sosw.tick_scavenger() == {}
    sosw.clock.advance(1)
    assert sosw.tick_scavenger() == {"Freed": 1}
    assert sosw.slots() == []
    assert sosw.task().history[-1].move is Move.VOID

    late = moves.claim(sosw.tables, taken, NOON + LEASE, NO_DEADLINE)
    assert late is None, "the claim arrives after all, and starts nothing"
    assert sosw.task().status is Status.QUEUED


def test_a_slot_whose_task_is_gone_is_freed(sosw: Installation) -> None:
    """The task was settled by one record, and the other, which would have handed its slot on, was lost."""
    sosw.register()
    assert slots.take(sosw.tables, slot(queued()), None, NO_DEADLINE)
    sosw.clock.advance(GRACE_MS + 1)
    assert sosw.tick_scavenger() == {"Freed": 1}
    assert sosw.slots() == []


def test_a_slot_whose_task_runs_in_another_one_is_freed(sosw: Installation) -> None:
    sosw.register()
    sosw.put(running(index=1, claim="1"))
    assert slots.take(sosw.tables, slot(queued(), index=0, claim="overtaken"), None, NO_DEADLINE)
    sosw.clock.advance(GRACE_MS + 1)
    assert sosw.tick_scavenger() == {"Freed": 1}
    assert [found.index for found in sosw.slots()] == [1]


def test_the_sweep_finds_what_neither_record_nor_slot_tells_of(sosw: Installation) -> None:
    sosw.register()
    sosw.put(completed(0), running(1, index=1, claim="1"), running(2, index=2, claim="2", lease_until=NOON + HOUR))
    for found in sosw.slots()[:2]:
        assert slots.free(sosw.tables, found)
    sosw.clock.now = NOON + LEASE + 1
    assert sosw.tick_scavenger() == {"Archived": 1, "Retried": 1}
    assert [task.status for task in sosw.all_tasks()] == [Status.COMPLETED, Status.WAITING, Status.RUNNING]


def test_a_worker_that_is_gone_is_looked_after_all_the_same(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    sosw.tick_orchestrator()
    sosw.put(running(0), waiting(1))
    sosw.client.delete_item(TableName=sosw.tables.registry, Key=encoded({"pk": "worker", "sk": "resize"}))
    sosw.clock.now = NOON + LEASE + 1
    assert sosw.tick_scavenger() == {"Retried": 1, "Freed": 1}, "what waits is not tried until it is registered again"


def test_quiet_again_every_occupied_slot_has_a_running_task(sosw: Installation, lambdas: FakeLambda) -> None:
    """Invariant 3, after one of each mishap at once."""
    sosw.register(max_concurrency=10)
    sosw.put(completed(0), failed(1, slot=1, claim="1"), running(2, index=2, claim="2"), queued(3), waiting(4))
    sosw.put(running(5, index=5, claim="5", lease_until=NOON + HOUR))
    assert slots.take(sosw.tables, slot(queued(3), index=3, claim="3"), None, NO_DEADLINE)
    assert slots.take(sosw.tables, slot(queued(6), index=6, claim="6"), None, NO_DEADLINE)
    sosw.clock.now = NOON + LEASE + 1
    sosw.tick_scavenger()
    sosw.tick_scavenger()
    occupied = {found.claim for found in sosw.slots()}
    assert occupied == {task.claim for task in sosw.with_status(Status.RUNNING)} == {"5"}


# --- when time is short ----------------------------------------------------------------------------------------------


@pytest.fixture
def slow_slots(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty slots of tasks that are gone, each of which takes ten seconds to free; a tick has five minutes."""
    for index in range(40):
        assert slots.take(sosw.tables, slot(queued(100 + index), index=index, claim=f"{index}"), None, NO_DEADLINE)
    free = slots.free

    def slowly(*arguments: Any) -> bool:
        sosw.clock.advance(10 * SECOND)
        return free(*arguments)

    monkeypatch.setattr(slots, "free", slowly)


@pytest.mark.usefixtures("slow_slots")
def test_slow_mending_leaves_time_for_everything_else(sosw: Installation, inbox: Inbox, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=40)
    lost_record = completed(2)
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=to_item(lost_record))
    sosw.put(waiting(3), DEAD)
    sosw.client.put_item(
        TableName=sosw.tables.registry,
        Item=encoded({"pk": "enqueuing", "sk": "another", "position": 0, "holder": "", "lease_until": 0}),
    )
    sosw.clock.advance(MINUTE)
    answer = sosw.tick_scavenger()
    assert answer["Freed"] < 40
    assert answer["LeftOver"] == 1, "the slots of the one Worker"
    done = {name: answer[name] for name in ("Requeued", "Alarms", "Resumed", "Archived")}
    assert done == {"Requeued": 1, "Alarms": 1, "Resumed": 1, "Archived": 1}


def test_one_workers_backlog_keeps_no_others_task_waiting(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    for worker_id in ("resize", *WORKERS):
        sosw.register(worker_id)
    sosw.put(*(waiting(number) for number in range(50)))
    sosw.put(*(waiting(100 + nth, worker_id=worker_id) for nth, worker_id in enumerate(WORKERS)))
    monkeypatch.setattr(scavenger, "_DUE_A_TURN", 5)
    requeue = moves.requeue

    def slowly(*arguments: Any) -> bool:
        sosw.clock.advance(8 * SECOND)
        return requeue(*arguments)

    monkeypatch.setattr(moves, "requeue", slowly)
    sosw.clock.advance(MINUTE)
    answer = sosw.tick_scavenger()
    assert answer["LeftOver"] == 1
    assert {task.worker_id for task in sosw.with_status(Status.QUEUED)} >= set(WORKERS)
    assert {task.worker_id for task in sosw.with_status(Status.WAITING)} == {"resize"}
    assert answer["Requeued"] > 15, "what the other chores left of the time went to what is due"


#: Workers beside `resize`.
WORKERS = ("blur", "crop", "print", "scan")


# --- trouble stays where it is ---------------------------------------------------------------------------------------


def test_a_registration_that_cannot_be_read_stops_no_task_of_anybody(sosw: Installation) -> None:
    sosw.register("crop")
    sosw.client.put_item(
        TableName=sosw.tables.registry, Item=encoded({"pk": "worker", "sk": "resize", "spec": "{not JSON"})
    )
    sosw.put(failed(0), waiting(1), waiting(2, worker_id="crop"))
    sosw.clock.advance(MINUTE)
    answer = sosw.tick_scavenger()
    assert (answer["Retried"], answer["Requeued"]) == (1, 1)
    assert sosw.task(1).status is Status.WAITING


def test_no_task_dies_while_its_registration_cannot_be_read(sosw: Installation, longest_delays: None) -> None:
    """It might be allowed more attempts than anybody can tell now."""
    exhausted, allowed = failed(0, attempt=3), failed(1, attempt=3, slot=1, claim="1")
    sosw.put(exhausted, allowed)
    sosw.client.put_item(
        TableName=sosw.tables.registry, Item=encoded({"pk": "worker", "sk": "resize", "spec": "{not JSON"})
    )
    assert sosw.wake_scavenger(exhausted, allowed) == {"Retried": 2}
    sosw.clock.advance(DAY)
    assert sosw.tick_scavenger() == {"Freed": 2}, "they wait on"
    sosw.register(retry={"max_attempts": 10})
    assert sosw.tick_scavenger() == {"Requeued": 2}


def test_a_task_without_an_attempt_left_is_not_queued_again(sosw: Installation) -> None:
    sosw.register(retry={"max_attempts": 3})
    sosw.put(waiting(0, attempt=3), waiting(1, attempt=2))
    sosw.clock.advance(HOUR)
    assert sosw.tick_scavenger() == {"DeadTasks": 1, "Alarms": 1, "Requeued": 1}
    assert sosw.task(0).history[-2].reason == "attempt 3 of 3 failed; it waited for its next try"


# --- a job that is cancelled -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("enqueued_whole", [True, False])
def test_a_cancelled_jobs_task_that_fails_is_not_tried_again(
    sosw: Installation, lambdas: FakeLambda, enqueued_whole: bool
) -> None:
    sosw.register()
    sosw.submit_photos(3)
    sosw.tick_orchestrator()
    if not enqueued_whole:
        sosw.client.put_item(
            TableName=sosw.tables.registry,
            Item=encoded({"pk": "enqueuing", "sk": "album", "position": 3, "holder": "", "lease_until": 0}),
        )
    jobs.cancel(sosw.tables, "album", NOON)
    sosw.fail(sosw.task(0))
    sosw.complete(sosw.task(1))
    assert sosw.wake_scavenger(sosw.task(0), sosw.task(1)) == {"Archived": 1, "Cancelled": 1}
    sosw.clock.advance(LEASE)
    sosw.tick_scavenger()
    sosw.tick_scavenger()
    ends = [sosw.task(number).status for number in range(3)]
    assert ends == [Status.CANCELLED, Status.COMPLETED, Status.CANCELLED], "the last one's lease ended"
    record = jobs.get(sosw.tables, "album")
    assert record is not None
    assert (record.completed, record.cancelled) == (1, 2)


def test_a_cancelled_jobs_task_that_waits_is_not_queued_again(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    sosw.submit_photos(1)
    sosw.client.delete_item(TableName=sosw.tables.tasks, Key=encoded({"task_id": waiting().task_id}))
    sosw.put(waiting())
    jobs.cancel(sosw.tables, "album", NOON)
    sosw.clock.advance(HOUR)
    assert sosw.tick_scavenger()["Cancelled"] == 1
    assert sosw.task().status is Status.CANCELLED


def test_a_task_behind_its_jobs_cursor_is_not_queued_again(sosw: Installation) -> None:
    """Its Scheduler is just finding out whether it was ever written."""
    sosw.register()
    cursor = {"pk": "enqueuing", "sk": "album", "holder": "first", "lease_until": NOON + HOUR}
    sosw.client.put_item(TableName=sosw.tables.registry, Item=encoded({**cursor, "position": 1}))
    sosw.put(waiting(0), waiting(1))
    sosw.clock.advance(MINUTE)
    assert sosw.tick_scavenger() == {"Requeued": 1}
    assert sosw.task(1).status is Status.WAITING


# --- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [{"payload": {"N": "7"}}, {"history": {"S": "long"}}])
@pytest.mark.parametrize("task", [queued(), running(), completed(), failed()], ids=lambda task: task.status.value)
def test_an_unreadable_item_holds_no_slot(
    sosw: Installation, lambdas: FakeLambda, task: Task, damage: dict[str, Any]
) -> None:
    sosw.register(max_concurrency=1)
    sosw.put(task)
    if task.status is Status.QUEUED:
        assert slots.take(sosw.tables, slot(task), None, NO_DEADLINE)
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=to_item(task) | damage)
    sosw.clock.now = NOON + LEASE + 1
    mended = sosw.tick_scavenger()
    assert sosw.slots() == []
    sosw.put(queued(1))
    started = sosw.tick_orchestrator()
    assert started["Dispatched"] == 1
    assert mended.get("Unreadable", 0) + started.get("Unreadable", 0) > 0, "the alarm tells of it"


def test_a_failed_task_whose_error_is_no_error_holds_no_slot(sosw: Installation) -> None:
    sosw.register()
    damaged = failed(error="it broke")
    sosw.put(damaged)
    assert sosw.wake_scavenger(damaged) == {"Retried": 1}
    assert sosw.task().history[-1].reason == "Error: it broke"


def test_a_later_versions_status_holds_no_slot_and_is_left_alone(sosw: Installation) -> None:
    sosw.register()
    later = replace(running(), status="polishing")
    sosw.put(later)
    sosw.clock.now = NOON + LEASE + 1
    assert sosw.tick_scavenger() == {"Freed": 1}
    assert sosw.task() == later


def test_a_topic_for_closed_jobs_that_is_gone_keeps_no_task_from_its_end(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch, lambdas: FakeLambda
) -> None:
    sosw.register()
    sosw.submit_photos(1)
    sosw.tick_orchestrator()
    last = sosw.task(0)
    sosw.complete(last)
    other = failed(1, slot=7, claim="7")
    sosw.put(other)
    monkeypatch.setenv("SOSW_JOBS_TOPIC_ARN", "arn:aws:sns:eu-west-1:123456789012:gone")
    batch = (sosw.task(0), other)
    assert sosw.wake_scavenger(*batch) == {"Archived": 1, "Retried": 1}
    assert sosw.tick_scavenger()["Failures"] == 1, "the tick tries again"
    job = jobs.get(sosw.tables, "album")
    assert job is not None
    assert job.closed_at is None

    inbox = Inbox()
    monkeypatch.setenv("SOSW_JOBS_TOPIC_ARN", inbox.topic_arn)
    sosw.tick_scavenger()
    job = jobs.get(sosw.tables, "album")
    assert job is not None
    assert job.closed_at is not None
    assert len(inbox.read()) == 1
    assert "Failures" not in sosw.tick_scavenger()
    assert inbox.read() == []


def test_an_outage_has_lambda_hand_the_batch_over_again_and_poison_has_not(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.register()
    sosw.put(failed())

    def refused(code: str) -> Callable[..., None]:
        def refuse(*_: object, **__: object) -> None:
            raise ClientError({"Error": {"Code": code, "Message": "as asked"}}, "TransactWriteItems")

        return refuse

    with monkeypatch.context() as patch:
        patch.setattr(moves, "retry", refused("InternalServerError"))
        with pytest.raises(Unavailable, match="batch of 1 records: 1 failed"):
            sosw.wake_scavenger(failed())
        patch.setattr(moves, "retry", refused("ValidationException"))
        assert sosw.wake_scavenger(failed()) == {"Failures": 1}
    assert sosw.wake_scavenger(failed()) == {"Retried": 1}


@pytest.fixture
def uncountable(sosw: Installation) -> str:
    """The id of a job, the first block of which nothing can be added to."""
    block = encoded({"pk": f"progress#broken#{NOON}", "sk": "000000", "completed": "x", "cancelled": "x"})
    sosw.client.put_item(TableName=sosw.tables.registry, Item=block)
    return "broken"


def test_a_task_that_cannot_be_counted_keeps_no_other_from_the_archive(sosw: Installation, uncountable: str) -> None:
    sosw.register()
    done = [completed(number, slot=number, claim=f"{number}") for number in range(5)]
    done[2] = replace(done[2], job_id=uncountable)
    sosw.put(*done)
    assert sosw.wake_scavenger(*done) == {"Archived": 4, "Failures": 1}
    assert [task.number for task in sosw.all_tasks() if task.finished_at] == [2], "it alone stays"


def test_a_task_that_cannot_be_counted_keeps_no_other_in_the_outbox(sosw: Installation, uncountable: str) -> None:
    sosw.register()
    for task in (queued(0), queued(1, job_id=uncountable), queued(2)):
        sosw.put(task)
        assert moves.cancel(sosw.tables, task, NOON, "tests")
    assert sosw.tick_scavenger() == {"Failures": 1}
    assert [task.number for task in sosw.all_tasks() if task.in_outbox] == [1]


def test_a_stalled_job_whose_scheduler_cannot_be_reached_stops_no_other(
    sosw: Installation, lambdas: FakeLambda
) -> None:
    sosw.register()
    sosw.put(waiting())
    sosw.client.put_item(
        TableName=sosw.tables.registry,
        Item=encoded({"pk": "enqueuing", "sk": "stalled", "position": 0, "holder": "", "lease_until": 0}),
    )
    lambdas.refuse(f"{sosw.tables.name}_scheduler", "TooManyRequestsException")
    sosw.clock.advance(MINUTE)
    assert sosw.tick_scavenger() == {"Requeued": 1, "Failures": 1, "Outages": 1}


# --- jobs ------------------------------------------------------------------------------------------------------------


def test_a_job_is_closed_with_its_last_task_and_announced(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch, lambdas: FakeLambda
) -> None:
    inbox = Inbox()
    monkeypatch.setenv("SOSW_JOBS_TOPIC_ARN", inbox.topic_arn)
    sosw.register()
    sosw.submit_photos(2)
    sosw.tick_orchestrator()
    sosw.complete(sosw.task(0))
    sosw.wake_scavenger(sosw.task(0))
    assert inbox.read() == []
    sosw.fail(sosw.task(1), retryable=False)
    sosw.wake_scavenger(sosw.task(1))
    [mail] = inbox.read()
    assert json.loads(mail["Message"]) == {
        "job_id": "album",
        "worker_id": "resize",
        "tasks": 2,
        "completed": 1,
        "dead": 1,
        "cancelled": 0,
    }


def test_a_large_job_that_0_1_0_began_to_count_is_closed_by_the_tick(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "BLOCK", 1)
    monkeypatch.setattr(progress, "GROUP", 2)
    sosw.register(max_concurrency=4)
    sosw.submit_photos(4)
    sosw.tick_orchestrator()
    for number in range(4):
        sosw.complete(sosw.task(number))
    first, *others = sosw.all_tasks()
    sosw.wake_scavenger(*others)
    assert sosw.tick_scavenger() == {}, "none is counted in groups"
    monkeypatch.setattr(progress, "LARGEST_UNGROUPED", 3)
    sosw.wake_scavenger(first)
    job = jobs.get(sosw.tables, "album")
    assert job is not None
    assert (set(job.full_blocks), set(job.full_groups), job.closed_at) == ({1, 2, 3}, set(), None)

    sosw.tick_scavenger()
    job = jobs.get(sosw.tables, "album")
    assert job is not None
    assert (set(job.full_blocks), set(job.full_groups), job.completed) == (set(), {0, 1}, 4)
    assert progress.remembered_ids(sosw.tables, "grouped") == ["album"]
    sosw.tick_scavenger()
    assert progress.remembered_ids(sosw.tables, "grouped") == []


def test_a_small_job_with_the_id_of_a_large_one_stays_as_it_is(sosw: Installation) -> None:
    sosw.register()
    sosw.submit_photos(300)
    sosw.client.put_item(TableName=sosw.tables.registry, Item=encoded({"pk": "grouped", "sk": "album"}))
    for number in range(progress.BLOCK):
        sosw.client.delete_item(TableName=sosw.tables.tasks, Key=encoded({"task_id": queued(number).task_id}))
    sosw.wake_scavenger(*(completed(number) for number in range(progress.BLOCK)))
    sosw.tick_scavenger()
    job = jobs.get(sosw.tables, "album")
    assert job is not None
    assert (set(job.full_blocks), set(job.full_groups)) == ({0}, set())
    assert progress.remembered_ids(sosw.tables, "grouped") == []
