"""AWS clients of a Worker, each made once per process."""

# ruff: noqa: PLC0415 - boto3 is imported when first used, so that a Worker that needs none starts without

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Final

_CONNECT_TIMEOUT_SECONDS: Final = 2.0
_READ_TIMEOUT_SECONDS: Final = 60.0
_TRIES: Final = 3

_clients: dict[tuple[str, float, int], Any] = {}
_lock = Lock()


def client(service: str, *, read_timeout_seconds: float = _READ_TIMEOUT_SECONDS, tries: int = _TRIES) -> Any:
    """The boto3 client of a service, e.g. `client("s3")`: made once per process, when first asked for, by any thread.

    It waits 2 s for a connection and `read_timeout_seconds` for an answer; `tries` in all, with exponential back-off.
    """
    import boto3
    from botocore.config import Config

    with _lock:
        key = (service, read_timeout_seconds, tries)
        if key not in _clients:
            config = Config(
                connect_timeout=connect_timeout_seconds(read_timeout_seconds),
                read_timeout=read_timeout_seconds,
                retries={"mode": "standard", "total_max_attempts": tries},
            )
            make: Callable[..., Any] = boto3.client
            _clients[key] = make(service, config=config)
        return _clients[key]


def connect_timeout_seconds(read_timeout_seconds: float) -> float:
    """How long a client waits for a connection."""
    return min(_CONNECT_TIMEOUT_SECONDS, read_timeout_seconds)
