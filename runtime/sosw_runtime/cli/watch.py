"""Following a job until it is closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from sosw_runtime.cli import output, reasons, situations, times
from sosw_runtime.cli.progress import Snapshot
from sosw_runtime.cli.reasons import Kind, Reason
from sosw_runtime.errors import Unavailable
from sosw_runtime.storage.jobs import JobRecord
from sosw_runtime.storage.tables import Tables

#: Least seconds between two snapshots.
PAUSE: Final = 1.0
#: Seconds for which snapshots after the first are retried while AWS cannot be reached.
PATIENCE: Final = 300.0

_STYLES: Final = {
    "to come": "dim",
    "queued": "",
    "running": "cyan",
    "waiting": "yellow",
    "completed": "green",
    "dead": "bold red",
    "cancelled": "magenta",
}


@dataclass(frozen=True)
class View:
    """A snapshot, and what it means."""

    snapshot: Snapshot
    why: Sequence[Reason] = ()  # open tasks do not move
    end_at: int | None = None  # ms, at the recent pace; None: unknown, or all tasks are closed

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        reasons = [{"kind": reason.kind, "text": reason.text} for reason in self.why]
        return {**self.snapshot.to_json(), "end_at": self.end_at, "reasons": reasons}


def view(tables: Tables, job: JobRecord, snapshot: Snapshot, at: int) -> View:
    """A snapshot with its meaning at `at` (ms). Cost: see `situations.read`, and nothing once all tasks are closed."""
    if snapshot.is_closed:
        return View(snapshot)
    seen = situations.read(tables, job, snapshot, at)
    why = reasons.reasons(seen)
    return View(snapshot, why, reasons.end_at(seen, why))


def follow_until_closed(take_view: Callable[[], View]) -> Iterator[View]:
    """Take views until every task is closed.

    Raises:
        Whatever the first view raises, and what a later one still raises after `PATIENCE`.
    """
    retry = Retrying(
        retry=retry_if_exception_type((Unavailable, NoConnectionError, HTTPClientError)),
        wait=wait_exponential(max=20),
        stop=stop_after_delay(PATIENCE),
        reraise=True,
    )
    began = time.monotonic()
    taken = take_view()
    yield taken
    while not taken.snapshot.is_closed:
        time.sleep(times.pause_seconds(time.monotonic() - began, PAUSE))
        began = time.monotonic()
        taken = retry(take_view)
        yield taken


def show_json(views: Iterator[View]) -> Snapshot:
    """Print each view as a JSON line on standard output; the last snapshot."""
    for each in views:
        output.print_json(each.to_json())
    return each.snapshot


def show(views: Iterator[View]) -> Snapshot:
    """Print progress on standard error, the result on standard output; the last snapshot.

    Progress is a bar on a terminal, elsewhere a line for every change, and for every reason when the reasons change.
    """
    console = Console(stderr=True)
    snapshot = _show_live(console, views) if console.is_terminal else _show_lines(views)
    output.print_line(f"job {snapshot.job_id}: {_counts_text(snapshot)}")
    return snapshot


def _show_live(console: Console, views: Iterator[View]) -> Snapshot:
    with Live(console=console, transient=True) as live:
        for each in views:
            live.update(panel(each))
    return each.snapshot


def _show_lines(views: Iterator[View]) -> Snapshot:
    shown, kinds = "", list[Kind]()
    for each in views:
        if (text := _counts_text(each.snapshot)) != shown:
            output.print_message(", ".join([text, *_outlook(each)]))
            shown = text
        # A text may change with every look, such as the seconds until a retry.
        if (new_kinds := [reason.kind for reason in each.why]) != kinds:
            for reason in each.why:
                output.print_message(f"  {reason.text}")
            kinds = new_kinds
    return each.snapshot


def panel(seen: View) -> Group:
    """A view on a terminal: the bar, the counts, and each reason on lines of its own."""
    snapshot = seen.snapshot
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        snapshot.job_id,
        ProgressBar(total=max(snapshot.total, 1), completed=snapshot.closed, width=32, complete_style="green"),
        f"{snapshot.closed} of {snapshot.total}",
    )
    counts = Text("  ").join(Text(f"{status} {count}", _STYLES[status]) for status, count in _counts(snapshot).items())
    outlook = Text(", ".join(_outlook(seen)) or "end unknown", "dim")
    return Group(bar, counts, outlook, *(Text(f"! {reason.text}", "yellow") for reason in seen.why))


def _counts_text(snapshot: Snapshot) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in _counts(snapshot).items() if count)
    return f"{snapshot.closed} of {snapshot.total} tasks closed: {counts or 'none'}"


def _counts(snapshot: Snapshot) -> dict[str, int]:
    return {status: getattr(snapshot, status.replace(" ", "_")) for status in _STYLES}


def _outlook(seen: View) -> list[str]:
    """The pace and the end; nothing before there is a pace, and once all tasks are closed."""
    rate = seen.snapshot.rate_per_second
    if seen.snapshot.is_closed or rate is None:
        return []
    pace = f"{rate:.1f} tasks/s"
    if seen.end_at is None or seen.snapshot.seconds_left is None:
        return [pace, "end unknown"]
    return [pace, f"{times.duration_text(seen.snapshot.seconds_left)} left", f"ends {times.as_text(seen.end_at)} UTC"]
