"""Tables of the results, for a terminal and on pages; every figure comes out of the results' JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import idle, jobs, slots, start
from benchmarks.costs import ARRANGEMENT, BATCH_SIZES, PAYLOADS, QUEUES, Measurement, System

#: Between them the figures stand on a page that is otherwise written by hand.
_BEGIN: Final = "<!-- written by make bench -->"
_END: Final = "<!-- end -->"

#: In the order of a life, with the words of a reader.
_PHASES: Final = {
    "enqueue": "enqueue",
    "notice": "notice",
    "dispatch": "dispatch",
    "report": "report",
    "settle": "archive, retry",
    "requeue": "requeue",
    "ticks": "ticks",
}
_NAMES: Final[Mapping[System, str]] = {"runtime": "this runtime", "sosw": "sosw 0.7.51"}


@dataclass(frozen=True)
class Table:
    """A titled table of text; the first column is left-aligned."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def shown(self) -> RichTable:
        """For a terminal."""
        table = RichTable(title=self.title, title_justify="left", caption=self.note, caption_justify="left")
        for number, column in enumerate(self.columns):
            table.add_column(column, justify="right" if number else "left")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """For a page."""
        return f"### {self.title}\n\n{self.body()}"

    def body(self) -> str:
        """For a page that has a heading of its own."""
        lines = [self.columns, ["---", *["---:"] * (len(self.columns) - 1)], *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join(part for part in (table, self.note) if part)


@dataclass(frozen=True)
class Target:
    """What the project promised itself, and what was found."""

    what: str
    wanted: str
    found: str
    met: bool


def show(results: Mapping[str, Any], console: Console) -> None:
    """Print what there is."""
    for table in tables(results):
        console.print(table.shown(), "")


def pages(root: Path, results: Mapping[str, Any]) -> dict[Path, str]:
    """The pages of the documentation that have figures, as they should be: this one's own, and parts of two others."""
    found = {root / "docs" / "benchmarks.md": page(results)}
    parts = {root / "docs" / "jobs.md": _jobs_table} if "jobs" in results else {}
    if "idle" in results:
        parts[root / "README.md"] = _money_in_short
    for path, table in parts.items():
        before, _, rest = path.read_text().partition(_BEGIN)
        _, _, after = rest.partition(_END)
        found[path] = f"{before}{_BEGIN}\n{table(results).body()}\n{_END}{after}"
    return found


def page(results: Mapping[str, Any]) -> str:
    """The page of the benchmarks."""
    parts = [
        "# Benchmarks",
        "`make bench` measures all of this anew, writes `benchmarks/results.json` and makes this page of it. Speed is "
        "told in ratios to something that ran beside, since the seconds of one machine say nothing of another.",
    ]
    parts += [table.markdown() for table in tables(results)]
    if "costs" in results:
        parts += ["## How the costs were measured", *ARRANGEMENT]
    if "jobs" in results:
        parts += ["## How large jobs were measured", *jobs.ARRANGEMENT]
    if "slots" in results:
        parts += ["## How the slots were measured", *slots.ARRANGEMENT]
    if "idle" in results:
        parts += ["## How the dollars were computed", *idle.ARRANGEMENT]
    if "start" in results:
        parts += ["## How the imports were measured", *start.ARRANGEMENT]
    return "\n\n".join(parts) + "\n"


def tables(results: Mapping[str, Any]) -> Iterator[Table]:
    """All tables that the results have figures for."""
    found = targets(results)
    yield Table(
        "Targets",
        ("", "target", "found", ""),
        [(target.what, target.wanted, target.found, "met" if target.met else "missed") for target in found],
    )
    if "costs" in results:
        yield from _cost_tables([Measurement.read(values) for values in results["costs"]])
    if "jobs" in results:
        yield _jobs_table(results)
    if "slots" in results:
        yield _slots_table(_runs(results))
    if "idle" in results:
        yield from _money_tables(idle.Found.read(results["idle"]))
    if "start" in results:
        yield _start_table(results)


def targets(results: Mapping[str, Any]) -> list[Target]:
    """Every target that the results have figures for, compared as it is shown."""
    found: list[Target] = []
    if "costs" in results:
        found += _cost_targets([Measurement.read(values) for values in results["costs"]])
    if "jobs" in results:
        largest = _outcomes(results)[-1]
        found.append(
            Target(
                f"memory of the Scheduler at a job of {largest.tasks:,} tasks",
                "≤ 100 MB",
                f"{largest.memory_peak:.0f} MB",
                largest.memory_peak <= 100,
            )
        )
    if "slots" in results:
        fullness = median(run.fullness for run in _runs(results))
        found.append(
            Target("how full the slots are, over the ideal", "≥ 0.93", f"{fullness:.2f}", round(fullness, 2) >= 0.93)
        )
    if "start" in results:
        ratios = _start_ratios(results)
        ratio = round(ratios["worker_assistant"] / ratios["floor"], 2)
        found.append(
            Target("importing the WorkerAssistant, over the libraries' floor", "≤ 1.2", f"{ratio}", ratio <= 1.2)
        )
    return found


# --- imports -----------------------------------------------------------------------------------------------------


def _start_ratios(results: Mapping[str, Any]) -> dict[str, float]:
    """CPU time of each import over boto3's."""
    seconds = {one.what: one.cpu_seconds for one in map(start.Start.read, results["start"])}
    return {what: found / seconds[start.YARDSTICK] for what, found in seconds.items()}


def _start_table(results: Mapping[str, Any]) -> Table:
    return Table(
        "What an import costs",
        ("", "CPU time over boto3's"),
        [(what, f"{ratio:.2f}") for what, ratio in _start_ratios(results).items()],
    )


# --- large jobs --------------------------------------------------------------------------------------------------


def _outcomes(results: Mapping[str, Any]) -> list[jobs.Outcome]:
    return [jobs.Outcome.read(values) for values in results["jobs"]]


def _jobs_table(results: Mapping[str, Any]) -> Table:
    return Table(
        "Large jobs",
        (
            "tasks",
            "invocations",
            "tasks a second",
            "over bare calls",
            "memory before, MB",
            "memory at most, MB",
            "write units a task",
            "read units a task",
            "calls a task",
        ),
        [
            (
                f"{one.tasks:,}",
                f"{one.invocations}",
                f"{one.enqueued_a_second:,.0f}",
                f"{one.speed:.2f}",
                f"{one.memory_before:.0f}",
                f"{one.memory_peak:.0f}",
                f"{one.per_task.write_units:.3f}",
                f"{one.per_task.read_units:.5f}",
                f"{one.per_task.calls:.3f}",
            )
            for one in _outcomes(results)
        ],
        "DynamoDB Local shares the machine with the Scheduler. It is new for each size, and slow at first; the bare "
        "calls come last.",
    )


# --- slots -------------------------------------------------------------------------------------------------------


def _runs(results: Mapping[str, Any]) -> list[slots.Run]:
    return [slots.Run.read(values) for values in results["slots"]]


def _slots_table(runs: Sequence[slots.Run]) -> Table:
    return Table(
        "How full the slots are",
        ("", *(f"run {number}" for number in range(1, 1 + len(runs)))),
        [
            ("the ideal over what it took", *(f"{run.fullness:.3f}" for run in runs)),
            ("first start after submission, ms", *(f"{run.first_start}" for run in runs)),
            ("queue to start with a free slot, median, ms", *(f"{median(run.starts):.0f}" for run in runs)),
            ("report to next start in the slot, median, ms", *(f"{median(run.handed_on):.0f}" for run in runs)),
        ],
        "Milliseconds of an emulator that shares the machine with all that it runs.",
    )


# --- costs -------------------------------------------------------------------------------------------------------


def _cost_targets(measured: Sequence[Measurement]) -> Iterator[Target]:
    def lives(payload: int, system: System = "runtime") -> list[Measurement]:
        return [one for one in _straight(measured) if (one.system, one.setup.payload_bytes) == (system, payload)]

    for payload, most in zip(PAYLOADS, (9, 24), strict=True):
        units = round(max(one.outcome.life.write_units for one in lives(payload)), 1)
        theirs = max(one.outcome.life.write_units for one in lives(payload, "sosw"))
        yield Target(
            f"write units of a task of {payload:,} bytes",
            f"≤ {most}",
            f"{units:.1f}; sosw {theirs:.1f}",
            units <= most,
        )
    for queue in QUEUES:
        here = [one for payload in PAYLOADS for one in lives(payload) if one.setup.queued == queue]
        there = [one for payload in PAYLOADS for one in lives(payload, "sosw") if one.setup.queued == queue]
        units = round(max(one.outcome.life.read_units for one in here), 2)
        theirs = max(one.outcome.life.read_units for one in there)
        yield Target(
            f"read units with {queue:,} tasks queued", "≤ 0.2", f"{units:.2f}; sosw {theirs:.0f}", units <= 0.2
        )
    calls = round(max(one.outcome.life.calls for payload in PAYLOADS for one in lives(payload)), 1)
    theirs = max(one.outcome.life.calls for payload in PAYLOADS for one in lives(payload, "sosw"))
    yield Target("calls of a task", "≤ 4.5", f"{calls:.1f}; sosw {theirs:.1f}", calls <= 4.5)
    ratio = _enqueue_ratio(measured, PAYLOADS[0], QUEUES[1])
    yield Target("speed of an enqueue with 1,000 tasks queued, over sosw's", "≥ 10", f"{ratio:.0f}", ratio >= 10)


def _cost_tables(measured: Sequence[Measurement]) -> Iterator[Table]:
    yield Table(
        "A task's whole life",
        ("payload and queue", "", "write units", "read units", "calls", "enqueue, over sosw's speed"),
        [_life_row(one, measured) for one in _straight(measured)],
    )
    yield Table(
        "A task that is retried once",
        ("payload", "", "write units", "read units", "calls"),
        [
            (f"{one.setup.payload_bytes:,} bytes", _NAMES[one.system], *_figures(one))
            for one in measured
            if one.setup.failing_first
        ],
    )
    yield Table(
        "Where the units go",
        ("payload", "", *_PHASES.values()),
        [
            (_label(one), _NAMES[one.system], *(_phase(one, phase) for phase in _PHASES))
            for one in measured
            if one.setup.queued == QUEUES[0]
        ],
        "Write units + read units, calls. Notice: the Orchestrator takes the records of new tasks while all slots are "
        "busy. Requeue: a whole tick for 100 tasks.",
    )
    payload, queue = PAYLOADS[0], QUEUES[1]
    yield Table(
        "What the stream's batches make of it",
        ("records a batch", "write units", "read units", "calls"),
        [
            (f"{one.setup.batch_size}", *_figures(one))
            for size in BATCH_SIZES
            for one in measured
            if one.system == "runtime" and (one.setup.payload_bytes, one.setup.queued) == (payload, queue)
            if one.setup.batch_size == size and not one.setup.failing_first
        ],
        f"{payload} bytes, {queue:,} queued. Batches are small when there is little to do, and large under load: every "
        "batch reads the Worker's registration and its slots or its queue once.",
    )


def _straight(measured: Sequence[Measurement]) -> list[Measurement]:
    return [one for one in measured if not one.setup.failing_first and one.setup.batch_size == BATCH_SIZES[-1]]


def _life_row(one: Measurement, measured: Sequence[Measurement]) -> tuple[str, ...]:
    setup = one.setup
    ratio = f"{_enqueue_ratio(measured, setup.payload_bytes, setup.queued):.0f}" if one.system == "runtime" else "1"
    return (_label(one), _NAMES[one.system], *_figures(one), ratio)


def _label(one: Measurement) -> str:
    retried = ", retried" if one.setup.failing_first else f", {one.setup.queued:,} queued"
    return f"{one.setup.payload_bytes:,} bytes{retried}"


def _figures(one: Measurement) -> tuple[str, str, str]:
    life = one.outcome.life
    return f"{life.write_units:.2f}", f"{life.read_units:.2f}", f"{life.calls:.2f}"


def _phase(one: Measurement, phase: str) -> str:
    cost = one.outcome.phases.get(phase)
    return "" if cost is None else f"{cost.write_units:.2f} + {cost.read_units:.2f}, {cost.calls:.2f}"


def _enqueue_ratio(measured: Sequence[Measurement], payload: int, queue: int) -> float:
    rates = {
        one.system: one.outcome.enqueued_a_second
        for one in _straight(measured)
        if (one.setup.payload_bytes, one.setup.queued) == (payload, queue)
    }
    return rates["runtime"] / rates["sosw"]


# --- money -------------------------------------------------------------------------------------------------------


def _money_in_short(results: Mapping[str, Any]) -> Table:
    found = idle.Found.read(results["idle"])
    rows = [(f"a month of {_workers(one)} without a task", idle.idle_month(found, one)) for one in found.idle]
    rows += [("a month of a health metric, more", idle.health_metric_month())]
    rows += [(f"a million tasks of {payload:,} bytes", idle.million_tasks(found, payload)) for payload in PAYLOADS]
    return Table(
        "Dollars",
        ("", "dollars", "of which"),
        [(what, _dollars(sum(bill.values())), _largest(bill)) for what, bill in rows],
        "`python -m benchmarks idle` counts it anew; [how, and at which prices](docs/benchmarks.md).",
    )


def _money_tables(found: idle.Found) -> Iterator[Table]:
    months = [idle.idle_month(found, one) for one in found.idle]
    yield Table(
        "A month in which nothing is to do, in dollars",
        ("", *map(_workers, found.idle)),
        [
            *((what, *(_dollars(month[what]) for month in months)) for what in months[0]),
            ("in all", *(_dollars(sum(month.values())) for month in months)),
        ],
        f"{found.alarms} alarms; {', '.join(f'{one.metrics}' for one in found.idle)} custom metrics.",
    )
    yield Table(
        "A minute's ticks",
        ("", "read units", "write units", "calls", "CPU seconds", "bytes of logs"),
        [
            (
                f"{_workers(one)}: {essential.capitalize()}",
                f"{work.read_units:,.1f}",
                f"{work.write_units:,.1f}",
                f"{work.calls:,.1f}",
                f"{work.cpu_seconds:.3f}",
                f"{work.log_bytes:,.0f}",
            )
            for one in found.idle
            for essential, work in one.ticks.items()
        ],
    )
    bills = [idle.million_tasks(found, payload) for payload in PAYLOADS]
    yield Table(
        "A million tasks, in dollars",
        ("", *(f"{payload:,} bytes" for payload in PAYLOADS)),
        [
            *((what, *(_dollars(bill[what]) for bill in bills)) for what in bills[0]),
            ("in all", *(_dollars(sum(bill.values())) for bill in bills)),
        ],
    )
    yield Table(
        "Prices of us-east-1",
        ("", "dollars", "source"),
        [(price.unit, f"{price.dollars:.10f}".rstrip("0"), price.source) for price in idle.PRICES.values()],
        "As of November 2026.",
    )


def _workers(one: idle.Idle) -> str:
    return f"{one.workers:,} Worker{'s' if one.workers > 1 else ''}"


def _dollars(amount: float) -> str:
    return f"{amount:.2f}"


def _largest(bill: Mapping[str, float]) -> str:
    """The items of a bill that make a tenth of it or more, the largest first."""
    large = sorted((what for what in bill if 10 * bill[what] >= sum(bill.values())), key=lambda what: -bill[what])
    return ", ".join(f"{what} {_dollars(bill[what])}" for what in large)
