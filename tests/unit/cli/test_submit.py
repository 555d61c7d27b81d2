"""`sosw jobs submit`: what the Scheduler is sent, and what its answer becomes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from botocore.config import Config

from sosw_runtime.cli import scheduler
from sosw_runtime.cli.app import run
from tests.unit.cli.conftest import FakeLambda

ACCEPTED = {"job_id": "nightly", "tasks": 366, "first_start": 1_772_000_000_000}


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.json"
    path.write_text('{"job_id": "nightly", "worker": "resize", "period": "yesterday"}')
    return path


def test_the_scheduler_is_sent_the_job_and_its_answer_is_told(
    fake_lambda: FakeLambda, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_lambda.returns(ACCEPTED)

    code = run(["jobs", "submit", str(job_file)])

    assert code == 0
    assert fake_lambda.requests == [
        (
            "/2015-03-31/functions/sosw_scheduler/invocations",
            {"job": {"job_id": "nightly", "worker": "resize", "period": "yesterday"}},
        )
    ]
    assert capsys.readouterr().out == "job nightly: 366 tasks, the first may start at 2026-02-25 06:13:20 UTC\n"


def test_json_is_the_schedulers_answer(
    fake_lambda: FakeLambda, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_lambda.returns(ACCEPTED)

    assert run(["jobs", "submit", str(job_file), "--json"]) == 0

    assert json.loads(capsys.readouterr().out) == ACCEPTED


def test_a_dry_run_sends_the_job_as_it_is_and_tells_the_answer(
    fake_lambda: FakeLambda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "job.json"
    job.write_text('{"worker": "resize"}')
    fake_lambda.returns(ACCEPTED)

    assert run(["jobs", "submit", str(job), "--dry-run"]) == 0

    assert [body for _, body in fake_lambda.requests] == [{"dry_run": {"job": {"worker": "resize"}}}]
    told = "would be accepted: 366 tasks, the first may start at 2026-02-25 06:13:20 UTC\n"
    assert capsys.readouterr().out == told


@pytest.mark.parametrize(
    ("message", "code", "told"),
    [
        (
            "worker: None is refused; expected",
            1,
            "the Scheduler is of a version without dry runs; upgrade the installation",
        ),
        ("worker: 'resize' is refused; none", 2, "worker: 'resize' is refused; none"),
    ],
)
def test_a_refused_dry_run_tells_an_old_scheduler_from_a_wrong_job(
    message: str, code: int, told: str, fake_lambda: FakeLambda, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_lambda.raises("JobRefused", json.dumps({"error": "refused", "field": "worker", "message": message}))

    assert run(["jobs", "submit", str(job_file), "--dry-run"]) == code

    assert capsys.readouterr().err == f"sosw: {told}\n"


def test_a_dry_run_cannot_be_watched(job_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["jobs", "submit", str(job_file), "--dry-run", "--watch"]) == 2

    assert "expected either --watch or --dry-run" in capsys.readouterr().err


@pytest.mark.parametrize("by", ["option", "environment"])
def test_another_installation_is_named(
    by: str, fake_lambda: FakeLambda, job_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_lambda.returns(ACCEPTED)
    if by == "environment":
        monkeypatch.setenv("SOSW_NAME", "media")

    assert run(["jobs", "submit", str(job_file), *(["--name", "media"] if by == "option" else [])]) == 0

    assert fake_lambda.requests[0][0] == "/2015-03-31/functions/media_scheduler/invocations"


def test_a_job_without_an_id_gets_one_that_a_repetition_keeps(
    fake_lambda: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"worker": "resize"}'), encoding="utf-8"))
    fake_lambda.refuses(500, "ServiceException", "lost on the way")
    fake_lambda.returns(ACCEPTED)

    assert run(["jobs", "submit", "-"]) == 0

    first, second = (body["job"]["job_id"] for _, body in fake_lambda.requests)
    assert first == second
    assert UUID(first)


def test_a_refused_job_is_one_line_and_exit_code_2(
    fake_lambda: FakeLambda, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "period: 'yesterdey' is refused; known are today, yesterday"
    fake_lambda.raises("JobRefused", json.dumps({"error": "refused", "field": "period", "message": message}))

    code = run(["jobs", "submit", str(job_file)])

    answer = capsys.readouterr()
    assert (code, answer.out) == (2, "")
    assert answer.err == "sosw: period: 'yesterdey' is refused; known are today, yesterday\n"


def test_a_failing_scheduler_is_exit_code_1_and_names_the_job(
    fake_lambda: FakeLambda, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_lambda.raises("Sandbox.Timedout", "Task timed out after 900.00 seconds")

    assert run(["jobs", "submit", str(job_file)]) == 1

    assert capsys.readouterr().err == (
        "sosw: job nightly: the Scheduler failed: Sandbox.Timedout: Task timed out after 900.00 seconds\n"
    )


INTERRUPTED = json.dumps({"error": "interrupted", **ACCEPTED, "message": "job 'nightly' is accepted, and so on"})


def test_a_job_that_is_accepted_and_interrupted_is_told_as_accepted(
    fake_lambda: FakeLambda, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_lambda.raises("JobInterrupted", INTERRUPTED)

    assert run(["jobs", "submit", str(job_file), "--json"]) == 0

    answer = capsys.readouterr()
    assert json.loads(answer.out) == ACCEPTED
    assert answer.err == "job 'nightly' is accepted, and so on\n"


@pytest.mark.parametrize(
    ("kind", "message", "code"),
    [
        ("Unavailable", "not accepted, or not known to be", 3),
        ("Misconfigured", "the registration of Worker 'resize' cannot be read", 1),
    ],
)
def test_a_job_that_is_not_known_to_be_accepted_is_one_line(
    kind: str, message: str, code: int, fake_lambda: FakeLambda, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_lambda.raises(kind, message)

    assert run(["jobs", "submit", str(job_file)]) == code

    answer = capsys.readouterr()
    assert (answer.out, answer.err) == ("", f"sosw: {message}\n")


@pytest.mark.parametrize("text", ['{"worker": "resize"}', '{"worker": "resize", "job_id": null}'])
def test_an_id_that_was_made_up_is_told_where_the_job_may_be_accepted(
    text: str, fake_lambda: FakeLambda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.json"
    path.write_text(text)
    fake_lambda.raises("Unavailable", "not accepted, or not known to be")

    assert run(["jobs", "submit", str(path)]) == 3

    job_id = fake_lambda.requests[0][1]["job"]["job_id"]
    assert UUID(job_id)
    hint = f"The job may be accepted: submit it again with `job_id` '{job_id}'."
    assert capsys.readouterr().err.splitlines() == [hint, "sosw: not accepted, or not known to be"]


@pytest.fixture
def nameless_job(tmp_path: Path) -> Path:
    path = tmp_path / "nameless.json"
    path.write_text('{"worker": "resize"}')
    return path


def hinted(capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether the command says that the job may be accepted; before its error, and once at the most."""
    *hints, problem = capsys.readouterr().err.splitlines()
    assert problem.startswith("sosw: ")
    assert all(hint.startswith("The job may be accepted: submit it again with `job_id` '") for hint in hints)
    assert len(hints) <= 1
    return bool(hints)


Answers = list[tuple[Any, ...]]

IN_DOUBT: dict[str, Answers] = {
    "a function that cannot tell": [("raises", "Unavailable", "not accepted, or not known to be")],
    "a function that ran out of time": [("raises", "Sandbox.Timedout", "Task timed out after 900.00 seconds")],
    "an error of the server": [("refuses", 500, "ServiceException", "said AWS.")],
    "a connection that is closed": [("closes",)],
    "a connection that is closed, then throttled": [("closes",), ("refuses", 429, "TooManyRequestsException", "no")],
    "a connection that is closed, then misconfigured": [("closes",), ("raises", "Misconfigured", "no such setting")],
    "an answer that is cut": [("cuts",)],
}
NOT_ACCEPTED: dict[str, Answers] = {
    "misconfigured": [("raises", "Misconfigured", "the registration of Worker 'resize' cannot be read")],
    "no such function": [("refuses", 404, "ResourceNotFoundException", "Function not found")],
    "no right": [("refuses", 403, "AccessDeniedException", "said AWS.")],
    "throttled": [("refuses", 429, "TooManyRequestsException", "said AWS.")],
}


@pytest.mark.parametrize(
    ("answers", "may_be_accepted"),
    [
        *(pytest.param(answers, True, id=what) for what, answers in IN_DOUBT.items()),
        *(pytest.param(answers, False, id=what) for what, answers in NOT_ACCEPTED.items()),
    ],
)
def test_a_job_is_said_to_be_accepted_perhaps_only_where_it_may_be(
    *,
    answers: Answers,
    may_be_accepted: bool,
    fake_lambda: FakeLambda,
    nameless_job: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for how, *what in answers:
        getattr(fake_lambda, how)(*what)

    assert run(["jobs", "submit", str(nameless_job)]) in (1, 3)

    assert hinted(capsys) is may_be_accepted


def test_an_answer_too_late_leaves_open_whether_a_job_is_accepted(
    fake_lambda: FakeLambda, nameless_job: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_PATIENT", Config(read_timeout=0.05, retries={"total_max_attempts": 1}))
    fake_lambda.returns(ACCEPTED)
    fake_lambda.delay_seconds = 0.2

    assert run(["jobs", "submit", str(nameless_job)]) == 3

    assert hinted(capsys)


@pytest.mark.parametrize("missing", ["region", "credentials", "endpoint"])
def test_a_job_that_was_never_sent_is_not_said_to_be_accepted(
    missing: str,
    fake_lambda: FakeLambda,
    nameless_job: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in {"region": ["AWS_DEFAULT_REGION"], "credentials": ["AWS_ACCESS_KEY_ID"]}.get(missing, []):
        monkeypatch.delenv(name)
    if missing == "endpoint":
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1")

    assert run(["jobs", "submit", str(nameless_job)]) == 3

    assert fake_lambda.requests == []
    assert not hinted(capsys)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1, 2]", "sosw: job: [1, 2] is refused; expected a JSON object\n"),
        (
            '{"worker": }',
            "sosw: job: '{\"worker\": }' is refused; expected a JSON object: expected value at line 1 column 12\n",
        ),
    ],
)
def test_what_is_no_json_object_is_refused_before_aws_is_asked(
    text: str, problem: str, fake_lambda: FakeLambda, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "job.json"
    path.write_text(text)

    code = run(["jobs", "submit", str(path)])

    assert (code, fake_lambda.requests) == (2, [])
    assert capsys.readouterr().err == problem


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no.json"

    assert run(["jobs", "submit", str(path)]) == 2

    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "error", "advice"),
    [
        (404, "ResourceNotFoundException", "; check --name (or SOSW_NAME), the account and the region"),
        (403, "AccessDeniedException", ""),
        (429, "TooManyRequestsException", ""),
    ],
)
def test_what_aws_refuses_is_one_line_and_exit_code_3(
    *, status: int, error: str, advice: str, fake_lambda: FakeLambda, job_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_lambda.refuses(status, error, "said AWS.")

    code = run(["jobs", "submit", str(job_file)])

    assert code == 3
    assert capsys.readouterr().err == f"sosw: AWS: Invoke: {error}: said AWS.{advice}\n"


def test_missing_credentials_say_what_to_set(
    fake_lambda: FakeLambda, job_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)

    assert run(["jobs", "submit", str(job_file)]) == 3

    assert capsys.readouterr().err == "sosw: AWS: no credentials were found; set AWS_PROFILE, or sign in\n"
