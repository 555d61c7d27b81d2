"""A plugin of pytest: `pytest_plugins = ["sosw_runtime.testing.fixtures"]` in the outermost `conftest.py`.

It needs pytest and `moto[dynamodb]`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from sosw_runtime.testing.tables import create_tables
from sosw_runtime.testing.tasks import FakeWorkerAssistant

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture
def sosw_tables(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    """The four tables of an installation on moto, in place of all of AWS; the client of DynamoDB that reaches them.

    The installation's name is `SOSW_NAME`, by default `sosw`.
    """
    if "AWS_DEFAULT_REGION" not in os.environ:
        monkeypatch.setenv("AWS_DEFAULT_REGION", os.environ.get("AWS_REGION", "us-east-1"))
    with mock_aws():
        client = boto3.client("dynamodb")
        create_tables(client, os.environ.get("SOSW_NAME") or "sosw")
        yield client


@pytest.fixture
def sosw_worker_assistant() -> Iterator[FakeWorkerAssistant]:
    """Takes the reports of Workers that a test calls, in place of the WorkerAssistant; `reports` has them."""
    with FakeWorkerAssistant() as assistant:
        yield assistant
