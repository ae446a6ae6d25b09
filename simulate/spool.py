"""Blocks of samples that wait for the second pass: in memory when few, in a scratch file when many.

A scratch file has no name in the folder, so nothing is left of it when the process is killed.
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


class Spool:
    """A list of blocks ``[C, T]`` that can be gone through more than once.

    Args:
        scratch: Folder for the file; None keeps the blocks in memory.
    """

    def __init__(self, scratch: Path | None) -> None:
        """Begin empty."""
        self._shapes: list[tuple[int, ...] | None] = []
        self._blocks: list[Samples | None] = []
        self._file: IO[bytes] | None = None
        self._folder = scratch
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=scratch)  # closed by close()

    def append(self, block: Samples | None) -> None:
        """Keep one more block; None stands for silence.

        Raises:
            RunError: If the scratch folder is full.
        """
        if self._file is None:
            self._blocks.append(block)
            return
        self._shapes.append(None if block is None else block.shape)
        if block is None:
            return
        try:
            self._file.write(np.ascontiguousarray(block, dtype=np.float32).data)
            self._file.flush()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise RunError(
                f"no space left on device for scratch files in {self._folder}"
            ) from error

    def __iter__(self) -> Iterator[Samples | None]:
        """The blocks in their order; a new pass each time."""
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
        """Give back the memory or the file."""
        self._blocks.clear()
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
