"""The page on Workers says what the code does: every example on it is run."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sosw_runtime import contract, worker_clients
from sosw_runtime.testing import Outcome, run_task

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line is ``` and a language and a role, of a file its name."""

    language: str
    role: str
    text: str


BLOCKS = [
    Block(found["language"], found["role"], found["text"])
    for found in re.finditer(
        r"^```(?P<language>\w+) ?(?P<role>[^\n]*)\n(?P<text>.*?)^```$", PAGE, re.MULTILINE | re.DOTALL
    )
]
FILES = {block.role: block.text for block in BLOCKS if block.role.endswith((".py", ".json"))}
#: By tests/integration/cli/test_worker_package.py and tests/terraform/test_docs_workers.py; `sh` submits a job to AWS.
RUN_ELSEWHERE = {
    ("console", "package"),
    ("hcl", "destination"),
    ("hcl", "function"),
    ("hcl", "layer"),
    ("hcl", "config"),
    ("sh", ""),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with all files of the page, from which they can be imported."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(worker_clients, "_clients", {})
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def outcome(name: str, payload: dict[str, Any], **more: Any) -> Outcome:
    return run_task(import_module(name).handler, payload, **more)


@pytest.mark.usefixtures("folder")
class TestWorkers:
    def test_every_worker_is_run_by_a_test(self) -> None:
        with_handler = {
            name.removesuffix(".py") for name, text in FILES.items() if re.search(r"^(def )?handler\b", text, re.M)
        }
        source = Path(__file__).read_text()
        assert {name for name in with_handler if f'outcome("{name}"' not in source} == set()

    def test_a_class_resizes_or_says_what_is_of_no_use(self) -> None:
        assert outcome("resize", {"images": ["a", "b"]}).result == {"resized": 2}
        told = outcome("resize", {"images": []})
        assert (told.failed, told.retryable) == (True, False)

    def test_a_class_may_say_what_its_events_hold(self) -> None:
        assert outcome("typed", {"images": ["a"]}, attempt=2).result == {"resized": 1, "attempt": 2}

    def test_a_function_crops(self) -> None:
        told = outcome("crop", {"images": ["a"]})
        assert (told.result, told.stats) == ({"cropped": 1}, {"images": 1})

    def test_errors_are_worth_another_try_or_not(self) -> None:
        assert outcome("collect", {"station": "north"}).completed
        assert outcome("collect", {"station": "busy"}).retryable
        assert outcome("collect", {"station": "resting"}).retry_after_seconds == 3600
        closed = outcome("collect", {"station": "closed"})
        assert (closed.failed, closed.retryable) == (True, False)

    def test_a_worker_that_runs_out_of_time_says_so(self) -> None:
        assert outcome("walk", {"pages": [1, 2, 3]}).stats == {"pages": 3}
        late = outcome("walk", {"pages": [1, 2, 3]}, timeout_seconds=5)
        assert late.error == {"type": "TimeoutError", "message": "0 of 3 pages in time"}

    @mock_aws
    def test_an_export_may_run_twice(self) -> None:
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="exports")
        first, second = (outcome("export", {"day": "2012-01-01"}) for _ in range(2))
        assert first.result == second.result == {"key": "days/2012-01-01.json"}
        assert s3.list_objects_v2(Bucket="exports")["KeyCount"] == 1

    @mock_aws
    def test_a_booking_that_runs_twice_is_booked_once(self) -> None:
        dynamodb = boto3.client("dynamodb")
        dynamodb.create_table(
            TableName="bookings",
            KeySchema=[{"AttributeName": "task_id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "task_id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        outcomes = [outcome("book", {"amount": 3}, attempt=attempt) for attempt in (1, 2)]
        assert [told.result for told in outcomes] == [{"booked": 3}] * 2
        assert [told.stats for told in outcomes] == [{}, {"booked_before": 1}]
        assert dynamodb.scan(TableName="bookings")["Count"] == 1

    def test_what_visits_and_scales_runs(self) -> None:
        assert outcome("visit", {"stations": ["north"]}).result == {"stations": ["north"]}
        assert outcome("scale", {}).result == {"width": 400, "from": {"bucket": "images", "prefix": "in/"}}

    def test_the_logger_of_powertools_carries_the_ids(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stdout", stream)
        assert outcome("logged", {}).completed
        [line] = map(json.loads, stream.getvalue().splitlines())
        assert (line["message"], line["worker_id"], line["job_id"], line["attempt"]) == ("at work", "local", "local", 1)


def test_every_block_has_its_test() -> None:
    run_here = {("json", "event"), ("json", "report"), ("console", "run")}
    others = {(block.language, block.role) for block in BLOCKS if block.role not in FILES}
    assert others == run_here | RUN_ELSEWHERE


def test_event_and_report_are_of_their_shapes() -> None:
    texts = {block.role: json.loads(block.text) for block in BLOCKS if block.role in {"event", "report"}}
    assert texts["event"].keys() == {"images", *contract.Event.__annotations__}
    assert texts["report"].keys() == contract.Report.__annotations__.keys() - {
        "error",
        "retryable",
        "retry_after_seconds",
    }


def test_the_console_shows_what_the_page_shows(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "runtime")}
    main = [sys.executable, "-c", "from sosw_runtime.cli import main; main()"]
    for block in BLOCKS:
        if (block.language, block.role) != ("console", "run"):
            continue
        for shown in block.text.removeprefix("$ ").split("\n$ "):
            line, _, expected = shown.partition("\n")
            words = shlex.split(line)
            settings = dict(word.split("=", 1) for word in words[: words.index("sosw")])
            arguments = words[words.index("sosw") + 1 :]
            done = subprocess.run(
                [*main, *arguments], env={**environment, **settings}, capture_output=True, text=True, check=True
            )
            assert re.sub(r"(?m)^duration_ms  \d+$", "duration_ms  0", done.stdout).strip() == expected.strip()


def test_the_tests_of_the_page_pass(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'runtime'}:{folder}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_the_class_is_the_one_of_the_readme() -> None:
    [example] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert FILES["resize.py"] == example
