"""Times as text."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sosw_runtime.errors import Refused

_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def now() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def pause_seconds(took: float, least: float) -> float:
    """Seconds to wait before the next look at the tables: four times as long as the last one took, or `least`.

    A look reads every open task, so that large jobs and installations get fewer.
    """
    return max(least, 4 * took)


def parse(option: str, text: str, at: int) -> int:
    """The time (ms) of a text: ISO 8601 in UTC, or a duration before `at` (ms) such as `90s`, `30m`, `6h` or `2d`.

    Times before 1970 become 0.

    Raises:
        Refused: names the option.
    """
    ago = re.fullmatch(r"(\d{1,18})([smhd])", text)
    if ago:
        return max(0, at - int(ago[1]) * _UNIT_MS[ago[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(
            option, text, "expected a time ago such as 30m, 6h or 2d, or one such as 2026-01-31T06:00"
        ) from error
    return max(0, round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))


def as_text(at: int | None) -> str:
    """A time (ms) in UTC, to the second."""
    return "" if at is None else f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def with_times_as_text(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by name, with the times among them, `<what>_at` (ms), as text."""
    return {
        name: as_text(value) if name.endswith("_at") and value is not None else value for name, value in values.items()
    }


def duration_text(seconds: float) -> str:
    """A duration to two units: `3 h 5 min`."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
