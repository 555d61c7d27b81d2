"""The times by which tasks are chosen."""

from __future__ import annotations

import pytest

from sosw_runtime.cli import options, times
from sosw_runtime.cli.app import run
from sosw_runtime.domain.task import Status
from sosw_runtime.errors import Refused


def chosen(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    wanted = options.selection({Status.DEAD}, None, None, None, since, until)
    return wanted.since, wanted.until


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (None, None),
        ("1h", None),
        (None, "1h"),
        ("2h", "1h"),
        ("1h", "1h"),
        ("2026-01-01", "2026-01-01T00:00Z"),
        ("2099-01-01", None),
        ("99999999999d", "0001-01-01"),
    ],
)
def test_a_time_that_ends_when_it_begins_or_later_is_taken(since: str | None, until: str | None) -> None:
    first, last = chosen(since, until)

    assert first is None or last is None or first <= last


@pytest.mark.parametrize(("since", "until"), [("1h", "2h"), ("2099-01-01", "1h"), ("1h", "99999999999d")])
def test_a_time_that_ends_before_it_begins_is_refused(since: str, until: str) -> None:
    with pytest.raises(Refused, match="; expected a time not later than --until, ") as refused:
        chosen(since, until)
    assert refused.value.field == "--since"


@pytest.mark.usefixtures("no_tables")
@pytest.mark.parametrize("command", ["list", "replay", "cancel"])
def test_the_commands_refuse_it_in_one_line(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks", command, "--since", "2026-01-02T06:00", "--until", "2026-01-01"]) == 2

    printed = capsys.readouterr()
    expected = "expected a time not later than --until, 2026-01-01 00:00:00"
    assert (printed.out, printed.err) == ("", f"sosw: --since: '2026-01-02 06:00:00' is refused; {expected}\n")


@pytest.mark.usefixtures("no_tables")
def test_nothing_is_dead_that_dies_later(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tasks", "replay", "--since", "2099-01-01"]) == 2

    assert "expected a time not later than --until, 20" in capsys.readouterr().err


@pytest.fixture
def no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a command does, it asks no table."""
    monkeypatch.setattr("sosw_runtime.storage.tables.Tables.connect", lambda name: None)


@pytest.mark.parametrize("text", ["99999999999d", "0001-01-01", "1969-12-31T23:59:59Z"])
def test_nothing_is_older_than_1970(text: str) -> None:
    assert times.parse("--since", text, times.now()) == 0
