"""Health: levels of CloudWatch metrics, and the part of a Worker's limit that each level allows."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Level(IntEnum):
    """Five levels, from the worst to the best."""

    BAD = 0
    POOR = 1
    LOW = 2
    MODERATE = 3
    HIGH = 4


#: The percentage of a Worker's limit that a level allows: integers, so that the floor is exact.
_PERCENT = {Level.HIGH: 100, Level.MODERATE: 75, Level.LOW: 50, Level.POOR: 0, Level.BAD: 0}


def _check_printable(text: str) -> str:
    if text.isspace() or not (text.isascii() and text.isprintable()):
        raise ValueError(f"{text!r} has to consist of printable ASCII characters, and not of spaces alone")
    return text


def _check_no_colon(text: str) -> str:
    if text.startswith(":"):
        raise ValueError(f"{text!r} must not start with a colon")
    return text


_Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_check_printable)]
_NameWithoutColon = Annotated[_Name, AfterValidator(_check_no_colon)]
_Value = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_check_printable)]


class MetricSource(BaseModel):
    """A CloudWatch metric and the thresholds of its levels.

    Names must follow CloudWatch's rules, since CloudWatch refuses a whole call for one wrong name:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html

    `levels` maps a level ("4" to "1") to its threshold: the largest value of the level if `better` is `low`, the
    smallest if it is `high`. A value beyond all thresholds is level 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespace: _NameWithoutColon
    metric_name: _Name
    dimensions: Annotated[dict[_NameWithoutColon, _Value], Field(max_length=30)] = {}
    statistic: Literal["Average", "Maximum", "Minimum", "Sum", "SampleCount"] = "Average"
    period_seconds: Annotated[int, Field(ge=60, multiple_of=60)] = 60
    better: Literal["low", "high"] = "low"
    levels: dict[Literal["1", "2", "3", "4"], float] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_thresholds(self) -> Self:
        from_best = [self.levels[level] for level in sorted(self.levels, reverse=True)]
        rising = all(a < b for a, b in itertools.pairwise(from_best))
        falling = all(a > b for a, b in itertools.pairwise(from_best))
        if len(from_best) > 1 and not (rising if self.better == "low" else falling):
            order = "rise" if self.better == "low" else "fall"
            raise ValueError(f"levels: {self.levels} do not {order} from 4 to 1, as better = {self.better!r} needs")
        return self

    def level(self, value: float) -> Level:
        """The level of a value."""
        for name in sorted(self.levels, reverse=True):
            threshold = self.levels[name]
            if value <= threshold if self.better == "low" else value >= threshold:
                return Level(int(name))
        return Level.BAD


def metric_levels(
    sources: Mapping[str, MetricSource], values: Mapping[str, float], last: Mapping[str, Level]
) -> dict[str, Level]:
    """The level of each metric by its value; without a value the last known level, or else the highest."""
    return {
        name: source.level(values[name]) if name in values else last.get(name, Level.HIGH)
        for name, source in sources.items()
    }


def worst(levels: Mapping[str, Level]) -> Level:
    """The level of a Worker: that of its worst metric; without metrics the highest."""
    return min(levels.values(), default=Level.HIGH)


def allowed_slots(limit: int, level: Level) -> int:
    """Slots that may be filled: the limit times the level's coefficient (1, 0.75, 0.5, 0, 0), rounded down."""
    return limit * _PERCENT[level] // 100
