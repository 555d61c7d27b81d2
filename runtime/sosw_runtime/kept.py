"""What is kept of a result or of stats, the same for a Worker that sends them and for the WorkerAssistant."""

from __future__ import annotations

import json
from typing import Final

#: Bytes of JSON, so that the task stays within DynamoDB's 400 KB an item.
LARGEST_VALUE: Final = 16 * 1024


def to_json(value: object) -> str:
    """As it is kept."""
    return json.dumps(value, separators=(",", ":"))


def too_large(text: str) -> dict[str, int] | None:
    """What is kept in place of JSON that is too large, its size; None of all else."""
    size = len(text.encode())
    return {"dropped_bytes": size, "largest_bytes": LARGEST_VALUE} if size > LARGEST_VALUE else None
