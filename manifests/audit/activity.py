"""Labels as frames of the level contour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audit.audio_facts import FRAME
from talkover.manifests.audit.columns import Frames


def regions_by_session(tables: Frames) -> dict[int, NDArray[np.float64]]:
    """Start, end (seconds) and turn row of every region, by session row: shape ``[N, 3]``."""
    regions = tables["regions"]
    rows = regions["session_row"].to_numpy()
    order = np.argsort(rows, kind="stable")
    values = regions[["start", "end", "turn_row"]].to_numpy(dtype=np.float64)[order]
    rows = rows[order]
    firsts = np.flatnonzero(np.diff(rows, prepend=-1))
    pieces = np.split(values, firsts[1:]) if len(firsts) else []
    return {int(rows[first]): piece for first, piece in zip(firsts, pieces, strict=True)}


def frames_of(spans: NDArray[np.float64], count: int, *, pad: float) -> NDArray[np.bool_]:
    """Which frames some spans (seconds, ``[N, 2]``) touch by half and more.

    Args:
        spans: Start and end.
        count: Number of frames.
        pad: Seconds that every span is longer at both ends.
    """
    steps = np.zeros(count + 1, dtype=np.int64)
    first = np.clip(np.rint((spans[:, 0] - pad) / FRAME), 0, count).astype(np.int64)
    last = np.clip(np.rint((spans[:, 1] + pad) / FRAME), 0, count).astype(np.int64)
    np.add.at(steps, first, 1)
    np.add.at(steps, np.maximum(first, last), -1)
    return np.asarray(np.cumsum(steps[:-1]) > 0)
