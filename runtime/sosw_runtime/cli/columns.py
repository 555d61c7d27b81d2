"""The columns of a list: those that fit, all of them, or those that `--columns` names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sosw_runtime.cli import json_path, output, times
from sosw_runtime.cli.table import Column, print_table
from sosw_runtime.errors import Refused


@dataclass(frozen=True)
class Layout:
    """How a list is printed."""

    columns: Sequence[Column]
    all_columns: bool  # False: on a terminal as many as fit
    uncut: bool
    as_json: bool

    def print(self, lines: Sequence[Mapping[str, Any]], nothing: str) -> None:
        """Print the lines; `nothing` as a message if there are none."""
        if not lines:
            output.print_message(nothing)
        elif self.as_json:
            for line in lines:
                output.print_json(line)
        else:
            print_table(self.columns, lines, all_columns=self.all_columns, uncut=self.uncut)


def layout(
    known: Sequence[Column], names: str | None, *, wide: bool, as_json: bool, payload_keys: bool = False
) -> Layout:
    """The layout that the options ask for.

    Args:
        known: the list's columns.
        names: of `--columns`, separated by commas.
        wide: whether `--wide` is given.
        as_json: whether `--json` is given.
        payload_keys: whether any other name is a path into the line's payload.

    Raises:
        Refused: a name is unknown, or the options contradict each other.
    """
    if names is None:
        shown = [column for column in known if wide or not column.only_wide]
        return Layout(shown, all_columns=wide, uncut=wide, as_json=as_json)
    if as_json:
        raise Refused("--columns", names, "expected no --json, which prints every key")
    by_name = {column.name: column for column in known}
    wanted = [name.strip() for name in names.split(",")]
    for name in wanted:
        if not name or (name not in by_name and not payload_keys):
            raise Refused("--columns", name, f"expected some of {_listed(by_name, payload_keys=payload_keys)}")
    chosen = [by_name.get(name) or _payload_column(name) for name in wanted]
    return Layout(chosen, all_columns=True, uncut=wide, as_json=False)


def plain(name: str, header: str, **more: Any) -> Column:
    """A column with a value of the line as text: times in UTC, texts as they are, all else but None as JSON."""

    def cell(line: Mapping[str, Any]) -> str:
        value = line[name]
        return times.as_text(value) if name.endswith("_at") else json_path.as_text(value)

    return Column(name, header, cell, **more)


def _payload_column(name: str) -> Column:
    path = name.removeprefix("payload.")

    def cell(line: Mapping[str, Any]) -> str:
        return json_path.as_text(json_path.value_at(line["payload"], path))

    return Column(name, name.upper(), cell, narrowing="cut")


def _listed(names: Iterable[str], *, payload_keys: bool) -> str:
    return ", ".join([*names, *(["keys of the payload"] if payload_keys else [])])
