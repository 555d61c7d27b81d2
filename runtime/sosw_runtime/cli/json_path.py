"""Values within JSON, by dotted paths such as `order.items.0.sku`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sosw_runtime.errors import Refused


@dataclass(frozen=True)
class Condition:
    """A path and the text of the value that must be there."""

    path: str
    text: str

    def holds(self, value: object) -> bool:
        """Whether the value at the path, or one of its items if it is a list, has the text."""
        found = value_at(value, self.path)
        candidates = [found, *found] if isinstance(found, list) else [found]
        return any(each is not None and as_text(each) == self.text for each in candidates)


def conditions(given: Iterable[str] | None) -> tuple[Condition, ...]:
    """The conditions of `--where`.

    Raises:
        Refused: one is not written as KEY=VALUE.
    """
    parts = [(text, *text.partition("=")) for text in given or ()]
    for text, path, equals, _ in parts:
        if not (path and equals):
            raise Refused("--where", text, "expected KEY=VALUE, e.g. store=A1 or order.id=7")
    return tuple(Condition(path, value) for _, path, _, value in parts)


def value_at(value: object, path: str) -> Any:
    """The value at a path; None if there is none. A number counts a list's items from 0. A key may have dots itself."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    first, dot, rest = path.partition(".")
    if isinstance(value, Mapping):
        found = value.get(first)
    elif isinstance(value, list) and first.isdecimal() and int(first) < len(value):
        found = value[int(first)]
    else:
        return None
    return value_at(found, rest) if dot else found


def as_text(value: object) -> str:
    """Texts as they are, None as an empty one, all else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
