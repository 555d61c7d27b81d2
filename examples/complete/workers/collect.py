"""A Worker as a class: collects the days of its task from a station that is sometimes down, and summarises them.

The station's troubles are configuration, so that a run can be checked against them. They hit first attempts only: a
task that is tried again succeeds, but for the one whose row is damaged.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import weather

from sosw_runtime.worker import Event, Worker


class DaysEvent(Event):
    date_list: list[str]


class Collect(Worker[DaysEvent]):
    DEFAULT_CONFIG: ClassVar[Mapping[str, Any]] = {
        "station": {
            "answers_after_seconds": 0,
            "down_on_days_of_month": [],  # the connection fails
            "kills_on": None,  # YYYY-MM-DD; the whole process ends without a word, as it does when memory runs out
        },
    }

    def __call__(self, event: DaysEvent) -> dict[str, Any]:
        dates = event["date_list"]
        self._ask_station(dates, is_first_attempt=event.get("attempt") == 1)
        span = weather.days(dates)
        self.stats["days"] += len(span)
        return weather.summary(dates, span)

    def _ask_station(self, dates: list[str], *, is_first_attempt: bool) -> None:
        station = self.config["station"]
        self.stats["requests"] += 1
        time.sleep(station["answers_after_seconds"])
        if not is_first_attempt:
            return
        if station["kills_on"] in dates:
            os._exit(1)
        for day in dates:
            if int(day.split("-")[2]) in station["down_on_days_of_month"]:
                raise ConnectionError(f"{day}: the station is down")


handler = Collect.handler()
