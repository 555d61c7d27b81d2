"""A registration: a Worker's limit, lease, retries, health metrics and job schemas."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sosw_runtime.domain.chunking import JobSchema
from sosw_runtime.domain.health import MetricSource
from sosw_runtime.domain.job import worker_id_candidates

#: Seconds between a Worker's longest run and the end of its lease, for clocks that differ and reports under way.
LEASE_GRACE_SECONDS = 30

_MODEL = ConfigDict(frozen=True, extra="forbid")


class RetryPolicy(BaseModel):
    """How often and after which delay a failed task is retried."""

    model_config = _MODEL

    max_attempts: int = Field(default=3, ge=1, le=100)
    base_delay_seconds: float = Field(default=30, ge=0)
    max_delay_seconds: float = Field(default=3600, ge=0)

    @model_validator(mode="after")
    def _check_delays(self) -> Self:
        if self.max_delay_seconds < self.base_delay_seconds:
            raise ValueError(
                f"max_delay_seconds: {self.max_delay_seconds} is below base_delay_seconds ({self.base_delay_seconds})"
            )
        return self


class Registration(BaseModel):
    """The `worker` module's inputs, as Terraform writes them to the registry."""

    model_config = _MODEL

    worker_id: str = Field(min_length=1, max_length=140, pattern=r"^[A-Za-z0-9_.:-]+$")
    function_name: str = Field(min_length=1)  # name or ARN, with an alias if any
    timeout_seconds: int = Field(
        ge=1, le=900
    )  # https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    max_concurrency: int = Field(ge=1, le=10_000)
    labels: dict[str, str] = {}
    report_by: Literal["code", "destination"] = "code"
    max_event_age_seconds: int = Field(default=60, ge=60, le=21_600)  # PutFunctionEventInvokeConfig's own range
    retry: RetryPolicy = RetryPolicy()
    health_metrics: dict[str, MetricSource] = {}
    job_schemas: dict[str, JobSchema] = {}
    queue_shards: Annotated[int, Field(ge=1, le=100)] = 1

    @model_validator(mode="before")
    @classmethod
    def _default_worker_id(cls, value: object) -> object:
        if isinstance(value, dict) and "worker_id" not in value and isinstance(value.get("function_name"), str):
            return {**value, "worker_id": worker_id_candidates(value["function_name"])[-1]}
        return value

    @property
    def lease_ms(self) -> int:
        """The length of a lease in ms: the longest wait in AWS, the longest run and a grace."""
        return 1000 * (self.max_event_age_seconds + self.timeout_seconds + LEASE_GRACE_SECONDS)
