"""The modules' READMEs list what the modules take and give, and what the pages tell to write can be planned."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import hcl2
import pytest

from sosw_runtime import __version__
from tests.support.cache import ROOT
from tests.support.terraform import Terraform, compatible_copy

FUNCTION = """
resource "aws_iam_role" "resize" {
  name               = "resize"
  assume_role_policy = "{}"
}

resource "aws_lambda_function" "resize" {
  function_name = "resize"
  role          = "arn:aws:iam::111122223333:role/resize"
  package_type  = "Image"
  image_uri     = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/resize:1"
  timeout       = 60
}
"""

PLAN = """
mock_provider "aws" {
  source          = "./sosw/tests/terraform/mocks"
  override_during = plan
}

run "plans" {
  command = plan

  assert {
    condition     = module.resize.worker_id == "resize"
    error_message = "The function is a Worker."
  }

  assert {
    condition     = aws_lambda_event_source_mapping.jobs.batch_size == 10
    error_message = "The Scheduler reads a queue."
  }
}
"""


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


@pytest.mark.parametrize("module", ["job", "worker"])
def test_shows_the_shape_of_every_object_input(module: str) -> None:
    directory = ROOT / "modules" / module
    readme = (directory / "README.md").read_text()
    shapes = {}
    for block in (directory / "variables.tf").read_text().split('\nvariable "'):
        description = block.partition("<<-EOT\n")[2].partition("\n  EOT\n")[0]
        *_, last = description.split("\n\n")
        if "object({" in last:
            shapes[block.partition('"')[0]] = dedent(last)
    assert shapes
    for name, shape in shapes.items():
        assert f"`{name}`:\n\n```hcl\n{shape}\n```\n" in readme


def _blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of a language in a part of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_lines_to_write_can_be_planned(tmp_path: Path) -> None:
    use = (ROOT / "README.md").read_text().partition("\n## Use it\n")[2].partition("\n## ")[0]
    commands, terraform_code = _blocks(use, "sh")[0], _blocks(use, "hcl")[0]
    [queue] = _blocks((ROOT / "docs" / "jobs.md").read_text(), "hcl queue")
    package = f"build/sosw-runtime-{__version__}-py313-arm64.zip"
    assert f"# {package}\n" in commands

    compatible_copy(ROOT, tmp_path / "sosw")
    (tmp_path / "main.tf").write_text(terraform_code)
    (tmp_path / "queue.tf").write_text(queue)
    (tmp_path / "function.tf").write_text(FUNCTION)
    (tmp_path / "plan.tftest.hcl").write_text(PLAN)
    (tmp_path / "build").mkdir()
    shutil.copy(ROOT / "tests" / "terraform" / "packages" / "sosw-runtime-1.2.3-py313-arm64.zip", tmp_path / package)

    terraform = Terraform(tmp_path)
    assert terraform.run("fmt", "-check", "-diff", "main.tf", "queue.tf") == ""
    terraform.run("init", "-no-color")
    assert "1 passed, 0 failed" in terraform.run("test", "-no-color")
