"""Rounds: many Workers or chores share the time of one invocation, and none of them holds up the others."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sosw_runtime.essentials.invocation import Invocation
from sosw_runtime.essentials.parallel import Counters, log_if_failed, run_concurrently

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

_AT_ONCE: Final = 8

#: Work in turns. A turn ends with a `yield` of what was done in it; the last one returns it.
Turns = Generator[Counters, None, Counters]


@dataclass(frozen=True, slots=True)
class Served:
    """What was done in some rounds."""

    by_name: Mapping[str, Counters]
    left_over: tuple[str, ...]  # the names of those for which there was no time, or not enough

    @property
    def total(self) -> Counters:
        """What was done of all."""
        return sum(self.by_name.values(), Counters())


def serve_in_rounds(
    invocation: Invocation, work: Mapping[str, Turns], logger: Logger, message: str, label: str
) -> Served:
    """Give everyone a turn, then everyone who has more to do another one, until there is no time.

    The order is drawn anew each time, so that it is not always the same who are left over. A failure is logged and
    counted, and ends that work.

    Args:
        invocation: whose time it is.
        work: by name.
        logger: whose log tells of failures.
        message: of a failure.
        label: what a name is, in a failure's line.
    """

    def next_turn(name: str) -> tuple[Counters, bool]:
        return _next_turn(work[name])

    by_name = {name: Counters() for name in work}
    waiting = random.sample(list(work), len(work))
    while waiting and invocation.has_time():
        ended = set()
        for name, outcome in run_concurrently(next_turn, waiting, _AT_ONCE, invocation.has_time):
            if isinstance(outcome, Exception):
                counters, has_more = log_if_failed(outcome, logger, message, **{label: name}), False
            else:
                counters, has_more = outcome
            by_name[name] += counters
            if not has_more:
                ended.add(name)
        waiting = [name for name in waiting if name not in ended]
    return Served(by_name, tuple(waiting))


def in_one_turn(work: Callable[[], Counters]) -> Turns:
    """Work that is done in one turn."""
    yield from ()
    return work()


def _next_turn(turns: Turns) -> tuple[Counters, bool]:
    """What was done in the next turn, and whether there is more to do."""
    try:
        return next(turns), True
    except StopIteration as end:
        counters: Counters = end.value
        return counters, False
