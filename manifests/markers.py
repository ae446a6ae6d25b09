"""Publishing that survives a kill: atomic files, and done-markers that a resumed run can trust.

A file is written under a temporary name in its own folder, flushed to the disk and renamed, so that
its final name never shows half of it. A unit of work (a shard) is done when its marker exists *and*
every file that the marker lists still has its size and SHA-256; anything else is done again.

While a temporary is being written its process holds an advisory lock (`flock`) on it, which the
kernel drops at any kind of death. So `sweep_temporaries` can tell the leftovers of a killed run
from the work of another array job in the same folder, whatever process ids mean on either machine.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import itertools
import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from talkover.manifests.errors import RunError
from talkover.manifests.schema import Contract, RelativePath, SafeId, Sha256
from talkover.manifests.seeds import content_id

_SUFFIX = ".tmp-"
_HASH_BLOCK = 1 << 20  # bytes
_FULL = {errno.ENOSPC, errno.EDQUOT}
_attempts = itertools.count()


class FileRecord(Contract):
    """What a published file must still look like."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]
    """In bytes."""


class Marker(Contract):
    """Proof that a unit of work is done."""

    version: Literal[1] = 1
    unit: SafeId
    inputs_hash: Annotated[str, Field(min_length=1)]
    """Of everything that decides the bytes: configuration, plan, seed, corpus."""
    files: dict[RelativePath, FileRecord]
    """By path below the root of the run."""

    @classmethod
    def over(cls, unit: str, inputs_hash: str, root: Path, files: Iterable[Path]) -> Self:
        """A marker over files as they are on the disk now.

        Args:
            unit: Name of the unit, fit for a file name.
            inputs_hash: Hash of everything that decides the bytes.
            root: Folder that the recorded paths are relative to.
            files: Published files below `root`.

        Raises:
            RunError: If a file is missing or not below `root`.
        """
        records: dict[str, FileRecord] = {}
        for path in files:
            try:
                name = path.resolve().relative_to(root.resolve()).as_posix()
                records[name] = FileRecord(sha256=file_sha256(path), size=path.stat().st_size)
            except (OSError, ValueError) as error:
                raise RunError(f"unit {unit}: cannot mark {path} as done: {error}") from error
        return cls(unit=unit, inputs_hash=inputs_hash, files=records)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes `path` when the block ends without an error.

    The temporary exists already and is empty; write over it or append to it. After an error it is
    removed and whatever was at `path` before stays. The folder is made if need be.

    Raises:
        RunError: If there is no space left on the device.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, lock = _locked_temporary(path)
    except OSError as error:
        raise _as_run_error(error, path) from error
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    except OSError as error:
        raise _as_run_error(error, path) from error
    finally:  # after the rename there is nothing left under the temporary name
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        os.close(lock)


def publish(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary path, then give the result its final name; see `atomic_path`."""
    with atomic_path(path) as temporary:
        write(temporary)


def sweep_temporaries(folder: Path) -> list[Path]:
    """Remove what killed runs left in `folder` and below, and say what it was.

    Temporaries that a living process is writing, on this machine or (where the file system carries
    locks) on another, are left alone.
    """
    removed = []
    for path in sorted(folder.rglob(f".*{_SUFFIX}*")):
        if path.is_symlink() or not path.is_file():
            continue
        with suppress(OSError):  # locked, already gone, or not ours: all mean hands off
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                removed.append(path)
            finally:
                os.close(descriptor)
    return removed


def write_marker(folder: Path, marker: Marker) -> Path:
    """Publish a marker as the last act of its unit.

    Args:
        folder: Where the markers of the run live.
        marker: From `Marker.over`.

    Returns:
        The marker's file, ``UNIT.done.json``.
    """
    path = _marker_path(folder, marker.unit)
    text = json.dumps(marker.model_dump(mode="json"), sort_keys=True, indent=1) + "\n"
    publish(path, lambda temporary: temporary.write_text(text, encoding="utf8"))
    return path


def verified_marker(folder: Path, root: Path, unit: str, inputs_hash: str) -> Marker | None:
    """The marker of a unit, if all that it claims is still true.

    Every file is read and hashed, about a second per gigabyte.

    Args:
        folder: Where the markers of the run live.
        root: Folder that the recorded paths are relative to.
        unit: Name of the unit.
        inputs_hash: What the unit's inputs are now.

    Returns:
        None if the marker is missing or torn, is about other inputs, or if any of its files is
        missing, changed or outside `root`: the unit must be done again.
    """
    try:
        marker = Marker.model_validate_json(_marker_path(folder, unit).read_bytes())
    except (OSError, ValidationError):
        return None
    if (marker.unit, marker.inputs_hash) != (unit, inputs_hash):
        return None
    inside = root.resolve()
    paths = {name: (inside / name).resolve() for name in marker.files}
    try:
        for name, record in marker.files.items():  # sizes first: they cost nothing
            if not paths[name].is_relative_to(inside) or paths[name].stat().st_size != record.size:
                return None
        intact = all(file_sha256(paths[name]) == file.sha256 for name, file in marker.files.items())
    except OSError:
        return None
    return marker if intact else None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _marker_path(folder: Path, unit: str) -> Path:
    return folder / f"{unit}.done.json"


def _locked_temporary(path: Path) -> tuple[Path, int]:
    """Make an empty temporary beside `path` and lock it.

    The name holds host, process and a count, so that two writers of one file never share it.
    """
    host = content_id(platform.node(), length=6)
    while True:
        name = f".{path.name}{_SUFFIX}{host}-{os.getpid()}-{next(_attempts)}"
        temporary = path.parent / name
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        except FileExistsError:  # a killed process with our id left it
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:  # a sweep came between the two calls and is removing it
            os.close(descriptor)
            continue
        except OSError:  # a file system without locks: sweeps find none either, and keep the file
            return temporary, descriptor
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # a sweep has removed it


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_run_error(error: OSError, path: Path) -> Exception:
    """Name the file if the disk is full; any other error of the system stays what it is."""
    if error.errno in _FULL:
        return RunError(f"no space left on device while writing {path}")
    return error
