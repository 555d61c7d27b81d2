"""The days of every period, on days where calendars are awkward."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from importlib.metadata import EntryPoint, EntryPoints
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sosw_runtime.domain import periods
from sosw_runtime.domain.periods import days_of, spans, sunday, today
from sosw_runtime.errors import Misconfigured, Refused

WEDNESDAY = date(2024, 5, 15)
SUNDAY = date(2024, 5, 12)
SATURDAY = date(2024, 5, 11)
LEAP_DAY = date(2024, 2, 29)
NEW_YEAR = date(2025, 1, 1)  # a Wednesday


@pytest.mark.parametrize(
    ("period", "on", "first", "last"),
    [
        ("today", WEDNESDAY, "2024-05-15", "2024-05-15"),
        ("yesterday", WEDNESDAY, "2024-05-14", "2024-05-14"),
        ("yesterday", NEW_YEAR, "2024-12-31", "2024-12-31"),
        ("0_days_back", WEDNESDAY, "2024-05-15", "2024-05-15"),
        ("7_days_back", WEDNESDAY, "2024-05-08", "2024-05-08"),
        ("last_1_days", WEDNESDAY, "2024-05-14", "2024-05-14"),
        ("last_3_days", date(2024, 3, 1), "2024-02-27", "2024-02-29"),
        ("previous_1_days", WEDNESDAY, "2024-05-13", "2024-05-13"),
        ("previous_2_days", date(2019, 4, 30), "2019-04-26", "2019-04-27"),
        ("last_week", WEDNESDAY, "2024-05-05", "2024-05-11"),
        ("last_week", SUNDAY, "2024-05-05", "2024-05-11"),
        ("last_week", SATURDAY, "2024-04-28", "2024-05-04"),
        ("previous_week", WEDNESDAY, "2024-04-28", "2024-05-04"),
        ("previous_week", SUNDAY, "2024-04-28", "2024-05-04"),
        ("last_1_weeks", WEDNESDAY, "2024-05-05", "2024-05-11"),
        ("last_2_weeks", NEW_YEAR, "2024-12-15", "2024-12-28"),
        ("this_month", WEDNESDAY, "2024-05-01", "2024-05-15"),
        ("this_month", NEW_YEAR, "2025-01-01", "2025-01-01"),
        ("last_month", WEDNESDAY, "2024-04-01", "2024-04-30"),
        ("last_month", date(2024, 3, 31), "2024-02-01", "2024-02-29"),
        ("last_month", NEW_YEAR, "2024-12-01", "2024-12-31"),
        ("last_1_months", LEAP_DAY, "2024-01-01", "2024-01-31"),
        ("last_14_months", NEW_YEAR, "2023-11-01", "2024-12-31"),
    ],
)
def test_a_period_covers_its_days(period: str, on: date, first: str, last: str) -> None:
    days = days_of(period, on)

    assert (days[0].isoformat(), days[-1].isoformat()) == (first, last)
    assert days == [days[0] + timedelta(days=number) for number in range(len(days))]


@pytest.mark.parametrize(
    "period",
    [
        "today_foo",
        "foo_today",
        "Today",
        "last_N_days",
        "last__days",
        "last_-1_days",
        "last_1.5_days",
        "last_3_days_",
        "1today",
    ],
)
def test_only_whole_names_are_periods(period: str) -> None:
    with pytest.raises(Refused, match="expected one of today, yesterday, N_days_back, last_N_days") as refused:
        days_of(period, WEDNESDAY)
    assert (refused.value.field, refused.value.value) == ("period", period)


@pytest.mark.parametrize("period", ["last_0_days", "previous_0_days", "last_0_weeks", "last_0_months"])
def test_a_period_without_days_is_refused(period: str) -> None:
    with pytest.raises(Refused, match="at least one day"):
        days_of(period, WEDNESDAY)


@pytest.mark.parametrize(
    "period", ["last_9999999_days", "9999999999999_days_back", "last_99999_months", "last_999999_weeks"]
)
def test_a_period_before_the_calendar_is_refused(period: str) -> None:
    with pytest.raises(Refused, match="starts in the year 1 or later"):
        days_of(period, WEDNESDAY)


@given(st.dates(min_value=date(1900, 1, 1)), st.integers(1, 400))
def test_the_previous_days_end_where_the_last_ones_begin(on: date, number: int) -> None:
    last, previous = days_of(f"last_{number}_days", on), days_of(f"previous_{number}_days", on)

    assert len(last) == len(previous) == number
    assert previous[-1] + timedelta(days=1) == last[0]
    assert last[-1] + timedelta(days=1) == on


@given(st.dates(min_value=date(1900, 1, 1)))
def test_last_week_is_whole_and_past_on_any_weekday(on: date) -> None:
    week = days_of("last_week", on)

    assert [day.strftime("%a") for day in week] == ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
    assert timedelta(days=1) <= on - week[-1] <= timedelta(days=7)


@given(st.dates(min_value=date(1900, 1, 1)), st.integers(1, 30))
def test_last_months_are_whole_and_past(on: date, number: int) -> None:
    days = days_of(f"last_{number}_months", on)

    assert len({(day.year, day.month) for day in days}) == number
    assert days[0].day == 1
    assert days[-1] + timedelta(days=1) == on.replace(day=1)


@given(st.lists(st.dates(), unique=True), st.booleans(), st.booleans(), st.booleans())
def test_spans_hold_every_day_once(days: list[date], by_day: bool, by_week: bool, by_month: bool) -> None:
    cut = spans(days, by_day=by_day, by_week=by_week, by_month=by_month)

    assert sorted(day for span in cut for day in span) == sorted(days)
    assert all(span for span in cut)
    for span in cut:
        assert not by_day or len(span) == 1
        assert not by_week or len({sunday(day) for day in span}) == 1
        assert not by_month or len({(day.year, day.month) for day in span}) == 1


def test_weeks_run_from_sunday_to_saturday() -> None:
    weeks = spans(periods.days_between(date(2024, 5, 10), date(2024, 5, 20)), by_week=True)

    assert [(week[0].day, week[-1].day) for week in weeks] == [(10, 11), (12, 18), (19, 20)]


def test_weeks_and_months_cut_at_the_bounds_of_both() -> None:
    cut = spans(periods.days_between(date(2024, 4, 27), date(2024, 5, 5)), by_week=True, by_month=True)

    assert [(span[0].isoformat(), len(span)) for span in cut] == [
        ("2024-04-27", 1),
        ("2024-04-28", 3),
        ("2024-05-01", 4),
        ("2024-05-05", 1),
    ]


@pytest.mark.parametrize(
    ("time", "zone", "day"),
    [
        ("2024-05-15T23:30:00+00:00", "UTC", "2024-05-15"),
        ("2024-05-15T23:30:00+00:00", "Europe/Berlin", "2024-05-16"),
        ("2024-05-15T03:30:00+00:00", "America/New_York", "2024-05-14"),
        ("2024-03-31T00:59:59.999+00:00", "Europe/Berlin", "2024-03-31"),
    ],
)
def test_today_is_a_matter_of_the_time_zone(time: str, zone: str, day: str) -> None:
    assert today(round(datetime.fromisoformat(time).timestamp() * 1000), zone) == date.fromisoformat(day)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "", "../UTC", "CEST+25"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(Refused, match="time_zone"):
        today(0, zone)


def quarter_so_far(on: date) -> Iterator[date]:
    """A user's own period."""
    first = on.replace(month=(on.month - 1) // 3 * 3 + 1, day=1)
    yield from periods.days_between(first, on)


def twice_the_same(on: date) -> list[date]:
    return [on, on]


def none_at_all(on: date) -> list[date]:
    return []


def not_dates(on: date) -> list[str]:
    return [on.isoformat()]


def out_of_order(on: date) -> list[date]:
    raise LookupError("no such quarter")


@pytest.fixture
def own_periods() -> Iterator[None]:
    """A package that is installed with periods of its own."""
    installed = EntryPoints(
        EntryPoint(name, f"{__name__}:{name}", periods.ENTRY_POINT_GROUP)
        for name in ("quarter_so_far", "twice_the_same", "none_at_all", "not_dates", "out_of_order")
    )
    with patch("sosw_runtime.domain.periods.entry_points", lambda group: installed.select(group=group)):
        yield


@pytest.mark.usefixtures("own_periods")
class TestOwnPeriods:
    def test_are_found_by_their_entry_point(self) -> None:
        days = days_of("quarter_so_far", WEDNESDAY)

        assert (days[0].isoformat(), days[-1].isoformat(), len(days)) == ("2024-04-01", "2024-05-15", 45)

    def test_hold_a_day_once(self) -> None:
        assert days_of("twice_the_same", WEDNESDAY) == [WEDNESDAY]

    def test_are_listed_beside_the_language_s_own(self) -> None:
        with pytest.raises(Refused, match=r"none_at_all, not_dates, out_of_order, quarter_so_far, twice_the_same$"):
            days_of("quarter", WEDNESDAY)

    def test_must_have_a_day(self) -> None:
        with pytest.raises(Refused, match="none_at_all"):
            days_of("none_at_all", WEDNESDAY)

    def test_must_give_dates(self) -> None:
        with pytest.raises(Misconfigured, match=r"'not_dates' .*must give dates, but gives '2024-05-15'"):
            days_of("not_dates", WEDNESDAY)

    def test_must_not_fail(self) -> None:
        with pytest.raises(Misconfigured, match=r"'out_of_order' .*raises LookupError: no such quarter"):
            days_of("out_of_order", WEDNESDAY)


def test_a_period_of_more_days_than_can_be_held_is_refused() -> None:
    assert len(days_of("last_100000_days", WEDNESDAY)) == 100_000
    with pytest.raises(Refused, match="expected a period of at most 100000 days"):
        days_of("last_100001_days", WEDNESDAY)


@pytest.mark.parametrize("day", [date.min, date(1, 1, 6), date.max])
def test_days_at_the_ends_of_the_calendar_can_be_cut(day: date) -> None:
    assert spans([day], by_week=True) == spans([day], by_month=True) == [[day]]


def test_weeks_are_cut_before_sundays_from_the_first_day_on() -> None:
    first = [date(1, 1, day) for day in range(1, 9)]  # a Monday, and the Sunday is the 7th
    assert spans(first, by_week=True) == [first[:6], first[6:]]
