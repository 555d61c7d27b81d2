"""The Essentials' package: the same bytes every time, whole without the machine's own packages."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import zipfile
from hashlib import sha256
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import sosw_runtime
from sosw_runtime.cli.app import run
from sosw_runtime.cli.package import Architecture, Package, Python, build

ESSENTIALS = ["scheduler", "orchestrator", "scavenger", "worker_assistant"]
PYTHONS: dict[int, Python] = {11: "3.11", 12: "3.12", 13: "3.13"}
THIS_PYTHON = PYTHONS[sys.version_info.minor]
THIS_MACHINE: Architecture = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build(tmp_path_factory.mktemp("build"), THIS_PYTHON, THIS_MACHINE, progress=lambda _: None)


@pytest.fixture(scope="module")
def members(built: Package) -> dict[str, zipfile.ZipInfo]:
    with zipfile.ZipFile(built.package) as archive:
        return {member.filename: member for member in archive.infolist()}


@pytest.fixture(scope="module")
def unpacked(built: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("var_task")
    with zipfile.ZipFile(built.package) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def boto3_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like Lambda's own: boto3, what it needs, and nothing else."""
    folder = tmp_path_factory.mktemp("var_runtime")
    for name in required_by("boto3"):
        for top in {Path(str(file)).parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


def required_by(name: str) -> set[str]:
    needs = [Requirement(text) for text in distribution(name).requires or []]
    return {name}.union(*(required_by(need.name) for need in needs if need.marker is None or need.marker.evaluate()))


def test_a_second_build_has_the_same_bytes(built: Package, tmp_path: Path) -> None:
    again = build(tmp_path, THIS_PYTHON, THIS_MACHINE, progress=lambda _: None)

    assert again.sha256 == built.sha256
    assert Path(again.package).read_bytes() == Path(built.package).read_bytes()


def test_the_record_describes_the_file(built: Package) -> None:
    data = Path(built.package).read_bytes()

    assert Path(built.package).name == (
        f"sosw-runtime-{sosw_runtime.__version__}-py{THIS_PYTHON.replace('.', '')}-{THIS_MACHINE}.zip"
    )
    assert (built.sha256, built.bytes) == (sha256(data).hexdigest(), len(data))


@pytest.mark.parametrize("essential", ESSENTIALS)
def test_every_handler_imports_with_the_package_and_boto3_alone(
    essential: str, unpacked: Path, boto3_alone: Path
) -> None:
    imported = in_isolation(
        unpacked, boto3_alone, f"from sosw_runtime.essentials.{essential} import handler; print(handler.__module__)"
    )

    assert imported == f"sosw_runtime.essentials.{essential}"


def test_the_package_knows_its_own_version(unpacked: Path, boto3_alone: Path) -> None:
    version = in_isolation(
        unpacked, boto3_alone, "from importlib.metadata import version; print(version('sosw-runtime'))"
    )

    assert version == sosw_runtime.__version__


def in_isolation(unpacked: Path, boto3_alone: Path, program: str) -> str:
    """What the program prints in a Python that sees its own library, the package and boto3: no site-packages."""
    ended = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-B",
            "-c",
            f"import sys; sys.path[:0] = {[str(unpacked), str(boto3_alone)]!r}; {program}",
        ],
        env={"PATH": os.environ["PATH"], "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def test_what_lambda_brings_and_what_the_command_needs_stay_out(members: dict[str, zipfile.ZipInfo]) -> None:
    packages = {name.split("/")[0] for name in members}

    assert packages.isdisjoint({"boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six.py"})
    assert packages.isdisjoint({"typer", "rich", "pip", "bin"})
    assert not [name for name in members if name.startswith(("sosw_runtime/cli/", "sosw_runtime/testing"))]


def test_nothing_tells_which_machine_built_it(members: dict[str, zipfile.ZipInfo]) -> None:
    assert list(members) == sorted(members)
    assert not [name for name in members if name.endswith((".pyc", "/RECORD", "/INSTALLER", "/direct_url.json"))]
    assert {(member.date_time, member.external_attr >> 16, member.compress_type) for member in members.values()} == {
        ((1980, 1, 1, 0, 0, 0), 0o100644, zipfile.ZIP_STORED)
    }


@pytest.mark.parametrize(("architecture", "machine"), [("arm64", "aarch64"), ("x86_64", "x86_64")])
def test_compiled_code_is_for_the_named_architecture(
    architecture: Architecture, machine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["package", "--python", "3.13", "--architecture", architecture, "--output", str(tmp_path), "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert code == 0
    assert list(answer) == ["package", "version", "python", "architecture", "sha256", "bytes"]
    with zipfile.ZipFile(answer["package"]) as archive:
        libraries = [name for name in archive.namelist() if name.endswith(".so")]
    assert libraries
    assert all(name.endswith(f".cpython-313-{machine}-linux-gnu.so") for name in libraries)


def test_a_failing_pip_is_one_line_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    code = run(["package", "--output", str(tmp_path / "build")])

    answer = capsys.readouterr()
    assert code == 1
    assert answer.out == ""
    assert answer.err.splitlines()[-1].startswith("sosw: the package could not be built: pip: Could not find a version")
    assert not (tmp_path / "build").exists()
