"""The shapes of what goes between a user's code and an installation, for editors and type checkers."""

# Annotations stay values: as texts `NotRequired` would be lost on whoever looks at the keys of a class.

from typing import Any, Literal, NotRequired, Required, TypedDict


class Event(TypedDict):
    """What a Worker is called with, beside the keys of the task's payload.

    The payload's keys are added by a class of your own: `class ResizeEvent(Event): images: list[str]`. An invocation by
    hand has what its author wrote.
    """

    task_id: str
    worker_id: str
    job_id: str
    attempt: int
    """From 1."""
    created_at: int
    """When the task was made, in ms since the epoch."""
    sosw_installation: NotRequired[str]
    """The `name` of the Terraform module."""
    labourer_id: NotRequired[str]
    """`worker_id`, as sosw 0.7 code reads it."""
    attempts: NotRequired[int]
    """`attempt`, as sosw 0.7 code reads it."""


class ReportedError(TypedDict):
    """Why a task failed."""

    type: str
    message: str


class Report(TypedDict):
    """What a Worker sends to the WorkerAssistant; what is missing is not known to the Worker."""

    action: Literal["mark_task_as_completed", "mark_task_as_failed"]
    task_id: str
    attempt: NotRequired[int]
    worker_id: NotRequired[str]
    installation: NotRequired[str]
    token: NotRequired[str]
    """A secret of the attempt, the event's `sosw_token`."""
    result: NotRequired[dict[str, Any]]
    stats: NotRequired[dict[str, Any]]
    error: NotRequired[ReportedError]
    retryable: NotRequired[bool]
    retry_after_seconds: NotRequired[float]
    """From the report until the next attempt, 0 to 366 days; of a failed task."""


class Answer(TypedDict):
    """What the WorkerAssistant answers to a report."""

    task_id: str | None
    """None if the event carried no task."""
    accepted: bool
    state: str
    """The task's status; `unknown` if no such task is in the tasks table."""
    reason: str | None
    """Why the report is not accepted."""


class Job(TypedDict, total=False):
    """What the Scheduler cuts into tasks.

    The keys to cut by, and those of the payload, are added by a class of your own:
    `class StoresJob(Job, total=False): stores: list[str]; isolate_stores: bool`.
    """

    worker: Required[str]
    job_id: str
    job_schema_name: str
    priority: int
    """0 to 9, 9 first."""
    time_zone: str
    """Of IANA, such as `Europe/Berlin`."""
    start_at: int | float | str
    """Seconds or milliseconds since the epoch, or a time as `2026-01-31T06:00`."""
    period: str
    start_date: str
    """`YYYY-MM-DD`."""
    end_date: str
    """Included."""
    date_list: list[str]
    isolate_days: bool
    isolate_weeks: bool
    isolate_months: bool
    payload: dict[str, Any]
    """Keys that every task gets as they are."""
