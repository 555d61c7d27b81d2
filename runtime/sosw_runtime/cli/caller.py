"""Who runs the command."""

from __future__ import annotations

from typing import Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

#: The name is only told: a pause does not wait long for it.
_BRIEF: Final = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 1})


def name() -> str | None:
    """The caller as AWS knows it, e.g. `user/anna` or `assumed-role/operators/anna`; None if AWS does not say."""
    try:
        arn: str = boto3.Session().client("sts", config=_BRIEF).get_caller_identity()["Arn"]
    except (BotoCoreError, ClientError):
        return None
    return arn.split(":", 5)[-1]
