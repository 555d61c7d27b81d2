"""What a plan says of an input that it refuses: the key or value, and what would be right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sosw_runtime.domain.periods import PERIODS
from tests.support.terraform import Terraform
from tests.terraform.test_plans import inputs_of

#: Valid inputs of each module, which the cases change.
GIVEN: dict[str, dict[str, Any]] = {
    "root": {
        "runtime": {"package": "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip", "version": "1.2.3"},
    },
    "worker": {
        "orchestrator": {
            "name": "sosw",
            "registry_table_name": "sosw_registry",
            "orchestrator_role_arn": "arn:aws:iam::111122223333:role/sosw_orchestrator_eu-central-1",
            "worker_assistant_function_arn": "arn:aws:lambda:eu-central-1:111122223333:function:sosw_worker_assistant",
        },
        "function_name": "resize",
        "role_name": "resize",
        "timeout_seconds": 20,
        "max_concurrency": 5,
    },
    "job": {
        "orchestrator": {
            "name": "sosw",
            "rejected_jobs_queue_arn": "arn:aws:sqs:eu-central-1:111122223333:sosw_rejected_jobs",
            "scheduler_function_arn": "arn:aws:lambda:eu-central-1:111122223333:function:sosw_scheduler",
        },
        "schedule_expression": "cron(0 3 * * ? *)",
        "job": {"worker": "resize"},
    },
}

METRIC = {"namespace": "AWS/RDS", "metric_name": "CPUUtilization", "levels": {"4": 40}}
JOB_KEYS = (
    "end_date, isolate_days, isolate_months, isolate_weeks, job_schema_name, period, priority, start_date, time_zone, "
    "worker"
)
ELSEWHERE = (
    "Attributes, their flags (isolate_<attribute>s, max_<attribute>s_per_batch) and keys of the payload go into "
    "the input attributes."
)
WITHIN_PAYLOAD = "Put the key within payload if the tasks are to have it."
SCHEMAS = {"default": {"chunkable_attrs": ["section", "store"]}, "news": {"chunkable_attrs": ["topic"]}}
S3 = {"bucket": "b", "key": "sosw-runtime-1.2.3-py313-arm64.zip", "object_version": "1"}
TOPIC = "arn:aws:sns:eu-central-1:111122223333:oncall"
ESSENTIAL = "memory_mb, reserved_concurrency, timeout_seconds"

#: By module: the inputs that are given, and what the plan says.
UNKNOWN_KEYS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "root": [
        (
            {"runtime": GIVEN["root"]["runtime"] | {"pakage": "b.zip"}},
            "runtime: has no key pakage; did you mean package? Its keys are package, s3, version.",
        ),
        (
            {"runtime": {"version": "1.2.3", "s3": S3 | {"objekt_version": "2"}}},
            "runtime.s3: has no key objekt_version; did you mean object_version? "
            "Its keys are bucket, key, object_version, source_code_hash.",
        ),
        (
            {"logging": {"retention": 30}},
            "logging: has no key retention; did you mean retention_days? Its keys are level, retention_days.",
        ),
        ({"logging": {"xyz": 1}}, "logging: has no key xyz. Its keys are level, retention_days."),
        (
            {"encryption": {"kms_key_arn": f"{TOPIC}", "kms_key": "b"}},
            "encryption: has no key kms_key; did you mean kms_key_arn? Its keys are kms_key_arn.",
        ),
        (
            {"tables": {"deletion_protecton": False}},
            "tables: has no key deletion_protecton; did you mean deletion_protection? "
            "Its keys are deletion_protection, encryption, point_in_time_recovery.",
        ),
        (
            {"iam": {"permission_boundary_arn": "arn"}},
            "iam: has no key permission_boundary_arn; did you mean permissions_boundary_arn? "
            "Its keys are path, permissions_boundary_arn.",
        ),
        (
            {"essentials": {"sheduler": {}}},
            "essentials: has no key sheduler; did you mean scheduler? "
            "Its keys are orchestrator, scavenger, scheduler, worker_assistant.",
        ),
        (
            {"essentials": {"scheduler": {"timeout": 60}, "orchestrator": {"memory": 512}}},
            f"essentials.orchestrator: has no key memory; did you mean memory_mb? Its keys are {ESSENTIAL}.\n"
            f"essentials.scheduler: has no key timeout; did you mean timeout_seconds? Its keys are {ESSENTIAL}.",
        ),
        (
            {"alarms": {"enable": False}},
            "alarms: has no key enable; did you mean enabled? Its keys are enabled, topic.",
        ),
        (
            {"alarms": {"topic": {"arn": TOPIC, "kms_arn": "b"}}},
            "alarms.topic: has no key kms_arn; did you mean kms_key_arn? Its keys are arn, kms_key_arn.",
        ),
        (
            {"closed_jobs": {"topic": {"arn": TOPIC}, "topics": []}},
            "closed_jobs: has no key topics; did you mean topic? Its keys are topic.",
        ),
        (
            {"closed_jobs": {"topic": {"arn": TOPIC, "kms_key": "b"}}},
            "closed_jobs.topic: has no key kms_key; did you mean kms_key_arn? Its keys are arn, kms_key_arn.",
        ),
    ],
    "worker": [
        (
            {"retry": {"max_attemps": 9}},
            "retry: has no key max_attemps; did you mean max_attempts? "
            "Its keys are base_delay_seconds, max_attempts, max_delay_seconds.",
        ),
        (
            {"health_metrics": {"database": METRIC | {"period": 60}}},
            "health_metrics.database: has no key period; did you mean period_seconds? "
            "Its keys are better, dimensions, levels, metric_name, namespace, period_seconds, statistic.",
        ),
        (
            {"job_schemas": {"default": {"chunkable_attrs": ["store"], "chunk_attrs": []}}},
            "job_schemas.default: has no key chunk_attrs; did you mean chunkable_attrs? Its keys are chunkable_attrs.",
        ),
    ],
    "job": [
        (
            {"job": {"worker": "resize", "perod": "last_3_days"}},
            f"job: has no key perod; did you mean period? Its keys are {JOB_KEYS}.\n{ELSEWHERE}",
        ),
        (
            {"job": {"worker": "resize", "sections": ["a"]}},
            f"job: has no key sections. Its keys are {JOB_KEYS}.\n{ELSEWHERE}",
        ),
    ],
}

#: As above, of keys that are missing and of values of another type.
WRONG_TYPES: dict[str, list[tuple[dict[str, Any], str]]] = {
    "root": [
        (
            {"runtime": "sosw-runtime-1.2.3-py313-arm64.zip"},
            'runtime: is "sosw-runtime-1.2.3-py313-arm64.zip"; must be an object with the keys package, s3, version.',
        ),
        (
            {"runtime": {"package": GIVEN["root"]["runtime"]["package"]}},
            "runtime.version: is missing; must be of type string.",
        ),
        (
            {"runtime": GIVEN["root"]["runtime"] | {"version": None}},
            "runtime.version: is null; must be of type string.",
        ),
        (
            {"runtime": {"version": "1.2.3", "s3": {"key": S3["key"], "object_version": "1"}}},
            "runtime.s3.bucket: is missing; must be of type string.",
        ),
        (
            {"runtime": {"version": "1.2.3", "s3": "bucket"}},
            'runtime.s3: is "bucket"; must be an object with the keys bucket, key, object_version, source_code_hash.',
        ),
        (
            {"logging": {"level": {}, "retention_days": "many"}},
            'logging.level: is {}; must be of type string.\nlogging.retention_days: is "many"; must be of type number.',
        ),
        ({"encryption": {}}, "encryption.kms_key_arn: is missing; must be of type string."),
        ({"tables": {"encryption": "maybe"}}, 'tables.encryption: is "maybe"; must be of type bool.'),
        ({"iam": ["/"]}, 'iam: is ["/"]; must be an object with the keys path, permissions_boundary_arn.'),
        ({"iam": {"path": ["/"]}}, 'iam.path: is ["/"]; must be of type string.'),
        (
            {"essentials": {"scheduler": 512}},
            f"essentials.scheduler: is 512; must be an object with the keys {ESSENTIAL}.",
        ),
        (
            {"essentials": {"scheduler": {"memory_mb": "much"}}},
            'essentials.scheduler.memory_mb: is "much"; must be of type number.',
        ),
        (
            {"alarms": {"topic": TOPIC}},
            f'alarms.topic: is "{TOPIC}"; must be an object with the keys arn, kms_key_arn.',
        ),
        ({"alarms": {"topic": {}}}, "alarms.topic.arn: is missing; must be of type string."),
        (
            {"closed_jobs": {}},
            "closed_jobs.topic.arn: is missing; must be the ARN of a standard SNS topic "
            "(arn:<partition>:sns:<region>:<account>:<name>).",
        ),
    ],
    "worker": [
        ({"retry": {"max_attempts": "many"}}, 'retry.max_attempts: is "many"; must be of type number.'),
        (
            {"retry": 9},
            "retry: is 9; must be an object with the keys base_delay_seconds, max_attempts, max_delay_seconds.",
        ),
        (
            {"retry": {"base_delay_seconds": 5000}},
            "retry.max_delay_seconds: 3600 is below base_delay_seconds (5000); must be at least that.",
        ),
        (
            {"health_metrics": {"database": {"namespace": "AWS/RDS", "levels": {"4": 40}}}},
            "health_metrics.database.metric_name: is missing; must be of type string.",
        ),
        (
            {"health_metrics": {"database": METRIC | {"levels": {"4": "low"}, "dimensions": ["main"]}}},
            'health_metrics.database.dimensions: is ["main"]; must be of type map(string).\n'
            'health_metrics.database.levels: is {"4":"low"}; must be of type map(number).',
        ),
        (
            {"health_metrics": ["database"]},
            'health_metrics: is ["database"]; must be an object with the keys <name>.',
        ),
        (
            {"job_schemas": {"default": {"chunkable_attrs": [["store", {}]]}}},
            'job_schemas.default.chunkable_attrs: is [["store",{}]]; must be of type list(string).',
        ),
        (
            {"job_schemas": {"default": ["store"]}},
            'job_schemas.default: is ["store"]; must be an object with the keys chunkable_attrs.',
        ),
    ],
    "job": [
        ({"job": "resize"}, f'job: is "resize"; must be an object with the keys {JOB_KEYS}.'),
        ({"job": {"period": "today"}}, f"job.worker: is missing; must be of type string.\n{ELSEWHERE}"),
        ({"job": {"worker": None}}, "job.worker: is null; must be of type string."),
        ({"job": {"worker": "resize", "priority": "high"}}, 'job.priority: is "high"; must be of type number.'),
        ({"job": {"worker": "resize", "isolate_days": 1}}, "job.isolate_days: is 1; must be of type bool."),
    ],
}

#: As above, of words that Terraform would hand on to the Scheduler, which refuses them each time.
WRONG_WORDS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "root": [
        (
            {"time_zone": "Europe/Belrin"},
            'time_zone: "Europe/Belrin" is no IANA time zone; must be one such as UTC or Europe/Berlin.',
        ),
    ],
    "job": [
        (
            {"job": {"worker": "resize", "time_zone": "Berlin"}},
            'job.time_zone: "Berlin" is no IANA time zone; must be one such as UTC or Europe/Berlin.',
        ),
        *(
            (
                {"job": {"worker": "resize", "period": period}, "own_periods": ["this_quarter"]},
                f'job.period: is "{period}"; must be one of {", ".join(PERIODS)}, this_quarter, with a number for N, '
                "or be listed in own_periods.",
            )
            for period in ("last_3_day", "last_N_days", "today_or_so", "last_quarter")
        ),
        *(
            (
                {"attributes": json.dumps({key: True}), "job_schemas": SCHEMAS},
                f"attributes: has {key}; did you mean {word}? {WITHIN_PAYLOAD}",
            )
            for key, word in [
                ("perod", "period"),
                ("timezone", "time_zone"),
                ("periods", "period"),
                ("peroid", "period"),
                ("isolated_days", "isolate_days"),
                ("isolated_store", "isolate_stores"),
                ("isolate_sotres", "isolate_stores"),
                ("stores_per_batch", "max_stores_per_batch"),
                ("min_stores_per_task", "max_stores_per_batch"),
            ]
        ),
        (
            {"attributes": json.dumps({"isolated_days": True})},
            f"attributes: has isolated_days; did you mean isolate_days? {WITHIN_PAYLOAD}",
        ),
        (
            {"attributes": json.dumps({"payload": ["a"]})},
            'attributes: payload is ["a"]; must be an object, whose keys go to every task as they are.',
        ),
        (
            {"attributes": json.dumps({"isolate_topics": True, "max_shops_per_batch": 5}), "job_schemas": SCHEMAS},
            "attributes: has isolate_topics, max_shops_per_batch, which the job schema has no attribute for; the "
            "flags are isolate_days, isolate_months, isolate_sections, isolate_stores, isolate_weeks, "
            "max_sections_per_batch, max_stores_per_batch.",
        ),
        (
            {"attributes": json.dumps({"isolate_stores": True}), "job_schemas": {}},
            "attributes: has isolate_stores, which the job schema has no attribute for; the flags are "
            "isolate_days, isolate_months, isolate_weeks.",
        ),
        (
            {"job": {"worker": "resize", "job_schema_name": "nws"}, "job_schemas": SCHEMAS},
            'job.job_schema_name: is "nws"; must be one of the Worker\'s job_schemas: default, news.',
        ),
    ],
}

#: By module: inputs that are right, although a value is null, a text instead of a number, or of a map's type.
RIGHT: dict[str, list[dict[str, Any]]] = {
    "root": [
        {"logging": {"level": None, "retention_days": None}, "tables": {"encryption": None}, "iam": {"path": None}},
        {"logging": None, "tables": None, "iam": None, "essentials": None, "alarms": None, "closed_jobs": None},
        {"logging": {"retention_days": "30"}, "tables": {"encryption": "true"}, "alarms": {"topic": None}},
        {"essentials": {"scheduler": None, "scavenger": {"memory_mb": "512", "reserved_concurrency": None}}},
        {"time_zone": "America/Argentina/Buenos_Aires"},
    ],
    "worker": [
        {"retry": {"max_attempts": None, "base_delay_seconds": "60"}},
        {"retry": None, "health_metrics": None, "job_schemas": None},
        {"health_metrics": {"database": METRIC | {"dimensions": None, "better": None, "levels": {"4": "40", "3": 60}}}},
    ],
    "job": [
        {"job": {"worker": "resize", "period": None, "priority": "5", "isolate_days": "false", "time_zone": None}},
        {"job": {"worker": "resize", "period": "this_quarter"}, "own_periods": ["this_quarter"]},
        *({"job": {"worker": "resize", "period": period.replace("N", "12")}} for period in PERIODS),
        {"attributes": json.dumps({"payload": {"periods": 12}, "date_list": ["2026-01-31"], "isolate_shops": True})},
        {
            "attributes": json.dumps(
                {"isolate_shops": None, "isolate_store": True, "stores": ["a"], "max_section_per_batch": 2, "depth": 3}
            ),
            "job_schemas": SCHEMAS,
        },
        {
            "job": {"worker": "resize", "job_schema_name": "news"},
            "attributes": json.dumps({"topics": ["a"], "isolate_topics": True, "payload": None}),
            "job_schemas": SCHEMAS,
        },
    ],
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The directory of each module's inputs."""
    return {module: inputs_of(module, tmp_path_factory.mktemp(module)) for module in GIVEN}


def _said(directory: Path, module: str, given: dict[str, Any]) -> list[str]:
    """What a plan says against the inputs."""
    (directory / "given.tfvars.json").write_text(json.dumps(GIVEN[module] | given))
    output = Terraform(directory).run("plan", "-json", "-var-file=given.tfvars.json", accept=(0, 1))
    events = [json.loads(line) for line in output.splitlines()]
    details = [event["diagnostic"]["detail"] for event in events if event["type"] == "diagnostic"]
    return [detail.partition("\n\nThis was checked by")[0].strip() for detail in details]


@pytest.mark.parametrize(
    ("module", "given", "said"),
    [
        (module, *case)
        for cases in (UNKNOWN_KEYS, WRONG_TYPES, WRONG_WORDS)
        for module in cases
        for case in cases[module]
    ],
)
def test_names_what_is_wrong(inputs: dict[str, Path], module: str, given: dict[str, Any], said: str) -> None:
    assert said in _said(inputs[module], module, given)


@pytest.mark.parametrize(("module", "given"), [(module, given) for module in RIGHT for given in RIGHT[module]])
def test_takes_what_is_right(inputs: dict[str, Path], module: str, given: dict[str, Any]) -> None:
    assert _said(inputs[module], module, given) == []


def test_unknown_keys_are_refused_beside_values_that_only_an_apply_knows(tmp_path: Path) -> None:
    inputs_of("root", tmp_path / "sosw")
    (tmp_path / "main.tf").write_text(
        """
        resource "terraform_data" "made" {}

        module "sosw" {
          source  = "./sosw"
          runtime = { package = "sosw/tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip", version = "1.2.3" }
          iam     = { permission_boundary_arn = terraform_data.made.id }
          alarms  = { topic = { arn = terraform_data.made.id, kms_arn = terraform_data.made.id } }
        }
        """
    )
    terraform = Terraform(tmp_path)
    terraform.init()
    output = terraform.run("plan", "-no-color", accept=(1,))

    assert "iam: has no key permission_boundary_arn; did you mean" in output
    assert "alarms.topic: has no key kms_arn; did you mean kms_key_arn?" in output
