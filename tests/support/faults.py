"""Faults at the AWS clients: what a network, a busy service or the end of a process makes of any call."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectTimeoutError, ReadTimeoutError
from botocore.hooks import first_non_none_response

from tests.support.responses import response
from tests.support.units import WRITES

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.client import BaseClient

_BATCHES: Final = frozenset({"BatchWriteItem", "BatchGetItem"})


class Stop(BaseException):
    """The process ends here; nothing catches it."""


class Fault(Enum):
    """What becomes of a call. `_ONCE`: of its first try; what the client tries again goes through."""

    REFUSED = "fails before it acts"
    REFUSED_ONCE = "fails before it acts, once"
    LOST = "acts, then fails"
    LOST_ONCE = "acts, then fails, once"
    TIMED_OUT = "acts, and the caller sees a time-out"
    TIMED_OUT_ONCE = "acts, and the caller sees a time-out, once"
    UNREACHED = "is never sent"
    STOP_BEFORE = "is not made, the process ends"
    STOP_AFTER = "acts, then the process ends"
    THROTTLED = "is throttled"
    THROTTLED_ONCE = "is throttled, once"
    CONFLICT = "conflicts with a transaction"
    CONFLICT_ONCE = "conflicts with a transaction, once"
    SENT_BACK = "is half sent back, ever again"
    SENT_BACK_ONCE = "is half sent back, once"
    HALF = "acts by half, then fails"
    OVERTAKEN = "is overtaken before it acts"
    LOST_OVERTAKEN = "acts, is overtaken, and the caller sees a time-out, once"
    LATE = "acts after its caller gave up"

    @property
    def every_try(self) -> bool:
        """Whether each try of a call meets it."""
        return self not in _FIRST_TRY_ONLY

    def fits(self, call: Call) -> bool:
        """Whether this could befall a call, and does something else to it than another fault."""
        return self not in _FITTING or _FITTING[self](call)


#: Over with the first try: the same client tries again.
PASSING: Final = (
    Fault.REFUSED_ONCE,
    Fault.LOST_ONCE,
    Fault.TIMED_OUT_ONCE,
    Fault.THROTTLED_ONCE,
    Fault.CONFLICT_ONCE,
    Fault.SENT_BACK_ONCE,
)
_FIRST_TRY_ONLY: Final = frozenset({*PASSING, Fault.OVERTAKEN, Fault.LOST_OVERTAKEN})


@dataclass(frozen=True)
class Call:
    """One call of the runtime to AWS, with all its tries."""

    number: int  # from 0, since the faults were armed
    service: str
    operation: str

    def __str__(self) -> str:
        return f"{self.number}:{self.operation}"


def _acts(call: Call) -> bool:
    return call.operation in WRITES or call.service != "dynamodb"


_FITTING: Final[dict[Fault, Callable[[Call], bool]]] = {
    **dict.fromkeys((Fault.LOST, Fault.LOST_ONCE, Fault.TIMED_OUT, Fault.TIMED_OUT_ONCE), _acts),
    **dict.fromkeys((Fault.STOP_AFTER, Fault.LOST_OVERTAKEN, Fault.LATE), _acts),
    # DynamoDB's other calls meet these as they meet a refusal.
    Fault.UNREACHED: lambda call: call.service != "dynamodb" or call.operation == "BatchWriteItem",
    Fault.THROTTLED: _acts,
    Fault.CONFLICT: lambda call: call.operation == "TransactWriteItems",
    Fault.CONFLICT_ONCE: lambda call: call.operation in WRITES - _BATCHES,
    **dict.fromkeys((Fault.SENT_BACK, Fault.SENT_BACK_ONCE), lambda call: call.operation in _BATCHES),
    Fault.HALF: lambda call: call.operation == "BatchWriteItem",
}


Plan = Callable[[Call], Fault | None]
Sender = Callable[[str, "AWSPreparedRequest"], AWSResponse]


def nothing(call: Call) -> None:
    """The plan of a calm day."""


@dataclass
class Faults(AbstractContextManager["Faults"]):
    """Stands between the runtime's AWS clients and AWS; waiting costs no time but the simulated clock's."""

    wait: Callable[[int], None]  # lets that many ms go by
    after: Callable[[Call, AWSPreparedRequest], None] = lambda call, request: None  # a call acted
    meanwhile: Callable[[], None] = lambda: None  # what others do while a call is overtaken
    gate: Callable[[Call], None] = lambda call: None  # holds a thread until its call may go out
    #: What a read shows that lags; None: what stands.
    outdated: Callable[[Call, AWSPreparedRequest], dict[str, Any] | None] = lambda call, request: None
    plan: Plan = nothing
    calls: list[Call] = field(default_factory=list)
    injected: list[tuple[Call, Fault]] = field(default_factory=list)
    late: list[Callable[[], AWSResponse]] = field(default_factory=list)
    #: DynamoDB carries a transaction out once a token; whether the backend has to be helped with it.
    remembers_tokens: bool = False
    answered: dict[str | None, bytes] = field(default_factory=dict)

    _patches: list[Any] = field(default_factory=list)
    _thread: threading.local = field(default_factory=threading.local)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Faults:
        def sleep(seconds: float) -> None:
            self.wait(round(seconds * 1000))

        patient = SimpleNamespace(sleep=sleep)
        self._patches = [
            mock.patch("botocore.endpoint.time", patient),
            mock.patch("tenacity.nap.time", patient),
            # Tries are given by how often a fault strikes, not by how many struck before.
            mock.patch("botocore.retries.quota.RetryQuota.acquire", return_value=True),
        ]
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        for patch in self._patches:
            patch.stop()

    def watch(self, client: BaseClient) -> None:
        """Stand before a client, for as long as it lives.

        A handler of `before-send` would not do: botocore asks all of them, so that moto acts whatever another answers.
        """
        endpoint: Any = client._endpoint  # type: ignore[attr-defined]  # nothing public lies between tries and sending
        events = endpoint._event_emitter

        def send(event_name: str, request: AWSPreparedRequest) -> AWSResponse:
            answer: AWSResponse | None = first_non_none_response(events.emit(event_name, request=request))
            return endpoint.http_session.send(request) if answer is None else answer

        endpoint._event_emitter = _Seam(events, partial(self._send, client.meta.config, send))
        service = client.meta.service_model.service_id.hyphenize()
        client.meta.events.register(f"before-call.{service}", self._begin)

    @contextmanager
    def armed(self, plan: Plan) -> Iterator[None]:
        """Follow a plan, with calls counted from 0."""
        before = self.plan, self.calls
        self.plan, self.calls = plan, []
        try:
            yield
        finally:
            self.plan, self.calls = before

    def deliver_late(self) -> None:
        """Let what is still on its way act."""
        while self.late:
            self.late.pop(0)()

    # --- hooks of botocore -----------------------------------------------------------------------------------------

    def _begin(self, model: Any, **_: Any) -> None:
        """A call begins: its fault, if any, is drawn."""
        with self._lock:
            call = Call(len(self.calls), model.service_model.service_id.hyphenize(), model.name)
            self.calls.append(call)
        fault = self.plan(call)
        if fault is not None and not fault.fits(call):
            fault = None
        if fault is not None:
            self.injected.append((call, fault))
        self._thread.call, self._thread.fault, self._thread.tries = call, fault, 0

    def _send(self, config: Any, send: Sender, event_name: str, request: AWSPreparedRequest) -> AWSResponse:
        """One try of a call."""
        state = self._thread
        fault: Fault | None = state.fault
        state.tries += 1
        attempt = _Try(self, config, send, event_name, request, state.call)
        self.gate(state.call)
        if fault is None or (state.tries > 1 and not fault.every_try):
            return attempt.act()
        return _EFFECTS[fault](attempt)

    def overtake(self) -> None:
        """Others act while this thread's call is under way; their own calls meet no fault, and are not the caller's."""
        state, before = self._thread, dict(self._thread.__dict__)
        try:
            with self.armed(nothing):
                Context().run(self.meanwhile)
        finally:
            state.__dict__.clear()
            state.__dict__.update(before)


@dataclass
class _Try:
    """One try of a call, and what may become of it."""

    faults: Faults
    config: Any  # of the client: how long it waits
    send: Sender
    event_name: str
    request: AWSPreparedRequest
    call: Call

    @property
    def body(self) -> Any:
        """What is asked of DynamoDB."""
        return json.loads(str(self.request.body, "utf-8") if isinstance(self.request.body, bytes) else "{}")

    @property
    def token(self) -> str | None:
        """By which DynamoDB knows a transaction again."""
        token: str | None = self.body["ClientRequestToken"] if self.call.operation == "TransactWriteItems" else None
        return token

    def act(self) -> AWSResponse:
        """AWS has the request."""
        if self.faults.remembers_tokens and self.token in self.faults.answered:
            return response(self.request, 200, self.faults.answered[self.token])
        outdated = self.faults.outdated(self.call, self.request)
        if outdated is not None:
            return response(self.request, 200, json.dumps(outdated).encode())
        answer = self.send(self.event_name, self.request)
        if answer.status_code < 300:
            if self.token is not None:
                self.faults.answered[self.token] = answer.content
            self.faults.after(self.call, self.request)
        return answer

    def fail(self) -> AWSResponse:
        """AWS gives out."""
        return _error(self, 500, "InternalServerError")

    def throttle(self) -> AWSResponse:
        """AWS has too much to do."""
        if self.call.operation == "TransactWriteItems":
            return self._cancelled("ThrottlingError")
        return _error(self, 400, _THROTTLED.get(self.call.service, "ThrottlingException"))

    def conflict(self) -> AWSResponse:
        """A transaction on the same item is under way."""
        if self.call.operation != "TransactWriteItems":
            return _error(self, 400, "TransactionConflictException")
        return self._cancelled("TransactionConflict")

    def _cancelled(self, reason: str) -> AWSResponse:
        others = [{"Code": "None"}] * (len(self.body["TransactItems"]) - 1)
        reasons = [{"Code": reason, "Message": "injected"}, *others]
        return _error(self, 400, "TransactionCanceledException", {"CancellationReasons": reasons})

    def time_out(self) -> AWSResponse:
        """No answer comes."""
        self.faults.wait(1000 * self.config.read_timeout)
        raise ReadTimeoutError(endpoint_url=self.request.url)

    def miss(self) -> AWSResponse:
        """No connection comes about."""
        self.faults.wait(1000 * self.config.connect_timeout)
        raise ConnectTimeoutError(endpoint_url=self.request.url)

    def stop(self) -> AWSResponse:
        """The process ends."""
        raise Stop

    def come_late(self) -> AWSResponse:
        """AWS has the request when nobody waits for the answer any more."""
        self.faults.late.append(self.act)
        return self.time_out()

    def overtake(self) -> None:
        """Others act first."""
        self.faults.overtake()

    def act_by_half(self) -> AWSResponse:
        """AWS does the first half of a batch and sends back the rest."""
        whole, body = self.request.body, self.body
        [(table, wanted)] = body["RequestItems"].items()

        def part(keys: list[Any]) -> Any:
            return {table: keys if isinstance(wanted, list) else {**wanted, "Keys": keys}}

        keys = wanted if isinstance(wanted, list) else wanted["Keys"]
        taken, left = keys[: len(keys) // 2], keys[len(keys) // 2 :]
        answer: dict[str, Any] = {"Responses": {table: []}}
        if taken:
            self.request.body = json.dumps({**body, "RequestItems": part(taken)}).encode()
            try:
                answer = json.loads(self.act().content)
            finally:
                self.request.body = whole
        name = "UnprocessedItems" if isinstance(wanted, list) else "UnprocessedKeys"
        return response(self.request, 200, json.dumps({**answer, name: part(left)}).encode())


def _one_after_the_other(*steps: Callable[[_Try], object]) -> Callable[[_Try], AWSResponse]:
    """Steps, the last of which answers."""

    def all_steps(attempt: _Try) -> AWSResponse:
        answers = [step(attempt) for step in steps]
        assert isinstance(answers[-1], AWSResponse)
        return answers[-1]

    return all_steps


_EFFECTS: Final[dict[Fault, Callable[[_Try], AWSResponse]]] = {
    **dict.fromkeys((Fault.REFUSED, Fault.REFUSED_ONCE), _Try.fail),
    **dict.fromkeys((Fault.LOST, Fault.LOST_ONCE), _one_after_the_other(_Try.act, _Try.fail)),
    **dict.fromkeys((Fault.TIMED_OUT, Fault.TIMED_OUT_ONCE), _one_after_the_other(_Try.act, _Try.time_out)),
    Fault.UNREACHED: _Try.miss,
    Fault.STOP_BEFORE: _Try.stop,
    Fault.STOP_AFTER: _one_after_the_other(_Try.act, _Try.stop),
    **dict.fromkeys((Fault.THROTTLED, Fault.THROTTLED_ONCE), _Try.throttle),
    **dict.fromkeys((Fault.CONFLICT, Fault.CONFLICT_ONCE), _Try.conflict),
    **dict.fromkeys((Fault.SENT_BACK, Fault.SENT_BACK_ONCE), _Try.act_by_half),
    Fault.HALF: _one_after_the_other(_Try.act_by_half, _Try.fail),
    Fault.OVERTAKEN: _one_after_the_other(_Try.overtake, _Try.act),
    Fault.LOST_OVERTAKEN: _one_after_the_other(_Try.act, _Try.overtake, _Try.time_out),
    Fault.LATE: _Try.come_late,
}


class _Seam:
    """An endpoint's events, but what is about to be sent goes to the faults."""

    def __init__(self, events: Any, send: Sender) -> None:
        self._events = events
        self._send = send

    def emit(self, event_name: str, **arguments: Any) -> Any:
        """As botocore's."""
        if event_name.startswith("before-send."):
            return [(self._send, self._send(event_name, arguments["request"]))]
        return self._events.emit(event_name, **arguments)


_THROTTLED: Final = {"lambda": "TooManyRequestsException", "dynamodb": "ProvisionedThroughputExceededException"}


def _error(attempt: _Try, status: int, code: str, more: dict[str, Any] | None = None) -> AWSResponse:
    if attempt.call.service == "sns":
        text = f"<ErrorResponse><Error><Code>{code}</Code><Message>injected</Message></Error></ErrorResponse>"
        return response(attempt.request, status, text.encode())
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "injected", **(more or {})}
    return response(attempt.request, status, json.dumps(body).encode(), code)
