"""Where a recording that is longer than the model's window is cut, from its sound alone.

A cut falls in the later half of the window, at the middle of the quietest 0.2 s; of equally quiet
places the latest. So no piece is longer than the window or, but for the last, shorter than half of
it. The policy knows no labels, so that evaluation cuts as transcription does.

Shapes: ``N`` samples, ``T`` frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.serialize import Transcript
from talkover.model.data.collate import Collator
from talkover.model.data.examples import Example, Unusable
from talkover.model.transcribe import Transcriber

FRAME = 0.01
"""Seconds of a frame of energy."""
QUIET = 0.2
"""Seconds whose energy is compared: a pause that separates speech regions (`PAUSE_JOIN`)."""
SHORTEST_TAIL = 1.0
"""Seconds that stay for the last piece, where the window allows it."""
SHORTEST_WINDOW = 1.0
"""Seconds; below, hardly a word is whole."""
LONGEST_WINDOW = 3600
"""Seconds up to which a window is looked for."""
UNUSED_ATOMS = 1.0
"""Seconds before the last time that has a token: times up there are rare in training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A stretch of a recording, in samples."""

    start_sample: int
    num_samples: int


def plan_pieces(
    samples: NDArray[np.float32], sampling_rate: int, longest: float
) -> tuple[Piece, ...]:
    """Pieces that cover a recording, one after the other.

    Args:
        samples: ``[N]``.
        sampling_rate: In Hz.
        longest: Seconds of a piece at most.

    Raises:
        ConfigurationError: If the pieces would be too short for words.

    >>> [p.num_samples for p in plan_pieces(np.zeros(30, np.float32), 10, 2.0)]
    [20, 10]
    """
    check_window(longest)
    most = int(longest * sampling_rate)
    tail = int(SHORTEST_TAIL * sampling_rate)
    energy = _energy(samples, sampling_rate) if len(samples) > most else np.zeros(0)
    found, start = [], 0
    while len(samples) - start > most:
        last = max(start + most // 2, min(start + most, len(samples) - tail))
        end = _quietest(energy, start + most // 2, last, sampling_rate)
        found.append(Piece(start_sample=start, num_samples=end - start))
        start = end
    found.append(Piece(start_sample=start, num_samples=len(samples) - start))
    return tuple(found)


def check_window(longest: float) -> None:
    """Refuse a window that is too short.

    Raises:
        ConfigurationError: If it is.
    """
    if not longest >= SHORTEST_WINDOW:
        raise ConfigurationError(f"window must be {SHORTEST_WINDOW:g} s or more, got {longest}")


def window_of_model(transcriber: Transcriber) -> float:
    """The longest audio that a model can hear and answer in one go, in seconds.

    What it can write limits it (the last time that has a token) and so does the context of the
    language model, which has to hold the audio and the longest answer.

    Raises:
        ConfigurationError: If not even a second fits.
    """
    parts = transcriber.model.parts
    limit = parts.lm.config.get("max_position_embeddings")
    longest = float(LONGEST_WINDOW)
    if parts.codec.atoms.max_time > 0:
        last = parts.codec.atoms.max_time
        longest = max(last - UNUSED_ATOMS, min(last, SHORTEST_WINDOW))
    if limit is None or _fits(transcriber, longest, limit):
        return longest
    fits, fails = 0.0, longest
    while fails - fits > 0.5:
        middle = (fits + fails) / 2
        if _fits(transcriber, middle, limit):
            fits = middle
        else:
            fails = middle
    if fits < SHORTEST_WINDOW:
        raise ConfigurationError(
            f"the context of {limit} positions holds less than {SHORTEST_WINDOW:g} s of audio and "
            "its answer"
        )
    return fits


def _fits(transcriber: Transcriber, seconds: float, limit: int) -> bool:
    rate = transcriber.model.parts.features.sampling_rate
    silence = np.broadcast_to(np.float32(0), (int(seconds * rate),))
    try:
        plan = transcriber.collator.plan(example_of_samples("", silence, rate), with_answer=False)
    except Unusable:
        return False
    return len(plan) + transcriber.budget(seconds) <= limit


def example_of_samples(id: str, samples: NDArray[np.float32], sampling_rate: int) -> Example:
    """An example of which nothing is known but its sound."""
    return Example(
        id=id,
        samples=samples,
        duration=len(samples) / sampling_rate,
        transcript=Transcript(),
        voices=(),
    )


def fault_of(collator: Collator, example: Example) -> str | None:
    """Why a model cannot hear an example, or None."""
    try:
        collator.plan(example, with_answer=False)
    except Unusable as error:
        return str(error)
    return None


def _energy(samples: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float64]:
    """Energy of the `QUIET` seconds around each frame, ``[T]``."""
    hop = max(1, int(FRAME * sampling_rate))
    count = -(-len(samples) // hop)
    sums = np.add.reduceat(samples.astype(np.float64) ** 2, np.arange(count) * hop)
    width = max(1, round(QUIET / FRAME))
    # Outside is loud, so that a cut is not drawn to where the window of energy is half empty.
    padded = np.pad(sums, width // 2, constant_values=float(sums.max()))
    smooth = np.convolve(padded, np.ones(width), mode="valid")
    return np.asarray(smooth[:count], dtype=np.float64)


def _quietest(energy: NDArray[np.float64], first: int, last: int, sampling_rate: int) -> int:
    """The latest of the quietest places in ``[first, last]``, in samples."""
    hop = max(1, int(FRAME * sampling_rate))
    begin, end = -(-first // hop), last // hop
    if end <= begin:
        return last
    inside = energy[begin : end + 1]
    latest = len(inside) - 1 - int(np.argmin(inside[::-1]))
    return (begin + latest) * hop
