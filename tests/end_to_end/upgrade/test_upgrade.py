"""The release before is applied, then this one, then the one before again, while Workers run and report without pause.

AWS changes a function's configuration first and its code some seconds later, and Terraform goes from function to
function: for a minute each mix of the two releases is at work. Here it takes as long, in an order that was drawn once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.conftest import Deployment, eventually
from tests.end_to_end.upgrade.load import NAME, NUMBERS, Load
from tests.end_to_end.upgrade.release import Release, release_before, this_release
from tests.end_to_end.upgrade.worker import FAILS_ONCE
from tests.support.ministack import MiniStack, ministack
from tests.support.terraform import Change, Terraform, compatible_copy, use_emulator

MAX_CONCURRENCY: Final = 2
WORKERS: Final = {"before": "by_code", "this": "by_code", "destination": "by_destination"}

#: From the change of a function's configuration to that of its code.
UPDATE_SECONDS: Final = 10

#: The WorkerAssistant is the first both ways: it is newer than the Orchestrator once, and older once.
UPGRADE: Final = ("worker_assistant", "scavenger", "orchestrator", "scheduler")
ROLL_BACK: Final = ("worker_assistant", "scheduler", "orchestrator", "scavenger")

#: Until tasks of every Worker are queued, running and waiting; a tenth of it on two idle cores.
BUSY_SECONDS: Final = 180

#: Longer than a lease (60 s for AWS, 120 s for the Worker, 30 s of grace), a retry and a tick.
END_SECONDS: Final = 420


@dataclass(frozen=True)
class Story:
    """What was seen, and what is in the tables at the end."""

    load: Load
    second_plans: dict[str, list[Change]]  # after each release was applied
    live: list[dict[str, Any]]  # tasks that are not closed
    closed: list[dict[str, Any]]
    registry: list[dict[str, Any]]
    runs: list[dict[str, Any]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    scratch = tmp_path_factory.mktemp("upgrade")
    before, this = release_before(), this_release()
    packages = {
        "before": before.workers_package(scratch),
        "this": this.workers_package(scratch),
        "destination": this.workers_package(scratch),
    }
    workers = {name: {"package": str(packages[name]), "handler": f"worker.{WORKERS[name]}"} for name in WORKERS}
    second_plans = {}
    with ministack("upgrade", update_seconds=UPDATE_SECONDS) as aws:
        applied = {release: _terraform(release, scratch, aws, workers) for release in (before, this)}
        applied[before].apply()
        deployment = Deployment(aws, applied[before], applied[before].output())
        with Load(deployment, deployment.outputs["worker_ids"]) as load:
            load.wait_until_busy(BUSY_SECONDS)
            for release, essentials in ((this, UPGRADE), (before, ROLL_BACK)):
                for essential in essentials:
                    load.begin(f"to {release.version}: {essential}")
                    applied[release].apply(f"module.sosw.module.{essential}")
                    load.wait_until_busy(BUSY_SECONDS)
                load.begin(f"to {release.version}: the rest")
                applied[release].apply()
                load.wait_until_busy(BUSY_SECONDS)
                second_plans[release.version] = applied[release].plan()
        eventually(load.is_over, END_SECONDS)
        yield Story(
            load=load,
            second_plans=second_plans,
            live=[*load.scan(f"{NAME}_tasks"), *load.scan(f"{NAME}_retry_tasks")],
            closed=load.scan(f"{NAME}_closed_tasks"),
            registry=load.scan(f"{NAME}_registry"),
            runs=load.scan("runs"),
        )


def _terraform(release: Release, scratch: Path, aws: MiniStack, workers: dict[str, dict[str, str]]) -> Terraform:
    """The configuration with a release's modules, on a state that both share."""
    copied = compatible_copy(release.tree, scratch / release.version, cached_as=release.cached_as)
    directory = copied / release.configuration
    use_emulator(directory, aws.endpoint)
    backend = {"terraform": {"backend": {"local": {"path": str(scratch / "terraform.tfstate")}}}}
    (directory / "backend_override.tf.json").write_text(json.dumps(backend))
    variables = {
        "runtime": {"package": str(release.package()), "version": release.version},
        "workers": workers,
        "max_concurrency": MAX_CONCURRENCY,
    }
    terraform = Terraform(directory, variables=variables, environment=aws.environment)
    terraform.init()
    return terraform


def test_tasks_are_queued_running_and_waiting_in_every_step(story: Story) -> None:
    busy = {(sample.step, sample.worker_id) for sample in story.load.samples if sample.is_busy}

    assert [(step, worker) for step in story.load.steps for worker in WORKERS if (step, worker) not in busy] == []


def test_every_job_is_accepted_and_closed(story: Story) -> None:
    jobs = {item["sk"]: item for item in story.registry if item["pk"] == "job"}

    assert story.load.refused == []
    assert jobs.keys() == story.load.jobs.keys()
    assert [job for job in jobs.values() if "closed_at" not in job or job["completed"] != NUMBERS] == []


def test_every_task_is_completed_and_none_is_lost(story: Story) -> None:
    tasks = Counter((task["job_id"], _number(task), task["status"]) for task in story.closed)

    assert story.live == []
    assert tasks == Counter((job_id, number, "completed") for job_id in story.load.jobs for number in range(NUMBERS))


def test_no_attempt_is_wasted(story: Story) -> None:
    assert [task for task in story.closed if task["attempt"] != _attempts_meant(_number(task))] == []


def test_no_task_runs_more_often_than_it_is_meant_to(story: Story) -> None:
    meant = {task["task_id"]: _attempts_meant(_number(task)) for task in story.closed}

    assert Counter(run["task_id"] for run in story.runs) == Counter(meant)


def test_no_limit_is_passed(story: Story) -> None:
    for worker in WORKERS:
        changes = [(run["began_at"], 1) for run in story.runs if run["worker_id"] == worker]
        changes += [(run["ended_at"], -1) for run in story.runs if run["worker_id"] == worker and "ended_at" in run]
        running = [sum(change for _, change in sorted(changes)[:end]) for end in range(len(changes) + 1)]
        assert max(running) <= MAX_CONCURRENCY
    assert max(sample.slots for sample in story.load.samples) <= MAX_CONCURRENCY


def test_no_slot_is_left_occupied(story: Story) -> None:
    assert [item for item in story.registry if item["pk"].startswith("slots#")] == []


def test_what_was_applied_is_not_planned_again(story: Story) -> None:
    # The emulator does not give alarms back as they were made.
    changes = {
        version: [change for change in plan if "aws_cloudwatch_metric_alarm" not in change.address]
        for version, plan in story.second_plans.items()
    }

    assert changes == {version: [] for version in changes}


def _number(task: dict[str, Any]) -> int:
    [number] = json.loads(task["payload"])["numbers"]
    return int(number)


def _attempts_meant(number: int) -> int:
    return 2 if number % FAILS_ONCE == 0 else 1
