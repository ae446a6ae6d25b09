"""Streaming convolution of all speakers with all their responses, by overlap-add.

Per block: one forward transform of each leg that sounds in it, shared by all channels; products are
summed in frequency; one inverse transform a channel. Stems and targets cost one more inverse
transform each and leave the sum as it is, to the bit. Transforms of several blocks are made in one
call, since the FFT uses the vector unit only across transforms (four at once take the time of two).
The grid of blocks depends on the length of the responses alone, and memory on a few blocks, not on
the session.

Legend: ``K`` track, ``P`` leg, ``C`` channel, ``T`` sample, ``F`` frequency bin, ``L`` sample of a
response, ``N`` transform of a batch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from talkover.simulate.legs import Leg

FFT_SAMPLES = 32768
"""Fastest size for responses of half a second at 16 kHz; doubled for longer ones."""
LEAST_RATIO = 3
"""The transform is at least this many times as long as the response, or too much of it is tail."""
BATCH_BLOCKS = 8
"""Blocks whose forward transforms are made together: enough to fill the vector unit."""
BATCH_INVERSE = 8
"""Inverse transforms that are made together, blocks times channels."""
KEPT_TRANSFORMS = 32
"""Transforms of responses that are kept: all of a room where nobody moves. A walk has a response
every few centimetres, each for the time of a step."""

Samples = NDArray[np.float32]
Spectrum = NDArray[np.complex64]


class Track(Protocol):
    """A dry signal that can be read anywhere."""

    def block(self, start: int, num_samples: int) -> Samples | None:
        """Samples from ``start`` on, shape ``[T]``; None where they are all zero."""


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of the convolved session."""

    start: int
    speech: Samples  # [C, T]
    """Sum over tracks."""
    silent: bool
    """The sum is zero all over."""
    stems: tuple[tuple[Samples | None, ...], ...]  # K times [C, T] for each set of responses
    """For each of the asked sets of responses each track by itself, None where silent."""


def fft_size(response_samples: int) -> int:
    """Length of the transform for responses of a length.

    >>> fft_size(8000), fft_size(48000)
    (32768, 262144)
    """
    size = FFT_SAMPLES
    while size < LEAST_RATIO * response_samples:
        size *= 2
    return size


def block_size(response_samples: int) -> int:
    """Samples of a block for responses of a length: what a transform holds beside their tail.

    >>> block_size(1), block_size(8001)
    (32768, 24768)
    """
    return fft_size(response_samples) - response_samples + 1


def convolve(
    tracks: Sequence[Track],
    h: Samples,
    num_samples: int,
    *,
    legs: Sequence[Leg] = (),
    stems: Sequence[Samples] = (),
) -> Iterator[Block]:
    """The tracks convolved with their responses, in blocks of `block_size`; the last is shorter.

    Args:
        tracks: One a speaker.
        h: Responses, shape ``[P, C, L]``.
        num_samples: Length of the session; what would sound after it is cut.
        legs: Track and fade of each response; none means one response a track.
        stems: Sets of responses, shape ``[P, C, L]`` each, for which each track is wanted by
            itself; the speakers' part of the mixture has `h` here.

    Raises:
        ValueError: If the numbers of tracks, legs and responses do not agree.
    """
    legs = legs or tuple(Leg(k) for k in range(len(h)))
    if len(legs) != len(h) or {leg.seat for leg in legs} != set(range(len(tracks))):
        raise ValueError(f"{len(tracks)} tracks and {len(legs)} legs for {len(h)} responses")
    if h.shape[2] == 1:
        yield from _scaled(tracks, legs, h, num_samples, stems)
        return
    grid = _Grid(fft_size(h.shape[2]), block_size(h.shape[2]), h.shape[1], len(tracks))
    mixed = _Convolver(grid, legs, h)
    single = [_Separator(grid, legs, responses) for responses in stems]
    starts = range(0, num_samples, grid.hop)
    at_once = max(1, BATCH_BLOCKS * len(tracks) // len(legs))
    for first in range(0, len(starts), at_once):
        batch = starts[first : first + at_once]
        wanted = [min(grid.hop, num_samples - start) for start in batch]
        active, rows = dry_rows(tracks, legs, batch, wanted, grid.size)
        spectra = np.empty((0, grid.size // 2 + 1), dtype=np.complex64)
        if len(rows):
            spectra = scipy.fft.rfft(rows, axis=1, workers=1, overwrite_x=True)
        sums = mixed.batch(active, spectra, wanted)
        for n, (start, speech) in enumerate(zip(batch, sums, strict=True)):
            parts = tuple(each.block(active[n], spectra, wanted[n]) for each in single)
            silent = speech is None
            if speech is None:
                speech = np.zeros((grid.num_channels, wanted[n]), dtype=np.float32)
            yield Block(start, speech, silent, parts)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Sizes that all parts of one convolution share."""

    size: int
    hop: int
    num_channels: int
    num_tracks: int


Active = list[tuple[int, int]]
"""Legs that sound in a block, and the row of each in the batch's spectra."""


def dry_rows(
    tracks: Sequence[Track],
    legs: Sequence[Leg],
    batch: Sequence[int],
    wanted: Sequence[int],
    size: int,
) -> tuple[list[Active], Samples]:
    """All that sounds in some blocks before the room, one leg and block a row.

    Args:
        tracks: One a speaker.
        legs: Track and fade of each response.
        batch: First sample of each block.
        wanted: Samples of each block.
        size: Of a row; zero after the block.

    Returns:
        For each block the legs that sound in it and their rows; and the rows, ``[N, size]``.
    """
    rows: list[Samples] = []
    active: list[Active] = []
    for start, length in zip(batch, wanted, strict=True):
        dry = [track.block(start, length) for track in tracks]
        sounding: Active = []
        for p, leg in enumerate(legs):
            signal = dry[leg.seat]
            if signal is None or leg.is_silent(start, length):
                continue
            sounding.append((p, len(rows)))
            rows.append(signal * leg.gains(start, length) if leg.fade else signal)
        active.append(sounding)
    buffer = np.empty((len(rows), size), dtype=np.float32)
    for row, signal in zip(buffer, rows, strict=True):
        row[: len(signal)] = signal
        row[len(signal) :] = 0.0
    return active, buffer


class _Convolver:
    """Sums over all legs."""

    def __init__(self, grid: _Grid, legs: Sequence[Leg], h: Samples) -> None:
        self._grid = grid
        self._transforms = _Transforms(h, grid.size)
        self._overlap = _Overlap(grid)
        self._at_once = max(1, BATCH_INVERSE // grid.num_channels)
        bins = grid.size // 2 + 1
        self._sums = np.empty((self._at_once, grid.num_channels, bins), dtype=np.complex64)
        self._product = np.empty((grid.num_channels, bins), dtype=np.complex64)

    def batch(
        self, active: Sequence[Active], spectra: Spectrum, wanted: Sequence[int]
    ) -> Iterator[Samples | None]:
        """The blocks of a batch one by one, shape ``[C, T]``; None where all is zero."""
        sounding = [n for n, rows in enumerate(active) if rows]
        signals: dict[int, Samples] = {}
        for n, length in enumerate(wanted):
            if active[n] and n not in signals:
                signals = self._inverse(
                    [m for m in sounding if m >= n][: self._at_once], active, spectra
                )
            yield self._overlap.next(signals.pop(n, None), length)

    def _inverse(
        self, blocks: Sequence[int], active: Sequence[Active], spectra: Spectrum
    ) -> dict[int, Samples]:
        """Signals ``[C, size]`` of some blocks, in one call."""
        for total, n in zip(self._sums, blocks, strict=False):
            _sum_of_products(self._transforms, spectra, active[n], total, self._product)
        sums = self._sums[: len(blocks)]
        signals = scipy.fft.irfft(sums, self._grid.size, axis=2, workers=1)
        return dict(zip(blocks, signals, strict=True))


class _Separator:
    """Each track by itself, through one set of responses."""

    def __init__(self, grid: _Grid, legs: Sequence[Leg], h: Samples) -> None:
        self._grid, self._legs = grid, legs
        self._transforms = _Transforms(h, grid.size)
        self._overlaps = [_Overlap(grid) for _ in range(grid.num_tracks)]
        shape = (grid.num_channels, grid.size // 2 + 1)
        self._sum, self._product = (np.empty(shape, dtype=np.complex64) for _ in range(2))

    def block(self, active: Active, spectra: Spectrum, wanted: int) -> tuple[Samples | None, ...]:
        """Every track's block ``[C, T]``, None where it is silent."""
        result = []
        for k, overlap in enumerate(self._overlaps):
            own = [(p, row) for p, row in active if self._legs[p].seat == k]
            signal = None
            if own:
                _sum_of_products(self._transforms, spectra, own, self._sum, self._product)
                signal = scipy.fft.irfft(self._sum, self._grid.size, axis=1, workers=1)
            result.append(overlap.next(signal, wanted))
        return tuple(result)


class _Overlap:
    """Adds the tail of each block to the beginning of the next."""

    def __init__(self, grid: _Grid) -> None:
        self._grid = grid
        self._tail: Samples | None = None  # [C, L - 1]

    def next(self, signal: Samples | None, wanted: int) -> Samples | None:
        """The next samples, shape ``[C, wanted]``; None where all are zero."""
        tail = self._tail
        if signal is None:
            self._tail = None
            if tail is None:
                return None
            # A tail is shorter than a block (LEAST_RATIO), so nothing of it is left after this.
            result = np.zeros((self._grid.num_channels, wanted), dtype=np.float32)
            count = min(wanted, tail.shape[1])
            result[:, :count] = tail[:, :count]
            return result
        if tail is not None:
            signal[:, : tail.shape[1]] += tail
        self._tail = signal[:, self._grid.hop :].copy()
        return signal[:, :wanted]


class _Transforms:
    """Transforms ``[C, F]`` of responses ``[P, C, L]``, made when they are needed."""

    def __init__(self, h: Samples, size: int) -> None:
        self._h, self._size = h, size
        self._kept: OrderedDict[int, Spectrum] = OrderedDict()

    def __getitem__(self, p: int) -> Spectrum:
        if p in self._kept:
            self._kept.move_to_end(p)
        else:
            self._kept[p] = scipy.fft.rfft(self._h[p], self._size, axis=1, workers=1)
            if len(self._kept) > KEPT_TRANSFORMS:
                self._kept.popitem(last=False)
        return self._kept[p]


def _sum_of_products(
    transforms: _Transforms, spectra: Spectrum, rows: Active, total: Spectrum, product: Spectrum
) -> None:
    """Write the sum over some legs of response times signal to ``total``, shape ``[C, F]``."""
    (first, row), *rest = rows
    np.multiply(transforms[first], spectra[row], out=total)
    for p, row in rest:
        np.multiply(transforms[p], spectra[row], out=product)
        total += product


def _scaled(
    tracks: Sequence[Track],
    legs: Sequence[Leg],
    h: Samples,
    num_samples: int,
    stems: Sequence[Samples],
) -> Iterator[Block]:
    """Responses of one sample: nothing to convolve."""
    hop = block_size(1)
    for start in range(0, num_samples, hop):
        wanted = min(hop, num_samples - start)
        dry = [track.block(start, wanted) for track in tracks]
        sounding = [
            (p, leg.seat, signal * leg.gains(start, wanted) if leg.fade else signal)
            for p, leg in enumerate(legs)
            if (signal := dry[leg.seat]) is not None
        ]
        speech = np.zeros((h.shape[1], wanted), dtype=np.float32)
        for p, _, signal in sounding:
            speech += h[p] * signal
        parts = []
        for responses in stems:
            single: list[Samples | None] = [None] * len(tracks)
            for p, k, signal in sounding:
                scaled = responses[p] * signal
                held = single[k]
                single[k] = scaled if held is None else held + scaled
            parts.append(tuple(single))
        yield Block(start, speech, not sounding, tuple(parts))
