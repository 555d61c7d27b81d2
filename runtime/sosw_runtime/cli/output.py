"""Output of a command: results on standard output, messages and errors on standard error."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_line(text: str) -> None:
    """Print one line of the result."""
    typer.echo(text)


def print_json(value: object) -> None:
    """Print one JSON document on one line, keys in the order given."""
    typer.echo(json.dumps(value))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns. Only the last column is cut, and only on a terminal that is too narrow."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, no_wrap=True, overflow="ellipsis" if column == columns[-1] else "fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000
    console.print(table)


def print_fields(values: Mapping[str, object]) -> None:
    """Print a line for each value but None: texts and numbers as they are, others as JSON."""
    width = max(map(len, values))
    for name, value in values.items():
        if value is not None:
            print_line(f"{name:<{width}}  {value if isinstance(value, str | int) else json.dumps(value)}")


def print_message(text: str) -> None:
    """Print one line that is no part of the result."""
    typer.echo(text, err=True)


def print_limit_reached(limit: int) -> None:
    """Print that a list was cut."""
    print_message(f"There are more than {limit}; see --limit and the filters.")


def print_problem(text: str) -> None:
    """Print an error as one line, for logs and scripts."""
    typer.echo(f"sosw: {' '.join(text.split())}", err=True)
