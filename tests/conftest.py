"""Fixtures of all tests: an environment that reaches no account, and two backends for one contract."""

from __future__ import annotations

import gc
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any
from unittest import mock

import boto3
import pytest
from botocore.hooks import EventAliaser
from botocore.loaders import JSONFileLoader, Loader
from botocore.useragent import UserAgentString
from moto import mock_aws
from moto.core.botocore_stubber import BotocoreStubber

from sosw_runtime import aws
from sosw_runtime.testing import create_tables
from tests.support import dynamodb_local as local
from tests.support.environment import NOBODYS, REGION, inherited
from tests.support.lambdas import FakeLambda
from tests.support.moto_speed import hurried

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

BACKENDS = ("moto", "dynamodb-local")


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Credentials of nobody, in place of whatever the machine has; clients of the runtime are made anew."""
    for variable in inherited():
        monkeypatch.delenv(variable)
    for variable, value in NOBODYS.items():
        monkeypatch.setenv(variable, value)
    aws.forget_clients()
    yield
    aws.forget_clients()


@pytest.fixture(scope="session", autouse=True)
def _botocore_finds_out_once() -> Iterator[None]:
    """Keep what botocore would find out anew for each client, and with each call: every test makes its clients anew."""
    read = cache(partial(JSONFileLoader.load_file, JSONFileLoader()))
    aliaser: Any = EventAliaser
    alias = cache(partial(aliaser._alias_event_name, aliaser(None)))
    list_services, services = Loader.list_available_services, dict[tuple[str, ...], Any]()

    def list_once(loader: Loader, type_name: str) -> Any:
        key = (type_name, *loader.search_paths)
        if key not in services:
            services[key] = list_services(loader, type_name)
        return services[key]

    with (
        mock.patch.object(JSONFileLoader, "load_file", lambda _, path: read(path)),
        mock.patch.object(Loader, "list_available_services", list_once),
        mock.patch.object(aliaser, "_alias_event_name", lambda _, name: alias(name)),
        mock.patch.object(UserAgentString, "to_string", return_value="tests"),
    ):
        yield


@pytest.fixture(scope="session", autouse=True)
def _garbage_is_collected_where_it_is() -> None:
    """Spare the collector what stays for the whole run, some hundred thousand objects, and let it look less often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session")
def dynamodb_local() -> Iterator[local.DynamoDBLocal]:
    """One DynamoDB Local for the whole run; skips the test where Java or Maven is missing."""
    if missing := local.missing_tools():
        pytest.skip(f"DynamoDB Local needs {' and '.join(missing)} on the PATH")
    with local.dynamodb_local(f"dynamodb-local-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}") as running:
        yield running


@pytest.fixture
def lambdas() -> Iterator[FakeLambda]:
    """Lambda's Invoke for every client made in the test."""
    with FakeLambda() as fake:
        yield fake


@pytest.fixture(params=BACKENDS)
def dynamodb(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, lambdas: FakeLambda
) -> Iterator[DynamoDBClient]:
    """DynamoDB on each backend, which clients made in the test reach too; other services but Lambda are moto's."""
    real, in_a_hurry = [], hurried(REGION) if request.param == "moto" else nullcontext()
    if request.param == "dynamodb-local":
        running: local.DynamoDBLocal = request.getfixturevalue("dynamodb_local")
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", running.endpoint)
        real.append(running.endpoint)
    config: Any = {"core": {"mock_credentials": False, "passthrough": {"urls": real, "services": ["lambda"]}}}
    with mock_aws(config=config), _one_call_at_a_time(), in_a_hurry:
        yield boto3.client("dynamodb")


@pytest.fixture
def name(dynamodb: DynamoDBClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an installation of its own, whose tables exist and which the Essentials' settings name."""
    name = f"sosw-{uuid.uuid4().hex[:8]}"
    create_tables(dynamodb, name)
    # The time of the tests is past: DynamoDB Local would delete within seconds what they keep for some days.
    for table in ("closed_tasks", "registry"):
        dynamodb.update_time_to_live(
            TableName=f"{name}_{table}", TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"}
        )
    monkeypatch.setenv("SOSW_NAME", name)
    yield name
    for table in dynamodb.list_tables()["TableNames"]:
        if table.startswith(f"{name}_"):
            dynamodb.delete_table(TableName=table)


@contextmanager
def _one_call_at_a_time() -> Iterator[None]:
    """Let moto serve one thread at a time: a transaction that fails there puts back what others wrote meanwhile."""
    lock, answer = threading.RLock(), BotocoreStubber.__call__

    def locked(self: BotocoreStubber, *arguments: Any, **more: Any) -> Any:
        with lock:
            return answer(self, *arguments, **more)

    with mock.patch.object(BotocoreStubber, "__call__", locked):
        yield
