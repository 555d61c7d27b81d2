"""The tasks of a job, without AWS."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

from pydantic import TypeAdapter, ValidationError

from sosw_runtime.cli import times
from sosw_runtime.domain import periods
from sosw_runtime.domain.chunking import JobSchema, payload_texts
from sosw_runtime.domain.job import Job, parse
from sosw_runtime.errors import Refused
from sosw_runtime.settings import Settings

_Inputs = tuple[Job, dict[str, JobSchema], date]

_JOB_SCHEMAS: Final = TypeAdapter(dict[str, JobSchema])
_EXAMPLE: Final = '{"default": {"chunkable_attrs": ["section", "store"]}}'


def preview(job_text: str, schemas: str | Mapping[str, JobSchema] | None, today: date | None) -> Iterator[str]:
    """The payload of every task of a job as JSON, cut as the Scheduler cuts it.

    Args:
        job_text: the job, in any form in which the Scheduler takes it.
        schemas: the Worker's `job_schemas`, as a JSON object or as they are registered; None for a Worker without.
        today: the day from which periods count; None for today in the job's time zone, or else in `SOSW_TIMEZONE`.

    Raises:
        Refused: before the first payload, if the job, the schemas or any of the payloads is invalid.
    """
    inputs = _inputs(job_text, schemas, today)
    _count(inputs)
    return payload_texts(*inputs)


def count(job_text: str, schemas: str | Mapping[str, JobSchema] | None, today: date | None) -> int:
    """The number of payloads of `preview`, which refuses the same jobs."""
    return _count(_inputs(job_text, schemas, today))


def _inputs(job_text: str, schemas: str | Mapping[str, JobSchema] | None, today: date | None) -> _Inputs:
    timezone = Settings().timezone
    job = parse(job_text, timezone).job
    read = _schemas(schemas) if isinstance(schemas, str) else dict(schemas or {})
    return job, read, today or periods.today(times.now(), job.time_zone or timezone)


def _count(inputs: _Inputs) -> int:
    """The number of payloads. Makes each of them, as any may be too large, and keeps none: there may be a million."""
    return sum(1 for _ in payload_texts(*inputs))


def _schemas(text: str) -> dict[str, JobSchema]:
    try:
        return _JOB_SCHEMAS.validate_json(text)
    except ValidationError as invalid:
        error = invalid.errors()[0]
        field = ".".join(["job_schemas", *(str(part) for part in error["loc"])])
        expected = str(error["ctx"]["error"]) if "error" in error.get("ctx", {}) else error["msg"]
        raise Refused(field, error["input"], f"expected e.g. {_EXAMPLE}: {expected}") from invalid
