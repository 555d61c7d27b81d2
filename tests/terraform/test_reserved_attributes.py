"""The modules and the runtime agree on words: attributes that jobs cannot be cut by, keys, periods, time zones."""

from __future__ import annotations

from importlib.resources import files

import hcl2
import pytest
from pydantic import ValidationError

from sosw_runtime.domain.chunking import DATE_LIST, JobSchema, plural
from sosw_runtime.domain.job import RESERVED_KEYS, WORDS, Job
from sosw_runtime.domain.periods import PERIODS
from tests.support.cache import ROOT

#: What a job's or a task's keys are called.
KEYS = {*RESERVED_KEYS, *Job.model_fields, "lambda_name", DATE_LIST, "days", "weeks", "months"}


def listed(module: str, name: str) -> set[str]:
    """A module's list."""
    parsed = hcl2.loads((ROOT / "modules" / module / "variables.tf").read_text())
    return {key.strip('"') for key in parsed["locals"][0][name]}


def reserved_attributes() -> set[str]:
    """The worker module's list."""
    return listed("worker", "reserved_attributes")


@pytest.mark.parametrize("attribute", sorted(reserved_attributes()))
def test_the_runtime_refuses_what_the_module_refuses(attribute: str) -> None:
    with pytest.raises(ValidationError, match="has a meaning of its own in every job"):
        JobSchema(chunkable_attrs=(attribute,))


def test_the_module_refuses_every_key_of_a_job_and_of_a_task() -> None:
    singulars = {key.removesuffix("s") for key in KEYS}

    assert {name for name in singulars if {name, plural(name)} & KEYS} == reserved_attributes()


def test_the_job_module_refuses_every_key_of_a_task() -> None:
    assert listed("job", "reserved_keys") == RESERVED_KEYS | {"lambda_name"}


def test_the_job_module_knows_every_word_of_the_language() -> None:
    assert listed("job", "words") == set(WORDS)


def test_the_job_module_knows_every_period_of_the_language() -> None:
    assert listed("job", "periods") == PERIODS.keys()


def test_the_modules_know_the_time_zones_of_the_package() -> None:
    listed_zones = (ROOT / "checks" / "time_zones.txt").read_text().split()

    assert listed_zones == (files("tzdata") / "zones").read_text().split()
