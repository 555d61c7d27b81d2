"""A preview shows what the Scheduler would queue, and nothing of a job that it would refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from sosw_runtime.cli.app import run
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


class TestCommand:
    JOB = '{"worker": "crawl", "period": "last_2_days", "isolate_days": true, "stores": [1, 2], "isolate_stores": true}'

    @pytest.fixture
    def files(self, tmp_path: Path) -> tuple[str, str]:
        """A job and job schemas."""
        (tmp_path / "job.json").write_text(self.JOB)
        (tmp_path / "schemas.json").write_text(SCHEMAS)
        return str(tmp_path / "job.json"), str(tmp_path / "schemas.json")

    def test_prints_a_line_a_task(self, files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        job, schemas = files

        assert run(["jobs", "preview", job, "--schema", schemas, "--today", "2025-01-01"]) == 0
        assert capsys.readouterr().out.splitlines() == list(preview(self.JOB, SCHEMAS, NEW_YEAR))

    def test_prints_the_number_alone(self, files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
        job, schemas = files

        assert run(["jobs", "preview", job, "--schema", schemas, "--count"]) == 0
        assert capsys.readouterr().out == "4\n"

    def test_a_refused_job_is_one_line_on_standard_error(
        self, files: tuple[str, str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        job, _ = files

        assert run(["jobs", "preview", job]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith("sosw: isolate_stores: True is refused; expected one of isolate_days")
        assert printed.err.count("\n") == 1

    def test_may_be_read_in_part(self) -> None:
        job = '{"worker": "crawl", "period": "last_9999_days", "isolate_days": true}'
        command = [
            sys.executable,
            "-c",
            "from sosw_runtime.cli import main; main()",
            "jobs",
            "preview",
            "-",
            "--today",
            "2025-01-01",
        ]

        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            process.stdin.write(job)
            process.stdin.close()
            assert process.stdout.readline() == '{"date_list":["1997-08-17"]}\n'
            process.stdout.close()
            assert process.stderr.read() == ""
        assert process.returncode == 1
