"""What Terraform set for the Essentials, where a command needs to do as they do."""

from __future__ import annotations

import boto3

from sosw_runtime.errors import Misconfigured


def closed_tasks_retention_days(name: str) -> int | None:
    """Days for which closed tasks are kept; None: for good.

    Raises:
        Misconfigured: the Scavenger's setting is no number of days.
        botocore.exceptions.ClientError, BotoCoreError: it could not be read.
    """
    function = boto3.Session().client("lambda").get_function_configuration(FunctionName=f"{name}_scavenger")
    days = function.get("Environment", {}).get("Variables", {}).get("SOSW_CLOSED_TASKS_RETENTION_DAYS")
    if days is not None and not days.isdecimal():
        raise Misconfigured(f"SOSW_CLOSED_TASKS_RETENTION_DAYS of {name}_scavenger: {days!r} is no number of days")
    return None if days is None else int(days)
