"""A Worker around a plain function: summarises the days of its task."""

from __future__ import annotations

from typing import Any

import weather

from sosw_runtime.worker import worker


@worker
def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    dates = event["date_list"]
    span = weather.days(dates)
    handler.stats["days"] += len(span)
    return weather.summary(dates, span)
