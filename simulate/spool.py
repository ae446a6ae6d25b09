"""Blocks of samples that wait for the second pass: in memory when few, in a scratch file when many.

Memory comes in large chunks that the next session takes over: fresh pages cost more than what is
written to them. A scratch file has no name in the folder, so nothing is left of it when the process
is killed.

Legend: ``C`` channel, ``T`` sample.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import RunError

Samples = NDArray[np.float32]  # [C, T]

CHUNK_SAMPLES = 2**21
"""Of a chunk of memory: 8 MiB, for which the system gives huge pages."""
KEPT_CHUNKS = 16
"""Chunks that a process keeps for its next session, 128 MiB: 8 channels of 4 minutes."""

_free: list[Samples] = []  # its pop and append are atomic


class Spool:
    """A list of blocks ``[C, T]`` that can be gone through more than once.

    Args:
        scratch: Folder for the file; None keeps the blocks in memory.
    """

    def __init__(self, scratch: Path | None) -> None:
        """Begin empty."""
        self._shapes: list[tuple[int, ...] | None] = []
        self._blocks: list[Samples | None] = []
        self._chunks: list[Samples] = []
        self._used = CHUNK_SAMPLES
        self._file: IO[bytes] | None = None
        self._folder = scratch
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=scratch)  # closed by close()

    def append(self, block: Samples | None, scale: float = 1.0) -> None:
        """Keep a copy of one more block, times a scale; None stands for silence.

        Raises:
            RunError: If the scratch folder is full.
        """
        if self._file is None:
            self._blocks.append(None if block is None else self._copy(block, scale))
            return
        self._shapes.append(None if block is None else block.shape)
        if block is None:
            return
        try:
            self._file.write(np.multiply(block, np.float32(scale), order="C").data)
            self._file.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise RunError(
                f"no space left on device for scratch files in {self._folder}"
            ) from error

    def __iter__(self) -> Iterator[Samples | None]:
        """The blocks in their order, not to be written to; a new pass each time."""
        if self._file is None:
            yield from self._blocks
            return
        position = 0
        for shape in self._shapes:
            if shape is None:
                yield None
                continue
            size = 4 * int(np.prod(shape))
            data = os.pread(self._file.fileno(), size, position)
            position += size
            yield np.frombuffer(data, dtype=np.float32).reshape(shape)

    def close(self) -> None:
        """Give back the memory or the file; blocks that were handed out are void."""
        self._blocks.clear()
        while self._chunks:
            chunk = self._chunks.pop()
            if len(chunk) == CHUNK_SAMPLES and len(_free) < KEPT_CHUNKS:
                _free.append(chunk)
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        """For use in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, whatever happened."""
        self.close()

    def _copy(self, block: Samples, scale: float) -> Samples:
        """The block in a chunk of this spool."""
        if self._used + block.size > CHUNK_SAMPLES:
            self._chunks.append(_chunk(block.size))
            self._used = 0
        kept = self._chunks[-1][self._used : self._used + block.size].reshape(block.shape)
        self._used += block.size
        np.multiply(block, np.float32(scale), out=kept)
        return kept


def _chunk(least: int) -> Samples:
    """Memory for at least so many samples, from an earlier spool where there is some."""
    if least <= CHUNK_SAMPLES:
        try:
            return _free.pop()
        except IndexError:
            pass
    return np.empty(max(least, CHUNK_SAMPLES), dtype=np.float32)
