"""Tables: fitted to the width of a terminal; elsewhere lines with a tab between two cells."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any, Final, Literal

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Ends a cell that is cut.
ELLIPSIS: Final = "…"
#: Spaces between two columns.
_GAP: Final = 2
#: Narrowest widths. A generated id has 36 characters.
_LEAST_OF_ID: Final = 36
_LEAST_OF_TEXT: Final = 24
#: They would break a line, or control the terminal.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")

#: A column that is too wide: is whole or left out; is cut so that ids still differ; is cut; takes several lines.
Narrowing = Literal["whole", "id", "cut", "wrap"]


@dataclass(frozen=True)
class Column:
    """One column of a list."""

    name: str  # as `--columns` and the JSON have it
    header: str
    cell: Callable[[Mapping[str, Any]], str]  # of a line, as its JSON has it
    rank: int = 0  # 0 is shown first; a higher one is left out first where the terminal is narrow
    narrowing: Narrowing = "whole"
    style: Callable[[str], str] = lambda _: ""  # of a cell, for rich
    only_wide: bool = False  # shown with `--wide` or by its name only


@dataclass(frozen=True)
class Size:
    """The widths that a column may have."""

    rank: int
    natural: int
    least: int


def print_table(
    columns: Sequence[Column], lines: Iterable[Mapping[str, Any]], *, all_columns: bool = False, uncut: bool = False
) -> None:
    """Print a header and the lines.

    On a terminal columns without any text, and those that do not fit, are left out.

    Args:
        columns: in their order.
        lines: one or more.
        all_columns: leave none out.
        uncut: leave none out and cut none; lines may be longer than the terminal.
    """
    rows = [[_CONTROL.sub(" ", column.cell(line)) for column in columns] for line in lines]
    if not sys.stdout.isatty():
        for row in ([column.header for column in columns], *rows):
            typer.echo("\t".join(row))
        return
    terminal = Console()
    sizes = {
        index: _size(column, [row[index] for row in rows])
        for index, column in enumerate(columns)
        if all_columns or uncut or column.rank == 0 or any(row[index] for row in rows)
    }
    if uncut:
        widths = {index: size.natural for index, size in sizes.items()}
    else:
        widths = fit(sizes, terminal.width, all_columns=all_columns)
    # Lines may be longer than the terminal. With a height, rich takes the width for a dumb terminal too.
    width = max(terminal.width, sum(widths.values()) + _GAP * len(widths))
    console = Console(width=width, height=terminal.height)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index in sorted(widths):
        column, wraps = columns[index], columns[index].narrowing == "wrap" and not uncut
        overflow: Literal["fold", "ellipsis"] = "fold" if wraps else "ellipsis"
        table.add_column(column.header, width=widths[index], no_wrap=not wraps, overflow=overflow)
    for row in rows:
        table.add_row(*(Text(row[index], columns[index].style(row[index])) for index in sorted(widths)))
    console.print(table, crop=False)


def fit(sizes: Mapping[int, Size], width: int, *, all_columns: bool) -> dict[int, int]:
    """The width of each column that is shown: the most important ones that fit, then as much as is left for each."""
    chosen: list[int] = []
    spare = width + _GAP
    for index in sorted(sizes, key=lambda index: sizes[index].rank):
        needed = sizes[index].least + _GAP
        if all_columns or not chosen or needed <= spare:
            chosen.append(index)
            spare -= needed
    widths = {}
    for index in chosen:
        more = max(0, min(spare, sizes[index].natural - sizes[index].least))
        widths[index] = sizes[index].least + more
        spare -= more
    return widths


def _size(column: Column, cells: Sequence[str]) -> Size:
    natural = max(cell_len(text) for text in (column.header, *cells))
    match column.narrowing:
        case "whole":
            least = natural
        case "id":
            least = max(_LEAST_OF_ID, _distinct_length(cells) + cell_len(ELLIPSIS))
        case _:
            least = max(_LEAST_OF_TEXT, cell_len(column.header))
    return Size(column.rank, natural, min(natural, least))


def _distinct_length(texts: Iterable[str]) -> int:
    """The number of cells at the beginning of texts that tell each from the others."""
    return max((cell_len(_common_start(*pair)) + 1 for pair in pairwise(sorted(set(texts)))), default=0)


def _common_start(one: str, other: str) -> str:
    return "".join(mine for mine, _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
