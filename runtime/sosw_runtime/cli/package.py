"""`sosw package`: the zip that all Essentials run from, the same bytes on every run and every machine."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import distribution, distributions
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Literal

import typer

import sosw_runtime
from sosw_runtime.cli import output
from sosw_runtime.domain.periods import ENTRY_POINT_GROUP, PERIODS
from sosw_runtime.errors import Refused, SoswError

Python = Literal["3.11", "3.12", "3.13"]
Architecture = Literal["arm64", "x86_64"]

# The C library of each runtime, as N of glibc 2.N: Amazon Linux 2 up to Python 3.11, Amazon Linux 2023 after it.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
GLIBC_MINOR: dict[Python, int] = {"3.11": 26, "3.12": 34, "3.13": 34}
OLDEST_GLIBC_MINOR = 17  # manylinux2014, https://peps.python.org/pep-0599/
WHEEL_MACHINE: dict[Architecture, str] = {"arm64": "aarch64", "x86_64": "x86_64"}

# Files that record where and how a package was installed: they differ between machines.
INSTALL_RECORDS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}
# Parts of the runtime that no Essential imports.
NOT_FOR_LAMBDA = {"cli", "testing.py", "__pycache__"}

# https://packaging.python.org/en/latest/specifications/version-specifiers/#version-matching, without wildcards
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")


class PackageNotBuilt(SoswError):
    """pip could not build or install a part of the package."""


@dataclass(frozen=True)
class Package:
    package: str  # path of the zip
    version: str  # of the runtime
    python: Python
    architecture: Architecture
    sha256: str  # of the zip, hex
    bytes: int  # size of the zip
    included: tuple[str, ...]  # name==version of each of the user's own packages in it


@dataclass(frozen=True)
class OwnPackage:
    requirement: str  # as the user gave it
    pin: str  # name==version
    files: dict[str, bytes]  # by their name in the zip


def package(
    python: Annotated[Python, typer.Option(help="Version of the Lambda runtime.")] = "3.13",
    architecture: Annotated[Architecture, typer.Option(help="Instruction set of the functions.")] = "arm64",
    requirements: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="REQUIREMENT",
            help="A package of your own beside the runtime, without its dependencies: the path of a folder or a wheel, "
            "or NAME==VERSION. Repeatable.",
        ),
    ] = None,
    folder: Annotated[Path, typer.Option("--output", help="Folder that receives the zip.")] = Path("build"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")] = False,
) -> None:
    """Build the Essentials' package for AWS Lambda."""
    built = build(folder, python, architecture, output.print_message, requirements or ())
    if as_json:
        output.print_json(asdict(built))
    else:
        included = f"  with {', '.join(built.included)}" if built.included else ""
        output.print_line(f"{built.package}  {built.bytes / 1_000_000:.1f} MB  sha256 {built.sha256}{included}")


def build(
    folder: Path,
    python: Python,
    architecture: Architecture,
    print_step: Callable[[str], None],
    requirements: Sequence[str] = (),
) -> Package:
    """Write `sosw-runtime-<version>-py<python>-<architecture>.zip` to the folder, whole or not at all.

    Args:
        requirements: the user's own packages, each the path of a folder or a wheel, or `name==version`.

    Raises:
        Refused: a requirement is none of these, would overwrite a file of the package, or has a period with a name of
            the job language.
        PackageNotBuilt: pip failed.
        OSError: the folder cannot be written to.
    """
    version = sosw_runtime.__version__
    path = folder / f"sosw-runtime-{version}-py{python.replace('.', '')}-{architecture}.zip"
    for requirement in requirements:
        _check_requirement(requirement)
    own = []
    for requirement in requirements:
        print_step(f"Installing {requirement}")
        own.append(_install_own_package(requirement, python, architecture))
    print_step(f"Installing the pinned dependencies for Python {python} on {architecture}")
    contents = {**_install_dependencies(python, architecture), **dict(_runtime_files(version))}
    for added in own:
        if taken := sorted(contents.keys() & added.files.keys()):
            expected = f"expected a package without {taken[0]}, which is in the zip already"
            raise Refused("--with", added.requirement, expected)
        contents |= added.files
    print_step(f"Writing {path}")
    folder.mkdir(parents=True, exist_ok=True)
    # Two builds of the same package may run at once.
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=folder) as scratch:
        unfinished = Path(scratch) / path.name
        _write_zip(unfinished, contents)
        unfinished.replace(path)
    data = path.read_bytes()
    pins = tuple(added.pin for added in own)
    return Package(str(path), version, python, architecture, hashlib.sha256(data).hexdigest(), len(data), pins)


def _check_requirement(requirement: str) -> None:
    if not (Path(requirement).is_dir() or _is_wheel(requirement) or PINNED.fullmatch(requirement)):
        raise Refused("--with", requirement, "expected the path of a folder or a wheel, or NAME==VERSION")


def _is_wheel(requirement: str) -> bool:
    return requirement.endswith(".whl") and Path(requirement).is_file()


def _install_own_package(requirement: str, python: Python, architecture: Architecture) -> OwnPackage:
    with tempfile.TemporaryDirectory() as built, tempfile.TemporaryDirectory() as installed:
        if Path(requirement).is_dir():
            # pip would compile a folder for this machine, so a wheel is built first. The installation checks that the
            # wheel fits the functions' Python.
            _pip(
                "wheel", "--no-deps", "--ignore-requires-python", "--wheel-dir", built, str(Path(requirement).resolve())
            )
            (wheel,) = Path(built).iterdir()
            source = str(wheel)
        else:
            source = str(Path(requirement).resolve()) if _is_wheel(requirement) else requirement
        _install(Path(installed), python, architecture, source)
        (about,) = distributions(path=[installed])
        for name in about.entry_points.select(group=ENTRY_POINT_GROUP).names:
            if re.sub("[0-9]+", "N", name) in PERIODS:
                raise Refused("--with", requirement, f"expected another name for its period than the language's {name}")
        return OwnPackage(requirement, f"{about.name}=={about.version}", dict(_installed_files(Path(installed))))


def _install_dependencies(python: Python, architecture: Architecture) -> dict[str, bytes]:
    with (
        tempfile.TemporaryDirectory() as installed,
        as_file(files("sosw_runtime.cli") / "essentials.txt") as lock,
    ):
        _install(Path(installed), python, architecture, "--require-hashes", "--requirement", str(lock))
        return dict(_installed_files(Path(installed)))


def _install(target: Path, python: Python, architecture: Architecture, *what: str) -> None:
    machine = WHEEL_MACHINE[architecture]
    platforms = [f"manylinux_2_{n}_{machine}" for n in range(GLIBC_MINOR[python], OLDEST_GLIBC_MINOR - 1, -1)]
    _pip(
        *("install", "--target", str(target), "--no-compile", "--no-deps", "--only-binary", ":all:"),
        *("--implementation", "cp", "--python-version", python),
        *(option for platform in platforms for option in ("--platform", platform)),
        *what,
    )


def _pip(command: str, *arguments: str) -> None:
    pip = subprocess.run(  # noqa: S603  no shell, and what the user gave is a path or a name==version
        [
            *(sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", "--no-input"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if pip.returncode != 0:
        raise PackageNotBuilt(f"the package could not be built: pip: {_pip_error(pip.stderr)}")


def _pip_error(stderr: str) -> str:
    lines = stderr.splitlines() or ["it printed no error"]
    return next((line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")), lines[-1])


def _installed_files(installed: Path) -> Iterator[tuple[str, bytes]]:
    for path in installed.rglob("*"):
        name = path.relative_to(installed)
        # pip writes console scripts, which start with the path of this machine's Python, to bin.
        if path.is_file() and name.parts[0] != "bin" and not _is_install_record(name):
            yield name.as_posix(), path.read_bytes()


def _is_install_record(name: Path) -> bool:
    return name.parts[0].endswith(".dist-info") and name.name in INSTALL_RECORDS


def _runtime_files(version: str) -> Iterator[tuple[str, bytes]]:
    for part in files(sosw_runtime).iterdir():
        if part.name not in NOT_FOR_LAMBDA:
            yield from _files_under(part, f"sosw_runtime/{part.name}")
    about = f"sosw_runtime-{version}.dist-info"
    yield f"{about}/METADATA", f"Metadata-Version: 2.1\nName: sosw-runtime\nVersion: {version}\n".encode()
    entry_points = distribution("sosw-runtime").read_text("entry_points.txt")
    if entry_points:
        yield f"{about}/entry_points.txt", entry_points.encode()


def _files_under(part: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    if part.is_file():
        yield name, part.read_bytes()
    else:
        for child in part.iterdir():
            if child.name != "__pycache__":
                yield from _files_under(child, f"{name}/{child.name}")


def _write_zip(path: Path, contents: dict[str, bytes]) -> None:
    # Stored, not deflated: zlib and its replacements (zlib-ng, Apple's) compress the same input to different bytes, and
    # each difference would change all functions in the next plan. Lambda unpacks the zip at deployment.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(contents.items()):
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system = 3  # Unix, also when written elsewhere
            member.external_attr = 0o100644 << 16
            archive.writestr(member, data)
