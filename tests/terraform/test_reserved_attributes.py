"""The worker module and the runtime agree on the attributes that jobs cannot be cut by."""

from __future__ import annotations

import hcl2
import pytest
from pydantic import ValidationError

from sosw_runtime.domain.chunking import DATE_LIST, JobSchema, plural
from sosw_runtime.domain.job import RESERVED_KEYS, Job
from tests.support.cache import ROOT

#: What a job's or a task's keys are called.
KEYS = {*RESERVED_KEYS, *Job.model_fields, "lambda_name", DATE_LIST, "days", "weeks", "months"}


def reserved_attributes() -> set[str]:
    """The module's list."""
    parsed = hcl2.loads((ROOT / "modules" / "worker" / "variables.tf").read_text())
    return {name.strip('"') for name in parsed["locals"][0]["reserved_attributes"]}


@pytest.mark.parametrize("attribute", sorted(reserved_attributes()))
def test_the_runtime_refuses_what_the_module_refuses(attribute: str) -> None:
    with pytest.raises(ValidationError, match="has a meaning of its own in every job"):
        JobSchema(chunkable_attrs=(attribute,))


def test_the_module_refuses_every_key_of_a_job_and_of_a_task() -> None:
    singulars = {key.removesuffix("s") for key in KEYS}

    assert {name for name in singulars if {name, plural(name)} & KEYS} == reserved_attributes()
