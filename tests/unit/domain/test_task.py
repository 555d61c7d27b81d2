"""A task's place in the queue, its history and its items are what they say, for every task there can be."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sosw_runtime.domain.task import (
    CLOSED,
    HISTORY_HEAD,
    HISTORY_TAIL,
    REASON_LENGTH,
    Entry,
    Error,
    Move,
    Note,
    Rank,
    Status,
    Task,
    queue_keys,
    task_id,
)
from sosw_runtime.storage.items import decoded, to_item, to_task
from tests.support.builders import NOON, completed, queued, running

times = st.integers(0, 9_999_999_999_999)
ranks = st.builds(Rank, priority=st.integers(0, 9), fresh=st.booleans(), time=times, sequence=st.integers(0, 9_999_999))


# --- ids -------------------------------------------------------------------------------------------------------------


def test_a_tasks_id_follows_from_its_job_and_number() -> None:
    assert task_id("album", 7) == task_id("album", 7)
    assert UUID(task_id("album", 7)).version == 5


def test_no_two_tasks_share_an_id() -> None:
    ids = [task_id(job_id, number) for job_id in ("a", "a/1", "b") for number in range(20)]
    assert len(set(ids)) == len(ids)


def test_ids_stay_what_they_were_in_every_version() -> None:
    """A job that is resumed after an upgrade must find its tasks."""
    assert task_id("album", 0) == "3b8e877c-533e-5526-a732-29fbf923e1aa"


# --- the place in the queue ------------------------------------------------------------------------------------------


@given(ranks)
def test_a_rank_is_read_as_it_was_written(rank: Rank) -> None:
    assert Rank.parse(str(rank)) == rank


@given(ranks, ranks)
def test_ranks_sort_as_text_by_priority_return_time_and_sequence(one: Rank, other: Rank) -> None:
    def order(rank: Rank) -> tuple[int, bool, int, int]:
        return (-rank.priority, rank.fresh, rank.time, rank.sequence)

    assert (str(one) < str(other)) == (order(one) < order(other))


@given(ranks, times)
def test_a_returned_task_goes_to_the_head_under_a_new_rank(rank: Rank, now: int) -> None:
    returned = rank.returned(now)
    assert returned != rank
    assert returned.priority == rank.priority
    assert not returned.fresh
    assert returned.time > rank.time or returned.time == now
    assert returned.attempt == rank.attempt, "nobody was handed the attempt"
    assert returned.returned(now) not in {rank, returned}, "even when the clock stands still"


def test_the_attempt_is_in_the_rank_of_what_was_out_before() -> None:
    assert Rank(0, fresh=True, time=NOON, sequence=7).attempt == 0
    assert Rank(0, fresh=False, time=NOON, sequence=7).attempt == 7


def test_tasks_are_spread_over_the_shards_by_their_number() -> None:
    assert [queued(number, shards=3).queue_key for number in range(4)] == ["resize", "resize#1", "resize#2", "resize"]


@given(st.integers(1, 100), st.integers(1, 100))
def test_the_keys_of_fewer_shards_are_among_those_of_more(one: int, other: int) -> None:
    few, many = sorted((one, other))
    assert set(queue_keys("resize", few)) <= set(queue_keys("resize", many))
    assert len(set(queue_keys("resize", many))) == many


@given(st.integers(0, 1_000), st.integers(1, 100))
def test_a_queued_task_is_under_one_of_its_workers_keys(number: int, shards: int) -> None:
    assert queued(number, shards=shards).queue_key in queue_keys("resize", shards)


# --- history ---------------------------------------------------------------------------------------------------------


@given(st.integers(0, 200))
def test_a_history_is_bounded_and_keeps_its_beginning_and_its_end(moves: int) -> None:
    task = running()
    for number in range(moves):
        task = task.moved(Move.RETRY, NOON + number, f"reason {number}")
    assert len(task.history) <= HISTORY_HEAD + HISTORY_TAIL
    assert task.history[:2] == running().history
    if moves:
        assert task.history[-1] == Entry(NOON + moves - 1, Move.RETRY, 1, f"reason {moves - 1}")


def test_a_move_is_noted_with_the_attempt_after_it() -> None:
    task = queued().moved(Move.CLAIM, NOON + 1, attempt=1)
    assert task.attempt == 1
    assert task.history[-1] == Entry(NOON + 1, Move.CLAIM, 1)
    assert queued().history == (Entry(NOON, Move.ENQUEUE, 0),), "the record that it was made from is as it was"


def test_a_long_reason_is_stored_short() -> None:
    assert Entry(NOON, Move.DIE, 3, "r" * 10_000).to_list() == [NOON, "die", 3, "r" * REASON_LENGTH]
    assert Entry(NOON, Move.DIE, 3, "é" * 10_000).to_list() == [NOON, "die", 3, "é" * (REASON_LENGTH // 2)]
    assert Entry(NOON, Move.DIE, 3, "€" * 10_000).to_list() == [NOON, "die", 3, "€" * (REASON_LENGTH // 3)]
    assert Entry(NOON, Move.DIE, 3).to_list() == [NOON, "die", 3]


def test_a_history_of_long_reasons_leaves_room_in_an_item() -> None:
    """DynamoDB takes 400 KB an item; the payload may have 350, result and stats 16 each."""
    for letter in "r€":
        task = running()
        for number in range(100):
            task = task.moved(Move.RETRY, NOON + number, letter * 10_000)
        text = json.dumps(decoded(to_item(replace(task, payload="{}"))), ensure_ascii=False)
        assert len(text.encode()) < (400 - 350 - 2 * 16) * 1024


# --- errors ----------------------------------------------------------------------------------------------------------


@given(st.text(max_size=2 * REASON_LENGTH), st.text(max_size=2 * REASON_LENGTH))
def test_an_error_is_read_as_it_was_written_but_for_its_length(type_: str, message: str) -> None:
    assert Error.from_json(Error(type_, message).to_json()) == Error(type_[:REASON_LENGTH], message[:REASON_LENGTH])


def test_an_error_reads_as_a_line() -> None:
    assert str(Error("StoreDown", "busy")) == "StoreDown: busy"
    assert completed().failure is None


# --- what a Worker receives ------------------------------------------------------------------------------------------


def test_the_event_is_the_payload_with_what_tells_the_attempt() -> None:
    event = replace(running(attempt=2), payload='{"photo": "cat.jpg", "sizes": [1, 2]}').event(
        "media", with_token=False
    )
    assert event == {
        "photo": "cat.jpg",
        "sizes": [1, 2],
        "task_id": running().task_id,
        "worker_id": "resize",
        "job_id": "album",
        "attempt": 2,
        "created_at": NOON,
        "labourer_id": "resize",
        "attempts": 2,
        "sosw_installation": "media",
    }


def test_no_payload_can_pass_itself_off_as_another_task() -> None:
    payload = '{"task_id": "another", "attempt": 99, "sosw_installation": "another", "sosw_token": "another"}'
    event = running(payload=payload).event("media", with_token=True)
    assert (event["task_id"], event["attempt"]) == (running().task_id, 1)
    assert (event["sosw_installation"], event["sosw_token"]) == ("media", "claim-1")
    assert "sosw_token" not in running(payload=payload).event("media", with_token=False)


@pytest.mark.parametrize(("token", "required"), [(None, None), ("claim-0", None), ("claim-1", "claim-1")])
def test_an_attempt_asks_for_its_own_token_alone(token: str | None, required: str | None) -> None:
    assert running(token=token).required_token == required


# --- parts of moves --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("attempt", "spared", "counted"), [(0, 0, 0), (3, 0, 3), (3, 1, 2), (3, 3, 0)])
def test_spared_attempts_do_not_count(attempt: int, spared: int, counted: int) -> None:
    assert running(attempt=attempt, spared=spared).counted_attempts == counted


def test_what_belongs_to_an_attempt_goes_with_it_and_the_last_error_stays() -> None:
    error = Error("StoreDown", "busy").to_json()
    attempt: dict[str, Any] = {"token": "claim-1", "note": Note("claim-1", True)}
    task = completed(error=error, result="[]", stats="{}", retryable=False, never_ran=True, **attempt).unassigned()
    assert task.error == error
    assert (task.slot, task.claim, task.started_at, task.lease_until, task.finished_at) == (None,) * 5
    assert (task.result, task.stats, task.retryable, task.never_ran) == (None, None, True, False)
    assert (task.token, task.note) == (None, None)
    assert (task.attempt, task.payload, task.history) == (1, completed().payload, completed().history)


# --- items -----------------------------------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
entries = st.builds(Entry, at=times, move=st.sampled_from(Move), attempt=st.integers(0, 99), reason=st.none() | texts)
notes = st.builds(
    Note, texts, st.booleans(), *[st.none() | texts] * 3, retryable=st.booleans(), never_ran=st.booleans()
)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    """Any task that can stand in a table."""
    status = draw(st.sampled_from(sorted(set(Status) - {Status.UNREADABLE})))
    optional = {
        "priority": st.integers(0, 9),
        "attempt": st.integers(0, 99),
        "spared": st.integers(0, 99),
        "slot": st.integers(0, 9_999),
        "claim": texts,
        "token": texts,
        "note": notes,
        "started_at": times,
        "lease_until": times,
        "finished_at": times,
        "result": texts,
        "stats": texts,
        "error": texts,
        "retryable": st.booleans(),
        "never_ran": st.booleans(),
        "duration_ms": times,
    }
    required: dict[str, st.SearchStrategy[object]] = {
        "worker_id": names,
        "job_id": names,
        "number": st.integers(0, 10**7),
        "payload": texts,
        "created_at": times,
        "history": st.lists(entries, max_size=5).map(tuple),
    }
    if status is Status.WAITING:
        required["due_at"] = times
    if status is Status.QUEUED:
        required |= {"queue_key": texts, "queue_rank": ranks.map(str)}
    if status in CLOSED:
        required |= {"closed_at": times, "in_outbox": st.booleans()}
    values = draw(st.fixed_dictionaries(required, optional=optional))
    return Task(task_id="a-task", status=status, **values)  # type: ignore[arg-type]  # drawn by name


@given(tasks())
def test_a_task_is_read_from_its_item_as_it_was_written(task: Task) -> None:
    assert to_task(to_item(task)) == task
    assert to_task(to_item(task, expires_at=1)) == task, "how long it is kept is no property of a task"


def test_a_waiting_task_has_no_status_and_is_sorted_by_its_time() -> None:
    item = to_item(replace(queued().out_of_queue(), status=Status.WAITING, due_at=NOON))
    assert item["due"] == {"S": f"{NOON}#{queued().task_id}"}
    assert "status" not in item


def test_a_task_that_waits_for_no_time_is_never_written() -> None:
    with pytest.raises(ValueError, match="has no due_at"):
        to_item(replace(queued(), status=Status.WAITING))


def test_what_is_not_there_takes_no_room() -> None:
    assert to_item(queued()).keys() == {
        "task_id",
        "worker_id",
        "job_id",
        "number",
        "status",
        "payload",
        "created_at",
        "attempt",
        "queue_key",
        "queue_rank",
        "history",
    }
