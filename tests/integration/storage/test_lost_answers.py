"""A write whose first answer is lost is sent again, by botocore or by us, and is still told as done, once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from sosw_runtime.storage import jobs, slots
from sosw_runtime.storage.items import to_item
from sosw_runtime.storage.jobs import Cursor
from sosw_runtime.storage.tables import Tables
from tests.integration.storage.cases import CASES, STATES, put
from tests.support.builders import NO_DEADLINE, NOON, queued, slot
from tests.support.installation import Installation

#: Moves that nobody asks twice of: their caller does not go by the answer.
TOLD_AS_REPEATED = {"report of a success", "report of a failure", "announce"}


@contextmanager
def first_answer_lost(tables: Tables) -> Iterator[list[str]]:
    """Lose the answer to the first call of each operation; the operations that were lost so."""
    lost: list[str] = []

    def lose(operation: object, **_: object) -> float | None:
        name = getattr(operation, "name", "")
        if name in lost:
            return None
        lost.append(name)
        return 0  # seconds until botocore sends the same request again

    def lose_for_good(operation: object, **arguments: object) -> float | None:
        """Of a client that sends nothing again."""
        if lose(operation, **arguments) is not None:
            raise ReadTimeoutError(endpoint_url="https://dynamodb")
        return None

    with ExitStack() as stack:
        for client, handler in ((tables.client, lose), (tables.brief, lose_for_good)):
            events: Any = client.meta.events
            events.register_first("needs-retry.dynamodb", handler)
            stack.callback(events.unregister, "needs-retry.dynamodb", handler)
        yield lost


def knows_no_tokens(tables: Tables) -> bool:
    """moto does a transaction again whose token it has seen; AWS, and DynamoDB Local, answer as the first time."""
    return "amazonaws.com" in tables.client.meta.endpoint_url


@pytest.fixture
def tables(sosw: Installation) -> Tables:
    """The same tables by a client of the runtime's own."""
    return Tables.connect(sosw.tables.name)


@pytest.mark.parametrize("move", CASES)
def test_a_move_whose_answer_was_lost_is_done_once_and_told_as_done(
    sosw: Installation, tables: Tables, move: str
) -> None:
    case = CASES[move]
    for state, expected in case.legal.items():
        put(sosw, STATES[state])
        with first_answer_lost(tables) as lost:
            told = case.act(tables, STATES[state])
        assert len(lost) == 1, "a move is one call"
        [row] = [row for table in ("tasks", "retry_tasks", "closed_tasks") for row in sosw.rows(table)]
        assert row == to_item(expected), f"{move} of a {state} task"
        if lost == ["TransactWriteItems"] and knows_no_tokens(tables):
            continue
        assert bool(told) is (move not in TOLD_AS_REPEATED), f"{move} of a {state} task"


def test_a_slot_whose_answer_was_lost_is_known_as_taken(sosw: Installation, tables: Tables) -> None:
    first, second = slot(queued(0), claim="first"), slot(queued(1), claim="second")
    with first_answer_lost(tables) as lost:
        assert slots.take(tables, first, None, NO_DEADLINE)
    assert lost == ["PutItem"]
    with first_answer_lost(tables) as lost:
        assert slots.take(tables, second, first, NO_DEADLINE)
    assert lost == ["PutItem"]
    assert slots.occupied(tables, "resize") == [second]


def test_a_cursor_whose_answer_was_lost_is_known_as_moved(sosw: Installation, tables: Tables) -> None:
    fresh = Cursor("album", 0, "", 0)
    sosw.client.put_item(
        TableName=tables.registry,
        Item={
            "pk": {"S": "enqueuing"},
            "sk": {"S": "album"},
            "position": {"N": "0"},
            "holder": {"S": ""},
            "lease_until": {"N": "0"},
        },
    )
    with first_answer_lost(tables):
        held = jobs.take_over(tables, fresh, "me", NOON)
    assert held == Cursor("album", 0, "me", NOON)
    with first_answer_lost(tables):
        advanced = jobs.advance(tables, held, 500, NOON)
    assert advanced == jobs.cursor(tables, "album") == Cursor("album", 500, "me", NOON)
    assert jobs.advance(tables, held, 500, NOON) == advanced, "seen as it was before, it is the same step"
    assert jobs.take_over(tables, held, "another", NOON) is None
