"""Packages as pip installs them for a Lambda runtime, whatever machine it runs on."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Set
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

from sosw_runtime.errors import SoswError

Python = Literal["3.11", "3.12", "3.13"]
Architecture = Literal["arm64", "x86_64"]

# The C library of each runtime, as N of glibc 2.N: Amazon Linux 2 up to Python 3.11, Amazon Linux 2023 after it.
# https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtimes.html
_GLIBC_MINOR: Final[dict[Python, int]] = {"3.11": 26, "3.12": 34, "3.13": 34}
_OLDEST_GLIBC_MINOR: Final = 17  # manylinux2014, https://peps.python.org/pep-0599/
_WHEEL_MACHINE: Final[dict[Architecture, str]] = {"arm64": "aarch64", "x86_64": "x86_64"}

# What tells where and how a package was installed, and so differs between machines.
_INSTALL_RECORDS: Final = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


class PackageNotBuilt(SoswError):
    """pip could not build or install what the package is made of."""


def pinned(python: Python, architecture: Architecture, names: Set[str] | None = None) -> dict[str, bytes]:
    """The files of the runtime's pinned dependencies, or of those that are named, by their name in a zip.

    Raises:
        PackageNotBuilt: pip failed.
    """
    lock = (files("sosw_runtime.cli") / "essentials.txt").read_text(encoding="utf-8")
    requirements = [
        requirement
        for requirement in re.split(r"(?<!\\)\n", lock)
        if names is None or requirement.partition("==")[0] in names
    ]
    with tempfile.TemporaryDirectory() as scratch:
        chosen = Path(scratch) / "requirements.txt"
        chosen.write_text("\n".join(requirements), encoding="utf-8")
        return installed(python, architecture, "--no-deps", "--require-hashes", "--requirement", str(chosen))


def installed(python: Python, architecture: Architecture, *what: str) -> dict[str, bytes]:
    """The files of what pip is told to install, by their name in a zip.

    Raises:
        PackageNotBuilt: pip failed.
    """
    with tempfile.TemporaryDirectory() as target:
        install(Path(target), python, architecture, *what)
        return dict(installed_files(Path(target)))


def install(target: Path, python: Python, architecture: Architecture, *what: str) -> None:
    """Install into a folder.

    Raises:
        PackageNotBuilt: pip failed.
    """
    machine = _WHEEL_MACHINE[architecture]
    platforms = [f"manylinux_2_{n}_{machine}" for n in range(_GLIBC_MINOR[python], _OLDEST_GLIBC_MINOR - 1, -1)]
    run(
        *("install", "--target", str(target), "--no-compile", "--only-binary", ":all:"),
        *("--implementation", "cp", "--python-version", python),
        *(option for platform in platforms for option in ("--platform", platform)),
        *what,
    )


def run(command: str, *arguments: str) -> None:
    """Run a command of pip.

    Raises:
        PackageNotBuilt: pip failed.
    """
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
        raise PackageNotBuilt(f"the package could not be built: pip: {_first_error(pip.stderr)}")


def installed_files(target: Path) -> Iterator[tuple[str, bytes]]:
    """The files of an installation that are the same on every machine, by their name in a zip."""
    for path in target.rglob("*"):
        name = path.relative_to(target)
        # pip writes console scripts, which start with the path of this machine's Python, to bin.
        if path.is_file() and name.parts[0] != "bin" and not _is_install_record(name):
            yield name.as_posix(), path.read_bytes()


def _first_error(stderr: str) -> str:
    lines = stderr.splitlines() or ["it ended without a word"]
    return next((line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")), lines[-1])


def _is_install_record(name: Path) -> bool:
    return name.parts[0].endswith(".dist-info") and name.name in _INSTALL_RECORDS
