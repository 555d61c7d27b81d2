"""An installation on an emulator that enforces every policy, and how to wait for what happens in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import boto3

from tests.support.ministack import MiniStack
from tests.support.terraform import Terraform

Found = TypeVar("Found")


@dataclass(frozen=True)
class Installation:
    """What Terraform applied, as it runs."""

    aws: MiniStack
    terraform: Terraform
    outputs: dict[str, Any]

    def client(self, service: str) -> Any:
        """An AWS client of the administrator."""
        session = boto3.Session(
            aws_access_key_id=self.aws.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.aws.environment["AWS_SECRET_ACCESS_KEY"],
            region_name=self.aws.environment["AWS_REGION"],
        )
        return session.client(cast("Any", service), endpoint_url=self.aws.endpoint)


def eventually(look: Callable[[], Found], seconds: float = 60) -> Found:
    """What `look` finds, once it finds something or the time is over."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
