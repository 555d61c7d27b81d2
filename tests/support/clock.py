"""Simulated time."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import Synchronized
from typing import Any

from tests.support.builders import NOON


class Clock:
    """Stands still until it is told otherwise. Stands in for the module `time` where a test patches it."""

    def __init__(self, now: int = NOON, *, pace: int = 0, processes: BaseContext | None = None) -> None:
        """A clock of all threads, or of all `processes` that it is handed to.

        Args:
            now: ms since the epoch.
            pace: ms that go by with each look at it.
            processes: multiprocessing's context by which they are started.
        """
        self.pace = pace
        self._now: _Value | Synchronized[int] = processes.Value("q", now) if processes else _Value(now)

    @property
    def now(self) -> int:
        """ms since the epoch; no time goes by."""
        return self._now.value

    @now.setter
    def now(self, now: int) -> None:
        self._now.value = now

    def read(self) -> int:
        """ms since the epoch, once the pace has gone by."""
        with self._now.get_lock():
            self._now.value += self.pace
            return self._now.value

    def advance(self, by: int) -> None:
        """Let milliseconds go by."""
        with self._now.get_lock():
            self._now.value += by

    def time_ns(self) -> int:
        """As `time.time_ns`."""
        return self.read() * 1_000_000

    def sleep(self, seconds: float) -> None:
        """As `time.sleep`, at once."""
        self.advance(round(seconds * 1000))


@dataclass
class _Value:
    """As multiprocessing's `Value`, of one process."""

    value: int
    lock: AbstractContextManager[Any] = field(default_factory=threading.Lock)

    def get_lock(self) -> AbstractContextManager[Any]:
        return self.lock
