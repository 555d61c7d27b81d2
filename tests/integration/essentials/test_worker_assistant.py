"""The WorkerAssistant: writes down what Workers, and Lambda on their behalf, say of their attempts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sosw_runtime import aws
from sosw_runtime.domain.task import HISTORY_HEAD, HISTORY_TAIL, Error, Move, Status
from sosw_runtime.errors import Refused, Unavailable
from sosw_runtime.storage import tokens
from sosw_runtime.storage.items import encoded
from sosw_runtime.worker import ReportUndelivered
from tests.support.builders import HOUR, NOON, SECOND, completed, queued, running, waiting
from tests.support.installation import Installation
from tests.support.lambdas import FakeLambda

COMPLETED: dict[str, Any] = {"action": "mark_task_as_completed", "task_id": running().task_id}
FAILED: dict[str, Any] = {"action": "mark_task_as_failed", "task_id": running().task_id}


def destination(
    condition: str,
    response: Any = None,
    *,
    count: int = 1,
    attempt: int = 1,
    context: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What Lambda sends of an asynchronous invocation of the Worker."""
    return {
        "version": "1.0",
        "timestamp": "2026-03-10T12:00:01.000Z",
        "requestContext": {
            "requestId": "r-1",
            "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:resize:$LATEST",
            "condition": condition,
            "approximateInvokeCount": count,
        },
        "requestPayload": {"photo": 0, "task_id": running().task_id, "worker_id": "resize", "attempt": attempt},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"} if context is None else context,
        "responsePayload": response,
    }


@pytest.fixture
def second_later(sosw: Installation) -> Installation:
    """A task runs since a second."""
    sosw.register()
    sosw.put(running())
    sosw.clock.advance(SECOND)
    return sosw


def reported_anew(sosw: Installation, event: Any) -> Any:
    """Report on the same task once more as if it were still in its first attempt; the task then."""
    for slot in sosw.slots():
        sosw.client.delete_item(
            TableName=sosw.tables.registry, Key={"pk": {"S": "slots#resize"}, "sk": {"S": f"{slot.index:04d}"}}
        )
    sosw.put(running())
    assert sosw.report(event)["accepted"], event
    return sosw.task()


# --- what a Worker says ----------------------------------------------------------------------------------------------


def test_a_completed_task_is_noted_with_result_and_stats(second_later: Installation) -> None:
    answer = second_later.report({**COMPLETED, "attempt": 1, "result": {"bytes": 7}, "stats": {"calls": 2}})
    assert answer == {"task_id": running().task_id, "accepted": True, "state": "completed", "reason": None}
    task = second_later.task()
    assert (task.status, task.finished_at) == (Status.COMPLETED, NOON + SECOND)
    assert (task.result, task.stats, task.error) == ('{"bytes":7}', '{"calls":2}', None)
    last = task.history[-1]
    assert (last.at, last.move, last.attempt, last.reason) == (NOON + SECOND, Move.REPORT, 1, None)


@pytest.mark.parametrize("seconds", [0, 0.5, 3600])
def test_a_failed_task_keeps_the_time_that_its_worker_asked_for(second_later: Installation, seconds: float) -> None:
    second_later.report({**FAILED, "retry_after_seconds": seconds})
    assert second_later.task().retry_at == NOON + SECOND + 1000 * seconds


@pytest.mark.parametrize("seconds", [-1, 366 * 86_400 + 1, "soon"])
def test_a_time_that_cannot_be_is_refused(second_later: Installation, seconds: object) -> None:
    with pytest.raises(Refused, match=r"retry_after_seconds: .* is refused"):
        second_later.report({**FAILED, "retry_after_seconds": seconds})


def test_a_failed_task_is_noted_with_its_error(second_later: Installation) -> None:
    error = {"type": "StoreDown", "message": "the store did not answer"}
    answer = second_later.report({**FAILED, "attempt": 1, "error": error, "stats": {"calls": 2}})
    assert (answer["accepted"], answer["state"]) == (True, "failed")
    task = second_later.task()
    assert (task.status, task.failure) == (Status.FAILED, Error("StoreDown", "the store did not answer"))
    assert task.stats == '{"calls":2}'
    assert (task.retryable, task.never_ran) == (True, False)


def test_result_and_stats_may_be_json_already(sosw: Installation) -> None:
    """As sosw 0.7 Workers send them."""
    for given, kept in [
        ({"bytes": 7}, '{"bytes":7}'),
        ('{"bytes": 7}', '{"bytes": 7}'),
        ("done", '"done"'),
        ([1, None], "[1,null]"),
        (0, "0"),
        (None, None),
    ]:
        task = reported_anew(sosw, {**COMPLETED, "result": given, "stats": given})
        assert (task.result, task.stats) == (kept, kept)


def test_an_error_may_have_any_form(sosw: Installation) -> None:
    for given, kept in [
        ({"type": "StoreDown", "message": "busy"}, Error("StoreDown", "busy")),
        ("busy", Error("Error", "busy")),
        (None, Error("Error", "the Worker gave no reason")),
        ({"code": 7}, Error("Error", '{"code": 7}')),
    ]:
        assert reported_anew(sosw, {**FAILED, "error": given}).failure == kept


def test_a_worker_may_say_that_another_try_is_of_no_use(second_later: Installation) -> None:
    second_later.report({**FAILED, "attempt": 1, "error": "no such photo", "retryable": False})
    assert not second_later.task().retryable


def test_a_worker_of_sosw_0_7_reports_without_an_attempt(second_later: Installation) -> None:
    assert second_later.report({**COMPLETED, "stats": "{}", "result": "{}"})["accepted"]
    assert second_later.task().status is Status.COMPLETED


def test_what_is_too_large_to_keep_is_replaced_by_its_size(second_later: Installation) -> None:
    answer = second_later.report({**COMPLETED, "result": {"text": "ü" * 9_000}, "stats": "x" * 500_000})
    assert answer["accepted"]
    task = second_later.task()
    assert json.loads(task.result or "") == {"dropped_bytes": 54_011, "largest_bytes": 16_384}
    assert json.loads(task.stats or "")["dropped_bytes"] == 500_002


def test_an_error_of_any_length_is_kept_short(second_later: Installation) -> None:
    error = {"type": "T" * 300_000, "message": "m" * 300_000}
    assert second_later.report({**FAILED, "attempt": 1, "error": error})["accepted"]
    kept = second_later.task().failure
    assert kept is not None
    assert len(str(kept)) < 1_000


def _deep(levels: int, inside: Any = 0) -> Any:
    for _ in range(levels):
        inside = [inside]
    return inside


@pytest.mark.parametrize("levels", [200, 201, 900, 5_000, 100_000])
@pytest.mark.parametrize("as_text", [True, False], ids=["as a text", "as it is"])
def test_a_deep_result_keeps_a_completed_task_completed(second_later: Installation, levels: int, as_text: bool) -> None:
    value = "[" * levels + "0" + "]" * levels if as_text else _deep(levels)
    assert second_later.report({**COMPLETED, "result": value, "stats": value})["accepted"]
    task = second_later.task()
    assert task.status is Status.COMPLETED
    for kept in (task.result, task.stats):
        found = json.loads(kept or "")
        if levels <= 200:
            assert found == _deep(levels)
        else:
            assert found.keys() in ({"dropped"}, {"dropped_bytes", "largest_bytes"})


@pytest.mark.parametrize("levels", [900, 100_000])
def test_a_deep_error_keeps_a_failed_task_failed(second_later: Installation, levels: int) -> None:
    for error in (_deep(levels), {"type": "E", "message": _deep(levels)}, {"type": _deep(levels), "message": "m"}):
        assert reported_anew(second_later, {**FAILED, "error": error}).status is Status.FAILED
    for response in ({"errorType": _deep(levels), "errorMessage": "m"}, {"errorMessage": _deep(levels)}, _deep(levels)):
        record = destination("RetriesExhausted", response)
        assert reported_anew(second_later, record).status is Status.FAILED


def test_text_that_is_no_unicode_loses_characters_not_the_report(sosw: Installation) -> None:
    """Python's messages hold halves of surrogate pairs where they name files whose names are no UTF-8."""
    sosw.register()
    odd = "no such file: caf\udce9.jpg"
    kept = Error("Error", "no such file: caf?.jpg")
    assert json.loads(reported_anew(sosw, {**COMPLETED, "result": odd}).result or "") == odd
    assert reported_anew(sosw, {**FAILED, "error": odd}).failure == kept
    assert (
        reported_anew(sosw, destination("RetriesExhausted", {"errorMessage": odd, "errorType": "Error"})).failure
        == kept
    )
    sosw.wake_scavenger(sosw.task())
    assert sosw.task().status is Status.WAITING


# --- what does not count any more ------------------------------------------------------------------------------------


def test_a_report_that_does_not_count_changes_nothing_and_says_why(sosw: Installation) -> None:
    sosw.register()
    sosw.put(running(1, attempt=2, index=1, claim="1"), completed(2, slot=2, claim="2"), queued(3), waiting(4))
    for number, attempt, state, reason in [
        (0, 1, "unknown", "no such task is running"),
        (1, 1, "running", "attempt 1 is over, attempt 2 is running"),
        (1, 3, "running", "attempt 2 is running"),
        (2, 1, "completed", "completed already"),
        (3, 1, "queued", "queued"),
        (4, 1, "unknown", "waits for another try"),
    ]:
        before = sosw.everything()
        for report in (COMPLETED, FAILED):
            answer = sosw.report({**report, "task_id": queued(number).task_id, "attempt": attempt})
            assert (answer["accepted"], answer["state"]) == (False, state), number
            assert reason in answer["reason"], number
        assert sosw.everything() == before, number


def test_a_repeated_report_is_not_accepted_and_the_first_stays(second_later: Installation) -> None:
    second_later.report({**COMPLETED, "attempt": 1, "result": "first"})
    before = second_later.everything()
    for again in ({**COMPLETED, "attempt": 1, "result": "second"}, {**FAILED, "attempt": 1}, COMPLETED, FAILED):
        assert not second_later.report(again)["accepted"]
    assert second_later.everything() == before


def test_a_closed_task_is_reported_in_vain(second_later: Installation) -> None:
    second_later.report({**COMPLETED, "attempt": 1})
    second_later.wake_scavenger(second_later.task())
    before = second_later.everything()
    answer = second_later.report({**FAILED, "attempt": 1})
    assert (answer["accepted"], answer["state"]) == (False, "unknown")
    assert second_later.everything() == before


def test_an_attempt_that_succeeds_forgets_the_error_of_the_one_before(sosw: Installation) -> None:
    sosw.put(running(attempt=2, error=Error("StoreDown", "busy").to_json()))
    sosw.report({**COMPLETED, "attempt": 2})
    assert sosw.task().failure is None


# --- tokens ----------------------------------------------------------------------------------------------------------

#: As version 0.1.0's `Worker` reports, and as an unmodified one of sosw 0.7 does.
OF_OLDER_WORKERS: dict[str, dict[str, Any]] = {
    "0.1.0": {**COMPLETED, "attempt": 1, "result": {"bytes": 7}, "stats": {"calls": 2}},
    "sosw 0.7": {**COMPLETED, "result": '{"bytes":7}', "stats": '{"calls":2}'},
}


@pytest.fixture
def guarded(sosw: Installation, lambdas: FakeLambda) -> Installation:
    """A task runs since a second, and its Worker was handed a token."""
    sosw.register()
    sosw.put(queued())
    sosw.tick_orchestrator()
    assert sosw.task().required_token is not None
    sosw.clock.advance(SECOND)
    return sosw


def test_a_report_with_the_token_of_its_event_counts(guarded: Installation, lambdas: FakeLambda) -> None:
    [call] = lambdas.accepted
    repeated = {"worker_id": "worker_id", "installation": "sosw_installation", "token": "sosw_token"}
    report = {**COMPLETED, "attempt": 1, **{name: call.event[key] for name, key in repeated.items()}}
    assert guarded.report(report)["accepted"]
    assert guarded.task().status is Status.COMPLETED


@pytest.mark.parametrize("condition", ["Success", "RetriesExhausted", "EventAgeExceeded"])
def test_a_record_has_the_token_with_its_event(guarded: Installation, lambdas: FakeLambda, condition: str) -> None:
    [call] = lambdas.accepted
    assert guarded.report({**destination(condition), "requestPayload": call.event})["accepted"]


def test_nobody_else_ends_an_attempt(guarded: Installation, lambdas: FakeLambda) -> None:
    """Neither another Worker, whose own token is of no use, nor a Worker of another installation with the same jobs."""
    [call] = lambdas.accepted
    token, name = call.event["sosw_token"], guarded.tables.name
    before = guarded.everything()
    for what, repeated, reason in [
        ("a guessed token", {"token": "0123456789abcdef"}, "the token is not that of the attempt"),
        ("an empty token", {"token": ""}, "the token is not that of the attempt"),
        ("another Worker", {"token": token, "worker_id": "crop"}, "of Worker 'resize', the report of 'crop'"),
        ("another installation", {"token": token, "installation": "staging"}, f"'staging', this is '{name}'"),
    ]:
        event = {f"sosw_{key}" if key != "worker_id" else key: value for key, value in repeated.items()}
        for report in (
            {**COMPLETED, **repeated},
            {**FAILED, **repeated, "attempt": 1},
            {**destination("Success"), "requestPayload": {**call.event, **event}},
            {**destination("ZeroReservedConcurrency"), "requestPayload": {**call.event, **event}},
        ):
            answer = guarded.report(report)
            assert not answer["accepted"], what
            assert reason in answer["reason"], what
            assert token not in json.dumps(answer), what
        assert guarded.everything() == before, what


@pytest.mark.parametrize("version", OF_OLDER_WORKERS)
def test_a_report_of_an_older_worker_counts_when_the_lease_ends(guarded: Installation, version: str) -> None:
    """An upgrade wastes no attempt, although the report could be anybody's."""
    running_task = guarded.task()
    answer = guarded.report(OF_OLDER_WORKERS[version])
    assert (answer["accepted"], answer["state"]) == (False, "running")
    assert "it counts when the lease ends" in answer["reason"]
    noted = guarded.everything()
    assert not guarded.report(OF_OLDER_WORKERS[version])["accepted"]
    assert guarded.everything() == noted, "it is noted once"
    guarded.tick_scavenger()
    assert guarded.everything() == noted, "as long as the lease lasts"
    assert guarded.task().history == running_task.history, "version 0.1.0 can read the task"

    guarded.clock.now = (running_task.lease_until or 0) + 1
    assert guarded.tick_scavenger() == {"Archived": 1, "Freed": 1}
    task = guarded.task()
    assert (task.status, task.attempt, task.closed_at) == (Status.COMPLETED, 1, guarded.clock.now)
    assert (task.result, task.stats) == ('{"bytes":7}', '{"calls":2}')
    assert (task.token, task.note) == (None, None)
    assert guarded.slots() == []


def test_a_failure_that_an_older_worker_reports_counts_when_the_lease_ends(guarded: Installation) -> None:
    error = {"type": "StoreDown", "message": "busy"}
    guarded.report({**FAILED, "attempt": 1, "error": error, "retryable": False})
    guarded.clock.now = (guarded.task().lease_until or 0) + 1
    guarded.tick_scavenger()
    task = guarded.task()
    assert (task.status, task.failure, task.retryable) == (Status.DEAD, Error("StoreDown", "busy"), False)


def test_lambda_tells_of_an_older_workers_failure_with_the_token(guarded: Installation, lambdas: FakeLambda) -> None:
    """It raises after its report, so that only what completes waits for the end of a lease."""
    [call] = lambdas.accepted
    guarded.report({**FAILED, "attempt": 1, "error": "busy"})
    response = {"errorType": "StoreDown", "errorMessage": "busy"}
    record = {**destination("RetriesExhausted", response), "requestPayload": call.event}
    assert guarded.report(record)["accepted"]
    assert guarded.task().failure == Error("StoreDown", "busy")


def test_a_report_with_the_token_wins_over_what_anybody_said(guarded: Installation) -> None:
    guarded.report({**FAILED, "attempt": 1, "error": "nonsense", "retryable": False})
    assert guarded.complete(guarded.task(), result={"bytes": 7})["accepted"]
    task = guarded.task()
    assert (task.status, task.result, task.failure, task.retryable) == (Status.COMPLETED, '{"bytes":7}', None, True)


def test_a_worker_that_needs_no_token_reports_as_ever(sosw: Installation) -> None:
    sosw.register(require_token=False)
    for number, report in enumerate(OF_OLDER_WORKERS.values()):
        sosw.put(queued(number))
        sosw.tick_orchestrator()
        assert sosw.report({**report, "task_id": queued(number).task_id})["accepted"]


@pytest.fixture
def unseen(sosw: Installation) -> Installation:
    """A task runs whose Worker's reports never carried a token."""
    sosw.register(token_seen=False)
    sosw.put(queued())
    sosw.tick_orchestrator()
    return sosw


def asks_for_token(sosw: Installation) -> bool:
    """Whether the next attempt of the Worker needs a token."""
    sosw.put(queued(1))
    sosw.tick_orchestrator()
    return sosw.task(1).required_token is not None


@pytest.mark.parametrize("version", OF_OLDER_WORKERS)
def test_an_older_workers_report_counts_at_once_until_one_carried_a_token(unseen: Installation, version: str) -> None:
    """An upgrade of the Essentials alone holds up no Worker."""
    assert unseen.report(OF_OLDER_WORKERS[version])["accepted"]
    assert unseen.task().status is Status.COMPLETED
    assert not asks_for_token(unseen)


def test_from_the_first_report_with_a_token_on_each_needs_one(unseen: Installation, lambdas: FakeLambda) -> None:
    [call] = lambdas.accepted
    assert unseen.report({**COMPLETED, "attempt": 1, "token": call.event["sosw_token"]})["accepted"]
    assert asks_for_token(unseen)


def test_lambdas_record_of_a_failure_shows_nothing_of_the_package(unseen: Installation, lambdas: FakeLambda) -> None:
    [call] = lambdas.accepted
    record = {**destination("RetriesExhausted", {"errorMessage": "killed"}), "requestPayload": call.event}
    assert unseen.report(record)["accepted"]
    assert not asks_for_token(unseen)


def test_a_worker_registered_anew_has_shown_nothing_of_its_package(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    sosw.tick_orchestrator()
    sosw.client.delete_item(TableName=sosw.tables.registry, Key=encoded({"pk": "worker", "sk": "resize"}))
    sosw.tick_orchestrator()
    sosw.register(token_seen=False)
    assert not asks_for_token(sosw)


@pytest.mark.parametrize("token_seen", [False, True])
def test_a_functions_return_does_not_outdo_the_failure_that_it_reported(
    sosw: Installation, lambdas: FakeLambda, token_seen: bool
) -> None:
    """It reports by code as well as by its destination, and its code sends no token."""
    sosw.register(report_by="destination", token_seen=token_seen)
    sosw.put(queued())
    sosw.tick_orchestrator()
    [call] = lambdas.accepted
    sosw.report({**FAILED, "attempt": 1, "error": "busy"})
    answer = sosw.report({**destination("Success"), "requestPayload": call.event})
    assert (answer["accepted"], answer["state"]) == (True, "failed")
    assert sosw.task().failure == Error("Error", "busy")


def test_nobody_without_the_token_ends_a_task_for_good(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(report_by="destination")
    sosw.put(queued())
    sosw.tick_orchestrator()
    [call] = lambdas.accepted
    sosw.report({**FAILED, "error": "boo", "retryable": False})
    sosw.report({**destination("Success"), "requestPayload": call.event})
    assert (sosw.task().status, sosw.task().retryable) == (Status.FAILED, True)


def test_a_functions_return_shows_nothing_of_the_package(unseen: Installation, lambdas: FakeLambda) -> None:
    [call] = lambdas.accepted
    assert unseen.report({**destination("Success"), "requestPayload": call.event})["accepted"]
    assert not asks_for_token(unseen)


def test_a_guessed_token_shows_nothing_of_the_package(unseen: Installation) -> None:
    assert unseen.report({**COMPLETED, "attempt": 1, "token": "0123456789abcdef"})["accepted"]
    assert not asks_for_token(unseen)


def test_a_report_stands_where_its_token_cannot_be_noted(
    unseen: Installation, lambdas: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_for_tea(*_: object) -> None:
        raise Unavailable("throttled")

    monkeypatch.setattr(tokens, "record_token_seen", out_for_tea)
    [call] = lambdas.accepted
    assert unseen.report({**COMPLETED, "attempt": 1, "token": call.event["sosw_token"]})["accepted"]
    assert unseen.task().status is Status.COMPLETED


def test_a_worker_of_this_version_takes_an_event_of_version_0_1(second_later: Installation) -> None:
    """Its attempt has no token, and its report none of what the event lacks."""
    assert second_later.report({**COMPLETED, "attempt": 1, "worker_id": "resize"})["accepted"]


@pytest.mark.parametrize("value", [7, None, {"a": 1}, ["x"]])
def test_a_payload_may_have_had_anything_where_the_token_is_now(second_later: Installation, value: Any) -> None:
    record = destination("Success")
    record["requestPayload"] |= {"sosw_token": value, "sosw_installation": value}
    assert second_later.report(record)["accepted"]


# --- what could not be reported ---------------------------------------------------------------------------------------


def test_an_undelivered_report_completes_the_task_with_its_outcome(second_later: Installation) -> None:
    error = ReportUndelivered("throttled", {"bytes": 7}, {"calls": 2})
    response = {"errorType": "ReportUndelivered", "errorMessage": str(error), "stackTrace": []}
    answer = second_later.report(destination("RetriesExhausted", response, context=UNHANDLED))
    assert (answer["accepted"], answer["state"]) == (True, "completed")
    task = second_later.task()
    assert (task.status, task.result, task.stats) == (Status.COMPLETED, '{"bytes":7}', '{"calls":2}')
    assert (task.failure, task.retryable, task.never_ran) == (None, True, False)


@pytest.mark.parametrize("message", [None, "", 7, "{", '{"reason": "", "result": {"bytes', "[" * 50_000, "[1]"])
def test_an_undelivered_report_that_was_cut_completes_without_result(second_later: Installation, message: Any) -> None:
    response = {"errorType": "ReportUndelivered", "errorMessage": message}
    assert second_later.report(destination("RetriesExhausted", response, context=UNHANDLED))["accepted"]
    task = second_later.task()
    assert (task.status, task.result, task.stats) == (Status.COMPLETED, None, None)


def test_an_undelivered_report_is_fenced_like_any_other(guarded: Installation, lambdas: FakeLambda) -> None:
    [call] = lambdas.accepted
    before = guarded.everything()
    response = {"errorType": "ReportUndelivered", "errorMessage": str(ReportUndelivered("throttled", {}, {}))}
    for wrong in ({"sosw_token": "0123456789abcdef"}, {"attempt": 2}, {"worker_id": "crop"}):
        record = {**destination("RetriesExhausted", response), "requestPayload": {**call.event, **wrong}}
        assert not guarded.report(record)["accepted"]
    assert guarded.everything() == before


# --- what Lambda says ------------------------------------------------------------------------------------------------


def test_success_completes_with_what_the_worker_returned(second_later: Installation) -> None:
    answer = second_later.report(destination("Success", {"bytes": 7}))
    assert (answer["accepted"], answer["state"]) == (True, "completed")
    assert second_later.task().result == '{"bytes":7}'


def test_success_without_an_answer_completes_without_a_result(second_later: Installation) -> None:
    second_later.report(destination("Success"))
    assert (second_later.task().status, second_later.task().result) == (Status.COMPLETED, None)


def test_an_exception_fails_with_its_type_and_message(second_later: Installation) -> None:
    response = {"errorType": "StoreDown", "errorMessage": "busy", "trace": ["line 1"]}
    second_later.report(destination("RetriesExhausted", response))
    task = second_later.task()
    assert (task.status, task.failure, task.retryable) == (Status.FAILED, Error("StoreDown", "busy"), True)


def test_a_time_out_fails_although_it_has_no_type(second_later: Installation) -> None:
    second_later.report(
        destination("RetriesExhausted", {"errorMessage": "2026-03-10 Task timed out after 10.00 seconds"})
    )
    failure = second_later.task().failure
    assert failure is not None
    assert "Task timed out" in failure.message


def test_the_exception_against_another_try_is_understood(second_later: Installation) -> None:
    second_later.report(destination("RetriesExhausted", {"errorType": "NotRetryable", "errorMessage": "no such photo"}))
    assert not second_later.task().retryable


def never_invoked(condition: str) -> dict[str, Any]:
    """As Lambda sends it of an event for which it tried no invocation: without any word on an answer."""
    record = destination(condition, count=0)
    return {name: value for name, value in record.items() if not name.startswith("response")}


NEVER_RAN: dict[str, dict[str, Any]] = {
    "reserved concurrency is 0": never_invoked("ZeroReservedConcurrency"),
    "a loop was found": destination(
        "RecursiveInvocation", context={"statusCode": 400, "functionError": "RecursiveInvocationException"}
    ),
    "throttled until it was too old": destination("EventAgeExceeded", count=0, context={"statusCode": 429}),
    "too old at once": never_invoked("EventAgeExceeded"),
    "throttled at last": destination("EventAgeExceeded", context={"statusCode": 429}),
    "the version is gone": destination("RetriesExhausted", context={"statusCode": 404}),
    "for a reason of later days": never_invoked("AccountSuspended"),
}

UNHANDLED = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
RAN: dict[str, dict[str, Any]] = {
    "it raised": destination("RetriesExhausted", {"errorType": "E", "errorMessage": "m"}, context=UNHANDLED),
    "its process died": destination(
        "RetriesExhausted", {"errorType": "Runtime.ExitError", "errorMessage": "exit"}, count=3, context=UNHANDLED
    ),
    "it timed out": destination("RetriesExhausted", {"errorMessage": "Task timed out"}, context=UNHANDLED),
    "what it said is no JSON": destination("RetriesExhausted", context=UNHANDLED),
    "it raised, and its next try would have been too late": destination(
        "EventAgeExceeded", {"errorType": "E", "errorMessage": "m"}, context=UNHANDLED
    ),
    "it raised, whatever the count": destination("RetriesExhausted", count=0, context=UNHANDLED),
    "nothing is known": destination("RetriesExhausted", context={}),
    "Lambda itself failed": destination("RetriesExhausted", context={"statusCode": 500}),
}


def test_an_event_dropped_before_the_worker_ran_is_no_failure(sosw: Installation) -> None:
    for why, record in NEVER_RAN.items():
        task = reported_anew(sosw, record)
        assert (task.status, task.never_ran) == (Status.FAILED, True), why
        assert task.failure == Error(record["requestContext"]["condition"], "the Worker never started"), why


def test_every_other_failure_counts_as_an_attempt(sosw: Installation) -> None:
    for why, record in RAN.items():
        task = reported_anew(sosw, record)
        assert (task.status, task.never_ran, task.counted_attempts) == (Status.FAILED, False, 1), why


def test_success_is_success_whatever_else_the_record_says(second_later: Installation) -> None:
    second_later.report(destination("Success", count=0, context={"statusCode": 202}))
    assert (second_later.task().status, second_later.task().never_ran) == (Status.COMPLETED, False)


def test_a_worker_stopped_for_a_day_by_lambda_loses_nothing(
    sosw: Installation, lambdas: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", lambda _low, high: high)
    sosw.register(retry={"max_attempts": 1, "base_delay_seconds": 30, "max_delay_seconds": 3600})
    sosw.put(queued())
    delays, morning = [], sosw.clock.now + 24 * HOUR
    while sosw.clock.now < morning:
        sosw.tick_orchestrator()
        event = lambdas.accepted[-1].event
        assert sosw.report({**never_invoked("ZeroReservedConcurrency"), "requestPayload": event})["accepted"]
        sosw.wake_scavenger(sosw.task())
        task = sosw.task()
        assert (task.status, task.counted_attempts) == (Status.WAITING, 0)
        delays.append(((task.due_at or 0) - sosw.clock.now) // SECOND)
        sosw.clock.now = task.due_at or 0
        sosw.tick_scavenger()
    assert delays[:9] == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    assert len(lambdas.invocations) == len(delays) < 40
    assert len(sosw.task().history) <= HISTORY_HEAD + HISTORY_TAIL

    sosw.tick_orchestrator()
    assert sosw.complete(sosw.task())["accepted"]
    assert sosw.task().status is Status.COMPLETED


def test_an_old_attempts_record_changes_nothing(sosw: Installation) -> None:
    sosw.put(running(attempt=2))
    before = sosw.everything()
    for condition in ("Success", "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency"):
        assert not sosw.report(destination(condition, attempt=1))["accepted"]
    assert sosw.everything() == before


def test_the_record_of_an_invocation_by_hand_is_no_error(sosw: Installation) -> None:
    for payload in ({"photo": 0}, "a text", None):
        answer = sosw.report({**destination("Success"), "requestPayload": payload})
        assert (answer["accepted"], answer["state"]) == (False, "unknown")


# --- what nobody can read --------------------------------------------------------------------------------------------

MALFORMED: dict[str, tuple[Any, str]] = {
    "a text": ("done", "event"),
    "nothing": ({}, "action"),
    "an unknown action": ({**COMPLETED, "action": "mark_task_as_lost"}, "action"),
    "no task": ({"action": "mark_task_as_completed"}, "task_id"),
    "an empty task": ({**COMPLETED, "task_id": ""}, "task_id"),
    "an attempt that is none": ({**COMPLETED, "attempt": 0}, "attempt"),
    "an attempt in words": ({**COMPLETED, "attempt": "first"}, "attempt"),
    "a retryable in words": ({**FAILED, "retryable": "perhaps"}, "retryable"),
    "a record without an attempt": (destination("Success", attempt=0), "requestPayload.attempt"),
}


def test_a_malformed_report_is_refused_by_its_field_and_writes_nothing(second_later: Installation) -> None:
    before = second_later.everything()
    for what, (event, field) in MALFORMED.items():
        with pytest.raises(Refused) as refused:
            second_later.report(event)
        assert refused.value.field == field, what
        assert second_later.everything() == before, what


def test_a_report_costs_one_write(second_later: Installation) -> None:
    calls: list[str] = []
    aws.dynamodb().meta.events.register("before-call.dynamodb", lambda model, **_: calls.append(model.name))
    second_later.report({**COMPLETED, "attempt": 1})
    assert calls == ["UpdateItem"]
