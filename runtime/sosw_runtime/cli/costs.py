"""What tasks cost at AWS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: Dollars of a million tasks by part, by bytes of a payload. Source: benchmarks/results.json, at the prices of
#: us-east-1 in docs/benchmarks.md. A test holds them to it.
DOLLARS_A_MILLION: Final[Mapping[int, Mapping[str, float]]] = {
    600: {
        "DynamoDB writes": 5.015,
        "DynamoDB reads": 0.012,
        "Lambda invocations": 0.207,
        "Lambda compute": 0.32,
        "logs": 0.505,
    },
    3500: {
        "DynamoDB writes": 14.39,
        "DynamoDB reads": 0.012,
        "Lambda invocations": 0.207,
        "Lambda compute": 0.295,
        "logs": 0.505,
    },
}
AS_OF: Final = "November 2026"


def dollars(tasks: int, payload_bytes: float) -> dict[str, float]:
    """Dollars by part: linear in the payload's bytes between and beyond what is measured, at least the smallest."""
    (small, low), (large, high) = DOLLARS_A_MILLION.items()
    share = max(0.0, (payload_bytes - small) / (large - small))
    return {part: max(0.0, low[part] + share * (high[part] - low[part])) * tasks / 1e6 for part in low}
