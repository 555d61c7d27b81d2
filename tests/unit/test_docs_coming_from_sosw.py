"""The page on coming from sosw 0.7 shows what the command prints and names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import sosw_runtime
from sosw_runtime.cli.import_config import convert
from sosw_runtime.domain.periods import PERIODS

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
