"""A registration: what a Worker may be, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sosw_runtime.domain.registration import LEASE_GRACE_SECONDS, Registration
from tests.support.builders import registration

LEAST = {"function_name": "resize", "timeout_seconds": 10, "max_concurrency": 3}
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:resize"


def test_the_least_of_a_registration_is_function_time_out_and_limit() -> None:
    found = Registration.model_validate(LEAST)
    assert (found.worker_id, found.report_by, found.queue_shards) == ("resize", "code", 1)
    assert found.max_event_age_seconds == 60
    retry = found.retry
    assert (retry.max_attempts, retry.base_delay_seconds, retry.max_delay_seconds) == (3, 30, 3600)
    assert (found.labels, found.health_metrics, found.job_schemas) == ({}, {}, {})


@pytest.mark.parametrize("function_name", ["resize", "resize:live", ARN, f"{ARN}:live", f"{ARN}:$LATEST"])
def test_a_worker_is_named_after_its_function_by_default(function_name: str) -> None:
    assert Registration.model_validate({**LEAST, "function_name": function_name}).worker_id == "resize"
    own = Registration.model_validate({**LEAST, "function_name": function_name, "worker_id": "media.resize"})
    assert own.worker_id == "media.resize"


@given(timeout=st.integers(1, 900), age=st.integers(60, 21_600))
def test_a_lease_outlives_the_event_and_the_worker(timeout: int, age: int) -> None:
    found = registration(timeout_seconds=timeout, max_event_age_seconds=age)
    assert found.lease_ms == 1000 * (age + timeout + LEASE_GRACE_SECONDS)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"worker_id": ""}, "worker_id"),
        ({"worker_id": "a#b"}, "worker_id"),
        ({"worker_id": "w" * 141}, "worker_id"),
        ({"function_name": ""}, "function_name"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": 901}, "timeout_seconds"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"max_concurrency": 1.5}, "max_concurrency"),
        ({"max_event_age_seconds": 59}, "max_event_age_seconds"),
        ({"max_event_age_seconds": 21_601}, "max_event_age_seconds"),
        ({"report_by": "pigeon"}, "report_by"),
        ({"queue_shards": 0}, "queue_shards"),
        ({"queue_shards": 101}, "queue_shards"),
        ({"retry": {"max_attempts": 0}}, "retry.max_attempts"),
        ({"retry": {"max_attempts": 101}}, "retry.max_attempts"),
        ({"retry": {"base_delay_seconds": -1}}, "retry.base_delay_seconds"),
        ({"retry": {"base_delay_seconds": 60, "max_delay_seconds": 30}}, "below base_delay_seconds"),
        ({"retry": {"delay": 1}}, "retry.delay"),
        ({"job_schemas": {"default": {"chunkable_attrs": ["stores"]}}}, "job_schemas.default"),
        ({"concurrency": 3}, "concurrency"),
    ],
)
def test_what_a_worker_cannot_be_is_refused_by_its_field(inputs: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        registration(**inputs)


@pytest.mark.parametrize("field", ["timeout_seconds", "max_concurrency", "function_name"])
def test_nothing_that_a_worker_must_say_is_guessed(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Registration.model_validate({name: value for name, value in LEAST.items() if name != field})


def test_a_registration_is_read_from_the_json_that_it_is_written_as() -> None:
    found = registration(
        labels={"team": "media"},
        job_schemas={"default": {"chunkable_attrs": ["section", "store"]}},
        health_metrics={"db": {"namespace": "AWS/RDS", "metric_name": "CPU", "levels": {"4": 40, "2": 80}}},
    )
    assert Registration.model_validate_json(found.model_dump_json()) == found
    assert Registration.model_validate_json(found.model_dump_json(exclude_defaults=True)) == found
