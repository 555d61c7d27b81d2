"""Settings of the Essentials, read where Terraform put them."""

from __future__ import annotations

from typing import Any

import pytest

from sosw_runtime.cli.installation import closed_tasks_retention_days
from sosw_runtime.errors import Misconfigured
from tests.unit.cli.conftest import FakeLambda


def configuration(**variables: str) -> dict[str, Any]:
    return {"FunctionName": "media_scavenger", "Environment": {"Variables": variables}}


def test_the_retention_is_the_scavengers(fake_lambda: FakeLambda) -> None:
    fake_lambda.returns(configuration(SOSW_NAME="media", SOSW_CLOSED_TASKS_RETENTION_DAYS="90"))

    assert closed_tasks_retention_days("media") == 90
    assert fake_lambda.requests == [("/2015-03-31/functions/media_scavenger/configuration", None)]


def test_without_the_setting_closed_tasks_are_kept(fake_lambda: FakeLambda) -> None:
    fake_lambda.returns(configuration(SOSW_NAME="media"))

    assert closed_tasks_retention_days("media") is None


def test_a_setting_that_is_no_number_is_named(fake_lambda: FakeLambda) -> None:
    fake_lambda.returns(configuration(SOSW_CLOSED_TASKS_RETENTION_DAYS="a month"))

    with pytest.raises(
        Misconfigured, match="SOSW_CLOSED_TASKS_RETENTION_DAYS of media_scavenger: 'a month' is no number"
    ):
        closed_tasks_retention_days("media")
