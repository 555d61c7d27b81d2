"""Configurations of sosw 0.7, among them those that it publishes, become Terraform that can be applied."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hcl2
import pytest

import sosw_runtime
from sosw_runtime.cli.app import run
from sosw_runtime.cli.import_config import convert
from sosw_runtime.errors import Refused

ACCOUNT = "arn:aws:lambda:us-west-2:000000000000:function"

#: Published with sosw 0.7: the Essentials' template, and configurations of two Essentials and of the tutorial's Worker.
ESSENTIALS = {"labourers": {"sosw_sandbox": {"max_simultaneous_invocations": 5, "arn": f"{ACCOUNT}:sosw_sandbox"}}}
SCHEDULER = {
    "dynamo_db_config": {"table_name": "sosw_tasks"},
    "job_schema": {"chunkable_attrs": [["topic", {}], ["word", {}]]},
    "queue_bucket": "sosw-s3-000000000000",
    "task_config": {"labourers": {"sosw_sandbox": {"arn": f"{ACCOUNT}:sosw_sandbox"}}},
}
TUTORIAL = {
    "task_config": {
        "labourers": {
            "sosw_tutorial_pull_tweeter_hashtags": {
                "max_simultaneous_invocations": 3,
                "arn": f"{ACCOUNT}:sosw_tutorial_pull_tweeter_hashtags",
            }
        }
    }
}
#: The Orchestrator's and the Scheduler's page; the account there has ten digits.
CPU = {
    "details": {
        "Name": "CPUUtilization",
        "Namespace": "AWS/RDS",
        "Period": 60,
        "Statistics": ["Average"],
        "Dimensions": [{"Name": "DBInstanceIdentifier", "Value": "YOUR-DB"}],
    },
    "feelings": {"3": 50, "4": 25},
    "feeling_comparison_operator": "<=",
}
ORCHESTRATOR = {
    "task_config": {
        "dynamo_db_config": {"table_name": "sosw_tasks", "index_greenfield": "sosw_tasks_greenfield"},
        "sosw_closed_tasks_table": "sosw_closed_tasks",
        "ecology_config": {},
        "labourers": {
            "some_function": {
                "arn": "arn:aws:lambda:us-west-2:737060422660:function:some_function",
                "max_simultaneous_invocations": 10,
                "health_metrics": {"SomeDBCPU": CPU},
            }
        },
    }
}
SCHEDULER_PAGE = {
    "queue_bucket": "some-bucket",
    "task_config": {
        "labourers": {
            "some_function": {
                "arn": "arn:aws:lambda:us-west-2:0000000000:function:some_function",
                "max_simultaneous_invocations": 10,
            }
        }
    },
    "job_schema": {},
    "job_schema_variants": {"default": {"chunkable_attrs": [["section", {}], ["store", {}], ["product", {}]]}},
}


def text(*configs: dict[str, Any]) -> str:
    """The Terraform configuration."""
    return convert([json.dumps(config) for config in configs], "./sosw")


def terraform(*configs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The modules and the locals of the Terraform configuration, by label."""
    document = hcl2.loads(text(*configs) + "\n")
    blocks = {label.strip('"'): body for block in document["module"] for label, body in block.items()}
    return {**blocks, "locals": document.get("locals", [{}])[0]}


def labourer(**settings: object) -> dict[str, Any]:
    return {"labourers": {"some_function": settings}}


def test_the_essentials_come_with_the_workers() -> None:
    root = terraform(TUTORIAL)["sosw"]

    assert root["runtime"]["version"] == f'"{sosw_runtime.__version__}"'
    assert sosw_runtime.__version__ in root["runtime"]["package"]


def test_a_worker_is_as_its_function_and_its_limit_say() -> None:
    assert text(TUTORIAL).endswith(
        """
data "aws_lambda_function" "sosw_tutorial_pull_tweeter_hashtags" {
  function_name = "arn:aws:lambda:us-west-2:000000000000:function:sosw_tutorial_pull_tweeter_hashtags"
}

module "sosw_tutorial_pull_tweeter_hashtags" {
  source          = "./sosw/modules/worker"
  orchestrator    = module.sosw.orchestrator
  function_name   = "arn:aws:lambda:us-west-2:000000000000:function:sosw_tutorial_pull_tweeter_hashtags"
  role_name       = reverse(split("/", data.aws_lambda_function.sosw_tutorial_pull_tweeter_hashtags.role))[0]
  timeout_seconds = data.aws_lambda_function.sosw_tutorial_pull_tweeter_hashtags.timeout
  max_concurrency = 3
  require_token   = false
}"""
    )


@pytest.mark.parametrize("configs", [(ESSENTIALS,), (ORCHESTRATOR, TUTORIAL), (SCHEDULER_PAGE,)])
def test_no_worker_has_to_report_a_token(configs: tuple[dict[str, Any], ...]) -> None:
    modules = terraform(*configs)
    workers = {label: body for label, body in modules.items() if label not in {"sosw", "locals"}}

    assert workers
    assert {label: worker["require_token"] for label, worker in workers.items()} == dict.fromkeys(workers, False)


@pytest.mark.parametrize("config", [ESSENTIALS, {"task_config": ESSENTIALS}, {"task_client_config": ESSENTIALS}])
def test_labourers_are_found_where_sosw_finds_them(config: dict[str, Any]) -> None:
    assert terraform(config)["sosw_sandbox"]["max_concurrency"] == 5


def test_several_configurations_are_one() -> None:
    modules = terraform(ESSENTIALS, SCHEDULER, TUTORIAL)

    assert modules["sosw_sandbox"]["max_concurrency"] == 5
    assert modules["sosw_tutorial_pull_tweeter_hashtags"]["max_concurrency"] == 3
    assert modules["sosw_sandbox"]["job_schemas"] == "${local.job_schemas}"
    assert modules["locals"]["job_schemas"] == {"default": {"chunkable_attrs": ['"topic"', '"word"']}}


def test_job_schema_variants_keep_their_names() -> None:
    variants = {"job_schema_variants": {"news": {"chunkable_attrs": [["topic", {}]]}, "none": {"chunkable_attrs": []}}}

    schemas = terraform(SCHEDULER_PAGE, variants)["locals"]["job_schemas"]

    assert schemas["default"] == {"chunkable_attrs": ['"section"', '"store"', '"product"']}
    assert schemas["news"] == {"chunkable_attrs": ['"topic"']}
    assert schemas.keys() == {"default", "news"}


def test_feelings_become_levels() -> None:
    (name, metric), *_ = terraform(ORCHESTRATOR)["some_function"]["health_metrics"].items()

    assert name == "SomeDBCPU"
    assert metric["namespace"] == '"AWS/RDS"'
    assert metric["metric_name"] == '"CPUUtilization"'
    assert metric["dimensions"] == {"DBInstanceIdentifier": '"YOUR-DB"'}
    assert list(metric["levels"].items()) == [('"4"', 25), ('"3"', 50)]
    assert "better" not in metric


def test_a_metric_that_is_better_high_says_so() -> None:
    metric = {
        "details": {
            "MetricName": "FreeStorageSpace",
            "Namespace": "AWS/RDS",
            "Period": 10,
            "Statistics": ["Minimum"],
            "MetricAggregationTimeSlice": 300,
        },
        "feelings": {"4": 2.5, "1": 1, "0": 0},
        "feeling_comparison_operator": "ge",
    }
    written = text(labourer(health_metrics={"space": metric}))

    (found,) = terraform(labourer(health_metrics={"space": metric}))["some_function"]["health_metrics"].values()
    assert (found["better"], found["statistic"], found["levels"]) == ('"high"', '"Minimum"', {'"4"': 2.5, '"1"': 1})
    assert "# The period of health metric space was 10 s; whole minutes are read." in written
    assert "# Not taken over of details of health metric space: MetricAggregationTimeSlice." in written


@pytest.mark.parametrize(
    ("config", "attempts"),
    [
        ({"max_attempts": 5}, 5),
        ({"max_attempts": 5, "max_attempts_some_function": 7}, 7),
        ({"labourers": {"some_function": {"max_attempts": 9}}, "max_attempts_some_function": 7}, 9),
        ({"max_attempts": 3}, None),
    ],
)
def test_the_most_exact_number_of_attempts_holds(config: dict[str, Any], attempts: int | None) -> None:
    worker = terraform(labourer(), {"task_config": config})["some_function"]

    assert worker.get("retry") == (None if attempts is None else {"max_attempts": attempts})


@pytest.mark.parametrize(
    ("settings", "limit", "note"),
    [
        ({"max_simultaneous_invocations": 4}, 4, None),
        ({}, 1, "# The limit is sosw 0.7's default, as the configuration has none."),
        (
            {"max_simultaneous_invocations": 0},
            1,
            "# The limit was 0. To start nothing: sosw workers pause some_function",
        ),
    ],
)
def test_a_limit_is_always_there(settings: dict[str, Any], limit: int, note: str | None) -> None:
    assert terraform(labourer(**settings))["some_function"]["max_concurrency"] == limit
    assert note is None or note in text(labourer(**settings))
    assert terraform(labourer(), {"max_simultaneous_invocations": 8})["some_function"]["max_concurrency"] == 8


@pytest.mark.parametrize(
    ("arn", "function_name", "qualifier"),
    [
        (None, "${data.aws_lambda_function.some_function.function_name}", None),
        (f"{ACCOUNT}:some_function", f'"{ACCOUNT}:some_function"', None),
        (f"{ACCOUNT}:some_function:live", f'"{ACCOUNT}:some_function"', '"live"'),
        (
            "arn:aws:lambda:us-west-2:0000000000:function:some_function",
            "${data.aws_lambda_function.some_function.function_name}",
            None,
        ),
    ],
)
def test_a_function_is_named_as_the_module_takes_it(arn: str | None, function_name: str, qualifier: str | None) -> None:
    worker = terraform(labourer(arn=arn))["some_function"]

    assert (worker["function_name"], worker.get("qualifier")) == (function_name, qualifier)
    assert "worker_id" not in worker


def test_an_arn_that_is_none_is_pointed_out() -> None:
    assert "# 'bar' is no ARN of a Lambda function; check that 'bar' is the function's name." in text(
        labourer(arn="bar")
    )


def test_a_labourer_with_another_name_than_its_function_keeps_it() -> None:
    modules = terraform(
        {"labourers": {"1": {"arn": f"{ACCOUNT}:resize"}, "my.worker": {}, "my:worker": {}, "sosw": {}}}
    )

    assert modules["worker_1"]["worker_id"] == '"1"'
    assert modules["my_worker"]["function_name"] == "${data.aws_lambda_function.my_worker.function_name}"
    assert modules.keys() == {"sosw", "worker_1", "my_worker", "my_worker_", "sosw_", "locals"}


def test_what_has_no_place_any_more_is_listed() -> None:
    written = text(SCHEDULER, labourer(cooldown=300, duration=900))

    assert written.startswith("# Not taken over of the configuration: dynamo_db_config, queue_bucket.\n")
    assert "# Not taken over of labourer some_function: cooldown, duration.\n" in written


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("./sosw", "./sosw/modules/worker"),
        ("../", "../modules/worker"),
        ("git::https://example.com/sosw.git?ref=v1", "git::https://example.com/sosw.git//modules/worker?ref=v1"),
        ("example.com/team/sosw/aws", "example.com/team/sosw/aws//modules/worker"),
    ],
)
def test_modules_are_in_the_source(source: str, module: str) -> None:
    assert f'source          = "{module}"' in convert([json.dumps(TUTORIAL)], source)


def test_no_text_becomes_a_template() -> None:
    dimensions = [{"Name": "${a}", "Value": 'b"%{c}'}]
    metric = {**CPU, "details": {**CPU["details"], "Dimensions": dimensions}}  # type: ignore[dict-item]  # one of CPU's values

    assert '"$${a}" = "b\\"%%{c}"' in text(labourer(health_metrics={"space": metric}))


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ("{", "config"),
        ("[]", "config"),
        ({}, "labourers"),
        ({"task_config": {"labourers": {}}}, "labourers"),
        ({"labourers": []}, "labourers"),
        (labourer(max_simultaneous_invocations="many"), "labourers.some_function.max_simultaneous_invocations"),
        (labourer(max_simultaneous_invocations=20_000), "labourers.some_function.max_concurrency"),
        ({"labourers": {"a b": {}}}, "labourers.a b.worker_id"),
        (labourer(health_metrics={"cpu": {}}), "labourers.some_function.health_metrics.cpu.details"),
        (
            labourer(health_metrics={"cpu": {**CPU, "feelings": {"4": 50, "3": 25}}}),
            "labourers.some_function.health_metrics.cpu",
        ),
        (
            labourer(health_metrics={"cpu": {**CPU, "feeling_comparison_operator": "=="}}),
            "labourers.some_function.health_metrics.cpu.feeling_comparison_operator",
        ),
        ({**labourer(), "job_schema": {"chunkable_attrs": [["stores", {}]]}}, "job_schema.chunkable_attrs"),
    ],
)
def test_what_cannot_be_taken_over_is_refused_by_its_key(config: object, field: str) -> None:
    with pytest.raises(Refused, match="; expected ") as refused:
        convert([config if isinstance(config, str) else json.dumps(config)], "./sosw")
    assert refused.value.field == field


def test_the_command_merges_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "scheduler.json", tmp_path / "orchestrator.json"]
    for file, config in zip(files, (SCHEDULER_PAGE, ORCHESTRATOR), strict=True):
        file.write_text(json.dumps(config))

    assert run(["import-config", "--source", "../sosw", *map(str, files)]) == 0
    assert capsys.readouterr().out == convert([file.read_text() for file in files], "../sosw") + "\n"


def test_the_command_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.json").write_text("{}")

    assert run(["import-config", str(tmp_path / "empty.json")]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "expected labourers at the top level or under task_config" in printed.err
