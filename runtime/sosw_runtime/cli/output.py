"""Output of a command: results on standard output, messages and errors on standard error."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import typer


def print_line(text: str) -> None:
    """Print one line of the result."""
    typer.echo(text)


def print_json(value: object) -> None:
    """Print one JSON document on one line, keys in the order given."""
    typer.echo(json.dumps(value))


def print_fields(values: Mapping[str, object]) -> None:
    """Print a line for each value but None: texts and numbers as they are, others as JSON."""
    width = max(map(len, values))
    for name, value in values.items():
        if value is not None:
            print_line(f"{name:<{width}}  {value if isinstance(value, str | int) else json.dumps(value)}")


def print_built(package: Mapping[str, Any], *, as_json: bool, note: str = "") -> None:
    """Print what was built: its `package`, `sha256` and `bytes`, or as JSON all of it."""
    if as_json:
        print_json(package)
    else:
        print_line(f"{package['package']}  {package['bytes'] / 1_000_000:.1f} MB  sha256 {package['sha256']}{note}")


def print_message(text: str) -> None:
    """Print one line that is no part of the result."""
    typer.echo(text, err=True)


def print_limit_reached(limit: int) -> None:
    """Print that a list was cut."""
    print_message(f"There are more than {limit}; see --limit and the filters.")


def print_problem(text: str) -> None:
    """Print an error as one line, for logs and scripts."""
    typer.echo(f"sosw: {' '.join(text.split())}", err=True)
