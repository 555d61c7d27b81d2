"""The modules' READMEs list what the modules take and give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import hcl2
import pytest

from tests.support.cache import ROOT


def _declared(file: Path, kind: str) -> Iterator[tuple[str, bool]]:
    """Name, and whether it must be given, of each variable or output."""
    for block in hcl2.loads(file.read_text())[kind]:
        for name, content in block.items():
            if not name.startswith("__"):
                yield name.strip('"'), "default" not in content


def _table(readme: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = readme.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+) \|$", section, re.MULTILINE)
    return [row.split(" | ") for row in rows[2:]]


@pytest.mark.parametrize("module", sorted(path.name for path in (ROOT / "modules").iterdir()))
def test_lists_inputs_and_outputs(module: str) -> None:
    directory = ROOT / "modules" / module
    readme = (directory / "README.md").read_text()
    inputs = {name.strip("`"): default == "required" for name, default, *_ in _table(readme, "Inputs")}
    outputs = {name.strip("`") for name, *_ in _table(readme, "Outputs")}
    assert inputs == dict(_declared(directory / "variables.tf", "variable"))
    assert outputs == {name for name, _ in _declared(directory / "outputs.tf", "output")}
