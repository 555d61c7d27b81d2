"""Whatever JSON comes, the Scheduler answers, or refuses and names a field; AWS never has to."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sosw_runtime.domain.task import Status
from sosw_runtime.errors import Refused
from sosw_runtime.essentials import scheduler
from tests.support.builders import DAY, NOON
from tests.support.installation import Installation

# All that Lambda hands over: its own reader takes numbers of any size, NaN, and halves of surrogate pairs.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    [
        "",
        "#",
        "a" * 257,
        "a" * 3000,
        "\U0001f600" * 256,
        "\x00",
        "\n",
        "\ud83d",
        "0001-01-01",
        "9999-12-31",
        "NaN",
        ":",
        "1",
    ]
)
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([-1, 0, 10**11, 10**13 - 1, 10**13, NOON * 1000, 10**400, 1e308, True])
)
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)
DAYS = st.sampled_from(
    ["0001-01-01", "0001-01-02", "1969-12-31", "2024-02-29", "9999-12-30", "9999-12-31", "2024-02-30"]
)
TIMES = st.sampled_from(
    ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59", "2026-03-10T12:00", "2300-01-01"]
)

#: What each key may reasonably be, so that not everything is refused by the first key that is looked at.
LIKELY: dict[str, st.SearchStrategy[Any]] = {
    "worker": st.sampled_from(
        ["resize", "resize:live", ":w", "w:", "arn:aws:lambda:eu-west-1:1:function:", "function:resize:live"]
    ),
    "lambda_name": st.just("resize"),
    "job_id": TEXTS,
    "job_schema_name": st.sampled_from(["default", "other", ""]),
    "priority": NUMBERS | st.sampled_from(["5", 9, 10]),
    "time_zone": st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo", "../etc/passwd", "Europe", "a" * 5000]),
    "start_at": NUMBERS | TIMES,
    "period": st.sampled_from(["today", "last_week", "N_days_back", "last_²_days"])
    | st.integers(0, 10**7).flatmap(
        lambda n: st.sampled_from([f"last_{n}_days", f"{n}_days_back", f"last_{n}_months", f"previous_{n}_days"])
    )
    | st.just(f"last_{'9' * 5000}_days"),
    "start_date": DAYS,
    "end_date": DAYS,
    "date_list": st.lists(DAYS, max_size=3),
    **dict.fromkeys(["isolate_days", "isolate_weeks", "isolate_months", "isolate_sections"], st.booleans()),
    "max_sections_per_batch": NUMBERS | st.just(2),
    "sections": st.lists(SCALARS, max_size=3) | st.dictionaries(TEXTS, VALUES, max_size=3),
    "stores": st.lists(SCALARS, max_size=3),
    "resume": TEXTS,
}
SOME_KEYS = st.lists(st.sampled_from(sorted(LIKELY)), max_size=3, unique=True).flatmap(
    lambda keys: st.fixed_dictionaries({key: LIKELY[key] for key in keys})
)
#: A job that would be taken, but for a few keys.
JOBS = st.builds(
    lambda some, others: {"worker": "resize", **others, **some},
    SOME_KEYS,
    st.just({}) | st.dictionaries(TEXTS | st.sampled_from(sorted(LIKELY)), VALUES, max_size=1),
)
ENVELOPES = st.fixed_dictionaries({"job": JOBS}, optional={"id": TEXTS | SCALARS, "time": TIMES | SCALARS})
OWN = st.fixed_dictionaries({"detail-type": TEXTS, "detail": JOBS | ENVELOPES, "id": TEXTS, "time": TIMES | SCALARS})
EVENTS = JOBS | ENVELOPES | OWN | VALUES | st.dictionaries(st.sampled_from(["resume", "job"]), VALUES, min_size=1)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS | EVENTS.map(json.dumps))
def test_any_event_is_answered_or_refused_by_a_field(
    sosw: Installation, monkeypatch: pytest.MonkeyPatch, event: Any
) -> None:
    sosw.register(job_schemas={"default": {"chunkable_attrs": ["section", "store"]}})
    # Of a job of very many tasks one window is enough.
    monkeypatch.setattr(scheduler, "WINDOW", 25)
    monkeypatch.setattr(scheduler, "_ANSWER_WITHIN_MS", -1)

    try:
        answer = sosw.submit(event)
    except Refused as refused:
        said = json.loads(str(refused))
        assert said["message"].startswith(f"{said['field']}: ")
        assert len(said["message"].encode()) < 1000
    else:
        assert answer.keys() == {"job_id", "tasks", "first_start"}
        assert answer["tasks"] > 0
        assert answer["first_start"] >= NOON
        json.dumps(answer).encode()


@pytest.mark.parametrize("start_at", ["2286-11-20T17:46:39.999Z", NOON + DAY])
def test_the_latest_start_waits_until_it_is_due(sosw: Installation, start_at: object) -> None:
    sosw.register()
    sosw.submit({"worker": "resize", "start_at": start_at})
    sosw.clock.advance(DAY - 1)
    sosw.tick_scavenger()
    assert [task.status for task in sosw.all_tasks()] == [Status.WAITING]
