"""A Worker's package and the layer: whole with boto3 alone, the same bytes every time."""

from __future__ import annotations

import json
import re
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

import sosw_runtime
from sosw_runtime.cli import layer, worker_package, worker_side
from sosw_runtime.cli.app import run
from sosw_runtime.cli.inputs import FileRefused
from sosw_runtime.cli.pip import Architecture
from sosw_runtime.cli.worker_package import WorkerPackage
from tests.support.cache import ROOT
from tests.support.isolation import THIS_MACHINE, THIS_PYTHON, in_isolation

HANDLER = """
import shapes
from sosw_runtime.worker import Worker


class Resize(Worker):
    def __call__(self, event):
        self.stats["images"] += len(event["images"])
        return {"width": shapes.WIDTH}


handler = Resize.handler()
"""
#: Reports to a WorkerAssistant that refuses connections, so that everything that a report needs is imported.
RUN = (
    "import os; os.environ.update(AWS_ACCESS_KEY_ID='x', AWS_SECRET_ACCESS_KEY='x', "
    "AWS_ENDPOINT_URL_LAMBDA='http://127.0.0.1:9'); "
    "from {module} import handler; "
    "from sosw_runtime import worker; worker.PATIENCE_MS = 0; "
    "print(handler({{'images': [1, 2]}}), handler.stats['images'])\n"
    "try: handler({{'images': [1], 'task_id': 't-1'}})\n"
    "except worker.ReportUndelivered as error: print(type(error.__cause__).__name__)"
)
INICONFIG = f"iniconfig=={version('iniconfig')}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A function's folder, with what does not belong into its package."""
    folder = tmp_path / "resize"
    files = {
        "handler.py": HANDLER,
        "shapes/__init__.py": "WIDTH = 800\n",
        "shapes/data/sizes.json": "{}",
        "requirements.txt": INICONFIG,
        ".env": "SECRET=1",
        ".git/config": "",
        ".venv/lib/x.py": "",
        "venv/pyvenv.cfg": "",
        "venv/lib/x.py": "",
        "shapes/.DS_Store": "",
        "shapes/__pycache__/x.cpython-313.pyc": "",
        "old.pyc": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def built(source: Path, folder: Path) -> WorkerPackage:
    return worker_package.build(source, folder, THIS_PYTHON, THIS_MACHINE, print_step=lambda _: None)


def names(package: str) -> set[str]:
    with zipfile.ZipFile(package) as archive:
        return set(archive.namelist())


def test_a_worker_runs_from_its_package_with_boto3_alone(source: Path, tmp_path: Path, boto3_alone: Path) -> None:
    package = Path(built(source, tmp_path / "build").package)

    assert in_isolation([package, boto3_alone], RUN.format(module="handler")).splitlines() == [
        "{'width': 800} 2",
        "Unavailable",
    ]
    assert in_isolation([package], "import iniconfig; print(iniconfig.__name__)") == "iniconfig"


def test_the_worker_side_is_what_a_worker_imports(boto3_alone: Path) -> None:
    program = (
        "import sys, sosw_runtime.worker; print(*[name for name in sys.modules if name.startswith('sosw_runtime')])"
    )
    runtime = Path(sosw_runtime.__file__).parents[1]

    imported = in_isolation([runtime, boto3_alone], program).split()

    files = {f"{name.partition('.')[2] or '__init__'}.py" for name in imported}
    assert files | {"py.typed"} == set(worker_side.MODULES)


def test_a_function_runs_with_the_layer_and_boto3_alone(source: Path, tmp_path: Path, boto3_alone: Path) -> None:
    made = layer.build(tmp_path / "build", print_step=lambda _: None)
    with zipfile.ZipFile(made.package) as archive:
        archive.extractall(tmp_path / "opt")

    ran = in_isolation([source, tmp_path / "opt" / "python", boto3_alone], RUN.format(module="handler"))

    assert ran.splitlines() == ["{'width': 800} 2", "Unavailable"]
    assert {name.split("/")[0] for name in names(made.package)} == {"python"}
    assert {name.split("/")[1] for name in names(made.package)} >= {"sosw_runtime", "tenacity"}
    assert not [name for name in names(made.package) if name.endswith(".so")], "it fits every architecture"


def test_what_is_not_the_functions_stays_out(source: Path, tmp_path: Path) -> None:
    package = built(source, tmp_path / "build")

    theirs = {"tenacity", "iniconfig", "sosw_runtime"}
    own = {name for name in names(package.package) if not name.startswith(tuple(theirs))}
    assert own == {"handler.py", "shapes/__init__.py", "shapes/data/sizes.json"}
    assert {name for name in names(package.package) if name.startswith("sosw_runtime/")} == {
        f"sosw_runtime/{module}" for module in worker_side.MODULES
    }


def test_a_second_build_has_the_same_bytes_and_holds_no_first(source: Path, tmp_path: Path) -> None:
    first = built(source, tmp_path / "elsewhere")
    (source / "handler.py").touch()
    (source / ".env").unlink()

    second = built(source, source / "build")
    assert second.sha256 == first.sha256
    assert built(source, source / "build") == second
    assert layer.build(tmp_path / "a", print).sha256 == layer.build(tmp_path / "b", print).sha256


def test_a_program_in_the_folder_may_be_executed(source: Path, tmp_path: Path) -> None:
    (source / "convert").write_text("#!/bin/sh\n")
    (source / "convert").chmod(0o700)

    with zipfile.ZipFile(built(source, tmp_path / "build").package) as archive:
        modes = {member.filename: member.external_attr >> 16 for member in archive.infolist()}

    assert modes.pop("convert") == 0o100755
    assert set(modes.values()) == {0o100644}


def test_a_worker_that_requires_tenacity_decides_on_its_version(source: Path, tmp_path: Path) -> None:
    (source / "requirements.txt").write_text(f"tenacity=={version('tenacity')}\n")

    assert "tenacity/__init__.py" in names(built(source, tmp_path / "build").package)


@pytest.mark.parametrize(("architecture", "machine"), [("arm64", "aarch64"), ("x86_64", "x86_64")])
def test_requirements_come_for_the_function_with_all_they_need(
    architecture: Architecture, machine: str, source: Path, tmp_path: Path
) -> None:
    (source / "requirements.txt").write_text(f"pydantic-core=={version('pydantic-core')}\n")

    package = worker_package.build(source, tmp_path / "build", "3.13", architecture, print_step=lambda _: None)

    libraries = [name for name in names(package.package) if name.endswith(".so")]
    assert libraries
    assert all(name.endswith(f".cpython-313-{machine}-linux-gnu.so") for name in libraries)
    assert "typing_extensions.py" in names(package.package), "which pydantic-core requires"


def test_the_command_tells_what_it_built(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(source)
    folder = str(tmp_path / "build")
    assert run(["worker", "package", ".", "--output", folder, "--architecture", "x86_64", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["package", "python", "architecture", "sha256", "bytes"]
    assert told["package"] == f"{folder}/resize-py313-x86_64.zip"

    assert run(["package", "--layer", "--output", folder]) == 0
    assert f"{folder}/sosw-worker-layer-{sosw_runtime.__version__}.zip  0.1 MB  sha256 " in capsys.readouterr().out
    assert run(["package", "--layer", "--output", folder, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["package", "version", "sha256", "bytes"]


def test_the_page_on_workers_shows_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resize").mkdir()
    (tmp_path / "resize" / "resize.py").touch()
    [*shown] = re.findall(r"^```console package\n\$ sosw (.*?)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

    for command, expected in shown:
        assert run(command.split()) == 0
        answer = capsys.readouterr()
        assert re.sub("sha256 [0-9a-f]{64}", "sha256 …", answer.err + answer.out) == expected
    assert len(shown) == 2


def test_the_class_of_the_readme_runs_from_its_package(tmp_path: Path, boto3_alone: Path) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "resize").mkdir()
    (tmp_path / "resize" / "resize.py").write_text(code)
    package = Path(built(tmp_path / "resize", tmp_path / "build").package)

    ran = in_isolation([package, boto3_alone], RUN.format(module="resize"))

    assert ran.splitlines() == ["{'resized': 2} 2", "Unavailable"]


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The line of a refusal."""
    assert run(arguments) == 2
    answer = capsys.readouterr()
    assert answer.out == ""
    return answer.err.splitlines()[-1]


def test_what_is_wrong_is_one_line_that_names_it(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone, folder = str(tmp_path / "gone"), str(tmp_path / "build")
    assert refusal(["worker", "package", gone, "--output", folder], capsys) == (
        f"sosw: DIR: {gone} is refused; expected a folder"
    )
    assert refusal(["worker", "package", str(source), "--output", str(source)], capsys) == (
        f"sosw: --output: {source} is refused; expected another folder than DIR, whose files go into the zip"
    )
    assert refusal(["package", "--layer", "--with", "acme==1", "--output", folder], capsys) == (
        "sosw: --with: 'acme==1' is refused; expected none with --layer, which holds the Worker's side alone"
    )
    (source / "sosw_runtime").mkdir()
    (source / "sosw_runtime" / "worker.py").write_text("")
    assert refusal(["worker", "package", str(source), "--output", folder], capsys) == (
        f"sosw: DIR: {source} is refused; expected no sosw_runtime/worker.py in it, which is in the zip already"
    )
    assert not (tmp_path / "build").exists()


def test_requirements_that_cannot_be_installed_are_named(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    assert run(["worker", "package", str(source), "--output", str(tmp_path / "build")]) == 1

    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"sosw: {source}/requirements.txt: the package could not be built: pip: Could not find a ")
    assert not (tmp_path / "build").exists()


def test_a_package_too_large_to_be_stored_is_compressed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "rows.txt").write_text("0" * 200_000)
    monkeypatch.setattr(worker_package, "_LARGEST_STORED", 300_000)
    monkeypatch.setattr(worker_package, "_LARGEST_UPLOAD", 100)
    told: list[str] = []

    made = worker_package.build(source, tmp_path / "build", THIS_PYTHON, THIS_MACHINE, print_step=told.append)

    assert made.bytes < 200_000
    assert told[-1] == "Lambda takes 0 MB from a file: upload the zip to S3, and deploy it from there"


def test_a_package_that_lambda_could_not_unpack_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_package, "_LARGEST_UNZIPPED", 1000)

    with pytest.raises(FileRefused, match="expected at most 0 MB with what it requires"):
        built(source, tmp_path / "build")
    assert not list((tmp_path / "build").glob("*.zip"))
