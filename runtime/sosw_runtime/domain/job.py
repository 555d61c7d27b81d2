"""A job, and the events that carry one."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import from_json, to_json

from sosw_runtime.domain import periods, spelling
from sosw_runtime.errors import Refused

#: Keys of a Worker's event that a job must not set; `labourer_id` and `attempts` are for code of sosw 0.7.
RESERVED_KEYS: Final = frozenset(
    {
        "task_id",
        "worker_id",
        "job_id",
        "attempt",
        "created_at",
        "labourer_id",
        "attempts",
        "sosw_installation",
        "sosw_token",
    }
)

#: The keys that version 0.1.0 reserved. It accepted jobs and registrations with the others, and those are still read:
#: in a task's event the runtime's value replaces the job's. New jobs are refused for any of `RESERVED_KEYS`.
RESERVED_BY_0_1_0: Final = RESERVED_KEYS - {"sosw_installation", "sosw_token"}

#: A number in `start_at` below this is read as seconds: as milliseconds it would be a day before March 1973.
_LEAST_MILLISECONDS: Final = 10**11

#: Times before this (ms), in November 2286, have at most 13 digits, as keys that are ordered by time.
_END_OF_TIME: Final = 10**13

#: Ids are sort keys of at most 1,024 bytes in UTF-8, and are printed, so that control characters are refused.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
_MOST_CHARACTERS: Final = 256
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

#: Most levels of objects and lists in the value of a key. Python and pydantic fail on deeper ones.
_DEEPEST: Final = 100

_ID: Final = f"a text of 1 to {_MOST_CHARACTERS} characters, no control characters"

_EXPECTED: Final = {
    "worker": "the Worker's id, or its function's name or ARN in at most 256 characters, as `worker` or `lambda_name`",
    "job_id": _ID,
    "job_schema_name": "the name of one of the Worker's job schemas",
    "priority": "a whole number from 0 to 9, 9 first",
    "start_at": "a time from 1970 to 2286 such as '2026-01-31T06:00:00Z', or milliseconds or seconds since the epoch",
    "time_zone": "an IANA time zone such as 'Europe/Berlin' or 'UTC'",
    "period": f"one of {', '.join(periods.PERIODS)}, or a period of your own",
    "start_date": "a day as YYYY-MM-DD",
    "end_date": f"a day as YYYY-MM-DD, at most {periods.MOST_DAYS} days from start_date on",
    "payload": "an object: keys that every task gets as they are, such as {'tenant': 'acme'}",
    "isolate_days": "true or false",
    "isolate_weeks": "true or false",
    "isolate_months": "true or false",
    "id": f"the event's id, {_ID}",
    "time": "the event's time such as '2026-01-31T06:00:00Z', from 1970 to 2286",
}


def is_id(value: object) -> bool:
    """Whether a value may be the id of a job or of an event."""
    return isinstance(value, str) and 0 < len(value) <= _MOST_CHARACTERS and not _UNPRINTABLE.search(value)


def refuse_bool(value: object) -> object:
    """Refuse true and false, which pydantic would read as 1 and 0; other values pass unchanged."""
    if isinstance(value, bool):
        raise ValueError("not a number")
    return value


def _parse_day(value: object) -> object:
    """Parse YYYY-MM-DD only: pydantic would also accept numbers and times."""
    if isinstance(value, str) and len(value) == len("YYYY-MM-DD"):
        return date.fromisoformat(value)
    if type(value) is date:
        return value
    raise ValueError("not a day")


Day = Annotated[date, BeforeValidator(_parse_day)]


def _text_to_bool(value: object) -> object:
    """The value of the text `true` or `false`, as jobs of sosw 0.7 have it; any other value unchanged."""
    return {"true": True, "false": False}.get(value.lower(), value) if isinstance(value, str) else value


Switch = Annotated[bool, BeforeValidator(_text_to_bool), Strict()]


class Job(BaseModel):
    """A request of the business. Keys that are not fields are kept: attributes, flags that cut them, and payload.

    A dump validates to the same job. A null field counts as a missing one.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    worker: str = Field(min_length=1)  # id of the Worker, or its function's name or ARN, as the caller knows it
    job_id: str | None = None
    job_schema_name: str | None = None
    priority: Annotated[int, BeforeValidator(refuse_bool), Field(ge=0, le=9)] = 0  # 9 first
    time_zone: str | None = None  # IANA; validated before start_at, which is read in it
    start_at: int | None = None  # ms
    period: str | None = None
    start_date: Day | None = None
    end_date: Day | None = None  # included
    payload: dict[str, Any] = Field(default_factory=dict)  # goes to every task as it is, whatever its keys are called
    isolate_days: Switch = False
    isolate_weeks: Switch = False
    isolate_months: Switch = False

    @property
    def keys(self) -> dict[str, Any]:
        """Every key that is not a field: attributes, flags that cut them, and payload."""
        return self.model_extra or {}

    @property
    def cuts_dates(self) -> bool:
        """Whether the job's days are cut."""
        return self.isolate_days or self.isolate_weeks or self.isolate_months

    @model_validator(mode="before")
    @classmethod
    def _merge_names_and_drop_nulls(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        keys = {key: given for key, given in value.items() if given is not None or key not in cls.model_fields}
        name = keys.pop("lambda_name", None)
        if name is not None and keys.setdefault("worker", name) != name:
            raise Refused("lambda_name", name, "expected either `worker` or `lambda_name`, as they mean the same")
        return keys

    @field_validator("time_zone")
    @classmethod
    def _check_zone(cls, name: str | None) -> str | None:
        return None if name is None else periods.zone(name).key

    @field_validator("start_at", mode="before")
    @classmethod
    def _parse_start(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            if time.tzinfo is None:
                default = (info.context or {}).get("zone", "UTC")
                time = time.replace(tzinfo=periods.zone(info.data.get("time_zone") or default))
            return round(time.timestamp() * 1000)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError("not a time")
        return int(value if value >= _LEAST_MILLISECONDS else value * 1000)

    @model_validator(mode="after")
    def _check_own_keys(self) -> Self:
        for key in self.keys:
            if key in RESERVED_BY_0_1_0:
                raise _reserved_key_refusal(key, self.keys[key])
        return self

    @model_validator(mode="after")
    def _check_one_calendar(self) -> Self:
        if self.start_date and self.end_date is None:
            raise Refused("end_date", None, "expected a day as YYYY-MM-DD, since start_date is given")
        if self.end_date and self.start_date is None:
            raise Refused("start_date", None, "expected a day as YYYY-MM-DD, since end_date is given")
        if self.start_date and self.end_date and self.end_date < self.start_date:
            raise Refused("end_date", f"{self.end_date}", f"expected a day not before start_date, {self.start_date}")
        if self.period and self.start_date:
            raise Refused("period", self.period, "expected either `period` or `start_date` and `end_date`")
        if (self.period or self.start_date) and "date_list" in self.keys:
            raise Refused("date_list", self.keys["date_list"], "expected either a period or the days themselves")
        if self.cuts_dates and not (self.period or self.start_date or "date_list" in self.keys):
            flag = next(name for name in ("isolate_days", "isolate_weeks", "isolate_months") if getattr(self, name))
            raise Refused(flag, True, "expected days to cut: `period`, `start_date` and `end_date`, or `date_list`")
        return self

    def dates(self, today: date) -> list[date] | None:
        """The days that the job covers; None if it names none.

        Raises:
            Refused: the period is unknown or has no day, or `date_list` must be cut and is no list of days.
        """
        if self.period is not None:
            return periods.days_of(self.period, today)
        if self.start_date is not None and self.end_date is not None:
            return periods.days_between(self.start_date, self.end_date)
        if self.cuts_dates:
            return _days(self.keys["date_list"])
        return None


def _days(date_list: object) -> list[date]:
    class DateList(BaseModel):
        date_list: list[Day] = Field(min_length=1)

    try:
        return list(dict.fromkeys(DateList(date_list=date_list).date_list))
    except ValidationError as invalid:
        raise Refused(
            "date_list", date_list, "expected a list of days as YYYY-MM-DD, since they are to be cut"
        ) from invalid


#: Keys that belong to the language in every job.
WORDS: Final = (*Job.model_fields, "lambda_name", "date_list")


def misspelled(key: str, value: object, word: str) -> Refused:
    """The refusal of a key that is nearly a word of the language."""
    return Refused(key, value, f"expected {word}, or the key within `payload` if the tasks are to have it")


def _reserved_key_refusal(key: str, value: object) -> Refused:
    return Refused(key, value, "expected another name, as every task has this one of its own")


class Request(BaseModel):
    """A job with the id and time of its event."""

    model_config = ConfigDict(frozen=True, validate_by_name=True)

    job: Job
    event_id: str | None = Field(default=None, alias="id")
    event_time: Annotated[datetime, BeforeValidator(refuse_bool)] | None = Field(default=None, alias="time")

    @field_validator("event_time")
    @classmethod
    def _add_zone(cls, time: datetime | None) -> datetime | None:
        return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


def parse(event: object, zone: str = "UTC") -> Request:
    """Read the job that an event carries.

    The event is an object or JSON in one of three forms: the job itself; an object with the job under `job` (an object
    or JSON), with or without `id` and `time`; an event of EventBridge with the job as `detail` or under `detail.job`.
    A `start_at` without a zone is read in the job's `time_zone`, or else in `zone`.

    Raises:
        Refused: names the field as the caller wrote it.
    """
    envelope = to_envelope(json_object("event", event))
    if is_eventbridge(envelope):
        job = json_object("detail", envelope["detail"])
        job = json_object("job", job["job"]) if "job" in job else job
    else:
        job = json_object("job", envelope["job"])
    for key, value in job.items():
        _check_json(key, value)
        if key not in WORDS and (word := spelling.intended(key, WORDS)) is not None:
            raise misspelled(key, value, word)
    try:
        request = Request.model_validate(
            {"job": job, "id": envelope.get("id"), "time": envelope.get("time")}, context={"zone": zone}
        )
    except ValidationError as invalid:
        error = invalid.errors()[0]
        field = str(error["loc"][-1] if len(error["loc"]) == 1 else error["loc"][1])
        value = None if error["type"] == "missing" else error["input"]
        raise Refused(field, value, f"expected {_EXPECTED[field]}") from invalid
    for prefix, keys in (("", request.job.keys), ("payload.", request.job.payload)):
        for key in keys.keys() & RESERVED_KEYS:
            raise _reserved_key_refusal(f"{prefix}{key}", keys[key])
    for field, value in _fields_beyond_limits(request):
        raise Refused(field, job.get(field, value), f"expected {_EXPECTED[field]}")
    return request


def _fields_beyond_limits(request: Request) -> Iterator[tuple[str, object]]:
    """The fields of a new job that exceed the limits of keys, items or a function's memory.

    `Job` does not check them, so that a job which an earlier version accepted can still be read.
    """
    job, event_time = request.job, request.event_time
    if len(job.worker) > _MOST_CHARACTERS or not all(worker_id_candidates(job.worker)):
        yield "worker", job.worker
    if job.job_id is not None and not is_id(job.job_id):
        yield "job_id", job.job_id
    if job.start_at is not None and not 0 <= job.start_at < _END_OF_TIME:
        yield "start_at", job.start_at
    if job.start_date and job.end_date and (job.end_date - job.start_date).days >= periods.MOST_DAYS:
        yield "end_date", job.end_date
    if request.event_id is not None and not is_id(request.event_id):
        yield "id", request.event_id
    if event_time is not None and not 0 <= event_time.timestamp() * 1000 < _END_OF_TIME:
        yield "time", event_time.isoformat()


def _check_json(key: str, value: object) -> None:
    """Refuse values that not every JSON reader takes: half of a surrogate pair, or too many levels."""
    parts = [value]
    for _ in range(_DEEPEST + 1):
        parts = [part for whole in parts for part in _parts(whole)]
    if parts:
        raise Refused(key, value, f"expected at most {_DEEPEST} objects and lists within each other")
    try:
        to_json({key: value})
    except ValueError as invalid:
        raise Refused(key, value, "expected what can be sent as JSON in UTF-8") from invalid


def _parts(value: object) -> Iterable[object]:
    """The values in an object or a list."""
    match value:
        case dict():
            return value.values()
        case list():
            return value
        case _:
            return ()


def is_eventbridge(event: Mapping[str, Any]) -> bool:
    """Whether an event is EventBridge's own."""
    return {"detail-type", "detail"} <= event.keys()


def to_envelope(event: dict[str, Any]) -> dict[str, Any]:
    """An event unchanged, or a bare job wrapped as an event: its keys `id` and `time` belong to the job."""
    return event if "job" in event or is_eventbridge(event) else {"job": event}


def with_id_and_time(event: object, event_id: str, time: str | int | None) -> dict[str, Any]:
    """An event, or a bare job as an event. The given id and time are used where it has none of its own.

    Raises:
        Refused: it is neither.
    """
    envelope = to_envelope(json_object("message", event))
    own = {key: value for key, value in envelope.items() if value is not None}
    return {"id": event_id, "time": time, **own}


def records(event: object) -> list[object] | None:
    """The records of a batch of messages of SQS or SNS; None if the event is no batch."""
    if not isinstance(event, Mapping) or event.keys() != {"Records"} or not isinstance(event["Records"], list):
        return None
    return event["Records"]


def message_event(record: object) -> dict[str, Any]:
    """The event that a message of SQS or SNS carries. Without an id and a time it gets those of the message.

    Shapes: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html

    Raises:
        Refused: the record is no message, or its text is no JSON.
    """
    match record:
        case {"body": str(text), "messageId": str(message_id), "attributes": {"SentTimestamp": str(sent_at)}}:
            return with_id_and_time(text, message_id, int(sent_at))
        case {"body": str(text), "messageId": str(message_id)}:
            return with_id_and_time(text, message_id, None)
        case {"Sns": {"Message": str(text), "MessageId": str(message_id), "Timestamp": str(published_at)}}:
            return with_id_and_time(text, message_id, published_at)
        case {"Sns": {"Message": str(text), "MessageId": str(message_id)}}:
            return with_id_and_time(text, message_id, None)
        case _:
            raise Refused("Records", record, "expected messages of SQS or SNS, each with a job as its text")


def json_object(field: str, value: object) -> dict[str, Any]:
    """An object, given as it is or as JSON.

    Raises:
        Refused: names the field; it is no object, or has too many levels to parse.
    """
    if isinstance(value, str | bytes | bytearray):
        try:
            # Not Python's parser, which fails on depths that overflow its stack.
            value = from_json(value, allow_inf_nan=False)
        except (ValueError, TypeError) as invalid:  # TypeError: half of a surrogate pair
            raise Refused(field, value, f"expected a JSON object: {invalid}") from invalid
    if not isinstance(value, dict):
        raise Refused(field, value, "expected a JSON object")
    return value


def worker_id_candidates(worker: str) -> list[str]:
    """The ids under which a Worker may be registered that a job names, the most exact first.

    They are: the name as given; without version or alias; the function's plain name. An ARN is
    `arn:<partition>:lambda:<region>:<account>:function:<name>[:<qualifier>]`. The part before `<account>` may be
    missing (https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html).
    """
    parts = worker.split(":")
    name = parts.index("function") + 1 if "function" in parts[:-1] else 0
    return list(dict.fromkeys([worker, ":".join(parts[: name + 1]), parts[name]]))
