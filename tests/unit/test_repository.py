"""Rules of the repository that no linter knows."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.cache import REQUIREMENTS, ROOT

THIS = Path(__file__).relative_to(ROOT)
LOCKS = sorted([*REQUIREMENTS.glob("*.txt"), *ROOT.glob("runtime/**/*.txt")])
NOT_LOCKS = {"lambda-provides.txt"}

#: Where one machine keeps things, and where one network finds packages: neither is a fact about the product.
FOREIGN = {
    "a path of one machine": r"(?<![\w.-])/(?:root|work|home/\w+|Users/\w+|opt/wheels)/",
    "the host of a package registry": (
        r"pythonhosted\.org|pypi\.org/simple|proxy\.golang\.org|repo1?\.maven\.(?:apache\.)?org"
    ),
    "the choice of a package registry": r"--(?:extra-)?index-url|--find-links|<repositories>|GOPROXY=",
}


def own_files() -> list[Path]:
    """What git tracks or would track, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def lines_with(pattern: str, *suffixes: str) -> list[str]:
    """`file:line: text` of every line that matches, in the files with one of the suffixes or in all."""
    found = []
    for path in own_files():
        if path == THIS or (suffixes and path.suffix not in suffixes):
            continue
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1):
            if re.search(pattern, line):
                found.append(f"{path}:{number}: {line.strip()}")
    return found


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_names(what: str) -> None:
    assert lines_with(FOREIGN[what]) == []


@pytest.mark.parametrize("pattern", FOREIGN.values())
def test_the_search_for_foreign_names_finds_them(pattern: str) -> None:
    samples = "see /root/.cache/x\nhttps://files.pythonhosted.org/x\npip install --index-url x"
    assert re.search(pattern, samples)


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.name not in NOT_LOCKS], ids=lambda lock: lock.name)
def test_every_requirement_is_pinned_with_hashes(lock: Path) -> None:
    requirements = re.sub(r"\\\n", "", lock.read_text()).splitlines()
    assert requirements
    unpinned = [line for line in requirements if not re.match(r"[\w.-]+==\S+.*--hash=sha256:[0-9a-f]{64}", line)]
    assert unpinned == []


def test_every_suppressed_finding_has_its_reason_beside_it() -> None:
    suppressed = lines_with(r"#\s*(?:noqa|type:\s*ignore)", ".py")
    with_reason = re.compile(r"#\s*(?:noqa:\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*|type:\s*ignore\[[\w, -]+\])[\s#:-]+\w+")
    assert [line for line in suppressed if not with_reason.search(line)] == []


def test_every_directory_of_tests_is_a_package() -> None:
    """Otherwise two test files of one name would be one module."""
    directories = {path.parent for path in own_files() if path.parts[0] == "tests" and path.suffix == ".py"}
    assert [str(path) for path in sorted(directories) if not (ROOT / path / "__init__.py").is_file()] == []


def test_the_test_command_runs_every_directory_of_tests() -> None:
    makefile = (ROOT / "Makefile").read_text()
    with_tests = {path.parts[1] for path in own_files() if path.parts[0] == "tests" and path.name.startswith("test_")}
    assert [name for name in sorted(with_tests) if not re.search(rf"pytest tests/{name}\b", makefile)] == []


def test_every_link_between_the_documents_leads_somewhere() -> None:
    links = [
        (path, target)
        for path in own_files()
        if path.suffix == ".md"
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / path).read_text())
        if "://" not in target and not target.startswith("mailto:")
    ]
    assert [f"{path}: {target}" for path, target in links if not (ROOT / path.parent / target).exists()] == []


def test_continuous_integration_can_start() -> None:
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    subprocess.run(["bash", "-n", run], check=True)


def test_no_name_of_a_test_is_longer_than_70_characters() -> None:
    assert lines_with(r"^\s*(?:async )?def test_\w{66,}\(", ".py") == []
