"""What is made once is made again when what it is made from changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import cache


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "CACHE", tmp_path / "cache")


def write(text: str) -> cache.Make:
    def make(directory: Path) -> None:
        (directory / "made").write_text(text)

    return make


def test_it_is_made_once() -> None:
    first = cache.made_once("thing", "version 1", write("first"))
    second = cache.made_once("thing", "version 1", write("second"))
    assert first == second
    assert (first / "made").read_text() == "first"


def test_it_is_made_anew_from_something_else_and_nothing_old_stays() -> None:
    (cache.made_once("thing", "version 1", write("first")) / "old").touch()
    made = cache.made_once("thing", "version 2", write("second"))
    assert sorted(path.name for path in made.iterdir()) == [".made-from", "made"]
    assert (made / "made").read_text() == "second"


def test_what_failed_does_not_count_as_made() -> None:
    def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        cache.made_once("thing", "version 1", fail)
    made = cache.made_once("thing", "version 1", write("whole"))
    assert not (made / "half").exists()
    assert (made / "made").read_text() == "whole"
