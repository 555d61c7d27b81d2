"""`sosw jobs watch` on a terminal."""

from __future__ import annotations

from rich.console import Console

from sosw_runtime.cli.progress import Snapshot
from sosw_runtime.cli.reasons import Reason
from sosw_runtime.cli.watch import View, panel
from tests.support.builders import NOON

SNAPSHOT = Snapshot("nightly", 10, 0, 3, 2, 1, 4, 0, 0, rate_per_second=0.5, seconds_left=12.0)


def shown(seen: View) -> list[str]:
    """The lines of a terminal of 80 columns."""
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(panel(seen))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_panel_has_the_counts_and_the_end() -> None:
    assert shown(View(SNAPSHOT, end_at=NOON))[1:] == [
        "to come 0  queued 3  running 2  waiting 1  completed 4  dead 0  cancelled 0",
        "0.5 tasks/s, 12 s left, ends 2026-03-10 12:00:00 UTC",
    ]


def test_the_panel_has_a_line_for_every_reason() -> None:
    why = [Reason("paused", "Worker resize is paused", stops=True)]

    assert shown(View(SNAPSHOT, why))[-2:] == ["0.5 tasks/s, end unknown", "! Worker resize is paused"]
