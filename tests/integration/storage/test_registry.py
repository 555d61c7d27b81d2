"""The registry: what Terraform, people and the Orchestrator say of a Worker, each in an item of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sosw_runtime.domain.health import Level
from sosw_runtime.domain.registration import Registration
from sosw_runtime.errors import Misconfigured
from sosw_runtime.storage import registry, tokens
from sosw_runtime.storage.items import encoded
from sosw_runtime.storage.registry import Control, WorkerRecord
from sosw_runtime.testing import register_worker
from tests.support.builders import NOON, ONE_TRY, registration
from tests.support.installation import Installation

HEALTH = {"database": Level.LOW, "disk": Level.HIGH}


def noted(sosw: Installation, **inputs: Any) -> WorkerRecord:
    """A registered Worker whose health and shards were noted."""
    sosw.register(**inputs)
    [found] = registry.workers(sosw.tables)
    registry.put_health(sosw.tables, found.with_health(HEALTH))
    [found] = registry.workers(sosw.tables)
    return found


def test_a_worker_stands_as_all_of_its_items_say(sosw: Installation) -> None:
    noted(sosw, labels={"team": "media"}, retry={"max_attempts": 5})
    control = Control(paused=True, since=NOON, reason="migration")
    registry.put_control(sosw.tables, "resize", control)
    sosw.register("crop")
    crop, resize = registry.workers(sosw.tables)
    assert registry.find_workers(sosw.tables, ["resize", "crop", "resize"]) == {"resize": resize, "crop": crop}
    assert resize.valid_registration == registration(labels={"team": "media"}, retry={"max_attempts": 5})
    assert (resize.health, resize.level, resize.control) == (HEALTH, Level.LOW, control)
    assert (crop.health, crop.level, crop.control) == ({}, Level.HIGH, Control())


def test_an_apply_changes_neither_health_nor_pause(sosw: Installation) -> None:
    noted(sosw)
    registry.put_control(sosw.tables, "resize", Control(paused=True))
    sosw.register(max_concurrency=50)
    [found] = registry.workers(sosw.tables)
    assert (found.valid_registration.max_concurrency, found.level, found.control.paused) == (50, Level.LOW, True)


def test_what_is_noted_is_news_only_when_it_changed(sosw: Installation) -> None:
    sosw.register(queue_shards=2)
    [found] = registry.workers(sosw.tables)
    assert found.differs_from(found), "the shards were never noted"
    registry.put_health(sosw.tables, found)
    [found] = registry.workers(sosw.tables)
    assert not found.differs_from(found)
    assert found.with_health({"database": Level.BAD}).differs_from(found)


def test_an_older_tick_does_not_take_back_shards(sosw: Installation) -> None:
    sosw.register(queue_shards=1)
    [older] = registry.workers(sosw.tables)
    sosw.register(queue_shards=8)
    [newer] = registry.workers(sosw.tables)
    assert registry.put_health(sosw.tables, newer)
    assert not registry.put_health(sosw.tables, older.with_health(HEALTH))
    assert not registry.mark_gone(sosw.tables, older)
    sosw.register(queue_shards=1)
    [found] = registry.workers(sosw.tables)
    assert (found.shards, found.health) == (8, {})


def test_a_worker_is_gone_until_it_is_registered_again(sosw: Installation) -> None:
    noted(sosw, queue_shards=8)
    sosw.client.delete_item(TableName=sosw.tables.registry, Key=encoded({"pk": "worker", "sk": "resize"}))
    [found] = registry.workers(sosw.tables)
    assert not found.is_gone
    assert registry.mark_gone(sosw.tables, found)
    [found] = registry.workers(sosw.tables)
    assert found.is_gone
    assert (found.shards, found.health) == (8, HEALTH)

    sosw.register(queue_shards=1)
    [found] = registry.workers(sosw.tables)
    assert not found.is_gone
    assert found.differs_from(found)
    assert registry.put_health(sosw.tables, found)
    [found] = registry.workers(sosw.tables)
    assert (found.shards, found.health, found.marked_gone) == (8, HEALTH, False)
    assert not found.differs_from(found)


def test_lowered_shards_are_remembered(sosw: Installation) -> None:
    assert noted(sosw, queue_shards=8).shards == 8
    assert noted(sosw, queue_shards=2).shards == 8
    assert noted(sosw, queue_shards=9).shards == 9


def test_a_worker_that_is_gone_is_still_known_by_its_health(sosw: Installation) -> None:
    noted(sosw)
    sosw.client.delete_item(TableName=sosw.tables.registry, Key=encoded({"pk": "worker", "sk": "resize"}))
    [found] = registry.workers(sosw.tables)
    assert found.registration is None
    with pytest.raises(Misconfigured, match="'resize' is not registered any more"):
        _ = found.valid_registration


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (None, "spec"),
        ("{not JSON", "JSON"),
        ('{"worker_id": "resize", "function_name": "resize", "timeout_seconds": 0, "max_concurrency": 1}', "timeout"),
        ('{"worker_id": "crop", "function_name": "crop", "timeout_seconds": 9, "max_concurrency": 1}', "names itself"),
    ],
)
def test_a_registration_that_cannot_be_read_says_why_when_it_is_needed(
    sosw: Installation, spec: str | None, reason: str
) -> None:
    item = encoded({"pk": "worker", "sk": "resize", "spec": spec})
    sosw.client.put_item(TableName=sosw.tables.registry, Item=item)
    [found] = registry.workers(sosw.tables)
    with pytest.raises(Misconfigured, match=f"(?s)'resize'.*{reason}"):
        _ = found.valid_registration


def test_what_a_later_version_added_to_a_registration_is_left_out(sosw: Installation) -> None:
    """Beside the specification and in it, at any depth: after a roll-back the Worker goes on."""
    given = registration(job_schemas={"default": {"chunkable_attrs": ["store"]}}, retry={"max_attempts": 5})
    spec = given.model_dump(mode="json")
    for part in (spec, spec["retry"], spec["job_schemas"]["default"]):
        part["mood"] = "new"
    item = encoded({"pk": "worker", "sk": "resize", "spec": json.dumps(spec), "mood": "new"})
    sosw.client.put_item(TableName=sosw.tables.registry, Item=item)
    [found] = registry.workers(sosw.tables)
    assert found.valid_registration == given


def test_whether_reports_need_a_token_stands_beside_the_specification(sosw: Installation) -> None:
    """Version 0.1.0 registers Workers without a word on it, and reads no specification that has a key more."""
    spec = registration().model_dump_json(exclude_defaults=True)
    for require_token in (True, False, None):
        item = encoded({"pk": "worker", "sk": "resize", "spec": spec, "require_token": require_token})
        sosw.client.put_item(TableName=sosw.tables.registry, Item=item)
        [found] = registry.workers(sosw.tables)
        assert found == registry.find_workers(sosw.tables, ["resize"])["resize"]
        assert found.gets_token is bool(require_token)
        if require_token is not None:
            sosw.register(require_token=require_token, token_seen=False)
            assert registry.workers(sosw.tables) == [found]


def test_a_token_is_asked_for_once_a_report_carried_one(sosw: Installation) -> None:
    for require_token in (True, False):
        sosw.register("resize", require_token=require_token, token_seen=False)
        [found] = registry.workers(sosw.tables)
        assert not found.asks_for_token
    tokens.record_token_seen(sosw.tables, "resize", ONE_TRY)
    for require_token in (True, False):
        sosw.register("resize", require_token=require_token, token_seen=False)
        [found] = registry.workers(sosw.tables)
        assert found == registry.find_workers(sosw.tables, ["resize"])["resize"]
        assert found.asks_for_token is require_token
    tokens.forget_token_seen(sosw.tables, "resize")
    for report_by in ("code", "destination"):
        sosw.register("resize", token_seen=False, report_by=report_by)
        [found] = registry.workers(sosw.tables)
        assert found.asks_for_token is (report_by == "destination"), "Lambda's records carry it with the event"


def test_a_pause_and_a_token_seen_stand_side_by_side(sosw: Installation) -> None:
    sosw.register("resize", token_seen=False)
    paused = Control(paused=True, since=NOON, reason="migration")
    registry.put_control(sosw.tables, "resize", paused)
    tokens.record_token_seen(sosw.tables, "resize", ONE_TRY)
    [found] = registry.workers(sosw.tables)
    assert (found.control, found.asks_for_token) == (paused, True)
    registry.put_control(sosw.tables, "resize", Control())
    [found] = registry.workers(sosw.tables)
    assert (found.control, found.asks_for_token) == (Control(), True)
    registry.put_control(sosw.tables, "resize", paused)
    for _ in range(2):
        tokens.forget_token_seen(sosw.tables, "resize")
        [found] = registry.workers(sosw.tables)
        assert (found.control, found.asks_for_token) == (paused, False)


def test_a_registration_is_stored_and_read_whole(sosw: Installation) -> None:
    given = registration(
        queue_shards=4,
        report_by="destination",
        job_schemas={"default": {"chunkable_attrs": [["section", {}], "store"]}},
        health_metrics={"db": {"namespace": "AWS/RDS", "metric_name": "CPU", "levels": {"4": 40.5, "1": 90}}},
    )
    assert isinstance(register_worker(sosw.client, sosw.tables.name, given), Registration)
    assert registry.find_workers(sosw.tables, ["resize"])["resize"].valid_registration == given


def test_the_sweep_goes_on_where_it_was(sosw: Installation) -> None:
    assert registry.sweep_position(sosw.tables) is None
    registry.put_sweep_position(sosw.tables, "task-7")
    assert registry.sweep_position(sosw.tables) == "task-7"
    registry.put_sweep_position(sosw.tables, None)
    assert registry.sweep_position(sosw.tables) is None


def test_more_workers_than_a_call_reads_are_known(sosw: Installation) -> None:
    ids = [f"worker-{number:03d}" for number in range(60)]
    for worker_id in ids:
        sosw.register(worker_id)
    assert [found.worker_id for found in registry.workers(sosw.tables)] == ids
    assert len(registry.find_workers(sosw.tables, ids)) == 60
