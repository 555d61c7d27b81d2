"""Tables: what is shown of them at each width, and without a terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sosw_runtime.cli.columns import layout, plain
from sosw_runtime.cli.json_path import conditions, value_at
from sosw_runtime.cli.table import print_table
from sosw_runtime.errors import Refused

COLUMNS = (
    plain("job_id", "JOB", narrowing="id"),
    plain("worker_id", "WORKER", rank=3),
    plain("note", "NOTE", rank=4),
    plain("closed_at", "CLOSED", rank=5),
    plain("error", "ERROR", rank=2, narrowing="cut"),
    plain("state", "STATE", rank=1, style=lambda text: "bold red" if text == "dead" else ""),
    plain("number", "NUMBER", rank=9, only_wide=True),
)
LONG_ID = "a-job-with-a-very-long-id-" + "x" * 40


def line(**keys: Any) -> dict[str, Any]:
    return {
        "job_id": "nightly",
        "worker_id": "resize",
        "note": None,
        "closed_at": 0,
        "error": "ValueError: " + 10 * "row 7 is damaged ",
        "state": "dead",
        "number": 7,
        "payload": {"store": "A1"},
        **keys,
    }


Show = Callable[..., list[str]]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """Prints lines on a terminal of a width."""

    def shown(width: int, *lines: Mapping[str, Any], colours: bool = False, **options: Any) -> list[str]:
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("COLORTERM", raising=False)
        print_table(COLUMNS, lines, **options)
        shown = capsys.readouterr().out
        return [row.rstrip() for row in (shown if colours else re.sub(r"\x1b\[[\d;]*m", "", shown)).splitlines()]

    return shown


@pytest.mark.parametrize(
    ("width", "header"),
    [
        (40, ["JOB", "ERROR", "STATE"]),
        (80, ["JOB", "WORKER", "CLOSED", "ERROR", "STATE", "NUMBER"]),
        (120, ["JOB", "WORKER", "CLOSED", "ERROR", "STATE", "NUMBER"]),
    ],
)
def test_a_terminal_shows_the_columns_that_fit(width: int, header: list[str], show: Show) -> None:
    first, *rows = show(width, line(), line(job_id="hourly"))

    assert first.split() == header, "NOTE is empty and left out"
    assert len(rows) == 2
    assert max(map(len, [first, *rows])) <= width


def test_a_long_id_is_cut_and_still_differs_from_the_others(show: Show) -> None:
    _, one, other = show(80, line(job_id=LONG_ID + "1"), line(job_id=LONG_ID + "2" + "y" * 30))

    assert one.split()[0] == LONG_ID + "1"
    assert other.split()[0].startswith(LONG_ID + "2")
    assert other.split()[0].endswith("…")


def test_a_wide_table_is_whole(show: Show) -> None:
    first, row = show(80, line(), uncut=True)

    assert first.split() == ["JOB", "WORKER", "NOTE", "CLOSED", "ERROR", "STATE", "NUMBER"]
    assert line()["error"].strip() in row


def test_colours_are_a_terminals_alone(
    show: Show, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[1;31mdead" in show(120, line(), colours=True)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in "".join(show(120, line(), colours=True))
    monkeypatch.undo()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    print_table(COLUMNS, [line()])
    assert "\x1b" not in capsys.readouterr().out


def test_without_a_terminal_a_tab_is_between_two_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(COLUMNS, [line(job_id=256 * "x", error="one\ttwo\nthree\x1b[31m", note=None)])

    header, row = capsys.readouterr().out.splitlines()
    assert header == "JOB\tWORKER\tNOTE\tCLOSED\tERROR\tSTATE\tNUMBER"
    assert row == f"{256 * 'x'}\tresize\t\t1970-01-01 00:00:00\tone two three [31m\tdead\t7"


def test_columns_are_chosen_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    layout(COLUMNS, "state, job_id,store,payload.state", wide=False, as_json=False, payload_keys=True).print(
        [line(payload={"store": "A1", "state": ["x", 7]})], ""
    )

    assert capsys.readouterr().out.splitlines() == ["STATE\tJOB\tSTORE\tPAYLOAD.STATE", 'dead\tnightly\tA1\t["x", 7]']


@pytest.mark.parametrize(
    ("names", "as_json", "problem"),
    [
        ("state,colour", False, "'colour' is refused; expected some of job_id, worker_id, note"),
        ("", False, "'' is refused; expected some of"),
        ("state", True, "'state' is refused; expected no --json"),
    ],
)
def test_wrong_columns_are_refused(names: str, as_json: bool, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        layout(COLUMNS, names, wide=False, as_json=as_json)


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("store=A1", True),
        ("store=A", False),
        ("store", None),
        ("=A1", None),
        ("order.id=7", True),
        ("order.items.1.sku=b", True),
        ("order.items.2.sku=b", False),
        ("stores=A2", True),
        ('stores=["A1", "A2"]', True),
        ("paid=true", True),
        ("a.b=1=1", True),
        ("missing=", False),
    ],
)
def test_a_condition_reaches_into_a_payload(where: str, holds: bool | None) -> None:
    payload = json.loads(
        '{"store": "A1", "stores": ["A1", "A2"], "order": {"id": 7, "items": [{"sku": "a"}, {"sku": "b"}]}, '
        '"paid": true, "a.b": "1=1"}'
    )
    if holds is None:
        with pytest.raises(Refused, match="--where"):
            conditions([where])
    else:
        assert conditions([where])[0].holds(payload) is holds


def test_a_path_through_a_text_has_no_value() -> None:
    assert value_at({"store": "A1"}, "store.0") is None
