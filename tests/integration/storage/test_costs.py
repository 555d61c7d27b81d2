"""What each move costs, as DynamoDB Local says, is what the page on the guarantees says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from sosw_runtime.domain.task import Move, Task
from sosw_runtime.storage import moves, slots
from sosw_runtime.storage.items import Unreadable, to_item
from sosw_runtime.storage.tables import Tables
from tests.integration.storage.cases import CASES, STATES, put
from tests.support.builders import NO_DEADLINE, completed, delayed, held, queued, running, slot
from tests.support.installation import Installation
from tests.support.units import WRITES, ask_for_units, consumed_units

pytestmark = pytest.mark.parametrize("dynamodb", ["dynamodb-local"], indirect=True)

_PAGE: Final = (Path(__file__).parents[3] / "docs" / "guarantees.md").read_text(encoding="utf-8")

#: What somebody does with a task that stands so (None: that is yet to be written), as a whole: a claim with its slot.
Way = tuple[Task | None, Callable[[Tables], object]]


def _ways(move: Move) -> Iterator[Way]:
    """Every way in which a move is made."""
    match move:
        case Move.ENQUEUE:
            yield None, lambda tables: moves.enqueue(tables, [queued()])
        case Move.DELAY:
            yield None, lambda tables: moves.delay(tables, [delayed()])
        case Move.ARCHIVE:
            yield completed(), lambda tables: moves.archive(tables, [completed()], None)
        case Move.BURY:
            for state in ("queued", "waiting", "dead"):
                damaged = replace(STATES[state], payload="", history=(), in_outbox=False)
                yield damaged, partial(_bury, damaged)
        case Move.SET_ASIDE:
            yield queued(), lambda tables: moves.set_aside(tables, queued().task_id, queued().queue_rank or "")
        case _:
            for name, case in CASES.items():
                if name.split()[0] == move.value:
                    yield from ((_stood(state, move), partial(_with_slot, name, state)) for state in case.legal)


def _bury(task: Task, tables: Tables) -> None:
    assert moves.bury(tables, Unreadable(to_item(task), "for this test"), 1)


def _stood(state: str, move: Move) -> Task:
    """The dead were announced long ago when people come to them."""
    return replace(STATES[state], in_outbox=STATES[state].in_outbox and move is Move.ANNOUNCE)


def _with_slot(name: str, state: str, tables: Tables) -> None:
    """A claim takes a slot first, and whoever takes it back frees it."""
    if name == Move.CLAIM.value:
        assert slots.take(tables, slot(queued(), index=2), None, NO_DEADLINE)
    assert CASES[name].act(tables, STATES[state])
    if name == Move.UNCLAIM.value:
        assert slots.free(tables, held(running()))


@contextmanager
def _counted(tables: Tables) -> Iterator[list[float]]:
    """The write units of the calls inside the block."""
    events, units = tables.client.meta.events, list[float]()

    def answered(model: Any, parsed: Any, **_: object) -> None:
        units.append(consumed_units(model.name, parsed))

    for operation in WRITES:
        events.register(f"provide-client-params.dynamodb.{operation}", ask_for_units)
        events.register(f"after-call.dynamodb.{operation}", answered)
    yield units
    for operation in WRITES:
        events.unregister(f"provide-client-params.dynamodb.{operation}", ask_for_units)
        events.unregister(f"after-call.dynamodb.{operation}", answered)


@pytest.mark.parametrize("move", Move)
def test_a_move_costs_what_the_page_says(sosw: Installation, move: Move) -> None:
    table = re.search(r"^\| move \|.*?\n\n", _PAGE, re.MULTILINE | re.DOTALL)
    assert table is not None
    head, _, *rows = (re.split(r"\s*\|\s*", line.strip("| ")) for line in table[0].strip().splitlines())
    [told] = [row[head.index("cost")] for row in rows if row[0] == move.value]

    measured = set()
    for stood, act in _ways(move):
        if stood is not None:
            put(sosw, stood)
            if stood == STATES["running"]:
                assert slots.take(sosw.tables, held(stood), held(stood), NO_DEADLINE)
        with _counted(sosw.tables) as units:
            act(sosw.tables)
        assert units
        measured.add(sum(units))
    assert measured == {float(cost) for cost in re.findall(r"\d+", told)}
