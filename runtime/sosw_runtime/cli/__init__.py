"""The `sosw` command."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process with its exit code (see `sosw_runtime.cli.app.run`)."""
    try:
        from sosw_runtime.cli.app import run  # noqa: PLC0415  typer and rich are an extra that may be missing
    except ModuleNotFoundError as missing:
        if missing.name not in {"typer", "rich"}:
            raise
        sys.exit(f"sosw: the command needs {missing.name}: pip install 'sosw-runtime[cli]'")
    sys.exit(run(sys.argv[1:]))
