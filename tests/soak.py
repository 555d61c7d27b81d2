"""`make soak`: the state machine of the guarantees for longer, with a new seed for every round.

Ends by itself after `--minutes` and prints rounds, steps, faults by kind and violations. Exit code 1: a guarantee was
violated; the seed that is printed tells the same story again.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import boto3
import typer
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from moto import mock_aws
from rich.console import Console
from rich.table import Table

from sosw_runtime.testing import create_tables
from tests.guarantees.invariants import Watch
from tests.guarantees.machine import Machine
from tests.support.environment import NOBODYS, REGION, inherited
from tests.support.lambdas import FakeLambda
from tests.support.moto_speed import hurried
from tests.support.world import World

STORIES_A_ROUND: Final = 10
STEPS_A_STORY: Final = 50
NAME: Final = "sosw-soak"

console = Console()


@contextmanager
def world() -> Iterator[World]:
    """An installation on moto, in an environment that reaches no account."""
    for variable in inherited():
        del os.environ[variable]
    os.environ |= {**NOBODYS, "SOSW_NAME": NAME}
    only_lambda_is_ours: Any = {"core": {"mock_credentials": False, "passthrough": {"services": ["lambda"]}}}
    with FakeLambda() as lambdas, mock_aws(config=only_lambda_is_ours), hurried(REGION):
        dynamodb = boto3.client("dynamodb")
        create_tables(dynamodb, NAME)
        with World(dynamodb, NAME, lambdas, in_memory=True) as made:
            yield made


def play(made: World, round_seed: int, faults: Counter[str]) -> int:
    """One round of stories; the number of its steps.

    Raises:
        AssertionError: a guarantee was violated.
    """
    steps = 0

    class Soaked(Machine):
        world = made
        watch = Watch(made)
        counted = staticmethod(lambda what: faults.update([what]))

        @invariant()
        def a_step_more(self) -> None:
            nonlocal steps
            steps += 1

    run_state_machine_as_test(
        seed(round_seed)(Soaked),
        settings=settings(
            max_examples=STORIES_A_ROUND,
            stateful_step_count=STEPS_A_STORY,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # a story is told again by its seed
            suppress_health_check=list(HealthCheck),
        ),
    )
    return steps


def main(
    minutes: Annotated[float, typer.Option(help="How long to go on, at the most a day.", min=0.1, max=1440)] = 15,
    first_seed: Annotated[int, typer.Option("--seed", help="Of the first round; the next ones follow.")] = 1000,
) -> None:
    """Run the state machine of the guarantees for longer."""
    ends_at, rounds, steps, violations = time.monotonic() + 60 * minutes, 0, 0, 0
    faults: Counter[str] = Counter()
    with world() as made, console.status("the first round") as status:
        while time.monotonic() < ends_at and not violations:
            try:
                steps += play(made, first_seed + rounds, faults)
            except AssertionError as violated:
                violations += 1
                console.print(f"seed {first_seed + rounds}: {violated}", markup=False)
            rounds += 1
            status.update(f"{rounds} rounds, {steps:,} steps, {faults.total():,} faults, {violations} violations")
    table = Table("", "", show_header=False)
    table.add_row("Stories", f"{rounds * STORIES_A_ROUND:,}")
    table.add_row("Steps", f"{steps:,}")
    table.add_row("Faults", f"{faults.total():,}")
    for fault, count in faults.most_common():
        table.add_row(f"  {fault}", f"{count:,}")
    table.add_row("Violations", f"{violations}")
    console.print(table)
    raise typer.Exit(int(violations > 0))


if __name__ == "__main__":
    typer.run(main)
