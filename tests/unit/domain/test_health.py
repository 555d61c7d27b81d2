"""Health: a value has a level, the worst metric wins, and a worse level never leaves more of the limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sosw_runtime.domain.health import Level, MetricSource, allowed_slots, metric_levels, worst


def source(**inputs: Any) -> MetricSource:
    return MetricSource.model_validate({"namespace": "AWS/RDS", "metric_name": "CPUUtilization", **inputs})


CPU = source(levels={"4": 40, "3": 60, "2": 80, "1": 95})
DISK = source(better="high", levels={"4": 100, "3": 50, "2": 20, "1": 5})
levels = st.sampled_from(Level)


# --- a value has a level ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "level"),
    [(-1, 4), (0, 4), (40, 4), (40.1, 3), (60, 3), (80, 2), (95, 1), (95.01, 0), (float("inf"), 0)],
)
def test_where_low_is_better_a_level_holds_up_to_its_threshold(value: float, level: int) -> None:
    assert CPU.level(value) == level


@pytest.mark.parametrize(("value", "level"), [(1000, 4), (100, 4), (99, 3), (50, 3), (20, 2), (5, 1), (4.9, 0), (0, 0)])
def test_where_high_is_better_a_level_holds_down_to_its_threshold(value: float, level: int) -> None:
    assert DISK.level(value) == level


def test_levels_may_be_left_out() -> None:
    only_two = source(levels={"4": 40, "2": 80})
    assert [only_two.level(value) for value in (40, 41, 80, 81)] == [4, 2, 2, 0]


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_a_better_value_never_has_a_worse_level(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert CPU.level(low) >= CPU.level(high)
    assert DISK.level(high) >= DISK.level(low)


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"levels": {}}, "levels"),
        ({"levels": {"5": 1}}, "levels"),
        ({"levels": {"0": 1}}, "levels"),
        ({"levels": {"4": 60, "3": 40}}, "do not rise from 4 to 1"),
        ({"levels": {"4": 40, "3": 40}}, "do not rise from 4 to 1"),
        ({"levels": {"4": 40, "3": 60}, "better": "high"}, "do not fall from 4 to 1"),
        ({"levels": {"4": 1}, "better": "medium"}, "better"),
        ({"levels": {"4": 1}, "statistic": "p99"}, "statistic"),
        ({"levels": {"4": 1}, "period_seconds": 30}, "period_seconds"),
        ({"levels": {"4": 1}, "period_seconds": 90}, "period_seconds"),
        ({"levels": {"4": 1}, "unit": "Percent"}, "unit"),
        ({"levels": {"4": 1}, "namespace": ""}, "namespace"),
        ({"levels": {"4": 1}, "namespace": "n" * 256}, "namespace"),
        ({"levels": {"4": 1}, "namespace": ":AWS"}, "':AWS' must not start with a colon"),
        ({"levels": {"4": 1}, "metric_name": "  "}, "'  ' has to consist of printable ASCII"),
        ({"levels": {"4": 1}, "metric_name": "m" * 256}, "metric_name"),
        ({"levels": {"4": 1}, "metric_name": "Auslastung in \u2030"}, "printable ASCII"),
        ({"levels": {"4": 1}, "dimensions": {"": "shop"}}, "dimensions"),
        ({"levels": {"4": 1}, "dimensions": {" ": "shop"}}, "printable ASCII"),
        ({"levels": {"4": 1}, "dimensions": {":Db": "shop"}}, "must not start with a colon"),
        ({"levels": {"4": 1}, "dimensions": {"d" * 256: "shop"}}, "dimensions"),
        ({"levels": {"4": 1}, "dimensions": {"Db": ""}}, "dimensions.Db"),
        ({"levels": {"4": 1}, "dimensions": {"Db": "sh\nop"}}, "printable ASCII"),
        ({"levels": {"4": 1}, "dimensions": {"Db": "v" * 1025}}, "dimensions.Db"),
        ({"levels": {"4": 1}, "dimensions": {f"Db{number}": "v" for number in range(31)}}, "dimensions"),
    ],
)
def test_a_metric_that_cannot_be_meant_is_refused_by_its_field(inputs: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        source(**inputs)


def test_a_metric_may_be_named_as_long_as_cloudwatch_allows() -> None:
    dimensions = {f"{number:255}": "v" * 1024 for number in range(30)}
    found = source(namespace="n" * 255, metric_name=":" * 255, dimensions=dimensions, levels={"4": 1})
    assert found.dimensions == dimensions


# --- the levels of a Worker ------------------------------------------------------------------------------------------


def test_a_metric_has_the_level_of_its_value_or_the_last_known() -> None:
    sources = {"cpu": CPU, "disk": DISK, "new": CPU}
    assert metric_levels(sources, {"cpu": 70.0}, last={"cpu": Level.HIGH, "disk": Level.POOR, "gone": Level.BAD}) == {
        "cpu": Level.LOW,
        "disk": Level.POOR,
        "new": Level.HIGH,
    }


def test_the_worst_metric_wins() -> None:
    assert worst({"cpu": Level.HIGH, "disk": Level.POOR, "io": Level.LOW}) is Level.POOR


def test_a_worker_without_metrics_is_healthy() -> None:
    assert worst({}) is Level.HIGH


@given(st.dictionaries(st.text(max_size=3), levels), levels)
def test_one_more_metric_never_makes_a_worker_healthier(found: dict[str, Level], level: Level) -> None:
    assert worst({**found, "one more": level}) <= worst(found)


# --- what a level leaves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "by_level"),
    [
        (100, [0, 0, 50, 75, 100]),
        (20, [0, 0, 10, 15, 20]),
        (10, [0, 0, 5, 7, 10]),
        (3, [0, 0, 1, 2, 3]),
        (1, [0, 0, 0, 0, 1]),
    ],
)
def test_a_level_leaves_its_part_of_the_limit_rounded_down(limit: int, by_level: list[int]) -> None:
    assert [allowed_slots(limit, level) for level in sorted(Level)] == by_level


@given(st.integers(1, 10_000), levels, levels)
def test_worse_health_never_raises_the_dispatch(limit: int, one: Level, other: Level) -> None:
    """Invariant 11."""
    worse, better = sorted((one, other))
    assert 0 <= allowed_slots(limit, worse) <= allowed_slots(limit, better) <= limit


@given(st.integers(1, 9_999), levels)
def test_a_higher_limit_never_lowers_the_dispatch(limit: int, level: Level) -> None:
    assert allowed_slots(limit, level) <= allowed_slots(limit + 1, level)
