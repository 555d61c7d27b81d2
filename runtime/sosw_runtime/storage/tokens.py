"""Which Workers send the token of their attempts; `registry` reads it with all else that is known of a Worker."""

from __future__ import annotations

from sosw_runtime.storage.items import Item, encoded
from sosw_runtime.storage.tables import Deadline, Tables, write, write_by


def note_token_seen(tables: Tables, worker_id: str, deadline: Deadline) -> None:
    """Note that a report of a Worker carried its token: from now on each of its attempts asks for it.

    Cost: 1 write unit.

    Raises:
        Unavailable: it is noted, or not, or may still be.
    """
    write_by(deadline, lambda: tables.brief.put_item(TableName=tables.registry, Item=_key(worker_id)))


def forget_token_seen(tables: Tables, worker_id: str) -> None:
    """Ask no attempt of a Worker for its token until a report carries one again. Cost: 1 write unit."""
    write(lambda: tables.client.delete_item(TableName=tables.registry, Key=_key(worker_id)))


def _key(worker_id: str) -> Item:
    return encoded({"pk": "token_seen", "sk": worker_id})
