"""Files that people give a command."""

from __future__ import annotations

from typing import Any, TextIO

from pydantic_core import from_json

from sosw_runtime.errors import Refused


def text(file: TextIO) -> str:
    """All of a file.

    Raises:
        Refused: names the file, if it is no text in UTF-8.
    """
    try:
        return file.read()
    except UnicodeDecodeError as error:
        found = error.object[error.start : error.end]
        raise Refused(file.name, found, f"expected text in UTF-8; this is byte {error.start + 1}") from error


def json_object(field: str, text: str) -> dict[str, Any]:
    """A JSON object out of a text.

    Raises:
        Refused: names the field, if it is none, or nests deeper than anyone reads it.
    """
    try:
        # Not Python's own, whose depth ends with the stack.
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise Refused(field, text, f"expected a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise Refused(field, value, "expected a JSON object")
    return value
