"""The page on jobs says what the code does: every example on it is run."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

from sosw_runtime.cli.preview import preview
from sosw_runtime.domain import periods
from sosw_runtime.domain.job import Job, parse
from sosw_runtime.errors import Refused

PAGE = (Path(__file__).parents[2] / "docs" / "jobs.md").read_text(encoding="utf-8")
TODAY = date(2024, 5, 15)


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line is ``` and a language and a role."""

    role: str
    text: str
    line: int


BLOCKS = [
    Block(found["info"].strip(), found["text"], PAGE.count("\n", 0, found.start()) + 1)
    for found in re.finditer(r"^```(?P<info>[^\n]+)\n(?P<text>.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
]
ANSWERS = ("jsonl tasks", "text refused", "text count")
ROLES = {
    "json job",
    *ANSWERS,
    "json schemas",
    "json event",
    "json starts",
    "hcl queue",
    "python period",
    "toml period",
    "sh",
    "console",
}


def of_role(role: str) -> list[Block]:
    return [block for block in BLOCKS if block.role == role]


@dataclass(frozen=True)
class Example:
    """A job, the job schemas that stand before it, and what follows it."""

    job: Block
    schemas: str | None
    answer: Block


def examples() -> Iterator[Example]:
    schemas = None
    for block, following in zip(BLOCKS, [*BLOCKS[1:], None], strict=True):
        if block.role == "json schemas":
            schemas = block.text
        if block.role == "json job":
            assert following is not None
            yield Example(block, schemas, following)


EXAMPLES = list(examples())


@pytest.fixture(autouse=True)
def own_period(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's own period, installed as the page says."""
    (code,), (metadata,) = of_role("python period"), of_role("toml period")
    module = ModuleType("acme_periods")
    exec(code.text, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    groups = tomllib.loads(metadata.text)["project"]["entry-points"]
    installed = EntryPoints(EntryPoint(name, value, group) for group in groups for name, value in groups[group].items())
    monkeypatch.setattr(periods, "entry_points", lambda group: installed.select(group=group))


def test_every_block_has_a_role_and_every_job_an_answer() -> None:
    assert {block.role for block in BLOCKS} == ROLES
    assert [example.answer.role for example in EXAMPLES if example.answer.role not in ANSWERS] == []
    assert len(EXAMPLES) == sum(block.role in ANSWERS for block in BLOCKS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line {example.job.line}")
def test_a_job_gives_what_the_page_shows(example: Example) -> None:
    if example.answer.role == "text refused":
        with (
            patch.object(periods, "entry_points", lambda group: EntryPoints()),
            pytest.raises(Refused, match=f"^{re.escape(example.answer.text.strip())}$"),
        ):
            preview(example.job.text, example.schemas, TODAY)
        return
    tasks = [json.loads(line) for line in preview(example.job.text, example.schemas, TODAY)]
    if example.answer.role == "text count":
        assert len(tasks) == int(example.answer.text)
    else:
        assert tasks == [json.loads(line) for line in example.answer.text.splitlines()]


def test_the_preview_shows_the_lines_of_the_example_that_it_is_of() -> None:
    (console,) = of_role("console")
    shown = [line for line in console.text.splitlines() if line.startswith("{")]
    (example,) = [
        example for example in EXAMPLES if "max_products" in example.job.text and "currency" in example.job.text
    ]

    assert list(preview(example.job.text, example.schemas, TODAY))[: len(shown)] == shown


PERIODS = re.findall(r"^\| `(\w+)` \| [^|]+ \| (?:`(\w+)`: )?(\S+)(?: to (\S+))? \|$", PAGE, re.MULTILINE)


def test_every_period_is_on_the_page() -> None:
    assert [period for period, *_ in PERIODS] == list(periods.PERIODS)


@pytest.mark.parametrize(("period", "example", "first", "last"), PERIODS)
def test_a_period_has_the_days_that_the_page_shows(period: str, example: str, first: str, last: str) -> None:
    assert re.sub("[0-9]+", "N", example or period) == period
    days = periods.days_of(example or period, TODAY)

    assert (days[0].isoformat(), days[-1].isoformat()) == (first, last or first)


def test_every_way_to_write_a_start_gives_the_same() -> None:
    (starts,) = of_role("json starts")

    assert {parse(job).job.start_at for job in json.loads(starts.text)} == {1_800_000_000_000}


@pytest.mark.parametrize("block", of_role("json event"), ids=lambda block: f"line {block.line}")
def test_every_event_carries_the_job(block: Block) -> None:
    request = parse(block.text)

    assert request == parse(json.loads(block.text))
    assert request.job == Job(worker="crawler", period="yesterday")
    if '"id"' in block.text:
        assert request.event_id == "7bf73129-1428-4cd3-a780-95db273d1602"
        assert request.event_time == datetime(2024, 5, 15, 3, tzinfo=UTC)


def test_every_key_of_the_language_is_on_the_page() -> None:
    table = PAGE.partition("| key | meaning |")[2].partition("\n\n")[0]

    assert {key for key in Job.model_fields if f"`{key}`" not in table} == set()
