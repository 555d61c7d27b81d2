"""The plan tests of the modules, `*.tftest.hcl`, as `terraform test` runs them.

Those in `inputs` are of what the variables refuse. They run on a module's `variables.tf` alone, without a provider:
one is started, and asked for its whole schema, for every plan.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.cache import ROOT
from tests.support.terraform import Terraform, compatible_copy

_TESTS = Path("tests/terraform")
_VARIABLES_OF = {"root": ROOT, "job": ROOT / "modules" / "job", "worker": ROOT / "modules" / "worker"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    terraform = Terraform(compatible_copy(ROOT, tmp_path_factory.mktemp("tree")))
    terraform.run("init", "-no-color", f"-test-directory={_TESTS}")
    return terraform


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / _TESTS).glob("*.tftest.hcl")))
def test_plans(tree: Terraform, file: str) -> None:
    passes(tree.run("test", "-no-color", f"-test-directory={_TESTS}", f"-filter={_TESTS / file}"))


@pytest.mark.parametrize("module", sorted(_VARIABLES_OF))
def test_inputs(tmp_path: Path, module: str) -> None:
    shutil.copy(_VARIABLES_OF[module] / "variables.tf", tmp_path)
    shutil.copy(ROOT / _TESTS / "inputs" / f"{module}.tftest.hcl", tmp_path)
    shutil.copytree(ROOT / _TESTS / "packages", tmp_path / _TESTS / "packages")

    passes(Terraform(tmp_path).run("test", "-no-color"))


def test_every_file_of_inputs_is_run() -> None:
    assert {path.name.partition(".")[0] for path in (ROOT / _TESTS / "inputs").iterdir()} == _VARIABLES_OF.keys()


def passes(output: str) -> None:
    assert "Success!" in output
    assert "... skip" not in output
