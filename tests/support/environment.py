"""The environment of the tests: credentials of nobody, so that no account is reached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

REGION: Final = "eu-west-1"

NOBODYS: Final[Mapping[str, str]] = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}


def inherited() -> list[str]:
    """The variables that this machine's user set for AWS, or for an installation."""
    return [name for name in os.environ if name.startswith(("AWS_", "SOSW_", "POWERTOOLS_"))]
