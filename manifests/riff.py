"""What libsndfile does not tell or get right about WAV files: chunk sizes and the PEAK time stamp.

The layout is that of "Multimedia Programming Interface and Data Specifications 1.0" (IBM and
Microsoft 1991): ``RIFF size WAVE`` and then chunks of four letters, a little-endian size and data
padded to an even number of bytes.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

MOST_BYTES = 2**32 - 2**16
"""Of samples in one WAV file: its sizes have 32 bits, and the header needs some room."""

_STREAMED = 0x7FFFFF00  # writers to a pipe declare about this or more: the size was not known
_PEAK_TIME_OFFSET = 4  # after the version of the chunk, in bytes


class Chunk(NamedTuple):
    """Where the data of a chunk begins and how many bytes its header declares."""

    offset: int
    size: int


def chunks(file: BinaryIO) -> dict[bytes, Chunk]:
    """The chunks of a RIFF WAVE file up to and including ``data``; none of any other file.

    >>> import io
    >>> chunks(io.BytesIO(b"RIFF....WAVEdata" + struct.pack("<I", 8)))
    {b'data': Chunk(offset=20, size=8)}
    """
    file.seek(0)
    head = file.read(12)
    found: dict[bytes, Chunk] = {}
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return found
    while b"data" not in found and len(header := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", header)
        found[name] = Chunk(file.tell(), size)
        file.seek(size + size % 2, os.SEEK_CUR)
    return found


def missing_bytes(path: Path) -> int:
    """How many bytes of samples the header of a WAV file declares that the file does not hold.

    0 for any other file, and for a WAV whose writer did not know its size.
    """
    with path.open("rb") as file:
        data = chunks(file).get(b"data")
        held = file.seek(0, os.SEEK_END)
    if data is None or data.size >= _STREAMED:
        return 0
    return max(0, data.offset + data.size - held)


def clear_peak_time(path: Path) -> None:
    """Set the time stamp that libsndfile writes into the PEAK chunk of float files to zero."""
    with path.open("r+b") as file:
        peak = chunks(file).get(b"PEAK")
        if peak is not None:
            file.seek(peak.offset + _PEAK_TIME_OFFSET)
            file.write(bytes(4))
