"""Worlds on both backends, watched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.guarantees.invariants import Watch
from tests.support.lambdas import FakeLambda
from tests.support.world import World

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def world(dynamodb: DynamoDBClient, name: str, lambdas: FakeLambda, request: pytest.FixtureRequest) -> Iterator[World]:
    """An empty installation, on each backend, whose Essentials must not call what their policies do not grant."""
    in_memory = request.node.callspec.params["dynamodb"] == "moto"
    with World(dynamodb, name, lambdas, in_memory=in_memory) as world:
        yield world
    assert world.installation.rights.missing() == []


@pytest.fixture
def watch(world: World) -> Watch:
    """Whoever looks at every write of the world."""
    return Watch(world)
