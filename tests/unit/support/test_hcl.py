"""Edits of Terraform files touch what they name and nothing else."""

from __future__ import annotations

import pytest

from tests.support import hcl

SOURCE = """\
# Größe: every position below counts characters, not bytes.
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

resource "aws_lambda_function" "this" {
  function_name = "a" # stays
  architectures = [
    "arm64", # ] goes
  ]
  runtime = "python${var.minor}"

  dynamic "logging_config" {
    for_each = var.logging[*]

    content {
      log_format = "}"
    }
  }
}

resource "aws_lambda_function_recursion_config" "this" {
  recursive_loop = "Allow"
}

module "worker" {
  source = "./worker"
  typo   = 1
}
"""


def test_an_argument_goes_with_all_its_lines() -> None:
    changed, what = hcl.cut(SOURCE, [SOURCE.index("architectures")])
    assert changed == SOURCE.replace('  architectures = [\n    "arm64", # ] goes\n  ]\n', "")
    assert what == ["aws_lambda_function.this: architectures"]


def test_a_dynamic_block_goes_whole() -> None:
    changed, what = hcl.cut(SOURCE, [SOURCE.index('"logging_config"')])
    assert "log_format" not in changed
    assert 'runtime = "python${var.minor}"\n\n}\n' in changed
    assert what == ["aws_lambda_function.this: logging_config"]


def test_a_statement_of_a_policy_goes_whole() -> None:
    kept = 'data "aws_iam_policy_document" "queue" {\n  statement {\n    sid = "Send"\n  }\n'
    refused = '\n  statement {\n    sid    = "RefusePlaintext"\n    effect = "Deny"\n  }\n'
    positions = hcl.statements(f"{kept}{refused}}}\n", "RefusePlaintext")
    changed, what = hcl.cut(f"{kept}{refused}}}\n", positions)
    assert changed == f"{kept}\n}}\n"
    assert what == ["aws_iam_policy_document.queue: statement"]


def test_a_resource_goes_whole_and_what_is_in_it_with_it() -> None:
    positions = [SOURCE.index('"aws_lambda_function_recursion_config"'), SOURCE.index("recursive_loop")]
    changed, what = hcl.cut(SOURCE, positions)
    assert "recursi" not in changed
    assert 'module "worker" {' in changed
    assert what == ["aws_lambda_function_recursion_config.this"]


def test_several_cuts_do_not_shift_each_other() -> None:
    changed, what = hcl.cut(SOURCE, [SOURCE.index("architectures"), SOURCE.index("recursive_loop")])
    assert "arm64" not in changed
    assert 'resource "aws_lambda_function_recursion_config" "this" {\n}\n' in changed
    assert len(what) == 2


def test_a_mistake_outside_aws_resources_is_never_cut() -> None:
    line = SOURCE[: SOURCE.index("typo")].count("\n") + 1
    with pytest.raises(ValueError, match=f"line {line} is outside"):
        hcl.cut(SOURCE, [SOURCE.index("typo")])


def test_an_argument_gets_another_value_where_its_type_has_it() -> None:
    changed = hcl.set_argument(SOURCE, "aws_lambda_function", "runtime", '"python3.8"')
    assert changed == SOURCE.replace('runtime = "python${var.minor}"', 'runtime = "python3.8"')
    assert hcl.set_argument(SOURCE, "aws_sqs_queue", "runtime", '"python3.8"') == SOURCE


def test_only_the_named_provider_is_pinned() -> None:
    two = SOURCE.replace(
        "    aws = {", '    random = {\n      source  = "hashicorp/random"\n      version = ">= 3"\n    }\n    aws = {'
    )
    assert hcl.pin_provider(two, "hashicorp/aws", "3.39.0") == two.replace(">= 6.0", "3.39.0")
