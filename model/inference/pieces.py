"""Where a recording that is longer than the model's window is cut, from its sound alone.

A cut falls within `REACH` of where it is wanted (in a short window, in its later half), at the
middle of the quietest 0.2 s; of equally quiet places the latest. So no piece is longer than the
window, and the policy knows no labels: evaluation cuts as transcription does.

With an overlap, each piece is heard beyond its cuts, half of the overlap on each side::

    heard   |--------------+=+|
    core    |--------------|
    heard                |+=+--------------|      what is said around a cut is heard twice; a turn
    core                   |---------------|      belongs to the piece whose core has its middle

Shapes: ``N`` samples, ``T`` frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.serialize import Transcript, Turn
from talkover.model.codec import SatsCodec, UnknownCharacter
from talkover.model.data.collate import Collator
from talkover.model.data.examples import Example, Unusable
from talkover.model.prefill import check_attention
from talkover.model.transcribe import Transcriber

FRAME = 0.01
"""Seconds of a frame of energy."""
QUIET = 0.2
"""Seconds whose energy is compared: a pause that separates speech regions (`PAUSE_JOIN`)."""
SHORTEST_TAIL = 1.0
"""Seconds that stay for the last piece, where the window allows it."""
SHORTEST_WINDOW = 1.0
"""Seconds; below, hardly a word is whole."""
LONGEST_WINDOW = 5400
"""Seconds up to which a window is looked for: 90 min, the most that was published."""
REACH = 3.0
"""Seconds before and after the wanted place in which the quietest is looked for."""
TEXT_TOKENS_PER_SECOND = 8.0
"""Of dense speech without marks: 43,000 in 90 min (sgl-project/sglang-omni#1038, scaled up)."""
TURNS_PER_SECOND = 0.5
"""Of a lively conversation; each has marks and times besides its text."""
LEAST_ROOM = 64
"""Tokens of an answer that must fit, whatever the length of the audio."""
UNUSED_ATOMS = 1.0
"""Seconds before the last time that has a token: times up there are rare in training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A stretch of a recording, in samples."""

    start_sample: int
    num_samples: int
    core: tuple[int, int] | None = None
    """First sample, and the one behind the last, of what no other piece is asked for; None for
    all."""
    attempt: int = 0
    """How often what is behind a failed answer was heard anew to get here."""

    @property
    def end_sample(self) -> int:
        """The sample behind the last."""
        return self.start_sample + self.num_samples


def plan_pieces(
    samples: NDArray[np.float32], sampling_rate: int, longest: float, *, overlap: float = 0.0
) -> tuple[Piece, ...]:
    """Pieces that cover a recording, one after the other.

    Args:
        samples: ``[N]``.
        sampling_rate: In Hz.
        longest: Seconds of a piece at most, with what it overlaps.
        overlap: Seconds that two pieces share.

    Raises:
        ConfigurationError: If the pieces would be too short for words.

    >>> [p.num_samples for p in plan_pieces(np.zeros(30, np.float32), 10, 2.0)]
    [20, 10]
    """
    check_window(longest, overlap)
    if len(samples) <= int(longest * sampling_rate):
        return (Piece(start_sample=0, num_samples=len(samples)),)
    half = int(overlap / 2 * sampling_rate)
    most = int(longest * sampling_rate) - 2 * half
    tail = int(SHORTEST_TAIL * sampling_rate)
    reach = min(int(REACH * sampling_rate), most // 4)
    energy = _energy(samples, sampling_rate)
    cuts = [0]
    while len(samples) - cuts[-1] > most:
        first = cuts[-1] + most - 2 * reach
        last = max(first, min(cuts[-1] + most, len(samples) - tail))
        cuts.append(_quietest(energy, first, last, sampling_rate))
    found = []
    for begin, end in pairwise([*cuts, len(samples)]):
        start = max(0, begin - half)
        stop = min(len(samples), end + half)
        core = (begin, end) if half else None
        found.append(Piece(start_sample=start, num_samples=stop - start, core=core))
    return tuple(found)


def check_window(longest: float, overlap: float = 0.0) -> None:
    """Refuse a window that is too short, or hardly longer than its overlaps.

    Raises:
        ConfigurationError: If it is.
    """
    if not longest >= SHORTEST_WINDOW:
        raise ConfigurationError(f"window must be {SHORTEST_WINDOW:g} s or more, got {longest}")
    if not 0 <= overlap <= longest / 2:
        raise ConfigurationError(
            f"overlap must be 0 s to half of the window of {longest:g} s, got {overlap}"
        )


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
    if parts.longest is not None:
        longest = min(longest, max(parts.longest, SHORTEST_WINDOW))
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
    parts = transcriber.model.parts
    rate = parts.features.sampling_rate
    silence = np.broadcast_to(np.float32(0), (int(seconds * rate),))
    try:
        plan = transcriber.collator.plan(example_of_samples("", silence, rate), with_answer=False)
        check_attention(parts, len(plan))
    except (Unusable, ConfigurationError):
        return False
    return len(plan) + room_for(transcriber.codec, seconds) <= limit


def room_for(codec: SatsCodec, seconds: float) -> int:
    """Tokens of the text of a dense conversation of so many seconds."""
    late = max(0.0, seconds - 2.0)
    if 0 < codec.config.atoms.max_time < seconds:
        late = max(0.0, codec.config.atoms.max_time - 2.0)
    turn = Turn(speaker="S01", text="", start=late, end=late + 1.5)
    try:
        marks = len(codec.encode(Transcript(turns=(turn,))).ids)
    except UnknownCharacter:
        marks = len(codec.serializer.encode(Transcript(turns=(turn,))))
    per_second = TEXT_TOKENS_PER_SECOND + TURNS_PER_SECOND * marks
    return LEAST_ROOM + int(per_second * seconds)


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
