"""For tests, of users and of this package: tables, registrations, and tasks that run without AWS.

`sosw_runtime.testing.fixtures` is a plugin of pytest.
"""

from sosw_runtime.testing.tables import create_tables, register_worker
from sosw_runtime.testing.tasks import FakeWorkerAssistant, LocalContext, Outcome, run_task

__all__ = ["FakeWorkerAssistant", "LocalContext", "Outcome", "create_tables", "register_worker", "run_task"]
