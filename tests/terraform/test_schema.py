"""Every block of the modules, the examples and the end-to-end tests against the schema of a current AWS provider.

Terraform itself can only check against the provider that it has. `SOSW_PROVIDER_SCHEMA` is the path of the schema that
the package `cdktn-provider-aws` carries, as `python -m tests.support.provider` prints it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import hcl2
import pytest

from tests.support.cache import ROOT

_PROVIDER = "@cdktn/provider-aws"
_META_ARGUMENTS = {"count", "depends_on", "for_each", "lifecycle", "provider"}
_WHERE = ("*.tf", "modules/*/*.tf", "examples/*/*.tf", "tests/end_to_end/*/*.tf")
_FILES = sorted(file for pattern in _WHERE for file in ROOT.glob(pattern))
_READ = re.compile(r"\b(data\.)?(aws_[a-z0-9_]+)\.[a-z0-9_]+(?:\[[^\]]*\])?\.([a-z0-9_]+)")


@dataclass(frozen=True)
class Argument:
    required: bool
    block: str | None  # the schema type of a block's content; None for a plain argument

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Self:
        types = [described["type"], *described["type"].get("union", {}).get("types", [])]
        names = [kind.get("fqn") or kind.get("collection", {}).get("elementtype", {}).get("fqn") for kind in types]
        return cls(
            required=not described.get("optional", False),
            block=next((name for name in names if name is not None and name.startswith(_PROVIDER)), None),
        )


class Schema:
    """What the provider knows, by its resources' and data sources' names."""

    def __init__(self, path: Path) -> None:
        self._types: dict[str, Any] = json.loads(path.read_text())["types"]

    def arguments(self, kind: str, name: str) -> dict[str, Argument] | None:
        """The arguments of a resource or data source; None if there is no such one."""
        return self.content(f"{self._class(kind, name)}Config")

    def content(self, type_name: str) -> dict[str, Argument] | None:
        found = self._types.get(type_name)
        return found and {
            _snake(described["name"]): Argument.of(described) for described in found.get("properties", [])
        }

    def attributes(self, kind: str, name: str) -> set[str]:
        """What can be read of a resource or data source."""
        return {_snake(described["name"]) for described in self._types[self._class(kind, name)]["properties"]}

    @staticmethod
    def _class(kind: str, name: str) -> str:
        words = name.removeprefix("aws_").split("_")
        words = ["data", "aws", *words] if kind == "data" else words
        pascal = "".join(word.capitalize() for word in words)
        return f"{_PROVIDER}.{pascal[0].lower()}{pascal[1:]}.{pascal}"


def _snake(camel: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", camel).lower()


def _blocks(file: Path) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Kind, type, name and content of each AWS resource and data source."""
    parsed = hcl2.loads(file.read_text())
    for kind in ("resource", "data"):
        for block in parsed.get(kind, []):
            [(quoted_type, named)] = _own(block).items()
            [(quoted_name, content)] = _own(named).items()
            if quoted_type.strip('"').startswith("aws_"):
                yield kind, quoted_type.strip('"'), quoted_name.strip('"'), content


def _own(parsed: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the parser adds."""
    return {key: value for key, value in parsed.items() if not key.startswith("__")}


def _is_blocks(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and "__is_block__" in one for one in value)


def _mistakes(schema: Schema, place: str, known: Mapping[str, Argument], content: Mapping[str, Any]) -> Iterator[str]:
    given = _own(content)
    dynamic = {name.strip('"'): body for one in given.pop("dynamic", []) for name, body in _own(one).items()}
    blocks = {name: value for name, value in given.items() if _is_blocks(value)}
    blocks |= {name: body["content"] for name, body in dynamic.items()}
    for name in sorted((given.keys() | dynamic.keys()) - _META_ARGUMENTS):
        argument = known.get(name)
        if argument is None:
            yield f"{place}: {name} is unknown"
        elif (argument.block is None) == (name in blocks):
            yield f"{place}: {name} is {'an argument' if argument.block is None else 'a block'}"
        elif argument.block is not None:
            inner = schema.content(argument.block)
            assert inner is not None, argument.block
            for block in blocks[name]:
                yield from _mistakes(schema, f"{place}.{name}", inner, block)
    missing = {name for name, argument in known.items() if argument.required} - given.keys() - dynamic.keys()
    yield from (f"{place}: {name} is missing" for name in sorted(missing))


def mistakes(schema: Schema, file: Path) -> list[str]:
    """What the provider would refuse in a file."""
    found = []
    for kind, type_name, name, content in _blocks(file):
        place = f"{'data.' if kind == 'data' else ''}{type_name}.{name}"
        known = schema.arguments(kind, type_name)
        if known is None:
            found.append(f"{place}: the provider has no {type_name}")
        else:
            found.extend(_mistakes(schema, place, known, content))
    for data, type_name, attribute in _READ.findall(file.read_text()):
        if attribute not in schema.attributes("data" if data else "resource", type_name):
            found.append(f"{data}{type_name} has no attribute {attribute}")
    return found


@pytest.fixture(scope="module")
def schema() -> Schema:
    path = os.environ.get("SOSW_PROVIDER_SCHEMA")
    if not path:
        pytest.skip("SOSW_PROVIDER_SCHEMA is not set; `make test-terraform` sets it")
    return Schema(Path(path))


@pytest.mark.parametrize("file", [pytest.param(file, id=str(file.relative_to(ROOT))) for file in _FILES])
def test_fits_a_current_provider(schema: Schema, file: Path) -> None:
    assert mistakes(schema, file) == []


def test_every_mistake_is_found(schema: Schema, tmp_path: Path) -> None:
    file = tmp_path / "main.tf"
    file.write_text(
        """
        resource "aws_lambda_function" "this" {
          function_name = "worker"
          runtyme       = "python3.13"

          environment = { A = "b" }

          logging_config {
            log_format = "Text"
            level      = "INFO"
          }

          dynamic "file_system_config" {
            for_each = [1]

            content {
              arn = "arn"
            }
          }

          tags {
            a = "b"
          }
        }

        resource "aws_lambda_functions" "this" {
        }

        output "region" {
          value = data.aws_region.this.names + aws_lambda_function.this.arn
        }
        """
    )
    assert mistakes(schema, file) == [
        "aws_lambda_function.this: environment is a block",
        "aws_lambda_function.this.file_system_config: local_mount_path is missing",
        "aws_lambda_function.this.logging_config: level is unknown",
        "aws_lambda_function.this: runtyme is unknown",
        "aws_lambda_function.this: tags is an argument",
        "aws_lambda_function.this: role is missing",
        "aws_lambda_functions.this: the provider has no aws_lambda_functions",
        "data.aws_region has no attribute names",
    ]
