"""The shapes that editors complete are those of what is sent and read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

import pytest

from sosw_runtime import contract
from sosw_runtime.domain.job import RESERVED_KEYS, Job, parse
from sosw_runtime.domain.task import Task
from sosw_runtime.essentials.worker_assistant import _refusal, _WorkerReport
from tests.support import builders


def keys(shape: Any) -> set[str]:
    return set(get_type_hints(shape))


def test_an_event_is_what_a_task_hands_to_its_worker() -> None:
    event = builders.running().event("sosw", with_token=True)
    assert keys(contract.Event) == event.keys() & RESERVED_KEYS - {"sosw_token"}
    assert contract.Event.__required_keys__ == {field.name for field in fields(Task)} & keys(contract.Event)


def test_a_report_is_what_the_worker_assistant_reads() -> None:
    assert keys(contract.Report) == _WorkerReport.model_fields.keys()


def test_an_answer_has_what_the_worker_assistant_answers() -> None:
    assert keys(contract.Answer) == _refusal("t-1", "it is over").keys()


def test_a_job_has_the_fields_of_the_language() -> None:
    assert keys(contract.Job) == Job.model_fields.keys() | {"date_list"}


@pytest.mark.parametrize(
    "job",
    [
        contract.Job(worker="resize", period="yesterday", priority=9, isolate_days=True, start_at="2026-01-31T06:00"),
        contract.Job(worker="resize", date_list=["2026-01-31"], start_at=1_800_000_000, time_zone="Europe/Berlin"),
    ],
)
def test_a_job_of_this_shape_is_taken(job: contract.Job) -> None:
    assert parse({"job": job}).job.worker == "resize"
