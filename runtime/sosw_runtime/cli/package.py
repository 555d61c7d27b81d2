"""`sosw package`: the zip that all Essentials run from, and the layer that all Workers share."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import distribution, distributions
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

import sosw_runtime
from sosw_runtime.cli import archive, layer, output, pip
from sosw_runtime.cli.options import ArchitectureOption, AsJson, FolderOption, PythonOption
from sosw_runtime.cli.pip import Architecture, Python
from sosw_runtime.domain.periods import ENTRY_POINT_GROUP, PERIODS
from sosw_runtime.errors import Refused

# The parts of the runtime that no Essential imports.
NOT_FOR_LAMBDA = {"cli", "testing", "__pycache__"}

# https://packaging.python.org/en/latest/specifications/version-specifiers/#version-matching, without wildcards
PINNED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+")


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
    *,
    python: PythonOption = "3.13",
    architecture: ArchitectureOption = "arm64",
    requirements: Annotated[
        list[str] | None,
        typer.Option(
            "--with",
            metavar="REQUIREMENT",
            help="A package of your own beside the runtime, without its dependencies: the path of a folder or a wheel, "
            "or NAME==VERSION. Repeatable.",
        ),
    ] = None,
    for_workers: Annotated[
        bool,
        typer.Option(
            "--layer",
            help="Build the Workers' layer instead: the Worker's side of the runtime, for any Python and architecture.",
        ),
    ] = False,
    folder: FolderOption = Path("build"),
    as_json: AsJson = False,
) -> None:
    """Build the Essentials' package for AWS Lambda, or the Workers' layer."""
    if for_workers:
        if requirements:
            raise Refused("--with", requirements[0], "expected none with --layer, which holds the Worker's side alone")
        output.print_built(asdict(layer.build(folder, output.print_message)), as_json=as_json)
        return
    built = build(folder, python, architecture, output.print_message, requirements or ())
    note = f"  with {', '.join(built.included)}" if built.included else ""
    output.print_built(asdict(built), as_json=as_json, note=note)


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
    contents = {**pip.pinned(python, architecture), **dict(_runtime_files(version))}
    for added in own:
        if taken := sorted(contents.keys() & added.files.keys()):
            expected = f"expected a package without {taken[0]}, which is in the zip already"
            raise Refused("--with", added.requirement, expected)
        contents |= added.files
    print_step(f"Writing {path}")
    written = archive.write(path, contents)
    pins = tuple(added.pin for added in own)
    return Package(str(path), version, python, architecture, written.sha256, written.bytes, pins)


def _check_requirement(requirement: str) -> None:
    if not (Path(requirement).is_dir() or _is_wheel(requirement) or PINNED.fullmatch(requirement)):
        raise Refused("--with", requirement, "expected the path of a folder or a wheel, or NAME==VERSION")


def _is_wheel(requirement: str) -> bool:
    return requirement.endswith(".whl") and Path(requirement).is_file()


def _install_own_package(requirement: str, python: Python, architecture: Architecture) -> OwnPackage:
    with tempfile.TemporaryDirectory() as built, tempfile.TemporaryDirectory() as installed:
        if Path(requirement).is_dir():
            # A wheel first: a folder that pip installs itself may hold code compiled for this machine. Whether it fits
            # the Python of the functions is for the installation to say.
            pip.run(
                "wheel", "--no-deps", "--ignore-requires-python", "--wheel-dir", built, str(Path(requirement).resolve())
            )
            (wheel,) = Path(built).iterdir()
            source = str(wheel)
        else:
            source = str(Path(requirement).resolve()) if _is_wheel(requirement) else requirement
        pip.install(Path(installed), python, architecture, "--no-deps", source)
        (about,) = distributions(path=[installed])
        for name in about.entry_points.select(group=ENTRY_POINT_GROUP).names:
            if re.sub("[0-9]+", "N", name) in PERIODS:
                raise Refused("--with", requirement, f"expected another name for its period than the language's {name}")
        return OwnPackage(requirement, f"{about.name}=={about.version}", dict(pip.installed_files(Path(installed))))


def _runtime_files(version: str) -> Iterator[tuple[str, bytes]]:
    for part in files(sosw_runtime).iterdir():
        if part.name not in NOT_FOR_LAMBDA:
            yield from archive.tree(part, f"sosw_runtime/{part.name}")
    about = f"sosw_runtime-{version}.dist-info"
    yield f"{about}/METADATA", f"Metadata-Version: 2.1\nName: sosw-runtime\nVersion: {version}\n".encode()
    entry_points = distribution("sosw-runtime").read_text("entry_points.txt")
    if entry_points:
        yield f"{about}/entry_points.txt", entry_points.encode()
