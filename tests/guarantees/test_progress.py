"""Jobs of any size are counted rightly: in any order, repeated, and with a fault at any call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sosw_runtime.domain.task import Status, Task
from sosw_runtime.storage import jobs, progress
from sosw_runtime.storage.jobs import Cursor, JobRecord
from tests.support.builders import NOON, completed, job_record
from tests.support.faults import Call, Fault, Stop
from tests.support.world import World

pytestmark = pytest.mark.parametrize("dynamodb", ["moto"], indirect=True)

#: Blocks of two tasks, groups of two blocks: one group, the last one full or not, of full blocks or not, and several.
_SIZES: Final = st.integers(1, 11)

#: What a task comes to, one after the other.
_OUTCOMES: Final = st.sampled_from(
    [
        (Status.COMPLETED,),
        (Status.CANCELLED,),
        (Status.DEAD,),
        (Status.DEAD, Status.COMPLETED),
        (Status.DEAD, Status.CANCELLED),
    ]
)
#: By the number of the call.
_STRIKES: Final = st.dictionaries(st.integers(0, 6), st.sampled_from(Fault), max_size=2)


def _task(number: int, status: Status) -> Task:
    return replace(completed(number), job_id="album", status=status)


def _counts(world: World, job: JobRecord) -> Counter[str]:
    return +Counter(asdict(progress.counts(world.tables, job)))


def _last(told: Sequence[Task]) -> Counter[str]:
    """What became of the tasks in the end: of death there is a return, and from elsewhere none."""
    last = {task.number: task.status for task in sorted(told, key=lambda task: task.status is not Status.DEAD)}
    return Counter(str(status) for status in last.values())


def _struck(strikes: dict[int, Fault], call: Call) -> Fault | None:
    return strikes.get(call.number)


@st.composite
def _batches(draw: st.DrawFn, outcomes: Sequence[Sequence[Status]]) -> list[list[Task]]:
    """All that becomes of a job's tasks, each one's in its order, in batches; some are told twice."""
    times = [(draw(st.integers(0, 9)), number) for number, some in enumerate(outcomes) for _ in some]
    left = {number: list(some) for number, some in enumerate(outcomes)}
    told = [_task(number, left[number].pop(0)) for _, number in sorted(times)]
    batches = []
    while told:
        size = draw(st.integers(1, 4))
        batches += [told[:size]] * draw(st.integers(1, 2))
        told = told[size:]
    return batches


@given(data=st.data(), total=_SIZES)
@settings(
    max_examples=100,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_a_job_is_done_once_all_of_it_is_counted(world: World, data: st.DataObject, total: int) -> None:
    world.clear()
    written = data.draw(st.integers(0, total))  # what is not is cancelled with its job
    outcomes = [data.draw(_OUTCOMES) for _ in range(written)]
    job = job_record(total=total)
    jobs.accept(world.tables, job, b"", Cursor("album", written, "", 0))

    def counted(batch: Sequence[Task]) -> list[JobRecord]:
        return progress.add_closed(world.tables, batch, NOON, 30)

    again: list[list[Task]] = []
    told: list[Task] = []
    for batch in data.draw(_batches(outcomes)):
        told += batch
        try:
            with world.faults.armed(partial(_struck, data.draw(_STRIKES))):
                done = counted(batch)
        except (Exception, Stop):  # noqa: BLE001 - whatever it is, the Scavenger has the batch again
            again.append(batch)
        else:
            assert not done or len({task.number for task in told}) == total, "it is not over"
        for _ in range(data.draw(st.integers(0, len(again)))):
            counted(again.pop(0))
        world.faults.deliver_late()
        if not again:
            assert _counts(world, job) == _last(told)
    for batch in again:
        counted(batch)
    position = written
    while position < total:
        try:
            with world.faults.armed(partial(_struck, data.draw(_STRIKES))):
                position, _ = progress.add_unwritten(world.tables, job, position, NOON, 30)
        except (Exception, Stop):  # noqa: BLE001 - the tick tries again
            continue
    world.faults.deliver_late()

    assert _counts(world, job) == _last(told) + Counter(cancelled=total - written)
    groups = [item for item in world.rows("registry") if item["pk"].startswith("progress_groups#")]
    if groups:
        noted = sum((Counter({name: item[name] for name in _counts(world, job)}) for item in groups), Counter())
        assert noted == _counts(world, job), "each full group holds its counts"
    stored = jobs.get(world.tables, "album")
    assert stored is not None
    assert progress.is_full(stored)
    assert progress.is_grouped(stored) == bool(stored.full_groups) == (total > progress.LARGEST_UNGROUPED)
    if told:
        assert counted(told[-1:]) == [stored], "until it is closed, it is told again"
    assert progress.close(world.tables, stored, progress.counts(world.tables, job), NOON, 30)
