"""A stand-in for Lambda's Invoke, and for the context that Lambda hands to a handler."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.handlers import BUILTIN_HANDLERS

from tests.support.responses import response

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest

Handler = Callable[[Any], Any]
Refusal = Literal[
    "ResourceNotFoundException", "AccessDeniedException", "TooManyRequestsException", "RequestTooLargeException"
]

_STATUS: dict[Refusal, int] = {
    "ResourceNotFoundException": 404,
    "AccessDeniedException": 403,
    "TooManyRequestsException": 429,
    "RequestTooLargeException": 413,
}


@dataclass(frozen=True)
class Invocation:
    """One request to invoke a function."""

    #: Name or ARN, as the caller gave it.
    function: str
    #: `Event` or `RequestResponse`.
    kind: str
    #: The decoded payload.
    event: Any
    #: Whether Lambda took it, whatever the caller saw.
    accepted: bool


class FakeLambda(AbstractContextManager["FakeLambda"]):
    """Lambda's Invoke for every AWS client that the process makes inside the `with` block.

    An `Event` is answered 202 and goes no further: `invocations` has it. A `RequestResponse` is answered by the handler
    that was given for its function. Functions are told apart by the name or ARN that the caller uses. Each way to fail
    stays until `accept`, or for the next `times` requests.
    """

    def __init__(self) -> None:
        self.invocations: list[Invocation] = []
        self._handlers: dict[str, Handler] = {}
        self._configurations: dict[str, Mapping[str, str] | Refusal] = {}
        self._faults: dict[str, Iterator[_Fault]] = {}
        self._lock = threading.Lock()
        # A default session made earlier would not have the handler below.
        self._default_session = mock.patch("boto3.DEFAULT_SESSION", None)
        self._registration = ("before-send.lambda", self._send)

    def __enter__(self) -> FakeLambda:
        BUILTIN_HANDLERS.append(self._registration)
        self._default_session.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._default_session.stop()
        BUILTIN_HANDLERS.remove(self._registration)

    @property
    def accepted(self) -> list[Invocation]:
        """What Lambda took, in the order in which it came."""
        return [invocation for invocation in self.invocations if invocation.accepted]

    def answer(self, function: str, handler: Handler) -> None:
        """Answer `RequestResponse` with what `handler` makes of the event; what it raises is a function error."""
        self._handlers[function] = handler

    def configure(self, function: str, variables: Mapping[str, str] | Refusal) -> None:
        """Answer `GetFunctionConfiguration` with these variables of the environment, or refuse it."""
        self._configurations[function] = variables

    def refuse(self, function: str, refusal: Refusal, *, times: int | None = None) -> None:
        """Answer with an error of Lambda's."""
        self._fail(function, _Fault(refusal=refusal), times)

    def time_out(self, function: str, *, acts: bool, times: int | None = None) -> None:
        """Let the caller see a read time-out, after Lambda took the request (`acts`) or before."""
        self._fail(function, _Fault(acts=acts), times)

    def accept(self, function: str) -> None:
        """Stop failing."""
        self._faults.pop(function, None)

    def _fail(self, function: str, fault: _Fault, times: int | None) -> None:
        self._faults[function] = iter(lambda: fault, None) if times is None else iter([fault] * times)

    def _send(self, event_name: str, request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        operation = event_name.rpartition(".")[2]
        if operation not in {"Invoke", "GetFunctionConfiguration"}:
            raise NotImplementedError(
                f"{event_name}: this stand-in for Lambda has Invoke only, and the configurations that a test gives it"
            )
        function = unquote(urlsplit(request.url).path.split("/")[3])
        if operation == "GetFunctionConfiguration":
            return self._configuration(request, function)
        header: Any = request.headers["X-Amz-Invocation-Type"] or "RequestResponse"
        kind = header.decode() if isinstance(header, bytes) else header
        event = json.loads(request.body) if isinstance(request.body, str | bytes) and request.body else None
        with self._lock:
            fault = next(self._faults.get(function, iter(())), None)
            accepted = fault is None or fault.acts
            self.invocations.append(Invocation(function, kind, event, accepted))
        if fault is not None and fault.refusal is not None:
            return _response(
                request, _STATUS[fault.refusal], {"Message": f"{fault.refusal}: {function}"}, fault.refusal
            )
        answer = self._act(request, function, kind, event) if accepted else None
        if answer is None or fault is not None:
            raise ReadTimeoutError(endpoint_url=request.url)
        return answer

    def _configuration(self, request: AWSPreparedRequest, function: str) -> AWSResponse:
        match self._configurations.get(function, "ResourceNotFoundException"):
            case Mapping() as variables:
                return _response(request, 200, {"FunctionName": function, "Environment": {"Variables": variables}})
            case refusal:
                return _response(request, _STATUS[refusal], {"Message": f"{refusal}: {function}"}, refusal)

    def _act(self, request: AWSPreparedRequest, function: str, kind: str, event: Any) -> AWSResponse:
        if kind == "Event":
            return _response(request, 202, None)
        handler = self._handlers.get(function)
        if handler is None:
            missing: Refusal = "ResourceNotFoundException"
            return _response(request, _STATUS[missing], {"Message": f"Function not found: {function}"}, missing)
        try:
            return _response(request, 200, handler(event))
        except Exception as error:  # noqa: BLE001 - as Lambda does, whatever a function raises becomes its answer
            answer = {"errorType": type(error).__name__, "errorMessage": str(error)}
            function_error = _response(request, 200, answer)
            function_error.headers["X-Amz-Function-Error"] = "Unhandled"
            return function_error


@dataclass(frozen=True)
class _Fault:
    refusal: Refusal | None = None
    acts: bool = False


def _response(request: AWSPreparedRequest, status: int, answer: Any, refusal: Refusal | None = None) -> AWSResponse:
    return response(request, status, b"" if status == 202 else json.dumps(answer).encode(), refusal)


@dataclass
class FakeContext:
    """The context of one invocation, as far as handlers read it."""

    function_name: str = "function"
    #: Milliseconds until Lambda stops the function; tests lower it to make time short.
    remaining_millis: int = 300_000
    memory_limit_in_mb: int = 256
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def invoked_function_arn(self) -> str:
        """The ARN of `function_name`."""
        return f"arn:aws:lambda:eu-west-1:123456789012:function:{self.function_name}"

    def get_remaining_time_in_millis(self) -> int:
        """As Lambda's own; it does not fall by itself."""
        return self.remaining_millis
