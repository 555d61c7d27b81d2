"""Which Workers send the token of their attempts; `registry` reads it with all else that is known of a Worker."""

from __future__ import annotations

from sosw_runtime.storage.items import encoded
from sosw_runtime.storage.tables import Tables, write


def note_token_seen(tables: Tables, worker_id: str) -> None:
    """Note that a report of a Worker carried its token: from now on each of its attempts asks for it.

    Cost: 1 write unit.
    """
    item = encoded({"pk": "token_seen", "sk": worker_id})
    write(lambda: tables.client.put_item(TableName=tables.registry, Item=item))
