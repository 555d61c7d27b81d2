"""What queries and scans show that are not consistent: those of indexes, slots and jobs."""

from __future__ import annotations

import json
import random
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tests.support.clock import Clock
from tests.support.faults import Call
from tests.support.snapshots import Snapshot

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest

#: The most by which reads may lag, in ms: more than the minute between two ticks.
LONGEST_LAG: Final = 120_000


class Replicas:
    """Any of what stood of late, drawn for each read; the draws are the same in each story."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.lag = 0  # ms by which reads may be behind
        self._name = name
        self._clock = clock
        self._now = Snapshot()
        self._past: deque[tuple[int, Snapshot]] = deque()  # what stood, and until when
        self._random = random.Random(0)

    def start(self, now: Snapshot) -> None:
        """Start over with what stands now, without a lag."""
        self.lag = 0
        self._now = now
        self._past.clear()
        self._random.seed(0)

    def keep(self, before: Snapshot, now: Snapshot) -> None:
        """A write was made: what stood until now, and what stands."""
        self._now = now
        self._past.append((self._clock.now, before))
        while self._past[0][0] <= self._clock.now - LONGEST_LAG:
            self._past.popleft()

    def answer(self, call: Call, request: AWSPreparedRequest) -> dict[str, Any] | None:
        """What a read shows that lags. None: what stands.

        What the registry holds of a Worker never lags here, nor do GetItem and BatchGetItem.
        """
        if not self.lag or call.operation not in {"Query", "Scan"}:
            return None
        assert isinstance(request.body, bytes)
        asked = json.loads(request.body)
        if asked.get("ConsistentRead"):
            return None
        shown = [snapshot for until, snapshot in self._past if until > self._clock.now - self.lag]
        rows = self._random.choice([*shown, self._now])[asked["TableName"].removeprefix(f"{self._name}_")].values()
        if call.operation == "Scan":
            # The sweep, the only one.
            return {"Items": [row for row in rows if row["status"] != {"S": "queued"}]}
        partition, _, placeholder = asked["KeyConditionExpression"].partition(" = ")
        wanted = asked["ExpressionAttributeValues"][placeholder]
        if wanted["S"] in {"worker", "health", "control"}:
            return None
        sort = {"queue": "queue_rank", "outbox": "closed_at", None: "sk"}[asked.get("IndexName")]
        found = sorted(
            (row for row in rows if row.get(partition) == wanted), key=lambda row: next(iter(row[sort].values()))
        )
        return {"Items": found}
