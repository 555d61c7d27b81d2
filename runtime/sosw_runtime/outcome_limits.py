"""Limits of a result and of stats, for the Worker that sends them and for the WorkerAssistant."""

from __future__ import annotations

import json
import re
from typing import Any, Final

#: Most bytes of JSON, so that the task stays within DynamoDB's 400 KB an item.
LARGEST_VALUE: Final = 16 * 1024
#: Most levels of JSON, so that every version of Python can read and write it.
DEEPEST_VALUE: Final = 200

#: Most seconds for which a Worker may put its next attempt off: 366 days.
LONGEST_RETRY_AFTER_SECONDS: Final = 366 * 24 * 3600

_STRING_OR_BRACKET: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]')


def to_json(value: object) -> str:
    """The JSON that is kept."""
    return json.dumps(value, separators=(",", ":"))


def replacement(value: object) -> dict[str, Any] | None:
    """The replacement of a value that JSON cannot carry, or that is too large or too deep; None for other values."""
    try:
        text = to_json(value)
    except RecursionError:
        return _dropped_levels()
    except (TypeError, ValueError) as error:
        return {"dropped": str(error)}
    return replacement_of_json(text)


def replacement_of_json(text: str) -> dict[str, Any] | None:
    """As `replacement`, for a value that is JSON already."""
    size = len(text.encode(errors="surrogatepass"))
    if size > LARGEST_VALUE:
        return {"dropped_bytes": size, "largest_bytes": LARGEST_VALUE}
    return _dropped_levels() if _depth(text) > DEEPEST_VALUE else None


def _depth(text: str) -> int:
    """The number of levels of arrays and objects in a JSON text."""
    level = deepest = 0
    for found in _STRING_OR_BRACKET.finditer(text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        deepest = max(deepest, level)
    return deepest


def _dropped_levels() -> dict[str, Any]:
    return {"dropped": f"it has more than {DEEPEST_VALUE} levels"}
