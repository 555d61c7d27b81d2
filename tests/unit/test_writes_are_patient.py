"""No write to DynamoDB is sent without the patience for a transient error."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

STORAGE: Final = Path(__file__).parents[2] / "runtime" / "sosw_runtime" / "storage"

#: Single writes and transactions; those of batches are called in one place, which sends again what is sent back.
WRITES: Final = {"put_item", "update_item", "delete_item", "transact_write_items"}


#: Who tries a write again that it is handed as a lambda.
PATIENT: Final = {"write", "write_by"}


def bare_writes(node: ast.AST) -> Iterator[ast.Call]:
    """The writes that are made where they stand, and not handed as a lambda to whoever tries them again."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and ast.unparse(child.func) in PATIENT:
            continue
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute) and child.func.attr in WRITES:
            yield child
        yield from bare_writes(child)


def test_every_write_is_handed_to_whoever_tries_it_again() -> None:
    files = sorted(STORAGE.glob("*.py"))
    assert len(files) > 5
    found = [f"{file.name}:{call.lineno}" for file in files for call in bare_writes(ast.parse(file.read_text()))]
    assert found == [], "expected `write` or `write_by` around a lambda"
