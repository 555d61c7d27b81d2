"""What people, Workers and Lambda say: the events of jobs, the reports, and the records of destinations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sosw_runtime.worker import ReportUndelivered


@dataclass
class Event:
    """An asynchronous event that Lambda accepted."""

    function: str
    payload: dict[str, Any]
    accepted_at: int  # ms
    deliveries: int = 0

    @property
    def attempt(self) -> tuple[str, int]:
        """Whose attempt it is."""
        return self.payload["task_id"], self.payload["attempt"]


def job(worker_id: str, count: int, job_id: str, /, **keys: Any) -> dict[str, Any]:
    """The event that asks for a job of so many tasks."""
    days = {"start_date": "2026-01-01", "end_date": str(date(2026, 1, 1) + timedelta(count - 1)), "isolate_days": True}
    return {"job": {"worker": worker_id, "job_id": job_id, **days, **keys}}


def completed(event: Event, *, names_attempt: bool = True, has_token: bool = True) -> dict[str, Any]:
    """A Worker's report that all went well; version 0.1.0 knows no token, and sosw 0.7 Workers name no attempt."""
    task_id, attempt = event.attempt
    report: dict[str, Any] = {"action": "mark_task_as_completed", "task_id": task_id, "result": {"attempt": attempt}}
    if not names_attempt:
        return report
    return {**report, "attempt": attempt, **(repeated(event) if has_token else {})}


def failed(
    event: Event, *, retryable: bool = True, retry_after: float | None = None, has_token: bool = True
) -> dict[str, Any]:
    """A Worker's report that it failed, and maybe wants its next attempt after some seconds."""
    task_id, attempt = event.attempt
    error = {"type": "Broken", "message": "as asked"}
    report: dict[str, Any] = {
        "action": "mark_task_as_failed",
        "task_id": task_id,
        "attempt": attempt,
        "error": error,
        "retryable": retryable,
    }
    if retry_after is not None:
        report["retry_after_seconds"] = retry_after
    return report | repeated(event) if has_token else report


def repeated(event: Event) -> dict[str, Any]:
    """What a report repeats of its event, beside task and attempt."""
    names = {"worker_id": "worker_id", "installation": "sosw_installation", "token": "sosw_token"}
    return {name: event.payload[key] for name, key in names.items() if key in event.payload}


def destination_record(event: Event, condition: str, response: Any = None, invocations: int = 1) -> dict[str, Any]:
    """What Lambda tells of an event: `Success`, `RetriesExhausted` or `EventAgeExceeded`."""
    return {
        "version": "1.0",
        "requestContext": {"condition": condition, "approximateInvokeCount": invocations},
        "requestPayload": event.payload,
        "responsePayload": response,
    }


def undelivered(event: Event) -> dict[str, Any]:
    """What Lambda tells of a Worker that completed its task and could not report it."""
    error = str(ReportUndelivered("throttled", {"attempt": event.attempt[1]}, {}))
    return destination_record(event, "RetriesExhausted", {"errorType": "ReportUndelivered", "errorMessage": error})
