"""The Workers of examples/complete, run from the zip that Terraform deploys, on the real file."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from examples.complete import build

from sosw_runtime.worker import NotRetryable

MODULES = ("collect", "summarise", "weather")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip as Lambda unpacks it."""
    folder = tmp_path_factory.mktemp("package")
    with zipfile.ZipFile(build.build(folder / "workers.zip")) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture(autouse=True)
def in_package(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    monkeypatch.syspath_prepend(package)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def handler(name: str) -> Any:
    return importlib.import_module(name).handler


def configure(monkeypatch: pytest.MonkeyPatch, **station: Any) -> None:
    monkeypatch.setenv("SOSW_WORKER_CONFIG", json.dumps({"station": station}))


class TestPackage:
    def test_it_has_the_same_bytes_on_every_run(self, tmp_path: Path) -> None:
        first, second = (build.build(tmp_path / name).read_bytes() for name in ("first.zip", "second.zip"))
        assert first == second

    def test_it_is_complete_but_for_boto3(self, package: Path) -> None:
        code = (
            "import sys; sys.path.insert(0, sys.argv[1])\n"
            "import collect, summarise, tenacity\n"
            "print(tenacity.__file__, collect.Collect.__mro__[1].__module__, sys.modules['sosw_runtime'].__file__)"
        )
        # -S: no site-packages, and with them no package of this machine.
        command = [sys.executable, "-I", "-S", "-c", code, str(package)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        folder = str(package)
        assert done.stdout.split() == [
            f"{folder}/tenacity/__init__.py",
            "sosw_runtime.worker",
            f"{folder}/sosw_runtime/__init__.py",
        ]

    def test_exactly_one_row_differs_from_the_published_file(self, package: Path) -> None:
        published = build.weather_data().splitlines()
        packaged = (package / "seattle-weather.csv").read_text().splitlines()
        differing = [row for row, ours in zip(published, packaged, strict=True) if row != ours]
        assert len(published) == 1 + 1461
        assert [row.split(",")[0] for row in differing] == [build.DAMAGED_DAY.replace("-", "/")]


class TestSummarise:
    def test_one_day(self) -> None:
        assert handler("summarise")({"date_list": ["2012-01-02"]}) == {
            "from": "2012-01-02",
            "to": "2012-01-02",
            "days": 1,
            "temperature": {"lowest": 2.8, "mean": 6.7, "highest": 10.6},
            "precipitation_mm": 10.9,
            "mean_wind": 4.5,
            "weather": {"rain": 1},
        }

    def test_a_span_of_days(self) -> None:
        summarise = handler("summarise")
        summary = summarise({"date_list": ["2012-01-01", "2012-01-02", "2012-01-03"]})
        assert summary["temperature"] == {"lowest": 2.8, "mean": 8.35, "highest": 12.8}
        assert summary["precipitation_mm"] == 11.7
        assert summary["weather"] == {"drizzle": 1, "rain": 2}
        assert summarise.stats == {"days": 3}

    @pytest.mark.parametrize("day", [build.DAMAGED_DAY, "2016-01-01"])
    def test_a_day_that_can_never_be_read_is_not_worth_another_try(self, day: str) -> None:
        with pytest.raises(NotRetryable, match=day):
            handler("summarise")({"date_list": ["2012-10-12", day]})

    def test_every_other_day_can_be_read(self) -> None:
        rows = build.weather_data().splitlines()[1:]
        days = [row.split(",")[0].replace("/", "-") for row in rows]
        days.remove(build.DAMAGED_DAY)
        assert handler("summarise")({"date_list": days})["days"] == 1460


class TestCollect:
    def test_with_a_station_that_is_up_it_summarises(self) -> None:
        collect = handler("collect")
        summary = collect({"date_list": ["2012-01-07"], "attempt": 1})
        assert summary == handler("summarise")({"date_list": ["2012-01-07"]})
        assert collect.stats == {"requests": 1, "days": 1}

    def test_a_station_that_is_down_is_up_again_at_the_second_attempt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        configure(monkeypatch, down_on_days_of_month=[7])
        collect = handler("collect")
        with pytest.raises(ConnectionError, match="2012-01-07: the station is down"):
            collect({"date_list": ["2012-01-07"], "attempt": 1})
        assert collect({"date_list": ["2012-01-07"], "attempt": 2})["days"] == 1
        assert collect({"date_list": ["2012-01-08"], "attempt": 1})["days"] == 1

    def test_the_process_ends_at_the_first_attempt_only(self, monkeypatch: pytest.MonkeyPatch, package: Path) -> None:
        configure(monkeypatch, kills_on="2012-06-15")
        code = (
            "import sys; sys.path.insert(0, sys.argv[1]); import collect\n"
            "collect.handler({'date_list': ['2012-06-15'], 'attempt': int(sys.argv[2])})"
        )
        ends = [subprocess.run([sys.executable, "-c", code, package, attempt], check=False) for attempt in "12"]
        assert [end.returncode for end in ends] == [1, 0]
