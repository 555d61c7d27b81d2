"""Rounds: everyone has a turn before anyone has another, and what there is no time for is told."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from unittest import mock
from uuid import uuid4

import pytest
from aws_lambda_powertools import Logger

from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.essentials.parallel import Counters
from sosw_runtime.essentials.rounds import Served, Turns, serve_in_rounds, single_turn
from sosw_runtime.settings import Settings
from sosw_runtime.storage.tables import Tables
from tests.support.clock import Clock

#: A thousand Workers.
NAMES = [f"worker-{number:03d}" for number in range(1000)]


class Rounds:
    """Some rounds, and who had a turn in them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turns: list[str] = []
        self.log = StringIO()

    def invocation(self, ms: int) -> Invocation:
        """With so much time left."""
        tables = Tables.with_client(mock.Mock(), "sosw")
        return Invocation(Settings(), tables, "r", self.clock.now + ms, reserve=0, clock=self.clock.read)

    def serve(self, work: dict[str, Turns], ms: int) -> Served:
        logger = Logger(service=uuid4().hex, stream=self.log)  # one of a known name would keep its first stream
        return serve_in_rounds(self.invocation(ms), work, logger, "not done", "worker_id")

    def work(self, name: str, turns: int) -> Turns:
        """So many turns of a millisecond each."""
        for _ in range(turns - 1):
            self.clock.advance(1)
            self.turns.append(name)
            yield Counters(Turns=1)
        self.clock.advance(1)
        self.turns.append(name)
        return Counters(Turns=1)


@pytest.fixture(autouse=True)
def _same_order() -> Iterator[None]:
    state = random.getstate()
    random.seed(0)
    yield
    random.setstate(state)


def test_everyone_has_a_turn_before_anyone_has_another() -> None:
    rounds = Rounds()
    served = rounds.serve({name: rounds.work(name, turns=2) for name in NAMES}, ms=10_000)
    assert sorted(rounds.turns[:1000]) == NAMES
    assert Counter(rounds.turns) == dict.fromkeys(NAMES, 2)
    assert (served.total, served.left_over) == (Counters(Turns=2000), ())


def test_one_with_a_million_turns_holds_up_nobody() -> None:
    rounds = Rounds()
    work = {name: rounds.work(name, turns=1) for name in NAMES[1:]}
    served = rounds.serve({NAMES[0]: rounds.work(NAMES[0], turns=1_000_000), **work}, ms=1_500)
    assert set(rounds.turns) == set(NAMES)
    assert served.left_over == (NAMES[0],)
    assert served.by_name[NAMES[0]]["Turns"] > 400


def test_short_of_time_it_is_not_always_the_same_who_are_left_over() -> None:
    seen = set[str]()
    for tick in range(20):
        rounds = Rounds()
        served = rounds.serve({name: rounds.work(name, turns=1) for name in NAMES}, ms=500)
        assert len(served.left_over) == pytest.approx(500, abs=10), f"tick {tick}"
        assert set(served.left_over) | set(rounds.turns) == set(NAMES)
        seen |= set(rounds.turns)
    assert seen == set(NAMES)


def test_over_two_ticks_everyone_is_served_if_the_first_have_less_to_do() -> None:
    seen = set[str]()
    for _ in range(2):
        rounds = Rounds()
        work = {name: rounds.work(name, turns=1) for name in NAMES if name not in seen}
        rounds.serve(work, ms=510)
        seen |= set(rounds.turns)
    assert seen == set(NAMES)


def test_without_time_nothing_is_begun() -> None:
    rounds = Rounds()
    served = rounds.serve({name: rounds.work(name, turns=1) for name in NAMES[:3]}, ms=-1)
    assert rounds.turns == []
    assert sorted(served.left_over) == NAMES[:3]


def test_one_that_fails_is_told_of_and_stops_no_other() -> None:
    rounds = Rounds()

    def broken() -> Counters:
        raise ValueError("as asked")

    work = {"broken": single_turn(broken), "well": rounds.work("well", turns=3)}
    served = rounds.serve(work, ms=100)
    assert served.by_name == {"broken": Counters(Failures=1, Outages=0), "well": Counters(Turns=3)}
    assert served.left_over == ()
    assert '"worker_id":"broken"' in rounds.log.getvalue()


def test_a_share_is_a_part_of_the_time_that_is_left() -> None:
    rounds = Rounds()
    whole = rounds.invocation(1_000)
    rounds.clock.advance(200)
    share = whole.share(0.25)
    rounds.clock.advance(200)
    assert share.has_time()
    rounds.clock.advance(1)
    assert share.out_of_time
    assert whole.share(1).ends_at == whole.ends_at
    rounds.clock.advance(1_000)
    assert whole.share(1).out_of_time
