"""Registrations, health and controls of the Workers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pydantic import ValidationError

from sosw_runtime.domain.chunking import AS_STORED
from sosw_runtime.domain.dispatch import current_limit
from sosw_runtime.domain.health import Level, worst
from sosw_runtime.domain.job import worker_id_candidates
from sosw_runtime.domain.registration import Registration
from sosw_runtime.errors import Misconfigured
from sosw_runtime.storage.items import Item, decoded, encoded
from sosw_runtime.storage.tables import ConditionFailed, Tables, get_batches, registry_part, write

_SWEEP: Final = {"pk": "sweep", "sk": "tasks"}

#: Partition keys under which what is known of a Worker stands.
_PARTS: Final = ("worker", "health", "control")


@dataclass(frozen=True, slots=True)
class Control:
    """What people set by the command line."""

    paused: bool = False
    since: int | None = None  # ms
    reason: str | None = None
    by: str | None = None  # who paused it


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """All that the registry holds of one Worker."""

    worker_id: str
    registration: Registration | None  # None: there is a `problem`
    health: Mapping[str, Level]  # by metric, as last assessed
    control: Control
    shards: int = 1  # of its queue: the most that it ever had, so that a lowered number hides no task
    noted_shards: int = 0  # as the health item has it; 0: never noted
    marked_gone: bool = False  # the health item says that it was not registered any more, and nothing of it ran
    gets_token: bool = False  # whether its tasks' events bring the token of their attempt
    token_seen: bool = False  # whether a report of it ever carried one
    problem: Misconfigured | None = None  # why there is no registration, or it cannot be read
    is_registered: bool = True  # False: it is not any more

    @property
    def asks_for_token(self) -> bool:
        """Whether a report of its tasks must carry the token of the attempt.

        Lambda's records carry it with the event. A report by code does once the Worker's package is known to repeat it.
        """
        reports_by_lambda = self.registration is not None and self.registration.report_by == "destination"
        return self.gets_token and (self.token_seen or reports_by_lambda)

    @property
    def level(self) -> Level:
        """The level of its worst metric."""
        return worst(self.health)

    @property
    def current_limit(self) -> int:
        """How many of its tasks may run now; 0 without a registration."""
        if self.registration is None:
            return 0
        return current_limit(self.registration.max_concurrency, self.level, paused=self.control.paused)

    @property
    def is_gone(self) -> bool:
        """Whether no tick need look at it until it is registered again."""
        return self.marked_gone and not self.is_registered

    @property
    def valid_registration(self) -> Registration:
        """Its registration.

        Raises:
            Misconfigured: there is none, or it cannot be read.
        """
        if self.registration is None:
            raise self.problem or Misconfigured(f"Worker {self.worker_id!r} has no registration")
        return self.registration

    def with_health(self, health: Mapping[str, Level]) -> WorkerRecord:
        """With its health as of now."""
        return replace(self, health=health)

    def differs_from(self, noted: WorkerRecord) -> bool:
        """Whether the health item is to be written, since it says something else than this."""
        return (self.health, self.shards, False) != (noted.health, noted.noted_shards, noted.marked_gone)


def workers(tables: Tables) -> list[WorkerRecord]:
    """Every Worker that is registered or ever was. Cost: 0.5 read units per 4 KB of registrations, health, controls."""
    parts: dict[str, dict[str, Item]] = {
        pk: {item["sk"]["S"]: item for item in registry_part(tables, pk)} for pk in _PARTS
    }
    worker_ids = parts["worker"].keys() | parts["health"].keys()
    return [
        _worker(worker_id, {pk: found.get(worker_id) for pk, found in parts.items()})
        for worker_id in sorted(worker_ids)
    ]


def find_workers(tables: Tables, worker_ids: Iterable[str]) -> dict[str, WorkerRecord]:
    """Some Workers; a change of one may take a second to show. Cost: 0.5 read units for each of three items."""
    wanted = list(dict.fromkeys(worker_ids))
    keys = [encoded({"pk": pk, "sk": worker_id}) for worker_id in wanted for pk in _PARTS]
    found = {
        (item["pk"]["S"], item["sk"]["S"]): item
        for item in get_batches(tables, tables.registry, keys, consistent=False)
    }
    return {worker_id: _worker(worker_id, {pk: found.get((pk, worker_id)) for pk in _PARTS}) for worker_id in wanted}


def find_named(tables: Tables, named: str) -> WorkerRecord | None:
    """The registered Worker that a job names, by its id or its function's name or ARN. Cost: as `find_workers`."""
    candidates = worker_id_candidates(named)
    found = find_workers(tables, candidates)
    return next((found[worker_id] for worker_id in candidates if found[worker_id].is_registered), None)


def put_health(tables: Tables, worker: WorkerRecord) -> bool:
    """Note the level of each metric of a Worker, and the shards of its queue. Cost: 1 write unit.

    The shards only ever become more. A tick that began earlier, and saw fewer, notes nothing.
    """
    return _put_health(tables, worker)


def mark_gone(tables: Tables, worker: WorkerRecord) -> bool:
    """Have no tick look at a Worker until it is registered again, as nothing of it runs. Cost: 1 write unit.

    Its shards stay noted: what is queued in them is found again then.
    """
    return _put_health(tables, worker, gone=True)


def _put_health(tables: Tables, worker: WorkerRecord, *, gone: bool | None = None) -> bool:
    values = {"level": int(worker.level), "shards": worker.shards, "gone": gone}
    item = encoded({"pk": "health", "sk": worker.worker_id, **values})
    item["metrics"] = {"M": encoded({name: int(level) for name, level in worker.health.items()})}
    try:
        write(
            lambda: tables.client.put_item(
                TableName=tables.registry,
                Item=item,
                ConditionExpression="attribute_not_exists(shards) OR shards <= :shards",
                ExpressionAttributeValues=encoded({":shards": worker.shards}),
            )
        )
    except ConditionFailed:
        return False
    return True


def control(tables: Tables, worker_id: str) -> Control:
    """What people last set of a Worker. Cost: 1 read unit."""
    key = encoded({"pk": "control", "sk": worker_id})
    answer = tables.client.get_item(TableName=tables.registry, Key=key, ConsistentRead=True)
    return _control(answer.get("Item"))


def put_control(tables: Tables, worker_id: str, control: Control) -> None:
    """Pause a Worker, or let it go on. Cost: 1 write unit."""
    values = {"paused": control.paused, "since": control.since, "reason": control.reason, "paused_by": control.by}
    # Version 0.1.0 leaves `paused_by` as it was when it pauses. It counts only with the time for which it was written.
    values["paused_by_since"] = None if control.by is None else control.since
    # The item holds more than this: a change of it leaves the rest as it is.
    present = [f"{name} = :{name}" for name, value in values.items() if value is not None]
    absent = [name for name, value in values.items() if value is None]
    write(
        lambda: tables.client.update_item(
            TableName=tables.registry,
            Key=encoded({"pk": "control", "sk": worker_id}),
            UpdateExpression=" ".join(
                [f"SET {', '.join(present)}", *([f"REMOVE {', '.join(absent)}"] if absent else [])]
            ),
            ExpressionAttributeValues=encoded({f":{name}": value for name, value in values.items()}),
        )
    )


def sweep_position(tables: Tables) -> str | None:
    """The task after which the sweep goes on; None: at the beginning of the table."""
    answer = tables.client.get_item(TableName=tables.registry, Key=encoded(_SWEEP))
    return decoded(answer["Item"]).get("after") if "Item" in answer else None


def put_sweep_position(tables: Tables, after: str | None) -> None:
    """Note how far the sweep came. Cost: 1 write unit."""
    item = encoded({**_SWEEP, "after": after})
    write(lambda: tables.client.put_item(TableName=tables.registry, Item=item))


def put_registration(tables: Tables, registration: Registration, *, require_token: bool) -> None:
    """Register a Worker as Terraform does. Cost: 1 write unit per KB."""
    spec = registration.model_dump_json(exclude_defaults=True)
    # Beside the specification, which version 0.1.0 does not read with keys that it does not know.
    item = encoded({"pk": "worker", "sk": registration.worker_id, "spec": spec, "require_token": require_token})
    write(lambda: tables.client.put_item(TableName=tables.registry, Item=item))


def _worker(worker_id: str, parts: Mapping[str, Item | None]) -> WorkerRecord:
    health, control = parts["health"], parts["control"]
    metrics = {} if health is None else decoded(health["metrics"]["M"])
    noted_shards = 0 if health is None else int(health["shards"]["N"])
    registration = _registration(worker_id, parts["worker"])
    valid, problem = (None, registration) if isinstance(registration, Misconfigured) else (registration, None)
    return WorkerRecord(
        worker_id,
        valid,
        {name: Level(level) for name, level in metrics.items()},
        _control(control),
        max(noted_shards, 1 if valid is None else valid.queue_shards),
        noted_shards,
        marked_gone=health is not None and "gone" in health,
        gets_token=parts["worker"] is not None and parts["worker"].get("require_token") == {"BOOL": True},
        token_seen=control is not None and "token_seen" in control,
        problem=problem,
        is_registered=parts["worker"] is not None,
    )


def _control(item: Item | None) -> Control:
    values = {} if item is None else decoded(item)
    since = values.get("since")
    by = values.get("paused_by") if values.get("paused_by_since") == since else None
    return Control(values.get("paused", False), since, values.get("reason"), by)


def _registration(worker_id: str, item: Item | None) -> Registration | Misconfigured:
    if item is None:
        return Misconfigured(f"Worker {worker_id!r} is not registered any more; apply its worker module")
    try:
        # Keys that a later version added are left out, so that its Workers go on after a roll-back.
        registration = Registration.model_validate_json(item["spec"]["S"], extra="ignore", context=AS_STORED)
    except (KeyError, ValidationError) as error:
        return Misconfigured(f"the registration of Worker {worker_id!r} cannot be read: {error}")
    if registration.worker_id != worker_id:
        return Misconfigured(f"the registration of Worker {worker_id!r} names itself {registration.worker_id!r}")
    return registration
