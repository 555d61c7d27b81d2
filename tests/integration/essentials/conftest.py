"""Fixtures of the Essentials' tests: an installation whose clock the test holds in its hands."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO
from typing import TYPE_CHECKING

import pytest

from sosw_runtime.essentials import invocation
from sosw_runtime.storage.tables import Tables
from tests.support.installation import Clock, Installation
from tests.support.rights import Rights

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """What the Essentials take for the time: noon."""
    clock = Clock()
    monkeypatch.setattr(invocation, "time", clock)
    return clock


@pytest.fixture
def sosw(dynamodb: DynamoDBClient, name: str, clock: Clock) -> Iterator[Installation]:
    """An installation with empty tables, whose Essentials must not call what their policies do not grant."""
    with Rights(name) as rights:
        yield Installation(Tables.by(dynamodb, name), clock, rights)
    assert rights.missing() == []


@pytest.fixture
def logs() -> Iterator[StringIO]:
    """All that the Essentials log, as CloudWatch gets it."""
    text = StringIO()
    handlers = [
        handler
        for essential in ("scheduler", "orchestrator", "scavenger", "worker_assistant")
        for handler in logging.getLogger(essential).handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    streams = [handler.setStream(text) for handler in handlers]
    yield text
    for handler, stream in zip(handlers, streams, strict=True):
        handler.setStream(stream)
