"""The page on the guarantees names a test for every invariant, fault and move, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from sosw_runtime.domain.task import Move

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "guarantees.md").read_text(encoding="utf-8")
TEST = re.compile(r"\[(test_\w+)\]\((\S+)\)")


def tables() -> list[list[list[str]]]:
    """The cells of each table's rows, without the head."""
    blocks: list[str] = re.findall(r"(?:^\|.*\n)+", PAGE, re.MULTILINE)
    return [
        [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()[2:]]
        for block in blocks
    ]


@cache
def functions(file: Path) -> set[str]:
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_test_that_is_named_exists() -> None:
    named = TEST.findall(PAGE)

    assert {name for name, file in named if name not in functions((DOCS / file).resolve())} == set()
    assert "test_" not in TEST.sub("", PAGE), "a test is named without its file"


def test_every_row_of_every_table_names_a_test() -> None:
    assert [row for table in tables() for row in table if not TEST.search(row[-1])] == []


def test_every_invariant_has_a_row_and_a_test_of_its_own() -> None:
    invariants, *_ = tables()

    assert [number for number, *_ in invariants] == [f"I{number}" for number in range(1, 13)]
    for number, _, tests in invariants:
        assert tests.startswith(f"[test_{number.lower()}_")


def test_every_move_has_a_row() -> None:
    [moves] = [table for table in tables() if table[0][0] in set(Move)]

    assert sorted(move for move, *_ in moves) == sorted(Move)
