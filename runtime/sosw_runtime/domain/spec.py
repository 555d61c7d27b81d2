"""The stored spec of an accepted job."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sosw_runtime.domain.chunking import AS_STORED, JobSchema
from sosw_runtime.domain.job import Job


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything that decides a job's tasks, so that they are the same tasks whenever they are cut."""

    job: Job
    schemas: Mapping[str, JobSchema]
    shards: int

    @property
    def job_as_asked(self) -> dict[str, Any]:
        """The job with the keys that were given, as JSON."""
        return self.job.model_dump(mode="json", exclude_unset=True)

    def to_json(self) -> str:
        """As it is stored."""
        # Version 0.1.0, to which `payload` is a key like any other, leaves a job with it to a later version.
        key = "job_with_payload" if self.job.payload else "job"
        return json.dumps(
            {
                key: self.job_as_asked,
                "schemas": {name: schema.model_dump(mode="json") for name, schema in self.schemas.items()},
                "shards": self.shards,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote, in this version or in 0.1.0."""
        values = json.loads(text)
        schemas = {
            name: JobSchema.model_validate(schema, context=AS_STORED) for name, schema in values["schemas"].items()
        }
        job = values.get("job_with_payload") or _as_meant_by_0_1_0(values["job"])
        return cls(Job.model_validate(job), schemas, values["shards"])


def _as_meant_by_0_1_0(job: dict[str, Any]) -> dict[str, Any]:
    """A stored job in which `payload` is a key of its own, for the tasks."""
    return {**job, "payload": {"payload": job["payload"]}} if "payload" in job else job
