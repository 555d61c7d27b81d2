"""Builds the zip that both Workers run from: `python -m examples.complete.build`, from the repository's root.

It stands for your own packaging of your own functions. The zip holds the Workers, the data, the users' side of
sosw_runtime and tenacity; boto3 is part of Lambda's runtimes. Its bytes are the same on every run and machine (hence
stored, not deflated), so that a second plan is empty.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.metadata import files
from pathlib import Path
from typing import Final

from tests.support.cache import REQUIREMENTS, ROOT, download_wheel, made_once

from sosw_runtime.cli import worker_side

PACKAGE: Final = ROOT / "build" / "weather-workers.zip"
#: The day whose row is damaged here, on purpose, so that its task can never succeed.
DAMAGED_DAY: Final = "2012-10-13"

_WORKERS: Final = Path(__file__).with_name("workers")
_DATA: Final = "seattle-weather.csv"
_LOCK: Final = REQUIREMENTS / "demo.txt"


def build(package: Path = PACKAGE) -> Path:
    """Write the zip, whole or not at all."""
    package.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=package.parent) as scratch:
        unfinished = Path(scratch) / package.name
        with zipfile.ZipFile(unfinished, "w") as archive:
            for name, content in sorted(_contents()):
                member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                member.external_attr = 0o100644 << 16
                archive.writestr(member, content)
        return unfinished.replace(package)


def weather_data() -> str:
    """The file as published: 1,461 days under a line of names."""
    directory = made_once("weather", _LOCK.read_text(), lambda directory: _extract(download_wheel(_LOCK, directory)))
    return (directory / _DATA).read_text()


def damaged(data: str) -> str:
    """The file with one temperature of `DAMAGED_DAY` made unreadable."""
    lines = data.splitlines()
    [number] = [number for number, line in enumerate(lines) if line.startswith(DAMAGED_DAY.replace("-", "/"))]
    day, precipitation, _, *others = lines[number].split(",")
    lines[number] = ",".join([day, precipitation, "??", *others])
    return "\n".join(lines) + "\n"


def _contents() -> Iterator[tuple[str, bytes]]:
    for path in _WORKERS.glob("*.py"):
        yield path.name, path.read_bytes()
    yield _DATA, damaged(weather_data()).encode()
    yield from worker_side.modules()
    for installed in files("tenacity") or []:
        if installed.suffix == ".py":
            yield installed.as_posix(), installed.read_binary()


def _extract(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (wheel.parent / _DATA).write_bytes(archive.read(f"vega_datasets/_data/{_DATA}"))


if __name__ == "__main__":
    sys.stdout.write(f"{build().relative_to(ROOT)}\n")
