"""A server ends with its owner, and says why it did not start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import server
from tests.support.cache import ROOT

#: A server with a child of its own, as MiniStack with its functions. Both say where they are, then wait.
WITH_CHILD = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open(sys.argv[1], "w") as file:
    file.write(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""

OWNER = """
import os, pathlib, sys, time
from tests.support import server
pids, code = pathlib.Path(sys.argv[1]), sys.argv[2]
with server.serve(
    [sys.executable, "-c", code, pids],
    is_ready=lambda: pids.exists() and " " in pids.read_text(),
    log=pids.with_suffix(".log"),
    environment=os.environ,
):
    print("ready", flush=True)
    time.sleep(60)
"""


def runs(pid: int) -> bool:
    try:
        # A zombie has ended, though its parent has not looked yet.
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_server_and_children_end_however_the_owner_ends(tmp_path: Path, end: signal.Signals) -> None:
    pids = tmp_path / "pids"
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, pids, WITH_CHILD], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"ready\n"
        started = [int(pid) for pid in pids.read_text().split()]
        assert all(runs(pid) for pid in started)
        owner.send_signal(end)
    assert within(10, lambda: not any(runs(pid) for pid in started))


def test_a_server_that_ends_at_its_start_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('port taken')"]
    served = server.serve(command, is_ready=lambda: False, log=tmp_path / "log", environment=os.environ)
    with pytest.raises(server.ServerError, match="port taken"), served:
        pass


def test_a_server_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    served = server.serve(
        command, is_ready=lambda: False, log=tmp_path / "log", environment=os.environ, timeout_seconds=0.5
    )
    with pytest.raises(server.ServerError, match=r"within 0\.5 s"), served:
        pass
