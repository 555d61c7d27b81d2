"""Counts what a process asks of AWS: calls, and the request units that DynamoDB says it consumed.

Imported beside sosw 0.7 as well, hence nothing but botocore.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.handlers import BUILTIN_HANDLERS
from tests.support.units import READS, WRITES, ask_for_units, consumed_units

if TYPE_CHECKING:
    from types import TracebackType

    from botocore.model import OperationModel

#: What a service other than DynamoDB answers, by `<service>.<Operation>`; with a key `Error` a failure.
Answers = Mapping[str, Mapping[str, Any]]


@dataclass
class Cost:
    """What a phase asked of AWS."""

    calls: float = 0
    write_units: float = 0
    read_units: float = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.calls + other.calls, self.write_units + other.write_units, self.read_units + other.read_units)

    def __truediv__(self, tasks: int) -> Cost:
        return Cost(self.calls / tasks, self.write_units / tasks, self.read_units / tasks)


class Meter(AbstractContextManager["Meter"]):
    """Counts by phase, for every AWS client that the process makes inside the `with` block.

    DynamoDB is reached; what any other service answers is given. Nothing is counted outside a phase.

    On a write whose condition failed DynamoDB names no units: it is counted as what an item of up to 1 KB costs. With
    `counts_misses` a read that finds nothing is counted as the least that a read costs; DynamoDB Local leaves it out:
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
    """

    def __init__(self, answers: Answers, *, counts_misses: bool = False) -> None:
        self.costs: dict[str, Cost] = defaultdict(Cost)
        #: Payloads of Lambda's Invoke since they were last taken, decoded.
        self.invoked: list[Any] = []
        self._answers = answers
        self._counts_misses = counts_misses
        self._phase: str | None = None
        self._lock = threading.Lock()
        self._asked = threading.local()  # the request of the thread's call
        # A default session made earlier would not have the handlers below.
        self._default_session = mock.patch("boto3.DEFAULT_SESSION", None)
        self._registrations: list[tuple[str, Callable[..., Any]]] = [
            *((f"provide-client-params.dynamodb.{operation}", ask_for_units) for operation in READS | WRITES),
            ("before-call", self._called),
            ("after-call.dynamodb", self._answered),
        ]

    def __enter__(self) -> Meter:
        BUILTIN_HANDLERS.extend(self._registrations)
        self._default_session.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._default_session.stop()
        for registration in self._registrations:
            BUILTIN_HANDLERS.remove(registration)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what is asked inside the block as part of `name`."""
        self._phase = name
        try:
            yield
        finally:
            self._phase = None

    def take_invoked(self) -> list[Any]:
        """The payloads of Lambda's Invoke since this was last called."""
        with self._lock:
            taken, self.invoked = self.invoked, []
        return taken

    def _called(
        self, *, model: OperationModel, params: Mapping[str, Any], **_: object
    ) -> tuple[AWSResponse, dict[str, Any]] | None:
        service = model.service_model.service_name
        with self._lock:
            if self._phase is not None:
                self.costs[self._phase].calls += 1
            if service == "lambda" and model.name == "Invoke":
                self.invoked.append(json.loads(params["body"]))
        if service in {"dynamodb", "dynamodbstreams"}:
            self._asked.request = json.loads(params["body"])
            return None
        answer = self._answers[f"{service}.{model.name}"]
        status = 400 if "Error" in answer else 200
        response = AWSResponse(params["url_path"], status, HTTPHeaders(), None)
        return response, {**answer, "ResponseMetadata": {"HTTPStatusCode": status}}

    def _answered(self, *, model: OperationModel, parsed: Mapping[str, Any], **_: object) -> None:
        if self._phase is None or model.name not in READS | WRITES:
            return
        units = consumed_units(model.name, parsed)
        if self._counts_misses:
            units += _of_misses(model.name, self._asked.request, parsed)
        if parsed.get("Error", {}).get("Code") == "ConditionalCheckFailedException":
            units = 1
        with self._lock:
            cost = self.costs[self._phase]
            if model.name in READS:
                cost.read_units += units
            else:
                cost.write_units += units


def _of_misses(operation: str, request: Mapping[str, Any], answer: Mapping[str, Any]) -> float:
    """The read units of what a call asked for and did not find."""
    if operation in {"Query", "Scan"} and answer.get("ScannedCount") == 0:
        return _least(request)
    if operation == "BatchGetItem":
        return sum(
            _least(wanted)
            * (
                len(wanted["Keys"])
                - len(answer["Responses"].get(table, ()))
                - len(answer["UnprocessedKeys"].get(table, {}).get("Keys", ()))
            )
            for table, wanted in request["RequestItems"].items()
            if "Responses" in answer
        )
    return 0


def _least(request: Mapping[str, Any]) -> float:
    return 1 if request.get("ConsistentRead") else 0.5
