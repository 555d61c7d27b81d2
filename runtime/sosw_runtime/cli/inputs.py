"""Files that people give a command."""

from __future__ import annotations

from typing import TextIO

import typer


class FileRefused(typer.TyperException):
    """A file cannot be used. It is named by its whole path, of which `Refused` would show a part."""

    exit_code = 2


def text(file: TextIO) -> str:
    """All of a file.

    Raises:
        FileRefused: it is no text in UTF-8.
    """
    try:
        return file.read()
    except UnicodeDecodeError as error:
        found = error.object[error.start : error.end]
        raise FileRefused(
            f"{file.name}: {found!r} is refused; expected text in UTF-8; this is byte {error.start + 1}"
        ) from error
