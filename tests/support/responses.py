"""Responses of AWS, as botocore reads them."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest


def response(request: AWSPreparedRequest, status: int, body: bytes, error: str | None = None) -> AWSResponse:
    """The answer to a request; `error` is AWS's code of it."""
    headers = HTTPHeaders()
    headers["x-amzn-RequestId"] = str(uuid.uuid4())
    if error is not None:
        headers["x-amzn-ErrorType"] = error
    return AWSResponse(request.url, status, headers, _Raw(body))


class _Raw(io.BytesIO):
    """What botocore reads of an HTTP response."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self.read()
