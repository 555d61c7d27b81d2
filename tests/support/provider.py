"""Terraform's AWS provider: which one, where it comes from, and the schema of a current one.

Tests and demo run on the packaged provider where it runs (Linux x86-64), since that is pinned and needs no registry of
providers; `PROVIDER=registry`, and every other platform, takes the newest from Terraform's registry.
`python -m tests.support.provider` prints the path of the schema.
"""

from __future__ import annotations

import os
import platform
import stat
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from tests.support.cache import CACHE, REQUIREMENTS, download_wheel, made_once

PACKAGED_VERSION = "3.39.0"
SOURCE = "registry.terraform.io/hashicorp/aws"

_LOCK = REQUIREMENTS / "provider.txt"
_SCHEMA_LOCK = REQUIREMENTS / "schema.txt"


def is_packaged() -> bool:
    """Whether the packaged provider is used; `ValueError` for an unknown `PROVIDER`."""
    runs_here = sys.platform == "linux" and platform.machine() == "x86_64"
    choice = os.environ.get("PROVIDER") or ("packaged" if runs_here else "registry")
    if choice not in {"packaged", "registry"}:
        raise ValueError(f"PROVIDER is {choice!r}; it is 'packaged' (Linux x86-64 only) or 'registry'")
    if choice == "packaged" and not runs_here:
        raise ValueError(
            f"PROVIDER is 'packaged', which runs on Linux x86-64 only; this is {sys.platform} {platform.machine()}"
        )
    return choice == "packaged"


def environment() -> dict[str, str]:
    """What makes `terraform init` find the provider."""
    if is_packaged():
        return {"TF_CLI_CONFIG_FILE": str(_mirror() / "terraform.tfrc")}
    cache = CACHE / "terraform-plugins"
    cache.mkdir(parents=True, exist_ok=True)
    return {"TF_PLUGIN_CACHE_DIR": str(cache)}


def schema() -> Path:
    """The schema of provider 6.69.1 as jsii JSON: `types` maps names such as `….<Resource>Config` to `properties`."""

    def make(directory: Path) -> None:
        with tempfile.TemporaryDirectory(dir=directory) as downloads:
            with zipfile.ZipFile(download_wheel(_SCHEMA_LOCK, Path(downloads))) as wheel:
                [archive] = [name for name in wheel.namelist() if name.endswith(".jsii.tgz")]
                packed = wheel.extract(archive, downloads)
            with tarfile.open(packed) as package:
                member = package.extractfile("package/.jsii")
                if member is None:
                    raise FileNotFoundError(f"{archive} holds no package/.jsii")
                (directory / "schema.json").write_bytes(member.read())

    return made_once("provider-schema", _SCHEMA_LOCK.read_text(), make) / "schema.json"


def _mirror() -> Path:
    """A directory with the provider as a filesystem mirror and a `terraform.tfrc` that names it."""

    def make(directory: Path) -> None:
        target = directory / SOURCE / PACKAGED_VERSION / "linux_amd64"
        with tempfile.TemporaryDirectory(dir=directory) as downloads:
            with zipfile.ZipFile(download_wheel(_LOCK, Path(downloads))) as wheel:
                [archive] = [name for name in wheel.namelist() if f"_{PACKAGED_VERSION}_linux_amd64" in name]
                packed = wheel.extract(archive, downloads)
            with zipfile.ZipFile(packed) as provider:
                provider.extractall(target)
        for executable in target.iterdir():
            executable.chmod(executable.stat().st_mode | stat.S_IXUSR)
        (directory / "terraform.tfrc").write_text(
            f'disable_checkpoint = true\n\nprovider_installation {{\n  filesystem_mirror {{\n    path = "{directory}"\n'
            "  }\n}\n"
        )

    # Terraform's configuration names the directory, which moves with the checkout.
    return made_once("terraform-mirror", f"{_LOCK.read_text()}\n{CACHE}", make)


if __name__ == "__main__":
    sys.stdout.write(f"{schema()}\n")
