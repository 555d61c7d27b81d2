"""The Terraform on the page on Workers can be planned."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from sosw_runtime import __version__
from tests.support import provider
from tests.support.cache import ROOT
from tests.support.terraform import Terraform, compatible_copy

#: What the page leaves to its reader: the installation, and functions that exist already.
GIVEN = """
module "sosw" {{
  source  = "./sosw"
  runtime = {{ package = "build/sosw-runtime-{version}-py313-arm64.zip", version = "{version}" }}
}}
"""
EXISTING = """
resource "aws_iam_role" "{name}" {{
  name               = "{name}"
  assume_role_policy = "{{}}"
}}

resource "aws_lambda_function" "{name}" {{
  function_name = "{name}"
  role          = "arn:aws:iam::111122223333:role/{name}"
  package_type  = "Image"
  image_uri     = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/{name}:1"
  timeout       = 60
}}
"""
PLAN = """
mock_provider "aws" {
  source          = "./sosw/tests/terraform/mocks"
  override_during = plan
}

override_resource {
  target          = aws_iam_role.resize
  override_during = plan
  values          = { arn = "arn:aws:iam::111122223333:role/resize" }
}

run "plans" {
  command = plan

  assert {
    condition     = module.thumbnails.worker_id == "thumbnails" && module.scale.worker_id == "scale"
    error_message = "Each function is a Worker."
  }

  assert {
    condition     = module.resize.worker_id == "resize"
    error_message = "The function of the page is a Worker."
  }

  assert {
    condition     = aws_lambda_function.resize.environment[0].variables.SOSW_NAME == "sosw"
    error_message = "The function knows its installation."
  }
}
"""


def test_the_terraform_of_the_page_can_be_planned(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"^```hcl (\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    compatible_copy(ROOT, tmp_path / "sosw")
    for role, text in blocks.items():
        (tmp_path / f"{role}.tf").write_text(text)
    existing = "".join(EXISTING.format(name=name) for name in ("thumbnails", "scale"))
    (tmp_path / "given.tf").write_text(GIVEN.format(version=__version__) + existing)
    (tmp_path / "plan.tftest.hcl").write_text(PLAN)
    (tmp_path / "build").mkdir()
    package = ROOT / "tests" / "terraform" / "packages" / "sosw-runtime-1.2.3-py313-arm64.zip"
    for name in (
        f"sosw-runtime-{__version__}-py313-arm64",
        "resize-py313-arm64",
        f"sosw-worker-layer-{__version__}",
        "crop",
    ):
        shutil.copy(package, tmp_path / "build" / f"{name}.zip")

    terraform = Terraform(tmp_path)
    assert terraform.run("fmt", "-check", "-diff", *(f"{role}.tf" for role in blocks)) == ""
    if provider.is_packaged():
        _make_known(tmp_path)
    terraform.run("init", "-no-color")
    assert "1 passed, 0 failed" in terraform.run("test", "-no-color")


def _make_known(folder: Path) -> None:
    """Leave out what the packaged provider does not know."""
    for path in (folder / "function.tf", folder / "layer.tf"):
        text = re.sub(r"^ *architectures .*\n", "", path.read_text(), flags=re.MULTILINE)
        path.write_text(text.replace("python3.13", "python3.8"))
