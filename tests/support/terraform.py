"""Terraform as the tests and the demo run it; `python -m tests.support.terraform` validates every directory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support import hcl, provider
from tests.support.cache import CACHE, ROOT, made_once, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: What a Terraform tree consists of.
_TREE = ("*.tf", "checks/*", "modules/**/*", "examples/**/*", "tests/terraform/**/*", "tests/end_to_end/**/*.tf")
_NOT_INHERITED = ("AWS_", "TF_VAR_", "TF_CLI_ARGS", "TF_DATA_DIR", "TF_WORKSPACE")
_UNSUPPORTED = {"Unsupported argument", "Unsupported block type", "Invalid resource type"}
#: AWS services that the modules use, by the provider's names.
_SERVICES = (
    "cloudwatch",
    "cloudwatchevents",
    "cloudwatchlogs",
    "dynamodb",
    "iam",
    "kms",
    "lambda",
    "s3",
    "sns",
    "sqs",
    "ssm",
    "sts",
)


class TerraformError(Exception):
    """Terraform failed; the message holds what it printed."""


@dataclass(frozen=True)
class Change:
    """One resource or output that a plan changes."""

    address: str
    #: Terraform's words: create, update, delete, or two of them for a replacement.
    actions: tuple[str, ...]


class Terraform:
    """One working directory of Terraform's.

    `variables` are the root module's. `environment` replaces every `AWS_` variable of this process, so that nothing
    reaches an account by accident. `progress` receives each line that a command prints, as it is printed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        variables: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        self.directory = directory
        self._progress = progress
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
        self._environment |= {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
        self._environment |= provider.environment() | dict(environment or {})
        if variables is not None:
            (directory / "given.auto.tfvars.json").write_text(json.dumps(variables))

    def run(self, *arguments: str, accept: Sequence[int] = (0,)) -> str:
        """Run a command to its end and return what it printed; `TerraformError` for an exit code not in `accept`."""
        command = ["terraform", *arguments]
        with subprocess.Popen(
            command,
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                if self._progress is not None:
                    self._progress(line.rstrip("\n"))
        output = "".join(lines)
        if process.returncode not in accept:
            raise TerraformError(
                f"`{' '.join(command)}` in {self.directory} ended with exit code {process.returncode}:\n{output}"
            )
        return output

    def init(self) -> None:
        """Install modules and providers; quick when they are."""
        self.run("init", "-no-color")

    def validate(self) -> list[dict[str, Any]]:
        """The diagnostics of an initialised directory: https://developer.hashicorp.com/terraform/cli/commands/validate."""
        diagnostics: list[dict[str, Any]] = json.loads(self.run("validate", "-json", accept=(0, 1)))["diagnostics"]
        return diagnostics

    def plan(self, *options: str) -> list[Change]:
        """What an apply would change; empty when nothing."""
        plan = "terraform.tfplan"
        self.run("plan", "-no-color", f"-out={plan}", *options)
        shown = json.loads(self._quietly("show", "-json", plan))
        changes = [(change["address"], change["change"]["actions"]) for change in shown.get("resource_changes", [])]
        changes += [(f"output.{name}", change["actions"]) for name, change in shown.get("output_changes", {}).items()]
        return [Change(address, tuple(actions)) for address, actions in changes if actions not in (["no-op"], ["read"])]

    def apply(self, *targets: str) -> None:
        """Make it so; the whole, or the targets and what they depend on."""
        self.run("apply", "-no-color", "-auto-approve", *(f"-target={target}" for target in targets))

    def destroy(self) -> None:
        """Take everything down."""
        self.run("destroy", "-no-color", "-auto-approve")

    def output(self) -> dict[str, Any]:
        """The root module's outputs by name."""
        return {name: output["value"] for name, output in json.loads(self._quietly("output", "-json")).items()}

    def _quietly(self, *arguments: str) -> str:
        progress, self._progress = self._progress, None
        try:
            return self.run(*arguments)
        finally:
            self._progress = progress


def compatible_copy(tree: Path, destination: Path, *, cached_as: str = "terraform-tree") -> Path:
    """Copy a Terraform tree (root module, `modules`, `examples`, those of the tests), validated and initialised.

    The packaged provider lacks a few arguments, blocks and resources that the modules have. In the copy its version
    is pinned, exactly what `terraform validate` reports as unsupported is cut, and Lambda's runtime is one that it
    knows. What was cut is printed. With a provider from the registry nothing is cut.

    Raises `TerraformError` when the tree is not valid for another reason.
    """

    def make(directory: Path) -> None:
        copy = directory / "tree"
        _copy(_files(tree), tree, copy)
        (directory / "cuts.txt").write_text("".join(f"{line}\n" for line in make_valid(copy)))

    files = _files(tree)
    code = {path: path.read_text() for path in files if path.suffix in {".tf", ".hcl"}}
    made_from = "".join(f"{path.relative_to(tree)}\n{code.get(path, '')}" for path in files)
    kind = provider.PACKAGED_VERSION if provider.is_packaged() else "registry"
    cached = made_once(f"{cached_as}-{kind}", f"{CACHE}\n{made_from}", make)
    shutil.copytree(cached / "tree", destination, symlinks=True, dirs_exist_ok=True)
    _copy([path for path in files if path not in code], tree, destination)
    if provider.is_packaged():
        cuts = (cached / "cuts.txt").read_text().splitlines() or ["nothing"]
        tell("\n  ".join([f"cut for the packaged provider {kind}:", *cuts]))
    return destination


def use_emulator(directory: Path, endpoint: str) -> None:
    """Override the `provider "aws"` block of a copied root module so that it reaches an emulator.

    Where the endpoint is plain HTTP, the statements of policies that refuse just that are cut, wherever they are in the
    copied tree, and it is told.
    """
    packaged = provider.is_packaged()
    settings = {
        "skip_credentials_validation": True,
        "skip_metadata_api_check": True,
        "endpoints": dict.fromkeys(_SERVICES, endpoint),
        "s3_force_path_style" if packaged else "s3_use_path_style": True,
    }
    if packaged:
        # Without it, 3.39.0 waits 25 s for EC2 at every plan; newer ones have no such argument.
        settings["skip_get_ec2_platforms"] = True
    (directory / "emulator_override.tf.json").write_text(json.dumps({"provider": {"aws": settings}}, indent=2))
    if endpoint.startswith("http://"):
        _let_plaintext_through(next(parent for parent in directory.parents if (parent / "modules").is_dir()))


def _let_plaintext_through(tree: Path) -> None:
    for path in tree.glob("*.tf"):
        source = path.read_text()
        if positions := hcl.statements(source, "RefusePlaintext"):
            source, what = hcl.cut(source, positions)
            path.write_text(source)
            tell("\n  ".join(["cut for an emulator without TLS:", *what]))


def _files(tree: Path) -> list[Path]:
    """What belongs to a tree, without what Terraform and Python leave behind."""
    found = {path for pattern in _TREE for path in tree.glob(pattern)}
    left_behind = {".terraform", ".terraform.lock.hcl", "__pycache__"}
    return sorted(
        path
        for path in found
        if path.is_file() and not left_behind & set(path.relative_to(tree).parts) and ".tfstate" not in path.name
    )


def _copy(files: Sequence[Path], tree: Path, destination: Path) -> None:
    for path in files:
        target = destination / path.relative_to(tree)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)


def make_valid(tree: Path) -> list[str]:
    """Initialise and validate every directory of a tree; cut what the packaged provider does not support, and say what.

    Raises `TerraformError` when something else is wrong.
    """
    code = [path for path in _files(tree) if path.suffix == ".tf"]
    if provider.is_packaged():
        for path in code:
            source = hcl.pin_provider(path.read_text(), "hashicorp/aws", provider.PACKAGED_VERSION)
            path.write_text(hcl.set_argument(source, "aws_lambda_function", "runtime", '"python3.8"'))
    modules = sorted({path.parent for path in code if path.is_relative_to(tree / "modules")})
    callers = sorted({path.parent for path in code} - set(modules))
    cuts = []
    for directory in [*modules, *callers]:
        terraform = Terraform(directory)
        terraform.init()
        while errors := [found for found in terraform.validate() if found["severity"] == "error"]:
            cuts += _cut_unsupported(tree, directory, errors)
    return sorted(cuts)


def _cut_unsupported(tree: Path, directory: Path, errors: Sequence[Mapping[str, Any]]) -> list[str]:
    positions = defaultdict(set)
    for error in errors:
        if not provider.is_packaged() or error["summary"] not in _UNSUPPORTED or "range" not in error:
            raise TerraformError(f"{directory.relative_to(tree)} is not valid:\n{describe(error)}")
        path = (directory / error["range"]["filename"]).resolve()
        before = path.read_bytes()[: error["range"]["start"]["byte"]].decode()
        positions[path].add(len(before))
    cuts = []
    for path, found in positions.items():
        name = path.relative_to(tree.resolve())
        try:
            source, what = hcl.cut(path.read_text(), found)
        except ValueError as error:
            details = "\n".join(describe(found) for found in errors)
            raise TerraformError(f"{name}: {error}:\n{details}") from error
        path.write_text(source)
        cuts += [f"{name.parent} {one}" for one in what]
    return cuts


def describe(diagnostic: Mapping[str, Any]) -> str:
    """A diagnostic in one or two lines."""
    where = diagnostic.get("range")
    place = f"{where['filename']}:{where['start']['line']}: " if where else ""
    return f"{place}{diagnostic['summary']}. {diagnostic.get('detail', '')}"


def main() -> None:
    """Validate every directory of this repository; exit code 1 with what is wrong."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            compatible_copy(ROOT, Path(scratch))
        except TerraformError as error:
            raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
