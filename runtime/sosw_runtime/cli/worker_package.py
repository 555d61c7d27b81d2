"""`sosw worker package`: the zip that a Worker's function runs from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from sosw_runtime.cli import archive, output, pip, worker_side
from sosw_runtime.cli.inputs import FileRefused
from sosw_runtime.cli.options import ArchitectureOption, AsJson, FolderOption, PythonOption
from sosw_runtime.cli.pip import Architecture, PackageNotBuilt, Python

app = typer.Typer(help="Make a function of your own a Worker.", no_args_is_help=True)

_REQUIREMENTS: Final = "requirements.txt"

#: What Lambda takes, https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_MB: Final = 2**20
_LARGEST_UPLOAD: Final = 50 * _MB
_LARGEST_UNZIPPED: Final = 250 * _MB
#: The largest that is stored without compression; its zip has some bytes more.
_LARGEST_STORED: Final = 45 * _MB


@dataclass(frozen=True)
class WorkerPackage:
    """What was built."""

    package: str  # path of the zip
    python: Python
    architecture: Architecture
    sha256: str  # of the zip, hex
    bytes: int  # size of the zip


@app.command("package")
def package(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with the code of the function.")],
    *,
    python: PythonOption = "3.13",
    architecture: ArchitectureOption = "arm64",
    folder: FolderOption = Path("build"),
    as_json: AsJson = False,
) -> None:
    """Build a Worker's package for AWS Lambda.

    It holds the files of DIR, the Worker's side of the runtime, and what DIR's requirements.txt names, with its
    dependencies. Left out are files and folders whose name starts with a dot, __pycache__, *.pyc, virtual environments,
    requirements.txt itself and the folder that receives the zip. boto3 is part of Lambda's runtimes.
    """
    output.print_built(asdict(build(source, folder, python, architecture, output.print_message)), as_json=as_json)


def build(
    source: Path, folder: Path, python: Python, architecture: Architecture, print_step: Callable[[str], None]
) -> WorkerPackage:
    """Write `<name of the source>-py<python>-<architecture>.zip` to the folder, whole or not at all.

    Args:
        source: folder with the code of the function.

    Raises:
        FileRefused: the source is no folder or receives the zip, or one of its files, or one of a package that it
            requires, is in the zip already.
        PackageNotBuilt: what it requires could not be installed; names its requirements.txt.
        OSError: a file cannot be read, or the folder cannot be written to.
    """
    if not source.is_dir():
        raise FileRefused(f"DIR: {source} is refused; expected a folder")
    if folder.resolve() == source.resolve():
        raise FileRefused(
            f"--output: {folder} is refused; expected another folder than DIR, whose files go into the zip"
        )
    path = folder / f"{source.resolve().name}-py{python.replace('.', '')}-{architecture}.zip"
    own = {file.relative_to(source).as_posix(): file for file in _files(source, leave_out=folder.resolve())}
    own.pop(_REQUIREMENTS, None)
    if not any(name.endswith(".py") for name in own):
        raise FileRefused(f"DIR: {source} is refused; expected a folder with the function's code, a file of Python")
    requirements = source / _REQUIREMENTS
    if required := _required(requirements, python, architecture, print_step):
        _check_overlap(str(requirements), required.keys() & dict(worker_side.modules()).keys())
    print_step("Installing the pinned dependencies of Workers")
    # A Worker that requires one of them itself decides on its version.
    contents = {**required, **dict(worker_side.modules())}
    for dependency in sorted(worker_side.DEPENDENCIES):
        pinned = pip.pinned(python, architecture, {dependency})
        if required.keys().isdisjoint(pinned):
            contents |= pinned
    _check_overlap(str(source), own.keys() & contents.keys())
    contents |= {name: file.read_bytes() for name, file in own.items()}
    print_step(f"Writing {path}")
    executables = frozenset(name for name, file in own.items() if file.stat().st_mode & 0o100)
    size = sum(map(len, contents.values()))
    if size > _LARGEST_UNZIPPED:
        raise FileRefused(
            f"DIR: {source} is refused; expected at most {_LARGEST_UNZIPPED // _MB} MB with what it requires, which "
            f"Lambda unpacks; it has {size // _MB} MB: build a container image"
        )
    written = archive.write(path, contents, executables, deflated=size > _LARGEST_STORED)
    if written.bytes > _LARGEST_UPLOAD:
        print_step(
            f"Lambda takes {_LARGEST_UPLOAD // _MB} MB from a file: upload the zip to S3, and deploy it from there"
        )
    return WorkerPackage(str(path), python, architecture, written.sha256, written.bytes)


def _files(folder: Path, leave_out: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__" or path.resolve() == leave_out:
            continue
        if path.is_dir():
            is_virtual_environment = (path / "pyvenv.cfg").is_file()
            if not is_virtual_environment:
                yield from _files(path, leave_out)
        elif path.suffix != ".pyc":
            yield path


def _required(
    requirements: Path, python: Python, architecture: Architecture, print_step: Callable[[str], None]
) -> dict[str, bytes]:
    if not requirements.is_file():
        return {}
    print_step(f"Installing {requirements} for Python {python} on {architecture}")
    try:
        return pip.installed(python, architecture, "--requirement", str(requirements))
    except PackageNotBuilt as failure:
        raise PackageNotBuilt(f"{requirements}: {failure}") from failure


def _check_overlap(what: str, taken: set[str]) -> None:
    if taken:
        raise FileRefused(f"DIR: {what} is refused; expected no {min(taken)} in it, which is in the zip already")
