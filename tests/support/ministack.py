"""MiniStack, an emulator of AWS, in an environment of its own; `python -m tests.support.ministack` runs it by hand.

Its Lambda runs functions in the Python of that environment, which therefore holds MiniStack and what AWS's own
runtimes carry, and nothing of this project.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
import tempfile
import urllib.error
import urllib.request
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3

from tests.support import server
from tests.support.cache import CACHE, REQUIREMENTS, made_once, pip, tell
from tests.support.environment import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOCK = REQUIREMENTS / "emulator.txt"
_MINISTACK = Path(__file__).with_name("lambda_updates.py")


@dataclass(frozen=True)
class MiniStack:
    """A running MiniStack that enforces identity and resource policies."""

    endpoint: str
    #: What MiniStack and the functions in it wrote.
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        """What points AWS's SDKs and Terraform at it, as its administrator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
        }

    def client(self, service: str) -> Any:
        """An AWS client of the administrator."""
        session = boto3.Session(
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.environment["AWS_REGION"],
        )
        return session.client(cast("Any", service), endpoint_url=self.endpoint)

    def reset(self) -> None:
        """Forget every resource."""
        request = urllib.request.Request(f"{self.endpoint}/_ministack/reset", method="POST")
        urllib.request.urlopen(request, timeout=30).close()


@contextlib.contextmanager
def ministack(name: str = "ministack", update_seconds: float = 0.5) -> Iterator[MiniStack]:
    """A new MiniStack on a free port; its log is `.cache/logs/<name>.log`.

    It stops with the block, as does every function that runs in it. `update_seconds` is how long a change of a
    function's configuration takes until Lambda calls it done. Raises `server.ServerError` when it does not start.
    """
    python = environment() / "bin" / "python"
    port = server.free_port()
    running = MiniStack(endpoint=f"http://127.0.0.1:{port}", log=CACHE / "logs" / f"{name}.log")
    with (
        tempfile.TemporaryDirectory(prefix="ministack-", ignore_cleanup_errors=True) as scratch,
        server.serve(
            [python, "-I", _MINISTACK, str(update_seconds)],
            is_ready=lambda: _is_healthy(running.endpoint),
            log=running.log,
            # Functions inherit all of it.
            environment={
                "AUTH": "true",
                "BIND_HOST": "127.0.0.1",
                "GATEWAY_PORT": str(port),
                "HOME": scratch,
                "LANG": "C.UTF-8",
                "MINISTACK_REGION": REGION,
                "PATH": os.environ["PATH"],
                "STATE_DIR": f"{scratch}/state",
                "TMPDIR": scratch,
            },
        ),
    ):
        yield running


def environment() -> Path:
    """The virtual environment of MiniStack, for the Python version that runs now."""
    lock = _LOCK.read_text()
    [version] = re.findall(r"^ministack==(\S+)", lock, re.MULTILINE)

    def make(directory: Path) -> None:
        venv.create(directory, with_pip=True, symlinks=True)
        pip(directory / "bin" / "python", "install", "--require-hashes", "--requirement", str(_LOCK))

    # Its scripts name the directory, which moves with the checkout.
    return made_once(f"ministack-{version}", f"{sys.version}\n{sys.base_prefix}\n{CACHE}\n{lock}", make)


def _is_healthy(endpoint: str) -> bool:
    try:
        urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def main() -> None:
    """Print what points a shell at a new MiniStack, and run it until interrupted."""
    with contextlib.suppress(KeyboardInterrupt), ministack() as running:
        for variable, value in running.environment.items():
            sys.stdout.write(f"export {variable}={shlex.quote(value)}\n")
        sys.stdout.flush()
        tell(f"MiniStack runs until interrupted; its log is {running.log}")
        signal.pause()


if __name__ == "__main__":
    main()
