"""Rounds: many Workers or chores share the time of one invocation in turns, so that none holds up the others."""

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

#: Work in turns. A turn ends by yielding its counters; the last turn returns them.
Turns = Generator[Counters, None, Counters]


@dataclass(frozen=True, slots=True)
class Served:
    """The counters of all rounds."""

    by_name: Mapping[str, Counters]
    left_over: tuple[str, ...]  # names of the work for which there was too little time

    @property
    def total(self) -> Counters:
        """The sum of all counters."""
        return sum(self.by_name.values(), Counters())


def serve_in_rounds(
    invocation: Invocation, work: Mapping[str, Turns], logger: Logger, message: str, label: str
) -> Served:
    """Give each work a turn, then another one to each that has more to do, until there is no time.

    The order is random, so that not always the same work is left over. A failure is logged and counted, and ends the
    work that failed.

    Args:
        invocation: whose time it is.
        work: by name.
        logger: whose log tells of failures.
        message: of a failure.
        label: the log field for the name of the work that failed.
    """

    def take_turn(name: str) -> tuple[Counters, bool]:
        return _take_turn(work[name])

    by_name = {name: Counters() for name in work}
    waiting = random.sample(list(work), len(work))
    while waiting and invocation.has_time():
        ended = set()
        for name, result in run_concurrently(take_turn, waiting, _AT_ONCE, invocation.has_time):
            if isinstance(result, Exception):
                counters, has_more = log_if_failed(result, logger, message, **{label: name}), False
            else:
                counters, has_more = result
            by_name[name] += counters
            if not has_more:
                ended.add(name)
        waiting = [name for name in waiting if name not in ended]
    return Served(by_name, tuple(waiting))


def single_turn(work: Callable[[], Counters]) -> Turns:
    """Work with one turn."""
    yield from ()
    return work()


def _take_turn(turns: Turns) -> tuple[Counters, bool]:
    """Run the next turn; its counters, and whether there is another turn."""
    try:
        return next(turns), True
    except StopIteration as end:
        counters: Counters = end.value
        return counters, False
