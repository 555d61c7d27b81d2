"""A Python as Lambda's: its own library, boto3, and what is given to it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from sosw_runtime.cli.pip import Architecture, Python

_PYTHONS: Final[dict[int, Python]] = {11: "3.11", 12: "3.12", 13: "3.13"}
THIS_PYTHON: Final = _PYTHONS[sys.version_info.minor]
THIS_MACHINE: Final[Architecture] = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


def link(names: set[str], folder: Path) -> Path:
    """Make a folder hold these packages of this machine, and what they need."""
    for name in set[str]().union(*map(_required_by, names)):
        for top in {Path(str(file)).parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}:
            (folder / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    return folder


def _required_by(name: str) -> set[str]:
    needs = [Requirement(text) for text in distribution(name).requires or []]
    return {name}.union(*(_required_by(need.name) for need in needs if need.marker is None or need.marker.evaluate()))


def in_isolation(path: list[Path], program: str) -> str:
    """What a program prints in a Python that sees its own library and `path`: no site-packages."""
    folders = [str(folder) for folder in path]
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", f"import sys; sys.path[:0] = {folders!r}; {program}"],
        env={"PATH": os.environ["PATH"], "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()
