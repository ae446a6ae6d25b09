"""Layers: everything that sounds beside the speakers, each at a defined ratio to the speech.

A stationary noise, a point source, a bed of music and a door that slams differ in what they are and
in the time over which their level is meant; the composition treats them alike. It asks a layer for
its raw signal, finds the gain that gives the asked ratio, and adds it.

Legend: ``C`` channel, ``T`` sample, ``L`` sample of a response, ``M`` stretch of time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import RunError
from talkover.simulate.convolve import Track, block_size, convolve
from talkover.simulate.levels import (
    LEVEL_DIGITS,
    SILENT_POWER,
    decibels_of,
    decibels_of_power,
    noise_gain,
)

Samples = NDArray[np.float32]  # [C, T]

StemGroup = Literal["noise", "music", "sound"]
"""Layers of one group share one stem, which is their sum."""
STEM_GROUPS: tuple[StemGroup, ...] = ("noise", "music", "sound")


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """What composition needs to know of a raw layer before it is mixed."""

    power: float
    """Mean square over the layer's frames, first channel."""
    peak: float
    """No sample of any channel is larger than this in magnitude."""


class Layer(Protocol):
    """A sound beside the speakers, raw: at any level."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def stem(self) -> StemGroup:
        """The group whose stem has this layer in it."""

    @property
    def snr_db(self) -> float:
        """Asked ratio of speech to this layer in dB.

        Power of all reverberant speech over the speech-active frames, to power of the layer over
        its `frames`; both of the first channel.
        """

    @property
    def keep(self) -> bool:
        """Whether the blocks are costly, so that they are kept until the second pass."""

    def frames(self, speech: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the layer's own power is meant.

        Args:
            speech: Start and end in samples of the speech-active 10 ms frames, shape ``[M, 2]``.

        Returns:
            Sorted and disjoint stretches of the same form; ``speech`` for a stationary noise.
        """

    def blocks(self, block_samples: int) -> Iterator[Samples | None]:
        """The whole session in blocks ``[C, block_samples]``, the last one shorter.

        A block may be written over by whoever takes it and holds until the next is taken. None
        stands for a silent block.
        """

    def statistics(self, frames: NDArray[np.int64]) -> LayerStatistics | None:
        """Exact power over some frames and a bound of the peak.

        None where that costs as much as a pass over `blocks`: composition then measures.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerLevel:
    """How loud a layer came out."""

    name: str
    stem: StemGroup
    snr_db_asked: float
    snr_db_measured: float
    gain_db: float
    """Of the raw layer, before headroom."""


def mixed_level(
    layer: Layer, power: float, speech_power: float, session_id: str
) -> tuple[np.float32, LayerLevel]:
    """The gain that gives a layer its asked ratio, and the level that it then has.

    Args:
        layer: What to mix.
        power: Of the raw layer over its frames.
        speech_power: Of all speech over the speech-active frames.
        session_id: For the message.

    Raises:
        RunError: If the layer is silent, so that no gain gives the ratio.
    """
    if not power > SILENT_POWER:
        raise RunError(
            f"session {session_id}: {layer.stem} {layer.name!r} is silent wherever its level is "
            "measured, so no gain gives the asked SNR"
        )
    gain = np.float32(noise_gain(speech_power, power, layer.snr_db))
    snr_db = decibels_of_power(speech_power) - decibels_of_power(power * float(gain) ** 2)
    return gain, LayerLevel(
        name=layer.name,
        stem=layer.stem,
        snr_db_asked=layer.snr_db,
        snr_db_measured=round(snr_db, LEVEL_DIGITS),
        gain_db=round(decibels_of(float(gain)), LEVEL_DIGITS),
    )


def through_room(
    track: Track, h: NDArray[np.float32], num_samples: int, block_samples: int
) -> Iterator[Samples | None]:
    """A dry signal at one place, as the microphones hear it.

    Args:
        track: The signal.
        h: Responses from its place to the channels, shape ``[C, L]``.
        num_samples: Of the session.
        block_samples: Of a block of the result.
    """
    pieces = (
        None if block.silent else block.speech
        for block in convolve([track], h[np.newaxis], num_samples)
    )
    sizes = convolve_sizes(h.shape[1], num_samples)
    yield from reblocked(pieces, sizes, len(h), num_samples, block_samples)


def convolve_sizes(response_samples: int, num_samples: int) -> Iterator[int]:
    """Lengths of the blocks that `convolve` gives for responses of a length."""
    hop = block_size(response_samples)
    for start in range(0, num_samples, hop):
        yield min(hop, num_samples - start)


def reblocked(
    pieces: Iterator[Samples | None],
    sizes: Iterator[int],
    num_channels: int,
    num_samples: int,
    block_samples: int,
) -> Iterator[Samples | None]:
    """A stream cut into blocks of another size; a block is None where all its pieces are.

    Args:
        pieces: ``[C, n]`` each, or None for ``n`` silent samples.
        sizes: ``n`` of each piece.
        num_channels: ``C``.
        num_samples: Of all pieces together.
        block_samples: Of a block of the result; the last is as short as it must be.
    """
    piece: Samples | None = None
    left = 0
    for start in range(0, num_samples, block_samples):
        wanted = min(block_samples, num_samples - start)
        block: Samples | None = None
        filled = 0
        while filled < wanted:
            if left == 0:
                piece, left = next(pieces), next(sizes)
            count = min(left, wanted - filled)
            if piece is not None:
                if block is None:
                    block = np.zeros((num_channels, wanted), dtype=np.float32)
                first = piece.shape[1] - left
                block[:, filled : filled + count] = piece[:, first : first + count]
            filled += count
            left -= count
        yield block
