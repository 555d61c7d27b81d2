"""`sosw workers` against real tables: listed, paused and resumed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sosw_runtime.domain.health import Level
from sosw_runtime.storage import registry
from tests.integration.cli.conftest import Command, dispatch
from tests.support.installation import Installation


@pytest.fixture
def two_workers(sosw: Installation) -> Installation:
    sosw.register("mail", max_concurrency=8)
    sosw.submit_photos(5, job_id="nightly")
    dispatch(sosw)
    return sosw


def test_workers_are_listed_with_what_they_are_allowed_and_do(two_workers: Installation, cli: Command) -> None:
    mail = registry.find_workers(two_workers.tables, ["mail"])["mail"]
    registry.put_health(two_workers.tables, replace(mail, health={"database": Level.LOW}))

    assert cli("workers", "list", "--json") == 0

    line, resize = cli.json
    assert (line["worker_id"], line["max_concurrency"], line["health"], line["allowed"]) == ("mail", 8, "low", 4)
    assert (resize["running"], resize["queued"], resize["paused"]) == (3, 2, False)


def test_a_label_narrows_the_list(two_workers: Installation, cli: Command) -> None:
    assert cli("workers", "list", "--label", "team=media") == 0

    header, line = cli.out.splitlines()
    assert header.split() == ["WORKER", "LIMIT", "HEALTH", "ALLOWED", "RUNNING", "QUEUED", "STATE"]
    assert line.split() == ["resize", "3", "high", "3", "3", "2", "active"]


def test_a_paused_worker_starts_nothing_and_keeps_its_queue(sosw: Installation, cli: Command) -> None:
    sosw.submit_photos(5, job_id="nightly")

    assert cli("workers", "pause", "resize", "--reason", "database moves") == 0
    assert cli.out == "resize paused\n"

    assert dispatch(sosw) == []
    cli("workers", "list")
    assert "paused since 20" in cli.out
    assert cli.out.rstrip().endswith(": database moves")

    assert cli("workers", "resume", "resize") == 0
    assert cli.out == "resize resumed\n"
    assert len(dispatch(sosw)) == 3


def test_who_paused_a_worker_is_known_until_another_version_pauses_it(sosw: Installation, cli: Command) -> None:
    cli("workers", "pause", "resize")
    paused = registry.find_workers(sosw.tables, ["resize"])["resize"].control
    assert paused.by is not None

    sosw.client.update_item(  # as version 0.1.0 does
        TableName=sosw.tables.registry,
        Key={"pk": {"S": "control"}, "sk": {"S": "resize"}},
        UpdateExpression="SET since = :since",
        ExpressionAttributeValues={":since": {"N": "1"}},
    )

    assert registry.find_workers(sosw.tables, ["resize"])["resize"].control == replace(paused, since=1, by=None)


def test_workers_are_paused_by_label(two_workers: Installation, cli: Command) -> None:
    assert cli("workers", "pause", "--label", "team=media", "--json") == 0

    assert cli.json == [{"worker_id": "resize", "paused": True, "changed": True}]


def test_labels_that_no_worker_has_are_told(two_workers: Installation, cli: Command) -> None:
    for command in ("list", "pause", "resume"):
        assert cli("workers", command, "--label", "team=none") == 0
        assert (cli.out, cli.err) == ("", "No Worker has the labels.\n")


def test_a_terminal_of_80_columns_shows_a_long_reason(two_workers: Installation, cli: Command) -> None:
    cli("workers", "pause", "mail", "--reason", "the database moves to another region until Monday noon")

    header, *rows = cli.on_terminal(80, "workers", "list")

    assert header.split() == ["WORKER", "LIMIT", "HEALTH", "ALLOWED", "RUNNING", "QUEUED", "STATE"]
    assert max(map(len, rows)) <= 80
    reason = " ".join(" ".join(row[header.index("STATE") :].strip() for row in rows).split())
    assert "the database moves to another region until Monday noon" in reason


def test_a_second_pause_changes_nothing(two_workers: Installation, cli: Command) -> None:
    cli("workers", "pause", "mail", "--reason", "first")

    assert cli("workers", "pause", "mail", "--reason", "second") == 0

    assert cli.out == "mail is paused already\n"
    assert registry.find_workers(two_workers.tables, ["mail"])["mail"].control.reason == "first"


def test_a_dry_run_pauses_nothing(two_workers: Installation, cli: Command) -> None:
    assert cli("workers", "pause", "mail", "--dry-run") == 0

    assert cli.out == "mail would be paused\n"
    assert not registry.find_workers(two_workers.tables, ["mail"])["mail"].control.paused


@pytest.mark.parametrize("arguments", [[], ["mail", "--label", "team=media"]])
def test_workers_are_named_or_labelled(arguments: list[str], two_workers: Installation, cli: Command) -> None:
    assert cli("workers", "pause", *arguments) == 2

    assert "expected ids of Workers, or --label" in cli.err


def test_an_unknown_worker_is_refused_and_none_is_paused(two_workers: Installation, cli: Command) -> None:
    assert cli("workers", "pause", "mail", "mial") == 2

    assert cli.err == ("sosw: worker: 'mial' is refused; expected a registered Worker; known are: mail, resize\n")
    assert not registry.find_workers(two_workers.tables, ["mail"])["mail"].control.paused


def test_a_registration_that_cannot_be_read_is_told(two_workers: Installation, cli: Command) -> None:
    two_workers.tables.client.put_item(
        TableName=two_workers.tables.registry,
        Item={"pk": {"S": "worker"}, "sk": {"S": "broken"}, "spec": {"S": "{}"}},
    )

    assert cli("workers", "list", "--json") == 0

    broken = next(line for line in cli.json if line["worker_id"] == "broken")
    assert broken["problem"].startswith("the registration of Worker 'broken' cannot be read")
