"""Reading the state of an installation."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sosw_runtime import __version__, aws
from sosw_runtime.cli import times
from sosw_runtime.cli.installation import COUNTED_AT_MOST, Alarm, Installation, Unknown, WorkerState
from sosw_runtime.domain.task import Rank, Status
from sosw_runtime.storage import jobs, registry, slots, tasks
from sosw_runtime.storage.registry import WorkerRecord
from sosw_runtime.storage.tables import Tables

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricAlarmTypeDef

_ESSENTIALS: Final = ("scheduler", "orchestrator", "scavenger", "worker_assistant")
#: What the alarms of `modules/alarms` watch, beside metrics in the installation's own namespace.
_WATCHED: Final = (*_ESSENTIALS, "tick", "rejected_jobs")

_Read = TypeVar("_Read")


def read(tables: Tables, name: str) -> Installation:
    """Read an installation.

    Cost in read units: 0.5 per 15 stored jobs; a Worker 2, and 0.5 per 25 of its queued tasks, slots and dead tasks,
    up to 1,000 of each. One call of CloudWatch, and four of Lambda.
    """
    return Installation(
        name=name,
        at=times.now(),
        version=__version__,
        workers=[_worker(tables, worker) for worker in registry.workers(tables) if not worker.is_gone],
        open_jobs=[job for job in jobs.list_all(tables) if job.closed_at is None],
        cursors=jobs.cursors(tables),
        alarms=_known("alarms", lambda: _alarms_that_are_on(name)),
        versions=_known("versions of the functions", lambda: _versions(name)),
    )


def _worker(tables: Tables, worker: WorkerRecord) -> WorkerState:
    queue = tasks.queue_head(tables, worker.worker_id, worker.shards, COUNTED_AT_MOST)
    limit = None if worker.registration is None else worker.registration.max_concurrency
    dead = tasks.closed_entries(tables, worker.worker_id, Status.DEAD, page=COUNTED_AT_MOST)
    return WorkerState(
        worker_id=worker.worker_id,
        queued=len(queue),
        oldest_queued_at=min((Rank.parse(candidate.rank).time for candidate in queue), default=None),
        running=len(slots.occupied(tables, worker.worker_id)),
        max_concurrency=limit,
        allowed=None if limit is None else worker.current_limit,
        health=worker.level.name.lower(),
        dead=sum(1 for _ in islice(dead, COUNTED_AT_MOST)),
        control=worker.control,
        is_registered=worker.is_registered,
        problem=None if worker.problem is None else str(worker.problem),
    )


def _known(what: str, read: Callable[[], _Read]) -> _Read | Unknown:
    """What `read` reads, or why it cannot: the rest of the screen does not depend on it."""
    try:
        return read()
    except ClientError as error:
        return Unknown(what, f"{error.operation_name}: {error.response['Error']['Code']}")
    except BotoCoreError as error:
        return Unknown(what, str(error))


def _alarms_that_are_on(name: str) -> list[Alarm]:
    pages = (
        aws.cloudwatch()
        .get_paginator("describe_alarms")
        .paginate(AlarmNamePrefix=f"{name}_", StateValue="ALARM", AlarmTypes=["MetricAlarm"])
    )
    # Alarms of an installation `<name>_next` have the prefix too.
    watched = {f"{name}_{part}" for part in _WATCHED}
    return [
        Alarm(alarm["AlarmName"], round(alarm["StateUpdatedTimestamp"].timestamp() * 1000))
        for page in pages
        for alarm in page["MetricAlarms"]
        if _namespaces(alarm) == {name} or watched & {each["Value"] for each in alarm.get("Dimensions", ())}
    ]


def _namespaces(alarm: MetricAlarmTypeDef) -> set[str]:
    """The namespaces of the metrics that an alarm watches."""
    queried = [query["MetricStat"]["Metric"] for query in alarm.get("Metrics", ()) if "MetricStat" in query]
    return {metric["Namespace"] for metric in (alarm, *queried) if "Namespace" in metric}


def _versions(name: str) -> dict[str, str | None]:
    """The version that each function's environment pins; the alarm `version_mismatch` tells of another package."""
    found: dict[str, str | None] = {}
    for essential in _ESSENTIALS:
        configuration = aws.lambda_().get_function_configuration(FunctionName=f"{name}_{essential}")
        variables = configuration.get("Environment", {}).get("Variables", {})
        # Version 0.1.0 has the one of the older name.
        found[f"{name}_{essential}"] = variables.get("SOSW_PINNED_VERSION", variables.get("SOSW_VERSION"))
    return found
