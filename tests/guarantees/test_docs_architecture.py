"""Every item that is written, with its attributes, is on the page on architecture, and every row there is written."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from sosw_runtime.errors import Unavailable
from sosw_runtime.storage.items import Item
from tests.guarantees.flows import FLOWS, WORKER, Flow
from tests.support.events import completed, destination_record, failed
from tests.support.snapshots import Snapshot
from tests.support.world import World

pytestmark = pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)

_PAGE: Final = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text(encoding="utf-8")

#: What Terraform writes, and the flows do not.
_OF_TERRAFORM: Final = frozenset({"function"})


def _rows(heading: str) -> Iterator[list[str]]:
    """The rows of the first table below a heading, by cell."""
    section = _PAGE.split(f"### `<name>_{heading}`", 1)[1]
    lines = (line for line in section.splitlines() if line.startswith("| `"))
    below = section.split("\n#", 1)[0]
    return ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines if line in below)


def _names(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def _kind(pk: str) -> str:
    return pk.split("#", maxsplit=1)[0]


def _attributes(item: Item) -> set[str]:
    return {name for name in item if name not in {"pk", "sk", "expires_at"}}


@pytest.fixture
def written(world: World) -> Mapping[str, set[str]]:
    """The attributes of what all flows write: by table, and of the registry by the kind of its partition key."""
    found: dict[str, set[str]] = defaultdict(set)

    def look(_: Snapshot, after: Snapshot) -> None:
        for table in ("tasks", "retry_tasks", "closed_tasks"):
            for item in after[table].values():
                found[table] |= _attributes(item)
        for item in after["registry"].values():
            found[_kind(item["pk"]["S"])] |= _attributes(item)

    world.observers.append(look)
    for flow in (*FLOWS.values(), Flow(_submit_urgent, _end_unusually)):
        world.clear()
        flow.prepare(world)
        flow.act(world)
        world.settle(minutes=15)
    return found


def _submit_urgent(world: World) -> None:
    world.register(WORKER, 3)
    world.submit(WORKER, 3, priority=5)
    world.pause(WORKER, True)
    world.pause(WORKER, False)
    world.tick("orchestrator")


def _end_unusually(world: World) -> None:
    """Tasks tell stats, never run and ask for a time; the sweep goes by pages, and closing the job fails at first."""
    told, dropped, put_off = world.events
    world.report({**completed(told), "stats": {"calls": 2}})
    world.report(destination_record(dropped, "EventAgeExceeded", invocations=0))
    world.report(failed(put_off, retry_after=60))
    world.events.clear()
    with mock.patch("sosw_runtime.storage.tasks._SWEPT_AT_ONCE", 1):
        world.tick("scavenger")
    world.settle(minutes=1)
    with mock.patch("sosw_runtime.storage.progress.close", side_effect=Unavailable("throttled")):
        world.settle(minutes=5)


def test_every_attribute_of_a_task_is_on_the_page(written: Mapping[str, set[str]]) -> None:
    told = set().union(*(_names(cells[0]) for cells in _rows("tasks")))
    of_closed = _PAGE.split("### `<name>_closed_tasks`", 1)[1].split("###", 1)[0]

    assert written["tasks"] - told == set()
    assert written["retry_tasks"] - told == {"due"}
    assert written["closed_tasks"] - told - _names(of_closed) == set()
    assert told - written["tasks"] - written["closed_tasks"] == set(), "nothing is on the page that is never written"


def test_every_item_of_the_registry_is_on_the_page(written: Mapping[str, set[str]]) -> None:
    told = {_kind(cells[0].strip("`")): _names(cells[3]) for cells in _rows("registry")}
    kinds = written.keys() - {"tasks", "retry_tasks", "closed_tasks"}

    assert kinds ^ told.keys() == _OF_TERRAFORM
    assert {kind: written[kind] - told[kind] for kind in kinds if written[kind] - told[kind]} == {}
