"""The runtime of sosw: the Essentials, the Worker side and the `sosw` command.

This module stays empty on purpose: a Worker that imports `sosw_runtime.worker` pays for nothing else.
"""

__version__ = "0.2.0"
