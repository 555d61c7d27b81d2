"""The plan tests of the modules, `*.tftest.hcl`, as `terraform test` runs them.

Those in `inputs` are of what the variables refuse. They run on a module's `variables.tf` and `inputs.tf` alone, without
a provider: one is started, and asked for its whole schema, for every plan.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.cache import ROOT
from tests.support.terraform import Terraform, compatible_copy

_TESTS = Path("tests/terraform")
_MODULES = {"root": Path(), "job": Path("modules") / "job", "worker": Path("modules") / "worker"}


#: Object inputs whose keys are known, and whose values are not.
_CALLER = """
data "aws_region" "this" {}

resource "terraform_data" "made" {}

module "sosw" {
  source = "../"

  runtime = {
    version = "1.2.3"
    s3 = {
      bucket         = "artifacts"
      key            = "sosw-runtime-1.2.3-py313-arm64.zip"
      object_version = terraform_data.made.id
    }
  }
  logging     = { level = terraform_data.made.id }
  encryption  = { kms_key_arn = terraform_data.made.id }
  iam         = { permissions_boundary_arn = terraform_data.made.id }
  alarms      = { topic = { arn = terraform_data.made.id } }
  closed_jobs = { topic = { arn = terraform_data.made.id } }
}

module "resize" {
  source = "../modules/worker"

  orchestrator    = module.sosw.orchestrator
  function_name   = "resize"
  role_name       = "resize"
  timeout_seconds = 60
  max_concurrency = 1
  health_metrics = {
    database = {
      namespace   = "AWS/RDS"
      metric_name = "CPUUtilization"
      dimensions  = { DBInstanceIdentifier = terraform_data.made.id }
      levels      = { "4" = 40 }
    }
  }
}

module "nightly" {
  source = "../modules/job"

  orchestrator        = module.sosw.orchestrator
  schedule_expression = "rate(1 hour)"
  job                 = { worker = terraform_data.made.id, period = "yesterday" }
  attributes          = jsonencode({ bucket = terraform_data.made.id })
  job_schemas         = module.resize.job_schemas
}
"""
_PLAN = """
mock_provider "aws" {
  source          = "../tests/terraform/mocks"
  override_during = plan
}

run "plans" {
  command = plan

  assert {
    condition     = module.sosw.function_names.scheduler == "sosw_scheduler"
    error_message = "The installation is planned."
  }
}
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    terraform = Terraform(compatible_copy(ROOT, tmp_path_factory.mktemp("tree")))
    terraform.run("init", "-no-color", f"-test-directory={_TESTS}")
    return terraform


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / _TESTS).glob("*.tftest.hcl")))
def test_plans(tree: Terraform, file: str) -> None:
    passes(tree.run("test", "-no-color", f"-test-directory={_TESTS}", f"-filter={_TESTS / file}"))


def test_values_that_only_an_apply_knows_can_be_planned(tree: Terraform) -> None:
    caller = Terraform(tree.directory / "caller")
    caller.directory.mkdir()
    (caller.directory / "main.tf").write_text(_CALLER)
    (caller.directory / "plan.tftest.hcl").write_text(_PLAN)
    caller.init()

    passes(caller.run("test", "-no-color"))


@pytest.mark.parametrize("module", sorted(_MODULES))
def test_inputs(tmp_path: Path, module: str) -> None:
    directory = inputs_of(module, tmp_path)
    shutil.copy(ROOT / _TESTS / "inputs" / f"{module}.tftest.hcl", directory)

    passes(Terraform(directory).run("test", "-no-color"))


def test_every_file_of_inputs_is_run() -> None:
    assert {path.name.partition(".")[0] for path in (ROOT / _TESTS / "inputs").iterdir()} == _MODULES.keys()


def inputs_of(module: str, tree: Path) -> Path:
    """Copy a module's inputs, and what checks them, into an empty tree; returns the module's directory in it."""
    directory = tree / _MODULES[module]
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("variables.tf", "inputs.tf"):
        shutil.copy(ROOT / _MODULES[module] / name, directory)
    shutil.copytree(ROOT / "checks", tree / "checks")
    shutil.copytree(ROOT / _TESTS / "packages", directory / _TESTS / "packages")
    return directory


def passes(output: str) -> None:
    assert "Success!" in output
    assert "... skip" not in output
