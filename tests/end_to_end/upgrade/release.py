"""The two releases: this tree, and a kept copy of the one before it."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from importlib.metadata import files
from pathlib import Path
from typing import Final

from examples.complete import demo

import sosw_runtime
from tests.support.cache import ROOT, made_once

HERE: Final = Path(__file__).parent
_FROM_ROOT: Final = HERE.relative_to(ROOT)

_KEPT_VERSION: Final = "0.1.0"
#: `git archive <commit> runtime ':(glob)*.tf' ':(glob)modules/*/*.tf' LICENSE | xz -9e`
_KEPT: Final = HERE / f"sosw-runtime-{_KEPT_VERSION}.tar.xz"


@dataclass(frozen=True)
class Release:
    """The Terraform modules and the runtime of one version, and a copy of the configuration beside this file."""

    version: str
    tree: Path
    #: Where `compatible_copy` keeps its copy.
    cached_as: str

    @property
    def configuration(self) -> Path:
        """The directory that is applied, relative to the tree."""
        return _FROM_ROOT

    def package(self) -> Path:
        """The Essentials' zip, as this release's own `sosw package` builds it."""
        sources = self._sources()

        def make(directory: Path) -> None:
            python = f"{sys.version_info.major}.{sys.version_info.minor}"
            architecture = "x86_64" if platform.machine() in ("x86_64", "AMD64") else "arm64"
            options = ("--python", python, "--architecture", architecture, "--output", str(directory))
            subprocess.run(
                [demo.executable("sosw"), "package", *options],
                env={**os.environ, "PYTHONPATH": str(self.tree / "runtime")},
                check=True,
                stdout=subprocess.DEVNULL,
            )

        directory = made_once(f"package-{self.version}", f"{sys.version}\n{_digest(sources)}", make)
        [package] = directory.glob("*.zip")
        return package

    def workers_package(self, folder: Path) -> Path:
        """A zip of `worker.py` and what it needs to report as this release's Workers do."""
        package = folder / f"workers-{self.version}.zip"
        with zipfile.ZipFile(package, "w") as archive:
            archive.write(HERE / "worker.py", "worker.py")
            for name, content in self._sources().items():
                archive.writestr(name, content)
            for installed in files("tenacity") or []:
                if installed.suffix == ".py":
                    archive.writestr(installed.as_posix(), installed.read_binary())
        return package

    def _sources(self) -> dict[str, bytes]:
        runtime = self.tree / "runtime"
        paths = [path for path in runtime.rglob("*") if path.suffix in {".py", ".txt"}]
        return {path.relative_to(runtime).as_posix(): path.read_bytes() for path in sorted(paths)}


def this_release() -> Release:
    """The tree that is tested."""
    return Release(sosw_runtime.__version__, ROOT, "terraform-tree")


def release_before() -> Release:
    """The release that users have, unpacked."""
    configuration = {path.name: path.read_bytes() for path in HERE.glob("*.tf")}

    def make(directory: Path) -> None:
        with tarfile.open(_KEPT) as archive:
            archive.extractall(directory, filter="data")
        target = directory / _FROM_ROOT
        target.mkdir(parents=True)
        for name, content in configuration.items():
            (target / name).write_bytes(content)

    made_from = _digest({"kept": _KEPT.read_bytes(), **configuration})
    tree = made_once(f"release-{_KEPT_VERSION}", made_from, make)
    return Release(_KEPT_VERSION, tree, f"release-{_KEPT_VERSION}-tree")


def _digest(contents: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()
