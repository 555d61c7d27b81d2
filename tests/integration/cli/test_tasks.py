"""`sosw tasks` against real tables: found by every filter, shown whole, replayed and cancelled."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sosw_runtime.domain.task import Status, Task, task_id
from sosw_runtime.storage import moves
from sosw_runtime.storage import tasks as stored_tasks
from sosw_runtime.storage.items import encoded
from sosw_runtime.storage.tables import Tables
from tests.integration.cli.conftest import RETENTION_DAYS, Command, complete, dispatch, fail
from tests.support.builders import DAY
from tests.support.installation import Installation


@pytest.fixture
def day(sosw: Installation) -> dict[str, str]:
    """A job of six tasks in every state but waiting: their ids by state. A second Worker has one waiting task."""
    sosw.submit_photos(6, job_id="nightly")
    done, damaged, running = dispatch(sosw)
    complete(sosw, done)
    fail(sosw, damaged)
    sosw.register("mail")
    sosw.submit_photos(1, job_id="later", worker="mail", start_at="2099-01-01T00:00:00Z")
    return {"completed": done["task_id"], "dead": damaged["task_id"], "running": running["task_id"]}


def days_to_live(sosw: Installation, task_id: str) -> float | None:
    """Days until DynamoDB may delete a closed task; None: it is kept."""
    item = sosw.client.get_item(TableName=sosw.tables.closed_tasks, Key={"task_id": {"S": task_id}})["Item"]
    return (1000 * int(item["expires_at"]["N"]) - sosw.clock.now) / DAY if "expires_at" in item else None


def outcomes(cli: Command) -> dict[str, int]:
    found = [line["outcome"] for line in cli.json]
    return {outcome: found.count(outcome) for outcome in dict.fromkeys(found)}


def test_all_tasks_are_listed_once(day: dict[str, str], cli: Command) -> None:
    assert cli("tasks", "list", "--json") == 0

    assert outcomes(cli) == {"waiting": 1, "queued": 1, "running": 3, "completed": 1, "dead": 1}
    assert len({line["task_id"] for line in cli.json}) == 7


def test_filters_narrow_the_list(day: dict[str, str], cli: Command) -> None:
    for filters, expected in {
        "--worker mail": {"waiting": 1},
        "--job nightly": {"completed": 1, "dead": 1, "running": 3, "queued": 1},
        "--job nightly --outcome dead": {"dead": 1},
        "--outcome queued": {"queued": 1},
        "--outcome running": {"running": 3},
        "--outcome waiting": {"waiting": 1},
        "--label team=media --outcome dead": {"dead": 1},
        "--label team=mail": {},
        "--label team=media --label stage=live": {},
        "--worker mail --job nightly": {},
        "--since 1h --outcome dead": {"dead": 1},
        "--until 1h": {},
        "--since 2099-01-01": {},
    }.items():
        assert cli("tasks", "list", "--json", *filters.split()) == 0
        assert outcomes(cli) == expected, filters


def test_the_table_names_the_error_of_a_dead_task(day: dict[str, str], cli: Command) -> None:
    assert cli("tasks", "list", "--outcome", "dead") == 0

    header, line = cli.out.splitlines()
    assert header.split() == ["TASK", "WORKER", "JOB", "OUTCOME", "ATTEMPT", "CREATED", "CLOSED", "ERROR"]
    assert line.startswith(f"{day['dead']}\t")
    assert line.rstrip().endswith("ValueError: row 7 is damaged")


@pytest.mark.parametrize(
    ("width", "header"),
    [
        (80, ["TASK", "OUTCOME", "ERROR"]),
        (120, ["TASK", "WORKER", "JOB", "OUTCOME", "ATTEMPT", "CLOSED", "ERROR"]),
        (200, ["TASK", "WORKER", "JOB", "OUTCOME", "ATTEMPT", "CREATED", "CLOSED", "ERROR"]),
    ],
)
def test_a_terminal_shows_whole_ids_and_what_fits(
    width: int, header: list[str], day: dict[str, str], cli: Command
) -> None:
    first, *rows = cli.on_terminal(width, "tasks", "list", "--job", "nightly")

    assert first.split() == header
    assert len(rows) == 6
    assert max(map(len, [first, *rows])) <= width
    assert day["dead"] in {row.split()[0] for row in rows}


def test_a_history_is_whole_on_a_narrow_terminal(day: dict[str, str], cli: Command) -> None:
    rows = cli.on_terminal(80, "tasks", "show", day["dead"])

    [start] = [row.index("REASON") for row in rows if row.startswith("AT ")]
    cells = " ".join(row[start:].strip() for row in rows)
    assert "attempt 1 of 1 failed; ValueError: row 7 is damaged" in cells


def test_tasks_are_found_and_shown_by_what_is_in_their_payload(sosw: Installation, cli: Command) -> None:
    sosw.submit({"job": {"job_id": "shops", "worker": "resize", "store": "A1", "order": {"id": 7}}})
    sosw.submit({"job": {"job_id": "more", "worker": "resize", "store": "B2", "order": {"id": 7}}})

    assert cli("tasks", "list", "--json", "--where", "store=A1") == 0
    assert [(line["job_id"], line["payload"]["store"]) for line in cli.json] == [("shops", "A1")]
    assert cli("tasks", "list", "--where", "order.id=7", "--where", "store=B2", "--columns", "store,job_id") == 0
    assert cli.out == "STORE\tJOB\nB2\tmore\n"
    assert cli("tasks", "list", "--where", "store=C3") == 0
    assert (cli.out, cli.err) == ("", "No task passes the filters.\n")
    assert cli("tasks", "list", "--where", "store") == 2
    assert cli.err == "sosw: --where: 'store' is refused; expected KEY=VALUE, e.g. store=A1 or order.id=7\n"
    assert cli("tasks", "cancel", "--where", "store=A1") == 0
    assert cli.out == "cancelled: 1 of 1 tasks\n"


def test_ids_that_no_table_can_have_are_refused_before_aws(sosw: Installation, cli: Command) -> None:
    for command in (["tasks", "show", ""], ["tasks", "show", 3000 * "x"], ["tasks", "list", "--job", ""]):
        assert cli(*command) == 2
        assert "AWS" not in cli.err
        assert len(cli.err.splitlines()) == 1


def test_a_long_list_is_cut_and_says_so(day: dict[str, str], cli: Command) -> None:
    assert cli("tasks", "list", "--json", "--limit", "2") == 0

    assert len(cli.json) == 2
    assert cli.err == "There are more than 2; see --limit and the filters.\n"


def test_a_list_that_is_cut_reads_no_more_of_the_queue(
    sosw: Installation, cli: Command, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.submit_photos(30, job_id="nightly")
    monkeypatch.setattr("sosw_runtime.cli.selection._PAGE", 4)
    monkeypatch.setattr("sosw_runtime.cli.selection.BATCH_READ", 4)
    reads.clear()

    assert cli("tasks", "list", "--limit", "5", "--json") == 0

    assert [line["number"] for line in cli.json] == [0, 1, 2, 3, 4]
    assert [read for read in reads if read != "registry"] == ["tasks/queue", "tasks", "tasks/queue", "tasks"]


def test_only_the_tables_that_can_hold_what_is_asked_for_are_read(
    day: dict[str, str], cli: Command, reads: list[str]
) -> None:
    for filters, expected in {
        "--job nightly --outcome dead": {"closed_tasks"},
        "--job nightly --outcome running": {"tasks"},
        "--job nightly --outcome waiting": {"retry_tasks"},
        "--worker resize --outcome queued": {"tasks/queue", "tasks"},
    }.items():
        reads.clear()
        assert cli("tasks", "list", *filters.split()) == 0
        assert set(reads) - {"registry"} == expected, filters


def test_a_closed_task_is_found_without_reading_what_waits(day: dict[str, str], cli: Command, reads: list[str]) -> None:
    reads.clear()

    assert cli("tasks", "show", day["dead"]) == 0

    assert reads == ["tasks", "closed_tasks"]


def test_wrong_filters_are_refused(day: dict[str, str], cli: Command) -> None:
    for filters, problem in {
        "--worker mial": "worker: 'mial' is refused; expected a registered Worker; known are: mail, resize",
        "--job night": "job: 'night' is refused; expected the id of a job in ",
        "--label team": "--label: 'team' is refused; expected NAME=VALUE",
        "--since 9999999999999999999d": "--since: '9999999999999999999d' is refused; expected a time ago such as",
        "--since soon": "--since: 'soon' is refused; expected a time ago such as 30m, 6h or 2d",
        "--since 1h --until 2h": "--since: '20",
        "--since 2026-01-02 --until 2026-01-01 --outcome dead": "--since: '2026-01-02 00:00:00' is refused; expected a "
        "time not later than --until, 2026-01-01 00:00:00",
    }.items():
        assert cli("tasks", "list", *filters.split()) == 2
        assert (cli.out, len(cli.err.splitlines())) == ("", 1)
        assert cli.err.startswith(f"sosw: {problem}")


def test_a_task_is_shown_with_its_history(day: dict[str, str], cli: Command) -> None:
    assert cli("tasks", "show", day["dead"], "--json") == 0

    (task,) = cli.json
    assert (task["outcome"], task["attempt"], task["job_id"]) == ("dead", 1, "nightly")
    assert task["error"] == {"type": "ValueError", "message": "row 7 is damaged"}
    assert list(task["payload"]) == ["date_list"]
    assert [entry["move"] for entry in task["history"]][:4] == ["enqueue", "claim", "report", "die"]


def test_a_task_is_shown_wherever_it_stands(day: dict[str, str], cli: Command) -> None:
    for state, its_id in day.items():
        assert cli("tasks", "show", its_id) == 0
        assert f"outcome      {state}\n" in cli.out


def test_a_waiting_task_is_shown(day: dict[str, str], cli: Command) -> None:
    cli("tasks", "list", "--outcome", "waiting", "--json")
    (waiting,) = cli.json

    assert cli("tasks", "show", waiting["task_id"], "--json") == 0

    assert (cli.json[0]["outcome"], cli.json[0]["due_at"]) == ("waiting", 4_070_908_800_000)


def test_an_unknown_task_is_refused(day: dict[str, str], cli: Command) -> None:
    assert cli("tasks", "show", "no-such-task") == 2

    assert cli.err.startswith("sosw: TASK_ID: 'no-such-task' is refused; ")


def test_a_replayed_task_runs_again(day: dict[str, str], sosw: Installation, cli: Command) -> None:
    assert cli("tasks", "replay", day["dead"]) == 0

    assert cli.out == "replayed: 1 of 1 tasks\n"
    task = stored_tasks.find(sosw.tables, [day["dead"]])[day["dead"]]
    assert (task.status, task.counted_attempts) == (Status.QUEUED, 0)


def test_nothing_to_replay_is_told(day: dict[str, str], cli: Command) -> None:
    assert cli("tasks", "replay", "--job", "nightly", "--until", "1970-01-01") == 0
    assert cli.out == "replayed: 0 of 0 tasks\n"
    assert cli("tasks", "replay", "--job", "nightly", "--until", "1970-01-01", "--json") == 0
    assert (cli.out, cli.err) == ("", "replayed: 0 of 0 tasks\n")


def test_dead_tasks_are_replayed_in_bulk(sosw: Installation, cli: Command) -> None:
    sosw.submit_photos(20, job_id="nightly")
    while running := dispatch(sosw):
        for event in running:
            fail(sosw, event)

    assert cli("tasks", "replay", "--job", "nightly", "--json") == 0

    assert len(cli.json) == 20
    assert all(line["done"] for line in cli.json)
    assert cli("tasks", "list", "--json", "--outcome", "dead") == 0
    assert cli.json == []


def test_tasks_of_one_state_are_cancelled(day: dict[str, str], cli: Command) -> None:
    assert cli("tasks", "cancel", "--outcome", "waiting") == 0
    assert cli.out == "cancelled: 1 of 1 tasks\n"

    cli("tasks", "list", "--outcome", "queued", "--json")
    assert len(cli.json) == 1


def test_a_dry_run_changes_nothing(day: dict[str, str], sosw: Installation, cli: Command) -> None:
    assert cli("tasks", "replay", "--worker", "resize", "--dry-run") == 0

    assert (cli.out, cli.err) == (f"{day['dead']}\n", "1 tasks would be replayed.\n")
    assert stored_tasks.find_closed(sosw.tables, [day["dead"]])[day["dead"]].status is Status.DEAD


def test_cancelled_tasks_never_start_and_expire_as_closed_ones_do(
    day: dict[str, str], sosw: Installation, cli: Command
) -> None:
    assert cli("tasks", "cancel", "--worker", "mail") == 0
    assert cli.out == "cancelled: 1 of 1 tasks\n"
    assert cli("tasks", "cancel", "--job", "nightly") == 0
    assert cli.out == "cancelled: 1 of 1 tasks\n"

    for event in dispatch(sosw):
        complete(sosw, event)
    assert dispatch(sosw) == []
    sosw.tick_scavenger()
    cli("tasks", "list", "--outcome", "cancelled", "--json")
    assert len(cli.json) == 2
    for line in cli.json:
        assert days_to_live(sosw, line["task_id"]) == pytest.approx(RETENTION_DAYS, abs=0.01)


def test_dead_tasks_are_given_up_by_id_or_by_their_outcome(
    day: dict[str, str], sosw: Installation, cli: Command
) -> None:
    assert cli("tasks", "cancel", "--worker", "resize") == 0
    assert cli.out == "cancelled: 1 of 1 tasks\n"  # the queued one
    assert cli("tasks", "cancel", day["dead"]) == 0
    assert cli.out == "cancelled: 1 of 1 tasks\n"
    for event in dispatch(sosw):
        fail(sosw, event)

    assert cli("tasks", "cancel", "--job", "nightly", "--outcome", "dead") == 0

    assert cli.out == "cancelled: 3 of 3 tasks\n"
    assert days_to_live(sosw, day["dead"]) is None
    sosw.tick_scavenger()
    assert days_to_live(sosw, day["dead"]) == pytest.approx(RETENTION_DAYS, abs=0.01)
    assert cli("tasks", "show", day["dead"], "--json") == 0
    assert cli.json[0]["outcome"] == "cancelled"
    assert [entry["move"] for entry in cli.json[0]["history"]][-3:] == ["announce", "cancel", "announce"]


def test_a_task_that_cannot_be_moved_is_refused(day: dict[str, str], cli: Command) -> None:
    for move, state, expected in (
        ("replay", "running", "a dead task"),
        ("cancel", "running", "a dead, queued or waiting task"),
    ):
        assert cli("tasks", move, day[state]) == 2
        assert cli.err == f"sosw: TASK_ID: '{day[state]}' is refused; expected {expected}, this one is {state}\n"


def test_a_task_that_moves_on_meanwhile_is_left_alone_and_told(
    sosw: Installation, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.submit_photos(1, job_id="nightly")
    cancel = moves.cancel

    def too_late(*arguments: Any) -> bool:
        dispatch(sosw)
        return bool(cancel(*arguments))

    monkeypatch.setattr(moves, "cancel", too_late)

    assert cli("tasks", "cancel", "--job", "nightly") == 1

    assert cli.out == "cancelled: 0 of 1 tasks\n"
    assert cli.err == "sosw: not cancelled: 1 tasks: they had moved on\n"


def test_what_aws_refuses_of_one_task_stops_no_other(
    sosw: Installation, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.submit_photos(4, job_id="nightly")
    cancel = moves.cancel

    def throttled_once(tables: Tables, task: Task, *more: Any) -> bool:
        if task.number == 1:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slower"}}, "TransactWriteItems")
        return cancel(tables, task, *more)

    monkeypatch.setattr(moves, "cancel", throttled_once)

    assert cli("tasks", "cancel", "--job", "nightly") == 1

    assert cli.out == "cancelled: 3 of 4 tasks\n"
    assert cli.err == "sosw: not cancelled: 1 tasks: AWS: TransactWriteItems: ThrottlingException: slower\n"


def test_what_was_done_is_told_when_aws_refuses_to_read_on(
    sosw: Installation, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.submit_photos(4, job_id="nightly")
    monkeypatch.setattr("sosw_runtime.cli.bulk._TASKS_IN_MEMORY", 2)
    monkeypatch.setattr("sosw_runtime.cli.selection.BATCH_READ", 2)
    find = stored_tasks.find
    answers = iter([find])

    def expired_later(tables: Tables, task_ids: Iterable[str]) -> dict[str, Task]:
        answer = next(answers, None)
        if answer is None:
            raise ClientError({"Error": {"Code": "ExpiredTokenException", "Message": "too late"}}, "BatchGetItem")
        return answer(tables, task_ids)

    monkeypatch.setattr(stored_tasks, "find", expired_later)

    assert cli("tasks", "cancel", "--outcome", "queued") == 3

    assert cli.out == "cancelled: 2 of 2 tasks\n"
    assert cli.err == "sosw: AWS: BatchGetItem: ExpiredTokenException: too late; sign in again\n"


def test_tasks_are_named_by_ids_or_by_a_filter(day: dict[str, str], cli: Command) -> None:
    for arguments in ([], [day["dead"], "--worker", "resize"]):
        for move in ("replay", "cancel"):
            assert cli("tasks", move, *arguments) == 2
            assert "expected ids of tasks, or a filter such as --worker or --job" in cli.err


def test_tasks_of_a_worker_that_is_gone_are_not_replayed(day: dict[str, str], sosw: Installation, cli: Command) -> None:
    sosw.client.delete_item(TableName=sosw.tables.registry, Key={"pk": {"S": "worker"}, "sk": {"S": "resize"}})

    assert cli("tasks", "replay", day["dead"]) == 1

    assert "Worker 'resize' is not registered any more" in cli.err


# --- items that are no task ------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(day: dict[str, str], sosw: Installation) -> str:
    """The id of a running task whose payload somebody overwrote with a number."""
    sosw.client.update_item(
        TableName=sosw.tables.tasks,
        Key={"task_id": {"S": day["running"]}},
        UpdateExpression="SET payload = :seven",
        ExpressionAttributeValues={":seven": {"N": "7"}},
    )
    return day["running"]


def test_unreadable_items_are_listed_with_what_is_wrong(damaged: str, cli: Command) -> None:
    assert cli("tasks", "unreadable", "--json") == 1
    [line] = cli.json
    reason = "no task: TypeError: payload is of the type int"
    assert line == {"task_id": damaged, "worker_id": "resize", "job_id": "nightly", "reason": reason}


def test_nothing_unreadable_is_no_news(day: dict[str, str], cli: Command) -> None:
    assert cli("tasks", "unreadable") == 0
    assert (cli.out, cli.err) == ("", "Every item can be read.\n")


def test_an_unreadable_item_is_buried_by_its_id(damaged: str, sosw: Installation, cli: Command) -> None:
    assert cli("tasks", "bury", damaged, "--dry-run") == 0
    assert cli("tasks", "unreadable") == 1, "a dry run changes nothing"
    assert cli("tasks", "bury", damaged) == 0
    assert cli.out == f"{damaged}: buried\n"
    assert cli("tasks", "unreadable") == 0
    assert cli("tasks", "show", damaged, "--json") == 0
    [task] = cli.json
    assert (task["outcome"], task["job_id"]) == ("dead", "nightly")
    assert task_id("nightly", task["number"]) == damaged
    assert task["payload"]["payload"] == {"N": "7"}


def test_a_task_that_can_be_read_is_not_buried(day: dict[str, str], cli: Command) -> None:
    assert cli("tasks", "bury", day["running"]) == 2
    assert "expected the id of an item that `sosw tasks unreadable` lists" in cli.err


def test_completed_tasks_are_found_by_the_time_they_closed(day: dict[str, str], cli: Command) -> None:
    for filters, expected in {
        "--outcome completed": {"completed": 1},
        "--outcome completed --worker mail": {},
        "--outcome completed --since 1h": {"completed": 1},
        "--outcome completed --until 1h": {},
        "--outcome completed --since 2099-01-01": {},
    }.items():
        assert cli("tasks", "list", "--json", *filters.split()) == 0
        assert outcomes(cli) == expected, filters


def test_a_task_is_not_replayed_while_its_job_is_written(day: dict[str, str], sosw: Installation, cli: Command) -> None:
    """Its Scheduler may be finding out whether it was ever written."""
    item = {"pk": "enqueuing", "sk": "nightly", "position": 0, "holder": "first", "lease_until": 10**15}
    sosw.client.put_item(TableName=sosw.tables.registry, Item=encoded(item))
    assert cli("tasks", "replay", day["dead"]) == 1
    assert cli.out == "replayed: 0 of 1 tasks\n"
