"""The copy for the packaged provider loses what that provider lacks, and hides no mistake."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support import provider
from tests.support.terraform import TerraformError, make_valid

pytestmark = [
    pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not on the PATH"),
    pytest.mark.skipif(not provider.is_packaged(), reason="nothing is cut for the provider from the registry"),
]

VERSIONS = """\
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}
"""
TABLE = """
resource "aws_dynamodb_table" "tasks" {
  name                        = "Aufträge" # not ASCII: Terraform counts bytes
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "task_id"
  deletion_protection_enabled = true

  attribute {
    name = "task_id"
    type = "S"
  }
}
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A root module that calls one module with a table."""
    module = tmp_path / "modules" / "tables"
    module.mkdir(parents=True)
    (module / "main.tf").write_text(VERSIONS + TABLE)
    (tmp_path / "main.tf").write_text(VERSIONS + 'module "tables" {\n  source = "./modules/tables"\n}\n')
    return tmp_path


def test_what_the_provider_lacks_is_cut_and_told(tree: Path) -> None:
    assert make_valid(tree) == ["modules/tables aws_dynamodb_table.tasks: deletion_protection_enabled"]
    kept = TABLE.replace("  deletion_protection_enabled = true\n", "")
    assert (tree / "modules" / "tables" / "main.tf").read_text() == VERSIONS.replace(">= 6.0", "3.39.0") + kept


def test_an_argument_that_a_module_does_not_have_is_an_error(tree: Path) -> None:
    with (tree / "main.tf").open("a") as main:
        main.write('module "again" {\n  source = "./modules/tables"\n  typo   = 1\n}\n')
    with pytest.raises(TerraformError, match="typo"):
        make_valid(tree)


def test_any_other_fault_is_an_error(tree: Path) -> None:
    with (tree / "modules" / "tables" / "main.tf").open("a") as main:
        main.write('output "name" {\n  value = var.missing\n}\n')
    with pytest.raises(TerraformError, match="Reference to undeclared input variable"):
        make_valid(tree)
