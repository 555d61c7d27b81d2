"""Calls to the tables: a transient error is tried again, any other is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from sosw_runtime.errors import Unavailable
from sosw_runtime.storage.items import Item, to_item
from sosw_runtime.storage.tables import (
    ConditionFailed,
    Deadline,
    NotWritten,
    get_batches,
    put_batches,
    put_new,
    write,
    write_by,
)
from tests.support.builders import NOON, SECOND, queued
from tests.support.installation import Installation


def client_error(code: str, *reasons: str, status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "injected"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    if reasons:
        response["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(response, "TransactWriteItems")


class Answers:
    """A call that gives these answers in turn, and counts how often it is asked."""

    def __init__(self, *answers: Exception | dict[str, Any]) -> None:
        self._answers = list(answers)
        self.asked = 0

    def __call__(self) -> dict[str, Any]:
        self.asked += 1
        answer = self._answers[min(self.asked, len(self._answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _seconds: None)


CONFLICT = client_error("TransactionCanceledException", "None", "TransactionConflict")
THROTTLED = client_error("TransactionCanceledException", "ThrottlingError", "None")


#: What DynamoDB says of a single write that it has no capacity for.
BUSY = [
    client_error(code)
    for code in ("ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded")
]


def test_a_write_that_conflicts_or_is_throttled_is_tried_again() -> None:
    call = Answers(CONFLICT, THROTTLED, client_error("TransactionConflictException"), *BUSY, {"done": True})
    assert write(call) == {"done": True}
    assert call.asked == 7


def test_a_write_that_does_not_pass_is_told_as_unavailable() -> None:
    call = Answers(CONFLICT)
    with pytest.raises(Unavailable, match="could not take a write for now"):
        write(call)
    assert 3 < call.asked < 20


@pytest.mark.parametrize(
    "error",
    [
        client_error("ConditionalCheckFailedException"),
        client_error("TransactionCanceledException", "None", "ConditionalCheckFailed"),
        client_error("TransactionCanceledException", "TransactionConflict", "ConditionalCheckFailed"),
    ],
)
def test_a_condition_that_failed_is_told_at_once(error: ClientError) -> None:
    call = Answers(error)
    with pytest.raises(ConditionFailed):
        write(call)
    assert call.asked == 1


@pytest.mark.parametrize(
    "error",
    [
        client_error("AccessDeniedException"),
        client_error("ValidationException"),
        client_error("TransactionCanceledException", "None", "ItemCollectionSizeLimitExceeded"),
    ],
)
def test_any_other_error_is_passed_on_at_once(error: ClientError) -> None:
    call = Answers(error)
    with pytest.raises(ClientError) as passed:
        write(call)
    assert passed.value is error
    assert call.asked == 1


# --- writes with a deadline ----------------------------------------------------------------------


class Ticking:
    """A clock, and waiting that lets it go by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOON
        monkeypatch.setattr("tenacity.nap.time.sleep", self._sleep)

    def read(self) -> int:
        return self.now

    def _sleep(self, seconds: float) -> None:
        self.now += round(1000 * seconds)


@pytest.fixture
def deadline(monkeypatch: pytest.MonkeyPatch) -> Deadline:
    """In five seconds."""
    return Deadline(NOON + 5 * SECOND, Ticking(monkeypatch).read)


SERVER_ERROR = client_error("InternalServerError", status=500)
LOST = ReadTimeoutError(endpoint_url="https://dynamodb")
UNREACHED = ConnectTimeoutError(endpoint_url="https://dynamodb")


@pytest.mark.parametrize("error", [*BUSY, SERVER_ERROR, LOST, UNREACHED, CONFLICT])
def test_a_write_with_a_deadline_is_tried_again(deadline: Deadline, error: Exception) -> None:
    call = Answers(error, error, {"done": True})
    assert write_by(deadline, call) == {"done": True}


@pytest.mark.parametrize("error", [*BUSY, UNREACHED, CONFLICT])
def test_a_write_that_was_never_taken_is_told_as_not_written(deadline: Deadline, error: Exception) -> None:
    call = Answers(error)
    with pytest.raises(NotWritten):
        write_by(deadline, call)
    assert call.asked > 5
    assert 4 * SECOND < deadline.clock() - NOON <= 5 * SECOND


@pytest.mark.parametrize("error", [SERVER_ERROR, LOST])
def test_a_write_one_of_whose_answers_was_lost_is_in_doubt(deadline: Deadline, error: Exception) -> None:
    with pytest.raises(Unavailable) as told:
        write_by(deadline, Answers(BUSY[0], error, BUSY[0]))
    assert not isinstance(told.value, NotWritten)


def test_after_its_deadline_a_write_is_tried_once(deadline: Deadline) -> None:
    call = Answers(BUSY[0])
    with pytest.raises(NotWritten):
        write_by(replace(deadline, at=NOON - 1), call)
    assert call.asked == 1


@pytest.mark.parametrize("error", [client_error("AccessDeniedException"), client_error("ValidationException")])
def test_an_error_that_does_not_pass_ends_a_write_with_a_deadline(deadline: Deadline, error: Exception) -> None:
    call = Answers(error)
    with pytest.raises(ClientError) as passed:
        write_by(deadline, call)
    assert passed.value is error
    assert call.asked == 1


# --- batches ---------------------------------------------------------------------------------------------------------


def put(*numbers: int) -> list[dict[str, Any]]:
    return [{"PutRequest": {"Item": to_item(queued(number))}} for number in numbers]


class HalfBusy:
    """A DynamoDB that takes only half of each batch, as long as it is busy."""

    def __init__(self, sosw: Installation, monkeypatch: pytest.MonkeyPatch, *, until_call: int) -> None:
        self.calls = 0
        self._until_call = until_call
        self._put, self._get = sosw.client.batch_write_item, sosw.client.batch_get_item
        monkeypatch.setattr(sosw.client, "batch_write_item", self._write)
        monkeypatch.setattr(sosw.client, "batch_get_item", self._read)

    def _write(self, RequestItems: dict[str, list[Any]]) -> Any:  # noqa: N803 - boto's name
        ((table, requests),) = RequestItems.items()
        taken, left = self._halves(requests)
        if taken:
            self._put(RequestItems={table: taken})
        return {"UnprocessedItems": {table: left} if left else {}}

    def _read(self, RequestItems: dict[str, Any]) -> Any:  # noqa: N803 - boto's name
        ((table, request),) = RequestItems.items()
        taken, left = self._halves(request["Keys"])
        items: dict[str, list[Item]] = {table: []}
        if taken:
            part: Any = {table: {**request, "Keys": taken}}
            items = self._get(RequestItems=part)["Responses"]
        return {"Responses": items, "UnprocessedKeys": {table: {**request, "Keys": left}} if left else {}}

    def _halves(self, requests: list[Any]) -> tuple[list[Any], list[Any]]:
        self.calls += 1
        half = len(requests) // 2 if self.calls < self._until_call else len(requests)
        return requests[:half], requests[half:]


def test_writes_that_are_sent_back_are_sent_again(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    HalfBusy(sosw, monkeypatch, until_call=4)
    put_batches(sosw.tables, sosw.tables.tasks, put(*range(60)))
    assert [task.number for task in sosw.all_tasks()] == list(range(60))


def test_whoever_puts_new_items_is_told_that_some_were_sent_back(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [to_item(queued(number)) for number in range(60)]
    assert not put_new(sosw.tables, sosw.tables.tasks, items[:30])
    HalfBusy(sosw, monkeypatch, until_call=2)
    assert put_new(sosw.tables, sosw.tables.tasks, items[30:])
    assert [task.number for task in sosw.all_tasks()] == list(range(60))


def test_reads_that_are_sent_back_are_sent_again(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    put_batches(sosw.tables, sosw.tables.tasks, put(*range(120)))
    HalfBusy(sosw, monkeypatch, until_call=4)
    keys = [{"task_id": {"S": queued(number).task_id}} for number in range(120)]
    found = list(get_batches(sosw.tables, sosw.tables.tasks, keys))
    assert sorted(int(item["number"]["N"]) for item in found) == list(range(120)), "each once"


def test_batches_that_are_always_sent_back_are_told_as_unavailable(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    HalfBusy(sosw, monkeypatch, until_call=1_000)
    with pytest.raises(Unavailable, match="1 writes were sent back"):
        put_batches(sosw.tables, sosw.tables.tasks, put(*range(60)))
    with pytest.raises(Unavailable, match="1 reads were sent back"):
        list(get_batches(sosw.tables, sosw.tables.tasks, [{"task_id": {"S": "t"}}]))


def test_a_reader_that_stops_early_is_let_go(sosw: Installation) -> None:
    put_batches(sosw.tables, sosw.tables.tasks, put(*range(5)))
    keys = [{"task_id": {"S": queued(number).task_id}} for number in range(5)]
    found = get_batches(sosw.tables, sosw.tables.tasks, keys)
    next(found)
    found.close()  # type: ignore[attr-defined]  # a generator
