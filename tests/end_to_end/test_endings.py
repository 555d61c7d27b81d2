"""However a Worker's attempt ends, Lambda tells of it and the task is tried again, long before the lease is over."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
from examples.complete import demo

import sosw_runtime
from sosw_runtime.domain.registration import Registration
from sosw_runtime.domain.task import Entry, Move, Status, Task
from sosw_runtime.storage import registry
from sosw_runtime.storage.items import to_task
from sosw_runtime.storage.tables import Tables
from tests.end_to_end.conftest import Deployment, eventually
from tests.support.cache import ROOT
from tests.support.ministack import ministack
from tests.support.terraform import Terraform, compatible_copy, use_emulator

ENDINGS = ROOT / "tests" / "end_to_end" / "endings"

#: What the emulator's Lambda says of each ending; to it a killed process is one that exits.
SAID = {
    "raise": "Runtime.HandlerError: raised on purpose",
    "exit": "Runtime.HandlerError: Worker process died",
    "run_out_of_memory": "Runtime.HandlerError: Worker process died",
    "run_out_of_time": "Sandbox.Timedout: Task timed out after 5.00 seconds",
}


@dataclass(frozen=True)
class Outcome:
    """What became of the job."""

    registration: Registration
    tasks: Mapping[str, Task]  # by the ending of their first attempt


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The Worker of `endings`, applied once; its package holds nothing but its own file."""
    scratch = tmp_path_factory.mktemp("endings")
    package = scratch / "worker.zip"
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(ENDINGS / "worker.py", "worker.py")
    variables = {
        "runtime": {"package": str(demo.essentials_package()), "version": sosw_runtime.__version__},
        "worker_package": str(package),
    }
    with ministack("endings") as aws:
        directory = compatible_copy(ROOT, scratch / "tree") / ENDINGS.relative_to(ROOT)
        use_emulator(directory, aws.endpoint)
        terraform = Terraform(directory, variables=variables, environment=aws.environment)
        terraform.init()
        terraform.apply()
        yield Deployment(aws, terraform, terraform.output())


@pytest.fixture(scope="module")
def outcome(deployment: Deployment) -> Outcome:
    """One job with a task for each ending, run to its end."""
    worker = deployment.outputs["worker_id"]
    job = {"worker": worker, "isolate_endings": True, "endings": list(SAID)}
    demo.sosw("jobs", "submit", "-", aws=deployment.aws, stdin=json.dumps(job))
    tables, lambda_ = Tables.with_client(deployment.client("dynamodb"), demo.NAME), deployment.client("lambda")

    def all_closed() -> bool:
        # What waits is queued again on the Scavenger's tick, which comes every minute by itself.
        lambda_.invoke(FunctionName=f"{demo.NAME}_scavenger", Payload=b"{}")
        return sum(1 for _ in demo.scan(tables, tables.closed_tasks)) == len(SAID)

    eventually(all_closed)
    wherever = (tables.tasks, tables.retry_tasks, tables.closed_tasks)
    tasks = [to_task(item) for table in wherever for item in demo.scan(tables, table)]
    return Outcome(
        registry.find_workers(tables, [worker])[worker].valid_registration, {_ending(task): task for task in tasks}
    )


@pytest.mark.parametrize("ending", SAID)
def test_the_task_completes_on_its_second_attempt(ending: str, outcome: Outcome) -> None:
    task = outcome.tasks[ending]

    assert (task.status, task.attempt) == (Status.COMPLETED, 2)
    assert [(entry.move, entry.attempt) for entry in task.history] == [
        (Move.ENQUEUE, 0),
        (Move.CLAIM, 1),
        (Move.REPORT, 1),
        (Move.RETRY, 1),
        (Move.REQUEUE, 1),
        (Move.CLAIM, 2),
        (Move.REPORT, 2),
        (Move.ARCHIVE, 2),
    ]


@pytest.mark.parametrize("ending", SAID)
def test_the_failure_is_reported_and_retried_in_a_fraction_of_the_lease(ending: str, outcome: Outcome) -> None:
    task = outcome.tasks[ending]
    report, retry = _first(task, Move.REPORT), _first(task, Move.RETRY)

    assert report.reason == Status.FAILED
    assert retry.at - _first(task, Move.CLAIM).at < outcome.registration.lease_ms / 20


@pytest.mark.parametrize(("ending", "said"), SAID.items())
def test_what_lambda_said_of_it_is_kept(ending: str, said: str, outcome: Outcome) -> None:
    task = outcome.tasks[ending]

    assert _first(task, Move.RETRY).reason == said


def _ending(task: Task) -> str:
    [ending] = json.loads(task.payload)["endings"]
    return str(ending)


def _first(task: Task, move: Move) -> Entry:
    return next(entry for entry in task.history if entry.move is move)
