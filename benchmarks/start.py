"""What it costs to import an Essential, and the libraries that it takes, beside importing boto3."""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from tests.support.cache import ROOT

#: Times that each is imported; the fastest counts, since a busy machine only ever makes it slower.
ROUNDS: Final = 15

YARDSTICK: Final = "boto3"
LIBRARIES: Final = ("botocore.session", "pydantic", "pydantic_settings", "tenacity", "aws_lambda_powertools.metrics")
ESSENTIALS: Final = tuple(
    f"sosw_runtime.essentials.{name}" for name in ("worker_assistant", "orchestrator", "scavenger", "scheduler")
)
#: What an Essential cannot do without: AWS's own client, and models of its input and its settings.
FLOOR: Final = ("botocore.session", "pydantic.main", "pydantic.functional_validators", "pydantic_settings")

ARRANGEMENT: Final = (
    "A new process imports one of them, from bytecode that was compiled beforehand. Its CPU time counts, less that of "
    f"a process that imports nothing. The fastest of {ROUNDS} counts; they take turns. The floor is botocore, models "
    "of pydantic and pydantic-settings, without a line of this runtime.",
)

_SCRIPT: Final = """
import resource
for name in {names!r}:
    __import__(name)
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime)
"""


@dataclass(frozen=True)
class Start:
    """What importing something costs."""

    what: str
    cpu_seconds: float

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(advance: Callable[[], None]) -> list[Start]:
    """Import each of them, as many times as `ROUNDS` says."""
    wanted: dict[str, tuple[str, ...]] = {name: (name,) for name in (YARDSTICK, *LIBRARIES)}
    wanted |= {"floor": FLOOR}
    wanted |= {name.rpartition(".")[2]: (name,) for name in ESSENTIALS}
    bare: list[float] = []
    found: dict[str, list[float]] = {what: [] for what in wanted}
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "sosw_runtime"
        shutil.copytree(ROOT / "runtime" / "sosw_runtime", package)
        compileall.compile_dir(package, quiet=1)
        for _ in range(ROUNDS):
            bare.append(_cpu_seconds((), folder))
            for what, names in wanted.items():
                found[what].append(_cpu_seconds(names, folder))
            advance()
    return [Start(what, min(seconds) - min(bare)) for what, seconds in found.items()]


def _cpu_seconds(names: tuple[str, ...], folder: str) -> float:
    """Of a process of its own that imports modules."""
    answer = subprocess.run(  # noqa: S603 - this Python, and a script of this file
        [sys.executable, "-c", _SCRIPT.format(names=names)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(answer.stdout)
