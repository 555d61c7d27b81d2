"""What `sosw import-config` writes is laid out as Terraform lays it out, and can be planned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sosw_runtime import __version__
from sosw_runtime.cli.import_config import convert
from tests.support.cache import ROOT
from tests.support.terraform import Terraform, compatible_copy
from tests.unit.cli.test_import_config import ORCHESTRATOR, SCHEDULER_PAGE, TUTORIAL

PLAN = """
mock_provider "aws" {
  source          = "../tests/terraform/mocks"
  override_during = plan

  mock_data "aws_lambda_function" {
    defaults = {
      function_name = "any"
      role          = "arn:aws:iam::111122223333:role/service-role/any"
      timeout       = 60
    }
  }
}

run "plans" {
  command = plan

  assert {
    condition     = module.some_function.worker_id == "some_function"
    error_message = "A labourer's id is its Worker's."
  }
}
"""


def test_it_can_be_planned(tmp_path: Path) -> None:
    tree = compatible_copy(ROOT, tmp_path / "tree")
    imported = tree / "imported"
    imported.mkdir()
    (imported / "main.tf").write_text(convert([json.dumps(c) for c in (SCHEDULER_PAGE, ORCHESTRATOR, TUTORIAL)], "../"))
    (imported / "plan.tftest.hcl").write_text(PLAN)
    package = imported / "build" / f"sosw-runtime-{__version__}-py313-arm64.zip"
    package.parent.mkdir()
    shutil.copy(ROOT / "tests" / "terraform" / "packages" / "sosw-runtime-1.2.3-py313-arm64.zip", package)

    terraform = Terraform(imported)
    assert terraform.run("fmt", "-check", "-diff", "main.tf") == ""
    terraform.run("init", "-no-color")
    assert "1 passed, 0 failed" in terraform.run("test", "-no-color")
