"""A folder to write to and read from, on a disk or behind any URL that fsspec knows.

On a disk a file appears whole or not at all (`talkover.manifests.markers`). Elsewhere it is made in
a temporary folder here and uploaded in one call, which object stores show only when it is complete.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from fsspec import AbstractFileSystem
from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from talkover.manifests.errors import (
    ConfigurationError,
    ManifestError,
    MissingExtraError,
    RunError,
)
from talkover.manifests.markers import atomic_path, file_sha256

_READ_ONLY = {"http", "https"}


@dataclass(frozen=True)
class Place:
    """A folder, by path or URL. Holds no connection, so it can go to another process."""

    url: str
    """A path, or a URL such as ``s3://bucket/prefix``."""
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What fsspec's file system takes, such as ``{"endpoint_url": …}``; may hold secrets."""

    @classmethod
    def of(cls, where: Path | str, options: Mapping[str, Any] | None = None) -> Self:
        """The folder at a path or URL."""
        return cls(str(where).rstrip("/") or "/", dict(options or {}))

    @cached_property
    def local(self) -> Path | None:
        """The folder's path, if it is on a disk."""
        system, root = self._system()
        return Path(root) if isinstance(system, LocalFileSystem) else None

    @cached_property
    def is_of_process(self) -> bool:
        """Whether other processes see nothing of it, as with ``memory://``."""
        return isinstance(self._system()[0], MemoryFileSystem)

    def require_writable(self) -> None:
        """Refuse what serves files and takes none.

        Raises:
            ConfigurationError: If nothing can be written there.
        """
        if self.url.partition("://")[0] in _READ_ONLY:
            raise ConfigurationError(f"{self.url} can only be read: choose another place")

    def __getstate__(self) -> dict[str, Any]:
        """Send the two fields alone."""
        return {"url": self.url, "options": self.options}

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A path on this disk whose content becomes the file `name` when the block ends.

        After an error nothing has changed at the place.

        Raises:
            RunError: If the disk is full, or the place does not take it.
        """
        if self.local is not None:
            with atomic_path(self.local / name) as path:
                yield path
            return
        with tempfile.TemporaryDirectory(prefix="talkover-") as folder:
            path = Path(folder) / "file"
            yield path
            system, root = self._system()
            try:
                system.put_file(str(path), f"{root}/{name}")
            except OSError as error:
                reason = error.strerror or error
                raise RunError(f"{self.url}/{name} cannot be written: {reason}") from error

    def write_text(self, name: str, text: str) -> None:
        """Write a whole small file."""
        with self.writing(name) as path:
            path.write_text(text, encoding="utf8")

    def read(self, name: str, span: tuple[int, int] | None = None) -> bytes:
        """A file's bytes.

        Args:
            name: Path below the place.
            span: Offset and number of bytes; None for all.

        Raises:
            ManifestError: If it is not there, cannot be read or is shorter than that.
        """
        system, root = self._system()
        path = f"{root}/{name}"
        start, end = (None, None) if span is None else (span[0], sum(span))
        try:
            data = bytes(system.cat_file(path, start=start, end=end))
        except FileNotFoundError as error:
            raise ManifestError("missing", path=f"{self.url}/{name}") from error
        except OSError as error:
            reason = f"cannot be read: {error.strerror or error}"
            raise ManifestError(reason, path=f"{self.url}/{name}") from error
        if span is not None and len(data) != span[1]:
            raise ManifestError(
                f"asked for {span[1]} bytes from {span[0]} on, got {len(data)}: the file was cut "
                "short, or its server does not serve ranges",
                path=f"{self.url}/{name}",
            )
        return data

    def holds(self, name: str, size: int, sha256: str) -> bool:
        """Whether a file is as it was written; away from a disk only its size is compared."""
        if self.local is not None:
            path = self.local / name
            return path.is_file() and path.stat().st_size == size and file_sha256(path) == sha256
        system, root = self._system()
        system.invalidate_cache()  # listings that another writer may have outdated
        try:
            return bool(system.size(f"{root}/{name}") == size)
        except FileNotFoundError:
            return False

    def is_empty(self, folder: str) -> bool:
        """Whether there is no file in a folder of the place, nor the folder itself."""
        system, root = self._system()
        system.invalidate_cache()
        try:
            return not system.ls(f"{root}/{folder}", detail=False)
        except FileNotFoundError:
            return True

    def _system(self) -> tuple[AbstractFileSystem, str]:
        """The file system, which fsspec keeps one of per process, and the path in it."""
        try:
            system, root = url_to_fs(self.url, **self.options)
        except ImportError as error:
            protocol = self.url.partition("://")[0]
            if protocol in {"s3", "s3a"}:
                raise MissingExtraError("s3fs", "s3", "s3:// paths") from error
            raise ConfigurationError(f"{protocol}:// needs another package: {error}") from error
        except ValueError as error:
            raise ConfigurationError(f"{self.url}: {error}") from error
        return system, str(root).rstrip("/")
