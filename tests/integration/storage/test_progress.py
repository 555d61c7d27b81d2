"""Progress of large jobs, at their real size: most of their items are laid by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import pytest

from sosw_runtime.domain.task import Status, Task
from sosw_runtime.storage import jobs, progress
from sosw_runtime.storage.items import Item, encoded
from sosw_runtime.storage.jobs import Cursor, JobRecord
from sosw_runtime.storage.progress import BLOCK, GROUP, LARGEST_UNGROUPED, Counts
from sosw_runtime.storage.tables import put_batches
from tests.support.builders import NOON, completed, job_record
from tests.support.environment import REGION
from tests.support.installation import Installation
from tests.support.moto_speed import hurried

#: Tasks of a group.
SIZE: Final = GROUP * BLOCK
#: What each group that is laid counts.
LAID: Final = Counts(SIZE - 5, 3, 2)
LARGE: Final = 27_000_000
HUGE: Final = 10**9


@pytest.fixture(autouse=True)
def _in_a_hurry() -> Iterator[None]:
    """There are many items."""
    with hurried(REGION):
        yield


def archive(total: int) -> JobRecord:
    return job_record("archive", total=total)


def numbers(some: Iterable[int]) -> Item:
    return {"NS": [str(number) for number in some]}


def lay_job(sosw: Installation, total: int, **sets: Iterable[int]) -> JobRecord:
    """An accepted job that has come as far as its sets say."""
    noted = {name: numbers(some) for name, some in sets.items()}
    sosw.client.put_item(TableName=sosw.tables.registry, Item=archive(total).to_item() | noted)
    return archive(total)


def lay_blocks(sosw: Installation, outcomes: dict[int, dict[str, Iterable[int]]]) -> None:
    """Blocks with the numbers of their closed tasks by outcome."""
    items = [
        encoded({"pk": f"progress#archive#{NOON}", "sk": f"{block:06d}"})
        | {outcome: numbers(some) for outcome, some in by_outcome.items()}
        for block, by_outcome in outcomes.items()
    ]
    put_batches(sosw.tables, sosw.tables.registry, [{"PutRequest": {"Item": item}} for item in items])


def lay_group(sosw: Installation, group: int, full_blocks: Iterable[int]) -> None:
    """A group, some of whose blocks are full."""
    key = encoded({"pk": f"progress_groups#archive#{NOON}", "sk": f"{group:05d}"})
    full = list(full_blocks)
    sosw.client.put_item(TableName=sosw.tables.registry, Item=key | ({"full_blocks": numbers(full)} if full else {}))


def lay_full_groups(sosw: Installation, groups: Iterable[int]) -> None:
    items = [
        encoded(
            {
                "pk": f"progress_groups#archive#{NOON}",
                "sk": f"{group:05d}",
                "completed": LAID.completed,
                "dead": LAID.dead,
                "cancelled": LAID.cancelled,
            }
        )
        for group in groups
    ]
    put_batches(sosw.tables, sosw.tables.registry, [{"PutRequest": {"Item": item}} for item in items])


def of_block(block: int) -> range:
    return range(block * BLOCK, (block + 1) * BLOCK)


def task(number: int, status: Status = Status.COMPLETED) -> Task:
    return replace(completed(number), job_id="archive", status=status)


def group_item(sosw: Installation, group: int) -> Item:
    key = encoded({"pk": f"progress_groups#archive#{NOON}", "sk": f"{group:05d}"})
    return sosw.client.get_item(TableName=sosw.tables.registry, Key=key)["Item"]


def times(count: int, counts: Counts) -> Counts:
    return Counts(count * counts.completed, count * counts.dead, count * counts.cancelled)


@pytest.mark.parametrize("total", [LARGEST_UNGROUPED + 1, LARGE, HUGE])
def test_a_job_of_any_size_is_closed_with_its_last_task(sosw: Installation, total: int) -> None:
    last = (total - 1) // SIZE
    *others, block = range(last * GROUP, -(-total // BLOCK))
    lay_job(sosw, total, full_groups=range(last))
    lay_full_groups(sosw, range(last))
    lay_blocks(sosw, {other: {"completed": of_block(other)} for other in others})
    lay_group(sosw, last, others)
    numbers = range(block * BLOCK, total)
    for number in numbers[1:]:
        assert progress.add_closed(sosw.tables, [task(number)], NOON, None) == []
    for _ in range(2):
        [job] = progress.add_closed(sosw.tables, [task(numbers[0])], NOON, None)
    assert progress.is_full(job)
    found = progress.counts(sosw.tables, job)
    assert found == times(last, LAID) + Counts(completed=total - last * SIZE)
    assert progress.close(sosw.tables, job, found, NOON, None)
    assert progress.add_closed(sosw.tables, [task(total - 1)], NOON, None) == []


def test_the_item_of_a_job_has_room_for_the_most_blocks(sosw: Installation) -> None:
    blocks = LARGEST_UNGROUPED // BLOCK
    lay_job(sosw, LARGEST_UNGROUPED, full_blocks=range(blocks - 1))
    lay_blocks(sosw, {blocks - 1: {"completed": of_block(blocks - 1)[1:]}})
    [job] = progress.add_closed(sosw.tables, [task((blocks - 1) * BLOCK)], NOON, None)
    assert progress.is_full(job)
    assert progress.close(sosw.tables, job, Counts(LARGEST_UNGROUPED), NOON, 30)
    assert progress.remembered_ids(sosw.tables, "grouped") == []


def test_a_full_group_holds_counts_instead_of_blocks(sosw: Installation) -> None:
    job = lay_job(sosw, LARGE)
    lay_blocks(sosw, {block: {"completed": of_block(block)} for block in range(1, GROUP)})
    lay_blocks(sosw, {0: {"completed": range(1, BLOCK - 1), "dead": [BLOCK - 1]}})
    lay_group(sosw, 0, range(2, GROUP))
    assert progress.add_closed(sosw.tables, [task(BLOCK)], NOON, 30) == []
    assert len(group_item(sosw, 0)["full_blocks"]["NS"]) == GROUP - 1

    assert progress.add_closed(sosw.tables, [task(0)], NOON, 30) == []
    found = group_item(sosw, 0)
    assert {name: found[name]["N"] for name in ("completed", "dead", "cancelled")} == {
        "completed": str(SIZE - 1),
        "dead": "1",
        "cancelled": "0",
    }
    assert "full_blocks" not in found
    [block] = [row for row in sosw.rows("registry") if row["sk"]["S"] == "000000"]
    assert found["expires_at"] == block["expires_at"], "it is kept as long"
    stored = jobs.get(sosw.tables, "archive")
    assert stored is not None
    assert (stored.full_blocks, stored.full_groups) == (frozenset(), frozenset({0}))
    assert progress.remembered_ids(sosw.tables, "grouped") == ["archive"]

    assert progress.add_closed(sosw.tables, [task(BLOCK - 1, Status.CANCELLED)], NOON, 30) == []
    assert progress.counts(sosw.tables, job) == Counts(SIZE - 1, 0, 1), "what was dead is cancelled"


def test_blocks_of_six_and_seven_digits_are_read_between_full_groups(sosw: Installation) -> None:
    job = lay_job(sosw, HUGE)
    lay_full_groups(sosw, [389, 391, 3905, 3907])
    inside = [0, 99_840, 100_000, 100_095, 100_352, 999_936, 999_999, 1_000_000, 1_000_191, 1_000_960, 3_906_249]
    # Of full groups, or of none; as texts they lie among the others.
    outside = [99_839, 100_096, 999_935, 1_000_192]
    lay_blocks(sosw, {block: {"completed": [block * BLOCK]} for block in (*inside, *outside)})
    assert progress.counts(sosw.tables, job) == times(4, LAID) + Counts(completed=len(inside))


def test_what_0_1_0_noted_on_a_large_job_is_moved_to_its_groups(sosw: Installation) -> None:
    total, left = LARGE, 30
    groups = range(-(-total // SIZE))
    lay_job(sosw, total, full_blocks=range(left * GROUP), full_groups=groups[left:])
    lay_full_groups(sosw, groups[left:])
    lay_blocks(sosw, {block: {"completed": of_block(block)} for block in range(GROUP)})
    seen = []
    job = jobs.get(sosw.tables, "archive")
    while job is not None and job.full_blocks:
        seen.append((len(job.full_blocks), len(job.full_groups)))
        job = progress.regroup(sosw.tables, job, NOON, None)
    assert seen == [(left * GROUP, len(groups) - left), (10 * GROUP, len(groups) - 10)]
    assert job is not None
    assert progress.is_full(job)
    assert progress.counts(sosw.tables, job) == times(len(groups) - left, LAID) + Counts(SIZE)


def test_blocks_that_were_noted_on_a_job_that_is_gone_are_moved_nowhere(sosw: Installation) -> None:
    job = replace(lay_job(sosw, LARGE, full_blocks=[0]), full_blocks=frozenset({0}), created_at=NOON - 1)
    assert progress.regroup(sosw.tables, job, NOON, None) is None
    stored = jobs.get(sosw.tables, "archive")
    assert stored is not None
    assert stored.full_blocks == {0}


def test_the_rest_of_a_large_job_that_was_cancelled_is_counted_in_groups(sosw: Installation) -> None:
    written = SIZE + 3 * BLOCK + 1
    job = lay_job(sosw, LARGE, full_groups=[0])
    lay_full_groups(sosw, [0])
    lay_blocks(sosw, {block: {"completed": of_block(block)} for block in range(GROUP, GROUP + 3)})
    assert progress.add_closed(sosw.tables, [task(number) for number in range(SIZE, written, BLOCK)], NOON, None) == []
    position, steps, full = written, list[int](), list[JobRecord]()
    while position < job.total:
        reached, full = progress.add_unwritten(sosw.tables, job, position, NOON, None)
        steps.append(reached - position)
        position = reached
    assert set(steps[:12]) == {20 * BLOCK}
    assert sum(steps[:13]) == 2 * SIZE - written, "to the end of the group of which some is written"
    assert set(steps[13:-1]) == {20 * SIZE}
    assert [record.job_id for record in full] == ["archive"]
    assert progress.add_unwritten(sosw.tables, job, 2 * SIZE, NOON, None)[1] == full, "repeated, it changes nothing"
    assert progress.counts(sosw.tables, job) == LAID + Counts(completed=3 * BLOCK + 1, cancelled=LARGE - written)


def test_a_cursor_of_a_huge_job_comes_to_its_end(sosw: Installation) -> None:
    """Positions and sort keys of nine digits are stored as they are."""
    jobs.accept(sosw.tables, archive(HUGE), jobs.compress("{}"), Cursor("archive", 0, "taker", NOON))
    held = jobs.cursor(sosw.tables, "archive")
    assert held is not None
    advanced = jobs.advance(sosw.tables, held, HUGE - 1, NOON)
    assert advanced is not None
    assert advanced.position == HUGE - 1
