"""Errors, split by who must act."""

from __future__ import annotations


class SoswError(Exception):
    """Base of every error that this package raises on purpose."""


class Refused(SoswError):
    """The caller's input is wrong: names the field, the value and what would be right. Nothing was written."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        self.field = field
        self.value = value
        self.expected = expected
        super().__init__(f"{field}: {_shown(value)} is refused; {expected}")


class Misconfigured(SoswError):
    """The user's configuration is wrong: a registration, a setting or the package's version."""


class Unavailable(SoswError):
    """AWS could not serve the call for now; the same call may succeed later."""


def _shown(value: object) -> str:
    """A value as an error shows it: short, so that a payload never fills a log."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
