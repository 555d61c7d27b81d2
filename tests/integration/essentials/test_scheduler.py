"""The Scheduler: every job becomes its tasks, whole or not at all, and once however often it is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sosw_runtime import aws
from sosw_runtime.domain import pacing
from sosw_runtime.domain.job import RESERVED_KEYS
from sosw_runtime.domain.task import Move, Status
from sosw_runtime.errors import JobInterrupted, Misconfigured, Refused, Unavailable
from sosw_runtime.essentials import scheduler
from sosw_runtime.storage import jobs, moves, progress
from sosw_runtime.storage.items import encoded
from sosw_runtime.storage.jobs import Cursor
from sosw_runtime.storage.progress import Counts
from tests.support.builders import DAY, HOUR, MINUTE, NOON, SECOND, job_record
from tests.support.installation import Installation
from tests.support.lambdas import FakeContext, FakeLambda

PHOTO = {"worker": "resize", "photo": "cat.jpg"}

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:resize"


# --- a job becomes tasks ----------------------------------------------------------------------------------------------


FORMS: dict[str, Any] = {
    "under job": {"job": PHOTO},
    "under job, as JSON": {"job": json.dumps(PHOTO)},
    "bare": PHOTO,
    "bare, as JSON": json.dumps(PHOTO),
    "by the name that sosw 0.7 uses": {"job": {"lambda_name": "resize", "photo": "cat.jpg"}},
    "by the ARN of the Worker's alias": {"job": {**PHOTO, "worker": f"{ARN}:live"}},
    "EventBridge's own": {"id": "e-1", "time": "2026-03-10T12:00:00Z", "detail-type": "photo", "detail": PHOTO},
}


def test_a_job_is_understood_in_every_form(sosw: Installation) -> None:
    sosw.register()
    for form, event in FORMS.items():
        answer = sosw.submit(event)
        assert answer == {"job_id": answer["job_id"], "tasks": 1, "first_start": NOON}, form
        [task] = [task for task in sosw.all_tasks() if task.job_id == answer["job_id"]]
        assert (task.status, task.worker_id) == (Status.QUEUED, "resize"), form
        assert json.loads(task.payload) == {"photo": "cat.jpg"}, form
        assert [entry.move for entry in task.history] == [Move.ENQUEUE], form


@pytest.mark.parametrize("form", FORMS)
def test_a_dry_run_gets_the_answer_and_writes_nothing(sosw: Installation, form: str) -> None:
    sosw.register()
    before = sosw.everything()

    answer = sosw.submit({"dry_run": FORMS[form]})

    assert answer == {"job_id": answer["job_id"], "tasks": 1, "first_start": NOON}
    assert sosw.everything() == before


def test_a_dry_run_is_refused_as_the_job_would_be(sosw: Installation) -> None:
    sosw.register()
    sosw.submit({**PHOTO, "job_id": "album"})
    sosw.clock.advance(HOUR)

    assert sosw.submit({"dry_run": {**PHOTO, "job_id": "album"}})["first_start"] == NOON
    with pytest.raises(Refused, match="job_id: 'album' is refused; another job has it"):
        sosw.submit({"dry_run": {"worker": "resize", "job_id": "album"}})
    with pytest.raises(Refused, match="no such Worker is registered"):
        sosw.submit({"dry_run": {"worker": "resise"}})


def test_an_older_scheduler_refuses_the_form_of_a_dry_run(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 0.1.0 reads it as a job, as this version without the form does."""
    sosw.register()
    monkeypatch.setattr(scheduler, "_is_dry_run", lambda _: False)

    with pytest.raises(Refused, match="worker: None is refused"):
        sosw.submit({"dry_run": {"job": PHOTO}})


@pytest.mark.parametrize("event", [{"worker": "resize", "dry_run": True}, {"job": {**PHOTO, "dry_run": {}}}])
def test_dry_run_beside_other_keys_is_a_key_of_the_job(sosw: Installation, event: dict[str, Any]) -> None:
    sosw.register()

    sosw.submit(event)

    assert "dry_run" in json.loads(sosw.task().payload)


def test_each_job_of_a_batch_is_taken_although_another_is_refused(sosw: Installation) -> None:
    sosw.register()
    bodies = {"m-1": '{"worker": "nobody"}', "m-2": '{"worker": "resize"}'}
    batch = {"Records": [{"messageId": message_id, "body": body} for message_id, body in bodies.items()]}
    for _ in range(2):
        with pytest.raises(Refused, match="worker: 'nobody' is refused"):
            sosw.submit(batch)

    assert [task.job_id for task in sosw.all_tasks()] == ["m-2"]
    assert sosw.submit({"Records": batch["Records"][1:]})["jobs"][0]["job_id"] == "m-2"


def test_the_days_of_a_job_are_cut_into_tasks_in_their_order(sosw: Installation) -> None:
    sosw.register()
    answer = sosw.submit({"job": {"worker": "resize", "period": "last_3_days", "isolate_days": True, "size": "small"}})
    assert answer["tasks"] == 3
    assert [json.loads(task.payload) for task in sosw.all_tasks()] == [
        {"date_list": [day], "size": "small"} for day in ("2026-03-07", "2026-03-08", "2026-03-09")
    ]


def test_the_attributes_of_a_job_are_cut_by_the_workers_schema(sosw: Installation) -> None:
    sosw.register(job_schemas={"default": {"chunkable_attrs": ["section", "store"]}})
    sosw.submit({"job": {"worker": "resize", "isolate_stores": True, "sections": {"shoes": {"stores": [1, 2]}}}})
    assert [json.loads(task.payload) for task in sosw.all_tasks()] == [
        {"sections": ["shoes"], "stores": [1]},
        {"sections": ["shoes"], "stores": [2]},
    ]


def test_more_tasks_than_fit_a_batch_are_all_queued(sosw: Installation) -> None:
    sosw.register()
    sosw.submit_photos(60)
    assert [task.number for task in sosw.with_status(Status.QUEUED)] == list(range(60))


def test_a_job_that_starts_later_waits_and_is_queued_when_its_time_comes(sosw: Installation) -> None:
    sosw.register()
    answer = sosw.submit({"job": {**PHOTO, "start_at": "2026-03-10T13:00:00Z"}})
    assert answer["first_start"] == NOON + HOUR
    task = sosw.task()
    assert (task.status, task.due_at, task.history[-1].move) == (Status.WAITING, NOON + HOUR, Move.DELAY)

    sosw.clock.advance(HOUR - 1)
    sosw.tick_scavenger()
    assert sosw.task().status is Status.WAITING
    sosw.clock.advance(1)
    sosw.tick_scavenger()
    assert sosw.task().status is Status.QUEUED


def test_a_start_that_is_past_is_now(sosw: Installation) -> None:
    sosw.register()
    assert sosw.submit({"job": {**PHOTO, "start_at": "2026-03-10T11:59:59Z"}})["first_start"] == NOON
    assert sosw.task().status is Status.QUEUED


def test_a_higher_priority_starts_first(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register(max_concurrency=1)
    for priority in (0, 9, 5):
        sosw.submit({"job": {**PHOTO, "priority": priority, "said": priority}})
    started = []
    for _ in range(3):
        sosw.tick_orchestrator()
        [task] = sosw.with_status(Status.RUNNING)
        started.append(json.loads(task.payload)["said"])
        sosw.complete(task)
        sosw.wake_scavenger(*sosw.with_status(Status.COMPLETED))
        sosw.clock.advance(MINUTE)
        sosw.tick_scavenger()
    assert started == [9, 5, 0]


def test_the_events_own_time_decides_what_yesterday_is(sosw: Installation) -> None:
    """An event that is delivered after midnight means the day on which it was sent."""
    sosw.register()
    sosw.clock.advance(HOUR * 13)
    event = {"id": "e-1", "time": "2026-03-10T23:59:00Z", "job": {"worker": "resize", "period": "yesterday"}}
    sosw.submit(event)
    assert json.loads(sosw.task().payload) == {"date_list": ["2026-03-09"]}


def test_today_is_of_the_jobs_time_zone_or_else_of_the_installations(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.register()
    sosw.clock.advance(4 * HOUR)
    for setting, job_zone, today in [
        ("UTC", None, "2026-03-10"),
        ("Asia/Tokyo", None, "2026-03-11"),
        ("Asia/Tokyo", "UTC", "2026-03-10"),
    ]:
        monkeypatch.setenv("SOSW_TIMEZONE", setting)
        answer = sosw.submit({"job": {"worker": "resize", "period": "today", "time_zone": job_zone}})
        [task] = [task for task in sosw.all_tasks() if task.job_id == answer["job_id"]]
        assert json.loads(task.payload) == {"date_list": [today]}, (setting, job_zone)


def test_a_business_key_may_be_called_resume(sosw: Installation) -> None:
    sosw.register()
    sosw.submit({"worker": "resize", "resume": "anna.pdf"})
    assert json.loads(sosw.task().payload) == {"resume": "anna.pdf"}


# --- a job is refused whole -------------------------------------------------------------------------------------------


def nested(depth: int) -> object:
    """Lists in lists."""
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


BAD_JOBS: dict[str, tuple[Any, str]] = {
    "no JSON": ("resize", "event"),
    "no object": ({"job": ["resize"]}, "job"),
    "no object as JSON": ({"job": "[1]"}, "job"),
    "no worker": ({"job": {"photo": 1}}, "worker"),
    "a worker that is no text": ({"job": {"worker": 7}}, "worker"),
    "an unknown worker": ({"job": {"worker": "crop"}}, "worker"),
    "an unknown period": ({"job": {**PHOTO, "period": "today_foo"}}, "period"),
    "the end before the start": ({"job": {**PHOTO, "start_date": "2026-03-02", "end_date": "2026-03-01"}}, "end_date"),
    "no end": ({"job": {**PHOTO, "start_date": "2026-03-02"}}, "end_date"),
    "no day": ({"job": {**PHOTO, "start_date": "2026-02-30", "end_date": "2026-03-01"}}, "start_date"),
    "an unknown time zone": ({"job": {**PHOTO, "time_zone": "Mars/Olympus"}}, "time_zone"),
    "an unreadable start": ({"job": {**PHOTO, "start_at": "soon"}}, "start_at"),
    "a priority out of range": ({"job": {**PHOTO, "priority": 10}}, "priority"),
    "an unknown schema": ({"job": {**PHOTO, "job_schema_name": "weekly"}}, "job_schema_name"),
    "a flag without its values": ({"job": {**PHOTO, "isolate_stores": True}}, "isolate_stores"),
    **{f"the reserved key {key}": ({"job": {**PHOTO, key: "mine"}}, key) for key in sorted(RESERVED_KEYS - {"job_id"})},
    "a payload over 350 KB": ({"job": {**PHOTO, "pixels": "x" * 351 * 1024}}, "payload of task 0"),
    "a payload over 350 KB in bytes, not in characters": (
        {"job": {**PHOTO, "p": "ü" * 180 * 1024}},
        "payload of task 0",
    ),
    "a number that JSON has not": ({"job": {**PHOTO, "ratio": float("inf")}}, "payload of task 0"),
    "half a character": ({"job": {**PHOTO, "caption": "\ud83d"}}, "caption"),
    "half a character in a key": ({"job": {**PHOTO, "\ud83d": 1}}, "\\ud83d"),
    "what nests too deep": ({"job": {**PHOTO, "caption": nested(101)}}, "caption"),
    "what nests deeper than Python can print": ({"job": {**PHOTO, "caption": nested(5000)}}, "caption"),
    "a start that keys cannot tell": ({"job": {**PHOTO, "start_at": "2300-01-01T00:00:00Z"}}, "start_at"),
    "a start in microseconds": ({"job": {**PHOTO, "start_at": NOON * 1000}}, "start_at"),
    "a start of 400 digits": ({"job": {**PHOTO, "start_at": 10**400}}, "start_at"),
    "a start before 1970": ({"job": {**PHOTO, "start_at": "0001-01-01T00:00:00+14:00"}}, "start_at"),
    "a time that is no day anywhere": ({"job": PHOTO, "time": "9999-12-31T23:59:59-14:00"}, "time"),
    "a priority that is no number": ({"job": {**PHOTO, "priority": True}}, "priority"),
    "a priority of 5,000 digits": ({"job": {**PHOTO, "priority": 10**5000}}, "priority"),
    "a batch size that is no number": (
        {"job": {**PHOTO, "max_stores_per_batch": True, "stores": [1]}},
        "max_stores_per_batch",
    ),
    "a worker without a name": ({"job": {"worker": ":w"}}, "worker"),
    "an ARN without a name": ({"job": {"worker": "arn:aws:lambda:eu-west-1:123456789012:function:"}}, "worker"),
    "a worker of 3,000 characters": ({"job": {"worker": "w" * 3000}}, "worker"),
    "an id of a job that controls a terminal": ({"job": {**PHOTO, "job_id": "\x1b[2J"}}, "job_id"),
    "an id of an event of 2,000 characters": ({"job": PHOTO, "id": "e" * 2000}, "id"),
    "an empty id of an event": ({"job": PHOTO, "id": ""}, "id"),
    "a job to resume of 2,000 characters": ({"resume": "j" * 2000}, "resume"),
    "all days of the calendar": (
        {"job": {**PHOTO, "start_date": "0001-01-01", "end_date": "9999-12-31", "isolate_days": True}},
        "end_date",
    ),
    "a period of three centuries": ({"job": {**PHOTO, "period": "last_100001_days", "isolate_days": True}}, "period"),
    "a key of 5,000 characters": ({"job": {**PHOTO, "isolate_" + "x" * 5000: True}}, f"isolate_{'x' * 69}..."),
    "a job to resume that is none": ({"resume": "album"}, "resume"),
    "a job to resume without a name": ({"resume": 7}, "resume"),
}


def test_a_bad_job_is_refused_by_its_field_and_writes_nothing_anywhere(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    before = sosw.everything()
    for what, (event, field) in BAD_JOBS.items():
        with pytest.raises(Refused) as refused:
            sosw.submit(event)
        assert refused.value.field == field, what
        assert json.loads(str(refused.value))["message"].startswith(f"{field}: "), what
        assert len(str(refused.value)) < 500, f"{what}: the message holds the payload"
        assert sosw.everything() == before, what
    assert lambdas.invocations == []


def test_a_reserved_key_that_a_value_brings_refuses_the_whole_job(sosw: Installation) -> None:
    sosw.register(job_schemas={"default": {"chunkable_attrs": ["album"]}})
    before = sosw.everything()
    for key in sorted(RESERVED_KEYS):
        albums = {"one": None, "other": {key: "mine"}}
        with pytest.raises(Refused, match=rf"albums\.other\.{key}: 'mine' is refused"):
            sosw.submit({"job": {"worker": "resize", "isolate_albums": True, "albums": albums}})
    assert sosw.everything() == before


def test_one_payload_too_large_refuses_the_whole_job(sosw: Installation) -> None:
    sosw.register(job_schemas={"default": {"chunkable_attrs": ["album"]}})
    before = sosw.everything()
    albums = {"small": None, "large": {"pixels": "x" * 351 * 1024}}
    with pytest.raises(Refused, match="payload of task 1"):
        sosw.submit({"job": {"worker": "resize", "isolate_albums": True, "albums": albums}})
    assert sosw.everything() == before


def test_a_job_of_more_tasks_than_an_invocation_can_look_at_is_refused(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.register()
    before = sosw.everything()
    monkeypatch.setattr(scheduler, "_COUNTED_AT_ONCE", 10)
    with pytest.raises(Refused, match=r"job: '50 tasks and more' is refused; split it"):
        in_a_hurry(sosw, {"job": {**PHOTO, "period": "last_95_days", "isolate_days": True}}, looks=6)
    assert sosw.everything() == before


def test_a_job_too_large_to_be_kept_is_refused(sosw: Installation) -> None:
    sosw.register(job_schemas={"default": {"chunkable_attrs": ["photo"]}})
    before = sosw.everything()
    # Numbers that hardly compress.
    photos = [f"{(number * 2_654_435_761) % 2**32:08x}{number**5 % 2**61:016x}" for number in range(40_000)]
    with pytest.raises(Refused, match="split the job"):
        sosw.submit({"job": {"worker": "resize", "max_photos_per_batch": 1000, "photos": photos}})
    assert sosw.everything() == before


def test_a_job_for_an_unreadable_registration_is_refused(sosw: Installation) -> None:
    sosw.client.put_item(
        TableName=sosw.tables.registry, Item=encoded({"pk": "worker", "sk": "resize", "spec": '{"timeout_seconds": 0}'})
    )
    before = sosw.everything()
    with pytest.raises(Misconfigured, match=r"(?s)'resize' cannot be read.*timeout_seconds"):
        sosw.submit({"job": PHOTO})
    assert sosw.everything() == before


# --- once, however often it is asked ----------------------------------------------------------------------------------


def test_the_same_event_twice_adds_nothing(sosw: Installation) -> None:
    sosw.register()
    event = {
        "id": "e-1",
        "time": "2026-03-10T12:00:00Z",
        "job": {**PHOTO, "period": "last_2_days", "isolate_days": True},
    }
    first = sosw.submit(event)
    after_first = sosw.everything()
    sosw.clock.advance(DAY)
    assert sosw.submit(event) == first
    assert sosw.everything() == after_first


def test_the_same_job_id_twice_adds_nothing_even_after_its_tasks_ran(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    sosw.submit_photos(2)
    sosw.tick_orchestrator()
    for task in sosw.with_status(Status.RUNNING):
        sosw.complete(task)
    sosw.wake_scavenger(*sosw.with_status(Status.COMPLETED))
    before = sosw.everything()
    sosw.submit_photos(2)
    assert sosw.everything() == before


def test_a_job_without_an_id_has_that_of_its_request(sosw: Installation) -> None:
    """Lambda repeats an asynchronous event under the id of its first delivery."""
    sosw.register()
    context = FakeContext(aws_request_id="request-1")
    assert sosw.submit(PHOTO, context)["job_id"] == "request-1"
    assert sosw.submit(PHOTO, context)["job_id"] == "request-1"
    assert len(sosw.all_tasks()) == 1


def test_another_job_under_a_known_id_is_refused(sosw: Installation) -> None:
    sosw.register()
    sosw.register("crop")
    sosw.submit({"job": {**PHOTO, "job_id": "album"}})
    before = sosw.everything()
    for other in ({**PHOTO, "photo": "dog.jpg"}, {**PHOTO, "worker": "crop"}, {**PHOTO, "priority": 1}):
        with pytest.raises(Refused, match="job_id: 'album' is refused; another job has it"):
            sosw.submit({"job": {**other, "job_id": "album"}})
    assert sosw.everything() == before


# --- a job longer than an invocation ----------------------------------------------------------------------------------


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of ten tasks, so that few tasks tell the story of many."""
    monkeypatch.setattr(scheduler, "WINDOW", 10)


def in_a_hurry(sosw: Installation, event: Any, *, looks: int) -> Any:
    """Submit with no more time than for so many looks at the clock, one of which is for each window."""
    sosw.clock.pace = 10
    try:
        return sosw.submit(event, FakeContext(remaining_millis=looks * 10 * 4 // 3))
    finally:
        sosw.clock.pace = 0


def handed_over(lambdas: FakeLambda, sosw: Installation) -> Any:
    """What the Scheduler's next invocation was last given."""
    last = lambdas.accepted[-1]
    assert (last.function, last.kind) == (f"{sosw.tables.name}_scheduler", "Event")
    return last.event


@pytest.mark.usefixtures("small_windows")
def test_whoever_asks_is_answered_before_aws_would_ask_again(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    sosw.clock.pace = 5 * SECOND
    job = {**PHOTO, "job_id": "album", "period": "last_95_days", "isolate_days": True}
    assert sosw.submit({"job": job})["tasks"] == 95
    assert sosw.clock.now < NOON + MINUTE
    assert 0 < len(sosw.all_tasks()) < 95
    sosw.submit(handed_over(lambdas, sosw))
    assert len(sosw.all_tasks()) == 95, "nobody waits for the rest, which takes all the time there is"


@pytest.mark.usefixtures("small_windows")
def test_short_of_time_a_job_is_handed_over_until_it_is_whole(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    job = {**PHOTO, "job_id": "album", "period": "last_95_days", "isolate_days": True}
    answer = in_a_hurry(sosw, {"job": job}, looks=6)
    assert answer["tasks"] == 95
    written = [len(sosw.all_tasks())]
    assert 0 < written[0] < 95, "the first invocation wrote a part"
    while written[-1] < 95:
        assert in_a_hurry(sosw, handed_over(lambdas, sosw), looks=6) == answer
        written.append(len(sosw.all_tasks()))
        assert written[-1] > written[-2], "every invocation came further"
    assert len(lambdas.accepted) == len(written) - 1, "the last invocation handed nothing over"
    assert [task.number for task in sosw.with_status(Status.QUEUED)] == list(range(95))
    assert jobs.cursors(sosw.tables) == []


def test_a_hand_over_that_came_no_further_is_refused(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.register()
    in_a_hurry(sosw, {"job": {**PHOTO, "job_id": "album"}}, looks=0)
    assert handed_over(lambdas, sosw) == {"resume": "album"}
    with pytest.raises(JobInterrupted, match="job 'album' stays at task 0"):
        in_a_hurry(sosw, {"resume": "album"}, looks=0)
    assert len(lambdas.invocations) == 1

    sosw.tick_scavenger()
    sosw.submit(handed_over(lambdas, sosw))
    assert sosw.task().status is Status.QUEUED


# --- as fast as the keys take it --------------------------------------------------------------------------------------


@pytest.fixture
def slow_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that take ten tasks a second, so that few tasks tell the story of many."""
    monkeypatch.setattr(pacing, "QUEUED_A_SECOND", 10)
    monkeypatch.setattr(pacing, "WAITING_UNITS_A_SECOND", 10)


DAYS_95 = {**PHOTO, "job_id": "album", "period": "last_95_days", "isolate_days": True}


@pytest.mark.usefixtures("slow_keys")
@pytest.mark.parametrize(
    ("shards", "keys", "seconds"),
    [
        (1, {}, 8.5),
        (5, {}, 0.9),
        (10, {}, 0),
        (10, {"start_at": NOON + HOUR}, 8.5),
        (10, {"start_at": NOON + HOUR, "pixels": "x" * 1024}, 18),
        (1, {"pixels": "x" * 10 * 1024}, 8.5),
    ],
    ids=[
        "a queue",
        "five shards",
        "less than a second's worth",
        "a retry table",
        "large waiting ones",
        "large queued ones",
    ],
)
def test_a_job_is_written_as_fast_as_its_keys_take_it(
    sosw: Installation, lambdas: FakeLambda, shards: int, keys: dict[str, Any], seconds: float
) -> None:
    sosw.register(queue_shards=shards)
    sosw.submit({"job": {**DAYS_95, **keys}})
    assert len(sosw.all_tasks()) == 95
    assert lambdas.invocations == []
    assert (sosw.clock.now - NOON) / SECOND == seconds, "a second's worth less than all, as that comes at once"


@pytest.mark.usefixtures("slow_keys")
def test_a_job_that_would_wait_beyond_its_deadline_is_handed_over_at_once(
    sosw: Installation, lambdas: FakeLambda
) -> None:
    sosw.register()
    sosw.submit({"job": DAYS_95}, FakeContext(remaining_millis=4 * SECOND))
    assert sosw.clock.now <= NOON + 3 * SECOND, "a quarter of an invocation is kept in reserve"
    assert 30 <= len(sosw.all_tasks()) <= 40
    sosw.submit(handed_over(lambdas, sosw))
    assert len(sosw.all_tasks()) == 95


@pytest.mark.usefixtures("slow_keys")
@pytest.mark.parametrize("busy", ["ProvisionedThroughputExceededException", "UnprocessedItems"])
def test_while_dynamodb_is_too_busy_a_job_is_written_slower(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch, busy: str
) -> None:
    """For the first three seconds it is."""
    put = aws.dynamodb_once().batch_write_item

    def too_busy(RequestItems: Any) -> Any:  # noqa: N803 - boto's name
        was_sent_back = id(RequestItems) in sent_back or sosw.clock.now >= NOON + 3 * SECOND
        if was_sent_back:
            return put(RequestItems=RequestItems)
        sent_back.add(id(RequestItems))
        if busy == "UnprocessedItems":
            return {"UnprocessedItems": RequestItems}
        raise ClientError({"Error": {"Code": busy, "Message": "injected"}}, "BatchWriteItem")

    sent_back: set[int] = set()
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _seconds: None)
    monkeypatch.setattr(aws.dynamodb_once(), "batch_write_item", too_busy)
    sosw.register()
    sosw.submit({"job": DAYS_95})
    assert [task.number for task in sosw.all_tasks()] == list(range(95))
    assert NOON + 12 * SECOND < sosw.clock.now < NOON + 20 * SECOND, "9 s where it is not"


class _ProcessEnded(BaseException):
    """The Lambda is stopped between two of its calls."""


@pytest.fixture
def stopped_before_the_cursor(sosw: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Scheduler wrote all of the job's tasks and was stopped before it could note that."""

    def stop(*_: object) -> None:
        raise _ProcessEnded

    sosw.register()
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "delete_cursor", stop)
        with pytest.raises(_ProcessEnded):
            sosw.submit_photos(3)
    assert len(sosw.with_status(Status.QUEUED)) == 3


def test_a_job_of_0_1_0_with_keys_reserved_now_is_resumed(sosw: Installation) -> None:
    job = {**PHOTO, "job_id": "album", "isolate_sosw_tokens": True, "sosw_tokens": {"a": {"sosw_installation": "mine"}}}
    schemas = {"default": {"chunkable_attrs": ["sosw_token"]}}
    worker = {"worker_id": "resize", "function_name": "resize", "timeout_seconds": 60, "max_concurrency": 1}
    registration = encoded({"pk": "worker", "sk": "resize", "spec": json.dumps({**worker, "job_schemas": schemas})})
    sosw.client.put_item(TableName=sosw.tables.registry, Item=registration)
    record = job_record(total=1)
    spec = jobs.compress(json.dumps({"job": job, "schemas": schemas, "shards": 1}))
    jobs.accept(sosw.tables, record, spec, Cursor("album", 0, "holder", NOON))
    sosw.clock.advance(MINUTE)

    assert sosw.submit({"resume": "album"})["tasks"] == 1

    assert json.loads(sosw.task().payload) == {"photo": "cat.jpg", "sosw_tokens": ["a"], "sosw_installation": "mine"}
    assert sosw.submit({"job": {**PHOTO, "sosw_tokens": ["a"]}})["tasks"] == 1, "its Worker takes jobs as before"


def test_the_keys_within_payload_come_to_every_task_of_a_resumed_job(sosw: Installation) -> None:
    sosw.register()
    in_a_hurry(sosw, {"job": {**PHOTO, "job_id": "album", "payload": {"period": "mine"}}}, looks=0)
    assert sosw.all_tasks() == []

    assert sosw.submit({"resume": "album"})["tasks"] == 1

    assert json.loads(sosw.task().payload) == {"photo": "cat.jpg", "period": "mine"}


def test_a_payload_that_0_1_0_accepted_stays_a_key_of_its_own(sosw: Installation) -> None:
    sosw.register()
    job = {**PHOTO, "job_id": "album", "payload": {"period": "mine"}}
    spec = jobs.compress(json.dumps({"job": job, "schemas": {}, "shards": 1}))
    jobs.accept(sosw.tables, job_record(total=1), spec, Cursor("album", 0, "holder", NOON))
    sosw.clock.advance(MINUTE)

    assert sosw.submit({"resume": "album"})["tasks"] == 1

    assert json.loads(sosw.task().payload) == {"photo": "cat.jpg", "payload": {"period": "mine"}}


@pytest.mark.usefixtures("stopped_before_the_cursor")
def test_a_job_whose_scheduler_stopped_is_left_alone_until_its_lease_ends(
    sosw: Installation, lambdas: FakeLambda
) -> None:
    before = sosw.everything()
    sosw.submit({"resume": "album"})
    sosw.tick_scavenger()
    assert sosw.everything()["tasks"] == before["tasks"]
    assert lambdas.invocations == []


@pytest.mark.usefixtures("stopped_before_the_cursor")
def test_a_job_whose_scheduler_stopped_is_resumed_without_doubles(sosw: Installation, lambdas: FakeLambda) -> None:
    # Of its tasks one completes, one fails and waits, one is still queued.
    sosw.tick_orchestrator()
    first, second, _ = sosw.all_tasks()
    sosw.complete(first)
    sosw.fail(second)
    sosw.wake_scavenger(*sosw.with_status(Status.COMPLETED), *sosw.with_status(Status.FAILED))
    before = [(task.task_id, task.status, task.attempt) for task in sosw.all_tasks()]

    sosw.clock.advance(10 * MINUTE)
    lambdas.invocations.clear()
    sosw.tick_scavenger()
    resumed = [call.event for call in lambdas.accepted if call.function.endswith("_scheduler")]
    assert resumed == [{"resume": "album"}]
    sosw.submit(resumed[0])
    ended = {task.task_id for task in sosw.all_tasks()}
    assert ended == {task_id for task_id, _, _ in before}
    assert len(sosw.all_tasks()) == 3
    assert jobs.cursors(sosw.tables) == []


@pytest.mark.usefixtures("stopped_before_the_cursor")
def test_a_successor_without_time_leaves_the_window_in_doubt(sosw: Installation, lambdas: FakeLambda) -> None:
    sosw.tick_orchestrator()
    for task in sosw.with_status(Status.RUNNING):
        sosw.complete(task)
    sosw.wake_scavenger(*sosw.with_status(Status.COMPLETED))
    assert [task.status for task in sosw.all_tasks()] == [Status.COMPLETED] * 3

    sosw.clock.advance(10 * MINUTE)
    with pytest.raises(JobInterrupted):
        in_a_hurry(sosw, {"resume": "album"}, looks=0)
    sosw.submit({"resume": "album"})
    assert [task.status for task in sosw.all_tasks()] == [Status.COMPLETED] * 3, "completed is final"


def test_a_write_that_aws_cannot_serve_leaves_the_job_to_be_gone_on_with(
    sosw: Installation, lambdas: FakeLambda, monkeypatch: pytest.MonkeyPatch
) -> None:
    sosw.register()

    def unavailable(*_: object) -> None:
        raise Unavailable("DynamoDB is out for tea")

    with monkeypatch.context() as patch:
        patch.setattr(moves, "enqueue", unavailable)
        with pytest.raises(JobInterrupted, match="job 'album' is accepted, and the Scavenger resumes it") as told:
            sosw.submit({"job": {**PHOTO, "job_id": "album"}})
    assert told.value.answer == {"job_id": "album", "tasks": 1, "first_start": NOON}
    assert sosw.all_tasks() == []

    sosw.clock.advance(MINUTE)
    sosw.tick_scavenger()
    sosw.submit(handed_over(lambdas, sosw))
    assert [task.status for task in sosw.all_tasks()] == [Status.QUEUED]


# --- a job that is cancelled while it is enqueued ---------------------------------------------------------------------


def counts(sosw: Installation) -> Counts:
    """How many of the job's tasks are closed."""
    job = jobs.get(sosw.tables, "album")
    assert job is not None
    return progress.counts(sosw.tables, job)


@pytest.fixture
def half_enqueued(sosw: Installation, lambdas: FakeLambda, small_windows: None) -> int:
    """A job of 95 tasks was handed over midway; how many are written."""
    sosw.register(max_concurrency=2)
    in_a_hurry(sosw, {"job": {**PHOTO, "job_id": "album", "period": "last_95_days", "isolate_days": True}}, looks=6)
    return len(sosw.all_tasks())


def test_a_cancelled_job_queues_nothing_more_and_is_counted_whole(
    sosw: Installation, lambdas: FakeLambda, half_enqueued: int
) -> None:
    jobs.cancel(sosw.tables, "album", NOON)
    sosw.submit(handed_over(lambdas, sosw))
    assert len(sosw.all_tasks()) == half_enqueued

    sosw.tick_scavenger()
    assert jobs.cursors(sosw.tables) == []
    assert counts(sosw) == Counts(cancelled=95 - half_enqueued)
    for task in sosw.with_status(Status.QUEUED):
        assert moves.cancel(sosw.tables, task, NOON, "tests")
    sosw.tick_scavenger()
    job = jobs.get(sosw.tables, "album")
    assert job is not None
    assert job.closed_at is not None
    assert (job.completed, job.dead, job.cancelled) == (0, 0, 95)
    sosw.submit({"job": {**PHOTO, "job_id": "album", "period": "last_95_days", "isolate_days": True}})
    assert len(sosw.all_tasks()) == half_enqueued, "asked for again it stays cancelled"


def test_a_scheduler_at_work_sees_a_cancellation_with_its_next_window(
    sosw: Installation, lambdas: FakeLambda, half_enqueued: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = jobs.advance

    def cancelled_meanwhile(*arguments: Any) -> Any:
        jobs.cancel(sosw.tables, "album", NOON)
        return advance(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "advance", cancelled_meanwhile)
        sosw.submit(handed_over(lambdas, sosw))
    assert len(sosw.all_tasks()) == half_enqueued + 10
    assert len(lambdas.accepted) == 1, "nothing is handed over any more"


def test_a_window_in_doubt_is_made_whole_before_the_rest_is_counted(
    sosw: Installation, lambdas: FakeLambda, half_enqueued: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> None:
        raise Unavailable("DynamoDB is out for tea")

    with monkeypatch.context() as patch:
        patch.setattr(moves, "enqueue", unavailable)
        with pytest.raises(JobInterrupted):
            sosw.submit({"resume": "album"})
    jobs.cancel(sosw.tables, "album", NOON)
    sosw.clock.advance(MINUTE)
    sosw.tick_scavenger()
    assert counts(sosw) == Counts(), "not yet, since they may be written"
    sosw.submit(handed_over(lambdas, sosw))
    assert len(sosw.all_tasks()) == half_enqueued + 10
    sosw.tick_scavenger()
    assert counts(sosw) == Counts(cancelled=95 - half_enqueued - 10)
