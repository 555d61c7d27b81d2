"""How full the slots are: a job on the complete example, on MiniStack, from its submission to its last report."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

from examples.complete import build, demo
from tests.support.cache import ROOT
from tests.support.ministack import MiniStack, ministack
from tests.support.terraform import Terraform, compatible_copy, use_emulator

import sosw_runtime
from sosw_runtime.domain.task import Task
from sosw_runtime.storage.items import to_tasks
from sosw_runtime.storage.tables import Tables

TASKS: Final = 60
LIMIT: Final = 10
SECONDS: Final = 2
#: All tasks in as many rounds as the limit makes of them.
IDEAL_MS: Final = 1000 * SECONDS * TASKS // LIMIT

#: The first run starts a process for every function of the emulator and is left out.
RUNS: Final = 4

NAME: Final = "sosw"
PATIENCE_SECONDS: Final = 180

#: The root module's filters of the two mappings, which the packaged provider cannot set.
_REPORTED: Final = {"eventName": ["MODIFY"], "dynamodb": {"NewImage": {"status": {"S": ["completed", "failed"]}}}}
_FILTERS: Final[dict[str, list[Any]]] = {
    "orchestrator": [{"eventName": ["INSERT"]}, _REPORTED],
    "scavenger": [_REPORTED],
}

ARRANGEMENT: Final = (
    "The complete example on MiniStack, whose Lambda runs every function in processes of its own on this machine: a "
    f"job of {TASKS} days for a Worker that takes {SECONDS} s a day, at a limit of {LIMIT}, which takes "
    f"{IDEAL_MS / 1000:.0f} s at best. Measured from before the Scheduler is invoked to the last report; a first run "
    "is left out.",
)


@dataclass(frozen=True)
class Run:
    """One job; all in ms."""

    took: int  # from its submission to the last report
    first_start: int  # from its submission to the first claim
    starts: list[int]  # from its submission to the claim, of the tasks for which slots were free
    handed_on: list[int]  # from a report to the next claim of its slot
    overhead: list[int]  # from the claim to the report, beyond the seconds that the Worker takes

    @property
    def fullness(self) -> float:
        """The ideal over what it took."""
        return IDEAL_MS / self.took

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Out of the results' JSON."""
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """For the results."""
        return asdict(self)


def measure(begun: Callable[[str], None], done: Callable[[], None]) -> list[Run]:
    """Apply the example and run the job a few times; `begun` and `done` are told of each step."""
    begun("apply the example")
    runs = []
    with tempfile.TemporaryDirectory(prefix="sosw-benchmark-") as scratch, ministack("ministack-benchmarks") as aws:
        worker = _applied(Path(scratch), aws).output()["worker_ids"]["collect"]
        _filter(aws)
        done()
        for number in range(RUNS):
            begun(f"run {number}" if number else "warm up")
            runs.append(_run(aws, worker))
            done()
    return runs[1:]


def _applied(scratch: Path, aws: MiniStack) -> Terraform:
    directory = compatible_copy(ROOT, scratch / "tree") / "examples" / "complete"
    use_emulator(directory, aws.endpoint)
    variables = {
        "name": NAME,
        "runtime": {"package": str(demo.essentials_package()), "version": sosw_runtime.__version__},
        "workers_package": str(build.build()),
        "max_concurrency": LIMIT,
        "station": {"answers_after_seconds": SECONDS, "down_on_days_of_month": [], "kills_on": "1900-01-01"},
    }
    terraform = Terraform(directory, variables=variables, environment=aws.environment)
    terraform.init()
    terraform.apply()
    return terraform


def _filter(aws: MiniStack) -> None:
    client = aws.client("lambda")
    for essential, patterns in _FILTERS.items():
        [mapping] = client.list_event_source_mappings(FunctionName=f"{NAME}_{essential}")["EventSourceMappings"]
        filters = [{"Pattern": json.dumps(pattern)} for pattern in patterns]
        client.update_event_source_mapping(UUID=mapping["UUID"], FilterCriteria={"Filters": filters})


def _run(aws: MiniStack, worker: str) -> Run:
    tables, client = Tables.with_client(aws.client("dynamodb"), NAME), aws.client("lambda")
    job = {"worker": worker, "start_date": "2012-01-01", "end_date": "2012-02-29", "isolate_days": True}
    submitted = time.time_ns() // 1_000_000
    answer = client.invoke(FunctionName=f"{NAME}_scheduler", Payload=json.dumps({"job": job}).encode())
    accepted = json.loads(answer["Payload"].read())
    assert accepted["tasks"] == TASKS, accepted
    return _seen(_closed(tables, accepted["job_id"]), submitted)


def _closed(tables: Tables, job_id: str) -> list[Task]:
    """The tasks of a job, once they are all closed."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        time.sleep(2)  # looked at seldom, since the emulator shares the machine
        pages = tables.client.get_paginator("scan").paginate(TableName=tables.closed_tasks, ConsistentRead=True)
        tasks = [task for task in to_tasks(item for page in pages for item in page["Items"]) if task.job_id == job_id]
        if len(tasks) == TASKS:
            return tasks
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(tasks)} of {TASKS} tasks were closed within {PATIENCE_SECONDS} s")


def _seen(tasks: list[Task], submitted: int) -> Run:
    spans = [(task.slot or 0, task.started_at or 0, task.closed_at or 0) for task in tasks]
    claims = sorted(claimed for _, claimed, _ in spans)
    return Run(
        took=max(reported for _, _, reported in spans) - submitted,
        first_start=claims[0] - submitted,
        starts=[claimed - submitted for claimed in claims[:LIMIT]],
        handed_on=list(_handed_on(spans)),
        overhead=sorted(reported - claimed - 1000 * SECONDS for _, claimed, reported in spans),
    )


def _handed_on(spans: list[tuple[int, int, int]]) -> Iterator[int]:
    for slot in range(LIMIT):
        in_slot = sorted((claimed, reported) for number, claimed, reported in spans if number == slot)
        yield from (claimed - reported for (_, reported), (claimed, _) in pairwise(in_slot))
