"""`sosw jobs` against real tables: a job is taken, watched and ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from sosw_runtime.cli.app import run
from sosw_runtime.domain.task import Status
from sosw_runtime.errors import JobInterrupted, Misconfigured, Unavailable
from sosw_runtime.essentials import scheduler
from sosw_runtime.storage import jobs as stored_jobs
from sosw_runtime.storage.tasks import closed_entries
from tests.integration.cli.conftest import Command, complete, dispatch, fail
from tests.support.builders import HOUR, SECOND
from tests.support.installation import Installation
from tests.support.lambdas import FakeLambda

NEW_YEAR = 1_767_225_600_000  # 2026, ms

BetweenLooks = Callable[[Callable[[], object]], None]


@pytest.fixture
def between_looks(monkeypatch: pytest.MonkeyPatch) -> BetweenLooks:
    """Has something happen whenever a watch rests."""

    def have(happen: Callable[[], object]) -> None:
        monkeypatch.setattr("sosw_runtime.cli.watch.time.sleep", lambda _: happen())

    return have


def test_a_submitted_job_is_enqueued_and_told(sosw: Installation, cli: Command, tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"job_id": "nightly", "worker": "resize", "period": "last_5_days", "isolate_days": True}))

    assert cli("jobs", "submit", job) == 0

    assert cli.out.startswith("job nightly: 5 tasks, the first may start at 20")
    assert len(dispatch(sosw)) == 3


def test_a_submitted_job_can_be_watched_to_its_end(
    sosw: Installation, cli: Command, tmp_path: Path, between_looks: BetweenLooks
) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"job_id": "nightly", "worker": "resize"}))
    between_looks(lambda: fail(sosw, dispatch(sosw)[0]))

    assert cli("jobs", "submit", job, "--watch") == 1

    first, last = cli.out.splitlines()
    assert first.startswith("job nightly: 1 tasks, the first may start at 20")
    assert last == "job nightly: 1 of 1 tasks closed: 1 dead"


def test_a_preview_takes_the_schemas_that_are_registered(sosw: Installation, cli: Command, tmp_path: Path) -> None:
    sosw.register("crawl", job_schemas={"default": {"chunkable_attrs": ["store"]}})
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"worker": "crawl", "stores": [1, 2], "isolate_stores": True}))

    assert cli("jobs", "preview", job, "--worker", "crawl") == 0

    assert cli.json == [{"stores": [1]}, {"stores": [2]}]
    assert cli("jobs", "preview", job, "--worker", "crawl", "--schema", job) == 2
    assert cli("jobs", "preview", job, "--worker", "craw") == 2
    assert cli("jobs", "preview", job, "--estimate", "--json") == 0
    assert (cli.json[0]["tasks"], cli.json[0]["seconds"]) == (2, None)


def test_an_estimate_takes_the_workers_recent_tasks(sosw: Installation, cli: Command, tmp_path: Path) -> None:
    sosw.submit_photos(5, job_id="before")
    events = dispatch(sosw)
    sosw.clock.advance(2 * SECOND)
    for event in events[:2]:
        complete(sosw, event)
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"job_id": "nightly", "worker": "resize", "period": "last_5_days", "isolate_days": True}))

    assert cli("jobs", "preview", job, "--estimate", "--json") == 0

    [line] = cli.json
    assert line["tasks"] == 5
    assert line["assumptions"][1] == "3 slots, and 3 tasks of the Worker before the job."
    assert line["seconds"] == pytest.approx(8 * 2 / 3, rel=0.2)
    assert cli("jobs", "submit", job, "--estimate") == 0
    assert cli.out.splitlines()[0].split() == ["tasks", "5"]
    assert cli.out.splitlines()[-1].startswith("job nightly: 5 tasks")


def test_a_submitted_job_that_the_scheduler_refuses_enqueues_nothing(
    sosw: Installation, cli: Command, tmp_path: Path
) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"job_id": "nightly", "worker": "resise"}))

    assert cli("jobs", "submit", job) == 2

    assert (cli.out, len(cli.err.splitlines())) == ("", 1)
    assert cli.err.startswith("sosw: worker: 'resise' is refused; ")
    assert dispatch(sosw) == []


def test_a_watch_ends_with_the_job(sosw: Installation, cli: Command, between_looks: BetweenLooks) -> None:
    sosw.submit_photos(5, job_id="nightly")
    dispatch(sosw)
    between_looks(lambda: complete(sosw, dispatch(sosw)[0]))

    assert cli("jobs", "watch", "nightly") == 0

    assert cli.out == "job nightly: 5 of 5 tasks closed: 5 completed\n"
    assert cli.err.splitlines()[0] == "0 of 5 tasks closed: 2 queued, 3 running"
    assert len(cli.err.splitlines()) == 6


def test_a_watch_of_a_job_with_a_dead_task_is_exit_code_1(
    sosw: Installation, cli: Command, between_looks: BetweenLooks
) -> None:
    sosw.submit_photos(2, job_id="nightly")
    first, second = dispatch(sosw)

    def end_both() -> None:
        complete(sosw, first)
        fail(sosw, second)

    between_looks(end_both)

    assert cli("jobs", "watch", "nightly", "--json") == 1

    begun, ended = cli.json
    assert (begun["running"], begun["completed"], begun["dead"]) == (2, 0, 0)
    assert (ended["total"], ended["running"], ended["completed"], ended["dead"]) == (2, 0, 1, 1)


def test_a_job_that_starts_later_waits_until_it_is_cancelled(
    sosw: Installation, cli: Command, between_looks: BetweenLooks
) -> None:
    sosw.submit_photos(2, job_id="later", start_at="2099-01-01T00:00:00Z")
    between_looks(lambda: run(["tasks", "cancel", "--job", "later"]))

    assert cli("jobs", "watch", "later") == 0

    assert cli.err.splitlines()[0] == "0 of 2 tasks closed: 2 waiting"
    assert cli.out == "cancelled: 2 of 2 tasks\njob later: 2 of 2 tasks closed: 2 cancelled\n"


def test_a_watch_says_why_nothing_moves(sosw: Installation, cli: Command, between_looks: BetweenLooks) -> None:
    sosw.submit_photos(2, job_id="other")
    dispatch(sosw)
    sosw.submit_photos(4, job_id="nightly")
    dispatch(sosw)
    assert cli("workers", "pause", "resize", "--reason", "the database moves") == 0

    def end_all() -> None:
        run(["jobs", "cancel", "nightly"])
        complete(sosw, dispatch(sosw)[-1])

    between_looks(end_all)

    assert cli("jobs", "watch", "nightly", "--json") == 0

    begun = json.loads(cli.out.splitlines()[0])
    assert [reason["kind"] for reason in begun["reasons"]] == ["paused"]
    assert re.fullmatch(r"Worker resize is paused since .+ UTC by .+: the database moves", begun["reasons"][0]["text"])
    assert begun["end_at"] is None


def test_a_watch_counts_the_slots_of_other_jobs(sosw: Installation, cli: Command, between_looks: BetweenLooks) -> None:
    sosw.submit_photos(2, job_id="other")
    dispatch(sosw)
    sosw.submit_photos(2, job_id="nightly")
    between_looks(lambda: complete(sosw, dispatch(sosw)[-1]))
    dispatch(sosw)

    assert cli("jobs", "watch", "nightly") == 0

    assert cli.err.splitlines()[:2] == [
        "0 of 2 tasks closed: 1 queued, 1 running",
        "  all 3 slots are taken, 2 of them by tasks of other jobs",
    ]


def test_a_watch_tells_when_the_next_retry_is_due(
    sosw: Installation, cli: Command, between_looks: BetweenLooks
) -> None:
    sosw.register("resize", retry={"max_attempts": 2, "base_delay_seconds": 300}, token_seen=False)
    sosw.submit_photos(1, job_id="nightly")
    fail(sosw, dispatch(sosw)[0])
    between_looks(lambda: run(["jobs", "cancel", "nightly"]))

    assert cli("jobs", "watch", "nightly") == 0

    assert cli.err.splitlines()[1].startswith("  1 tasks wait for a retry, the next one due at 20")


def test_an_unknown_job_is_refused(sosw: Installation, cli: Command) -> None:
    assert cli("jobs", "watch", "nightly") == 2

    registry = f"{sosw.name}_registry"
    assert cli.err == f"sosw: job: 'nightly' is refused; expected the id of a job in {registry}\n"


def test_a_watch_of_an_installation_that_is_not_there_is_exit_code_3(sosw: Installation, cli: Command) -> None:
    assert cli("jobs", "watch", "nightly", "--name", "elsewhere") == 3

    assert cli.err.startswith("sosw: AWS: GetItem: ResourceNotFoundException: ")
    assert cli.err.endswith("; check --name (or SOSW_NAME), the account and the region\n")
    assert len(cli.err.splitlines()) == 1


def test_a_large_job_is_watched_by_what_is_counted_of_it(
    sosw: Installation, cli: Command, between_looks: BetweenLooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sosw_runtime.cli.progress.FEW", 3)
    sosw.submit_photos(1, job_id="other")
    sosw.submit_photos(5, job_id="large")
    dispatch(sosw)
    between_looks(lambda: complete(sosw, dispatch(sosw)[0]))

    assert cli("jobs", "watch", "large") == 0

    assert cli.err.splitlines()[0] == "0 of 5 tasks closed: 3 queued, 2 running"
    assert cli.out == "job large: 5 of 5 tasks closed: 5 completed\n"


def test_jobs_are_listed_the_newest_first_with_their_counts(sosw: Installation, cli: Command) -> None:
    sosw.register("mail")
    sosw.submit_photos(2, job_id="first")
    completed, damaged = dispatch(sosw)
    complete(sosw, completed)
    fail(sosw, damaged)
    sosw.submit_photos(4, job_id="second", worker="mail")

    assert cli("jobs", "list", "--json") == 0

    second, first = cli.json
    assert (second["job_id"], second["state"], second["total"], second["completed"]) == ("second", "open", 4, 0)
    assert (first["job_id"], first["state"], first["completed"], first["dead"]) == ("first", "closed", 1, 1)
    assert cli("jobs", "list", "--worker", "mail") == 0
    header, line = cli.out.splitlines()
    assert header.split() == ["JOB", "WORKER", "CREATED", "CLOSED", "TASKS", "COMPLETED", "DEAD", "CANCELLED", "STATE"]
    assert line.split()[0] == "second"


def test_a_long_list_of_jobs_is_cut_and_says_so(sosw: Installation, cli: Command, reads: list[str]) -> None:
    for hour in range(3):
        sosw.clock.now = NEW_YEAR + hour * HOUR
        sosw.submit_photos(1, job_id=f"job-{hour}")
    reads.clear()

    assert cli("jobs", "list", "--limit", "2", "--json") == 0

    assert [line["job_id"] for line in cli.json] == ["job-2", "job-1"]
    assert cli.err == "There are more than 2; see --limit and the filters.\n"
    assert len(reads) == 4  # what is enqueued, the jobs, and the counts of two
    assert cli("jobs", "list", "--since", "2026-01-01T01:00", "--json") == 0
    assert [line["job_id"] for line in cli.json] == ["job-2", "job-1"]
    assert cli("jobs", "list", "--since", "30m", "--json") == 0
    assert [line["job_id"] for line in cli.json] == ["job-2"]
    assert cli("jobs", "list", "--since", "soon") == 2
    assert cli.err.startswith("sosw: --since: 'soon' is refused; ")


def test_the_dead_of_a_closed_job_are_listed_as_they_are_shown(sosw: Installation, cli: Command) -> None:
    sosw.submit_photos(3, job_id="nightly")
    for event in dispatch(sosw):
        fail(sosw, event)
    assert counts(cli, "list") == counts(cli, "show", "nightly") == {"completed": 0, "dead": 3, "cancelled": 0}

    cli("tasks", "list", "--outcome", "dead", "--json")
    replayed, given_up, _ = (line["task_id"] for line in cli.json)
    assert cli("tasks", "replay", replayed) == 0
    assert cli("tasks", "cancel", given_up) == 0
    (event,) = dispatch(sosw)
    complete(sosw, event)
    sosw.tick_scavenger()

    assert counts(cli, "list") == counts(cli, "show", "nightly") == {"completed": 1, "dead": 1, "cancelled": 1}


def test_a_closed_job_with_replayed_tasks_has_work_again(sosw: Installation, cli: Command, reads: list[str]) -> None:
    sosw.submit_photos(2, job_id="nightly")
    done, damaged = dispatch(sosw)
    complete(sosw, done)
    fail(sosw, damaged)
    assert states(cli) == ["closed", "closed"]

    assert cli("tasks", "replay", damaged["task_id"]) == 0
    assert states(cli) == ["replaying", "replaying"]

    (event,) = dispatch(sosw)
    complete(sosw, event)
    reads.clear()
    assert states(cli) == ["closed", "closed"]
    assert "closed_tasks/by_outcome" not in reads, "none is dead"


def test_jobs_of_a_worker_with_too_many_dead_tasks_stay_closed(
    sosw: Installation, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.submit_photos(3, job_id="nightly")
    first, *_ = events = dispatch(sosw)
    for event in events:
        fail(sosw, event)
    assert cli("tasks", "replay", first["task_id"]) == 0

    for most, state in ((1, "closed"), (2, "replaying")):
        monkeypatch.setattr("sosw_runtime.cli.deaths._ENTRIES", most)
        assert cli("jobs", "list", "--json") == 0
        assert cli.json[0]["state"] == state


def states(cli: Command) -> list[str]:
    """The state of the one job, as `list` and `show` have it."""
    found = []
    for command in (["list"], ["show", "nightly"]):
        assert cli("jobs", *command, "--json") == 0
        found.append(cli.json[0]["state"])
    return found


def test_a_job_that_expires_after_its_progress_stays_closed(sosw: Installation, cli: Command) -> None:
    sosw.submit_photos(1, job_id="nightly")
    (damaged,) = dispatch(sosw)
    fail(sosw, damaged)
    assert cli("tasks", "replay", damaged["task_id"]) == 0
    (event,) = dispatch(sosw)
    complete(sosw, event)
    for item in sosw.client.scan(TableName=sosw.tables.registry)["Items"]:
        if item["pk"]["S"].startswith("progress#"):
            sosw.client.delete_item(TableName=sosw.tables.registry, Key={key: item[key] for key in ("pk", "sk")})

    assert cli("jobs", "list", "--json") == 0
    assert cli.json[0]["state"] == "closed"


def test_a_job_is_shown_with_its_failures_by_type(
    sosw: Installation, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.submit_photos(1, job_id="other")
    sosw.submit_photos(5, job_id="nightly")
    while events := dispatch(sosw):
        for event in events:
            fail(sosw, event)

    assert cli("jobs", "show", "nightly", "--json") == 0

    [failure] = cli.json[0]["failures"]
    assert (failure["type"], failure["count"], failure["message"]) == ("ValueError", 5, "row 7 is damaged")
    assert cli("tasks", "show", failure["task_id"], "--json") == 0
    assert cli.json[0]["job_id"] == "nightly"
    assert cli("jobs", "show", "nightly") == 0
    assert cli.out.splitlines()[-1] == f"5\tValueError\t{failure['task_id']}\trow 7 is damaged"
    monkeypatch.setattr("sosw_runtime.cli.deaths._TASKS", 2)
    assert cli("jobs", "show", "nightly") == 0
    assert cli.err == "2 of 5 dead tasks were read.\n"


def test_a_job_is_named_by_the_cut_id_of_a_list(sosw: Installation, cli: Command) -> None:
    for job_id in ("nightly-1", "nightly-10", "hourly"):
        sosw.submit_photos(1, job_id=job_id)

    for beginning in ("hour…", "hour..."):
        for command in ("show", "cancel"):
            assert cli("jobs", command, beginning) == 0
        assert cli("tasks", "list", "--job", beginning, "--json") == 0
        assert {line["job_id"] for line in cli.json} == {"hourly"}
    assert cli("jobs", "show", "nightly-1", "--json") == 0, "a whole id is not a beginning"
    for beginning, problem in {
        "nightly…": "expected the beginning of a single job's id; so begin nightly-1, nightly-10",
        "weekly…": "expected the beginning of a job's id in ",
        "nightly": "expected the id of a job in ",
        "…": "expected the id of a job in ",
    }.items():
        assert cli("jobs", "show", beginning) == 2
        assert cli.err.startswith(f"sosw: job: '{beginning}' is refused; {problem}")


def test_a_terminal_of_80_columns_shows_jobs_with_generated_ids(sosw: Installation, cli: Command) -> None:
    job_id = "0e3c59b4-9f5c-4b0c-8a8e-0d1d7c2f6a11"
    sosw.submit_photos(1, job_id=job_id)

    header, line = cli.on_terminal(80, "jobs", "list")

    assert header.split() == ["JOB", "WORKER", "TASKS", "COMPLETED", "DEAD", "STATE"]
    assert line.split() == [job_id, "resize", "1", "0", "0", "open"]


def test_jobs_of_an_unknown_worker_are_refused(sosw: Installation, cli: Command) -> None:
    assert cli("jobs", "list", "--worker", "nope") == 2
    assert cli.err == "sosw: worker: 'nope' is refused; expected a registered Worker; known are: resize\n"
    assert cli("jobs", "list", "--worker", "resize") == 0
    assert (cli.out, cli.err) == ("", "No job passes the filters.\n")


@pytest.mark.parametrize("dead", [0, 1])
def test_a_job_whose_tasks_have_expired_is_shown_as_it_was_closed(sosw: Installation, cli: Command, dead: int) -> None:
    sosw.submit_photos(3, job_id="nightly")
    for event in dispatch(sosw)[:dead]:
        fail(sosw, event)
    for event in dispatch(sosw):
        complete(sosw, event)
    expire(sosw, "nightly")

    assert cli("jobs", "watch", "nightly") == dead

    assert cli.out.startswith("job nightly: 3 of 3 tasks closed: ")
    assert counts(cli, "show", "nightly") == {"completed": 3 - dead, "dead": dead, "cancelled": 0}
    assert cli.json[0]["job"] is None
    assert cli("jobs", "show", "nightly") == 0
    assert "\njob " not in cli.out


def counts(cli: Command, *command: str) -> dict[str, int]:
    """What `list` or `show` says of the one job."""
    assert cli("jobs", *command, "--json") == 0
    (line,) = cli.json
    return {outcome: line[outcome] for outcome in ("completed", "dead", "cancelled")}


def expire(sosw: Installation, job_id: str) -> None:
    """Delete what DynamoDB deletes once a job's completed tasks are old enough."""
    tables = sosw.tables
    for entry in closed_entries(tables, "resize", Status.COMPLETED):
        tables.client.delete_item(TableName=tables.closed_tasks, Key={"task_id": {"S": entry.task_id}})
    tables.client.delete_item(TableName=tables.registry, Key={"pk": {"S": "spec"}, "sk": {"S": job_id}})


def test_a_job_is_shown_as_it_was_asked_for(sosw: Installation, cli: Command) -> None:
    days = {"period": "last_5_days", "isolate_days": True}
    sosw.submit({"job": {"job_id": "nightly", "worker": "resize", "priority": 3, **days}})
    dispatch(sosw)

    assert cli("jobs", "show", "nightly", "--json") == 0

    (job,) = cli.json
    assert (job["total"], job["enqueued"], job["queued"], job["running"]) == (5, 5, 2, 3)
    assert job["job"]["period"] == "last_5_days"
    assert job["job"]["priority"] == 3
    assert cli("jobs", "show", "nightly") == 0
    assert "worker_id       resize\n" in cli.out


def test_a_job_with_a_payload_is_shown_as_it_was_asked_for(sosw: Installation, cli: Command) -> None:
    job = {"job_id": "nightly", "worker": "resize", "payload": {"period": "mine"}}
    sosw.submit({"job": job})

    assert cli("jobs", "show", "nightly", "--json") == 0

    assert cli.json[0]["job"] == job


def test_a_cancelled_job_ends_with_its_running_tasks(sosw: Installation, cli: Command) -> None:
    sosw.submit_photos(5, job_id="nightly")
    running = dispatch(sosw)

    assert cli("jobs", "cancel", "nightly") == 0

    assert cli.out == "cancelled: 2 of 2 tasks\n"
    for event in running:
        complete(sosw, event)
    assert dispatch(sosw) == []
    assert cli("jobs", "watch", "nightly") == 0
    assert cli.out == "job nightly: 5 of 5 tasks closed: 3 completed, 2 cancelled\n"


def test_cancelling_a_job_in_a_dry_run_changes_nothing(sosw: Installation, cli: Command) -> None:
    sosw.submit_photos(5, job_id="nightly")

    assert cli("jobs", "cancel", "nightly", "--dry-run") == 0

    assert (len(cli.out.splitlines()), cli.err) == (5, "5 tasks would be cancelled.\n")
    assert len(dispatch(sosw)) == 3


@pytest.fixture
def half_enqueued(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> Callable[[], object]:
    """A job of nine tasks, of which four are written: its Scheduler waits for what this gives it to go on with."""
    monkeypatch.setattr(scheduler, "WINDOW", 4)
    advance = stored_jobs.advance
    with monkeypatch.context() as patch:
        patch.setattr(stored_jobs, "advance", lambda *_: None)
        with pytest.raises(JobInterrupted):
            sosw.submit_photos(9, job_id="nightly")
    cursor = stored_jobs.cursor(sosw.tables, "nightly")
    assert cursor is not None

    def go_on() -> None:
        advanced = advance(sosw.tables, cursor, 4, cursor.lease_until)
        assert advanced is not None
        assert advanced.cancelled
        stored_jobs.release(sosw.tables, advanced)

    return go_on


def test_a_job_that_is_cancelled_while_it_is_enqueued_is_stopped_first(
    sosw: Installation,
    cli: Command,
    half_enqueued: Callable[[], object],
    between_looks: BetweenLooks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert cli("jobs", "cancel", "nightly", "--dry-run") == 0
    assert (
        cli.err
        == "4 tasks would be cancelled.\n9 tasks would never be queued, and count as cancelled within minutes.\n"
    )
    assert cli("jobs", "list", "--json") == 0
    assert cli.json[0]["state"] == "enqueuing"
    monkeypatch.setattr("sosw_runtime.cli.jobs.time.sleep", lambda _: half_enqueued())

    assert cli("jobs", "cancel", "nightly") == 0

    assert cli.out == "cancelled: 4 of 4 tasks\ncancelled: 0 of 0 tasks\n"
    first, last = cli.err.splitlines()
    assert first.startswith("The Scheduler is still at work on it, until 20")
    assert last == "5 tasks are not queued, and count as cancelled within minutes."
    assert cli("jobs", "list", "--json") == 0
    assert cli.json[0]["state"] == "cancelled"

    between_looks(sosw.tick_scavenger)
    assert cli("jobs", "watch", "nightly") == 0
    assert cli.out == "job nightly: 9 of 9 tasks closed: 9 cancelled\n"
    assert cli("jobs", "show", "nightly", "--json") == 0
    assert (cli.json[0]["state"], cli.json[0]["cancelled"]) == ("closed", 9)


class RejectedJobsQueue:
    """The queue of rejected jobs, filled as Lambda fills it."""

    def __init__(self, name: str) -> None:
        self._sqs = boto3.client("sqs")
        self._url = self._sqs.create_queue(QueueName=f"{name}_rejected_jobs")["QueueUrl"]

    def put(self, request_id: str, event: object, message: str, at: str = "2026-11-24T06:00:00.000Z") -> None:
        record = {
            "version": "1.0",
            "timestamp": at,
            "requestContext": {
                "requestId": request_id,
                "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:sosw_scheduler:$LATEST",
                "condition": "RetriesExhausted",
                "approximateInvokeCount": 3,
            },
            "requestPayload": event,
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "responsePayload": {
                "errorMessage": json.dumps({"error": "refused", "field": "worker", "message": message}),
                "errorType": "JobRefused",
            },
        }
        self._sqs.send_message(QueueUrl=self._url, MessageBody=json.dumps(record))

    def put_aside(self, body: str, **attributes: str) -> str:
        """As EventBridge does, and the Scheduler for messages of a queue; the message's id."""
        given: Any = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        answer = self._sqs.send_message(QueueUrl=self._url, MessageBody=body, MessageAttributes=given)
        return str(answer["MessageId"])

    def size(self) -> int:
        return len(self._sqs.receive_message(QueueUrl=self._url, VisibilityTimeout=0).get("Messages", []))


@pytest.fixture
def rejected(sosw: Installation) -> RejectedJobsQueue:
    return RejectedJobsQueue(sosw.name)


def test_a_rejected_job_is_taken_once_its_worker_is_registered(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command
) -> None:
    rejected.put("request-7", {"worker": "mail", "period": "yesterday"}, "worker: 'mail' is refused; no such Worker")

    assert cli("jobs", "redrive") == 1
    assert cli.out.startswith("request-7: worker: 'mail' is refused; ")
    assert cli.err == "0 jobs taken, 1 left in the queue.\n"

    sosw.register("mail")
    assert cli("jobs", "redrive", "--json") == 0
    assert cli.json == [{"job_id": "request-7", "taken": True, "reason": None}]
    assert rejected.size() == 0


def test_a_job_sent_again_has_the_days_and_the_id_of_the_first_time(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command
) -> None:
    for _ in range(2):  # delivered twice, and sent again twice
        rejected.put("request-7", {"job": {"worker": "resize", "period": "yesterday"}}, "", at="2024-03-01T06:00:00Z")
        assert cli("jobs", "redrive") == 0

    assert [event["date_list"] for event in dispatch(sosw)] == [["2024-02-29"]]
    assert cli("jobs", "show", "request-7", "--json") == 0


def test_a_dry_run_tells_the_reasons_and_leaves_the_jobs(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command
) -> None:
    rejected.put("request-7", {"worker": "resize"}, "worker: 'resize' is refused; no such Worker is registered")

    assert cli("jobs", "redrive", "--dry-run") == 0

    assert cli.out == "request-7: worker: 'resize' is refused; no such Worker is registered\n"
    assert rejected.size() == 1
    assert dispatch(sosw) == []


def test_a_job_leaves_the_queue_only_once_it_is_known_to_be_accepted(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command, lambdas: FakeLambda
) -> None:
    """Also of a Scheduler of an earlier version, whose `Unavailable` may be of a job that it accepted."""

    def fail(error: Exception) -> None:
        def handler(event: object) -> object:
            raise error

        lambdas.answer(f"{sosw.name}_scheduler", handler)

    rejected.put("request-7", {"worker": "resize"}, "")
    for error in (Unavailable("AWS is out"), Misconfigured("cannot be read"), RuntimeError("Task timed out")):
        fail(error)
        assert cli("jobs", "redrive") == 1
        assert str(error) in cli.out
        assert rejected.size() == 1

    fail(JobInterrupted({"job_id": "request-7", "tasks": 1, "first_start": 0}, "accepted"))
    assert cli("jobs", "redrive") == 0
    assert rejected.size() == 0


def test_a_job_is_not_lost_when_aws_fails_before_it_is_accepted(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejected.put("request-7", {"worker": "resize"}, "")
    with monkeypatch.context() as patch:
        patch.setattr("sosw_runtime.storage.registry.get_batches", out_for_tea)
        assert cli("jobs", "redrive") == 1
    assert rejected.size() == 1

    assert cli("jobs", "redrive") == 0
    assert [event["job_id"] for event in dispatch(sosw)] == ["request-7"]


def out_for_tea(*_: object, **__: object) -> None:
    raise Unavailable("1 reads were sent back")


RULE = "arn:aws:events:eu-west-1:123456789012:rule/sosw_job_nightly"
TARGET = "arn:aws:lambda:eu-west-1:123456789012:function:sosw_scheduler"
UNDELIVERED = {
    "RULE_ARN": RULE,
    "TARGET_ARN": TARGET,
    "ERROR_CODE": "NO_PERMISSIONS",
    "ERROR_MESSAGE": "not authorized",
}
SCHEDULED = {
    "version": "0",
    "id": "e-1",
    "detail-type": "Scheduled Event",
    "source": "aws.events",
    "time": "2024-03-01T03:00:00Z",
    "resources": [RULE],
    "detail": {},
}
JOB = {"worker": "resize", "period": "yesterday"}
#: As the `job` module writes it.
TEMPLATE = (
    '{"id": <id>, "time": <time>, "job": {"worker": "resize", "period": "yesterday", "note": "\\u003cid\\u003e"}}'
)


def apply(**target: Any) -> None:
    """Make the rule, with what its target makes of an event."""
    events = boto3.client("events")
    events.put_rule(Name="sosw_job_nightly", ScheduleExpression="rate(1 day)")
    events.put_targets(Rule="sosw_job_nightly", Targets=[{"Id": "1", "Arn": TARGET, **target}])


TRANSFORMED: dict[str, Any] = {
    "InputTransformer": {"InputPathsMap": {"id": "$.id", "time": "$.time"}, "InputTemplate": TEMPLATE}
}


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (TRANSFORMED, SCHEDULED),
        ({"Input": json.dumps(JOB)}, SCHEDULED),
        ({"InputPath": "$.detail"}, {**SCHEDULED, "detail": JOB}),
        ({}, {**SCHEDULED, "detail": {"job": JOB}}),
        (None, {**SCHEDULED, "detail": JOB}),
        (TRANSFORMED, {"id": "e-1", "time": "2024-03-01T03:00:00Z", "job": JOB}),
    ],
    ids=[
        "transformed",
        "constant",
        "by its path",
        "as it is",
        "of a rule that is gone",
        "as the target would have got it",
    ],
)
def test_an_undelivered_event_is_taken_as_its_rule_asks_for_it(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command, target: dict[str, Any] | None, body: object
) -> None:
    if target is not None:
        apply(**target)
    for _ in range(2):  # asked twice, it is one job
        rejected.put_aside(json.dumps(body), **UNDELIVERED)
        assert cli("jobs", "redrive") == 0
        assert cli.out == "e-1: taken\n"

    [event] = dispatch(sosw)
    assert (event["job_id"], event["date_list"]) == ("e-1", ["2024-02-29"])
    assert event.get("note") in {None, "<id>"}


def test_an_event_that_was_not_delivered_is_told_with_its_reason(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command
) -> None:
    rejected.put_aside(json.dumps(SCHEDULED), **UNDELIVERED)

    assert cli("jobs", "redrive", "--dry-run") == 0
    assert cli.out == "e-1: NO_PERMISSIONS: not authorized\n"
    assert cli("jobs", "redrive") == 1, "its rule is gone, and with it the job"
    assert cli.out.startswith("e-1: worker: None is refused; ")
    assert rejected.size() == 1


def test_a_message_whose_job_was_refused_is_taken_under_its_id(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command
) -> None:
    refusal = {"error": "refused", "field": "worker", "message": "worker: 'mail' is refused; no such Worker"}
    event = {"id": "m-1", "time": 1_709_262_000_000, "job": {**JOB, "worker": "mail"}}
    rejected.put_aside(json.dumps(event), ERROR_CODE="JobRefused", ERROR_MESSAGE=json.dumps(refusal))

    assert cli("jobs", "redrive", "--dry-run") == 0
    assert cli.out == "m-1: worker: 'mail' is refused; no such Worker\n"
    sosw.register("mail")
    assert cli("jobs", "redrive") == 0
    assert [(event["job_id"], event["date_list"]) for event in dispatch(sosw)] == [("m-1", ["2024-02-29"])]


def test_a_bare_job_is_taken_under_the_id_of_its_message(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command
) -> None:
    message_id = rejected.put_aside(json.dumps({**JOB, "id": 7, "time": "noon"}))

    assert cli("jobs", "redrive") == 0
    [event] = dispatch(sosw)
    assert (event["job_id"], event["id"], event["time"]) == (message_id, 7, "noon")


def test_what_is_no_job_at_all_stays_with_its_reason(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command
) -> None:
    message_id = rejected.put_aside("no JSON")

    assert cli("jobs", "redrive", "--dry-run") == 0
    assert cli.out == f"{message_id}: no reason is given\n"
    assert cli("jobs", "redrive") == 1
    assert cli.out.startswith(f"{message_id}: job: 'no JSON' is refused; ")
    assert rejected.size() == 1


@pytest.mark.parametrize(
    ("event", "job_id"),
    [
        ({"Records": [{"Sns": {"MessageId": "s-1", "Message": json.dumps(JOB)}}]}, "s-1"),
        (json.dumps({"job": JOB, "id": "e-1"}), "e-1"),
        (json.dumps(JOB), "request-7"),
        ({**JOB, "resume": "anna.pdf"}, "request-7"),
        ({"id": None, "job": json.dumps(JOB)}, "request-7"),
    ],
)
def test_a_rejected_event_of_any_form_is_sent_again_as_the_same_job(
    sosw: Installation, rejected: RejectedJobsQueue, cli: Command, event: object, job_id: str
) -> None:
    for _ in range(2):
        rejected.put("request-7", event, "", at="2024-03-01T06:00:00Z")
        assert cli("jobs", "redrive") == 0

    [task] = dispatch(sosw)
    assert (task["job_id"], task["date_list"]) == (job_id, ["2024-02-29"])
