"""The Essentials' package: the same bytes every time, whole without the machine's own packages."""

from __future__ import annotations

import json
import zipfile
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest

import sosw_runtime
from sosw_runtime.cli.app import run
from sosw_runtime.cli.package import Package, build
from sosw_runtime.cli.pip import Architecture
from tests.support.isolation import THIS_MACHINE, THIS_PYTHON, in_isolation

ESSENTIALS = ["scheduler", "orchestrator", "scavenger", "worker_assistant"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build(tmp_path_factory.mktemp("build"), THIS_PYTHON, THIS_MACHINE, print_step=lambda _: None)


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


def test_a_second_build_has_the_same_bytes(built: Package, tmp_path: Path) -> None:
    again = build(tmp_path, THIS_PYTHON, THIS_MACHINE, print_step=lambda _: None)

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
        [unpacked, boto3_alone], f"from sosw_runtime.essentials.{essential} import handler; print(handler.__module__)"
    )

    assert imported == f"sosw_runtime.essentials.{essential}"


def test_the_package_knows_its_own_version(unpacked: Path, boto3_alone: Path) -> None:
    version = in_isolation(
        [unpacked, boto3_alone], "from importlib.metadata import version; print(version('sosw-runtime'))"
    )

    assert version == sosw_runtime.__version__


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
    assert list(answer) == ["package", "version", "python", "architecture", "sha256", "bytes", "included"]
    assert answer["included"] == []
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


QUARTER = """
from datetime import date, timedelta


def this_quarter(today: date) -> list[date]:
    first = today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1)
    return [first + timedelta(days=number) for number in range((today - first).days + 1)]
"""
FRIDAYS = """
from datetime import date


def fridays(today: date) -> list[date]:
    return [today.replace(day=day) for day in range(1, today.day + 1) if today.replace(day=day).isoweekday() == 5]
"""
FRIDAYS_PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-fridays"
version = "0.3"
dependencies = ["packaging"]

[project.entry-points."sosw_runtime.periods"]
fridays = "acme_fridays:fridays"
"""
INICONFIG = f"iniconfig=={version('iniconfig')}"


def wheel(folder: Path, files: dict[str, str], period: str, tag: str = "py3-none-any") -> Path:
    """The wheel of acme-periods 1.2, whose one period is the module's function this_quarter."""
    about = "acme_periods-1.2.dist-info"
    members = {
        **files,
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: acme-periods\nVersion: 1.2\n",
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{about}/entry_points.txt": f"[sosw_runtime.periods]\n{period} = acme_periods:this_quarter\n",
        f"{about}/RECORD": "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"]),
    }
    path = folder / f"acme_periods-1.2-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


@pytest.fixture(scope="module")
def own_packages(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A wheel, a folder and a pin."""
    folder = tmp_path_factory.mktemp("acme_fridays")
    (folder / "acme_fridays.py").write_text(FRIDAYS)
    (folder / "pyproject.toml").write_text(FRIDAYS_PROJECT)
    path = wheel(tmp_path_factory.mktemp("wheels"), {"acme_periods.py": QUARTER}, "this_quarter")
    return [str(path), str(folder), INICONFIG]


@pytest.fixture(scope="module")
def extended(own_packages: list[str], tmp_path_factory: pytest.TempPathFactory) -> Package:
    return build(tmp_path_factory.mktemp("build"), THIS_PYTHON, THIS_MACHINE, lambda _: None, own_packages)


def test_periods_of_the_users_own_packages_are_found_and_run(extended: Package, boto3_alone: Path) -> None:
    program = (
        "from datetime import date; from importlib.metadata import entry_points; "
        "from sosw_runtime.domain.periods import days_of; "
        "print(sorted(entry_points(group='sosw_runtime.periods').names), "
        "len(days_of('this_quarter', date(2024, 5, 15))), *days_of('fridays', date(2024, 5, 15)))"
    )

    shown = in_isolation([Path(extended.package), boto3_alone], program)

    assert shown == "['fridays', 'this_quarter'] 45 2024-05-03 2024-05-10"


def test_the_users_own_packages_come_beside_the_packages_own(
    built: Package, extended: Package, members: dict[str, zipfile.ZipInfo]
) -> None:
    assert extended.included == ("acme-periods==1.2", "acme-fridays==0.3", INICONFIG)
    assert Path(extended.package).name == Path(built.package).name
    with zipfile.ZipFile(extended.package) as archive, zipfile.ZipFile(built.package) as without:
        assert {name for name in members if archive.read(name) != without.read(name)} == set()
        added = {name for name in archive.namelist() if name not in members}
    about = {"acme_periods-1.2.dist-info", "acme_fridays-0.3.dist-info", INICONFIG.replace("==", "-") + ".dist-info"}
    assert {name.split("/")[0] for name in added} == {"acme_periods.py", "acme_fridays.py", "iniconfig", *about}
    assert {name.rpartition("/")[2] for name in added if name.startswith("acme_periods-")} == {
        "METADATA",
        "WHEEL",
        "entry_points.txt",
    }


def test_a_package_has_the_same_bytes_in_any_order(
    own_packages: list[str], extended: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [option for own in reversed(own_packages) for option in ("--with", own)]

    code = run(
        ["package", "--python", THIS_PYTHON, "--architecture", THIS_MACHINE, "--output", str(tmp_path), *options]
    )

    included = f"{INICONFIG}, acme-fridays==0.3, acme-periods==1.2"
    assert code == 0
    assert capsys.readouterr().out.endswith(f"sha256 {extended.sha256}  with {included}\n")


@pytest.mark.parametrize("taken", ["sosw_runtime/errors.py", "pydantic/__init__.py"])
def test_a_package_that_would_overwrite_a_file_is_refused(
    taken: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = wheel(tmp_path, {"acme_periods.py": QUARTER, taken: ""}, "this_quarter")

    refused = refusal(["--with", str(own)], tmp_path / "build", capsys)

    assert refused.startswith("sosw: --with: ")
    assert refused.endswith(f" is refused; expected a package without {taken}, which is in the zip already")


@pytest.mark.parametrize("period", ["yesterday", "last_3_weeks"])
def test_a_period_by_a_name_of_the_language_is_refused(
    period: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = wheel(tmp_path, {"acme_periods.py": QUARTER}, period)

    refused = refusal(["--with", str(own)], tmp_path / "build", capsys)

    assert refused.endswith(f" is refused; expected another name for its period than the language's {period}")


@pytest.mark.parametrize("requirement", ["acme-periods", "acme-periods>=1", "acme-periods==1.*", "./gone", "gone.whl"])
def test_what_is_neither_there_nor_pinned_is_refused(
    requirement: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(["--with", requirement], tmp_path / "build", capsys) == (
        f"sosw: --with: {requirement!r} is refused; expected the path of a folder or a wheel, or NAME==VERSION"
    )


def refusal(options: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The line of a refusal that writes no file."""
    assert run(["package", "--output", str(folder), *options]) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    assert not folder.exists()
    return answer.err.splitlines()[-1]


def test_a_wheel_for_another_architecture_is_one_line_and_leaves_no_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = wheel(tmp_path, {"acme_periods.py": QUARTER}, "this_quarter", "cp313-cp313-manylinux_2_28_x86_64")

    code = run(["package", "--architecture", "arm64", "--output", str(tmp_path / "build"), "--with", str(own)])

    assert code == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"sosw: the package could not be built: pip: {own.name} is not a supported wheel on this platform."
    )
    assert not (tmp_path / "build").exists()
