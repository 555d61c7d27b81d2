"""`make demo`: this example applied to an emulator of AWS, a job of one year run to its end, and every task checked.

`DEMO_DAYS` (366 unless set, at most 1461) is the length of the job in days, from 2012-01-01. Exit code 0: every task
ended as it should; 1: one did not, or something failed; 2: `DEMO_DAYS` is no such number; 130: interrupted.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from rich.console import Console
from rich.table import Table
from tests.support.cache import ROOT
from tests.support.ministack import MiniStack, ministack
from tests.support.server import ServerError
from tests.support.terraform import Terraform, TerraformError, compatible_copy, use_emulator

import sosw_runtime
from examples.complete import build
from examples.complete.outcome import (
    Evidence,
    Plan,
    day_of,
    deviations,
    failed_attempts,
    median_and_95_percent,
    slots_filled,
    waits_in_queue,
)
from sosw_runtime.storage import slots
from sosw_runtime.storage.items import to_task
from sosw_runtime.storage.tables import Tables

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

FIRST_DAY: Final = date(2012, 1, 1)
ALL_DAYS: Final = 1461
DOWN_ON_DAYS_OF_MONTH: Final = (7, 21)
KILLS_ON: Final = "2012-06-15"
STATION_ANSWERS_AFTER_SECONDS: Final = 0.5
#: A new instance of a function is a new process, and the machine may have two cores.
MAX_CONCURRENCY: Final = 5
NAME: Final = "sosw"

#: A job that has not ended by then never will: all 1461 tasks take a third of it on two busy cores.
JOB_TIMEOUT_SECONDS: Final = 1800
#: A tick publishes alarms and frees slots that the stream did not: it comes every minute.
TICK_SECONDS: Final = 75

console = Console()


class DemoError(Exception):
    """The demo could not be run to its end."""


def run(plan: Plan) -> bool:
    """Run the demo and print its summary; whether every task ended as it should."""
    began = time.monotonic()
    with step("Build the Essentials' package and the Workers'"):
        runtime_package, workers_package = essentials_package(), build.build()
    with tempfile.TemporaryDirectory(prefix="sosw-demo-") as scratch, ministack("demo") as aws:
        with step("Apply examples/complete with Terraform"):
            outputs = apply(Path(scratch), aws, plan, runtime_package, workers_package).output()
        worker = outputs["worker_ids"]["collect"]
        with step(f"Submit one job of {plan.length} days"):
            job_id = submit(aws, plan, worker)
        watch(aws, job_id)
        with step("Collect what is in the tables and what SNS delivered"):
            evidence = collect(aws, worker, outputs["alarm_queue_url"], dead=1 if plan.damaged_day in plan.days else 0)
        show(plan, evidence)
        found = deviations(plan, evidence)
    for deviation in found:
        console.print(f"[red]✗[/red] {deviation}")
    if not found:
        console.print(f"[green]✓[/green] {plan.length} days, {plan.length} tasks, each ended as it should")
    console.print(f"Everything is taken down. {time.monotonic() - began:.0f} s in all.")
    return not found


@contextmanager
def step(title: str) -> Iterator[None]:
    """Say what is done while it is done, and how long it took."""
    began = time.monotonic()
    with console.status(title):
        yield
    console.print(f"[green]✓[/green] {title} ({time.monotonic() - began:.1f} s)")


def essentials_package() -> Path:
    """As users build it; for the Python that the emulator runs functions in, which is this one."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    architecture = "x86_64" if platform.machine() in ("x86_64", "AMD64") else "arm64"
    options = ("--python", python, "--architecture", architecture, "--output", str(ROOT / "build"), "--json")
    return Path(json.loads(sosw("package", *options))["package"])


def apply(scratch: Path, aws: MiniStack, plan: Plan, runtime_package: Path, workers_package: Path) -> Terraform:
    """Apply a copy of the example, so that nothing of the run stays in the checkout."""
    directory = compatible_copy(ROOT, scratch / "tree") / "examples" / "complete"
    use_emulator(directory, aws.endpoint)
    variables = {
        "name": NAME,
        "runtime": {"package": str(runtime_package), "version": sosw_runtime.__version__},
        "workers_package": str(workers_package),
        "max_concurrency": MAX_CONCURRENCY,
        "station": {
            "answers_after_seconds": STATION_ANSWERS_AFTER_SECONDS,
            "down_on_days_of_month": plan.down_on_days_of_month,
            "kills_on": plan.kills_on,
        },
    }
    terraform = Terraform(directory, variables=variables, environment=aws.environment)
    terraform.init()
    terraform.apply()
    return terraform


def submit(aws: MiniStack, plan: Plan, worker: str) -> str:
    """The id of the job."""
    job = {"worker": worker, "start_date": plan.days[0], "end_date": plan.days[-1], "isolate_days": True}
    answer = json.loads(sosw("jobs", "submit", "-", "--json", aws=aws, stdin=json.dumps(job)))
    if answer["tasks"] != plan.length:
        raise DemoError(f"the job has {answer['tasks']} tasks instead of {plan.length}")
    return str(answer["job_id"])


def watch(aws: MiniStack, job_id: str) -> None:
    """Show the job's progress until it ends."""
    try:
        ended = subprocess.run(  # noqa: S603 - every argument is one of ours
            [executable("sosw"), "jobs", "watch", job_id],
            env=environment(aws),
            timeout=JOB_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DemoError(f"the job did not end within {JOB_TIMEOUT_SECONDS} s") from None
    if ended.returncode not in (0, 1):  # 1: a task is dead
        raise DemoError(f"`sosw jobs watch` ended with exit code {ended.returncode}")


def collect(aws: MiniStack, worker: str, alarm_queue_url: str, *, dead: int) -> Evidence:
    """The tables and the alarms once nothing moves any more, or after a tick's time."""
    tables, sqs = Tables.with_client(aws.client("dynamodb"), NAME), aws.client("sqs")
    alarms: list[Mapping[str, Any]] = []
    deadline = time.monotonic() + TICK_SECONDS
    while True:
        alarms += received(sqs, alarm_queue_url)
        evidence = Evidence(
            closed=[to_task(item) for item in scan(tables, tables.closed_tasks)],
            live=sum(1 for table in (tables.tasks, tables.retry_tasks) for _ in scan(tables, table)),
            occupied_slots=len(slots.occupied(tables, worker, consistent=True)),
            alarms=alarms,
        )
        quiet = not evidence.live and not evidence.occupied_slots and len(alarms) >= dead
        if quiet or time.monotonic() > deadline:
            return evidence


def received(sqs: SQSClient, queue_url: str) -> Iterator[Mapping[str, Any]]:
    """The alarms in the queue: SNS wraps each message in a notification of its own."""
    for message in sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get(
        "Messages", []
    ):
        sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
        yield json.loads(json.loads(message["Body"])["Message"])


def scan(tables: Tables, table: str) -> Iterator[dict[str, Any]]:
    for page in tables.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from page["Items"]


def show(plan: Plan, evidence: Evidence) -> None:
    """The summary."""
    tasks = evidence.closed
    console.print()
    table = Table(
        "", "", title=f"{plan.length} days of weather, one task each", show_header=False, title_justify="left"
    )
    outcomes = Counter(str(task.status) for task in tasks)
    table.add_row("Tasks by outcome", counted(outcomes))
    table.add_row("Not closed", str(evidence.live))
    table.add_row("Attempts", f"{sum(task.attempt for task in tasks)} for {len(tasks)} tasks")
    by_attempts = Counter(f"after {task.attempt}" for task in tasks)
    table.add_row("Tasks closed", counted(dict(sorted(by_attempts.items()))))
    table.add_row("Failed attempts", counted(failed_attempts(tasks)))
    middle, most = median_and_95_percent(waits_in_queue(tasks))
    table.add_row("From queue to start", f"median {middle / 1000:.1f} s, 95 % within {most / 1000:.1f} s")
    filled = slots_filled(tasks, MAX_CONCURRENCY)
    table.add_row("Slots filled", f"{filled:.0%} of {MAX_CONCURRENCY} while tasks were queued")
    console.print(table)
    for task in evidence.dead:
        console.print(
            f"Dead: the task of {day_of(task)}, after {task.attempt} attempt(s): {task.failure}", markup=False
        )
    # SNS and SQS may deliver twice.
    for alarm in {alarm["task_id"]: alarm for alarm in evidence.alarms}.values():
        console.print("Its alarm, as SNS delivered it:")
        console.print_json(data=alarm)


def counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def sosw(*arguments: str, aws: MiniStack | None = None, stdin: str | None = None) -> str:
    """Run the command and return what it printed.

    Raises:
        DemoError: it failed, with what it said.
    """
    done = subprocess.run(  # noqa: S603 - every argument is one of ours
        [executable("sosw"), *arguments], env=environment(aws), input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DemoError(f"`sosw {' '.join(arguments)}` ended with exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def executable(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def environment(aws: MiniStack | None) -> dict[str, str]:
    """Without this machine's own access to AWS, so that nothing reaches an account by accident."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**inherited, "SOSW_NAME": NAME, **(aws.environment if aws else {})}


def length() -> int:
    text = os.environ.get("DEMO_DAYS", "366")
    if not text.isdecimal() or not 2 <= int(text) <= ALL_DAYS:
        console.print(f"DEMO_DAYS: {text!r} is refused; it must be a number of days from 2 to {ALL_DAYS}")
        raise SystemExit(2)
    return int(text)


def main() -> NoReturn:
    plan = Plan(FIRST_DAY, length(), DOWN_ON_DAYS_OF_MONTH, KILLS_ON, build.DAMAGED_DAY)
    # Whatever ends the demo, what it started is taken down on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        sys.exit(0 if run(plan) else 1)
    except KeyboardInterrupt:
        console.print("Interrupted; everything is taken down.")
        sys.exit(130)
    except (DemoError, ServerError, TerraformError, subprocess.CalledProcessError) as error:
        console.print(f"[red]The demo failed:[/red] {error}", highlight=False)
        console.print("The emulator's log is .cache/logs/demo.log.")
        sys.exit(1)


if __name__ == "__main__":
    main()
