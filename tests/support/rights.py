"""What an Essential calls in a story, held against what the policies of the root module grant it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import mock

from botocore.handlers import BUILTIN_HANDLERS

from tests.support.hcl import parsed

#: An action of IAM, and what of the installation it acts on: `tasks`, `tasks/index/queue`, `function`, `rejected_jobs`.
Right = tuple[str, str]

#: The Essential at work in this thread; None: people.
_acting: ContextVar[str | None] = ContextVar("acting", default=None)

_POLICIES: Final = Path(__file__).parents[2] / "policies.tf"

#: A transaction takes the rights of its parts.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
_PARTS: Final = {
    "Put": "PutItem",
    "Delete": "DeleteItem",
    "Update": "UpdateItem",
    "ConditionCheck": "ConditionCheckItem",
}


@cache
def granted(essential: str) -> frozenset[Right]:
    """What the policy of an Essential grants, but for the rights of its event source."""
    [document] = [
        block["aws_iam_policy_document"][essential]
        for block in parsed(_POLICIES)["data"]
        if essential in block.get("aws_iam_policy_document", {})
    ]
    return frozenset(
        (action, _subject(resource))
        for statement in document["statement"]
        if isinstance(statement["actions"], list)
        for action in statement["actions"]
        for resource in statement["resources"]
    )


class Rights(AbstractContextManager["Rights"]):
    """Notes what each Essential calls by the clients that the process makes inside the `with` block."""

    def __init__(self, name: str) -> None:
        self.used: dict[str, set[Right]] = {}
        self._name = name
        self._registration = ("provide-client-params", self._note)
        self._pools = mock.patch("sosw_runtime.essentials.parallel.ThreadPoolExecutor", _Pool)

    def __enter__(self) -> Rights:
        BUILTIN_HANDLERS.append(self._registration)
        self._pools.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pools.stop()
        BUILTIN_HANDLERS.remove(self._registration)

    @contextmanager
    def of(self, essential: str) -> Iterator[None]:
        """Note the calls in this block as the Essential's."""
        before = _acting.set(essential)
        try:
            yield
        finally:
            _acting.reset(before)

    def missing(self) -> list[str]:
        """What an Essential called without a right to, a line each."""
        return [
            f"the {essential} calls {action} on {subject}, which its policy does not grant"
            for essential, used in self.used.items()
            for action, subject in sorted(used - granted(essential))
        ]

    def _note(self, params: Any, model: Any, **_: Any) -> None:
        essential = _acting.get()
        if essential is not None:
            rights = self._rights(model.service_model.service_name, model.name, params)
            self.used.setdefault(essential, set()).update(rights)

    def _rights(self, service: str, operation: str, params: dict[str, Any]) -> Iterator[Right]:
        match service, operation:
            case "dynamodb", "TransactWriteItems":
                for write in params["TransactItems"]:
                    ((kind, part),) = write.items()
                    yield f"dynamodb:{_PARTS[kind]}", self._table(part["TableName"])
            case "dynamodb", "BatchGetItem" | "BatchWriteItem":
                for table in params["RequestItems"]:
                    yield f"dynamodb:{operation}", self._table(table)
            case "dynamodb", _:
                index = f"/index/{params['IndexName']}" if "IndexName" in params else ""
                yield f"dynamodb:{operation}", self._table(params["TableName"]) + index
            case "lambda", "Invoke":
                # Workers grant their invocation themselves, by their function's own policy.
                if params["FunctionName"].startswith(f"{self._name}_"):
                    yield "lambda:InvokeFunction", "function"
            case "sns", "Publish":
                yield "sns:Publish", "topic"
            case "sqs", _:
                # Whoever lets Lambda read another queue grants what it takes.
                if params["QueueUrl"].endswith(f"/{self._name}_rejected_jobs"):
                    yield f"sqs:{operation}", "rejected_jobs"
            case _:
                yield f"{service}:{operation}", "*"

    def _table(self, name: str) -> str:
        return name.removeprefix(f"{self._name}_")


class _Pool(ThreadPoolExecutor):
    """Its threads act for the Essential that began it."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads, initializer=_acting.set, initargs=(_acting.get(),))


def _subject(resource: str) -> str:
    """What a policy's resource is, in the words of `Right`."""
    if "table_arns." in resource:
        return resource.split("table_arns.", 1)[1].replace("}", "")
    return next((word for word in ("topic", "function", "rejected_jobs") if word in resource), resource)
