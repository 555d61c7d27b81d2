"""The plan tests of the modules, `*.tftest.hcl`, as `terraform test` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cache import ROOT
from tests.support.terraform import Terraform, compatible_copy

_TESTS = Path("tests/terraform")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    terraform = Terraform(compatible_copy(ROOT, tmp_path_factory.mktemp("tree")))
    terraform.run("init", "-no-color", f"-test-directory={_TESTS}")
    return terraform


@pytest.mark.parametrize("file", sorted(path.name for path in (ROOT / _TESTS).glob("*.tftest.hcl")))
def test_plans(tree: Terraform, file: str) -> None:
    output = tree.run("test", "-no-color", f"-test-directory={_TESTS}", f"-filter={_TESTS / file}")
    assert "Success!" in output
    assert "... skip" not in output
