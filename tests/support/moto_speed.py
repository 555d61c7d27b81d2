"""moto's DynamoDB, asked directly: signatures and the way through its HTTP layer take most of a call's time.

It keeps no records of its streams, which nobody reads: each of its transactions would copy all of them.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from botocore import xform_name
from botocore.auth import SigV4Auth
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models.table import StreamShard
from moto.dynamodb.parsing.ast_nodes import DepthFirstTraverser, Node  # type: ignore[attr-defined]  # not in its stubs
from moto.dynamodb.responses import DynamoHandler

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSRequest

_OPERATIONS: Final = frozenset(
    {
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "TransactWriteItems",
        "UpdateItem",
    }
)


@contextmanager
def hurried(region: str) -> Iterator[None]:
    """Answer calls for items by moto's own operations; what they refuse, moto shapes as it always does."""
    process = BotocoreStubber.process_request

    def process_request(self: BotocoreStubber, request: AWSPreparedRequest) -> Any:
        target: Any = request.headers.get("X-Amz-Target", b"")
        version, _, operation = (target.decode() if isinstance(target, bytes) else target).partition(".")
        if not version.startswith("DynamoDB_") or operation not in _OPERATIONS:
            return process(self, request)
        handler = DynamoHandler()
        handler.region, handler.current_account = region, DEFAULT_ACCOUNT_ID
        assert isinstance(request.body, bytes)
        handler.body, handler.response_headers = json.loads(str(request.body, "utf-8")), {}
        try:
            result = getattr(handler, xform_name(operation))().result
        except Exception:  # noqa: BLE001 - asked again on the long way, it refuses again
            return process(self, request)
        return 200, {}, json.dumps(result, default=_text).encode()

    with (
        mock.patch.object(BotocoreStubber, "process_request", process_request),
        mock.patch.object(SigV4Auth, "add_auth", _name_region),
        mock.patch.object(StreamShard, "add"),
        mock.patch.object(DepthFirstTraverser, "traverse_node_recursively", _traverse),
    ):
        yield


def _traverse(self: Any, node: Any, child_id: int = -1) -> Any:
    """As moto's own, which asks each node of an expression for one abstract class after the other, slowly."""
    kinds = type(node).__mro__
    if Node not in kinds:
        return node
    parent = node.parent
    for number, child in enumerate(node.children or ()):
        self.pre_processing_of_child(node, number)
        _traverse(self, child, number)
    for kind, process in _processors(self).items():
        if kind in kinds:
            node = process(node)
            node.parent = parent
            if parent:
                parent.children[child_id] = node
            break
    return node


def _processors(traverser: Any) -> dict[type, Callable[[Any], Any]]:
    known: dict[type, Callable[[Any], Any]] | None = traverser.__dict__.get("_processors")
    if known is None:
        known = traverser.__dict__["_processors"] = traverser._processing_map()
    return known


def _name_region(auth: Any, request: AWSRequest) -> None:
    """In place of a signature: of it moto reads nothing but where a request goes."""
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential=test/20260101/{auth._region_name}/{auth._service_name}/aws4_request"
    )


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
