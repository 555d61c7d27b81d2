"""The layer that all Workers may share, whatever their Python and architecture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sosw_runtime
from sosw_runtime.cli import archive, pip, worker_side

#: Where Lambda looks for Python code in a layer.
#: https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
_PREFIX: Final = "python/"


@dataclass(frozen=True)
class Layer:
    """What was built."""

    package: str  # path of the zip
    version: str  # of the runtime
    sha256: str  # of the zip, hex
    bytes: int  # size of the zip


def build(folder: Path, print_step: Callable[[str], None]) -> Layer:
    """Write `sosw-worker-layer-<version>.zip` to the folder, whole or not at all.

    Raises:
        PackageNotBuilt: pip failed.
        OSError: the folder cannot be written to.
    """
    version = sosw_runtime.__version__
    path = folder / f"sosw-worker-layer-{version}.zip"
    print_step("Installing the pinned dependencies of Workers")
    # Python alone, without compiled code: one build fits every runtime.
    contents = {**pip.pinned("3.13", "arm64", worker_side.DEPENDENCIES), **dict(worker_side.modules())}
    print_step(f"Writing {path}")
    written = archive.write(path, {f"{_PREFIX}{name}": data for name, data in contents.items()})
    return Layer(str(path), version, written.sha256, written.bytes)
