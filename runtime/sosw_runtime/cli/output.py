"""What a command writes: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json

import typer


def result(text: str) -> None:
    typer.echo(text)


def result_json(value: object) -> None:
    """One JSON document on one line, keys in the order given."""
    typer.echo(json.dumps(value))


def progress(text: str) -> None:
    typer.echo(text, err=True)


def problem(text: str) -> None:
    """One line whatever the text holds, so that logs and scripts can rely on it."""
    typer.echo(f"sosw: {' '.join(text.split())}", err=True)
