"""The events that carry a job, and what a job may say."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sosw_runtime.domain.job import RESERVED_KEYS, Job, message_event, parse, records, worker_id_candidates
from sosw_runtime.errors import Refused

JOB: dict[str, Any] = {"worker": "resize", "period": "yesterday", "isolate_days": True, "bucket": "photos"}
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:resize"


@pytest.mark.parametrize(
    "event",
    [
        JOB,
        json.dumps(JOB),
        json.dumps(JOB).encode(),
        {"job": JOB},
        {"job": json.dumps(JOB)},
        json.dumps({"job": JOB}),
        json.dumps({"job": json.dumps(JOB)}),
        {"detail-type": "Nightly", "source": "shop", "detail": JOB},
        {"detail-type": "Nightly", "source": "shop", "detail": {"job": JOB}},
        {"detail-type": "Nightly", "source": "shop", "detail": {"job": json.dumps(JOB)}},
        {**JOB, "worker": None, "lambda_name": "resize"},
    ],
)
def test_every_form_of_event_carries_the_same_job(event: object) -> None:
    request = parse(event)

    assert request.job == Job.model_validate(JOB)
    assert request.job.worker == "resize"
    assert request.job.keys == {"bucket": "photos"}
    assert (request.event_id, request.event_time) == (None, None)


@pytest.mark.parametrize(
    "carrier",
    [{"job": JOB}, {"detail-type": "Nightly", "detail": JOB}, {"detail-type": "Nightly", "detail": {"job": JOB}}],
)
def test_an_event_s_id_and_time_come_along(carrier: dict[str, Any]) -> None:
    request = parse({"id": "7bf73129-1428-4cd3-a780-95db273d1602", "time": "2026-01-31T06:00:00Z", **carrier})

    assert request.event_id == "7bf73129-1428-4cd3-a780-95db273d1602"
    assert request.event_time == datetime(2026, 1, 31, 6, tzinfo=UTC)


def test_id_and_time_of_a_bare_job_are_its_own_keys() -> None:
    request = parse({"worker": "resize", "id": 7, "time": "noon"})

    assert request.event_id is None
    assert request.job.keys == {"id": 7, "time": "noon"}


@pytest.mark.parametrize("name", ["resize", "resize:live", ARN, f"{ARN}:live"])
def test_the_worker_is_kept_as_the_caller_names_it(name: str) -> None:
    assert parse({"lambda_name": name}).job.worker == name


@pytest.mark.parametrize(
    ("worker", "candidates"),
    [
        ("resize", ["resize"]),
        ("resize:live", ["resize:live", "resize"]),
        (ARN, [ARN, "resize"]),
        (f"{ARN}:live", [f"{ARN}:live", ARN, "resize"]),
        (
            "123456789012:function:resize:3",
            ["123456789012:function:resize:3", "123456789012:function:resize", "resize"],
        ),
        ("function", ["function"]),
    ],
)
def test_a_worker_may_be_registered_under_several_ids(worker: str, candidates: list[str]) -> None:
    assert worker_id_candidates(worker) == candidates


@pytest.mark.parametrize("event", [42, None, [], "{'worker': 'resize'}", "", "[]", b"\xff", '{"worker": NaN}'])
def test_an_event_that_is_no_object_is_refused(event: object) -> None:
    with pytest.raises(Refused, match="expected a JSON object") as refused:
        parse(event)
    assert refused.value.field == "event"


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"job": "not a job"}, "job"),
        ({"job": None}, "job"),
        ({"detail-type": "Nightly", "detail": None}, "detail"),
        ({"detail-type": "Nightly", "detail": {"job": 7}}, "job"),
        ({"job": JOB, "id": 7}, "id"),
        ({"job": JOB, "time": "noon"}, "time"),
        ({"job": {"bucket": "photos"}}, "worker"),
        ({"worker": ""}, "worker"),
        ({"worker": ":w"}, "worker"),
        ({"worker": f"{ARN.removesuffix('resize')}"}, "worker"),
        ({"worker": "w" * 257}, "worker"),
        ({"worker": 7}, "worker"),
        ({"worker": None}, "worker"),
        ({"worker": "resize", "lambda_name": "rotate"}, "lambda_name"),
        ({**JOB, "job_id": ""}, "job_id"),
        ({**JOB, "job_id": 7}, "job_id"),
        ({**JOB, "job_id": "x" * 257}, "job_id"),
        ({**JOB, "job_id": "album\n"}, "job_id"),
        ({"job": JOB, "id": "x" * 257}, "id"),
        ({**JOB, "job_schema_name": ["default"]}, "job_schema_name"),
        ({**JOB, "priority": 10}, "priority"),
        ({**JOB, "priority": -1}, "priority"),
        ({**JOB, "priority": "high"}, "priority"),
        ({**JOB, "priority": True}, "priority"),
        ({**JOB, "start_at": "tomorrow"}, "start_at"),
        ({**JOB, "start_at": -5}, "start_at"),
        ({**JOB, "start_at": True}, "start_at"),
        ({**JOB, "start_at": {}}, "start_at"),
        ({**JOB, "start_at": float("nan")}, "start_at"),
        ({**JOB, "start_at": 10**13}, "start_at"),
        ({**JOB, "start_at": 10**10}, "start_at"),
        ({**JOB, "start_at": "2286-11-20T17:46:40Z"}, "start_at"),
        ({**JOB, "start_at": "1969-12-31T23:59:59Z"}, "start_at"),
        ({**JOB, "time_zone": "Mars/Olympus"}, "time_zone"),
        ({**JOB, "period": 3}, "period"),
        ({**JOB, "isolate_days": "perhaps"}, "isolate_days"),
        ({"worker": "resize", "isolate_weeks": True}, "isolate_weeks"),
        ({"worker": "resize", "start_date": "2024-01-01"}, "end_date"),
        ({"worker": "resize", "end_date": "2024-01-01"}, "start_date"),
        ({"worker": "resize", "start_date": "2024-01-01", "end_date": "2023-12-31"}, "end_date"),
        ({"worker": "resize", "start_date": "01.01.2024", "end_date": "2024-01-02"}, "start_date"),
        ({"worker": "resize", "start_date": 1704067200, "end_date": "2024-01-02"}, "start_date"),
        ({"worker": "resize", "start_date": "2024-02-30", "end_date": "2024-03-02"}, "start_date"),
        ({**JOB, "start_date": "2024-01-01", "end_date": "2024-01-02"}, "period"),
        ({**JOB, "date_list": ["2024-01-01"]}, "date_list"),
    ],
)
def test_a_malformed_job_is_refused_by_the_field_s_own_name(event: object, field: str) -> None:
    with pytest.raises(Refused, match="; expected ") as refused:
        parse(event)
    assert refused.value.field == field


@pytest.mark.parametrize("key", sorted(RESERVED_KEYS - {"job_id"}))
def test_a_key_that_every_task_has_of_its_own_is_refused(key: str) -> None:
    with pytest.raises(Refused) as refused:
        parse({**JOB, key: "mine"})
    assert (refused.value.field, refused.value.value) == (key, "mine")


def test_a_job_that_an_older_version_accepted_goes_on_whatever_its_keys() -> None:
    assert Job.model_validate({**JOB, "sosw_token": "mine"}).keys["sosw_token"] == "mine"


def test_the_job_s_id_is_its_own_to_set() -> None:
    assert parse({**JOB, "job_id": "nightly-2024-05-15"}).job.job_id == "nightly-2024-05-15"


@pytest.mark.parametrize(
    "start_at",
    [
        1_800_000_000_000,
        1_800_000_000,
        1_800_000_000.0,
        "2027-01-15T08:00:00Z",
        "2027-01-15T09:00:00+01:00",
        "2027-01-15T08:00:00",
        "2027-01-15 08:00",
    ],
)
def test_a_start_is_milliseconds_however_it_is_written(start_at: object) -> None:
    assert parse({**JOB, "start_at": start_at}).job.start_at == 1_800_000_000_000


def test_a_start_without_a_zone_is_in_the_job_s_zone_or_else_the_setting_s() -> None:
    job = {**JOB, "start_at": "2027-01-15T09:00"}

    assert parse(job, zone="Europe/Berlin").job.start_at == 1_800_000_000_000
    assert parse({**job, "time_zone": "Europe/Berlin"}, zone="Asia/Tokyo").job.start_at == 1_800_000_000_000


def test_null_is_the_same_as_left_out() -> None:
    assert (
        parse({**JOB, **dict.fromkeys(["job_id", "priority", "start_at", "start_date", "isolate_weeks"])}).job
        == parse(JOB).job
    )


def test_a_job_survives_being_stored() -> None:
    job = parse(
        {
            **JOB,
            "period": None,
            "start_date": "2024-01-01",
            "end_date": "2024-01-31",
            "start_at": "2027-01-15T08:00:00Z",
            "time_zone": "Europe/Berlin",
            "keys": {"model_config": [1, None]},
            "_private": 1,
        }
    ).job

    assert Job.model_validate_json(job.model_dump_json()) == job
    assert parse(job.model_dump_json()).job == job
    assert job.keys == {"bucket": "photos", "keys": {"model_config": [1, None]}, "_private": 1}


def test_a_job_of_an_earlier_version_is_read_beyond_todays_limits() -> None:
    stored = {**JOB, "job_id": "album\n", "start_at": 10**15, "worker": "w" * 300}

    assert Job.model_validate(stored).start_at == 10**15


@pytest.mark.parametrize(
    ("calendar", "days"),
    [
        ({}, None),
        ({"date_list": "as the Worker reads it"}, None),
        ({"period": "last_2_days"}, ["2024-05-13", "2024-05-14"]),
        ({"start_date": "2024-02-28", "end_date": "2024-03-01"}, ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ({"start_date": "2024-05-15", "end_date": "2024-05-15"}, ["2024-05-15"]),
        ({"date_list": ["2024-01-02", "2024-01-01", "2024-01-02"], "isolate_days": True}, ["2024-01-02", "2024-01-01"]),
    ],
)
def test_the_days_of_a_job(calendar: dict[str, Any], days: list[str] | None) -> None:
    dates = parse({"worker": "resize", **calendar}).job.dates(date(2024, 5, 15))

    assert dates == (None if days is None else [date.fromisoformat(day) for day in days])


@pytest.mark.parametrize("date_list", [[], "2024-01-01", ["today"], [20240101], None])
def test_days_that_cannot_be_cut_are_refused(date_list: object) -> None:
    job = parse({"worker": "resize", "date_list": date_list, "isolate_days": True}).job

    with pytest.raises(Refused, match="date_list"):
        job.dates(date(2024, 5, 15))


SQS = {"messageId": "m-1", "eventSource": "aws:sqs"}
SENT = {"SentTimestamp": "1800000000000"}
SNS = {"MessageId": "m-2", "Timestamp": "2027-01-15T08:00:00.000Z"}
SENT_AT = datetime(2027, 1, 15, 8, tzinfo=UTC)
CRAWL = {"worker": "crawler", "period": "yesterday"}


@pytest.mark.parametrize(
    ("record", "event_id", "time"),
    [
        ({**SQS, "body": json.dumps(CRAWL)}, "m-1", None),
        ({**SQS, "body": json.dumps(CRAWL), "attributes": SENT}, "m-1", SENT_AT),
        ({**SQS, "body": json.dumps({"job": CRAWL}), "attributes": SENT}, "m-1", SENT_AT),
        ({**SQS, "body": json.dumps({"job": json.dumps(CRAWL), "id": None})}, "m-1", None),
        ({**SQS, "body": json.dumps({"job": CRAWL, "id": "e-1"}), "attributes": SENT}, "e-1", SENT_AT),
        ({**SQS, "body": json.dumps({"detail-type": "any", "detail": CRAWL, "id": "e-2"})}, "e-2", None),
        ({"Sns": {"MessageId": "m-2", "Message": json.dumps(CRAWL)}}, "m-2", None),
        ({"Sns": {**SNS, "Message": json.dumps(CRAWL)}}, "m-2", SENT_AT),
        (
            {"Sns": {**SNS, "Message": json.dumps({"job": CRAWL, "time": "2026-01-15"})}},
            "m-2",
            datetime(2026, 1, 15, tzinfo=UTC),
        ),
    ],
)
def test_a_message_carries_a_job_with_its_id_and_time_or_an_event(
    record: object, event_id: str, time: datetime | None
) -> None:
    batch = records({"Records": [record]})

    assert batch is not None
    [request] = map(parse, map(message_event, batch))
    assert (request.job.worker, request.event_id, request.event_time) == ("crawler", event_id, time)


def test_a_job_of_a_message_may_have_a_key_that_events_have() -> None:
    request = parse(message_event({**SQS, "body": json.dumps({**CRAWL, "detail": "fine"})}))

    assert (request.job.keys, request.event_id) == ({"detail": "fine"}, "m-1")


def test_an_event_without_records_is_no_batch() -> None:
    assert records(CRAWL) is None
    assert records({**CRAWL, "Records": [1, 2]}) is None


@pytest.mark.parametrize("record", [7, {}, {**SQS, "body": None}, {**SQS, "body": "no JSON"}, {"s3": {}}])
def test_a_record_that_is_no_message_with_a_job_is_refused(record: object) -> None:
    with pytest.raises(Refused, match=r"^(Records|message): "):
        message_event(record)
