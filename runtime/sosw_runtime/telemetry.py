"""Logs and metrics of the Essentials: structured, with ids, never a payload."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from sosw_runtime.domain.task import Task


def logger(essential: str) -> Logger:
    """The structured logger of an Essential."""
    return Logger(service=essential)


def ids(task: Task) -> dict[str, Any]:
    """What every log line on a task carries."""
    return {"task_id": task.task_id, "worker_id": task.worker_id, "job_id": task.job_id, "attempt": task.attempt}


def count(essential: str, name: str, values: Mapping[str, float], worker_id: str | None = None) -> None:
    """Emit counts of an Essential, or of one Worker's, as CloudWatch's embedded metric format.

    Args:
        essential: the dimension `service`.
        name: of the installation; the namespace, unless POWERTOOLS_METRICS_NAMESPACE says otherwise.
        values: by metric name.
        worker_id: the dimension `worker_id`, if any.
    """
    if not values:
        return
    namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", name)
    metrics = EphemeralMetrics(namespace=namespace, service=essential)
    if worker_id is not None:
        metrics.add_dimension("worker_id", worker_id)
    for metric, value in values.items():
        metrics.add_metric(metric, MetricUnit.Count, value)
    metrics.flush_metrics()
