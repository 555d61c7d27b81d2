"""Measures, prints the tables, and keeps them in `benchmarks/results.json` and on the pages of the documentation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tests.support.cache import ROOT

from benchmarks import costs, idle, jobs, report, slots, start

RESULTS: Final = Path(__file__).with_name("results.json")

app = typer.Typer(add_completion=False, help=__doc__)


@app.command("all")
def everything() -> None:
    """Measure all there is."""
    _measure_costs()
    _measure_jobs()
    _measure_slots()
    _measure_idle()
    _measure_start()
    _tell()


@app.command()
def task() -> None:
    """Measure what a task costs, here and in sosw 0.7."""
    _measure_costs()
    _tell()


@app.command("jobs")
def large() -> None:
    """Measure how the Scheduler takes up to a million tasks."""
    _measure_jobs()
    _tell()


@app.command("slots")
def full() -> None:
    """Measure how full the slots are, on an emulator of AWS."""
    _measure_slots()
    _tell()


@app.command("idle")
def money() -> None:
    """Measure what an installation costs that idles, and what a million tasks cost, in dollars."""
    _measure_idle()
    _tell()


@app.command("start")
def cold() -> None:
    """Measure what importing an Essential costs, beside importing boto3."""
    _measure_start()
    _tell()


@app.command()
def show() -> None:
    """Print the last results, and put them on the pages."""
    _tell()


def _measure_costs() -> None:
    with _progress() as progress:
        bar = progress.add_task("", total=len(costs.setups()))
        measured = costs.measure(lambda what: progress.update(bar, description=what), lambda: progress.advance(bar))
    _keep("costs", [one.to_json() for one in measured])


def _measure_jobs() -> None:
    with _progress() as progress:
        bars = {size: progress.add_task(f"{size:,} tasks", total=size, start=False) for size in jobs.SIZES}

        def written(size: int, tasks: int) -> None:
            progress.start_task(bars[size])
            progress.update(bars[size], completed=tasks)

        outcomes = jobs.measure(written)
    _keep("jobs", [outcome.to_json() for outcome in outcomes])


def _measure_slots() -> None:
    with _progress() as progress:
        bar = progress.add_task("", total=1 + slots.RUNS)
        runs = slots.measure(lambda what: progress.update(bar, description=what), lambda: progress.advance(bar))
    _keep("slots", [run.to_json() for run in runs])


def _measure_idle() -> None:
    with _progress() as progress:
        bar = progress.add_task("", total=idle.STEPS)
        found = idle.measure(lambda what: progress.update(bar, description=what), lambda: progress.advance(bar))
    _keep("idle", found.to_json())


def _measure_start() -> None:
    with _progress() as progress:
        bar = progress.add_task("imports", total=start.ROUNDS)
        found = start.measure(lambda: progress.advance(bar))
    _keep("start", [one.to_json() for one in found])


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def _keep(section: str, found: Any) -> None:
    RESULTS.write_text(json.dumps({**_results(), section: found}, indent=1) + "\n")


def _results() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return results


def _tell() -> None:
    """Print the tables and write the pages; exit code 1 when a target is missed."""
    results = _results()
    for page, text in report.pages(ROOT, results).items():
        page.write_text(text)
    report.show(results, Console())
    if not all(target.met for target in report.targets(results)):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
