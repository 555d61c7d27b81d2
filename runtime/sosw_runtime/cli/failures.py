"""Errors as an exit code and one line, with a hint where one is known."""

from __future__ import annotations

from typing import Final

import typer
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
from pydantic import ValidationError

from sosw_runtime.errors import Refused, SoswError, Unavailable
from sosw_runtime.settings import Settings

#: Errors that a command may end with. Any other exception is a defect and shown with its traceback.
Failure = typer.TyperException | SoswError | ValidationError | BotoCoreError | ClientError | OSError

_HINTS: Final = {
    "ResourceNotFoundException": "check --name (or SOSW_NAME), the account and the region",
    "UnrecognizedClientException": "check the credentials and the region",
    "ExpiredTokenException": "sign in again",
}


def exit_code_and_line(failure: Failure) -> tuple[int, str]:
    """The exit code, as `sosw_runtime.cli.app.run` lists them, and the line."""
    match failure:
        case typer.TyperException():
            return failure.exit_code, failure.format_message()
        case SoswError():
            return _exit_code(failure), str(failure)
        case ValidationError():  # of a setting in the environment; wrong inputs raise `Refused`
            return 2, _setting_message(failure)
        case OSError() if not isinstance(failure, BotoCoreError):  # some time-outs of botocore are both
            return 1, f"{failure.filename}: {failure.strerror}" if failure.filename else str(failure)
        case _:
            return 3, f"AWS: {_aws_message(failure)}"


def _exit_code(failure: SoswError) -> int:
    match failure:
        case Refused():
            return 2
        case Unavailable():
            return 3
        case _:
            return 1


def _setting_message(failure: ValidationError) -> str:
    error = failure.errors(include_url=False)[0]
    if error["type"] == "value_error":  # the setting's own words
        return str(error["ctx"]["error"])
    name = str(error["loc"][-1])
    expected = Settings.model_fields[name].description or "another value"
    return f"SOSW_{name.upper()}: {error['input']!r} is refused; expected {expected}"


def _aws_message(failure: BotoCoreError | ClientError) -> str:
    match failure:
        case NoCredentialsError():
            return "no credentials were found; set AWS_PROFILE, or sign in"
        case NoRegionError():
            return "no region is set; set AWS_REGION"
        case ClientError():
            code, message = failure.response["Error"]["Code"], failure.response["Error"].get("Message", "")
            hint = f"; {_HINTS[code]}" if code in _HINTS else ""
            return f"{failure.operation_name}: {code}: {message}{hint}"
        case _:
            return str(failure)
