"""Rounds: many Workers or chores share the time of one invocation, and none of them holds up the others."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sosw_runtime.essentials.invocation import Invocation, side_by_side
from sosw_runtime.essentials.tally import Tally, counted

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

_AT_ONCE: Final = 8

#: Work in turns. A turn ends with a `yield` of what was done in it; the last one returns it.
Turns = Generator[Tally, None, Tally]


@dataclass(frozen=True, slots=True)
class Served:
    """What was done in some rounds."""

    tallies: Mapping[str, Tally]  # by the name of the work
    left_over: tuple[str, ...]  # the names of those for which there was no time, or not enough

    @property
    def total(self) -> Tally:
        """What was done of all."""
        return sum(self.tallies.values(), Tally())


def serve_in_rounds(
    invocation: Invocation, work: Mapping[str, Turns], logger: Logger, message: str, label: str
) -> Served:
    """Give everyone a turn, then everyone who has more to do another one, until there is no time.

    The order is drawn anew each time, so that it is not always the same who are left over. One that fails is `counted`
    and has no more turns.

    Args:
        invocation: whose time it is.
        work: by name.
        logger: whose log tells of failures.
        message: of a failure.
        label: what a name is, in a failure's line.
    """
    tallies = {name: Tally() for name in work}
    waiting = random.sample(list(work), len(work))
    while waiting and invocation.has_time():
        ended = set()
        for name, outcome in side_by_side(lambda name: _turn(work[name]), waiting, _AT_ONCE, invocation.has_time):
            if isinstance(outcome, Exception):
                tally, has_more = counted(outcome, logger, message, **{label: name}), False
            else:
                tally, has_more = outcome
            tallies[name] += tally
            if not has_more:
                ended.add(name)
        waiting = [name for name in waiting if name not in ended]
    return Served(tallies, tuple(waiting))


def in_one_turn(work: Callable[[], Tally]) -> Turns:
    """Work that is done in one turn."""
    yield from ()
    return work()


def _turn(turns: Turns) -> tuple[Tally, bool]:
    """What was done in the next turn, and whether there is more to do."""
    try:
        return next(turns), True
    except StopIteration as end:
        tally: Tally = end.value
        return tally, False
