"""The life of an installation, in the order in which a team sees it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import date

import pytest
from examples.complete import build, demo
from examples.complete.outcome import Plan, day_of, deviations

from sosw_runtime.domain.task import Move, Task
from tests.end_to_end.conftest import Deployment, eventually
from tests.support.ministack import ministack

#: Ten days with the station down on one, a Worker killed on another and one row damaged.
PLAN = Plan(date(2012, 10, 7), 10, (7,), kills_on="2012-10-09", damaged_day=build.DAMAGED_DAY)

#: The lease of a task in the example: 60 s for AWS, 60 s for the Worker, 30 s of grace.
LEASE_MS = 150_000


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The complete example, applied once."""
    packages = demo.essentials_package(), build.build()
    with ministack("end-to-end") as aws:
        terraform = demo.apply(tmp_path_factory.mktemp("complete"), aws, PLAN, *packages)
        yield Deployment(aws, terraform, terraform.output())


def test_a_job_runs_to_its_end_and_every_task_is_accounted_for(deployment: Deployment) -> None:
    worker = deployment.outputs["worker_ids"]["collect"]
    job_id = demo.submit(deployment.aws, PLAN, worker)
    demo.watch(deployment.aws, job_id)
    evidence = demo.collect(deployment.aws, worker, deployment.outputs["alarm_queue_url"], dead=1)

    assert deviations(PLAN, evidence) == []
    [killed] = [task for task in evidence.closed if day_of(task) == PLAN.kills_on]
    assert _ms_from_start_to_retry(killed) < LEASE_MS / 2, "a crash is told by Lambda, not by the end of the lease"


def test_a_second_plan_is_empty(deployment: Deployment) -> None:
    # The emulator does not give alarms back as they were made.
    changes = [change for change in deployment.terraform.plan() if "aws_cloudwatch_metric_alarm" not in change.address]

    assert changes == []


def test_a_job_for_an_unknown_worker_is_refused_in_one_line(deployment: Deployment) -> None:
    before = _tasks(deployment)
    refused = _sosw(deployment, "jobs", "submit", "-", stdin='{"worker": "nobody", "period": "yesterday"}')

    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "worker: 'nobody' is refused" in refused.stderr
    assert _tasks(deployment) == before


def test_a_wrong_asynchronous_job_waits_among_the_rejected_ones(
    deployment: Deployment,
) -> None:
    job = {"worker": deployment.outputs["worker_ids"]["collect"], "period": "last_wek"}
    function = f"{demo.NAME}_scheduler"
    lambda_ = deployment.client("lambda")
    # Lambda itself would try twice more, after one and two minutes.
    configured = lambda_.get_function_event_invoke_config(FunctionName=function)["DestinationConfig"]
    lambda_.put_function_event_invoke_config(
        FunctionName=function, MaximumRetryAttempts=0, DestinationConfig=configured
    )
    lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(job).encode())

    sqs = deployment.client("sqs")
    queue_url = sqs.get_queue_url(QueueName=f"{demo.NAME}_rejected_jobs")["QueueUrl"]
    [message] = eventually(lambda: sqs.receive_message(QueueUrl=queue_url, WaitTimeSeconds=1).get("Messages", []))
    rejected = json.loads(message["Body"])
    assert rejected["requestPayload"] == job
    assert json.loads(rejected["responsePayload"]["errorMessage"])["field"] == "period"


def test_a_function_whose_package_is_not_the_pinned_version_works(deployment: Deployment) -> None:
    lambda_ = deployment.client("lambda")
    function = f"{demo.NAME}_worker_assistant"
    environment = lambda_.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    lambda_.update_function_configuration(
        FunctionName=function, Environment={"Variables": {**environment, "SOSW_PINNED_VERSION": "99.0.0"}}
    )
    report = {"action": "mark_task_as_completed", "task_id": "of no job"}
    answer = lambda_.invoke(FunctionName=function, Payload=json.dumps(report).encode())

    assert json.loads(answer["Payload"].read())["state"] == "unknown"


def test_it_is_taken_down_without_a_trace(deployment: Deployment) -> None:
    deployment.terraform.destroy()

    assert deployment.client("dynamodb").list_tables()["TableNames"] == []
    assert deployment.client("lambda").list_functions()["Functions"] == []


def _ms_from_start_to_retry(task: Task) -> int:
    claimed = next(entry.at for entry in task.history if entry.move is Move.CLAIM)
    return next(entry.at for entry in task.history if entry.move is Move.RETRY) - claimed


def _tasks(deployment: Deployment) -> int:
    scan = deployment.client("dynamodb").scan(TableName=f"{demo.NAME}_tasks", Select="COUNT", ConsistentRead=True)
    return int(scan["Count"])


def _sosw(deployment: Deployment, *arguments: str, stdin: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [demo.executable("sosw"), *arguments],
        env=demo.environment(deployment.aws),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
