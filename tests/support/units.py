"""The request units of a call, as DynamoDB says what it consumed.

Imported beside sosw 0.7 as well, hence nothing but the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

READS: Final = frozenset({"BatchGetItem", "GetItem", "Query", "Scan", "TransactGetItems"})
WRITES: Final = frozenset({"BatchWriteItem", "DeleteItem", "PutItem", "TransactWriteItems", "UpdateItem"})


def ask_for_units(*, params: dict[str, Any], **_: object) -> None:
    """A handler of botocore's `provide-client-params`: have the answer say what was consumed, index by index."""
    params["ReturnConsumedCapacity"] = "INDEXES"


def consumed_units(operation: str, answer: Mapping[str, Any]) -> float:
    """What a call consumed, for an answer that was asked for it.

    DynamoDB Local counts writes to a global index inside a transaction twice. AWS makes them after the transaction, and
    they are counted once here: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
    """
    consumed = answer.get("ConsumedCapacity") or []
    return sum(_of_table(operation, table) for table in (consumed if isinstance(consumed, list) else [consumed]))


def _of_table(operation: str, consumed: Mapping[str, Any]) -> float:
    def of(kind: str) -> float:
        return float(sum(part["CapacityUnits"] for part in consumed.get(kind, {}).values()))

    propagated = of("GlobalSecondaryIndexes") * (0.5 if operation == "TransactWriteItems" else 1)
    units: float = consumed["Table"]["CapacityUnits"] + of("LocalSecondaryIndexes") + propagated
    return units
