"""Every move: from its legal state it does what it says in one write, from any other nothing, and repeated nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from sosw_runtime.domain.task import Entry, Error, Move, Note, Rank, Status, Task
from sosw_runtime.storage import jobs, moves, slots, tasks
from sosw_runtime.storage.items import OUTBOX, Unreadable, encoded, to_item, to_task
from sosw_runtime.storage.jobs import Cursor
from sosw_runtime.storage.moves import Recorded, Report
from tests.integration.storage.cases import CANCELLED, CASES, CLOSED_COMPLETED, DEAD, NOW, STATES, closed, put
from tests.support.builders import (
    DAY,
    HOUR,
    LEASE,
    MINUTE,
    NO_DEADLINE,
    NOON,
    SECOND,
    completed,
    delayed,
    failed,
    job_record,
    queued,
    running,
    slot,
    waiting,
)
from tests.support.installation import Installation


@pytest.mark.parametrize("move", CASES)
def test_a_move_makes_of_its_legal_states_what_it_says_and_once(sosw: Installation, move: str) -> None:
    case = CASES[move]
    for state, expected in case.legal.items():
        put(sosw, STATES[state])
        assert case.act(sosw.tables, STATES[state]), f"{move} of a {state} task"
        [row] = [row for table in ("tasks", "retry_tasks", "closed_tasks") for row in sosw.rows(table)]
        assert row == to_item(expected), f"{move} of a {state} task"

        before = sosw.everything()
        case.act(sosw.tables, STATES[state])
        assert sosw.everything() == before, f"{move} of a {state} task, repeated"


@pytest.mark.parametrize("move", CASES)
def test_a_move_that_finds_another_state_changes_nothing_and_says_so(sosw: Installation, move: str) -> None:
    case = CASES[move]
    for state in STATES.keys() - case.legal.keys():
        put(sosw, STATES[state])
        before = sosw.everything()
        for seen in case.legal:
            assert case.act(sosw.tables, STATES[seen]) == case.refused, f"{move}: {seen} was seen, {state} is found"
            assert sosw.everything() == before, f"{move}: {seen} was seen, {state} is found"


@pytest.mark.parametrize("move", CASES)
def test_a_move_of_a_task_that_is_gone_makes_none(sosw: Installation, move: str) -> None:
    case = CASES[move]
    for seen in case.legal:
        assert case.act(sosw.tables, STATES[seen]) == case.refused
        assert all(rows == [] for rows in sosw.everything().values()), f"{move} made a task"


# --- only the current attempt, only this place in the queue ----------------------------------------------------------


def test_a_claim_that_was_overtaken_fails_however_late_it_arrives(sosw: Installation) -> None:
    sosw.put(queued())
    late = slot(queued(), claim="late")
    assert (task := moves.claim(sosw.tables, slot(queued(), claim="first"), NOW, NO_DEADLINE)) is not None
    assert moves.claim(sosw.tables, late, NOW, NO_DEADLINE) is None, "while another runs it"
    assert moves.unclaim(sosw.tables, task, late.rank, 1, NOON, "refused")
    assert moves.claim(sosw.tables, late, NOW, NO_DEADLINE) is None, (
        "when it is queued again, at the same time of the clock"
    )
    assert sosw.task().status is Status.QUEUED


def test_what_was_seen_of_an_older_attempt_moves_nothing(sosw: Installation) -> None:
    second = running(attempt=2, claim="claim-2")
    sosw.put(second)
    older = failed(claim="claim-1")
    assert not moves.retry(sosw.tables, older, NOON + HOUR, NOW, "late", spare=False)
    assert moves.die(sosw.tables, older, NOW, "late") is None
    assert not moves.unclaim(sosw.tables, running(claim="claim-1"), queued().queue_rank or "", 1, NOW, "late")
    assert not moves.report(sosw.tables, Report(second.task_id, True, 1), NOW).accepted
    assert sosw.task() == second


def test_a_replay_of_an_older_death_does_nothing(sosw: Installation) -> None:
    again = replace(DEAD, closed_at=NOON + HOUR)
    put(sosw, again)
    assert not moves.replay(sosw.tables, DEAD, 1, NOW)
    assert not moves.announce(sosw.tables, DEAD, NOW, None)
    assert sosw.task() == again


def test_a_replayed_task_has_a_new_allowance_and_no_old_number(sosw: Installation) -> None:
    put(sosw, DEAD)
    moves.replay(sosw.tables, DEAD, 1, NOW)
    replayed = sosw.task()
    assert (replayed.attempt, replayed.counted_attempts) == (3, 0)
    claimed = moves.claim(sosw.tables, slot(replayed), NOW, NO_DEADLINE)
    assert claimed is not None
    assert (claimed.attempt, claimed.counted_attempts) == (4, 1)


def test_a_spared_attempt_does_not_count(sosw: Installation) -> None:
    sosw.put(failed(never_ran=True))
    moves.retry(sosw.tables, failed(never_ran=True), NOON + HOUR, NOW, "never ran", spare=True)
    assert (sosw.task().attempt, sosw.task().counted_attempts) == (1, 0)


def test_a_report_without_an_attempt_is_of_the_current_one(sosw: Installation) -> None:
    sosw.put(running(attempt=7))
    recorded = moves.report(sosw.tables, Report(running().task_id, True), NOW)
    assert recorded.accepted
    assert recorded.found == running(attempt=7), "what was found tells of the attempt"
    assert sosw.task().status is Status.COMPLETED


# --- tokens ----------------------------------------------------------------------------------------------------------

GUARDED = running(token="claim-1")
DONE = Report(GUARDED.task_id, True, 1, "[7]", "{}")
BROKEN = Report(GUARDED.task_id, False, 1, error=Error("Busy", "later"), retryable=False)


def test_a_claim_has_a_token_only_where_the_worker_requires_one(sosw: Installation) -> None:
    sosw.put(queued(0), queued(1))
    for number, require_token in enumerate((False, True)):
        place = slot(queued(number), claim=f"claim-{number}")
        task = moves.claim(sosw.tables, place, NOW, NO_DEADLINE, asks_for_token=require_token)
        assert task is not None
        assert task.required_token == (f"claim-{number}" if require_token else None)
        assert sosw.task(number) == task


def test_an_attempt_with_a_token_is_ended_by_it_alone(sosw: Installation) -> None:
    sosw.put(GUARDED)
    for report in (DONE, BROKEN):
        for token in (None, "", "claim-0"):
            recorded = moves.report(sosw.tables, replace(report, token=token), NOW)
            assert (recorded.accepted, recorded.found) == (False, GUARDED)
        without_attempt = replace(report, attempt=None)
        assert not moves.report(sosw.tables, without_attempt, NOW).accepted
    assert sosw.task() == GUARDED
    assert moves.report(sosw.tables, replace(DONE, token="claim-1"), NOW).accepted


def test_a_report_for_another_workers_task_is_refused(sosw: Installation) -> None:
    for task in (running(), GUARDED):
        put(sosw, task)
        assert not moves.report(sosw.tables, replace(DONE, worker_id="crop", token=task.token), NOW).accepted
        assert sosw.task() == task
        assert moves.report(sosw.tables, replace(DONE, worker_id="resize", token=task.token), NOW).accepted


def test_a_token_of_an_older_claim_is_asked_of_nobody(sosw: Installation) -> None:
    """Version 0.1.0 claims without one, and leaves what it does not know."""
    put(sosw, running(attempt=2, claim="claim-2", token="claim-1"))
    assert sosw.task().required_token is None
    assert moves.report(sosw.tables, replace(DONE, attempt=2), NOW).accepted


def test_the_first_note_on_an_attempt_stays(sosw: Installation) -> None:
    put(sosw, GUARDED)
    assert moves.note(sosw.tables, GUARDED, DONE)
    noted = sosw.task()
    assert noted == replace(GUARDED, note=Note("claim-1", True, "[7]", "{}"))
    assert moves.note(sosw.tables, GUARDED, BROKEN), "one is noted"
    assert sosw.task() == noted


def test_a_note_on_an_older_attempt_is_none_and_gives_way(sosw: Installation) -> None:
    again = replace(GUARDED, attempt=2, claim="claim-2", token="claim-2", note=Note("claim-1", True))
    put(sosw, again)
    assert again.noted is None
    assert not moves.note(sosw.tables, GUARDED, DONE), "the attempt is over"
    assert sosw.task() == again
    assert moves.note(sosw.tables, again, BROKEN)
    kept = Error("Busy", "later").to_json()
    assert sosw.task().noted == Note("claim-2", False, error=kept, retryable=False)


def test_a_report_with_the_token_wins_over_a_note_and_takes_it_away(sosw: Installation) -> None:
    for report in (replace(DONE, token="claim-1"), replace(BROKEN, token="claim-1")):
        put(sosw, replace(GUARDED, note=Note("claim-1", not report.completed)))
        assert moves.report(sosw.tables, report, NOW).accepted
        ended = sosw.task()
        assert (ended.status is Status.COMPLETED, ended.note) == (report.completed, None)


def test_a_noted_report_is_reported_as_it_was_noted(sosw: Installation) -> None:
    for report in (DONE, BROKEN):
        put(sosw, GUARDED)
        assert moves.note(sosw.tables, GUARDED, report)
        task = sosw.task()
        assert task.noted is not None
        assert moves.report(sosw.tables, moves.reported_note(task), NOW).accepted
        noted = sosw.task()
        put(sosw, GUARDED)
        moves.report(sosw.tables, replace(report, token="claim-1"), NOW)
        assert noted == sosw.task()


# moto makes an update that it then refuses for the item's size.
@pytest.mark.parametrize("dynamodb", ["dynamodb-local"], indirect=True)
def test_a_report_counts_where_the_item_has_no_room_for_its_outcome(sosw: Installation) -> None:
    """Of a payload that is nearly as large as one may be, after many tries with long reasons."""
    largest = json.dumps({"photo": "x" * (395 * 1024)})
    outcome = json.dumps({"pixels": "x" * (16 * 1024 - 20)})
    put(sosw, replace(GUARDED, payload=largest))
    reported = replace(DONE, result=outcome, stats=None, token="claim-1")

    assert moves.note(sosw.tables, GUARDED, reported)
    noted = sosw.task().noted
    assert noted is not None
    assert noted.result == f'{{"dropped_bytes": {len(outcome)}}}'
    assert moves.report(sosw.tables, reported, NOW).accepted
    task = sosw.task()
    assert (task.status, task.result, task.payload) == (Status.COMPLETED, noted.result, largest)


def test_an_attempt_with_a_note_that_was_not_seen_is_not_given_up(sosw: Installation) -> None:
    """The sweep reads what may lag."""
    noted = replace(GUARDED, note=Note("claim-1", True))
    put(sosw, noted)
    assert not moves.retry(sosw.tables, GUARDED, NOON + HOUR, NOW, "lease ended", spare=False)
    assert moves.die(sosw.tables, GUARDED, NOW, "lease ended") is None
    assert sosw.task() == noted

    put(sosw, replace(noted, note=Note("claim-0", True)))
    assert moves.retry(sosw.tables, GUARDED, NOON + HOUR, NOW, "lease ended", spare=False), "it is of an older attempt"


def test_a_failed_attempt_goes_on_whatever_was_noted(sosw: Installation) -> None:
    """A WorkerAssistant of version 0.1.0 asks for no token and leaves the note in place."""
    reported = replace(failed(token="claim-1"), note=Note("claim-1", True))
    put(sosw, reported)
    assert moves.retry(sosw.tables, reported, NOON + HOUR, NOW, "Busy: later", spare=False)
    assert (sosw.task().status, sosw.task().token, sosw.task().note) == (Status.WAITING, None, None)


def test_a_closed_task_keeps_neither_token_nor_note(sosw: Installation) -> None:
    """So that Scavengers of every version write the same."""
    done = completed(token="claim-1", note=Note("claim-1", True))
    put(sosw, done)
    moves.archive(sosw.tables, [done], None)
    assert sosw.task() == closed(completed(), Status.COMPLETED, Move.ARCHIVE, None, at=NOON + SECOND)


# --- many at once ----------------------------------------------------------------------------------------------------


def test_enqueue_and_delay_write_any_number_of_tasks(sosw: Installation) -> None:
    new = [queued(number) for number in range(60)]
    later = [delayed(number) for number in range(60, 90)]
    moves.enqueue(sosw.tables, new)
    moves.delay(sosw.tables, later)
    assert sosw.all_tasks() == [*new, *later]
    before = sosw.everything()
    moves.enqueue(sosw.tables, new)
    moves.delay(sosw.tables, later)
    assert sosw.everything() == before


def test_only_what_is_in_no_table_is_enqueued_again(sosw: Installation) -> None:
    """For the window of a stopped Scheduler: what became of its tasks meanwhile is left alone."""
    put_all = [queued(0), running(1), completed(2), failed(3), waiting(4)]
    for task in put_all:
        sosw.client.put_item(
            TableName=sosw.tables.retry_tasks if task.due_at else sosw.tables.tasks, Item=to_item(task)
        )
    for number, outcome in enumerate((DEAD, CANCELLED, CLOSED_COMPLETED), 5):
        task = replace(outcome, task_id=queued(number).task_id, number=number)
        sosw.client.put_item(TableName=sosw.tables.closed_tasks, Item=to_item(task))
    before = sosw.all_tasks()
    fence = _held(sosw)
    assert moves.enqueue_missing(sosw.tables, [queued(number) for number in range(8)], set(), fence) == 0
    assert sosw.all_tasks() == before

    assert moves.enqueue_missing(sosw.tables, [queued(number) for number in range(120)], {119}, fence) == 111
    assert [task.number for task in sosw.all_tasks()] == list(range(119)), "the last one is counted as closed"
    assert moves.enqueue_missing(sosw.tables, [delayed(number) for number in range(117, 125)], {119}, fence) == 5
    assert moves.enqueue_missing(sosw.tables, [], set(), fence) == 0


def test_who_lost_the_cursor_enqueues_nothing_any_more(sosw: Installation) -> None:
    fence = _held(sosw)
    seen = jobs.cursor(sosw.tables, "album")
    assert seen is not None
    assert jobs.take_over(sosw.tables, seen, "second", NOON + HOUR) is not None
    assert moves.enqueue_missing(sosw.tables, [queued(0), delayed(1)], set(), fence) == 0
    assert sosw.all_tasks() == []


def test_only_what_the_cursor_passed_may_return_to_the_queue(sosw: Installation) -> None:
    _held(sosw, position=2)
    another = replace(waiting(5), job_id="enqueued whole")
    assert jobs.tasks_before_cursor(sosw.tables, [*map(waiting, range(4)), another]) == [
        waiting(0),
        waiting(1),
        another,
    ]


def _held(sosw: Installation, position: int = 0) -> dict[str, Any]:
    """A job that somebody enqueues; the fence of what is written for it."""
    cursor = Cursor("album", position, "first", NOON + HOUR)
    record = job_record(total=500)
    jobs.accept(sosw.tables, record, jobs.compress("{}"), cursor)
    return jobs.fence(sosw.tables, cursor)


def test_every_scavenger_archives_the_same(sosw: Installation) -> None:
    done = [completed(number) for number in range(60)]
    moves.enqueue(sosw.tables, done)
    moves.archive(sosw.tables, done[:30], retention_days=7)
    after_one = sosw.rows("closed_tasks")
    moves.archive(sosw.tables, done[:30], retention_days=7)
    assert sosw.rows("closed_tasks") == after_one
    moves.archive(sosw.tables, done, retention_days=7)
    assert sosw.rows("tasks") == []
    assert sosw.all_tasks() == [closed(task, Status.COMPLETED, Move.ARCHIVE, None, at=NOON + SECOND) for task in done]
    expiries = {row["expires_at"]["N"] for row in sosw.rows("closed_tasks")}
    assert expiries == {str((NOON + SECOND + 7 * DAY) // 1000)}


def test_a_cancelled_task_is_kept_for_the_days_that_it_is_given(sosw: Installation) -> None:
    put(sosw, queued())
    moves.cancel(sosw.tables, queued(), NOW, "not needed")
    [row] = sosw.rows("closed_tasks")
    assert "expires_at" not in row, "not before it is counted in its job"
    moves.announce(sosw.tables, sosw.task(), NOW + SECOND, 7)
    [row] = sosw.rows("closed_tasks")
    assert row["expires_at"] == {"N": str((NOW + 7 * DAY) // 1000)}


def test_a_dead_task_is_kept_until_it_is_cancelled(sosw: Installation) -> None:
    put(sosw, replace(DEAD, in_outbox=True))
    moves.announce(sosw.tables, sosw.task(), NOW, 7)
    [row] = sosw.rows("closed_tasks")
    assert "expires_at" not in row
    moves.cancel(sosw.tables, sosw.task(), NOW + SECOND, "not needed")
    moves.announce(sosw.tables, sosw.task(), NOW + SECOND, 7)
    [row] = sosw.rows("closed_tasks")
    assert row["expires_at"] == {"N": str((NOW + SECOND + 7 * DAY) // 1000)}
    assert row["outcome_key"] == {"S": "resize#cancelled"}


def test_an_older_sight_of_a_dead_task_cancels_nothing(sosw: Installation) -> None:
    again = replace(DEAD, closed_at=NOON + HOUR)
    put(sosw, again)
    assert not moves.cancel(sosw.tables, DEAD, NOW, "not needed")
    assert sosw.task() == again


def test_what_a_later_version_added_to_a_task_goes_with_it(sosw: Installation) -> None:
    more = {"mood": {"M": {"is": {"N": "1.5"}}}}
    later = Entry(NOON, "polish", 1, "", ({"N": "0.5"}, {"SS": ["bright"]}, {"NULL": True}))
    started = replace(running(), more=more, history=(*running().history, later))
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=to_item(running()) | to_item(started))
    assert sosw.task() == started
    assert moves.retry(sosw.tables, started, NOON, NOW, "Busy", spare=False)
    assert moves.requeue(sosw.tables, sosw.task(), 1, NOW)
    claimed = moves.claim(sosw.tables, slot(sosw.task()), NOW, NO_DEADLINE)
    assert claimed is not None
    assert claimed.more == more
    assert claimed.history[2] == later
    assert moves.report(sosw.tables, Report(claimed.task_id, True, 2), NOW).accepted
    moves.archive(sosw.tables, [sosw.task()], None)
    assert (sosw.task().more, sosw.task().history[2]) == (more, later)


def test_a_task_of_a_later_versions_status_is_left_alone(sosw: Installation) -> None:
    item = to_item(running()) | encoded({"status": "polishing"})
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=item)
    assert sosw.task().status == "polishing"
    assert to_item(sosw.task()) == item
    assert tasks.sweep_page(sosw.tables, None).tasks == [sosw.task()]


# --- reads -----------------------------------------------------------------------------------------------------------


def test_the_queue_shows_its_head_by_priority_then_returned_then_oldest(sosw: Installation) -> None:
    returned = queued(4).in_queue(Rank(0, fresh=False, time=NOON + HOUR, sequence=1), 1)
    for task in (queued(0), queued(1, created_at=NOON - 1), queued(2, priority=9), queued(3, priority=1), returned):
        sosw.put(task)
    sosw.put(queued(5, worker_id="crop"))
    assert [found.task_id for found in tasks.queue_head(sosw.tables, "resize", 1, 10)] == [
        queued(number).task_id for number in (2, 3, 4, 1, 0)
    ]
    assert [found.task_id for found in tasks.queue_head(sosw.tables, "resize", 1, 2)] == [
        queued(number).task_id for number in (2, 3)
    ]


def test_a_sharded_queue_is_read_as_one(sosw: Installation) -> None:
    for number in range(12):
        sosw.put(queued(number, shards=4))
    assert {row["queue_key"]["S"] for row in sosw.rows("tasks")} == {"resize", "resize#1", "resize#2", "resize#3"}
    found = tasks.queue_head(sosw.tables, "resize", 4, 10)
    assert [candidate.task_id for candidate in found] == [queued(number).task_id for number in range(10)]


def test_only_queued_tasks_are_in_the_index_of_the_queue(sosw: Installation) -> None:
    for task in (queued(0), running(1, slot=1, claim="1"), completed(2, slot=2, claim="2"), failed(3, slot=3)):
        sosw.put(task)
    assert [found.task_id for found in tasks.queue_head(sosw.tables, "resize", 1, 10)] == [queued(0).task_id]


def test_what_waits_is_read_by_time_up_to_a_time(sosw: Installation) -> None:
    for number, due_at in enumerate((NOON + HOUR, NOON, NOON + MINUTE)):
        sosw.put(waiting(number, due_at=due_at))
    sosw.put(waiting(3, due_at=NOON, worker_id="crop"))
    assert [task.number for task in tasks.waiting(sosw.tables, "resize")] == [1, 2, 0]
    soon = [waiting(1, due_at=NOON), waiting(2, due_at=NOON + MINUTE)]
    assert list(tasks.due(sosw.tables, "resize", NOON + MINUTE)) == soon
    assert list(tasks.due(sosw.tables, "resize", NOON + MINUTE - 1)) == soon[:1]


def test_closed_tasks_are_read_by_outcome_and_time(sosw: Installation) -> None:
    for number, (outcome, closed_at) in enumerate([(DEAD, 1), (DEAD, 2), (DEAD, 3), (CLOSED_COMPLETED, 2)]):
        task = replace(outcome, task_id=queued(number).task_id, number=number, closed_at=NOON + closed_at)
        sosw.client.put_item(TableName=sosw.tables.closed_tasks, Item=to_item(task))
    ids = {queued(number).task_id: number for number in range(3)}
    assert [ids[found.task_id] for found in tasks.closed_entries(sosw.tables, "resize", Status.DEAD)] == [0, 1, 2]
    assert [
        ids[found.task_id] for found in tasks.closed_entries(sosw.tables, "resize", Status.DEAD, NOON + 2, NOON + 2)
    ] == [1]
    assert list(tasks.closed_entries(sosw.tables, "resize", Status.COMPLETED)) == [], "they are found by their job"
    assert list(tasks.closed_entries(sosw.tables, "crop", Status.DEAD)) == []


def test_the_outbox_holds_what_is_still_to_be_announced(sosw: Installation) -> None:
    for number, outcome in enumerate([DEAD, CANCELLED, CLOSED_COMPLETED, replace(DEAD, in_outbox=False)]):
        task = replace(outcome, task_id=queued(number).task_id, number=number)
        sosw.client.put_item(TableName=sosw.tables.closed_tasks, Item=to_item(task))
    assert {*tasks.outbox_ids(sosw.tables)} == {queued(0).task_id, queued(1).task_id}
    assert {row.get("outbox", {}).get("S") for row in sosw.rows("closed_tasks")} == {OUTBOX, None}


def test_more_tasks_than_a_call_reads_are_found(sosw: Installation) -> None:
    moves.enqueue(sosw.tables, [queued(number) for number in range(130)])
    ids = [queued(number).task_id for number in range(140)]
    found = tasks.find(sosw.tables, [*ids, *ids])
    assert sorted(task.number for task in found.values()) == list(range(130))


def test_more_than_a_page_of_waiting_tasks_is_read(sosw: Installation) -> None:
    pages = '{"photo": "' + "x" * 100_000 + '"}'
    moves.delay(sosw.tables, [delayed(number, payload=pages) for number in range(25)])
    assert len(list(tasks.waiting(sosw.tables, "resize"))) == 25


def test_the_sweep_goes_page_by_page_and_leaves_out_the_queue(sosw: Installation) -> None:
    payload = '{"photo": "' + "x" * 100_000 + '"}'
    done = [replace(completed(number), payload=payload) for number in range(15)]
    moves.enqueue(sosw.tables, [*done, *(queued(number, payload=payload) for number in range(15, 30))])
    seen: list[int] = []
    after, pages = None, 0
    while pages == 0 or after is not None:
        page = tasks.sweep_page(sosw.tables, after)
        after = page.after
        seen += [task.number for task in page.tasks]
        pages += 1
    assert sorted(seen) == list(range(15))
    assert pages >= 2, "it takes more than one page"


def test_an_item_that_is_no_task_is_passed_over(sosw: Installation) -> None:
    good = to_item(queued())
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=good)
    poison: list[dict[str, Any]] = [
        {},
        {"status": {"S": "queued"}},
        {**good, "status": {"N": "7"}},
        {**good, "attempt": {"S": "7"}},
        {**good, "number": {"N": "0.5"}},
        {**good, "history": {"L": [{"L": []}]}},
        {**good, "history": {"S": "long"}},
        {**good, "due": {"N": "7"}},
        {name: value for name, value in good.items() if name != "payload"},
    ]
    ids = [f"poison-{number}" for number in range(len(poison))]
    for task_id, item in zip(ids, poison, strict=True):
        sosw.client.put_item(TableName=sosw.tables.tasks, Item={**item, "task_id": {"S": task_id}})
    assert list(tasks.find(sosw.tables, [*ids, queued().task_id]).values()) == [queued()]


# --- items that are no task ------------------------------------------------------------------------------------------

#: What may be wrong with an item, by what an attribute of a good one is replaced with; None: by nothing.
_DAMAGE: dict[str, dict[str, Any]] = {
    "no payload": {"payload": None},
    "no history": {"history": None},
    "a history that is no list": {"history": {"S": "long"}},
    "another type": {"number": {"S": "seven"}},
    "no job": {"job_id": None},
}


def _damaged(task: Task, damage: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**to_item(task), **damage}.items() if value is not None}


def _unreadable(item: dict[str, Any]) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        to_task(item)
    return caught.value


@pytest.mark.parametrize(
    "damage",
    [*_DAMAGE.values(), {"status": {"N": "7"}}, {"worker_id": {"S": "x" * 1025}}],
    ids=lambda damage: next(iter(damage)),
)
def test_an_unreadable_item_is_claimed_never_or_told(sosw: Installation, damage: dict[str, Any]) -> None:
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=_damaged(queued(), damage))
    with pytest.raises(Unreadable):
        moves.claim(sosw.tables, slot(queued()), NOW + LEASE, NO_DEADLINE)
    moves.set_aside(sosw.tables, queued().task_id, queued().queue_rank or "")
    assert not moves.set_aside(sosw.tables, queued().task_id, queued().queue_rank or ""), "once more"
    assert tasks.queue_head(sosw.tables, "resize", 1, 10) == [], "it is in nobody's way"
    swept = tasks.sweep_page(sosw.tables, None)
    assert (swept.tasks, swept.unreadable) == ([], 1), "people find it"


@pytest.mark.parametrize("damage", _DAMAGE)
@pytest.mark.parametrize("state", ["queued", "running", "waiting", "dead"])
def test_an_unreadable_item_is_buried_whole(sosw: Installation, state: str, damage: str) -> None:
    item = _damaged(STATES[state], _DAMAGE[damage])
    table = {"waiting": sosw.tables.retry_tasks, "dead": sosw.tables.closed_tasks}.get(state, sosw.tables.tasks)
    sosw.client.put_item(TableName=table, Item=item)
    assert moves.bury(sosw.tables, _unreadable(item), NOW)
    [dead] = sosw.all_tasks()
    assert (dead.task_id, dead.status, dead.closed_at, dead.in_outbox) == (queued().task_id, Status.DEAD, NOW, True)
    assert json.loads(dead.payload) == item, "nothing of it is lost"
    assert dead.history[-1].move is Move.BURY
    before = sosw.everything()
    assert not moves.bury(sosw.tables, _unreadable(item), NOW + SECOND)
    assert sosw.everything() == before


def test_an_unreadable_rank_is_set_aside(sosw: Installation) -> None:
    """It may be of a later version, and would take a slot with each dispatch."""
    later = {**to_item(queued()), "queue_rank": {"S": "v2-0"}}
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=later)
    seen = replace(queued(), queue_rank="v2-0")
    with pytest.raises(Unreadable):
        moves.claim(sosw.tables, slot(seen), NOW + LEASE, NO_DEADLINE)
    with pytest.raises(Unreadable):
        moves.void(sosw.tables, seen.task_id, "v2-0", NOW)
    assert moves.set_aside(sosw.tables, seen.task_id, "v2-0")
    assert tasks.queue_head(sosw.tables, "resize", 1, 10) == []


def test_a_report_for_an_unreadable_item_is_recorded(sosw: Installation) -> None:
    item = _damaged(running(), {"payload": None})
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=item)
    assert moves.report(sosw.tables, Report(running().task_id, True, 1), NOW) == Recorded(True, None)
    assert moves.report(sosw.tables, Report(running().task_id, True, 1), NOW) == Recorded(False, None)


def test_an_item_that_moved_on_is_not_buried(sosw: Installation) -> None:
    seen = _damaged(running(), {"payload": None})
    now = _damaged(running(claim="another"), {"payload": None})
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=now)
    assert not moves.bury(sosw.tables, _unreadable(seen), NOW)
    assert sosw.rows("tasks") == [now]


def test_an_item_is_set_aside_only_at_the_rank_that_was_seen(sosw: Installation) -> None:
    sosw.put(queued())
    assert not moves.set_aside(sosw.tables, queued().task_id, str(Rank(0, fresh=False, time=NOON, sequence=1)))
    assert sosw.task() == queued()
    assert not moves.set_aside(sosw.tables, "gone", queued().queue_rank or "")


# --- slots -----------------------------------------------------------------------------------------------------------


def test_a_slot_has_one_holder(sosw: Installation) -> None:
    first, second = slot(queued(0), claim="first"), slot(queued(1), claim="second")
    assert slots.take(sosw.tables, first, None, NO_DEADLINE)
    assert not slots.take(sosw.tables, second, None, NO_DEADLINE)
    assert slots.occupied(sosw.tables, "resize") == [first]


def test_a_slot_is_handed_on_by_its_holder_alone(sosw: Installation) -> None:
    first, second, third = (slot(queued(number), claim=f"{number}") for number in range(3))
    slots.take(sosw.tables, first, None, NO_DEADLINE)
    assert slots.take(sosw.tables, second, first, NO_DEADLINE)
    assert not slots.take(sosw.tables, third, first, NO_DEADLINE), "it is the second one's by now"
    assert not slots.free(sosw.tables, first)
    assert slots.occupied(sosw.tables, "resize") == [second]
    assert slots.free(sosw.tables, second)
    assert not slots.free(sosw.tables, second)
    assert slots.occupied(sosw.tables, "resize") == []
    assert slots.take(sosw.tables, third, first, NO_DEADLINE), "a free slot is anybody's"


def test_a_thousand_slots_are_read(sosw: Installation) -> None:
    taken = [slot(queued(number), index=number, claim=f"{number}") for number in (0, 7, 10, 999, 9_999)]
    for one in taken:
        slots.take(sosw.tables, one, None, NO_DEADLINE)
    slots.take(sosw.tables, slot(queued(0, worker_id="crop")), None, NO_DEADLINE)
    assert slots.occupied(sosw.tables, "resize", consistent=True) == taken
