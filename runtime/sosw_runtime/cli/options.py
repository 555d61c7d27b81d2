"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Name = Annotated[
    str, typer.Option("--name", envvar="SOSW_NAME", help="`name` of the Terraform module.", rich_help_panel="AWS")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
