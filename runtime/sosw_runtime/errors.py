"""Errors, split by who must act."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Self

from sosw_runtime.outcome_limits import LONGEST_RETRY_AFTER_SECONDS, to_json

#: Most characters of a value or a field's name in an error, so that a payload never fills a log.
_MOST_CHARACTERS: Final = 80


class SoswError(Exception):
    """Base of every error that this package raises on purpose."""


class Refused(SoswError):
    """The caller's input is wrong. Names the field, the value and what would be right. Nothing was written."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        # A job's key may hold half of a surrogate pair, which cannot be written to a log.
        self.field = shortened(field.encode(errors="backslashreplace").decode())
        self.value = value
        self.expected = expected
        super().__init__(f"{self.field}: {_value_text(value)} is refused; {expected}")


class JobRefused(Refused):
    """A refusal for callers of the Lambda function: the message is JSON, `{"error", "field", "message"}`."""

    def __str__(self) -> str:
        return json.dumps({"error": "refused", "field": self.field, "message": super().__str__()})

    @classmethod
    def of(cls, refused: Refused) -> Self:
        """The same refusal, with a JSON message."""
        return cls(refused.field, refused.value, refused.expected)


class Misconfigured(SoswError):
    """The user's configuration is wrong: a registration, a setting or a period of the user's own."""


class Unavailable(SoswError):
    """A transient error of AWS: the same call may succeed later.

    From the Scheduler: the job is not accepted, or may be. The caller must retry with the same id.
    """


class JobInterrupted(SoswError):
    """A job is accepted, and an error stopped the Scheduler before it wrote all tasks. The Scavenger resumes the job.

    Nobody must act, and a repeated request gets the normal answer. The message is JSON,
    `{"error", "job_id", "tasks", "first_start", "message"}`.
    """

    def __init__(self, answer: Mapping[str, Any], message: str) -> None:
        """Keep the answer and the message.

        Args:
            answer: the Scheduler's answer for the job, `{"job_id", "tasks", "first_start"}`.
            message: the error that stopped the Scheduler, for people.
        """
        self.answer = dict(answer)
        self.message = message
        super().__init__(message)

    def __str__(self) -> str:
        return json.dumps({"error": "interrupted", **self.answer, "message": self.message})


class NotRetryable(SoswError):
    """Raised by a Worker for a task that no other try can save: it is dead at once."""


class Retry(SoswError):
    """Raised by a Worker to have its task tried again after a time of its own, such as an API's `Retry-After`.

    The attempt counts towards the Worker's maximum, as any that fails.
    """

    def __init__(self, reason: str = "", *, after: timedelta) -> None:
        """Of an attempt.

        Args:
            reason: why, for people.
            after: from now until the next attempt, from 0 to 366 days. It starts within a minute of then.

        Raises:
            ValueError: `after` is outside of that.
        """
        if not timedelta(0) <= after <= timedelta(seconds=LONGEST_RETRY_AFTER_SECONDS):
            raise ValueError(f"after: {after} is refused; expected 0 to 366 days")
        self.after = after
        super().__init__(reason or f"to be tried again after {after}")


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


def _value_text(value: object) -> str:
    """The shortened text of a value."""
    try:
        return shortened(repr(value))
    except (ValueError, RecursionError):  # a number with thousands of digits; too many levels for Python's stack
        return f"<{type(value).__name__}>"


def shortened(text: str, most: int = _MOST_CHARACTERS) -> str:
    """A text of at most so many characters; one that is cut ends with dots."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
