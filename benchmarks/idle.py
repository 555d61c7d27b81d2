"""Money: what an installation costs while it idles, and what a million tasks cost, at AWS's list prices."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.support.cache import ROOT
from tests.support.dynamodb_local import DynamoDBLocal, dynamodb_local
from tests.support.terraform import Terraform, compatible_copy

from benchmarks.costs import PAYLOADS, run_driver

#: Numbers of registered Workers, none of which has anything to do.
WORKERS: Final = (1, 100, 1_000)
#: What is measured, one after the other.
STEPS: Final = 1 + len(WORKERS) + len(PAYLOADS)
#: Ticks over which is averaged.
TICKS: Final = 3
#: Of a month, as AWS's calculator has it: 730 hours.
MINUTES: Final = 730 * 60

_DYNAMODB: Final = "https://aws.amazon.com/dynamodb/pricing/on-demand/"
_LAMBDA: Final = "https://aws.amazon.com/lambda/pricing/"
_CLOUDWATCH: Final = "https://aws.amazon.com/cloudwatch/pricing/"

#: A function of this memory has one virtual CPU, one of less has its part of it.
#: https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_MB_OF_A_CPU: Final = 1769
#: Of an answer of DynamoDB within a region, in seconds.
_WAIT: Final = 0.005
#: Calls that are waited for together: a report is one call, the others have threads.
_CALLS_AT_ONCE: Final = {"scheduler": 20, "orchestrator": 8, "scavenger": 8, "worker_assistant": 1}

#: What Lambda itself logs of each invocation, and what CloudWatch adds to each line.
#: https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html
#: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
_OWN_LINES: Final = (
    "START RequestId: 8f507cfc-0000-4697-b07a-ac58fc914c95 Version: $LATEST\n",
    "END RequestId: 8f507cfc-0000-4697-b07a-ac58fc914c95\n",
    "REPORT RequestId: 8f507cfc-0000-4697-b07a-ac58fc914c95\tDuration: 102.25 ms\tBilled Duration: 103 ms\t"
    "Memory Size: 512 MB\tMax Memory Used: 110 MB\t\n",
)
_BYTES_A_LINE: Final = 26


@dataclass(frozen=True)
class Price:
    """A list price of us-east-1."""

    dollars: float
    unit: str
    source: str


#: As of the pages in November 2026.
PRICES: Final[Mapping[str, Price]] = {
    "alarm": Price(0.10, "alarm and month", _CLOUDWATCH),
    "metric": Price(0.30, "custom metric and month", _CLOUDWATCH),
    "asked": Price(0.01, "thousand metrics asked for", _CLOUDWATCH),
    "log": Price(0.50, "GB of logs", _CLOUDWATCH),
    "request": Price(0.20, "million invocations", _LAMBDA),
    "compute": Price(0.0000133334, "GB-second on arm64", _LAMBDA),
    "write": Price(0.625, "million write units", _DYNAMODB),
    "read": Price(0.125, "million read units", _DYNAMODB),
}

ARRANGEMENT: Final = (
    f"Idle: registered Workers without health metrics, none of which has a task. {TICKS} ticks of the Orchestrator and "
    "of the Scavenger on DynamoDB Local, after two that are left out; a month has 730 hours. Alarms are those that a "
    "plan of the root module with its defaults has. Custom metrics are those that the ticks print, each by its "
    "dimensions. A read that finds nothing counts as the least that a read costs. The minute's rule and Lambda's reads "
    "of the table's stream are free. A health metric is asked for by each tick, and its Worker "
    "has a custom metric.",
    "A million tasks: 300 lives as above, in batches of 100, without the ticks. The Worker's own invocations, its logs "
    "and storage are not counted.",
    "Compute: the CPU time of the machine that measured, at the part of a CPU that a function of this memory has, and "
    f"{_WAIT * 1000:.0f} ms of waiting for each call, of which a batch or a tick makes eight at once. Logs: what the "
    "Essentials print at level INFO, and Lambda's own three lines an invocation. No free tier is counted.",
)


@dataclass(frozen=True)
class Work:
    """What one of the Essentials did and asked for, in the mean: a tick, or for one task."""

    invocations: float = 0
    cpu_seconds: float = 0
    log_bytes: float = 0
    calls: float = 0
    write_units: float = 0
    read_units: float = 0

    def __add__(self, other: Work) -> Work:
        mine, theirs = asdict(self), asdict(other)
        return Work(**{name: mine[name] + theirs[name] for name in mine})

    def __truediv__(self, parts: float) -> Work:
        return Work(**{name: value / parts for name, value in asdict(self).items()})

    @classmethod
    def printed(cls, text: str, cpu_seconds: float) -> Self:
        """One invocation that printed a text."""
        lines = [*text.splitlines(keepends=True), *_OWN_LINES]
        return cls(1, cpu_seconds, sum(len(line.encode()) + _BYTES_A_LINE for line in lines))

    def billed_seconds(self, essential: str, memory_mb: int) -> float:
        """For which Lambda is paid."""
        return self.cpu_seconds * _MB_OF_A_CPU / memory_mb + self.calls * _WAIT / _CALLS_AT_ONCE[essential]


@dataclass(frozen=True)
class Idle:
    """A minute of an installation that has nothing to do."""

    workers: int
    metrics: int  # custom ones
    ticks: Mapping[str, Work]  # by Essential

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Out of the results' JSON."""
        return cls(values["workers"], values["metrics"], _read_works(values["ticks"]))


@dataclass(frozen=True)
class Found:
    """All that was counted."""

    alarms: int
    memory_mb: Mapping[str, int]  # by Essential
    idle: Sequence[Idle]
    lives: Mapping[str, Mapping[str, Work]]  # of a task: by bytes of its payload and Essential

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Out of the results' JSON."""
        lives = {payload: _read_works(works) for payload, works in values["lives"].items()}
        return cls(values["alarms"], values["memory_mb"], [Idle.read(one) for one in values["idle"]], lives)

    def to_json(self) -> dict[str, Any]:
        """For the results."""
        return asdict(self)


def _read_works(values: Mapping[str, Any]) -> dict[str, Work]:
    return {essential: Work(**work) for essential, work in values.items()}


# --- what it comes to --------------------------------------------------------------------------------------------


def idle_month(found: Found, idle: Idle) -> dict[str, float]:
    """Dollars a month by what is paid for."""
    bill = {
        "alarms": found.alarms * PRICES["alarm"].dollars,
        "custom metrics": idle.metrics * PRICES["metric"].dollars,
    }
    return bill | {what: MINUTES * dollars for what, dollars in _paid_for(idle.ticks, found.memory_mb).items()}


def health_metric_month() -> dict[str, float]:
    """Dollars a month that a Worker with one health metric adds."""
    return {
        "custom metrics": PRICES["metric"].dollars,
        "metrics asked for": MINUTES / 1000 * PRICES["asked"].dollars,
    }


def million_tasks(found: Found, payload: int) -> dict[str, float]:
    """Dollars of a million tasks by what is paid for."""
    paid = _paid_for(found.lives[str(payload)], found.memory_mb)
    return {what: 1e6 * dollars for what, dollars in paid.items()}


def _paid_for(works: Mapping[str, Work], memory_mb: Mapping[str, int]) -> dict[str, float]:
    """Dollars for what the Essentials did."""
    all_of_it = sum(works.values(), Work())
    gb_seconds = sum(
        work.billed_seconds(essential, memory_mb[essential]) * memory_mb[essential] / 1024
        for essential, work in works.items()
    )
    return {
        "DynamoDB writes": all_of_it.write_units / 1e6 * PRICES["write"].dollars,
        "DynamoDB reads": all_of_it.read_units / 1e6 * PRICES["read"].dollars,
        "Lambda invocations": all_of_it.invocations / 1e6 * PRICES["request"].dollars,
        "Lambda compute": gb_seconds * PRICES["compute"].dollars,
        "logs": all_of_it.log_bytes / 1e9 * PRICES["log"].dollars,
    }


# --- counting ----------------------------------------------------------------------------------------------------


def measure(begun: Callable[[str], None], done: Callable[[], None]) -> Found:
    """Count all; `begun` and `done` are told of each of `STEPS`."""
    begun("a plan of the root module")
    planned = planned_resources()
    done()
    idle, lives = list[Idle](), {}
    with dynamodb_local("dynamodb-local-benchmarks") as running:
        for workers in WORKERS:
            begun(f"{workers:,} idle Workers")
            idle.append(Idle.read({"workers": workers, **_driven(running, "idle", workers)}))
            done()
        for payload in PAYLOADS:
            begun(f"tasks of {payload:,} bytes")
            lives[str(payload)] = _read_works(_driven(running, "life", payload))
            done()
    memory_mb = {
        resource["function_name"].removeprefix("sosw_"): resource["memory_size"]
        for resource in planned["aws_lambda_function"]
    }
    return Found(sum(map(alarm_metrics, planned["aws_cloudwatch_metric_alarm"])), memory_mb, idle, lives)


def alarm_metrics(alarm: dict[str, Any]) -> int:
    """The metrics of an alarm, each of which is billed as an alarm."""
    return max(1, sum(bool(query["metric"]) for query in alarm["metric_query"] or ()))


def planned_resources() -> dict[str, list[dict[str, Any]]]:
    """What a plan of the root module with its defaults would make, by type; AWS is mocked."""
    with tempfile.TemporaryDirectory() as scratch:
        terraform = Terraform(compatible_copy(ROOT, Path(scratch)))
        tests = "tests/terraform"
        (terraform.directory / tests / "idle.tftest.hcl").write_text(_PLAN)
        terraform.run("init", "-no-color", f"-test-directory={tests}")
        told = terraform.run(
            "test", "-json", "-verbose", f"-test-directory={tests}", f"-filter={tests}/idle.tftest.hcl"
        )
    [plan] = [message["test_plan"] for message in map(json.loads, told.splitlines()) if message["type"] == "test_plan"]
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for resource in plan["resource_changes"]:
        found[resource["type"]].append(resource["change"]["after"])
    return found


_PLAN: Final = """\
mock_provider "aws" {
  source          = "./tests/terraform/mocks"
  override_during = plan
}

run "idle" {
  command = plan

  variables {
    runtime = {
      package = "tests/terraform/packages/sosw-runtime-1.2.3-py313-arm64.zip"
      version = "1.2.3"
    }
  }
}
"""


def _driven(running: DynamoDBLocal, what: str, size: int) -> dict[str, Any]:
    """What the driver finds, with the Essentials' logs and metrics as they are by default."""
    logs = {"POWERTOOLS_LOG_LEVEL": "INFO", "POWERTOOLS_METRICS_DISABLED": "false"}
    found: dict[str, Any] = run_driver("benchmarks.drive_idle", [what, str(size)], running, settings=logs)
    return found
