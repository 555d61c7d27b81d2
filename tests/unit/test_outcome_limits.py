"""What is kept of results and stats: whatever a Worker returns, its completed task is completed."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sosw_runtime import worker as worker_module
from sosw_runtime.essentials.worker_assistant import _DestinationRecord, _parse
from sosw_runtime.outcome_limits import DEEPEST_VALUE, LARGEST_VALUE, replacement, to_json
from sosw_runtime.worker import ReportUndelivered, worker

TEXTS = st.text(max_size=8) | st.text(st.sampled_from('[]{}",:\\ \udce9\x00'), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
#: Levels that all, some and no versions of Python can go down.
LEVELS = st.sampled_from([0, 1, DEEPEST_VALUE - 3, DEEPEST_VALUE, DEEPEST_VALUE + 1, 700, 990, 3_000, 50_000])


@st.composite
def shapes(draw: st.DrawFn) -> Any:
    """A value inside any number of levels, itself or as JSON; some of them large."""
    value: Any = draw(VALUES | st.sampled_from([LARGEST_VALUE - 2, LARGEST_VALUE + 1]).map(lambda size: "x" * size))
    levels, as_text, in_objects = draw(LEVELS), draw(st.booleans()), draw(st.booleans())
    if as_text:
        before, after = ('{"a":', "}") if in_objects else ("[", "]")
        return before * levels + json.dumps(value) + after * levels
    for _ in range(levels):
        value = {"a": value} if in_objects else [value]
    return value


def is_kept(text: str | None) -> bool:
    """As JSON that every Python reads and writes again, and that DynamoDB takes."""
    if text is None:
        return True
    assert len(text.encode()) <= LARGEST_VALUE
    json.dumps(json.loads(text), indent=2)
    return True


def told(value: object) -> Any:
    """A report of a completed task."""
    return _parse({"action": "mark_task_as_completed", "task_id": "t", "result": value, "stats": value}).report()


@given(shapes())
@example("[" * 1_000_000)
@example('{"a":' * 20_000)
@example("1" * 5_000)
@example("NaN")
def test_whatever_is_reported_as_a_result_the_task_is_completed(value: Any) -> None:
    report = told(value)
    assert report.completed
    assert report.result == report.stats
    assert is_kept(report.result)


@given(shapes())
def test_whatever_lambda_tells_of_a_success_the_task_is_completed(value: Any) -> None:
    record = {
        "requestContext": {"condition": "Success"},
        "requestPayload": {"task_id": "t", "attempt": 1},
        "responsePayload": value,
    }
    report = _DestinationRecord.model_validate(record).report()
    assert report.completed
    assert is_kept(report.result)


@given(shapes())
def test_whatever_is_reported_as_an_error_the_task_is_failed(value: Any) -> None:
    for error in (value, {"type": value, "message": value}, {"type": "E", "message": value}):
        report = _parse({"action": "mark_task_as_failed", "task_id": "t", "error": error}).report()
        assert not report.completed
        assert report.error is not None
        assert len(report.error.to_json().encode()) < 8_000
    record = {
        "requestContext": {"condition": "RetriesExhausted"},
        "requestPayload": {"task_id": "t", "attempt": 1},
        "responsePayload": {"errorType": value, "errorMessage": value},
    }
    report = _DestinationRecord.model_validate(record).report()
    assert (report.completed, report.error is None) == (False, False)


@pytest.fixture(scope="module")
def reports() -> Iterator[list[Any]]:
    """What Workers report."""
    reports: list[Any] = []

    def deliver(report: Mapping[str, Any], _left: object) -> dict[str, Any]:
        reports.append(json.loads(json.dumps(report)))
        return {"accepted": True}

    logging.disable(logging.CRITICAL)
    with mock.patch.object(worker_module, "_deliver", deliver):
        yield reports
    logging.disable(logging.NOTSET)


@given(
    result=st.dictionaries(TEXTS, shapes().filter(lambda value: "NaN" not in _shown(value)), max_size=2),
    stats=st.dictionaries(TEXTS, st.integers(), max_size=2),
)
def test_whatever_a_worker_returns_its_completed_task_is_completed(
    reports: list[Any], result: dict[str, Any], stats: dict[str, int]
) -> None:
    @worker
    def handler(event: Any, context: Any) -> dict[str, Any]:
        handler.stats.update(stats)
        return result

    returned = handler({"task_id": "t"})
    report = reports.pop()
    assert report["action"] == "mark_task_as_completed"
    assert report["result"] == returned
    assert is_kept(told(report["result"]).result)
    assert returned == result or returned.keys() in ({"dropped"}, {"dropped_bytes", "largest_bytes"})


def _shown(value: object) -> str:
    """JSON of a value as far as it can be written; infinities are JSON in Python alone, as is NaN."""
    try:
        return to_json(value).replace("Infinity", "NaN")
    except RecursionError:
        return ""


@given(shapes(), shapes())
def test_an_undelivered_outcome_is_read_as_it_was_kept(result: Any, stats: Any) -> None:
    kept = [{"a": value} if replacement({"a": value}) is None else {"a": 1} for value in (result, stats)]
    message = str(ReportUndelivered("throttled", *kept))
    assert json.dumps(ReportUndelivered.outcome(message)) == json.dumps(kept)
