"""`sosw status`: one screen of an installation, and what of it needs a person."""

from __future__ import annotations

import boto3
import pytest

from sosw_runtime import __version__
from sosw_runtime.storage import jobs
from tests.integration.cli.conftest import Command, dispatch, fail
from tests.support.builders import HOUR, MINUTE
from tests.support.installation import ESSENTIALS, Installation
from tests.support.lambdas import FakeLambda


@pytest.fixture(autouse=True)
def versions(sosw: Installation, lambdas: FakeLambda) -> None:
    """Every function is of the command's version."""
    for essential in ESSENTIALS:
        lambdas.configure(f"{sosw.name}_{essential}", {"SOSW_PINNED_VERSION": __version__})


def raise_alarm(name: str, namespace: str, dimensions: dict[str, str]) -> None:
    cloudwatch = boto3.client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name,
        Namespace=namespace,
        MetricName="m",
        Dimensions=[{"Name": key, "Value": value} for key, value in dimensions.items()],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=0,
    )
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="test")


def test_a_quiet_installation_needs_nobody(sosw: Installation, cli: Command) -> None:
    sosw.submit_photos(5, job_id="nightly")
    dispatch(sosw)
    sosw.clock.advance(2 * MINUTE)

    assert cli("status") == 0

    lines = cli.out.splitlines()
    assert lines[1:5] == [
        f"functions: {__version__}, all the same",
        "alarms on: 0",
        "jobs open: 1",
        "oldest queued task: of resize, for 2 min 0 s",
    ]
    assert lines[6].split() == ["WORKER", "QUEUED", "OLDEST", "RUNNING", "LIMIT", "HEALTH", "DEAD", "STATE"]
    assert lines[7].split() == ["resize", "2", "2", "min", "0", "s", "3", "3", "high", "0", "active"]
    assert lines[-1] == "Nothing needs a person."
    assert max(map(len, lines)) <= 80


def test_a_paused_worker_is_told_and_needs_nobody(sosw: Installation, cli: Command) -> None:
    cli("workers", "pause", "resize", "--reason", "the database moves")

    assert cli("status") == 0

    assert "resize: paused since 20" in cli.out
    assert cli("status", "--json") == 0
    assert (cli.json[0]["workers"][0]["state"], cli.json[0]["workers"][0]["allowed"]) == ("paused", 0)


def test_dead_tasks_need_a_person(sosw: Installation, cli: Command) -> None:
    sosw.submit_photos(2, job_id="nightly")
    for event in dispatch(sosw):
        fail(sosw, event)

    assert cli("status", "--json") == 1

    assert cli.json[0]["needs"] == ["2 dead tasks of resize: inspect, then replay or cancel them"]
    assert cli.json[0]["open_jobs"] == []


def test_alarms_of_this_installation_need_a_person(sosw: Installation, cli: Command) -> None:
    raise_alarm(f"{sosw.name}_dead_task", sosw.name, {"service": "scavenger"})
    raise_alarm(f"{sosw.name}_tick_failed", "AWS/Events", {"RuleName": f"{sosw.name}_tick"})
    raise_alarm(f"{sosw.name}_next_dead_task", f"{sosw.name}_next", {"service": "scavenger"})
    raise_alarm(f"{sosw.name}_next_tick_failed", "AWS/Events", {"RuleName": f"{sosw.name}_next_tick"})

    assert cli("status", "--json") == 1

    on = [f"{sosw.name}_dead_task", f"{sosw.name}_tick_failed"]
    assert [alarm["name"] for alarm in cli.json[0]["alarms"]] == on
    assert [need.split()[1] for need in cli.json[0]["needs"]] == on


def test_functions_of_another_version_need_a_person(sosw: Installation, cli: Command, lambdas: FakeLambda) -> None:
    lambdas.configure(f"{sosw.name}_scheduler", {"SOSW_VERSION": "0.1.0"})

    assert cli("status") == 1

    assert f"- {sosw.name}_scheduler is of version 0.1.0, this command of {__version__}" in cli.out.splitlines()


def test_what_may_not_be_read_is_told_and_needs_nobody(
    sosw: Installation, cli: Command, lambdas: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    lambdas.configure(f"{sosw.name}_scheduler", "AccessDeniedException")
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:1")

    assert cli("status") == 0

    told = "versions of the functions not known: GetFunctionConfiguration: AccessDeniedException"
    assert cli.out.splitlines()[1] == told
    assert cli.out.splitlines()[2].startswith("alarms not known: ")


def test_a_registration_that_cannot_be_read_needs_a_person(sosw: Installation, cli: Command) -> None:
    broken = {"pk": {"S": "worker"}, "sk": {"S": "broken"}, "spec": {"S": "{}"}}
    sosw.client.put_item(TableName=sosw.tables.registry, Item=broken)

    assert cli("status", "--json") == 1

    assert cli.json[0]["needs"][0].startswith("the registration of Worker 'broken' cannot be read")
    assert cli.json[0]["workers"][0]["state"] == "unreadable"


def test_a_job_that_nobody_resumes_needs_a_person(sosw: Installation, cli: Command) -> None:
    sosw.submit_photos(2, job_id="nightly")
    cursor = {"pk": {"S": "enqueuing"}, "sk": {"S": "nightly"}, "position": {"N": "1"}, "holder": {"S": "gone"}}
    sosw.client.put_item(TableName=sosw.tables.registry, Item={**cursor, "lease_until": {"N": str(sosw.clock.now)}})
    assert jobs.cursor(sosw.tables, "nightly") is not None
    assert cli("status") == 0
    sosw.clock.advance(HOUR)

    assert cli("status") == 1

    assert "- job nightly is not wholly enqueued, and nobody resumes it since 20" in cli.out


def test_a_watch_refreshes_until_it_is_interrupted(
    sosw: Installation, cli: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([None])

    def rest(seconds: float) -> None:
        assert seconds >= 10
        if next(looks, "over") == "over":
            raise KeyboardInterrupt

    monkeypatch.setattr("sosw_runtime.cli.status.time.sleep", rest)

    assert cli("status", "--watch", "--json") == 130

    assert [seen["name"] for seen in cli.json] == [sosw.name, sosw.name]
