"""Orchestrator: invokes Workers, each within its limit, which bad health of its metrics lowers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sosw_runtime import telemetry
from sosw_runtime.domain.slot import Slot
from sosw_runtime.domain.task import REPORTED, Status
from sosw_runtime.essentials.dispatch import dispatch
from sosw_runtime.essentials.health_metrics import assess_health
from sosw_runtime.essentials.invocation import Invocation, LambdaContext
from sosw_runtime.essentials.parallel import Counters
from sosw_runtime.essentials.rounds import Turns, serve_in_rounds
from sosw_runtime.essentials.stream import is_stream, written_tasks
from sosw_runtime.storage import registry, slots, tasks, tokens
from sosw_runtime.storage.registry import WorkerRecord

#: Largest part of a tick's time for reading health. If CloudWatch takes longer, the last known levels hold.
_HEALTH_SHARE: Final = 0.5

logger = telemetry.logger("orchestrator")


@dataclass(frozen=True, slots=True)
class News:
    """Work for one Worker, according to the stream. Records may be old, repeated or missing."""

    reported: tuple[Slot, ...] = ()  # slots whose task has just reported
    new_work: bool = False


def handler(event: dict[str, Any], context: LambdaContext | None) -> dict[str, Any]:
    """Fill free slots: of the Workers in a batch of the stream, or on the tick of all Workers.

    Args:
        event: a batch of the tasks table's stream; anything else is the tick.
        context: Lambda's.

    Returns:
        Counts of invokes that AWS accepted (`Dispatched`) and refused (`Refused`), of `Failures` and `Outages`, and of
        `LeftOver`: Workers for which there was too little time, plus one if reading health took too long.
    """
    invocation = Invocation.begin(context)
    counters = on_stream(invocation, event["Records"]) if is_stream(event) else on_tick(invocation)
    telemetry.count("orchestrator", invocation.settings.name, counters)
    return dict(counters)


def on_stream(invocation: Invocation, records: Iterable[Mapping[str, Any]]) -> Counters:
    """Hand on the slots of tasks that reported, and start new tasks."""
    news = _news_by_worker(records)
    workers = registry.find_workers(invocation.tables, news)
    return _dispatch_all(
        invocation,
        {
            worker_id: dispatch(invocation, worker, news[worker_id].reported, new_work=news[worker_id].new_work)
            for worker_id, worker in workers.items()
        },
    )


def on_tick(invocation: Invocation) -> Counters:
    """Assess every Worker's health, then fill its free slots."""
    workers = [worker for worker in registry.workers(invocation.tables) if not worker.is_gone]
    share = invocation.share(_HEALTH_SHARE)
    workers = assess_health(share, workers)
    counters = Counters(LeftOver=int(share.out_of_time))
    counters += _dispatch_all(invocation, {worker.worker_id: _fill_if_queued(invocation, worker) for worker in workers})
    name = invocation.settings.name
    telemetry.count("orchestrator", name, {"Heartbeat": 1})
    for worker in workers:
        if worker.registration is not None and worker.registration.health_metrics:
            telemetry.count("orchestrator", name, {"HealthLevel": worker.level}, worker.worker_id)
    return counters


def _fill_if_queued(invocation: Invocation, worker: WorkerRecord) -> Turns:
    """Fill a Worker's free slots if it has queued tasks. Without any its slots are not read."""
    tables, worker_id = invocation.tables, worker.worker_id
    if not worker.is_registered:
        if not slots.occupied(tables, worker_id, consistent=True):
            # A new registration may be of another function.
            tokens.forget_token_seen(tables, worker_id)
            registry.mark_gone(tables, worker)
        return Counters()
    if worker.registration is not None and not tasks.queue_head(tables, worker_id, worker.shards, 1):
        return Counters()
    return (yield from dispatch(invocation, worker, (), new_work=True))


def _news_by_worker(records: Iterable[Mapping[str, Any]]) -> dict[str, News]:
    """The work in a batch of the stream, by Worker."""
    news: dict[str, News] = {}
    for task in written_tasks(records):
        known = news.get(task.worker_id, News())
        slot = Slot.of(task)
        if task.status is Status.QUEUED:
            news[task.worker_id] = News(known.reported, new_work=True)
        elif task.status in REPORTED and slot is not None:
            news[task.worker_id] = News((*known.reported, slot), known.new_work)
    return news


def _dispatch_all(invocation: Invocation, work: Mapping[str, Turns]) -> Counters:
    """Dispatch for some Workers. If one fails, its queue is kept and the next tick retries."""
    served = serve_in_rounds(invocation, work, logger, "dispatch failed", "worker_id")
    for worker_id, counters in served.by_name.items():
        if counters["Failures"]:
            failures = {"Failures": counters["Failures"]}
            telemetry.count("orchestrator", invocation.settings.name, failures, worker_id)
    return served.total + Counters(LeftOver=len(served.left_over))
