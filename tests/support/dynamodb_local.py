"""DynamoDB Local, AWS's own engine, by Maven.

`python -m tests.support.dynamodb_local` fetches it ahead of its first use; with `pin` it pins anew what Maven brings.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support import server
from tests.support.cache import CACHE, REQUIREMENTS, made_once, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

_POM = Path(__file__).with_name("pom.xml")
_PINS = REQUIREMENTS / "dynamodb-local.sha256"


class InstallationError(Exception):
    """Maven failed, or brought files that the pins do not allow."""


@dataclass(frozen=True)
class DynamoDBLocal:
    """A running DynamoDB Local; each access key has tables of its own."""

    endpoint: str


def missing_tools() -> list[str]:
    """The programs that it needs and the machine lacks."""
    return [tool for tool in ("java", "mvn") if shutil.which(tool) is None]


@contextlib.contextmanager
def dynamodb_local(name: str = "dynamodb-local") -> Iterator[DynamoDBLocal]:
    """A new DynamoDB Local on a free port, in memory; its log is `.cache/logs/<name>.log`."""
    libraries = installation()
    port = server.free_port()
    with (
        tempfile.TemporaryDirectory(prefix="dynamodb-local-") as scratch,
        server.serve(
            [
                "java",
                "-Xmx1g",
                f"-Djava.io.tmpdir={scratch}",
                f"-Djava.library.path={libraries}",
                "--class-path",
                f"{libraries}/*",
                "software.amazon.dynamodb.services.local.main.ServerRunner",
                "-inMemory",
                "-disableTelemetry",
                "-port",
                str(port),
            ],
            is_ready=lambda: server.listens(port),
            log=CACHE / "logs" / f"{name}.log",
            environment=os.environ,
        ),
    ):
        yield DynamoDBLocal(endpoint=f"http://127.0.0.1:{port}")


def installation() -> Path:
    """The directory of its libraries, each of which has its pinned SHA-256."""

    def make(directory: Path) -> None:
        _copy_dependencies(directory)
        if _checksums(directory) != _PINS.read_text():
            raise InstallationError(
                f"what Maven brought to {directory} differs from {_PINS.relative_to(REQUIREMENTS.parent)}"
            )

    return made_once("dynamodb-local", _POM.read_text() + _PINS.read_text(), make)


def pin() -> None:
    """Write the SHA-256 of every library that the POM asks for."""
    with tempfile.TemporaryDirectory() as directory:
        _copy_dependencies(Path(directory))
        _PINS.write_text(_checksums(Path(directory)))


def _copy_dependencies(directory: Path) -> None:
    goal = ("dependency:copy-dependencies", f"-DoutputDirectory={directory}", "-DincludeScope=runtime")
    maven = subprocess.run(
        ["mvn", "--batch-mode", "--quiet", "--strict-checksums", "--file", _POM, *goal],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if maven.returncode != 0:
        raise InstallationError(f"Maven could not fetch DynamoDB Local:\n{maven.stdout}{maven.stderr}")


def _checksums(directory: Path) -> str:
    libraries = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in libraries)


def main() -> None:
    """Fetch, or pin."""
    if sys.argv[1:] == ["pin"]:
        pin()
    elif missing := missing_tools():
        tell(f"DynamoDB Local needs {' and '.join(missing)} on the PATH; the tests on it are skipped")
    else:
        installation()


if __name__ == "__main__":
    main()
