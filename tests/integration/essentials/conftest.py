"""What the Essentials log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from tests.support.installation import ESSENTIALS


@pytest.fixture
def logs() -> Iterator[StringIO]:
    """All that the Essentials log, as CloudWatch gets it."""
    text = StringIO()
    handlers = [
        handler
        for essential in ESSENTIALS
        for handler in logging.getLogger(essential).handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    streams = [handler.setStream(text) for handler in handlers]
    yield text
    for handler, stream in zip(handlers, streams, strict=True):
        handler.setStream(stream)
