"""`sosw run`: a Worker's tasks without AWS, and one line for whatever cannot be run."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sosw_runtime.cli.app import run

WORKER = """
import places
from sosw_runtime.worker import NotRetryable, Worker


class Weather(Worker):
    def __call__(self, event):
        print("at work")
        self.stats["days"] += len(event["date_list"])
        if "2012-01-02" in event["date_list"]:
            raise NotRetryable("the row is damaged")
        return {"place": places.PLACE, "days": event["date_list"]}


handler = Weather.handler()


def plain(event, context):
    return "done"
"""
DAYS = {"worker": "weather", "start_date": "2012-01-01", "end_date": "2012-01-03", "isolate_days": True}


@pytest.fixture(autouse=True)
def imports_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name in {"weather", "places", "broken"}:
            del sys.modules[name]


@pytest.fixture
def worker(tmp_path: Path) -> str:
    (tmp_path / "places.py").write_text('PLACE = "Seattle"\n')
    (tmp_path / "weather.py").write_text(WORKER)
    return str(tmp_path / "weather.py")


@pytest.fixture
def job(tmp_path: Path) -> str:
    (tmp_path / "job.json").write_text(json.dumps(DAYS))
    return str(tmp_path / "job.json")


def test_a_task_is_shown_with_all_that_came_of_it(worker: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", worker, "--payload", '{"date_list": ["2012-01-01"]}']) == 0

    answer = capsys.readouterr()
    shown = dict(line.split(maxsplit=1) for line in answer.out.splitlines())
    assert list(shown) == ["task", "payload", "outcome", "result", "stats", "duration_ms", "report"]
    assert shown["outcome"] == "completed"
    assert json.loads(shown["result"]) == {"place": "Seattle", "days": ["2012-01-01"]}
    assert json.loads(shown["stats"]) == {"days": 1}
    assert json.loads(shown["report"])["action"] == "mark_task_as_completed"
    assert answer.err == "at work\n", "what the Worker prints is no part of the result"


def test_a_failed_task_is_exit_code_1_and_shows_where(worker: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", worker, "--payload", '{"date_list": ["2012-01-02"]}']) == 1

    answer = capsys.readouterr()
    assert (
        '\nerror        {"type": "NotRetryable", "message": "the row is damaged"}\nretryable    false\n' in answer.out
    )
    assert 'raise NotRetryable("the row is damaged")' in answer.err


def test_every_task_of_a_job_runs_in_turn(worker: str, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", worker, "--job", job, "--json"]) == 1

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["payload"]["date_list"] for line in lines] == [["2012-01-01"], ["2012-01-02"], ["2012-01-03"]]
    assert [line["outcome"] for line in lines] == ["completed", "failed", "completed"]
    assert [line["task"] for line in lines] == [0, 1, 2]
    assert len({line["report"]["task_id"] for line in lines}) == 3
    assert [line["stats"] for line in lines] == [{"days": 1}] * 3
    assert lines[0].keys() == lines[1].keys()


def test_a_limit_leaves_the_rest_out_and_says_so(worker: str, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", worker, "--job", job, "--limit", "1", "--json"]) == 0

    answer = capsys.readouterr()
    assert len(answer.out.splitlines()) == 1
    assert answer.err.splitlines()[-1] == "There are more than 1 tasks; see --limit."


def test_a_job_is_cut_as_its_schema_says(worker: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "schema.json").write_text('{"default": {"chunkable_attrs": ["store"]}}')
    (tmp_path / "stores.json").write_text(
        json.dumps({"worker": "weather", "period": "yesterday", "stores": ["a", "b"], "isolate_stores": True})
    )
    options = ["--job", str(tmp_path / "stores.json"), "--schema", str(tmp_path / "schema.json")]

    assert run(["run", worker, *options, "--today", "2024-03-01", "--json"]) == 0

    payloads = [json.loads(line)["payload"] for line in capsys.readouterr().out.splitlines()]
    assert payloads == [{"date_list": ["2024-02-29"], "stores": [store]} for store in ("a", "b")]


def test_another_handler_is_run_by_its_name(worker: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", f"{worker}:plain", "--payload", "{}", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["result"], told["report"]) == ("done", None)

    assert run(["run", f"{worker}:Weather", "--payload", '{"date_list": []}', "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["result"] == {"place": "Seattle", "days": []}


def test_what_cannot_be_run_is_one_line_and_exit_code_2(
    worker: str, job: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refusal(*arguments: str) -> str:
        assert run(["run", *arguments]) == 2
        answer = capsys.readouterr()
        assert answer.out == ""
        return answer.err

    gone, broken = str(tmp_path / "gone.py"), tmp_path / "broken.py"
    assert refusal(gone, "--payload", "{}") == f"sosw: FILE: {gone} is refused; expected a file of Python\n"
    assert refusal(job, "--payload", "{}") == f"sosw: FILE: {job} is refused; expected a file of Python\n"
    assert refusal(f"{worker}:nobody", "--payload", "{}") == (
        f"sosw: NAME: nobody is refused; expected a handler in {worker}, such as `handler = Resize.handler()`\n"
    )
    assert refusal(worker) == "sosw: FILE: expected either --payload or --job beside it\n"
    for ignored in (["--limit", "3"], ["--today", "2026-01-01"]):
        assert refusal(worker, "--payload", "{}", *ignored).endswith(
            "expected none with --payload, which is one task\n"
        )
    assert refusal(worker, "--payload", "{}", "--job", job).startswith("sosw: --payload: '{}' is refused; ")
    assert refusal(worker, "--payload", "[1]") == "sosw: --payload: [1] is refused; expected a JSON object\n"
    assert refusal(worker, "--payload", '{"task_id": 1}').startswith("sosw: task_id: 1 is refused; ")
    broken.write_text("import os\nos.environ['TABLE']\n")
    assert refusal(str(broken), "--payload", "{}") == (
        f"sosw: FILE: {broken} cannot be imported: KeyError in line 2: 'TABLE'\n"
    )
    broken.write_text("def handler(:\n")
    assert refusal(str(broken), "--payload", "{}").startswith(f"sosw: FILE: {broken} cannot be imported: SyntaxError: ")
