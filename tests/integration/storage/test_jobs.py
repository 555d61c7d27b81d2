"""Jobs: accepted once, enqueued by one Scheduler at a time, and counted to their last task."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sosw_runtime.domain.task import Status
from sosw_runtime.storage import jobs, moves, progress
from sosw_runtime.storage.items import encoded, to_item
from sosw_runtime.storage.jobs import Cursor, JobRecord
from sosw_runtime.storage.progress import BLOCK, Counts
from tests.integration.storage.cases import CANCELLED, CLOSED_COMPLETED, DEAD
from tests.support.builders import DAY, HOUR, NOON, completed, delayed, failed, job_record, queued, running, waiting
from tests.support.installation import Installation

SPEC = jobs.compress('{"job": {"worker": "resize"}}')
HELD = Cursor("album", 0, "taker", NOON + HOUR)


def album(total: int = 3) -> JobRecord:
    return job_record(total=total, first_start=NOON + HOUR, schema_name="weekly")


# --- accepted once ---------------------------------------------------------------------------------------------------


def test_an_accepted_job_has_its_spec_and_its_holder(sosw: Installation) -> None:
    assert jobs.accept(sosw.tables, album(), SPEC, HELD) == album()
    assert jobs.get(sosw.tables, "album") == album()
    assert jobs.spec(sosw.tables, "album") == '{"job": {"worker": "resize"}}'
    assert jobs.cursors(sosw.tables) == [HELD]
    assert list(jobs.list_all(sosw.tables)) == [album()]


def test_a_job_whose_id_is_known_is_answered_as_it_stands(sosw: Installation) -> None:
    jobs.accept(sosw.tables, album(), SPEC, HELD)
    before = sosw.everything()
    other = replace(album(), worker_id="crop", total=9)
    assert jobs.accept(sosw.tables, other, jobs.compress("{}"), HELD) == album()
    assert sosw.everything() == before

    assert jobs.delete_cursor(sosw.tables, HELD)
    jobs.accept(sosw.tables, album(), SPEC, HELD)
    assert jobs.cursors(sosw.tables) == [], "what is enqueued whole is not begun again"


def test_a_job_is_read_with_what_a_later_version_added(sosw: Installation) -> None:
    jobs.accept(sosw.tables, album(), SPEC, HELD)
    sosw.client.update_item(
        TableName=sosw.tables.registry,
        Key=encoded({"pk": "job", "sk": "album"}),
        UpdateExpression="SET rates = :rates",
        ExpressionAttributeValues={":rates": {"L": [{"N": "0.5"}, {"N": "-1E-9"}]}},
    )
    assert jobs.get(sosw.tables, "album") == album()


def test_a_job_that_nobody_accepted_is_none(sosw: Installation) -> None:
    assert jobs.get(sosw.tables, "album") is None
    assert jobs.cursor(sosw.tables, "album") is None


# --- one Scheduler at a time -----------------------------------------------------------------------------------------


@pytest.fixture
def fresh(sosw: Installation) -> Cursor:
    """The cursor of a job that nobody holds."""
    jobs.accept(sosw.tables, album(), SPEC, HELD)
    jobs.release(sosw.tables, HELD)
    cursor = jobs.cursor(sosw.tables, "album")
    assert cursor is not None
    return cursor


def test_of_two_schedulers_one_holds_the_job(sosw: Installation, fresh: Cursor) -> None:
    first = jobs.take_over(sosw.tables, fresh, "first", NOON + HOUR)
    assert first == Cursor("album", 0, "first", NOON + HOUR)
    assert jobs.take_over(sosw.tables, fresh, "second", NOON + HOUR) is None
    assert jobs.cursor(sosw.tables, "album") == first


def test_the_holder_advances_until_it_is_taken_over(sosw: Installation, fresh: Cursor) -> None:
    first = jobs.take_over(sosw.tables, fresh, "first", NOON)
    assert first is not None
    first = jobs.advance(sosw.tables, first, 500, NOON)
    assert first == Cursor("album", 500, "first", NOON)
    second = jobs.take_over(sosw.tables, first, "second", NOON + HOUR)
    assert second == Cursor("album", 500, "second", NOON + HOUR, suspect=True), "who knows what the first one wrote"
    assert jobs.advance(sosw.tables, first, 1000, NOON) is None
    assert jobs.cursor(sosw.tables, "album") == second


def test_the_doubt_about_a_stopped_holder_goes_with_its_window(sosw: Installation, fresh: Cursor) -> None:
    first = jobs.take_over(sosw.tables, fresh, "first", NOON)
    assert first is not None
    second = jobs.take_over(sosw.tables, first, "second", NOON)
    assert second is not None
    jobs.release(sosw.tables, second)
    released = jobs.cursor(sosw.tables, "album")
    assert released == Cursor("album", 0, "", 0, suspect=True), "a window that nobody looked through is still in doubt"
    third = jobs.take_over(sosw.tables, released, "third", NOON)
    assert third is not None
    assert third.suspect
    advanced = jobs.advance(sosw.tables, third, 500, NOON)
    assert advanced is not None
    assert not advanced.suspect


def test_a_released_job_is_free_at_once_and_without_doubt(sosw: Installation, fresh: Cursor) -> None:
    held = jobs.take_over(sosw.tables, fresh, "first", NOON)
    assert held is not None
    jobs.release(sosw.tables, held)
    free = jobs.cursor(sosw.tables, "album")
    assert free == Cursor("album", 0, "", 0)
    assert jobs.take_over(sosw.tables, free, "second", NOON) == Cursor("album", 0, "second", NOON)


def test_a_holder_that_gives_up_ends_its_own_lease_only(sosw: Installation, fresh: Cursor) -> None:
    held = jobs.take_over(sosw.tables, fresh, "first", NOON + HOUR)
    assert held is not None
    jobs.shorten_lease(sosw.tables, "album", "another", NOON)
    assert jobs.cursor(sosw.tables, "album") == held
    jobs.shorten_lease(sosw.tables, "album", "first", NOON)
    given_up = jobs.cursor(sosw.tables, "album")
    assert given_up == replace(held, lease_until=NOON)
    second = jobs.take_over(sosw.tables, given_up, "second", NOON + HOUR)
    assert second is not None
    assert second.suspect
    assert not jobs.delete_cursor(sosw.tables, held), "the job is the second's to finish"
    assert jobs.delete_cursor(sosw.tables, second)
    jobs.shorten_lease(sosw.tables, "album", "second", NOON)
    assert jobs.delete_cursor(sosw.tables, second), "once more, and nothing is there"
    assert jobs.cursors(sosw.tables) == []


def test_a_cancelled_job_stays_so_whoever_holds_it(sosw: Installation, fresh: Cursor) -> None:
    held = jobs.take_over(sosw.tables, fresh, "first", NOON + HOUR)
    assert held is not None
    marked = replace(held, cancelled=True)
    assert [jobs.cancel(sosw.tables, "album", NOON), jobs.cancel(sosw.tables, "album", NOON)] == [marked, marked]
    advanced = jobs.advance(sosw.tables, held, 500, held.lease_until)
    assert advanced == replace(marked, position=500)
    assert not advanced.is_at_rest
    jobs.release(sosw.tables, advanced)
    released = jobs.cursor(sosw.tables, "album")
    assert released == Cursor("album", 500, "", 0, cancelled=True)
    assert released.is_at_rest
    assert jobs.delete_cursor(sosw.tables, released)
    assert jobs.cancel(sosw.tables, "album", NOON) is None, "enqueued whole, its tasks are cancelled one by one"
    assert jobs.cursor(sosw.tables, "album") is None


# --- where its tasks stand -------------------------------------------------------------------------------------------


def test_the_states_of_a_jobs_tasks_are_told_by_number_and_closed_wins(sosw: Installation) -> None:
    for number, task in enumerate([queued(0), running(1, slot=1), completed(2, slot=2), failed(3, slot=3)]):
        assert task.number == number
        sosw.client.put_item(TableName=sosw.tables.tasks, Item=to_item(task))
    sosw.put(waiting(4), delayed(5), waiting(99, worker_id="crop"))
    for number, closed in enumerate((DEAD, CANCELLED, CLOSED_COMPLETED), 6):
        task = replace(closed, task_id=queued(number).task_id, number=number)
        sosw.client.put_item(TableName=sosw.tables.closed_tasks, Item=to_item(task))
    # Number 8 is being archived: it still stands among the tasks as well.
    sosw.client.put_item(TableName=sosw.tables.tasks, Item=to_item(completed(8, slot=8)))
    assert jobs.statuses(sosw.tables, album(), range(12)) == {
        0: Status.QUEUED,
        1: Status.RUNNING,
        2: Status.COMPLETED,
        3: Status.FAILED,
        4: Status.WAITING,
        5: Status.WAITING,
        6: Status.DEAD,
        7: Status.CANCELLED,
        8: Status.COMPLETED,
    }


def test_the_states_of_more_tasks_than_a_call_reads_are_told(sosw: Installation) -> None:
    moves.enqueue(sosw.tables, [queued(number) for number in range(230)])
    assert jobs.statuses(sosw.tables, album(230), range(230)) == dict.fromkeys(range(230), Status.QUEUED)


# --- counted to the last ---------------------------------------------------------------------------------------------


def test_a_job_is_done_with_its_last_task_and_every_task_counts_once(sosw: Installation) -> None:
    total = BLOCK + 44
    jobs.accept(sosw.tables, album(total), SPEC, HELD)
    done = [completed(number) for number in range(total)]
    dead = replace(DEAD, number=7, task_id=queued(7).task_id)
    assert progress.add_closed(sosw.tables, done[: BLOCK - 1], NOON, None) == []
    assert progress.add_closed(sosw.tables, done[BLOCK + 1 :], NOON, None) == []
    assert progress.add_closed(sosw.tables, [done[BLOCK]], NOON, None) == []
    assert progress.add_closed(sosw.tables, [dead, done[0], done[0]], NOON, None) == []
    assert progress.counts(sosw.tables, album()) == Counts(completed=total - 1), "completed wins over dead"

    for _ in range(2):
        [job] = progress.add_closed(sosw.tables, [done[BLOCK - 1]], NOON, None)
        assert job.job_id == "album"
    found = progress.counts(sosw.tables, album())
    assert found == Counts(completed=total)
    assert progress.close(sosw.tables, job, found, NOON + DAY, None)
    assert not progress.close(sosw.tables, job, found, NOON + 2 * DAY, None)
    assert progress.add_closed(sosw.tables, done[:1], NOON, None) == []
    closed = jobs.get(sosw.tables, "album")
    assert closed is not None
    assert (closed.closed_at, closed.completed, closed.dead, closed.cancelled) == (NOON + DAY, total, 0, 0)


def test_a_job_is_counted_by_outcome(sosw: Installation) -> None:
    jobs.accept(sosw.tables, album(3), SPEC, HELD)
    outcomes = [
        replace(task, number=number, task_id=queued(number).task_id)
        for number, task in enumerate((CLOSED_COMPLETED, DEAD, CANCELLED))
    ]
    [job] = progress.add_closed(sosw.tables, outcomes, NOON, None)
    assert progress.counts(sosw.tables, job) == Counts(completed=1, dead=1, cancelled=1)


def test_a_closed_job_outlives_its_tasks(sosw: Installation) -> None:
    jobs.accept(sosw.tables, album(1), SPEC, HELD)
    jobs.delete_cursor(sosw.tables, HELD)
    [job] = progress.add_closed(sosw.tables, [completed(0)], NOON, 30)
    for later in (0, DAY):
        progress.close(sosw.tables, job, Counts(1), NOON + later, 30)
        expiry = {row["pk"]["S"]: int(row["expires_at"]["N"]) * 1000 for row in sosw.rows("registry")}
        assert expiry["spec"] == NOON + 30 * DAY
        assert expiry["job"] == NOON + 44 * DAY


def test_a_job_is_kept_as_long_as_it_has_dead_tasks(sosw: Installation) -> None:
    jobs.accept(sosw.tables, album(1), SPEC, HELD)
    [job] = progress.add_closed(sosw.tables, [replace(DEAD, number=0)], NOON, 30)
    progress.close(sosw.tables, job, progress.counts(sosw.tables, job), NOON, 30)
    [row] = [row for row in sosw.rows("registry") if row["pk"]["S"] == "job"]
    assert "expires_at" not in row


def test_a_job_under_an_id_that_has_expired_is_counted_anew(sosw: Installation) -> None:
    jobs.accept(sosw.tables, album(1), SPEC, HELD)
    progress.add_closed(sosw.tables, [completed(0)], NOON, 30)
    sosw.client.delete_item(TableName=sosw.tables.registry, Key=encoded({"pk": "job", "sk": "album"}))

    again = replace(album(2), created_at=NOON + 50 * DAY)
    assert jobs.accept(sosw.tables, again, SPEC, HELD) == again
    assert progress.counts(sosw.tables, again) == Counts()
    late = completed(0)
    assert progress.add_closed(sosw.tables, [late], NOON, 30) == [], "of the job that was"
    first, second = (replace(completed(number), created_at=again.created_at) for number in range(2))
    assert progress.add_closed(sosw.tables, [first], NOON, 30) == []
    [job] = progress.add_closed(sosw.tables, [second], NOON, 30)
    assert progress.counts(sosw.tables, job) == Counts(completed=2)


def test_without_a_retention_a_closed_job_is_kept(sosw: Installation) -> None:
    jobs.accept(sosw.tables, album(1), SPEC, HELD)
    [job] = progress.add_closed(sosw.tables, [completed(0)], NOON, None)
    progress.close(sosw.tables, job, Counts(1), NOON, None)
    assert not any("expires_at" in row for row in sosw.rows("registry"))


def test_the_id_of_an_expired_job_may_be_given_again(sosw: Installation) -> None:
    jobs.accept(sosw.tables, album(1), SPEC, HELD)
    sosw.client.delete_item(TableName=sosw.tables.registry, Key=encoded({"pk": "job", "sk": "album"}))
    other = replace(album(2), source="event-2")
    assert jobs.accept(sosw.tables, other, jobs.compress("{}"), HELD) == other
    assert jobs.spec(sosw.tables, "album") == "{}"


def test_tasks_of_a_job_that_is_not_kept_any_more_close_nothing(sosw: Installation) -> None:
    assert progress.add_closed(sosw.tables, [completed(0)], NOON, None) == []
