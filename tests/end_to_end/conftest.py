"""The complete example, applied once to an emulator that enforces every policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from examples.complete import build, demo
from examples.complete.outcome import Plan

from tests.support.ministack import MiniStack, ministack
from tests.support.terraform import Terraform


@dataclass(frozen=True)
class Installation:
    """The example as it runs."""

    aws: MiniStack
    terraform: Terraform
    outputs: dict[str, Any]
    plan: Plan

    def client(self, service: str) -> Any:
        """An AWS client of the administrator."""
        session = boto3.Session(
            aws_access_key_id=self.aws.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.aws.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.aws.environment["AWS_REGION"],
        )
        return session.client(cast("Any", service), endpoint_url=self.aws.endpoint)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Ten days with the station down on one, a Worker killed on another and one row damaged."""
    plan = Plan(date(2012, 10, 7), 10, (7,), kills_on="2012-10-09", damaged_day=build.DAMAGED_DAY)
    packages = demo.essentials_package(), build.build()
    scratch: Path = tmp_path_factory.mktemp("complete")
    with ministack("end-to-end") as aws:
        terraform = demo.apply(scratch, aws, plan, *packages)
        yield Installation(aws, terraform, terraform.output(), plan)
