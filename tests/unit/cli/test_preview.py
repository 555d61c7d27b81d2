"""A preview shows what the Scheduler would queue, and nothing of a job that it would refuse."""

from __future__ import annotations

import json
from datetime import date

import pytest

from sosw_runtime.cli.preview import preview
from sosw_runtime.domain.chunking import LARGEST_PAYLOAD
from sosw_runtime.errors import Refused

SCHEMAS = json.dumps({"default": {"chunkable_attrs": ["store"]}, "old": {"chunkable_attrs": [["shop", {}]]}})
NEW_YEAR = date(2025, 1, 1)


def test_prints_a_payload_a_task() -> None:
    job = {
        "worker": "crawl",
        "period": "last_2_days",
        "isolate_days": True,
        "store": ["a", "é"],
        "isolate_stores": True,
    }

    assert list(preview(json.dumps({"job": job}), SCHEMAS, NEW_YEAR)) == [
        '{"date_list":["2024-12-30"],"stores":["a"]}',
        '{"date_list":["2024-12-30"],"stores":["é"]}',
        '{"date_list":["2024-12-31"],"stores":["a"]}',
        '{"date_list":["2024-12-31"],"stores":["é"]}',
    ]


def test_needs_no_schemas_for_a_job_that_uses_the_calendar_only() -> None:
    assert list(preview('{"worker": "crawl", "period": "today"}', None, NEW_YEAR)) == ['{"date_list":["2025-01-01"]}']


def test_today_is_today_in_the_job_s_zone_or_the_setting_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_735_689_600 * 10**9 - 1)  # a moment before 2025 in UTC

    def day(time_zone: str | None) -> str:
        job = {"worker": "crawl", "period": "today", "time_zone": time_zone}
        return str(json.loads(next(preview(json.dumps(job), None, None)))["date_list"][0])

    assert day(None) == "2024-12-31"
    assert day("Asia/Tokyo") == "2025-01-01"
    monkeypatch.setenv("SOSW_TIMEZONE", "Asia/Tokyo")
    assert day(None) == "2025-01-01"
    assert day("UTC") == "2024-12-31"


@pytest.mark.parametrize(
    ("job", "schemas", "field"),
    [
        ("no job", SCHEMAS, "event"),
        ('{"worker": "crawl", "period": "today_foo"}', SCHEMAS, "period"),
        ('{"worker": "crawl", "stores": ["a"], "isolate_stores": true}', None, "isolate_stores"),
        ('{"worker": "crawl"}', "{", "job_schemas"),
        ('{"worker": "crawl"}', "[]", "job_schemas"),
        ('{"worker": "crawl"}', '{"default": {"chunkable_attrs": ["stores"]}}', "job_schemas.default.chunkable_attrs"),
        ('{"worker": "crawl"}', '{"default": {"chunkable": []}}', "job_schemas.default.chunkable_attrs"),
    ],
)
def test_refuses_before_the_first_payload(job: str, schemas: str | None, field: str) -> None:
    with pytest.raises(Refused, match="; expected ") as refused:
        preview(job, schemas, NEW_YEAR)
    assert refused.value.field == field


def test_refuses_a_job_for_its_last_payload() -> None:
    stores = {"small": None, "large": {"text": "x" * LARGEST_PAYLOAD}}

    with pytest.raises(Refused, match="payload of task 1: '358430 bytes' is refused; expected at most 358400"):
        preview(json.dumps({"worker": "crawl", "stores": stores, "isolate_stores": True}), SCHEMAS, NEW_YEAR)
