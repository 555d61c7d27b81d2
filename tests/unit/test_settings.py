"""Settings: what the environment says, and what it must not say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from sosw_runtime import __version__
from sosw_runtime.settings import Settings


def test_without_an_environment_the_defaults_hold() -> None:
    settings = Settings()
    assert (settings.name, settings.pinned_version, settings.timezone) == ("sosw", __version__, "UTC")
    assert (settings.alarm_topic_arn, settings.jobs_topic_arn, settings.closed_tasks_retention_days) == (None,) * 3


def test_the_environment_says_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    said: dict[str, Any] = {
        "name": "media",
        "pinned_version": __version__,
        "alarm_topic_arn": "arn:aws:sns:eu-west-1:123456789012:alarms",
        "jobs_topic_arn": "arn:aws:sns:eu-west-1:123456789012:jobs",
        "timezone": "Europe/Berlin",
        "closed_tasks_retention_days": 30,
    }
    for field, value in said.items():
        monkeypatch.setenv(f"SOSW_{field.upper()}", str(value))
    assert Settings().model_dump() == said, "a setting without a line here"


def test_functions_are_named_by_the_rule_of_the_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOSW_NAME", "media")
    assert Settings().function("worker_assistant") == "media_worker_assistant"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SOSW_NAME", ""),
        ("SOSW_TIMEZONE", "Mars/Olympus"),
        ("SOSW_TIMEZONE", ""),
        ("SOSW_CLOSED_TASKS_RETENTION_DAYS", "0"),
        ("SOSW_CLOSED_TASKS_RETENTION_DAYS", "a month"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError, match=f"(?i){variable.removeprefix('SOSW_')}"):
        Settings()


def test_another_package_than_the_pinned_one_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Settings().is_of_another_version
    monkeypatch.setenv("SOSW_PINNED_VERSION", "99.0.0")
    assert Settings().is_of_another_version


def test_the_version_that_0_1_0_was_pinned_to_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOSW_VERSION", "0.1.0")
    assert Settings().pinned_version == __version__
