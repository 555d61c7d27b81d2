"""Zip files for AWS Lambda: the same bytes on every run and every machine."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """A zip as it stands on the disk."""

    path: Path
    sha256: str  # hex
    bytes: int  # size


def write(
    path: Path, contents: Mapping[str, bytes], executables: Set[str] = frozenset(), *, deflated: bool = False
) -> Archive:
    """Write a zip, whole or not at all; its folder is made if it is missing.

    Stored it has the same bytes on every machine. zlib and its replacements (zlib-ng, Apple's) deflate the same input
    to different bytes, and each difference changes the function in the next plan. Lambda unpacks a zip at deployment.

    Args:
        path: of the zip.
        contents: files by their name in the zip.
        executables: the names of those that may be executed.
        deflated: whether to compress, for a zip that would otherwise be too large.

    Raises:
        OSError: the folder cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: the same zip may be built twice at once.
    with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=path.parent) as scratch:
        unfinished = Path(scratch) / path.name
        _write_members(unfinished, contents, executables, zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED)
        unfinished.replace(path)
    data = path.read_bytes()
    return Archive(path, hashlib.sha256(data).hexdigest(), len(data))


def tree(part: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """A file, or the files of a folder, by their name in a zip; without what Python compiled."""
    if part.is_file():
        yield name, part.read_bytes()
    else:
        for child in part.iterdir():
            if child.name != "__pycache__":
                yield from tree(child, f"{name}/{child.name}")


def _write_members(path: Path, contents: Mapping[str, bytes], executables: Set[str], compression: int) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in sorted(contents.items()):
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.compress_type = compression
            member.create_system = 3  # Unix, also when written elsewhere
            member.external_attr = (0o100755 if name in executables else 0o100644) << 16
            archive.writestr(member, data)
