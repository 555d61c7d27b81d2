"""The page on coming from sosw 0.7 shows what the command prints and names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import sosw_runtime
from sosw_runtime.cli.import_config import convert
from sosw_runtime.domain.periods import PERIODS
from sosw_runtime.domain.task import Status, Task
from sosw_runtime.worker import _REPEATED

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from-sosw.md").read_text(encoding="utf-8")


def block(role: str) -> str:
    found = re.findall(rf"^```{role}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def test_the_configuration_becomes_the_terraform_that_the_page_shows() -> None:
    shown = block("hcl terraform").replace("VERSION", sosw_runtime.__version__)

    assert convert([block("json config")], "./sosw") == shown.rstrip()


def test_every_period_that_is_new_is_named() -> None:
    old = {"today", "yesterday", "N_days_back", "last_N_days", "previous_N_days", "last_week"}

    assert {period for period in PERIODS.keys() - old if f"`{period}`" not in PAGE} == set()


def test_every_key_that_a_workers_event_and_report_may_have_is_named() -> None:
    (event,) = re.findall(r"^\| a Worker's event: .*$", PAGE, re.MULTILINE)
    (report,) = re.findall(r"^\| a report to the WorkerAssistant: .*$", PAGE, re.MULTILINE)
    task = Task("t", "w", "j", 0, Status.RUNNING, "{}", 0, attempt=1, claim="c", token="c")

    assert {key for key in task.event("sosw", with_token=True) if f"`{key}`" not in event} == set()
    assert {name for names in _REPEATED.items() for name in names if f"`{name}`" not in report} == set()
