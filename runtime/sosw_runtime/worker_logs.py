"""The ids of a task in the log lines of AWS Lambda Powertools, where a Worker uses it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

_FORMATTER_MODULE: Final = "aws_lambda_powertools.logging.formatter"


@contextmanager
def powertools_keys(keys: Mapping[str, Any]) -> Iterator[None]:
    """Let every `Logger` of Powertools carry the keys; afterwards each carries what it did before.

    Loggers of one service share their keys, so that those of any service that exists now carry them. Without Powertools
    imported nothing happens.
    """
    formatters = _formatters()
    before = [{key: value for key, value in each.get_current_keys().items() if key in keys} for each in formatters]
    for formatter in formatters:
        formatter.append_keys(**keys)
    try:
        yield
    finally:
        for formatter, own in zip(formatters, before, strict=True):
            formatter.remove_keys(keys)
            formatter.append_keys(**own)


def _formatters() -> list[Any]:
    """One a service: that of the standard library's logger by the service's name."""
    module = sys.modules.get(_FORMATTER_MODULE)
    if module is None:
        return []
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    found = [handler.formatter for logger in loggers for handler in logger.handlers]
    return list({id(each): each for each in found if isinstance(each, module.LambdaPowertoolsFormatter)}.values())
