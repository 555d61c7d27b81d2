"""The weather of Seattle, day by day, 2012 to 2015, and what a span of it comes to."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from sosw_runtime.worker import NotRetryable

_FILE = Path(__file__).with_name("seattle-weather.csv")


@dataclass(frozen=True)
class Day:
    precipitation_mm: float
    highest_celsius: float
    lowest_celsius: float
    wind_metres_per_second: float
    weather: str


def days(date_list: Sequence[str]) -> list[Day]:
    """The days of `date_list`, each `YYYY-MM-DD`.

    Raises `NotRetryable` for one that the file does not hold, or whose row is damaged: no other try will find it whole.
    """
    return [_day(day) for day in date_list]


def summary(date_list: Sequence[str], span: Sequence[Day]) -> dict[str, Any]:
    """Of the days of `date_list`, as `days` found them; temperatures in degrees Celsius, wind in m/s."""
    means = [(day.highest_celsius + day.lowest_celsius) / 2 for day in span]
    return {
        "from": min(date_list),
        "to": max(date_list),
        "days": len(span),
        "temperature": {
            "lowest": min(day.lowest_celsius for day in span),
            "mean": round(sum(means) / len(means), 2),
            "highest": max(day.highest_celsius for day in span),
        },
        "precipitation_mm": round(sum(day.precipitation_mm for day in span), 1),
        "mean_wind": round(sum(day.wind_metres_per_second for day in span) / len(span), 2),
        "weather": dict(Counter(day.weather for day in span)),
    }


def _day(day: str) -> Day:
    row = _rows().get(date.fromisoformat(day))
    if row is None:
        raise NotRetryable(f"{day}: the file holds no such day")
    try:
        return Day(
            precipitation_mm=float(row["precipitation"]),
            highest_celsius=float(row["temp_max"]),
            lowest_celsius=float(row["temp_min"]),
            wind_metres_per_second=float(row["wind"]),
            weather=row["weather"],
        )
    except ValueError as error:
        raise NotRetryable(f"{day}: the row is damaged: {error}") from error


@cache
def _rows() -> dict[date, dict[str, str]]:
    with _FILE.open(newline="") as file:
        return {date(*map(int, row["date"].split("/"))): row for row in csv.DictReader(file)}
