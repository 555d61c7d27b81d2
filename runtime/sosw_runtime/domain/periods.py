"""Periods: the days that a job covers, and the spans into which they are cut. Weeks are Sunday to Saturday."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import entry_points
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sosw_runtime.errors import Misconfigured, Refused

#: Entry point group of users' own periods: name -> callable(today: date) -> iterable of dates.
ENTRY_POINT_GROUP: Final = "sosw_runtime.periods"

#: Most days of a job: nearly three centuries, and few enough to hold in memory.
MOST_DAYS: Final = 100_000

Span = tuple[date, date]  # first and last day, both included

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(weeks=1)


def zone(name: str) -> ZoneInfo:
    """The time zone of an IANA name.

    Raises:
        Refused: there is no such zone; names the field `time_zone`.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as unknown:
        raise Refused("time_zone", name, "expected an IANA time zone such as 'Europe/Berlin' or 'UTC'") from unknown


def today(now_ms: int, zone_name: str) -> date:
    """The day in a time zone at a time in milliseconds since the epoch."""
    return datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone(zone_name)).date()


def sunday(day: date) -> date:
    """The first day of a day's week."""
    return day - timedelta(days=day.isoweekday() % 7)


def first_of_month(day: date, months_back: int = 0) -> date:
    """The first day of a day's month, or of an earlier month."""
    year, month = divmod(day.year * 12 + day.month - 1 - months_back, 12)
    return date(year, month + 1, 1)


#: Every period of the language; N stands for the number in its name.
PERIODS: Final[dict[str, Callable[[date, int], Span]]] = {
    "today": lambda today, _: (today, today),
    "yesterday": lambda today, _: (today - _DAY, today - _DAY),
    "N_days_back": lambda today, n: (today - n * _DAY, today - n * _DAY),
    "last_N_days": lambda today, n: (today - n * _DAY, today - _DAY),
    "previous_N_days": lambda today, n: (today - 2 * n * _DAY, today - (n + 1) * _DAY),
    "last_week": lambda today, _: (sunday(today) - _WEEK, sunday(today) - _DAY),
    "previous_week": lambda today, _: (sunday(today) - 2 * _WEEK, sunday(today) - _WEEK - _DAY),
    "last_N_weeks": lambda today, n: (sunday(today) - n * _WEEK, sunday(today) - _DAY),
    "this_month": lambda today, _: (first_of_month(today), today),
    "last_month": lambda today, _: (first_of_month(today, 1), first_of_month(today) - _DAY),
    "last_N_months": lambda today, n: (first_of_month(today, n), first_of_month(today) - _DAY),
}


def days_between(first: date, last: date) -> list[date]:
    """Every day from the first to the last, both included."""
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def days_of(period: str, today: date) -> list[date]:
    """The days of a period, each once, in the period's order. Periods of the job language are ascending.

    Raises:
        Refused: no period has this name, or it covers no day.
        Misconfigured: a period of the user's own fails or returns something other than dates.
    """
    numbers = re.findall("[0-9]+", period)
    builtin = None if "N" in period else PERIODS.get(re.sub("[0-9]+", "N", period))
    if builtin is not None:
        try:
            first, last = builtin(today, int(numbers[0]) if numbers else 0)
        except (OverflowError, ValueError) as too_far:
            raise Refused("period", period, "expected a period that starts in the year 1 or later") from too_far
        if (last - first).days >= MOST_DAYS:
            raise Refused("period", period, f"expected a period of at most {MOST_DAYS} days")
        days = days_between(first, last)
    else:
        days = _own_days(period, today)
    if not days:
        raise Refused("period", period, "expected a period of at least one day")
    return days


def _own_days(period: str, today: date) -> list[date]:
    own = entry_points(group=ENTRY_POINT_GROUP)
    if period not in own.names:
        raise Refused("period", period, f"expected one of {', '.join([*PERIODS, *sorted(own.names)])}")
    try:
        days: Iterable[object] = own[period].load()(today)
        unique = dict.fromkeys(days)
    except Exception as error:
        raise Misconfigured(
            f"period {period!r} ({own[period].value}) must give dates, but raises {type(error).__name__}: {error}"
        ) from error
    if wrong := [day for day in unique if type(day) is not date]:
        raise Misconfigured(f"period {period!r} ({own[period].value}) must give dates, but gives {wrong[0]!r}")
    return [day for day in unique if isinstance(day, date)]


def spans(
    days: Iterable[date], *, by_day: bool = False, by_week: bool = False, by_month: bool = False
) -> list[list[date]]:
    """Days cut at the bounds of days, calendar weeks or calendar months; without a flag they are one span."""
    cut: dict[tuple[object, ...], list[date]] = {}
    for day in days:
        # Weeks count from the Sunday before 0001-01-01, a Monday.
        week = day.toordinal() // 7
        bounds = (day if by_day else None, week if by_week else None, (day.year, day.month) if by_month else None)
        cut.setdefault(bounds, []).append(day)
    return list(cut.values())
