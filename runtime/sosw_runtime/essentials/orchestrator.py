"""Orchestrator: invokes Workers, each within its limit, slower while what it depends on is unhealthy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sosw_runtime import telemetry
from sosw_runtime.domain.slot import Slot
from sosw_runtime.domain.task import REPORTED, Status
from sosw_runtime.essentials.dispatch import dispatch
from sosw_runtime.essentials.invocation import Invocation, LambdaContext, is_stream, side_by_side, written_tasks
from sosw_runtime.essentials.tally import Tally, counted
from sosw_runtime.essentials.vitals import assessed
from sosw_runtime.storage import registry
from sosw_runtime.storage.registry import Standing

_WORKERS_AT_ONCE: Final = 8

logger = telemetry.logger("orchestrator")


@dataclass(frozen=True, slots=True)
class News:
    """What there is to do for one Worker. What a stream tells is a hint: it may be old, repeated or missing."""

    finished: tuple[Slot, ...] = ()  # slots whose task has just reported
    new_work: bool = False


def handler(event: dict[str, Any], context: LambdaContext | None) -> dict[str, Any]:
    """Fill free slots: of the Workers that a batch of the stream names, or on the tick of all.

    Args:
        event: a batch of the tasks table's stream; anything else is the tick.
        context: Lambda's.

    Returns:
        Counts of `Dispatched` and `Refused` invokes, as AWS took them or not, of `Failures` and of `Outages`.
    """
    invocation = Invocation.begin(context)
    tally = on_stream(invocation, event["Records"]) if is_stream(event) else on_tick(invocation)
    telemetry.count("orchestrator", invocation.settings.name, tally)
    return dict(tally)


def on_stream(invocation: Invocation, records: Iterable[Mapping[str, Any]]) -> Tally:
    """Hand on the slots that have come free, and start what is new."""
    news = _news(records)
    standings = registry.standing(invocation.tables, news)
    return _dispatch_all(invocation, [(standing, news[standing.worker_id]) for standing in standings.values()])


def on_tick(invocation: Invocation) -> Tally:
    """Assess every Worker's health, then fill its free slots."""
    standings = assessed(invocation, registry.standings(invocation.tables))
    tally = _dispatch_all(invocation, [(standing, News(new_work=True)) for standing in standings])
    name = invocation.settings.name
    telemetry.count("orchestrator", name, {"Heartbeat": 1})
    for standing in standings:
        telemetry.count("orchestrator", name, {"HealthLevel": standing.level}, standing.worker_id)
    return tally


def _news(records: Iterable[Mapping[str, Any]]) -> dict[str, News]:
    """What a batch tells, by Worker."""
    news: dict[str, News] = {}
    for task in written_tasks(records):
        told = news.get(task.worker_id, News())
        slot = Slot.of(task)
        if task.status is Status.QUEUED:
            news[task.worker_id] = News(told.finished, new_work=True)
        elif task.status in REPORTED and slot is not None:
            news[task.worker_id] = News((*told.finished, slot), told.new_work)
    return news


def _dispatch_all(invocation: Invocation, work: Sequence[tuple[Standing, News]]) -> Tally:
    def dispatch_one(item: tuple[Standing, News]) -> Tally:
        standing, news = item
        return dispatch(invocation, standing, news.finished, new_work=news.new_work)

    total = Tally()
    for (standing, _), outcome in side_by_side(dispatch_one, work, _WORKERS_AT_ONCE):
        # Its queue is kept, and the next tick tries again.
        tally = counted(outcome, logger, "dispatch failed", worker_id=standing.worker_id)
        if tally["Failures"]:
            failures = {"Failures": tally["Failures"]}
            telemetry.count("orchestrator", invocation.settings.name, failures, standing.worker_id)
        total += tally
    return total
