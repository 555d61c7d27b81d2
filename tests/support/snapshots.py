"""The tables of an installation as they stand at one moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID as ACCOUNT_ID

from sosw_runtime.storage.items import Item, decoded
from tests.support.environment import REGION
from tests.support.installation import TABLES, Installation

Rows = dict[str, Item]  # items by key
Snapshot = dict[str, Rows]  # rows by table

_KEYS: Final = {
    "tasks": ("task_id",),
    "retry_tasks": ("worker_id", "due"),
    "closed_tasks": ("task_id",),
    "registry": ("pk", "sk"),
}


class Camera:
    """Takes snapshots; of moto's tables (`in_memory`) past its HTTP layer, which takes longer than all else."""

    def __init__(self, installation: Installation, *, in_memory: bool) -> None:
        self._installation = installation
        self._in_memory = in_memory

    def take(self, tables: Iterable[str] = TABLES) -> Snapshot:
        """Some tables as they stand."""
        read = self._in_memory_of_moto if self._in_memory else self._installation.rows
        return {table: {"/".join(_key(table, item)): item for item in read(table)} for table in tables}

    def clear(self) -> None:
        """Empty all tables."""
        for table in TABLES:
            if self._in_memory:
                self._table_of_moto(table).items.clear()
            else:
                self._delete(table)

    def _delete(self, table: str) -> None:
        installation = self._installation
        for item in installation.rows(table):
            key = {name: item[name] for name in _KEYS[table]}
            installation.client.delete_item(TableName=f"{installation.name}_{table}", Key=key)

    def _in_memory_of_moto(self, table: str) -> Iterator[Item]:
        found = self._table_of_moto(table)
        for value in found.items.values():
            for item in value.values() if found.has_range_key else [value]:
                yield {name: attribute.to_regular_json() for name, attribute in item.attrs.items()}

    def _table_of_moto(self, table: str) -> Any:
        return get_backend("dynamodb")[ACCOUNT_ID][REGION].tables[f"{self._installation.name}_{table}"]


def _key(table: str, item: Item) -> Iterator[str]:
    return (item[name]["S"] for name in _KEYS[table])


def states(snapshot: Snapshot) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Every task's places: table and item, by id."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for table in ("tasks", "retry_tasks", "closed_tasks"):
        for item in snapshot[table].values():
            values = decoded(item)
            found.setdefault(values["task_id"], []).append((table, values))
    return found
