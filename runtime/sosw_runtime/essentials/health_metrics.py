"""Health metrics of all Workers, read from CloudWatch once a tick."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from botocore.exceptions import ClientError, ParamValidationError

from sosw_runtime import aws, telemetry
from sosw_runtime.domain.health import MetricSource, metric_levels
from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.essentials.parallel import run_concurrently
from sosw_runtime.storage import registry
from sosw_runtime.storage.registry import WorkerRecord

#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
_METRICS_A_CALL: Final = 500

_CALLS_AT_ONCE: Final = 8

#: How many of its periods back a metric's newest value may be: values arrive a minute or two late. Without one the last
#: known level holds.
_PERIODS_BACK: Final = 5

#: Prefixes of the error codes with which CloudWatch refuses a metric.
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CommonErrors.html
_REFUSALS: Final = ("Validation", "InvalidParameter", "MissingParameter", "MissingRequiredParameter")

logger = telemetry.logger("orchestrator")


class _Metric(NamedTuple):
    worker_id: str
    name: str
    source: MetricSource


def assess_health(invocation: Invocation, workers: Sequence[WorkerRecord]) -> list[WorkerRecord]:
    """Read the health of Workers and store it where it changed; the Workers with their new health."""
    sources = {
        worker.worker_id: worker.registration.health_metrics for worker in workers if worker.registration is not None
    }
    values = _newest_values(invocation, sources)
    renewed = [
        worker.with_health(metric_levels(sources[worker.worker_id], values[worker.worker_id], worker.health))
        if worker.worker_id in sources
        else worker
        for worker in workers
    ]
    _put_health(invocation, [new for new, old in zip(renewed, workers, strict=True) if new.differs_from(old)])
    return renewed


def _put_health(invocation: Invocation, renewed: Sequence[WorkerRecord]) -> None:
    """Store the health of Workers. If that fails, the level still holds for this tick, and the next tick stores it."""

    def put(worker: WorkerRecord) -> None:
        registry.put_health(invocation.tables, worker)

    for worker, result in run_concurrently(put, renewed, _CALLS_AT_ONCE, invocation.has_time):
        if isinstance(result, Exception):
            logger.error("health not stored", exc_info=result, extra={"worker_id": worker.worker_id})


def _newest_values(
    invocation: Invocation, sources: Mapping[str, Mapping[str, MetricSource]]
) -> dict[str, dict[str, float]]:
    """The newest values by Worker and metric, without those that CloudWatch does not have."""
    by_period: dict[int, list[_Metric]] = defaultdict(list)
    for worker_id, metrics in sources.items():
        for name, source in metrics.items():
            by_period[source.period_seconds].append(_Metric(worker_id, name, source))
    values: dict[str, dict[str, float]] = defaultdict(dict)
    for period, wanted in by_period.items():
        # Shuffled, so that not always the same metrics are left out for lack of time.
        random.shuffle(wanted)
        for start in range(0, len(wanted), _METRICS_A_CALL):
            part = wanted[start : start + _METRICS_A_CALL]
            for metric, value in _read_in_halves(invocation, part, period):
                values[metric.worker_id][metric.name] = value
    return values


def _read_in_halves(invocation: Invocation, metrics: Sequence[_Metric], period: int) -> Iterator[tuple[_Metric, float]]:
    """The newest values. If CloudWatch refuses a call, its halves are read, until the refused metric is alone.

    CloudWatch does not name it. Halving finds one among 500 in 18 calls. A call for each Worker takes as many calls
    as there are Workers, each minute, even if none is refused.
    """
    if invocation.out_of_time:
        logger.error("no time to read health; the last known levels hold", extra={"metrics": len(metrics)})
        return
    try:
        newest = _read_newest([metric.source for metric in metrics], period, invocation.clock())
    except Exception as error:
        if not _is_refusal(error):
            logger.exception("health not read; the last known levels hold")
        elif len(metrics) == 1:
            refused = {"worker_id": metrics[0].worker_id, "metric": metrics[0].name}
            logger.exception("health metric refused by CloudWatch; its last known level holds", extra=refused)
        else:
            middle = len(metrics) // 2
            yield from _read_in_halves(invocation, metrics[:middle], period)
            yield from _read_in_halves(invocation, metrics[middle:], period)
    else:
        yield from ((metrics[number], value) for number, value in newest.items())


def _is_refusal(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"].startswith(_REFUSALS)
    return isinstance(error, ParamValidationError)


def _read_newest(sources: Sequence[MetricSource], period: int, now: int) -> dict[int, float]:
    """The newest value of each metric by its index in `sources`; all have the same period (s)."""
    end = datetime.fromtimestamp(now / 1000, UTC)
    pages = (
        aws.cloudwatch()
        .get_paginator("get_metric_data")
        .paginate(
            MetricDataQueries=[_query(number, source) for number, source in enumerate(sources)],
            StartTime=end - _PERIODS_BACK * timedelta(seconds=period),
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
