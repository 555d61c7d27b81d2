"""A server process for the length of a `with` block; whatever happens to its owner, its whole process group ends.

Run as a module, this is the supervisor between the owner and the server: it leads the process group and ends it
when the server ends or when its standard input closes, which the operating system sees to even if the owner is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

_GRACE_SECONDS = 3


class ServerError(Exception):
    """The server did not come up; the end of its log says why."""


@contextlib.contextmanager
def serve(
    command: Sequence[str | Path],
    *,
    is_ready: Callable[[], bool],
    log: Path,
    environment: Mapping[str, str],
    timeout_seconds: float = 60,
) -> Iterator[None]:
    """Run `command` with exactly `environment`, its output in the file `log`, and wait until `is_ready`.

    Raises `ServerError` when the server ends first or `timeout_seconds` pass.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-I", __file__, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    try:
        _wait(supervisor, is_ready, log, timeout_seconds)
        yield
    finally:
        supervisor.communicate()


def _wait(supervisor: subprocess.Popen[bytes], is_ready: Callable[[], bool], log: Path, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not is_ready():
        if supervisor.poll() is not None:
            raise ServerError(f"the server ended at its start; its log {log} says:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ServerError(
                f"the server was not ready within {timeout_seconds:g} s; its log {log} says:\n{tail(log)}"
            )
        time.sleep(0.05)


def tail(log: Path, lines: int = 40) -> str:
    """The last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def free_port() -> int:
    """A TCP port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether something accepts connections on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _supervise(command: Sequence[str]) -> None:
    # The group's own SIGTERM below must reach the server and its children only.
    signal.signal(signal.SIGTERM, lambda *_: None)
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def end_with_owner() -> None:
        sys.stdin.buffer.read()
        os.killpg(0, signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=end_with_owner, daemon=True).start()
    server.wait()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    _supervise(sys.argv[1:])
