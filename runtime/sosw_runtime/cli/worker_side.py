"""The Worker's side of the runtime: all that a Worker's function needs besides its own code and boto3."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Final

import sosw_runtime
from sosw_runtime.cli import archive

#: Modules of `sosw_runtime` that `sosw_runtime.worker` imports, and itself.
MODULES: Final = (
    "__init__.py",
    "contract.py",
    "errors.py",
    "outcome_limits.py",
    "py.typed",
    "worker.py",
    "worker_clients.py",
    "worker_config.py",
    "worker_logs.py",
)
#: Pinned packages that these import.
DEPENDENCIES: Final = frozenset({"tenacity"})


def modules() -> Iterator[tuple[str, bytes]]:
    """The modules, by their name in a zip."""
    for name in MODULES:
        yield from archive.tree(files(sosw_runtime) / name, f"sosw_runtime/{name}")
