"""What went wrong, as an exit code and one line that says what to do where that is known."""

from __future__ import annotations

from typing import Final

import typer
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError
from pydantic import ValidationError

from sosw_runtime.errors import Refused, SoswError, Unavailable

#: What a command may end with; anything else that is raised is a defect and shown as such.
Failure = typer.TyperException | SoswError | ValidationError | BotoCoreError | ClientError | OSError

_HINTS: Final = {
    "ResourceNotFoundException": "check --name (or SOSW_NAME), the account and the region",
    "UnrecognizedClientException": "check the credentials and the region",
    "ExpiredTokenException": "sign in again",
}


def explain(failure: Failure) -> tuple[int, str]:
    """The exit code, as `sosw_runtime.cli.app.run` lists them, and the line."""
    match failure:
        case typer.TyperException():
            return failure.exit_code, failure.format_message()
        case SoswError():
            return _code(failure), str(failure)
        case ValidationError():  # of a setting in the environment; inputs are refused in their own words
            return 2, failure.errors()[0]["msg"].removeprefix("Value error, ")
        case OSError() if not isinstance(failure, BotoCoreError):  # time-outs of AWS's are both
            return 1, f"{failure.filename}: {failure.strerror}" if failure.filename else str(failure)
        case _:
            return 3, f"AWS: {_answer(failure)}"


def _code(failure: SoswError) -> int:
    match failure:
        case Refused():
            return 2
        case Unavailable():
            return 3
        case _:
            return 1


def _answer(failure: BotoCoreError | ClientError) -> str:
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
