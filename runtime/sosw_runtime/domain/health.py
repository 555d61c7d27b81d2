"""Health of what a Worker depends on, and how much of its limit it leaves."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from enum import IntEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Level(IntEnum):
    """Five levels, the names' order is the numbers'."""

    BAD = 0
    POOR = 1
    LOW = 2
    MODERATE = 3
    HIGH = 4


#: The part of a Worker's limit that a level leaves, in percent so that the floor is exact.
_PERCENT = {Level.HIGH: 100, Level.MODERATE: 75, Level.LOW: 50, Level.POOR: 0, Level.BAD: 0}


def _plain(text: str) -> str:
    if text.isspace() or not (text.isascii() and text.isprintable()):
        raise ValueError(f"{text!r} has to consist of printable ASCII characters, and not of spaces alone")
    return text


def _without_colon(text: str) -> str:
    if text.startswith(":"):
        raise ValueError(f"{text!r} must not start with a colon")
    return text


_Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_plain)]
_NameWithoutColon = Annotated[_Name, AfterValidator(_without_colon)]
_Value = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_plain)]


class MetricSource(BaseModel):
    """A CloudWatch metric and the thresholds that make levels of its value.

    What names the metric is held to CloudWatch's own rules, which refuses a whole call for one that breaks them:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_Dimension.html

    `levels` maps a level ("4" to "1") to the threshold up to which (`better` = `low`) or down to which (`high`) the
    level holds. A value beyond them all is level 0.
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
    def _monotone(self) -> Self:
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


def assess(
    sources: Mapping[str, MetricSource], values: Mapping[str, float], last: Mapping[str, Level]
) -> dict[str, Level]:
    """The level of each metric: of its value, where that is missing the last known one, before any the highest."""
    return {
        name: source.level(values[name]) if name in values else last.get(name, Level.HIGH)
        for name, source in sources.items()
    }


def worst(levels: Mapping[str, Level]) -> Level:
    """The level of a Worker: its worst metric's; without metrics the highest."""
    return min(levels.values(), default=Level.HIGH)


def allowed(limit: int, level: Level) -> int:
    """Slots that may be filled: the floor of the limit times the level's coefficient (1, 0.75, 0.5, 0, 0)."""
    return limit * _PERCENT[level] // 100
