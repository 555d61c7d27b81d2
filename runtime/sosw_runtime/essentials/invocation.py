"""The context of one invocation of an Essential: settings, tables, clock and deadline."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from math import floor
from typing import Protocol, Self
from uuid import uuid4

from sosw_runtime import __version__, aws, telemetry
from sosw_runtime.settings import Settings
from sosw_runtime.storage.tables import Tables

#: Reserve at the end of an invocation in which no work begins, in ms: every pending call can time out in it. A short
#: invocation reserves a quarter of its time.
_RESERVE_MS = 12_000

#: Length of an invocation without a Lambda context (in a test or a shell), in ms.
_DEFAULT_REMAINING_MS = 60_000


class LambdaContext(Protocol):
    """The part of Lambda's context that is used here."""

    aws_request_id: str

    @property
    def invoked_function_arn(self) -> str:
        """ARN of the function, with the alias if it was invoked by one."""

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda stops the invocation."""


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def sleep(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Invocation:
    """Settings, tables, the clock and the deadline of one invocation."""

    settings: Settings
    tables: Tables
    request_id: str
    ends_at: int  # ms, when Lambda stops it
    reserve: int = _RESERVE_MS  # ms before `ends_at` in which no work begins
    clock: Callable[[], int] = now_ms
    sleep: Callable[[float], None] = sleep

    @classmethod
    def begin(cls, context: LambdaContext | None) -> Self:
        """Read the settings and take the clients of this process."""
        settings = Settings()
        if settings.is_of_another_version:
            _count_version_mismatch(settings)
        remaining = _DEFAULT_REMAINING_MS if context is None else context.get_remaining_time_in_millis()
        return cls(
            settings=settings,
            tables=Tables.connect(settings.name),
            request_id=str(uuid4()) if context is None else context.aws_request_id,
            ends_at=now_ms() + remaining,
            reserve=min(_RESERVE_MS, remaining // 4),
        )

    @property
    def out_of_time(self) -> bool:
        """Whether no more work should be begun."""
        return not self.has_time()

    def has_time(self) -> bool:
        """Whether more work may be begun."""
        return self.has_time_until(self.clock())

    def has_time_until(self, at: int) -> bool:
        """Whether more work may be begun at a time (ms)."""
        return at <= self.ends_at - self.reserve

    def share(self, part: float) -> Self:
        """This invocation with a part of its remaining time."""
        now = self.clock()
        left = self.ends_at - self.reserve - now
        return replace(self, ends_at=now + floor(part * left) + self.reserve)


def _count_version_mismatch(settings: Settings) -> None:
    """Count an invocation of a package that is not the pinned version. Neighbouring versions work together."""
    essential = os.environ.get("POWERTOOLS_SERVICE_NAME", "essentials")
    _warn_once(essential, settings.pinned_version)
    telemetry.count(essential, settings.name, {"VersionMismatch": 1})


@cache
def _warn_once(essential: str, pinned: str) -> None:
    """Log the mismatch once a process."""
    about = {"pinned": pinned, "package": __version__}
    telemetry.logger(essential).warning("the package is not of the pinned version", extra=about)


def invoke_scheduler(invocation: Invocation, job_id: str) -> None:
    """Invoke the Scheduler asynchronously to write the rest of a job."""
    aws.lambda_().invoke(
        FunctionName=invocation.settings.function("scheduler"),
        InvocationType="Event",
        Payload=json.dumps({"resume": job_id}).encode(),
    )
