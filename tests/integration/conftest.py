"""The installation that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.installation import Installation
from tests.support.lambdas import FakeLambda

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def sosw(dynamodb: DynamoDBClient, name: str, lambdas: FakeLambda) -> Iterator[Installation]:
    """An installation with empty tables, at noon, whose Essentials must not call what their policies do not grant."""
    with Installation(dynamodb, name, lambdas) as sosw:
        yield sosw
    assert sosw.rights.missing() == []
