"""Streams of blocks: cut anew, filtered, resampled; the samples never depend on the cuts.

Everything that needs a transform or a table first cuts its stream into blocks of a size of its own,
so that rounding is the same for any size of blocks that come in.

Legend: ``C`` channel, ``T`` sample, ``L`` tap, ``N`` output sample of a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Samples = NDArray[np.float32]  # [C, T]

SMALLEST_FFT = 8192
TAPS_PER_FFT = 8
"""An overlap-save transform is at least this many times as long as its filter."""

HALF_WIDTH = 36
"""Samples of the slower clock on each side of the interpolating kernel…"""
KAISER_BETA = 8.0
"""…and its window: 80 dB of stop band, full from 1.07 of the cut-off on (Kaiser 1974)."""
PHASES = 1024
"""Rows of the kernel's table; linear interpolation between them errs by less than -110 dB."""
RESAMPLED_BLOCK = 8192


def rechunked(blocks: Iterable[Samples], size: int) -> Iterator[Samples]:
    """The same samples in blocks of one size; the last is as short as it must be."""
    held: list[Samples] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += block.shape[1]
        if count < size:
            continue
        joined = held[0] if len(held) == 1 else np.concatenate(held, axis=1)
        whole = count // size * size
        for start in range(0, whole, size):
            yield joined[:, start : start + size]
        held, count = [joined[:, whole:]], count - whole
    if count:
        yield np.concatenate(held, axis=1)


def skipped(blocks: Iterable[Samples], count: int) -> Iterator[Samples]:
    """A stream without its first samples."""
    left = count
    for block in blocks:
        if left >= block.shape[1]:
            left -= block.shape[1]
            continue
        yield block[:, left:] if left else block
        left = 0


def fitted(blocks: Iterable[Samples], num_samples: int) -> Iterator[Samples]:
    """Exactly so many samples: the rest is left out, what is missing is zero."""
    left, channels = num_samples, 1
    for block in blocks:
        channels = block.shape[0]
        if left and block.shape[1]:
            yield block[:, :left]
            left -= min(left, block.shape[1])
    if left:
        yield np.zeros((channels, left), dtype=np.float32)


def filtered(
    blocks: Iterable[Samples], taps: NDArray[np.float64], *, advance: int = 0
) -> Iterator[Samples]:
    """A stream through a finite filter, moved forward by the filter's delay.

    Args:
        blocks: ``[C, T]``.
        taps: Impulse response, ``[L]``.
        advance: Tap that is time 0: the middle of a linear-phase filter.

    Returns:
        As many samples as came in.
    """
    yield from skipped(_convolved(_and_zeros(blocks, advance), taps), advance)


def decimated(blocks: Iterable[Samples], factor: int, *, cutoff: float) -> Iterator[Samples]:
    """Every ``factor``-th sample from the first on, after a low-pass; see `resampled`."""
    kernel = _low_pass(cutoff / factor, HALF_WIDTH * factor)
    offset = 0  # of the next sample that is kept
    for block in filtered(blocks, kernel, advance=len(kernel) // 2):
        yield block[:, offset::factor]
        offset = (offset - block.shape[1]) % factor


def interpolated(blocks: Iterable[Samples], factor: int, *, cutoff: float) -> Iterator[Samples]:
    """``factor`` samples for each one; see `resampled`."""
    kernel = _low_pass(cutoff / factor, HALF_WIDTH * factor) * factor
    yield from filtered(_stuffed(blocks, factor), kernel, advance=len(kernel) // 2)


def resampled(
    blocks: Iterable[Samples], step: float, *, num_samples: int, cutoff: float = 1.0
) -> Iterator[Samples]:
    """The signal at the times 0, ``step``, ``2 step``, … of its own sample clock.

    Args:
        blocks: ``[C, T]``; zero before and after.
        step: Input samples between two output samples: 2 halves the rate.
        num_samples: Output samples.
        cutoff: Of the interpolating low-pass, relative to the Nyquist frequency of the slower of
            the two clocks.

    Returns:
        Windowed-sinc interpolation; the first output sample is at the time of the first input one.
    """
    narrow = cutoff / max(1.0, step)  # of the input's Nyquist frequency
    half = int(np.ceil(HALF_WIDTH * max(1.0, step)))
    table = _kernels(narrow, half)
    pieces = rechunked(blocks, RESAMPLED_BLOCK)
    first = next(pieces, None)
    if first is None:
        return
    window: Samples = np.concatenate(  # begins at input sample `begin`
        [np.zeros((first.shape[0], half), np.float32), first], axis=1
    )
    begin, done = -half, False
    for start in range(0, num_samples, RESAMPLED_BLOCK):
        numbers = np.arange(start, min(start + RESAMPLED_BLOCK, num_samples), dtype=np.float64)
        times = numbers * step
        wanted = int(np.floor(times[-1])) + half + 1  # last input sample + 1
        while begin + window.shape[1] < wanted:
            piece = None if done else next(pieces, None)
            if piece is None:
                done = True
                missing = wanted - begin - window.shape[1]
                piece = np.zeros((window.shape[0], missing), np.float32)
            window = np.concatenate([window, piece], axis=1)
        yield _interpolated(window, np.asarray(times - begin), table, half)
        keep = int(np.floor(times[-1] + step)) - half - begin
        if keep > 0:
            window, begin = window[:, keep:], begin + keep


def _interpolated(
    window: Samples, times: NDArray[np.float64], table: NDArray[np.float32], half: int
) -> Samples:
    """Samples at fractional places of a window, each by its own row of kernels."""
    whole = np.floor(times)
    phase = (times - whole) * PHASES
    row = phase.astype(np.int64)
    part = (phase - row).astype(np.float32)
    weights = table[row]  # [N, 2 half]
    if part.any():
        weights = weights + part[:, None] * (table[row + 1] - weights)
    views = np.lib.stride_tricks.sliding_window_view(window, 2 * half, axis=1)
    places = whole.astype(np.int64) - half + 1
    output: Samples = np.einsum("cnl,nl->cn", views[:, places], weights)
    return output


@lru_cache(maxsize=32)
def _kernels(cutoff: float, half: int) -> NDArray[np.float32]:
    """Kernels by phase, ``[PHASES + 1, 2 half]``; each sums to 1, so a constant stays one."""
    phases = np.arange(PHASES + 1)[:, None] / PHASES
    distance = np.arange(-half + 1, half + 1)[None, :] - phases
    inside = np.clip(1 - (distance / half) ** 2, 0, None)
    window = np.i0(KAISER_BETA * np.sqrt(inside)) / np.i0(KAISER_BETA)
    kernels = cutoff * np.sinc(cutoff * distance) * window
    kernels /= kernels.sum(axis=1, keepdims=True)
    return np.asarray(kernels, dtype=np.float32)


def _low_pass(cutoff: float, half: int) -> NDArray[np.float64]:
    """The kernel of `resampled` at phase 0 as a symmetric filter of gain 1, ``[2 half + 1]``."""
    kernel = (
        cutoff * np.sinc(cutoff * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, KAISER_BETA)
    )
    return np.asarray(kernel / kernel.sum())


def _stuffed(blocks: Iterable[Samples], factor: int) -> Iterator[Samples]:
    """Zeros after every sample."""
    for block in blocks:
        wide = np.zeros((block.shape[0], block.shape[1] * factor), dtype=np.float32)
        wide[:, ::factor] = block
        yield wide


def _and_zeros(blocks: Iterable[Samples], count: int) -> Iterator[Samples]:
    channels = 1
    for block in blocks:
        channels = block.shape[0]
        yield block
    if count:
        yield np.zeros((channels, count), dtype=np.float32)


def _convolved(blocks: Iterable[Samples], taps: NDArray[np.float64]) -> Iterator[Samples]:
    """Overlap-save convolution without its tail."""
    overlap = len(taps) - 1
    size = max(SMALLEST_FFT, 1 << int(np.ceil(np.log2(TAPS_PER_FFT * len(taps)))))
    spectrum = scipy.fft.rfft(taps.astype(np.float32), size, workers=1)
    past: Samples | None = None
    for block in rechunked(blocks, size - overlap):
        if past is None:
            past = np.zeros((block.shape[0], overlap), dtype=np.float32)
        joined = np.concatenate([past, block], axis=1, dtype=np.float32)
        output = scipy.fft.irfft(
            scipy.fft.rfft(joined, size, axis=1, workers=1) * spectrum, size, axis=1, workers=1
        )
        yield output[:, overlap : overlap + block.shape[1]]
        past = joined[:, joined.shape[1] - overlap :]
