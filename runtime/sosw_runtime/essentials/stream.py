"""Batches of the tasks table's stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sosw_runtime.domain.task import Task
from sosw_runtime.storage.items import to_tasks


def is_stream(event: Any) -> bool:
    """Whether an event is a batch of the tasks table's stream; anything else is the tick."""
    return isinstance(event, dict) and "Records" in event


def written_tasks(records: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
    """The tasks as a batch of the stream shows them after a write, without deleted ones."""
    images = (record.get("dynamodb", {}).get("NewImage") for record in records)
    return to_tasks(image for image in images if image is not None)
