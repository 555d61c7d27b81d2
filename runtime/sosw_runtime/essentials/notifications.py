"""Notifications of people by SNS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from sosw_runtime import aws

#: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
_LONGEST_SUBJECT: Final = 100


def publish(topic_arn: str | None, subject: str, message: Mapping[str, Any]) -> None:
    """Publish a message to a topic, if there is one."""
    if topic_arn is not None:
        text = json.dumps(message, indent=2)
        aws.sns().publish(TopicArn=topic_arn, Subject=subject[:_LONGEST_SUBJECT], Message=text)
