"""The figures of the documentation are those that were last measured."""

from __future__ import annotations

import json

from benchmarks import report
from benchmarks.__main__ import RESULTS

from tests.support.cache import ROOT


def test_the_pages_show_the_results_as_they_were_measured() -> None:
    pages = report.pages(ROOT, json.loads(RESULTS.read_text()))

    assert {page.name for page in pages} == {"README.md", "benchmarks.md", "jobs.md"}
    for page, text in pages.items():
        assert page.read_text() == text, f"{page.name}: `python -m benchmarks show` writes it anew"
