"""The costs of an idle installation are those of what the modules make today."""

from __future__ import annotations

import json

from benchmarks.__main__ import RESULTS
from benchmarks.idle import alarm_metrics, planned_resources


def test_the_results_count_the_alarms_and_the_memory_of_a_plan() -> None:
    found = json.loads(RESULTS.read_text())["idle"]
    planned = planned_resources()

    functions = {each["function_name"].removeprefix("sosw_"): each for each in planned["aws_lambda_function"]}
    metrics = sum(map(alarm_metrics, planned["aws_cloudwatch_metric_alarm"]))
    assert found["alarms"] == metrics, "`python -m benchmarks idle` counts anew"
    assert found["memory_mb"] == {name: each["memory_size"] for name, each in functions.items()}
