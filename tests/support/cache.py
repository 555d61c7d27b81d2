"""What is downloaded or built once: one directory each under `.cache`."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

#: Fills a directory that is there and empty.
Make = Callable[[Path], None]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
REQUIREMENTS = ROOT / "requirements"


def made_once(name: str, made_from: str, make: Make) -> Path:
    """The directory `.cache/<name>`, filled by `make` unless it was already made from the same `made_from`.

    Processes that ask at the same time wait for the first. A `make` that fails leaves nothing that counts as made.
    """
    directory = CACHE / name
    stamp = directory / ".made-from"
    fingerprint = hashlib.sha256(made_from.encode()).hexdigest()
    locks = CACHE / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != fingerprint:
            tell(f"making .cache/{name}")
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            make(directory)
            stamp.write_text(fingerprint)
    return directory


def pip(python: Path | str, *arguments: str) -> None:
    """Run pip quietly; `subprocess.CalledProcessError` when it fails, after it said why on standard error."""
    quiet = ("--quiet", "--disable-pip-version-check", "--no-input")
    subprocess.run([python, "-m", "pip", *arguments, *quiet], check=True, stdin=subprocess.DEVNULL)


def download_wheel(lock: Path, directory: Path) -> Path:
    """The one wheel that a hash-pinned lock file names, downloaded into `directory`."""
    chosen = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--requirement", str(lock))
    pip(sys.executable, "download", *chosen, "--dest", str(directory))
    [wheel] = directory.glob("*.whl")
    return wheel


def tell(message: str) -> None:
    """Progress for the person who waits; standard output stays for results."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
