"""A Worker's configuration: its layers, and when they are read."""

# ruff: noqa: PLC0415 - boto3 is imported when first used, so that a Worker that needs none starts without

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from typing import Any, Final

from sosw_runtime.errors import Misconfigured, Unavailable
from sosw_runtime.worker_clients import client

_READ_TIMEOUT_SECONDS: Final = 5.0
#: SSM gives an account 40 reads a second by default, which many instances that start at once use up for some seconds.
#: https://docs.aws.amazon.com/general/latest/gr/ssm.html
_TRIES: Final = 6
#: Seconds after which a parameter that the role may not read is asked for again: a new right is not seen at once.
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html
_DENIED_SECONDS: Final = 60.0

logger = logging.getLogger(__name__)


def installation_name(of_event: str | None) -> str:
    """The `name` of the Terraform module: of the environment, or else of the event."""
    return os.environ.get("SOSW_NAME") or of_event or "sosw"


class Configuration:
    """What a Worker read of its configuration."""

    def __init__(self) -> None:
        self.installation: str | None = None  # of the last task's event
        self._config: dict[str, Any] | None = None
        self._read_at = 0.0
        self._parameter: dict[str, Any] | None = None  # as last read; {} if there was none
        self._is_denied = False
        self._told_of_the_right = False

    def is_older_than(self, seconds: float | None) -> bool:
        """Whether it was read, and so long ago; never if `seconds` is None.

        One whose parameter the role may not read is older after a minute at the latest.
        """
        if self._is_denied:
            seconds = _DENIED_SECONDS if seconds is None else min(seconds, _DENIED_SECONDS)
        # Wall time: it goes on while Lambda holds a function frozen.
        return self._config is not None and seconds is not None and time.time() - self._read_at >= seconds

    def read(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The layers merged, the later ones over the earlier: `defaults`, the environment, the SSM parameter.

        Where SSM does not answer, or denies it, what was read before stays, with a warning. A parameter that the role
        could never read is taken for a missing one, with a warning, once.

        Raises:
            Misconfigured: a layer is not a JSON object.
            Unavailable: SSM does not answer, and nothing was read before.
        """
        try:
            self._config = merged(merged(defaults, _environment()), self._read_parameter())
        except Unavailable as unavailable:
            if self._config is None:
                raise
            logger.warning("the configuration is kept as it was: %s", unavailable)
        self._read_at = time.time()
        return self._config

    def _read_parameter(self) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        if not function:
            return {}
        parameter = f"/{installation_name(self.installation)}/{function}/config"
        try:
            ssm = client("ssm", read_timeout_seconds=_READ_TIMEOUT_SECONDS, tries=_TRIES)
            text = ssm.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"]
        except ClientError as error:
            code = error.response["Error"]["Code"]
            self._is_denied = code == "AccessDeniedException"
            if self._is_denied:
                self._tell_of_the_right(parameter)
                return self._parameter or {}
            # Of names that begin with `aws` or `ssm` SSM says that they cannot be.
            if code in ("ParameterNotFound", "ValidationException"):
                self._parameter = {}
                return self._parameter
            raise Unavailable(f"SSM parameter {parameter} could not be read: {error}") from error
        except BotoCoreError as error:
            raise Unavailable(f"SSM parameter {parameter} could not be read: {error}") from error
        self._is_denied = False
        self._parameter = _parsed(f"SSM parameter {parameter}", text)
        return self._parameter

    def _tell_of_the_right(self, parameter: str) -> None:
        if not self._told_of_the_right:
            logger.warning(
                "SSM parameter %s is not read for the configuration: the role lacks ssm:GetParameter on it, or "
                "kms:Decrypt on its key",
                parameter,
            )
        self._told_of_the_right = True


def _environment() -> dict[str, Any]:
    text = os.environ.get("SOSW_WORKER_CONFIG")
    return _parsed("SOSW_WORKER_CONFIG", text) if text else {}


def _parsed(source: str, text: str) -> dict[str, Any]:
    """Errors never quote the text, which may hold secrets."""
    try:
        config = json.loads(text)
    except ValueError as error:
        raise Misconfigured(f"{source}: not JSON ({error}); a JSON object is needed") from None
    if not isinstance(config, dict):
        raise Misconfigured(f"{source}: a JSON {type(config).__name__}; a JSON object is needed")
    return config


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over`; objects that both have under one key are merged key by key."""
    both = {
        key: merged(base[key], over[key])
        for key in base.keys() & over.keys()
        if isinstance(base[key], Mapping) and isinstance(over[key], Mapping)
    }
    return {**base, **over, **both}
