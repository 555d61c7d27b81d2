"""`sosw tasks` against real tables: found by every filter, shown whole, replayed and cancelled."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sosw_runtime.domain.task import Status, Task, task_id
from sosw_runtime.storage import moves
from sosw_runtime.storage import tasks as stored_tasks
from sosw_runtime.storage.items import encoded
from sosw_runtime.storage.tables import Tables
from tests.integration.cli.conftest import RETENTION_DAYS, Command, Installation

Event = Mapping[str, Any]


@pytest.fixture
def day(installation: Installation) -> dict[str, str]:
    """A job of six tasks in every state but waiting: their ids by state. A second Worker has one waiting task."""
    installation.take("nightly", tasks=6)
    done, damaged, running = installation.dispatch()
    installation.complete(done)
    installation.fail(damaged)
    installation.register("mail")
    installation.take("later", tasks=1, worker_id="mail", start_at="2099-01-01T00:00:00Z")
    return {"completed": done["task_id"], "dead": damaged["task_id"], "running": running["task_id"]}


def days_to_live(installation: Installation, task_id: str) -> float | None:
    """Days until DynamoDB may delete a closed task; None: it is kept."""
    item = installation.tables.client.get_item(
        TableName=installation.tables.closed_tasks, Key={"task_id": {"S": task_id}}
    )["Item"]
    return (int(item["expires_at"]["N"]) - time.time()) / 86_400 if "expires_at" in item else None


def outcomes(sosw: Command) -> dict[str, int]:
    found = [line["outcome"] for line in sosw.json]
    return {outcome: found.count(outcome) for outcome in dict.fromkeys(found)}


def test_all_tasks_are_listed_once(day: dict[str, str], sosw: Command) -> None:
    assert sosw("tasks", "list", "--json") == 0

    assert outcomes(sosw) == {"waiting": 1, "queued": 1, "running": 3, "completed": 1, "dead": 1}
    assert len({line["task_id"] for line in sosw.json}) == 7


def test_filters_narrow_the_list(day: dict[str, str], sosw: Command) -> None:
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
        assert sosw("tasks", "list", "--json", *filters.split()) == 0
        assert outcomes(sosw) == expected, filters


def test_the_table_names_the_error_of_a_dead_task(day: dict[str, str], sosw: Command) -> None:
    assert sosw("tasks", "list", "--outcome", "dead") == 0

    header, line = sosw.out.splitlines()
    assert header.split() == ["TASK", "WORKER", "JOB", "OUTCOME", "ATTEMPT", "CREATED", "CLOSED", "ERROR"]
    assert line.startswith(f"{day['dead']} ")
    assert line.rstrip().endswith("ValueError: row 7 is damaged")


def test_a_long_list_is_cut_and_says_so(day: dict[str, str], sosw: Command) -> None:
    assert sosw("tasks", "list", "--json", "--limit", "2") == 0

    assert len(sosw.json) == 2
    assert sosw.err == "There are more than 2; see --limit and the filters.\n"


def test_a_list_that_is_cut_reads_no_more_of_the_queue(
    installation: Installation, sosw: Command, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.take("nightly", tasks=30)
    monkeypatch.setattr("sosw_runtime.cli.selection._PAGE", 4)
    monkeypatch.setattr("sosw_runtime.cli.selection.BATCH_READ", 4)
    reads.clear()

    assert sosw("tasks", "list", "--limit", "5", "--json") == 0

    assert [line["number"] for line in sosw.json] == [0, 1, 2, 3, 4]
    assert [read for read in reads if read != "registry"] == ["tasks/queue", "tasks", "tasks/queue", "tasks"]


def test_only_the_tables_that_can_hold_what_is_asked_for_are_read(
    day: dict[str, str], sosw: Command, reads: list[str]
) -> None:
    for filters, expected in {
        "--job nightly --outcome dead": {"closed_tasks"},
        "--job nightly --outcome running": {"tasks"},
        "--job nightly --outcome waiting": {"retry_tasks"},
        "--worker resize --outcome queued": {"tasks/queue", "tasks"},
    }.items():
        reads.clear()
        assert sosw("tasks", "list", *filters.split()) == 0
        assert set(reads) - {"registry"} == expected, filters


def test_a_closed_task_is_found_without_reading_what_waits(
    day: dict[str, str], sosw: Command, reads: list[str]
) -> None:
    reads.clear()

    assert sosw("tasks", "show", day["dead"]) == 0

    assert reads == ["tasks", "closed_tasks"]


def test_wrong_filters_are_refused(day: dict[str, str], sosw: Command) -> None:
    for filters, problem in {
        "--worker mial": "worker: 'mial' is refused; expected a registered Worker; known are: mail, resize",
        "--job night": "job: 'night' is refused; expected the id of a job in ",
        "--label team": "--label: 'team' is refused; expected NAME=VALUE",
        "--since soon": "--since: 'soon' is refused; expected a time ago such as 30m, 6h or 2d",
        "--since 1h --until 2h": "--since: '20",
        "--since 2026-01-02 --until 2026-01-01 --outcome dead": "--since: '2026-01-02 00:00:00' is refused; expected a "
        "time not later than --until, 2026-01-01 00:00:00",
    }.items():
        assert sosw("tasks", "list", *filters.split()) == 2
        assert (sosw.out, len(sosw.err.splitlines())) == ("", 1)
        assert sosw.err.startswith(f"sosw: {problem}")


def test_a_task_is_shown_with_its_history(day: dict[str, str], sosw: Command) -> None:
    assert sosw("tasks", "show", day["dead"], "--json") == 0

    (task,) = sosw.json
    assert (task["outcome"], task["attempt"], task["job_id"]) == ("dead", 1, "nightly")
    assert task["error"] == {"type": "ValueError", "message": "row 7 is damaged"}
    assert list(task["payload"]) == ["date_list"]
    assert [entry["move"] for entry in task["history"]][:4] == ["enqueue", "claim", "report", "die"]


def test_a_task_is_shown_wherever_it_stands(day: dict[str, str], sosw: Command) -> None:
    for state, its_id in day.items():
        assert sosw("tasks", "show", its_id) == 0
        assert f"outcome      {state}\n" in sosw.out


def test_a_waiting_task_is_shown(day: dict[str, str], sosw: Command) -> None:
    sosw("tasks", "list", "--outcome", "waiting", "--json")
    (waiting,) = sosw.json

    assert sosw("tasks", "show", waiting["task_id"], "--json") == 0

    assert (sosw.json[0]["outcome"], sosw.json[0]["due_at"]) == ("waiting", 4_070_908_800_000)


def test_an_unknown_task_is_refused(day: dict[str, str], sosw: Command) -> None:
    assert sosw("tasks", "show", "no-such-task") == 2

    assert sosw.err.startswith("sosw: TASK_ID: 'no-such-task' is refused; ")


def test_a_replayed_task_runs_again(day: dict[str, str], installation: Installation, sosw: Command) -> None:
    assert sosw("tasks", "replay", day["dead"]) == 0

    assert sosw.out == "replayed: 1 of 1 tasks\n"
    task = stored_tasks.find(installation.tables, [day["dead"]])[day["dead"]]
    assert (task.status, task.counted_attempts) == (Status.QUEUED, 0)


def test_dead_tasks_are_replayed_in_bulk(installation: Installation, sosw: Command) -> None:
    installation.take("nightly", tasks=20)
    while running := installation.dispatch():
        for event in running:
            installation.fail(event)

    assert sosw("tasks", "replay", "--job", "nightly", "--json") == 0

    assert len(sosw.json) == 20
    assert all(line["done"] for line in sosw.json)
    assert sosw("tasks", "list", "--json", "--outcome", "dead") == 0
    assert sosw.json == []


def test_tasks_of_one_state_are_cancelled(day: dict[str, str], sosw: Command) -> None:
    assert sosw("tasks", "cancel", "--outcome", "waiting") == 0
    assert sosw.out == "cancelled: 1 of 1 tasks\n"

    sosw("tasks", "list", "--outcome", "queued", "--json")
    assert len(sosw.json) == 1


def test_a_dry_run_changes_nothing(day: dict[str, str], installation: Installation, sosw: Command) -> None:
    assert sosw("tasks", "replay", "--worker", "resize", "--dry-run") == 0

    assert (sosw.out, sosw.err) == (f"{day['dead']}\n", "1 tasks would be replayed.\n")
    assert stored_tasks.find_closed(installation.tables, [day["dead"]])[day["dead"]].status is Status.DEAD


def test_cancelled_tasks_never_start_and_expire_as_closed_ones_do(
    day: dict[str, str], installation: Installation, sosw: Command
) -> None:
    assert sosw("tasks", "cancel", "--worker", "mail") == 0
    assert sosw.out == "cancelled: 1 of 1 tasks\n"
    assert sosw("tasks", "cancel", "--job", "nightly") == 0
    assert sosw.out == "cancelled: 1 of 1 tasks\n"

    for event in installation.dispatch():
        installation.complete(event)
    assert installation.dispatch() == []
    installation.tick()
    sosw("tasks", "list", "--outcome", "cancelled", "--json")
    assert len(sosw.json) == 2
    for line in sosw.json:
        assert days_to_live(installation, line["task_id"]) == pytest.approx(RETENTION_DAYS, abs=0.01)


def test_dead_tasks_are_given_up_by_id_or_by_their_outcome(
    day: dict[str, str], installation: Installation, sosw: Command
) -> None:
    assert sosw("tasks", "cancel", "--worker", "resize") == 0
    assert sosw.out == "cancelled: 1 of 1 tasks\n"  # the queued one
    assert sosw("tasks", "cancel", day["dead"]) == 0
    assert sosw.out == "cancelled: 1 of 1 tasks\n"
    for event in installation.dispatch():
        installation.fail(event)

    assert sosw("tasks", "cancel", "--job", "nightly", "--outcome", "dead") == 0

    assert sosw.out == "cancelled: 3 of 3 tasks\n"
    assert days_to_live(installation, day["dead"]) is None
    installation.tick()
    assert days_to_live(installation, day["dead"]) == pytest.approx(RETENTION_DAYS, abs=0.01)
    assert sosw("tasks", "show", day["dead"], "--json") == 0
    assert sosw.json[0]["outcome"] == "cancelled"
    assert [entry["move"] for entry in sosw.json[0]["history"]][-3:] == ["announce", "cancel", "announce"]


def test_a_task_that_cannot_be_moved_is_refused(day: dict[str, str], sosw: Command) -> None:
    for move, state, expected in (
        ("replay", "running", "a dead task"),
        ("cancel", "running", "a dead, queued or waiting task"),
    ):
        assert sosw("tasks", move, day[state]) == 2
        assert sosw.err == f"sosw: TASK_ID: '{day[state]}' is refused; expected {expected}, this one is {state}\n"


def test_a_task_that_moves_on_meanwhile_is_left_alone_and_told(
    installation: Installation, sosw: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.take("nightly", tasks=1)
    cancel = moves.cancel

    def too_late(*arguments: Any) -> bool:
        installation.dispatch()
        return bool(cancel(*arguments))

    monkeypatch.setattr(moves, "cancel", too_late)

    assert sosw("tasks", "cancel", "--job", "nightly") == 1

    assert sosw.out == "cancelled: 0 of 1 tasks\n"
    assert sosw.err == "sosw: not cancelled: 1 tasks: they had moved on\n"


def test_what_aws_refuses_of_one_task_stops_no_other(
    installation: Installation, sosw: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.take("nightly", tasks=4)
    cancel = moves.cancel

    def throttled_once(tables: Tables, task: Task, *more: Any) -> bool:
        if task.number == 1:
            raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slower"}}, "TransactWriteItems")
        return cancel(tables, task, *more)

    monkeypatch.setattr(moves, "cancel", throttled_once)

    assert sosw("tasks", "cancel", "--job", "nightly") == 1

    assert sosw.out == "cancelled: 3 of 4 tasks\n"
    assert sosw.err == "sosw: not cancelled: 1 tasks: AWS: TransactWriteItems: ThrottlingException: slower\n"


def test_what_was_done_is_told_when_aws_refuses_to_read_on(
    installation: Installation, sosw: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.take("nightly", tasks=4)
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

    assert sosw("tasks", "cancel", "--outcome", "queued") == 3

    assert sosw.out == "cancelled: 2 of 2 tasks\n"
    assert sosw.err == "sosw: AWS: BatchGetItem: ExpiredTokenException: too late; sign in again\n"


def test_tasks_are_named_by_ids_or_by_a_filter(day: dict[str, str], sosw: Command) -> None:
    for arguments in ([], [day["dead"], "--worker", "resize"]):
        for move in ("replay", "cancel"):
            assert sosw("tasks", move, *arguments) == 2
            assert "expected ids of tasks, or a filter such as --worker or --job" in sosw.err


def test_tasks_of_a_worker_that_is_gone_are_not_replayed(
    day: dict[str, str], installation: Installation, sosw: Command
) -> None:
    installation.tables.client.delete_item(
        TableName=installation.tables.registry, Key={"pk": {"S": "worker"}, "sk": {"S": "resize"}}
    )

    assert sosw("tasks", "replay", day["dead"]) == 1

    assert "Worker 'resize' is not registered any more" in sosw.err


# --- items that are no task ------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(day: dict[str, str], installation: Installation) -> str:
    """The id of a running task whose payload somebody overwrote with a number."""
    installation.tables.client.update_item(
        TableName=installation.tables.tasks,
        Key={"task_id": {"S": day["running"]}},
        UpdateExpression="SET payload = :seven",
        ExpressionAttributeValues={":seven": {"N": "7"}},
    )
    return day["running"]


def test_unreadable_items_are_listed_with_what_is_wrong(damaged: str, sosw: Command) -> None:
    assert sosw("tasks", "unreadable", "--json") == 1
    [line] = sosw.json
    reason = "no task: TypeError: payload is of the type int"
    assert line == {"task_id": damaged, "worker_id": "resize", "job_id": "nightly", "reason": reason}


def test_nothing_unreadable_is_no_news(day: dict[str, str], sosw: Command) -> None:
    assert sosw("tasks", "unreadable") == 0


def test_an_unreadable_item_is_buried_by_its_id(damaged: str, installation: Installation, sosw: Command) -> None:
    assert sosw("tasks", "bury", damaged, "--dry-run") == 0
    assert sosw("tasks", "unreadable") == 1, "a dry run changes nothing"
    assert sosw("tasks", "bury", damaged) == 0
    assert sosw.out == f"{damaged}: buried\n"
    assert sosw("tasks", "unreadable") == 0
    assert sosw("tasks", "show", damaged, "--json") == 0
    [task] = sosw.json
    assert (task["outcome"], task["job_id"]) == ("dead", "nightly")
    assert task_id("nightly", task["number"]) == damaged
    assert task["payload"]["payload"] == {"N": "7"}


def test_a_task_that_can_be_read_is_not_buried(day: dict[str, str], sosw: Command) -> None:
    assert sosw("tasks", "bury", day["running"]) == 2
    assert "expected the id of an item that `sosw tasks unreadable` lists" in sosw.err


def test_completed_tasks_are_found_by_the_time_they_closed(day: dict[str, str], sosw: Command) -> None:
    for filters, expected in {
        "--outcome completed": {"completed": 1},
        "--outcome completed --worker mail": {},
        "--outcome completed --since 1h": {"completed": 1},
        "--outcome completed --until 1h": {},
        "--outcome completed --since 2099-01-01": {},
    }.items():
        assert sosw("tasks", "list", "--json", *filters.split()) == 0
        assert outcomes(sosw) == expected, filters


def test_a_task_is_not_replayed_while_its_job_is_written(
    day: dict[str, str], installation: Installation, sosw: Command
) -> None:
    """Its Scheduler may be finding out whether it was ever written."""
    item = {"pk": "enqueuing", "sk": "nightly", "position": 0, "holder": "first", "lease_until": 10**15}
    installation.tables.client.put_item(TableName=installation.tables.registry, Item=encoded(item))
    assert sosw("tasks", "replay", day["dead"]) == 1
    assert sosw.out == "replayed: 0 of 1 tasks\n"
