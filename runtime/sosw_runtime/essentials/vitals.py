"""Vitals: the health of what Workers depend on, read from CloudWatch once a tick for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sosw_runtime import aws, telemetry
from sosw_runtime.domain.health import MetricSource, assess
from sosw_runtime.domain.registration import Registration
from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.storage import registry
from sosw_runtime.storage.registry import Standing

#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
_METRICS_A_CALL: Final = 500

#: Periods that are looked back: metrics arrive a minute or two late, and the newest value counts.
_PERIODS_BACK: Final = 5

logger = telemetry.logger("orchestrator")


def assessed(invocation: Invocation, standings: Sequence[Standing]) -> list[Standing]:
    """The standings with their health as of now, noted in the registry where it changed."""
    sources = {
        standing.worker_id: standing.registration.health_metrics
        for standing in standings
        if isinstance(standing.registration, Registration)
    }
    values = _newest_values(sources, invocation.clock())
    return [
        _renewed(invocation, standing, sources[standing.worker_id], values[standing.worker_id])
        if standing.worker_id in sources
        else standing
        for standing in standings
    ]


def _renewed(
    invocation: Invocation, standing: Standing, sources: Mapping[str, MetricSource], values: Mapping[str, float]
) -> Standing:
    renewed = standing.renewed(assess(sources, values, standing.health))
    if renewed.is_news_to(standing):
        try:
            registry.put_health(invocation.tables, renewed)
        except Exception:
            # The level holds for this tick all the same, and the next one notes it.
            logger.exception("health not noted", extra={"worker_id": standing.worker_id})
    return renewed


def _newest_values(sources: Mapping[str, Mapping[str, MetricSource]], now: int) -> dict[str, dict[str, float]]:
    """By Worker and metric; what CloudWatch does not give is missing."""
    wanted = [(worker_id, name, source) for worker_id, metrics in sources.items() for name, source in metrics.items()]
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for start in range(0, len(wanted), _METRICS_A_CALL):
        part = wanted[start : start + _METRICS_A_CALL]
        try:
            for number, value in _read([source for _, _, source in part], now).items():
                worker_id, name, _ = part[number]
                values[worker_id][name] = value
        except Exception:
            logger.exception("health not read; the last known levels hold")
    return values


def _read(sources: Sequence[MetricSource], now: int) -> dict[int, float]:
    """The newest value of each metric, by its place in `sources`."""
    end = datetime.fromtimestamp(now / 1000, UTC)
    pages = (
        aws.cloudwatch()
        .get_paginator("get_metric_data")
        .paginate(
            MetricDataQueries=[_query(number, source) for number, source in enumerate(sources)],
            StartTime=end - _PERIODS_BACK * timedelta(seconds=max(source.period_seconds for source in sources)),
            EndTime=end,
            ScanBy="TimestampDescending",
        )
    )
    newest: dict[int, float] = {}
    for page in pages:
        for result in page["MetricDataResults"]:
            if result["Values"]:
                newest.setdefault(int(result["Id"][1:]), result["Values"][0])
    return newest


def _query(number: int, source: MetricSource) -> Any:
    return {
        "Id": f"m{number}",
        "MetricStat": {
            "Metric": {
                "Namespace": source.namespace,
                "MetricName": source.metric_name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in sorted(source.dimensions.items())],
            },
            "Period": source.period_seconds,
            "Stat": source.statistic,
        },
    }
