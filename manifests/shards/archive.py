"""Tar files whose bytes depend on their members alone, and where each member's data lies.

POSIX pax (IEEE 1003.1-2001), as `tarfile` writes it: headers and data in blocks of 512 bytes.
Owner, group and time are 0, so the same members give the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path
from typing import BinaryIO

from talkover.manifests.errors import ManifestError

Span = tuple[int, int]
"""Offset and number of bytes."""

_GZIP_LEVEL = 6  # of the levels of zlib, the usual one; fixed, since it decides the bytes
_COPY_BLOCK = 1 << 20  # bytes


class HashedFile:
    """A file that is written once, front to back, with the hash of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        """Start at the front of an open, empty file."""
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        """Bytes so far."""

    @property
    def sha256(self) -> str:
        """SHA-256 so far."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> Span:
        """Append bytes and say where they lie."""
        self._file.write(data)
        self._digest.update(data)
        start, self.size = self.size, self.size + len(data)
        return start, len(data)


def add_bytes(tar: HashedFile, name: str, data: bytes) -> Span:
    """Append a member and say where its data lie."""
    tar.write(_header(name, len(data)))
    span = tar.write(data)
    _pad(tar)
    return span


def add_file(tar: HashedFile, name: str, path: Path, size: int, sha256: str | None) -> Span:
    """Append a file as a member, unchanged, and say where its data lie.

    Args:
        tar: From `HashedFile`.
        name: Of the member.
        path: The file.
        size: Its bytes, as counted before.
        sha256: What its hash must be; None if nobody said.

    Raises:
        ManifestError: If the file is missing or not what was said.
    """
    tar.write(_header(name, size))
    start, digest = tar.size, hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_COPY_BLOCK):
                digest.update(block)
                tar.write(block)
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", path=path) from error
    if tar.size - start != size:
        raise ManifestError(f"has changed: had {size} bytes, has {tar.size - start}", path=path)
    if sha256 not in (None, digest.hexdigest()):
        raise ManifestError(
            f"is not the file of the manifest: SHA-256 is {digest.hexdigest()}, not {sha256}",
            path=path,
        )
    _pad(tar)
    return start, size


def finish(tar: HashedFile) -> None:
    """Append the end of the archive: two empty blocks, filled up to a record."""
    tar.write(bytes(2 * tarfile.BLOCKSIZE))
    tar.write(bytes(-tar.size % tarfile.RECORDSIZE))


def add_line(lines: HashedFile, text: bytes) -> Span:
    """Append a line as a gzip member of its own, so that it can be read by itself.

    Members one after the other are one gzip file (RFC 1952, section 2.2).
    """
    buffer = io.BytesIO()
    with gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=buffer, mtime=0) as file:
        file.write(text + b"\n")
    return lines.write(buffer.getvalue())


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)  # owner, group and time are 0 and the mode is 0644
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _pad(tar: HashedFile) -> None:
    tar.write(bytes(-tar.size % tarfile.BLOCKSIZE))
