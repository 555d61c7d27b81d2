"""The Orchestrator: starts what may start, never more, and slower while what a Worker depends on is unhealthy."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError

from sosw_runtime import aws
from sosw_runtime.domain.chunking import LARGEST_PAYLOAD
from sosw_runtime.domain.health import Level
from sosw_runtime.domain.task import Move, Status
from sosw_runtime.errors import Unavailable
from sosw_runtime.essentials import dispatch, orchestrator
from sosw_runtime.storage import registry, slots
from sosw_runtime.storage.items import encoded
from sosw_runtime.storage.registry import Control
from tests.support.builders import HOUR, MINUTE, NOON, SECOND, completed, failed, queued, running, waiting
from tests.support.installation import Installation, stream
from tests.support.lambdas import FakeContext, FakeLambda, Refusal


def invoked(lambdas: FakeLambda) -> list[tuple[str, int]]:
    """Workers and the photos that they were given, in order."""
    return [(call.function, call.event["photo"]) for call in lambdas.accepted]


# --- what may start, starts ------------------------------------------------------------------------------------------


def test_a_new_task_starts_when_its_record_comes(sosw: Installation, lambdas: FakeLambda) -> None:
    registration = sosw.register(function_name="arn:aws:lambda:eu-west-1:123456789012:function:resize:live")
    sosw.put(queued())
    assert sosw.wake_orchestrator(queued()) == {"Dispatched": 1}

    [call] = lambdas.accepted
    assert (call.function, call.kind) == (registration.function_name, "Event")
    assert call.event == {
        "photo": 0,
        "task_id": queued().task_id,
        "worker_id": "resize",
        "job_id": "album",
        "attempt": 1,
        "created_at": NOON,
        "labourer_id": "resize",
        "attempts": 1,
        "sosw_installation": sosw.tables.name,
        "sosw_token": sosw.task().claim,
    }
    task = sosw.task()
    assert (task.status, task.attempt, task.started_at) == (Status.RUNNING, 1, NOON)
    assert task.lease_until == NOON + registration.lease_ms
    assert (task.queue_key, task.queue_rank) == (None, None)
    [slot] = sosw.slots()
    assert (slot.index, slot.task_id, slot.claim) == (task.slot, task.task_id, task.claim)


def test_a_worker_that_needs_no_token_is_handed_none(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(require_token=False)
    sosw.put(queued())
    sosw.tick_orchestrator()
    [call] = lambdas.accepted
    assert "sosw_token" not in call.event
    assert (sosw.task().token, sosw.task().required_token) == (None, None)


def test_the_tick_starts_what_no_record_told_of(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    sosw.put(queued(0), queued(1))
    assert sosw.tick_orchestrator() == {"Dispatched": 2}
    assert sorted(invoked(lambdas)) == [("resize", 0), ("resize", 1)]


def test_a_slot_is_handed_on_by_the_record_of_its_tasks_report(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=1)
    sosw.put(completed(0), queued(1))
    [before] = sosw.slots()
    sosw.wake_orchestrator(completed(0), event="MODIFY")
    assert invoked(lambdas) == [("resize", 1)]
    [after] = sosw.slots()
    assert (after.index, after.task_id) == (before.index, queued(1).task_id)


def test_a_slot_is_freed_when_nothing_is_left_to_start(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    sosw.put(failed(0))
    sosw.wake_orchestrator(failed(0), event="MODIFY")
    assert sosw.slots() == []
    assert lambdas.invocations == []


def test_what_was_out_before_starts_before_what_is_new(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=1)
    sosw.put(queued(0), queued(1), queued(2))
    lambdas.refuse("resize", "TooManyRequestsException", times=3)
    sosw.tick_orchestrator()
    sosw.clock.advance(MINUTE)
    sosw.tick_orchestrator()
    assert invoked(lambdas) == [("resize", 0)]


def test_tasks_stay_in_sight_whether_shards_become_more_or_fewer(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=100)
    for number, shards in enumerate([1, 4, 2, 1, 8]):
        sosw.register(max_concurrency=100, queue_shards=shards)
        sosw.submit({"job": {"worker": "resize", "job_id": f"{number}", "photo": number, "period": "last_5_days"}})
        sosw.submit({"job": {"worker": "resize", "job_id": f"{number}-days", "photo": number, **_FIVE_DAYS}})
        sosw.tick_orchestrator()
        assert sosw.with_status(Status.QUEUED) == [], f"hidden by {shards} shards"
    # What waits while the shards become fewer is found as well.
    sosw.register(max_concurrency=100, queue_shards=4)
    sosw.submit({"job": {"worker": "resize", "job_id": "last", "photo": 0, **_FIVE_DAYS}})
    sosw.register(max_concurrency=100, queue_shards=1)
    sosw.tick_orchestrator()
    assert sosw.with_status(Status.QUEUED) == []


_FIVE_DAYS: dict[str, Any] = {"period": "last_5_days", "isolate_days": True}


# --- never more than may ---------------------------------------------------------------------------------------------


def test_the_limit_holds_whatever_records_and_ticks_come(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=3)
    tasks = [queued(number) for number in range(10)]
    sosw.put(*tasks)
    for _ in range(2):
        sosw.wake_orchestrator(*tasks)
        sosw.tick_orchestrator()
    assert len(lambdas.accepted) == 3
    assert [slot.index for slot in sosw.slots()] == [0, 1, 2]
    assert len(sosw.with_status(Status.RUNNING)) == 3

    # The record of one report, delivered again and again, lets one more start.
    [done, *_] = sosw.with_status(Status.RUNNING)
    sosw.complete(done)
    [reported] = sosw.with_status(Status.COMPLETED)
    for _ in range(3):
        sosw.wake_orchestrator(reported, reported, event="MODIFY")
    assert len(lambdas.accepted) == 4
    assert len(sosw.with_status(Status.RUNNING)) == 3


def test_each_worker_has_a_limit_of_its_own(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register("resize", max_concurrency=1)
    sosw.register("crop", max_concurrency=2)
    sosw.put(*(queued(number) for number in range(3)), *(queued(n, worker_id="crop") for n in range(10, 13)))
    sosw.tick_orchestrator()
    assert sorted(function for function, _ in invoked(lambdas)) == ["crop", "crop", "resize"]


def test_a_lowered_limit_starts_nothing_while_as_many_run(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.put(*(running(number, index=number, claim=f"{number}") for number in range(10)))
    sosw.put(*(queued(number) for number in range(10, 30)))
    sosw.register(max_concurrency=5)
    for number in range(5):
        sosw.complete(sosw.task(number))
        sosw.wake_orchestrator(sosw.task(number), queued(10), event="MODIFY")
        sosw.tick_orchestrator()
        assert lambdas.invocations == [], f"{9 - number} run, the limit is 5"
    sosw.complete(sosw.task(5))
    sosw.wake_orchestrator(sosw.task(5), event="MODIFY")
    assert len(lambdas.accepted) == 1, "4 ran"
    assert len(sosw.slots()) == 5


def test_a_slot_above_a_lowered_limit_is_given_up_for_one_below(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.put(running(1, index=1, claim="1"), running(2, index=2, claim="2"), queued(3), queued(4))
    sosw.register(max_concurrency=1)
    sosw.tick_orchestrator()
    assert lambdas.invocations == [], "two tasks run, the limit is one"

    sosw.complete(sosw.task(1))
    sosw.wake_orchestrator(sosw.task(1), event="MODIFY")
    assert lambdas.invocations == [], "one runs"
    sosw.complete(sosw.task(2))
    sosw.wake_orchestrator(sosw.task(2), event="MODIFY")
    assert invoked(lambdas) == [("resize", 3)]
    assert [slot.index for slot in sosw.slots()] == [0]


def test_an_old_record_does_not_hide_the_task_that_holds_its_slot_now(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.put(*(running(number, index=number, claim=f"{number}") for number in range(5)), queued(5), queued(6))
    sosw.register(max_concurrency=4)
    old = completed(7, slot=0, claim="an older one")
    sosw.complete(sosw.task(1))
    sosw.wake_orchestrator(sosw.task(1), old, event="MODIFY")
    assert lambdas.invocations == [], "four run, the limit is four"
    assert [slot.index for slot in sosw.slots()] == [0, 2, 3, 4]


def test_a_paused_worker_finishes_what_runs_and_starts_nothing(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=2)
    sosw.put(running(0), queued(1), queued(2))
    registry.put_control(sosw.tables, "resize", Control(paused=True, since=NOON, reason="migration"))
    sosw.tick_orchestrator()
    sosw.wake_orchestrator(queued(1))
    sosw.complete(sosw.task(0))
    sosw.wake_orchestrator(sosw.task(0), event="MODIFY")
    assert lambdas.invocations == []
    assert sosw.slots() == []
    assert len(sosw.with_status(Status.QUEUED)) == 2, "the queue is kept"

    registry.put_control(sosw.tables, "resize", Control())
    sosw.tick_orchestrator()
    assert len(lambdas.accepted) == 2


def test_a_worker_that_is_gone_starts_nothing_and_keeps_its_queue(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.put(completed(0), queued(1))
    sosw.wake_orchestrator(completed(0), queued(1), event="MODIFY")
    assert lambdas.invocations == []
    assert sosw.slots() == []
    assert sosw.task(1) == queued(1)


# --- what AWS refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["ResourceNotFoundException", "AccessDeniedException", "TooManyRequestsException"])
def test_a_refused_invoke_is_taken_back_with_its_reason_and_others_go_on(
    sosw: Installation, lambdas: FakeLambda, refusal: Refusal
) -> None:
    sosw.register("resize")
    sosw.register("crop")
    sosw.put(queued(0), queued(1, worker_id="crop"))
    lambdas.refuse("resize", refusal)
    answer = sosw.tick_orchestrator()
    assert answer == {"Dispatched": 1, "Refused": 1}
    assert invoked(lambdas) == [("crop", 1)]
    task = sosw.task(0)
    assert (task.status, task.attempt, task.slot, task.claim) == (Status.QUEUED, 0, None, None)
    assert [(entry.move, entry.attempt) for entry in task.history] == [
        (Move.ENQUEUE, 0),
        (Move.CLAIM, 1),
        (Move.UNCLAIM, 0),
    ]
    assert refusal in (task.history[-1].reason or "")
    assert sosw.slots() == []

    lambdas.accept("resize")
    sosw.clock.advance(MINUTE)
    sosw.tick_orchestrator()
    assert sosw.task(0).attempt == 1, "the attempt that nobody got is given again"


def test_an_invoke_that_never_reached_aws_is_taken_back(
    sosw: Installation, lambdas: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.register()
    sosw.put(queued())

    def unreachable(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://lambda")

    aws.lambda_().meta.events.register("before-call.lambda.Invoke", unreachable)
    assert sosw.tick_orchestrator() == {"Refused": 1}
    assert sosw.task().status is Status.QUEUED
    assert "AWS Lambda was not reached" in (sosw.task().history[-1].reason or "")


def test_after_a_refusal_a_workers_other_tasks_are_not_tried_in_vain(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=50)
    sosw.put(*(queued(number) for number in range(30)))
    lambdas.refuse("resize", "AccessDeniedException")
    sosw.tick_orchestrator()
    assert len(lambdas.invocations) <= 8, "only those that were under way at once"
    assert len(sosw.with_status(Status.QUEUED)) == 30
    assert sosw.slots() == []


def test_a_throttled_invoke_is_sent_again(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    sosw.put(queued())
    lambdas.refuse("resize", "TooManyRequestsException", times=1)
    assert sosw.tick_orchestrator() == {"Dispatched": 1}
    assert [call.accepted for call in lambdas.invocations] == [False, True]


@pytest.mark.parametrize("acts", [True, False], ids=["which AWS took", "which AWS lost"])
def test_an_invoke_in_doubt_is_left_running_and_never_sent_twice(
    sosw: Installation, lambdas: FakeLambda, acts: bool
) -> None:
    sosw.register()
    sosw.put(queued())
    lambdas.time_out("resize", acts=acts)
    sosw.tick_orchestrator()
    assert len(lambdas.invocations) == 1
    assert sosw.task().status is Status.RUNNING
    assert len(sosw.slots()) == 1

    if acts:
        assert sosw.complete(sosw.task())["accepted"]
    else:
        sosw.clock.now = (sosw.task().lease_until or 0) + 1
        sosw.tick_scavenger()
        assert sosw.task().status is Status.WAITING, "its lease ended"
        assert sosw.slots() == []


# --- slower while something is unhealthy -----------------------------------------------------------------------------

CPU: dict[str, Any] = {"namespace": "AWS/RDS", "metric_name": "CPUUtilization", "levels": {"4": 40, "3": 60, "2": 80}}
DISK: dict[str, Any] = {
    "namespace": "AWS/RDS",
    "metric_name": "FreeStorageSpace",
    "better": "high",
    "levels": {"4": 100, "2": 10},
}


def measure(sosw: Installation, metric_name: str, value: float) -> None:
    """Let CloudWatch have a value of half a minute ago."""
    at = datetime.fromtimestamp((sosw.clock.now - 30 * SECOND) / 1000, UTC)
    data: Any = [{"MetricName": metric_name, "Value": value, "Timestamp": at}]
    aws.cloudwatch().put_metric_data(Namespace="AWS/RDS", MetricData=data)


def level(sosw: Installation, worker_id: str = "resize") -> Level:
    return registry.find_workers(sosw.tables, [worker_id])[worker_id].level


def test_the_level_of_health_lowers_the_limit(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=8, health_metrics={"database": CPU})
    sosw.put(*(queued(number) for number in range(20)))
    seen = []
    for cpu in (95, 70, 50, 30):
        measure(sosw, "CPUUtilization", cpu)
        sosw.tick_orchestrator()
        seen.append((level(sosw), len(sosw.slots())))
        sosw.clock.advance(10 * MINUTE)
    assert seen == [(Level.BAD, 0), (Level.LOW, 4), (Level.MODERATE, 6), (Level.HIGH, 8)]


def test_the_worst_metric_wins(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=8, health_metrics={"database": CPU, "disk": DISK})
    sosw.put(*(queued(number) for number in range(10)))
    measure(sosw, "CPUUtilization", 10)
    measure(sosw, "FreeStorageSpace", 50)
    sosw.tick_orchestrator()
    assert (level(sosw), len(sosw.slots())) == (Level.LOW, 4)


def test_a_level_holds_between_ticks_and_slots_beyond_it_are_freed(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=2, health_metrics={"database": CPU})
    sosw.put(running(0, index=0, claim="0"), running(1, index=1, claim="1"), queued(2))
    measure(sosw, "CPUUtilization", 99)
    sosw.tick_orchestrator()
    sosw.complete(sosw.task(0))
    sosw.wake_orchestrator(sosw.task(0), queued(2), event="MODIFY")
    assert lambdas.invocations == []
    assert [slot.index for slot in sosw.slots()] == [1], "what runs may finish"


def test_while_more_run_than_health_allows_no_slot_is_handed_on(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=8, health_metrics={"database": CPU})
    sosw.put(*(running(number, index=number, claim=f"{number}") for number in range(8)), queued(8), queued(9))
    measure(sosw, "CPUUtilization", 70)
    sosw.tick_orchestrator()
    assert level(sosw) is Level.LOW
    for number in range(4):
        sosw.complete(sosw.task(number))
        sosw.wake_orchestrator(sosw.task(number), event="MODIFY")
        assert lambdas.invocations == [], f"{7 - number} run, 4 are allowed"
    sosw.complete(sosw.task(7))
    sosw.wake_orchestrator(sosw.task(7), queued(8), event="MODIFY")
    assert len(lambdas.invocations) == 1
    assert len(sosw.slots()) == 4


def test_a_missing_value_holds_the_last_level(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(health_metrics={"database": CPU})
    measure(sosw, "CPUUtilization", 70)
    sosw.tick_orchestrator()
    sosw.clock.advance(60 * MINUTE)
    sosw.tick_orchestrator()
    assert level(sosw) is Level.LOW


def test_before_any_value_a_worker_is_taken_for_healthy(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(health_metrics={"database": CPU})
    sosw.put(queued())
    sosw.tick_orchestrator()
    assert (level(sosw), len(sosw.slots())) == (Level.HIGH, 1)


def test_while_cloudwatch_fails_the_last_levels_hold_and_tasks_start(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=4, health_metrics={"database": CPU})
    measure(sosw, "CPUUtilization", 70)
    sosw.tick_orchestrator()
    sosw.put(*(queued(number) for number in range(4)))

    def fail(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://monitoring")

    aws.cloudwatch().meta.events.register("before-call.cloudwatch.GetMetricData", fail)
    assert sosw.tick_orchestrator() == {"Dispatched": 2}


def refused_with(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "as asked"}}, "GetMetricData")


def cloudwatch_refuses(metric_name: str, error: Exception) -> list[int]:
    """Have CloudWatch refuse every call that asks for a metric; how many metrics each call asked for."""
    calls: list[int] = []

    def refuse(params: dict[str, Any], **_: Any) -> None:
        asked = [query["MetricStat"]["Metric"]["MetricName"] for query in params["MetricDataQueries"]]
        calls.append(len(asked))
        if metric_name in asked:
            raise error

    aws.cloudwatch().meta.events.register("provide-client-params.cloudwatch.GetMetricData", refuse)
    return calls


@pytest.mark.parametrize(
    "error",
    [
        refused_with("ValidationError"),
        refused_with("InvalidParameterValue"),
        ParamValidationError(report="by the client itself"),
    ],
)
def test_a_metric_that_cloudwatch_refuses_blinds_no_other(
    sosw: Installation, lambdas: FakeLambda, logs: StringIO, error: Exception
) -> None:
    """Part of invariant 12."""
    calls = cloudwatch_refuses("Refused", error)
    for worker_id in ("blur", "crop", "print", "resize", "scan"):
        sosw.register(worker_id, health_metrics={"disk": DISK})
    sosw.register("resize", health_metrics={"odd": {**CPU, "metric_name": "Refused"}, "database": CPU})
    sosw.register("crop", health_metrics={"database": CPU})
    measure(sosw, "CPUUtilization", 70)
    measure(sosw, "FreeStorageSpace", 500)
    sosw.tick_orchestrator()
    found = {worker_id: level(sosw, worker_id) for worker_id in ("blur", "crop", "print", "resize", "scan")}
    healthy = dict.fromkeys(("blur", "print", "scan"), Level.HIGH)
    assert found == {**healthy, "crop": Level.LOW, "resize": Level.LOW}, "also by the metric beside the refused one"
    assert calls[0] == 6
    assert len(calls) <= 7, "by halves"
    [line] = [json.loads(line) for line in logs.getvalue().splitlines() if "refused by CloudWatch" in line]
    assert (line["worker_id"], line["metric"]) == ("resize", "odd")


def test_a_refused_metric_holds_its_own_last_level(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(health_metrics={"database": CPU})
    sosw.register("crop", health_metrics={"disk": DISK})
    measure(sosw, "CPUUtilization", 70)
    sosw.tick_orchestrator()
    cloudwatch_refuses("CPUUtilization", refused_with("ValidationError"))
    sosw.clock.advance(10 * MINUTE)
    measure(sosw, "CPUUtilization", 10)
    measure(sosw, "FreeStorageSpace", 5)
    sosw.tick_orchestrator()
    assert (level(sosw), level(sosw, "crop")) == (Level.LOW, Level.BAD)


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling"])
def test_a_failure_that_is_no_metrics_fault_is_not_asked_again_by_halves(
    sosw: Installation, lambdas: FakeLambda, code: str
) -> None:
    calls = cloudwatch_refuses("CPUUtilization", refused_with(code))
    sosw.register(health_metrics={"database": CPU, "disk": DISK})
    sosw.tick_orchestrator()
    assert calls == [2]


def test_a_value_counts_for_five_of_its_metrics_own_periods(sosw: Installation, lambdas: FakeLambda) -> None:
    """Whatever the periods of other Workers' metrics."""
    sosw.register("daily", health_metrics={"database": {**CPU, "period_seconds": 86_400}})
    sosw.register("each_minute", health_metrics={"database": CPU})
    measure(sosw, "CPUUtilization", 99)
    sosw.clock.advance(4 * 24 * HOUR)
    sosw.tick_orchestrator()
    assert (level(sosw, "daily"), level(sosw, "each_minute")) == (Level.BAD, Level.HIGH)


def test_one_call_reads_the_health_of_all_workers(sosw: Installation, lambdas: FakeLambda) -> None:
    calls: list[Any] = []
    aws.cloudwatch().meta.events.register("before-call.cloudwatch.GetMetricData", lambda **call: calls.append(call))
    for worker_id in ("resize", "crop", "blur"):
        sosw.register(worker_id, health_metrics={"database": CPU, "disk": DISK})
    sosw.register("print")
    sosw.tick_orchestrator()
    assert len(calls) == 1


def test_the_newest_value_counts(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(health_metrics={"database": CPU})
    measure(sosw, "CPUUtilization", 99)
    sosw.clock.advance(2 * MINUTE)
    measure(sosw, "CPUUtilization", 10)
    sosw.tick_orchestrator()
    assert level(sosw) is Level.HIGH


# --- when time is short ----------------------------------------------------------------------------------------------


def test_one_workers_backlog_holds_up_no_other(
    sosw: Installation, lambdas: FakeLambda, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [f"other-{number}" for number in range(9)]
    sosw.register(max_concurrency=50)
    sosw.put(*(queued(number) for number in range(50)))
    for nth, worker_id in enumerate(others):
        sosw.register(worker_id)
        sosw.put(queued(100 + nth, worker_id=worker_id))
    monkeypatch.setattr(dispatch, "_SLOTS_A_TURN", 5)
    invoke = dispatch.invoke

    def slowly(*arguments: Any) -> None:
        sosw.clock.advance(10 * SECOND)
        invoke(*arguments)

    monkeypatch.setattr(dispatch, "invoke", slowly)
    monkeypatch.setattr(dispatch, "_LATEST_INVOKE_MS", HOUR)
    answer = sosw.tick_orchestrator()
    assert {function for function, _ in invoked(lambdas)} == {"resize", *others}
    assert len(sosw.with_status(Status.QUEUED)) > 10
    assert answer["LeftOver"] == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"LeftOver"' in line]
    assert [(line["service"], line["LeftOver"], line.get("worker_id")) for line in lines] == [
        ("orchestrator", [1], None)
    ]


def test_health_takes_no_more_than_its_share_of_a_tick(
    sosw: Installation, lambdas: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.register(health_metrics={"database": CPU, "daily": {**CPU, "period_seconds": 86_400}})
    sosw.put(queued())
    aws.cloudwatch().meta.events.register(
        "before-call.cloudwatch.GetMetricData", lambda **_: sosw.clock.advance(4 * MINUTE)
    )
    assert sosw.tick_orchestrator() == {"Dispatched": 1, "LeftOver": 1}


def test_an_idle_workers_slots_are_not_read(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    sosw.register()
    monkeypatch.setattr(slots, "occupied", mock.Mock(side_effect=AssertionError("they were read")))
    assert sosw.tick_orchestrator() == {}


# --- trouble stays where it is ---------------------------------------------------------------------------------------


def test_a_registration_that_cannot_be_read_stops_no_other_worker(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register("crop")
    sosw.client.put_item(
        TableName=sosw.tables.registry, Item=encoded({"pk": "worker", "sk": "resize", "spec": "{not JSON"})
    )
    sosw.put(queued(0), queued(1, worker_id="crop"))
    assert sosw.tick_orchestrator() == {"Dispatched": 1, "Failures": 1}
    assert invoked(lambdas) == [("crop", 1)]
    assert sosw.task(0) == queued(0), "its queue is kept"


@pytest.mark.parametrize("payload", ["{not JSON", "[1, 2]"])
def test_a_task_whose_payload_no_worker_can_be_given_dies_with_the_reason(
    sosw: Installation, lambdas: FakeLambda, payload: str
) -> None:
    sosw.register(max_concurrency=1)
    sosw.put(replace(queued(0), payload=payload), queued(1))
    sosw.tick_orchestrator()
    poison = sosw.task(0)
    sosw.wake_scavenger(poison)
    sosw.wake_orchestrator(poison, event="MODIFY")
    assert invoked(lambdas) == [("resize", 1)]
    dead = sosw.task(0)
    assert dead.status is Status.DEAD
    assert dead.failure is not None
    assert dead.failure.type == "UnreadablePayload"


def test_a_task_whose_event_aws_never_takes_dies_alone(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=1)
    sosw.put(queued(0), queued(1))
    lambdas.refuse("resize", "RequestTooLargeException", times=1)
    assert sosw.tick_orchestrator() == {}
    poison = sosw.task(0)
    sosw.wake_scavenger(poison)
    sosw.wake_orchestrator(poison, event="MODIFY")
    assert invoked(lambdas)[-1] == ("resize", 1)
    dead = sosw.task(0)
    assert dead.status is Status.DEAD
    assert dead.failure is not None
    assert dead.failure.type == "ImpossibleEvent"


def test_an_event_is_sent_as_it_was_measured(
    sosw: Installation, lambdas: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Escaped, these 340 KB would be a megabyte, which AWS refuses."""
    sent: list[bytes] = []
    monkeypatch.setattr(dispatch, "invoke", lambda _registration, _task, payload, _deadline: sent.append(payload))
    sosw.register()
    sosw.submit({"worker": "resize", "caption": "ж" * 170 * 1024})
    sosw.tick_orchestrator()
    [payload] = sent
    assert len(payload) < LARGEST_PAYLOAD + 1024


def test_a_slot_that_cannot_be_filled_is_counted(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    sosw.register()
    sosw.put(queued())

    def broken(*_: object) -> bool:
        raise Unavailable("DynamoDB is out for tea")

    monkeypatch.setattr(slots, "take", broken)
    assert sosw.tick_orchestrator() == {"Failures": 1, "Outages": 1}


def test_a_record_that_cannot_be_read_is_passed_over(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    sosw.put(queued())
    readable = stream([queued()], "INSERT")["Records"]
    odd = [{}, {"dynamodb": {}}, {"dynamodb": {"NewImage": {"task_id": {"S": "odd"}, "history": {"L": [{"L": []}]}}}}]
    assert orchestrator.handler({"Records": [*odd, *readable]}, FakeContext())["Dispatched"] == 1


# --- what it tells ---------------------------------------------------------------------------------------------------


def test_the_tick_tells_its_heartbeat_and_what_it_did(
    sosw: Installation, lambdas: FakeLambda, capsys: pytest.CaptureFixture[str]
) -> None:
    sosw.register("resize")
    sosw.register("crop")
    sosw.put(queued(0), queued(1, worker_id="crop"))
    lambdas.refuse("crop", "AccessDeniedException")
    sosw.tick_orchestrator()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert {line["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in lines} == {sosw.tables.name}
    assert [line["Heartbeat"] for line in lines if "Heartbeat" in line] == [[1]]
    [counts] = [line for line in lines if "Dispatched" in line]
    assert (counts["Dispatched"], counts["Refused"]) == ([1], [1])
    assert not [line for line in lines if "HealthLevel" in line], "no Worker has health metrics"


def test_the_level_of_those_with_health_metrics_is_told(
    sosw: Installation, lambdas: FakeLambda, capsys: pytest.CaptureFixture[str]
) -> None:
    sosw.register("resize", health_metrics={"database": CPU})
    sosw.register("crop")
    sosw.tick_orchestrator()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"HealthLevel"' in line]
    assert [(line["worker_id"], line["HealthLevel"]) for line in lines] == [("resize", [4])]


# --- Workers that are gone -------------------------------------------------------------------------------------------


def test_a_worker_that_is_gone_and_idle_costs_no_tick_anything(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(queue_shards=4)
    sosw.register("crop", queue_shards=4)
    sosw.tick_orchestrator()
    sosw.put(running(0), waiting(1, worker_id="crop"), queued(2, worker_id="crop", shards=4))
    for worker_id in ("resize", "crop"):
        deregister(sosw, worker_id)
    sosw.tick_orchestrator()
    assert gone(sosw) == ["crop"], "a task of the other runs"

    sosw.complete(sosw.task(0))
    sosw.clock.advance(MINUTE)
    sosw.tick_scavenger()
    sosw.tick_orchestrator()
    assert gone(sosw) == ["crop", "resize"]
    before = sosw.everything()
    with mock.patch.object(slots, "occupied", side_effect=AssertionError("slots were read")):
        assert (sosw.tick_orchestrator(), sosw.tick_scavenger()) == ({}, {})
    assert sosw.everything() == before


def test_a_worker_that_was_gone_finds_its_queue_again(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(queue_shards=4)
    sosw.tick_orchestrator()
    sosw.put(queued(3, shards=4))
    deregister(sosw, "resize")
    sosw.tick_orchestrator()
    assert gone(sosw) == ["resize"]

    sosw.register(queue_shards=1)
    sosw.tick_orchestrator()
    assert invoked(lambdas) == [("resize", 3)]
    deregister(sosw, "resize")
    sosw.tick_orchestrator()
    assert gone(sosw) == [], "its slot is looked after until the task ends"


def deregister(sosw: Installation, worker_id: str) -> None:
    """As Terraform does, when the module of a Worker is removed."""
    sosw.client.delete_item(TableName=sosw.tables.registry, Key=encoded({"pk": "worker", "sk": worker_id}))


def gone(sosw: Installation) -> list[str]:
    return sorted(worker.worker_id for worker in registry.workers(sosw.tables) if worker.is_gone)
