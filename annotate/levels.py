"""Levels along a recording, and the noise floor under them.

Legend: ``T`` sample, ``N`` frame.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.media import DecodedAudio

SILENT_DB = -100.0
"""Level of digital silence: under the rounding of 16 bits."""
SILENT_MARGIN_DB = 2.0
"""Frames no more than this above digital silence are part of it."""
BLOCK_FRAMES = 600
"""Frames read at a time."""
FLOOR_PERCENTILE = 10
"""The floor is this percentile of the levels within `FLOOR_SECONDS`: what is left in pauses."""
FLOOR_SECONDS = 20.0
STEP_SECONDS = 5.0
FLOOR_HALO_SECONDS = FLOOR_SECONDS / 2 + STEP_SECONDS
"""How far from a frame its floor may depend on levels."""


def frame_levels(audio: DecodedAudio, frame: int) -> NDArray[np.float64]:
    """Level of each frame in dB re full scale, without its offset; ``[N]``.

    Args:
        audio: The recording.
        frame: Samples; a last part counts as a frame.
    """
    parts = [levels_of(block, frame) for _, block in audio.blocks(frame * BLOCK_FRAMES)]
    return np.concatenate(parts) if parts else np.zeros(0)


def levels_of(signal: NDArray[np.float32], frame: int) -> NDArray[np.float64]:
    """Level of each frame of a signal, ``[N]``; `SILENT_DB` at least."""
    whole = len(signal) // frame * frame
    power = signal[:whole].astype(np.float64).reshape(-1, frame).var(axis=1)
    if whole < len(signal):
        power = np.append(power, signal[whole:].astype(np.float64).var())
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (SILENT_DB / 10))))


def noise_floor(
    levels: NDArray[np.float64], frame_rate: float, *, first: int = 0
) -> NDArray[np.float64]:
    """Level of what sounds when nothing happens, around each frame; shape as given.

    A percentile is taken every `STEP_SECONDS` of the recording over the frames around, and drawn
    through by straight lines.

    Args:
        levels: In dB, ``[N]``, or of several bands, ``[N, B]``.
        frame_rate: Frames per second.
        first: The recording's frame at which the levels begin.
    """
    if len(levels) == 0:
        return levels
    step = max(1, round(STEP_SECONDS * frame_rate))
    reach = round(FLOOR_SECONDS / 2 * frame_rate)
    places = np.arange(first // step, (first + len(levels)) // step + 2) * step - first
    loudest = levels if levels.ndim == 1 else levels.max(axis=1)
    sounding = loudest > SILENT_DB + SILENT_MARGIN_DB
    floors = np.array(
        [_floor(levels, sounding, max(0, p - reach), p + reach) for p in places.tolist()]
    )
    at = np.arange(len(levels))
    if levels.ndim == 1:
        return np.asarray(np.interp(at, places, floors))
    return np.stack(
        [np.interp(at, places, floors[:, band]) for band in range(levels.shape[1])], axis=1
    )


def _floor(
    levels: NDArray[np.float64], sounding: NDArray[np.bool_], start: int, stop: int
) -> NDArray[np.float64]:
    """Percentile of the frames from one to another; digital silence has no floor of its own."""
    part = levels[start : max(1, stop)]
    heard = part[sounding[start : max(1, stop)]]
    if not len(heard):
        heard = part if len(part) else levels[-1:]
    return np.asarray(np.percentile(heard, FLOOR_PERCENTILE, axis=0))
