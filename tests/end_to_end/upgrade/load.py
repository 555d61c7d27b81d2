"""Work without pause for an installation, and a look at it all the time."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from sosw_runtime.storage.items import decoded
from tests.end_to_end.conftest import Deployment, eventually

NAME = "sosw"

#: A Worker with fewer tasks in its queue is given a job of `NUMBERS` more.
LEAST_QUEUED = 8
NUMBERS = 16


@dataclass(frozen=True)
class Sample:
    """What one Worker's tasks do at one time."""

    step: str
    worker_id: str
    tasks: Mapping[str, int]  # by status
    slots: int  # occupied

    @property
    def is_busy(self) -> bool:
        """Whether some tasks are queued, some run and some wait for another try."""
        return all(self.tasks.get(status) for status in ("queued", "running", "waiting"))


class Load:
    """Keeps every Worker's queue filled while its `with` block lasts."""

    def __init__(self, deployment: Deployment, worker_ids: Sequence[str]) -> None:
        self.steps = ["the release before"]
        self.samples: list[Sample] = []
        self.jobs: dict[str, str] = {}  # the Worker of each job
        self.refused: list[str] = []
        self.error: Exception | None = None
        self._worker_ids = worker_ids
        self._lambda = deployment.client("lambda")
        self._dynamodb = deployment.client("dynamodb")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def begin(self, step: str) -> None:
        """Let what is seen from now on belong to another step."""
        self.steps.append(step)

    def wait_until_busy(self, seconds: float) -> None:
        """Wait until each Worker had tasks queued, running and waiting at one time within this step, or give up."""
        step = self.steps[-1]

        def busy_workers() -> set[str]:
            return {sample.worker_id for sample in self.samples if sample.step == step and sample.is_busy}

        eventually(lambda: self.error or busy_workers() == set(self._worker_ids), seconds)

    def is_over(self) -> bool:
        """Whether every job is closed and nothing is left of it but records."""
        jobs = [item for item in self.scan(f"{NAME}_registry") if item["pk"] == "job"]
        tables = (f"{NAME}_tasks", f"{NAME}_retry_tasks")
        return all("closed_at" in job for job in jobs) and not any(self.scan(table) for table in tables)

    def scan(self, table: str) -> list[dict[str, Any]]:
        """Every item of a table."""
        pages = self._dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return [decoded(item) for page in pages for item in page["Items"]]

    def _go_on(self) -> None:
        try:
            while not self._over.wait(0.3):
                for sample in self._look():
                    self.samples.append(sample)
                    if sample.tasks.get("queued", 0) < LEAST_QUEUED:
                        self._submit(sample.worker_id)
        except Exception as error:  # noqa: BLE001 - raised when the block ends
            self.error = error

    def _look(self) -> Iterator[Sample]:
        step = self.steps[-1]
        tasks = Counter((task["worker_id"], task["status"]) for task in self.scan(f"{NAME}_tasks"))
        tasks.update((task["worker_id"], "waiting") for task in self.scan(f"{NAME}_retry_tasks"))
        slots = Counter(item["pk"] for item in self.scan(f"{NAME}_registry"))
        for worker_id in self._worker_ids:
            own = {status: count for (worker, status), count in tasks.items() if worker == worker_id}
            yield Sample(step, worker_id, own, slots[f"slots#{worker_id}"])

    def _submit(self, worker_id: str) -> None:
        job_id = f"job-{len(self.jobs)}"
        self.jobs[job_id] = worker_id
        job = {"worker": worker_id, "job_id": job_id, "isolate_numbers": True, "numbers": list(range(NUMBERS))}
        answer = self._lambda.invoke(FunctionName=f"{NAME}_scheduler", Payload=json.dumps(job).encode())
        if "FunctionError" in answer:
            self.refused.append(f"{self.steps[-1]}: {answer['Payload'].read().decode()}")
