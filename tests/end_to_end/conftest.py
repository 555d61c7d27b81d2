"""A deployment on an emulator that enforces every policy, and how to wait for what happens in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.support.ministack import MiniStack
from tests.support.terraform import Terraform

Found = TypeVar("Found")


@dataclass(frozen=True)
class Deployment:
    """An installation that Terraform applied, as it runs."""

    aws: MiniStack
    terraform: Terraform
    outputs: dict[str, Any]

    def client(self, service: str) -> Any:
        """An AWS client of the administrator."""
        return self.aws.client(service)


def eventually(look: Callable[[], Found], seconds: float = 60) -> Found:
    """What `look` finds, once it finds something or the time is over."""
    deadline = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
