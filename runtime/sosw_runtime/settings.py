"""Settings of the Essentials, read from the environment."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from sosw_runtime import __version__


class Settings(BaseSettings):
    """What Terraform tells every Essential; each field is the environment variable `SOSW_<FIELD>`.

    Raises:
        pydantic.ValidationError: a value cannot be read as its type.
    """

    model_config = SettingsConfigDict(env_prefix="SOSW_", frozen=True)

    name: str = Field(default="sosw", min_length=1, description="the name of an installation")
    # 0.1.0 refuses to start where `SOSW_VERSION` names another version, as it would while an upgrade is applied: a
    # function's environment changes before its code. The variable is left to it.
    pinned_version: str = __version__
    alarm_topic_arn: str | None = None
    jobs_topic_arn: str | None = None
    timezone: str = "UTC"
    closed_tasks_retention_days: int | None = Field(default=None, ge=1, description="a whole number of days from 1")

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, zone: str) -> str:
        try:
            # Looked up alone: to list all zones takes longer than a whole invocation of an Essential does otherwise.
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"SOSW_TIMEZONE: {zone!r} is no IANA time zone; use one such as 'Europe/Berlin'") from None
        return zone

    @property
    def is_of_another_version(self) -> bool:
        """Whether the pinned version is not this package's: for a while during an upgrade, or by mistake."""
        return self.pinned_version != __version__

    def function(self, essential: str) -> str:
        """The name of an Essential's Lambda function, e.g. `sosw_scheduler`."""
        return f"{self.name}_{essential}"
