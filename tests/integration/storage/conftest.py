"""Fixtures of the storage's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sosw_runtime.storage.tables import Tables
from tests.support.installation import Clock, Installation
from tests.support.rights import Rights

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def sosw(dynamodb: DynamoDBClient, name: str) -> Installation:
    """An installation with empty tables, at noon."""
    return Installation(Tables.by(dynamodb, name), Clock(), Rights(name))
