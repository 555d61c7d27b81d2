"""Running the same work on many arguments at once; what is done is counted by metric name, and what fails is logged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from sosw_runtime import aws
from sosw_runtime.errors import Unavailable

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger

Argument = TypeVar("Argument")
Result = TypeVar("Result")

#: Counts by metric name. `Failures` is everything that failed, `Outages` the part that was the fault of AWS or its
#: configuration, not of the argument.
Counters = Counter[str]


def run_concurrently(
    work: Callable[[Argument], Result],
    arguments: Iterable[Argument],
    threads: int = aws.CONCURRENCY,
    in_time: Callable[[], bool] = lambda: True,
) -> Iterator[tuple[Argument, Result | Exception]]:
    """Run the same work on many arguments concurrently; the result or the error of each, in their order.

    Once it is not `in_time` any more nothing is begun: the other arguments are left out.
    """

    def guarded(argument: Argument) -> tuple[Argument, Result | Exception] | None:
        if not in_time():
            return None
        try:
            return argument, work(argument)
        except Exception as error:  # noqa: BLE001 - the caller logs it and the others go on
            return argument, error

    todo = list(arguments)
    at_once = min(threads, len(todo))
    if at_once < 2:
        yield from filter(None, map(guarded, todo))
        return
    with ThreadPoolExecutor(at_once) as pool:
        yield from filter(None, pool.map(guarded, todo))


def run_or_raise(
    work: Callable[[Argument], Result], arguments: Iterable[Argument], threads: int = aws.CONCURRENCY
) -> list[Result]:
    """Run the same work on many arguments concurrently; the results, in the arguments' order.

    Raises:
        Exception: the first error, once all of them are done with.
    """
    results: list[Result] = []
    errors: list[Exception] = []
    for _, outcome in run_concurrently(work, arguments, threads):
        if isinstance(outcome, Exception):
            errors.append(outcome)
        else:
            results.append(outcome)
    if errors:
        raise errors[0]
    return results


def log_if_failed(outcome: Counters | Exception, logger: Logger, message: str, **extra: object) -> Counters:
    """Log and count a failure, whose work the next tick finds again; the counters of what was done."""
    if isinstance(outcome, Exception):
        logger.error(message, exc_info=outcome, extra=extra)
        return Counters(Failures=1, Outages=int(_is_outage(outcome)))
    return outcome


def run_all(
    work: Callable[[Argument], Counters],
    arguments: Iterable[Argument],
    threads: int,
    logger: Logger,
    message: str,
    about: Callable[[Argument], Mapping[str, object]] = lambda _: {},
    in_time: Callable[[], bool] = lambda: True,
) -> Counters:
    """Run the same work on many arguments concurrently; log and count failures.

    Args:
        work: on one argument.
        arguments: on what.
        threads: at most so many at once.
        logger: whose log tells of failures.
        message: of a failure.
        about: what a failure's line carries of its argument.
        in_time: whether more may be begun.
    """
    outcomes = run_concurrently(work, arguments, threads, in_time)
    return sum(
        (log_if_failed(outcome, logger, message, **about(argument)) for argument, outcome in outcomes), Counters()
    )


def run_batch(
    work: Callable[[Sequence[Argument]], Counters],
    batch: Sequence[Argument],
    threads: int,
    logger: Logger,
    message: str,
    about: Callable[[Argument], Mapping[str, object]],
) -> Counters:
    """Run work on a batch; if it fails, and not by a transient error, on each part by itself. Log and count failures.

    `work` is repeatable. Arguments as of `run_all`.
    """
    if not batch:
        return Counters()
    try:
        return work(batch)
    except Exception as error:  # noqa: BLE001 - logged and counted
        if len(batch) == 1 or _is_outage(error):
            return log_if_failed(error, logger, message, **(about(batch[0]) if len(batch) == 1 else {}))
        logger.warning("batch of %d failed; each by itself: %s", len(batch), error)
    return run_all(lambda part: work([part]), batch, threads, logger, message, about)


def _is_outage(error: Exception) -> bool:
    """Whether AWS was at fault, or its configuration, and not what was asked of it."""
    if isinstance(error, ClientError):
        reasons = {reason.get("Code") for reason in error.response.get("CancellationReasons", [])}
        return error.response["Error"]["Code"] != "ValidationException" and "ValidationError" not in reasons
    return isinstance(error, BotoCoreError | Unavailable)
