"""What holds for every job that can be cut, whatever its shape."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sosw_runtime.domain.chunking import JobSchema, payloads
from sosw_runtime.domain.job import parse

TODAY = date(2024, 5, 15)
ATTRIBUTES = ("section", "store", "product")
SPANS = ("days", "weeks", "months")
SCHEMAS = {"default": JobSchema(chunkable_attrs=ATTRIBUTES)}

Json = dict[str, Any]
names = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True)


def flags(outermost: int) -> st.SearchStrategy[Json]:
    """Flags for the attributes from a level inward."""
    inward = [f"{attribute}s" for attribute in ATTRIBUTES[outermost:]]
    return st.fixed_dictionaries(
        {},
        optional={f"isolate_{name}": st.just(True) for name in inward}
        | {f"max_{name}_per_batch": st.integers(1, 3) for name in inward},
    )


def values(level: int) -> st.SearchStrategy[object]:
    """Values of the attribute of a level, with anything further in."""
    flat: st.SearchStrategy[object] = names | st.sampled_from("abc") | names.map(dict.fromkeys)
    inner = st.just({"note": 1}) if level + 1 == len(ATTRIBUTES) else place(level + 1)
    return flat | st.dictionaries(st.sampled_from("abcdef"), st.none() | inner, min_size=1, max_size=4)


def place(level: int) -> st.SearchStrategy[Json]:
    """What may stand in a value: the next attribute's values, flags and a key of its own."""
    return st.builds(
        lambda found, key, given_flags, own: {**given_flags, key: found, **own},
        values(level),
        st.sampled_from([ATTRIBUTES[level], f"{ATTRIBUTES[level]}s"]),
        flags(level),
        st.just({}) | st.just({f"own_{level}": True}),
    )


calendars: st.SearchStrategy[Json] = st.just({}) | st.builds(
    lambda period, spans: {"period": period, **spans},
    st.sampled_from(["today", "last_9_days", "previous_week", "last_2_months"]),
    st.dictionaries(st.sampled_from([f"isolate_{span}" for span in SPANS]), st.just(True)),
)
jobs = st.builds(lambda calendar, attributes: {"worker": "crawl", **calendar, **attributes}, calendars, place(0))


def tasks(job: Json) -> list[Json]:
    return list(payloads(parse(job).job, SCHEMAS, TODAY))


def paths(place: Json, level: int = 0) -> Iterator[tuple[str, ...]]:
    """Every way from the outermost to an innermost value of a job or a payload, e.g. `("a", "x", "1")`."""
    if level == len(ATTRIBUTES):
        yield ()
        return
    found = place.get(f"{ATTRIBUTES[level]}s", place.get(ATTRIBUTES[level]))
    if found is None:
        # A payload has further in what a job has in the value: look on beside it.
        yield from paths(place, level + 1)
    elif isinstance(found, dict):
        for name, inner in found.items():
            for rest in paths({**_further_in(place, level), **(inner or {})}, level + 1):
                yield (f"{level}:{name}", *rest)
    else:
        for value in found if isinstance(found, list) else [found]:
            name, inner = next(iter(value.items())) if isinstance(value, dict) else (value, {})
            for rest in paths({**_further_in(place, level), **(inner or {})}, level + 1):
                yield (f"{level}:{name}", *rest)


def _further_in(place: Json, level: int) -> Json:
    further_in = [spelling for name in ATTRIBUTES[level + 1 :] for spelling in (name, f"{name}s")]
    return {key: found for key, found in place.items() if key in further_in}


@given(jobs)
def test_tasks_cover_the_job_exactly_once(job: Json) -> None:
    days = [day for task in tasks({"worker": "crawl", **_calendar(job)}) for day in task.get("date_list", [None])]
    covered = Counter(
        (day, path) for task in tasks(job) for day in task.get("date_list", [None]) for path in paths(task)
    )

    assert len(set(days)) == len(days)
    assert covered == Counter((day, path) for day in days for path in paths(job))


def _calendar(job: Json) -> Json:
    return {key: value for key, value in job.items() if key == "period" or key.removeprefix("isolate_") in SPANS}


@given(jobs)
def test_no_task_is_empty(job: Json) -> None:
    found = tasks(job)

    assert found
    for task in found:
        assert task.keys() & {"section", "sections"}
        assert all(task[key] for key in task)


@given(jobs)
def test_batch_sizes_and_isolation_hold(job: Json) -> None:
    for task in tasks(job):
        for name in (f"{attribute}s" for attribute in ATTRIBUTES):
            found = task.get(name, [])
            # Only flags of the job itself hold for every task, and only where there is nothing further in.
            if isinstance(found, list) and not any(isinstance(value, dict) for value in found):
                if f"max_{name}_per_batch" in job:
                    assert len(found) <= max(_sizes(job, name))
                elif f"isolate_{name}" in job:
                    assert len(found) <= max([1, *_sizes(job, name)])


def _sizes(place: object, name: str) -> list[int]:
    """Every batch size that is given anywhere in a job for an attribute."""
    if not isinstance(place, dict):
        return []
    here = [value for key, value in place.items() if key == f"max_{name}_per_batch"]
    return here + [size for inner in place.values() for size in _sizes(inner, name)]


@given(jobs)
def test_no_flag_and_no_calendar_key_reaches_a_worker(job: Json) -> None:
    text = json.dumps(tasks(job))

    assert "isolate_" not in text
    assert "per_batch" not in text
    assert '"period"' not in text


@given(jobs)
def test_order_is_stable(job: Json) -> None:
    found = tasks(job)

    assert tasks(json.loads(json.dumps(job))) == found


@given(jobs)
def test_outer_values_of_cut_jobs_stay_together(job: Json) -> None:
    order = [(task.get("date_list"), json.dumps(task.get("sections", task.get("section")))) for task in tasks(job)]

    assert [key for number, key in enumerate(order) if key not in order[:number]] == [
        key for number, key in enumerate(order) if number == 0 or order[number - 1] != key
    ]


@given(jobs)
def test_cutting_is_idempotent(job: Json) -> None:
    in_force: Json = {key: True for key in (f"isolate_{span}" for span in SPANS) if key in job}
    for name in (f"{attribute}s" for attribute in ATTRIBUTES):
        if {f"isolate_{name}", f"max_{name}_per_batch"} & job.keys():
            sizes = _sizes(job, name)
            in_force |= {f"max_{name}_per_batch": max(sizes)} if sizes else {f"isolate_{name}": True}

    for task in tasks(job):
        assert tasks({"worker": "crawl", **task, **in_force}) == [task]
