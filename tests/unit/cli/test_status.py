"""The screen of `sosw status`."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sosw_runtime.cli.installation import COUNTED_AT_MOST, Installation, WorkerState
from sosw_runtime.cli.status import screen
from sosw_runtime.storage.registry import Control
from tests.support.builders import HOUR, MINUTE, NOON

RESIZE = WorkerState(
    worker_id="resize",
    queued=COUNTED_AT_MOST,
    oldest_queued_at=NOON - 99 * HOUR - MINUTE,
    running=1000,
    max_concurrency=1000,
    allowed=750,
    health="moderate",
    dead=COUNTED_AT_MOST,
    control=Control(),
    is_registered=True,
    problem=None,
)
SEEN = Installation("sosw", NOON, "0.2.0", [RESIZE], [], [], [], {"sosw_scheduler": "0.2.0"})


def shown(seen: Installation, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(screen(seen))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_widest_figures_fit_into_80_columns() -> None:
    header, row = shown(replace(SEEN, workers=[replace(RESIZE, is_registered=False, problem="gone")]))[6:8]

    assert header.split() == ["WORKER", "QUEUED", "OLDEST", "RUNNING", "LIMIT", "HEALTH", "DEAD", "STATE"]
    assert " ".join(row.split()) == "resize 1000+ 99 h 1 min 1000 750 of 1000 moderate 1000+ unregistered"
    assert len(row) <= 80


def test_a_long_name_is_folded_and_never_cut() -> None:
    name = "a_worker_with_a_name_that_is_longer_than_its_column"

    lines = shown(replace(SEEN, workers=[replace(RESIZE, worker_id=name)]))
    header = next(line for line in lines if line.startswith("WORKER"))
    rows = lines[lines.index(header) + 1 :]

    width = header.index("QUEUED")
    assert "".join(row[:width].strip() for row in rows[: rows.index("")]) == name


def test_every_alarm_of_the_module_watches_what_the_screen_looks_for() -> None:
    module = (Path(__file__).parents[3] / "modules" / "alarms" / "main.tf").read_text()

    assert set(re.findall(r"namespace +\= (\S+)", module)) == {"var.name", '"AWS/Events"', '"AWS/Lambda"', '"AWS/SQS"'}
    assert set(re.findall(r"dimensions +\= \{ (\w+)", module)) == {"service", "RuleName", "FunctionName", "QueueName"}


def test_what_needs_a_person_comes_last_a_line_each() -> None:
    assert shown(SEEN)[-2:] == [
        "Needs a person:",
        "- 1000+ dead tasks of resize: inspect, then replay or cancel them",
    ]
    assert shown(replace(SEEN, workers=[]))[-1] == "Nothing needs a person."


def test_the_oldest_queue_is_that_of_the_oldest_task() -> None:
    newer = replace(RESIZE, worker_id="mail", oldest_queued_at=NOON)
    empty = replace(RESIZE, worker_id="crawl", oldest_queued_at=None)

    assert replace(SEEN, workers=[newer, empty, RESIZE]).oldest_queued == RESIZE
    assert replace(SEEN, workers=[empty]).oldest_queued is None
