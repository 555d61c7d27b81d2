"""What a command writes: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def result(text: str) -> None:
    """One line of the result."""
    typer.echo(text)


def result_json(value: object) -> None:
    """One JSON document on one line, keys in the order given."""
    typer.echo(json.dumps(value))


def result_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Aligned columns; the last one is cut on a terminal that is too narrow, nothing is cut elsewhere."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis" if column == columns[-1] else "fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def result_fields(values: Mapping[str, object]) -> None:
    """A line a value that is there; what is no text or number is JSON."""
    width = max(map(len, values))
    for name, value in values.items():
        if value is not None:
            result(f"{name:<{width}}  {value if isinstance(value, str | int) else json.dumps(value)}")


def progress(text: str) -> None:
    """One line that is no part of the result."""
    typer.echo(text, err=True)


def more_than(limit: int) -> None:
    """Say that a list was cut."""
    progress(f"There are more than {limit}; see --limit and the filters.")


def problem(text: str) -> None:
    """One line whatever the text holds, so that logs and scripts can rely on it."""
    typer.echo(f"sosw: {' '.join(text.split())}", err=True)
