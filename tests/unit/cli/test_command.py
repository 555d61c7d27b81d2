"""The command as a whole: one line for every error, and exit codes that scripts can rely on."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any

import pytest
import typer

import sosw_runtime
from sosw_runtime.cli import archive
from sosw_runtime.cli.app import app, run

JOB = {
    "worker": "resize",
    "start_date": "2026-01-30",
    "end_date": "2026-02-02",
    "isolate_days": True,
    "max_stores_per_batch": 2,
}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    path = tmp_path / "job.json"
    path.write_text(json.dumps({**JOB, "stores": ["a", "b", "c"]}))
    return path


@pytest.fixture
def schema(tmp_path: Path) -> Path:
    path = tmp_path / "schema.json"
    path.write_text('{"default": {"chunkable_attrs": ["store"]}}')
    return path


def test_the_version_is_the_runtimes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"{sosw_runtime.__version__}\n"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2

    answer = capsys.readouterr()
    assert answer.err == ""
    for command in ("package", "jobs", "tasks", "workers", "import-config"):
        assert f" {command} " in answer.out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["pack"], "No such command 'pack'. Did you mean 'package'?"),
        (["jobs", "watch"], "Missing argument 'JOB_ID'."),
        (["tasks", "list", "--paint"], "No such option: --paint"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err == f"sosw: {problem}\n"


def test_a_preview_is_the_payload_of_every_task(job: Path, schema: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "preview", str(job), "--schema", str(schema)]) == 0

    payloads = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(payloads) == 8
    assert payloads[0] == {"date_list": ["2026-01-30"], "stores": ["a", "b"]}
    assert payloads[-1] == {"date_list": ["2026-02-02"], "stores": ["c"]}


def test_a_preview_can_count_only(job: Path, schema: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "preview", str(job), "--schema", str(schema), "--count"]) == 0
    assert capsys.readouterr().out == "8\n"


def test_a_preview_counts_periods_from_the_given_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.json"
    job.write_text('{"worker": "resize", "period": "yesterday"}')

    assert run(["jobs", "preview", str(job), "--today", "2024-03-01"]) == 0
    assert capsys.readouterr().out == '{"date_list":["2024-02-29"]}\n'


def test_a_preview_of_a_refused_job_is_one_line_and_exit_code_2(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "preview", str(job)]) == 2

    answer = capsys.readouterr()
    assert (answer.out, len(answer.err.splitlines())) == ("", 1)
    assert answer.err.startswith("sosw: max_stores_per_batch: 2 is refused; ")


@pytest.mark.parametrize("command", [["jobs", "submit"], ["jobs", "preview"], ["import-config"]])
def test_a_file_that_is_no_utf_8_is_one_line_and_exit_code_2(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "old.json"
    file.write_bytes('{"worker": "größe"}'.encode("latin-1"))

    assert run([*command, str(file)]) == 2
    assert capsys.readouterr().err == (f"sosw: {file}: b'\\xf6' is refused; expected text in UTF-8; this is byte 15\n")


@pytest.mark.parametrize("command", [["jobs", "submit"], ["jobs", "preview"], ["import-config"]])
def test_json_without_an_end_to_its_depth_is_one_line_and_exit_code_2(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep.json"
    file.write_text('{"stores": ' * 100_000)

    assert run([*command, str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected a JSON object: recursion limit exceeded at line 1 column " in line


def test_a_folder_that_cannot_be_written_to_is_one_line_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sosw_runtime.cli.pip.pinned", lambda *_: {})
    (tmp_path / "build").write_text("a file, no folder")

    assert run(["package", "--output", str(tmp_path / "build" / "new")]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"sosw: {tmp_path}/build/new: Not a directory"


def test_a_package_may_be_built_twice_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sosw_runtime.cli.pip.pinned", lambda *_: {})
    write_members = archive._write_members

    def build_again_meanwhile(path: Path, contents: Mapping[str, bytes], executables: Set[str], how: int) -> None:
        monkeypatch.setattr(archive, "_write_members", write_members)
        write_members(path, contents, executables, how)
        assert run(["package", "--output", str(tmp_path)]) == 0

    monkeypatch.setattr(archive, "_write_members", build_again_meanwhile)

    assert run(["package", "--output", str(tmp_path)]) == 0
    [built] = tmp_path.iterdir()
    with zipfile.ZipFile(built) as package:
        assert package.testzip() is None


def test_a_wrong_setting_is_one_line(
    job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOSW_TIMEZONE", "Moon")

    assert run(["jobs", "preview", str(job)]) == 2
    assert capsys.readouterr().err.startswith("sosw: SOSW_TIMEZONE: 'Moon' is no IANA time zone; ")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SOSW_CLOSED_TASKS_RETENTION_DAYS", "soon", "'soon' is refused; expected a whole number of days from 1"),
        ("SOSW_CLOSED_TASKS_RETENTION_DAYS", "0", "'0' is refused; expected a whole number of days from 1"),
        ("SOSW_NAME", "", "'' is refused; expected the name of an installation"),
    ],
)
def test_a_setting_of_a_wrong_type_is_told_in_plain_words(
    name: str, value: str, expected: str, job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert run(["jobs", "preview", str(job)]) == 2
    assert capsys.readouterr().err == f"sosw: {name}: {expected}\n"


def test_the_help_shows_flags_without_a_type(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command in (["--help"], ["tasks", "list", "--help"], ["package", "--help"]):
        assert run(command) == 0
        assert "bool" not in capsys.readouterr().out


def test_the_command_without_its_extra_says_what_to_install() -> None:
    program = "import sys; sys.modules['typer'] = None; from sosw_runtime.cli import main; main()"

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert ended.returncode == 1
    assert ended.stderr == "sosw: the command needs typer: pip install 'sosw-runtime[cli]'\n"


def test_every_command_has_its_section_and_its_options_exist() -> None:
    page = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    commands = dict(_commands(typer.main.get_command(app), "sosw"))

    sections = set(re.findall(r"^##+ `(sosw [a-z -]+)`$", page, re.MULTILINE))
    shown = re.findall(r"^\$ (sosw .+)$", page, re.MULTILINE)

    assert commands.keys() <= sections
    assert {name for name in commands if any(line.startswith(name) for line in shown)} == commands.keys()
    known = {option for options in commands.values() for option in options}
    assert set(re.findall(r"(?<=[ `])--[a-z][a-z-]+", page)) <= known


def _commands(command: Any, name: str) -> Iterator[tuple[str, list[str]]]:
    """Every command that does something, with its options."""
    for sub_name, sub in getattr(command, "commands", {}).items():
        yield from _commands(sub, f"{name} {sub_name}")
    if not hasattr(command, "commands"):
        yield name, [option for parameter in command.params for option in parameter.opts]
