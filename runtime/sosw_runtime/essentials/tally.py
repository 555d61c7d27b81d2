"""Tally: what an Essential did, by metric name, and what of it failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sosw_runtime.errors import Unavailable
from sosw_runtime.essentials.invocation import side_by_side

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

Argument = TypeVar("Argument")

#: Counts by metric name. `Failures` is everything that failed, `Outages` those of them that were transient.
Tally = Counter[str]


def counted(outcome: Tally | Exception, logger: Logger, message: str, **extra: object) -> Tally:
    """What was done; a failure is logged and counted, and whatever it left is found again by the next tick."""
    if isinstance(outcome, Exception):
        logger.error(message, exc_info=outcome, extra=extra)
        return Tally(Failures=1, Outages=int(_is_transient(outcome)))
    return outcome


def done(
    work: Callable[[Argument], Tally],
    arguments: Iterable[Argument],
    threads: int,
    logger: Logger,
    message: str,
    about: Callable[[Argument], Mapping[str, object]] = lambda _: {},
    in_time: Callable[[], bool] = lambda: True,
) -> Tally:
    """What was done of the same work on many arguments, side by side; one that fails is `counted` and stops no other.

    Args:
        work: on one argument.
        arguments: on what.
        threads: at most so many at once.
        logger: whose log tells of failures.
        message: of a failure.
        about: what a failure's line carries of its argument.
        in_time: whether more may be begun.
    """
    outcomes = side_by_side(work, arguments, threads, in_time)
    return sum((counted(outcome, logger, message, **about(argument)) for argument, outcome in outcomes), Tally())


def do_batch(
    work: Callable[[Sequence[Argument]], Tally],
    batch: Sequence[Argument],
    threads: int,
    logger: Logger,
    message: str,
    about: Callable[[Argument], Mapping[str, object]],
) -> Tally:
    """What was done of a batch; where it fails, and AWS is not at fault, of each of its parts, side by side as `done`.

    `work` is repeatable. Arguments as of `done`.
    """
    if not batch:
        return Tally()
    try:
        return work(batch)
    except Exception as error:  # noqa: BLE001 - logged and counted
        if len(batch) == 1 or _is_transient(error):
            return counted(error, logger, message, **(about(batch[0]) if len(batch) == 1 else {}))
        logger.warning("batch of %d failed; each by itself: %s", len(batch), error)
    return done(lambda part: work([part]), batch, threads, logger, message, about)


def _is_transient(error: Exception) -> bool:
    """Whether AWS was at fault, or its configuration, and not what was asked of it."""
    if isinstance(error, ClientError):
        reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
        return error.response["Error"]["Code"] != "ValidationException" and "ValidationError" not in reasons
    return isinstance(error, BotoCoreError | Unavailable)
