"""Files that people give a command."""

from __future__ import annotations

from typing import TextIO

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
