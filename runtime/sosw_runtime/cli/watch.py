"""Following a job until it is closed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.exceptions import HTTPClientError
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_exponential

from sosw_runtime.cli import output, times
from sosw_runtime.cli.progress import Snapshot
from sosw_runtime.errors import Unavailable

#: Least seconds between two snapshots.
PAUSE: Final = 1.0
#: The pause as a multiple of a snapshot's duration. A snapshot reads every open task, so a large job gets fewer.
REST: Final = 4.0
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


def follow_until_closed(take_snapshot: Callable[[], Snapshot]) -> Iterator[Snapshot]:
    """Take snapshots until every task is closed.

    Raises:
        Whatever the first snapshot raises, and what a later one still raises after `PATIENCE`.
    """
    retry = Retrying(
        retry=retry_if_exception_type((Unavailable, NoConnectionError, HTTPClientError)),
        wait=wait_exponential(max=20),
        stop=stop_after_delay(PATIENCE),
        reraise=True,
    )
    began = time.monotonic()
    snapshot = take_snapshot()
    yield snapshot
    while not snapshot.is_closed:
        time.sleep(max(PAUSE, REST * (time.monotonic() - began)))
        began = time.monotonic()
        snapshot = retry(take_snapshot)
        yield snapshot


def show_json(snapshots: Iterator[Snapshot]) -> Snapshot:
    """Print each snapshot as a JSON line on standard output; the last snapshot."""
    for snapshot in snapshots:
        output.print_json(snapshot.to_json())
    return snapshot


def show(snapshots: Iterator[Snapshot]) -> Snapshot:
    """Print progress on standard error, the result on standard output; the last snapshot.

    Progress is a bar on a terminal, elsewhere a line for every change.
    """
    console = Console(stderr=True)
    snapshot = _show_live(console, snapshots) if console.is_terminal else _show_lines(snapshots)
    output.print_line(f"job {snapshot.job_id}: {_counts_text(snapshot)}")
    return snapshot


def _show_live(console: Console, snapshots: Iterator[Snapshot]) -> Snapshot:
    with Live(console=console, transient=True) as live:
        for snapshot in snapshots:
            live.update(_panel(snapshot))
    return snapshot


def _show_lines(snapshots: Iterator[Snapshot]) -> Snapshot:
    shown = ""
    for snapshot in snapshots:
        if (text := _counts_text(snapshot)) != shown:
            output.print_message(", ".join([text, *_outlook(snapshot)]))
            shown = text
    return snapshot


def _panel(snapshot: Snapshot) -> Group:
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        snapshot.job_id,
        ProgressBar(total=max(snapshot.total, 1), completed=snapshot.closed, width=32, complete_style="green"),
        f"{snapshot.closed} of {snapshot.total}",
        *_outlook(snapshot),
    )
    counts = Text("   ").join(Text(f"{status} {count}", _STYLES[status]) for status, count in _counts(snapshot).items())
    return Group(bar, counts)


def _counts_text(snapshot: Snapshot) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in _counts(snapshot).items() if count)
    return f"{snapshot.closed} of {snapshot.total} tasks closed: {counts or 'none'}"


def _counts(snapshot: Snapshot) -> dict[str, int]:
    return {status: getattr(snapshot, status.replace(" ", "_")) for status in _STYLES}


def _outlook(snapshot: Snapshot) -> list[str]:
    if snapshot.is_closed or snapshot.rate_per_second is None:
        return []
    rate = [f"{snapshot.rate_per_second:.1f} tasks/s"]
    return rate if snapshot.seconds_left is None else [*rate, f"{times.duration_text(snapshot.seconds_left)} left"]
