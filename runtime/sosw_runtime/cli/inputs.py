"""Input files of commands."""

from __future__ import annotations

from typing import TextIO

import typer


class FileRefused(typer.TyperException):
    """A file cannot be used. The message shows its whole path, which `Refused` would shorten."""

    exit_code = 2


def read_text(file: TextIO) -> str:
    """Read a whole file.

    Raises:
        FileRefused: it is no UTF-8 text.
    """
    try:
        return file.read()
    except UnicodeDecodeError as error:
        found = error.object[error.start : error.end]
        raise FileRefused(
            f"{file.name}: {found!r} is refused; expected text in UTF-8; this is byte {error.start + 1}"
        ) from error
