"""The input that a rule of EventBridge gives its target."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError


def target_input(event: Mapping[str, Any], rule_arn: str, target_arn: str) -> object:
    """The input of a target for an event; the event itself if the rule or its target is gone.

    Reads the rule's current definition. Supports paths of names only, as the `job` module writes them.
    """
    *bus, rule = rule_arn.partition(":rule/")[2].split("/")
    try:
        targets = boto3.Session().client("events").list_targets_by_rule(Rule=rule, EventBusName=(*bus, "default")[0])
    except ClientError as error:
        if error.response["Error"]["Code"] == "ResourceNotFoundException":
            return event
        raise
    target: Mapping[str, Any] = next((target for target in targets["Targets"] if target["Arn"] == target_arn), {})
    if "Input" in target:
        return json.loads(target["Input"])
    if "InputPath" in target:
        return _value_at(event, target["InputPath"])
    if "InputTransformer" in target:
        transformer = target["InputTransformer"]
        paths = transformer.get("InputPathsMap", {})
        values = {name: json.dumps(_value_at(event, path)) for name, path in paths.items()}
        return re.sub(r"<(\w+)>", lambda found: values.get(found[1], found[0]), transformer["InputTemplate"])
    return event


def _value_at(event: object, path: str) -> object:
    """The value at a path such as `$.detail.order`; None if there is none."""
    for name in path.split(".")[1:]:
        event = event.get(name) if isinstance(event, Mapping) else None
    return event
