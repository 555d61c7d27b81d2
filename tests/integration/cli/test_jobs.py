"""`sosw jobs` against real tables: a job is taken, watched and ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sosw_runtime.cli.app import run
from tests.integration.cli.conftest import Command, Installation

BetweenLooks = Callable[[Callable[[], object]], None]


@pytest.fixture
def between_looks(monkeypatch: pytest.MonkeyPatch) -> BetweenLooks:
    """Has something happen whenever a watch rests."""

    def have(happen: Callable[[], object]) -> None:
        monkeypatch.setattr("sosw_runtime.cli.watch.time.sleep", lambda _: happen())

    return have


def test_a_submitted_job_is_enqueued_and_told(installation: Installation, sosw: Command, tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"job_id": "nightly", "worker": "resize", "period": "last_5_days", "isolate_days": True}))

    assert sosw("jobs", "submit", job) == 0

    assert sosw.out.startswith("job nightly: 5 tasks, the first may start at 20")
    assert len(installation.dispatch()) == 3


def test_a_submitted_job_that_the_scheduler_refuses_enqueues_nothing(
    installation: Installation, sosw: Command, tmp_path: Path
) -> None:
    job = tmp_path / "job.json"
    job.write_text(json.dumps({"job_id": "nightly", "worker": "resise"}))

    assert sosw("jobs", "submit", job) == 2

    assert (sosw.out, len(sosw.err.splitlines())) == ("", 1)
    assert sosw.err.startswith("sosw: worker: 'resise' is refused; ")
    assert installation.dispatch() == []


def test_a_watch_ends_with_the_job(installation: Installation, sosw: Command, between_looks: BetweenLooks) -> None:
    installation.take("nightly", tasks=5)
    installation.dispatch()
    between_looks(lambda: installation.complete(installation.dispatch()[0]))

    assert sosw("jobs", "watch", "nightly") == 0

    assert sosw.out == "job nightly: 5 of 5 tasks closed: 5 completed\n"
    assert sosw.err.splitlines()[0] == "0 of 5 tasks closed: 2 queued, 3 running"
    assert len(sosw.err.splitlines()) == 6


def test_a_watch_of_a_job_with_a_dead_task_is_exit_code_1(
    installation: Installation, sosw: Command, between_looks: BetweenLooks
) -> None:
    installation.take("nightly", tasks=2)
    first, second = installation.dispatch()

    def end_both() -> None:
        installation.complete(first)
        installation.fail(second)

    between_looks(end_both)

    assert sosw("jobs", "watch", "nightly", "--json") == 1

    begun, ended = sosw.json
    assert (begun["running"], begun["completed"], begun["dead"]) == (2, 0, 0)
    assert (ended["total"], ended["running"], ended["completed"], ended["dead"]) == (2, 0, 1, 1)


def test_a_job_that_starts_later_is_seen_waiting_and_ends_when_it_is_cancelled(
    installation: Installation, sosw: Command, between_looks: BetweenLooks
) -> None:
    installation.take("later", tasks=2, start_at="2099-01-01T00:00:00Z")
    between_looks(lambda: run(["tasks", "cancel", "--job", "later"]))

    assert sosw("jobs", "watch", "later") == 0

    assert sosw.err.splitlines()[0] == "0 of 2 tasks closed: 2 waiting"
    assert sosw.out == "cancelled: 2 of 2 tasks\njob later: 2 of 2 tasks closed: 2 cancelled\n"


def test_an_unknown_job_is_refused(installation: Installation, sosw: Command) -> None:
    assert sosw("jobs", "watch", "nightly") == 2

    registry = f"{installation.tables.name}_registry"
    assert sosw.err == f"sosw: job: 'nightly' is refused; expected the id of a job in {registry}\n"


def test_a_watch_of_an_installation_that_is_not_there_is_exit_code_3(installation: Installation, sosw: Command) -> None:
    assert sosw("jobs", "watch", "nightly", "--name", "elsewhere") == 3

    assert sosw.err.startswith("sosw: AWS: GetItem: ResourceNotFoundException: ")
    assert sosw.err.endswith("; check --name (or SOSW_NAME), the account and the region\n")
    assert len(sosw.err.splitlines()) == 1
