"""Chunking: cuts a job into the payloads of its tasks, lazily, so that a million of them fit into memory.

A job is first read into a tree that is as large as the job, not as its tasks. Errors of the job are found then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from typing import Annotated, Any, Final, NamedTuple, Protocol, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
)

from sosw_runtime.domain import periods, spelling
from sosw_runtime.domain.job import RESERVED_BY_0_1_0, RESERVED_KEYS, WORDS, Job, Switch, misspelled, refuse_bool
from sosw_runtime.errors import Refused

#: Key of a payload's days, `YYYY-MM-DD` each.
DATE_LIST: Final = "date_list"

#: Most bytes of a task's payload. An item holds 400 KB, and its history and result need their part.
#: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
LARGEST_PAYLOAD: Final = 350 * 1024

_SPANS: Final = ("days", "weeks", "months")
_FLAG: Final = re.compile(r"isolate_(?P<isolated>.+)|max_(?P<batched>.+)_per_batch")
_NAME: Final = re.compile(r"[A-Za-z]\w*(?<!s)", re.ASCII)
#: The name of a flag with another beginning or ending, such as `isolated_stores` or `stores_per_batch`.
_FLAG_LIKE: Final = re.compile(r"isolat[a-z]*_(?P<isolated>\w+)|(?:max_|min_)?(?P<batched>\w+?)_per_[a-z]+")
_WORDS: Final = {*WORDS, *_SPANS}

#: Pydantic's context for job schemas from the tables, which version 0.1.0 may have written.
AS_STORED: Final = {"taken": RESERVED_BY_0_1_0 | _WORDS - {"payload"}}

_T = TypeVar("_T")


def plural(attribute: str) -> str:
    """The key of an attribute's values in a payload."""
    return f"{attribute}s"


def _bare_names(attributes: object) -> object:
    """The names alone; also accepts the form of sosw 0.7, `[["section", {}], ...]`."""
    if not isinstance(attributes, list | tuple):
        return attributes
    return [
        attribute[0]
        if isinstance(attribute, list | tuple) and len(attribute) == 2 and isinstance(attribute[1], dict)
        else attribute
        for attribute in attributes
    ]


def _check_names(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    taken = (info.context or {}).get("taken", RESERVED_KEYS | _WORDS)
    for number, name in enumerate(names):
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"{name!r} is no singular of letters, digits and _ that starts with a letter, ends without s"
            )
        if name in names[:number]:
            raise ValueError(f"{name!r} is given twice")
        if {name, plural(name)} & taken:
            raise ValueError(f"{name!r} has a meaning of its own in every job; use another name")
    return names


class JobSchema(BaseModel):
    """The attributes by which jobs for a Worker can be cut."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: From outer to inner, in the singular.
    chunkable_attrs: Annotated[tuple[str, ...], BeforeValidator(_bare_names), AfterValidator(_check_names)]


@dataclass(frozen=True, slots=True)
class Rules:
    """How strictly a job is read."""

    reserved: Set[str]  # keys that no value may give its tasks
    flag: TypeAdapter[bool]
    batch_size: TypeAdapter[int]
    refuses_misspelled: bool  # whether a key is refused that is nearly a word of the language


def _text_to_int(value: object) -> object:
    """The number that a text of digits names, as jobs of sosw 0.7 have it; any other value unchanged."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


#: Rules for a new job.
NEW: Final = Rules(
    RESERVED_KEYS,
    flag=TypeAdapter(Switch),
    batch_size=TypeAdapter(Annotated[int, BeforeValidator(_text_to_int), Field(ge=1), Strict()]),
    refuses_misspelled=True,
)

#: Rules for an accepted job: version 0.1.0 may have accepted it, and its tasks must stay the same.
ACCEPTED: Final = Rules(
    RESERVED_BY_0_1_0,
    flag=TypeAdapter(bool),
    batch_size=TypeAdapter(Annotated[int, BeforeValidator(refuse_bool), Field(ge=1)]),
    refuses_misspelled=False,
)


def payloads(job: Job, schemas: Mapping[str, JobSchema], today: date, rules: Rules = NEW) -> Iterator[dict[str, Any]]:
    """The payload of every task of a job, lazily and always in the same order: by day, then from outer to inner value.

    Payloads share values: treat them as read-only.

    Raises:
        Refused: before the first payload, if the job is invalid; at a payload with a key that `payload` has as well.
    """
    plan = _plan(job, schemas, today, rules)
    return _with_quoted(job.payload, plan) if job.payload else iter(plan)


def _with_quoted(quoted: Mapping[str, Any], plan: _Plan) -> Iterator[dict[str, Any]]:
    for payload in plan:
        for key in quoted.keys() & payload.keys():
            raise Refused(f"payload.{key}", quoted[key], f"expected it once, as the job has {key} outside of payload")
        yield {**payload, **quoted}


def payload_texts(
    job: Job, schemas: Mapping[str, JobSchema], today: date, start: int = 0, rules: Rules = NEW
) -> Iterator[str]:
    """The payloads from task number `start` on, as they are stored: JSON without spaces.

    Raises:
        Refused: before the first payload, if the job is invalid; at a payload that is too large, that JSON cannot hold,
            such as an infinite number or half of a surrogate pair, or with a key that `payload` has as well.
    """
    for number, payload in enumerate(islice(payloads(job, schemas, today, rules), start, None), start):
        try:
            text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
            size = len(text.encode())
        except ValueError as invalid:
            raise Refused(f"payload of task {number}", f"{invalid}", "expected what can be sent as JSON") from invalid
        if size > LARGEST_PAYLOAD:
            raise Refused(
                f"payload of task {number}",
                f"{size} bytes",
                f"expected at most {LARGEST_PAYLOAD}: cut the job further, or pass a reference to the data",
            )
        yield text


class _Plan(Protocol):
    """Payloads that can be iterated more than once."""

    def __iter__(self) -> Iterator[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class _Whole:
    """One payload."""

    payload: dict[str, Any]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        yield self.payload


@dataclass(frozen=True, slots=True)
class _Batches:
    """A flat list in batches, each combined with every inner payload."""

    key: str
    values: Sequence[object]
    size: int
    inner: _Plan

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self.values), self.size):
            batch = self.values[start : start + self.size]
            for payload in self.inner:
                yield {self.key: batch, **payload}


@dataclass(frozen=True, slots=True)
class _Branches:
    """Separate values, each combined with its own payloads."""

    key: str
    branches: Sequence[tuple[object, _Plan]]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for value, plan in self.branches:
            for payload in plan:
                yield {self.key: value, **payload}


@dataclass(frozen=True, slots=True)
class _Values:
    """The values that a job gives an attribute under one key."""

    key: str  # as the job spells it
    plural: str
    raw: object
    names: Sequence[object]
    inner: Mapping[str, _Place]  # the contents of values that have some
    problem: Refused | None  # why they cannot be cut

    def bare(self) -> object:
        """The values as the job gives them, without flags."""
        if not self.inner or not isinstance(self.raw, dict):
            return self.raw
        return {name: self.inner[name].bare() if name in self.inner else value for name, value in self.raw.items()}

    def uncut(self) -> tuple[str, object]:
        """Key and value in a payload that is cut by other attributes only."""
        if self.problem is None and not self.inner:
            return self.plural, self.names
        if isinstance(self.raw, dict) and len(self.raw) == 1:
            # Workers of sosw 0.7 find a lone value that holds others in a list, and several of them in an object.
            return self.plural, [self.bare()]
        return self.key, self.bare()


class _Flag(NamedTuple):
    path: str
    value: object


@dataclass(frozen=True, slots=True)
class _Place:
    """The contents of the job itself, or of one of an attribute's values."""

    path: str
    payload: Mapping[str, object]  # keys that go to the tasks as they are
    values: Mapping[int, _Values]  # by number of the attribute, 0 the outermost
    flags: Mapping[int, _Flag]  # the flag that cuts an attribute, by number of the attribute
    batch_sizes: Mapping[int, int]  # by number of the attribute

    def bare(self) -> dict[str, object]:
        """The contents as the job gives them, without flags."""
        return {**self.payload, **{values.key: values.bare() for values in self.values.values()}}

    def within(self, outer: _Place) -> _Place:
        """This place with the values, flags and keys of the outer one; inner ones win."""
        values = {**outer.values, **self.values}
        for number, flag in self.flags.items():
            if all(found > number for found in values):
                raise Refused(flag.path, flag.value, "expected values to cut beside it")
        return _Place(
            self.path,
            {**outer.payload, **self.payload},
            values,
            {**outer.flags, **self.flags},
            {**outer.batch_sizes, **self.batch_sizes},
        )

    def without(self, number: int) -> _Place:
        """This place without an attribute's values."""
        return replace(self, values={other: values for other, values in self.values.items() if other != number})


_NOWHERE: Final = _Place("", {}, {}, {}, {})


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads a job by the attributes of its schema."""

    attributes: tuple[str, ...]  # from outer to inner, in the singular
    hint: str  # added to the error for an unknown attribute
    rules: Rules

    def place(self, keys: Mapping[str, object], path: str = "", outermost: int = 0) -> _Place:
        """The contents at a path, where attributes from number `outermost` inward can have values."""
        payload: dict[str, object] = {}
        values: dict[int, _Values] = {}
        flags: dict[int, _Flag] = {}
        batch_sizes: dict[int, int] = {}
        for key, value in keys.items():
            here = f"{path}.{key}" if path else key
            if flag := _FLAG.fullmatch(key):
                if value is None:
                    continue
                number = self._number(flag["isolated"] or flag["batched"])
                if number is None:
                    raise Refused(here, value, self._known_flags())
                if flag["batched"]:
                    batch_sizes[number] = _validated(
                        self.rules.batch_size, here, value, "expected a whole number from 1"
                    )
                    flags[number] = _Flag(here, value)
                elif _validated(self.rules.flag, here, value, "expected true or false"):
                    flags.setdefault(number, _Flag(here, value))
            elif (number := self._number(key)) is None:
                if self.rules.refuses_misspelled and (flag_name := self._intended_flag(key)):
                    raise misspelled(here, value, flag_name)
                payload[key] = value
            elif value is not None:
                if number < outermost:
                    raise Refused(here, value, f"expected it further out, as the job schema is {self._order()}")
                if number in values:
                    raise Refused(here, value, f"expected either {values[number].key} or {key}, as they mean the same")
                values[number] = self._values(key, value, here, number)
        # A flag for an outer attribute has no effect here, as in sosw 0.7.
        flags = {number: flag for number, flag in flags.items() if number >= outermost}
        return _Place(path, payload, values, flags, batch_sizes)

    def _values(self, key: str, raw: object, path: str, number: int) -> _Values:
        names: Sequence[object]
        inner: dict[str, _Place] = {}
        problem = None
        if isinstance(raw, dict):
            names = list(raw)
            for name, within in raw.items():
                if isinstance(within, dict):
                    inner[name] = self.place(within, f"{path}.{name}", number + 1)
                elif within is not None:
                    problem = Refused(
                        f"{path}.{name}", within, "expected null, or an object with what lies in this value"
                    )
        else:
            names = raw if isinstance(raw, list | tuple) else [raw]
            if nested := [name for name in names if not isinstance(name, str | int | float)]:
                problem = Refused(path, nested[0], "expected texts and numbers in a list that is cut")
        if not names:
            problem = Refused(path, raw, "expected at least one value where they are cut")
        return _Values(key, plural(self.attributes[number]), raw, names, inner, problem)

    def _number(self, name: str) -> int | None:
        for number, attribute in enumerate(self.attributes):
            if name in (attribute, plural(attribute)):
                return number
        return None

    def _intended_flag(self, key: str) -> str | None:
        """The flag that a key was probably meant to be."""
        flags = [*self._isolating(), *self._batching()]
        if (word := spelling.intended(key, flags)) is not None:
            return word
        found = _FLAG_LIKE.fullmatch(key)
        if found is None:
            return None
        name = plural((found["isolated"] or found["batched"]).removesuffix("s"))
        flag = f"isolate_{name}" if found["isolated"] else f"max_{name}_per_batch"
        return flag if flag in flags else None

    def _isolating(self) -> list[str]:
        return [f"isolate_{name}" for name in (*_SPANS, *map(plural, self.attributes))]

    def _batching(self) -> list[str]:
        return [f"max_{name}_per_batch" for name in map(plural, self.attributes)]

    def _order(self) -> str:
        return " > ".join(self.attributes)

    def _known_flags(self) -> str:
        return f"expected one of {', '.join([*self._isolating(), *self._batching()])}{self.hint}"


def _validated(adapter: TypeAdapter[_T], path: str, value: object, expected: str) -> _T:
    try:
        return adapter.validate_python(value)
    except ValidationError as invalid:
        raise Refused(path, value, expected) from invalid


def _plan(job: Job, schemas: Mapping[str, JobSchema], today: date, rules: Rules) -> _Plan:
    days = job.dates(today)
    keys = job.keys if days is None else {key: value for key, value in job.keys.items() if key != DATE_LIST}
    place = _reader(job, schemas, rules).place(keys).within(_NOWHERE)
    plan = _cut_plan(place, rules.reserved) or _Whole(place.bare())
    if days is None:
        return plan
    spans = periods.spans(days, by_day=job.isolate_days, by_week=job.isolate_weeks, by_month=job.isolate_months)
    return _Branches(DATE_LIST, [([day.isoformat() for day in span], plan) for span in spans])


def _reader(job: Job, schemas: Mapping[str, JobSchema], rules: Rules) -> _Reader:
    known = f"the Worker's job schemas are {', '.join(sorted(schemas))}" if schemas else "the Worker has no job schemas"
    if job.job_schema_name is None:
        default = schemas.get("default")
        if default is None:
            return _Reader((), f"; no job schema is named and {known}", rules)
        return _Reader(default.chunkable_attrs, "", rules)
    if job.job_schema_name not in schemas:
        raise Refused("job_schema_name", job.job_schema_name, f"expected a known one: {known}")
    return _Reader(schemas[job.job_schema_name].chunkable_attrs, "", rules)


def _cut_plan(place: _Place, reserved: Set[str]) -> _Plan | None:
    """The plan of a place; None if nothing in it is cut.

    An attribute is cut if a flag says so or if an inner attribute is cut: tasks with different inner values cannot
    share a list of outer values.
    """
    if not place.values:
        return None
    number = min(place.values)
    values = place.values[number]
    rest = place.without(number)
    places = {name: within.within(rest) for name, within in values.inner.items()}
    cuts = {name: _cut_plan(within, reserved) for name, within in places.items()}
    alone = _cut_plan(rest, reserved) if len(places) < len(values.names) else None
    if number not in place.flags and alone is None and not any(cuts.values()):
        return None
    if values.problem:
        raise values.problem
    if not places:
        inner = alone or _whole(rest, reserved)
        return _Batches(values.plural, _unique(values.names), place.batch_sizes.get(number, 1), inner)
    return _Branches(
        values.plural,
        [
            ([name], cuts.get(name) or _whole(places[name], reserved))
            if name in places
            else ([name], alone or _whole(rest, reserved))
            for name in values.names
        ],
    )


def _whole(place: _Place, reserved: Set[str]) -> _Whole:
    payload = {**place.payload, **dict(values.uncut() for values in place.values.values())}
    for key, value in payload.items():
        if key in reserved:
            raise Refused(f"{place.path}.{key}", value, "expected another name, as every task has this one of its own")
    return _Whole(payload)


def _unique(names: Sequence[object]) -> Sequence[object]:
    """Each name once, in order. 1, 1.0 and true stay apart, as they differ in JSON and for a Worker."""
    if len(set(names)) == len(names):
        return names
    return list({(type(name), name): name for name in names}.values())
