"""The table of the Essentials' metrics is that of the code, and the alarms in it are those of the module."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALARMS = ROOT / "modules" / "alarms"
README = (ALARMS / "README.md").read_text(encoding="utf-8")
MAIN = (ALARMS / "main.tf").read_text(encoding="utf-8")
CODE = ROOT / "runtime" / "sosw_runtime"

TICKING = {"orchestrator", "scavenger"}
ALL = {*TICKING, "scheduler", "worker_assistant"}

#: Whose counts those are that a module makes which is no Essential itself.
OTHERS = {
    "announcements": {"scavenger"},
    "closing": {"scavenger"},
    "dispatch": {"orchestrator"},
    "invocation": ALL,
    "rounds": TICKING,
    "parallel": TICKING,
}


def calls(nodes: list[ast.AST], function: str) -> Iterator[ast.Call]:
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
            yield node


def nodes_of_the_code() -> Iterator[tuple[str, list[ast.AST]]]:
    """Name and syntax of each file."""
    for file in sorted(CODE.rglob("*.py")):
        yield file.stem, list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))


def keys(values: ast.expr, nodes: list[ast.AST]) -> Iterator[str]:
    """The metrics of an argument of `telemetry.count`: an object's keys, or those of the objects of a name."""
    match values:
        case ast.Dict():
            yield from (ast.literal_eval(key) for key in values.keys if key is not None)
        case ast.Name(id=name):
            for node in nodes:
                match node:
                    case ast.Assign(targets=[ast.Name(id=assigned)], value=ast.Dict() as value) if assigned == name:
                        yield from keys(value, nodes)
        case _:
            raise AssertionError(f"cannot read {ast.unparse(values)}")


def counted() -> dict[str, set[str]]:
    """The Essentials that count it, by metric."""
    found: dict[str, set[str]] = defaultdict(set)
    for file, nodes in nodes_of_the_code():
        metrics = [str(keyword.arg) for call in calls(nodes, "Counters") for keyword in call.keywords]
        metrics += [key for call in calls(nodes, "telemetry.count") for key in keys(call.args[2], nodes)]
        for metric in metrics:
            found[metric] |= {file} if file in ALL else OTHERS[file]
    return found


def rows() -> list[list[str]]:
    """The cells of the table of metrics, without its head."""
    section = README.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.+)\|$", section, re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def quoted(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_every_metric_that_the_essentials_count_has_a_row_and_no_other() -> None:
    assert {metric.strip("`"): quoted(services) for metric, services, *_ in rows()} == counted()
    assert len(rows()) == len(counted())


def test_a_metric_of_single_workers_says_so() -> None:
    by_worker = {
        key
        for _, nodes in nodes_of_the_code()
        for call in calls(nodes, "telemetry.count")
        if len(call.args) + len(call.keywords) > 3
        for key in keys(call.args[2], nodes)
    }

    assert {metric.strip("`") for metric, _, dimension, *_ in rows() if "`worker_id`" in dimension} == by_worker


def test_every_alarm_on_a_metric_is_named_beside_it() -> None:
    described = README.partition("\n## Metrics\n")[0]
    named = {metric.strip("`"): quoted(alarms) for metric, *_, alarms in rows()}

    assert {alarm for alarms in named.values() for alarm in alarms if f"`{alarm}`" not in described} == set()
    watched = set(re.findall(r'^ +metric_name += "(\w+)"$', MAIN, re.MULTILINE)) & counted().keys()
    assert {metric for metric, alarms in named.items() if alarms} == watched


def test_the_alarm_on_unreadable_items_says_how_to_be_rid_of_them() -> None:
    (description,) = re.findall(r'metric_name += "Unreadable".*?description += "([^\n]+)"', MAIN, re.DOTALL)

    assert "`sosw tasks unreadable`" in description
    assert "`sosw tasks bury`" in description
