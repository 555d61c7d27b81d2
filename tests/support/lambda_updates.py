"""MiniStack whose Lambda updates a function as AWS does; runs in the emulator's environment.

The update of a configuration takes as many seconds as the one argument says until Lambda calls it done, and an instance
that works ends its invocation. MiniStack by itself is done at once, and kills what works.
"""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

from ministack.app import main  # type: ignore[import-not-found]  # is in the emulator's environment only
from ministack.core import lambda_runtime  # type: ignore[import-not-found]  # the same
from ministack.services import lambda_svc  # type: ignore[import-not-found]  # the same

kill_all, release = lambda_runtime.invalidate_worker, lambda_runtime.release_worker
update_configuration = lambda_svc._update_config
retired: set[Any] = set()


def retire(function: str, qualifier: str | None = None, **where: str) -> None:
    """Kill the idle instances of a function; take no more work to the others."""
    with lambda_runtime._lock:
        for key, instances in lambda_runtime._workers.items():
            if key.split(":")[-2] == function and qualifier in (None, key.split(":")[-1]):
                busy = [instance for instance in instances if instance.in_use]
                retired.update(busy)
                instances[:] = [instance for instance in instances if instance not in busy]
    kill_all(function, qualifier=qualifier, **where)


def release_or_kill(instance: Any) -> None:
    """Take an instance back to its pool, unless its function changed meanwhile."""
    release(instance)
    if instance in retired:
        retired.remove(instance)
        lambda_runtime.kill_workers([instance])


def update_configuration_slowly(name: str, data: Any) -> Any:
    """Change a configuration at once, and call it done later."""
    with mock.patch.object(lambda_svc, "_LAMBDA_STATE_TRANSITION_DELAY", seconds):
        return update_configuration(name, data)


if __name__ == "__main__":
    seconds = float(sys.argv.pop())
    lambda_svc._update_config = update_configuration_slowly
    lambda_svc.invalidate_worker = lambda_runtime.invalidate_worker = retire
    lambda_svc.release_worker = lambda_runtime.release_worker = release_or_kill
    main()
