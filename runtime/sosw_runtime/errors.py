"""Errors, split by who must act."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Self

from sosw_runtime.outcome_limits import to_json

#: Characters of a value or a field's name that an error shows, so that a payload never fills a log.
_SHOWN: Final = 80


class SoswError(Exception):
    """Base of every error that this package raises on purpose."""


class Refused(SoswError):
    """The caller's input is wrong: names the field, the value and what would be right. Nothing was written."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        # Half of a surrogate pair, which the name of a job's own key may have, cannot be written to a log.
        self.field = _short(field.encode(errors="backslashreplace").decode())
        self.value = value
        self.expected = expected
        super().__init__(f"{self.field}: {_shown(value)} is refused; {expected}")


class JobRefused(Refused):
    """A refusal as those read it who asked by Lambda: the message is JSON, `{"error", "field", "message"}`."""

    def __str__(self) -> str:
        return json.dumps({"error": "refused", "field": self.field, "message": super().__str__()})

    @classmethod
    def of(cls, refused: Refused) -> Self:
        """The same refusal."""
        return cls(refused.field, refused.value, refused.expected)


class Misconfigured(SoswError):
    """The user's configuration is wrong: a registration, a setting or the package's version."""


class Unavailable(SoswError):
    """AWS could not serve the call for now; the same call may succeed later.

    Of a job: it is not accepted, or nobody knows that it is. Whoever asked must ask again, with the same id.
    """


class JobInterrupted(SoswError):
    """A job is accepted, and an error stopped the Scheduler before it was done with it. The Scavenger resumes the job.

    Nobody must act: asked again, the Scheduler answers as it would have. The message is JSON,
    `{"error", "job_id", "tasks", "first_start", "message"}`.
    """

    def __init__(self, answer: Mapping[str, Any], message: str) -> None:
        """Of a job.

        Args:
            answer: what the Scheduler would have answered, `{"job_id", "tasks", "first_start"}`.
            message: what stopped it, for people.
        """
        self.answer = dict(answer)
        self.message = message
        super().__init__(message)

    def __str__(self) -> str:
        return json.dumps({"error": "interrupted", **self.answer, "message": self.message})


class NotRetryable(SoswError):
    """Raised by a Worker for a task that no other try can save: it is dead at once."""


class ReportUndelivered(SoswError):
    """A task is completed, and its report could not be delivered: Lambda's on-failure destination delivers this error.

    The message is JSON, `{"reason", "result", "stats"}`. Lambda logs it, as it logs every error of a function.
    """

    def __init__(self, reason: str, result: Mapping[str, Any], stats: Mapping[str, Any]) -> None:
        super().__init__(to_json({"reason": reason, "result": result, "stats": stats}))

    @staticmethod
    def outcome(message: str) -> tuple[Any, Any]:
        """Result and stats out of a message; None for each in one that was cut."""
        try:
            match json.loads(message):
                case {"result": result, "stats": stats}:
                    return result, stats
        except (ValueError, RecursionError):
            pass
        return None, None


def _shown(value: object) -> str:
    """A value as an error shows it."""
    try:
        return _short(repr(value))
    except (ValueError, RecursionError):  # a number of thousands of digits; lists in lists beyond Python's stack
        return f"<{type(value).__name__}>"


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
