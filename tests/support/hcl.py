"""Terraform files: what they say, and edits that keep all other text as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import hcl2
from lark import Token, Tree

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

Node = Tree[Token]


def parsed(path: Path) -> dict[str, Any]:
    """What a file says, its texts without quotes."""
    found: dict[str, Any] = _unquoted(hcl2.loads(path.read_text(encoding="utf-8")))
    return found


def _unquoted(value: Any) -> Any:
    match value:
        case str():
            return value.strip('"')
        case list():
            return [_unquoted(part) for part in value]
        case dict():
            return {_unquoted(name): _unquoted(part) for name, part in value.items() if not name.startswith("__")}
        case _:
            return value


def cut(source: str, positions: Collection[int]) -> tuple[str, list[str]]:
    """Cut the argument or block at each position (in characters) out of an AWS resource or data source.

    Returns the new text and what was cut, as `aws_x.this: argument`. `ValueError` for a position elsewhere, which
    means a mistake of the author's and not a gap of the provider's.
    """
    blocks = [block for block in _blocks(source, "resource", "data") if _words(block)[1].startswith("aws_")]
    spans: dict[tuple[int, int], str] = {}
    for position in positions:
        block = next((block for block in blocks if _holds(block, position)), None)
        if block is None:
            line = source.count("\n", 0, position) + 1
            raise ValueError(f"line {line} is outside every AWS resource and data source")
        node = _innermost(block, position)
        words, address = _words(node), ".".join(_words(block)[1:])
        name = words[1] if words[0] == "dynamic" else words[0]
        spans[node.meta.start_pos, node.meta.end_pos] = address if node is block else f"{address}: {name}"
    outer = {
        (start, end): what
        for (start, end), what in spans.items()
        if not any(
            other <= start and end <= other_end and (other, other_end) != (start, end) for other, other_end in spans
        )
    }
    for start, end in sorted(outer, reverse=True):
        line_start = source.rfind("\n", 0, start) + 1
        rest_of_line = re.compile(r"[ \t]*(#[^\n]*|//[^\n]*)?\n?").match(source, end)
        source = source[:line_start] + source[rest_of_line.end() if rest_of_line else end :]
    return source, sorted(outer.values())


def statements(source: str, sid: str) -> list[int]:
    """Where the statements of this id begin in the file's policy documents."""
    return [
        part.meta.start_pos
        for block in _blocks(source, "data")
        if _words(block)[1] == "aws_iam_policy_document"
        for part in _parts(block)
        if any(_words(node)[0] == "sid" and f'"{sid}"' in source[_span(node)] for node in _parts(part))
    ]


def set_argument(source: str, resource_type: str, argument: str, value: str) -> str:
    """Give an argument of every resource of a type another value; resources without the argument stay as they are."""
    spans = [
        (node.meta.start_pos, node.meta.end_pos)
        for block in _blocks(source, "resource")
        if _words(block)[1] == resource_type
        for node in _parts(block)
        if node.data == "attribute" and _words(node)[0] == argument
    ]
    for start, end in sorted(spans, reverse=True):
        source = f"{source[:start]}{argument} = {value}{source[end:]}"
    return source


def pin_provider(source: str, provider: str, version: str) -> str:
    """Require exactly this version wherever `required_providers` names the provider."""
    requirement = re.compile(rf'\{{[^{{}}]*source\s*=\s*"{re.escape(provider)}"[^{{}}]*\}}')
    return requirement.sub(lambda found: re.sub(r'(version\s*=\s*)"[^"]*"', rf'\1"{version}"', found[0]), source)


def _blocks(source: str, *kinds: str) -> Iterator[Node]:
    tree: Node = hcl2.parses_to_tree(source if source.endswith("\n") else f"{source}\n")
    [body] = [child for child in tree.children if isinstance(child, Tree)]
    yield from (
        node
        for node in body.children
        if isinstance(node, Tree) and node.data == "block" and _words(node)[0] in kinds and len(_words(node)) > 1
    )


def _parts(block: Node) -> Iterator[Node]:
    """The arguments and blocks directly in a block."""
    for body in block.children:
        if isinstance(body, Tree) and body.data == "body":
            yield from (
                node for node in body.children if isinstance(node, Tree) and node.data in {"attribute", "block"}
            )


def _innermost(node: Node, position: int) -> Node:
    part = next((part for part in _parts(node) if _holds(part, position)), None)
    return node if part is None else _innermost(part, position)


def _holds(node: Node, position: int) -> bool:
    holds: bool = node.meta.start_pos <= position < node.meta.end_pos
    return holds


def _span(node: Node) -> slice:
    return slice(node.meta.start_pos, node.meta.end_pos)


def _words(node: Node) -> list[str]:
    """The words in front of `=` or `{`: an argument's name; a block's type and labels."""
    words: list[str] = []
    for child in node.children:
        if not isinstance(child, Tree):
            break
        words.append("".join(str(token) for token in child.scan_values(lambda _: True)).strip('"'))
    return words
