"""First pass of rendering: all signals of a session before the mix, and the gains of the mix.

::

    sources ─► dry tracks ─► convolution ─► speech, stems ─► spools, power over active frames, peak
    layers ─────────────────► power over their frames ─► a gain each from the asked ratio
                              then: one gain for headroom

Speech waits in a spool, since gains depend on all of it. Layers that cost little are made again for
the second pass instead.

Legend: ``C`` channel, ``T`` sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import RunError
from talkover.simulate.convolve import block_size, convolve
from talkover.simulate.layers import (
    STEM_GROUPS,
    Layer,
    LayerLevel,
    LayerStatistics,
    StemGroup,
    mixed_level,
)
from talkover.simulate.levels import (
    SILENT_POWER,
    ActivePower,
    active_frames,
    headroom_gain,
)
from talkover.simulate.plan import SessionPlan
from talkover.simulate.responses import Responses
from talkover.simulate.spool import Spool
from talkover.simulate.targets import EARLY_SECONDS, DelayedTrack, Target, response_part
from talkover.simulate.tracks import Sources, SpeakerTrack

Samples = NDArray[np.float32]  # [C, T]

PCM16_SCALE = float(2**15)
"""Steps of 16 bit in full scale. A power of two, so that scaling by it rounds nothing."""


_NO_GAIN = np.float32(0.0)


@dataclass(slots=True)
class _Mixed:
    """A layer, its signal if it is kept, and its gain."""

    layer: Layer
    spool: Spool | None
    gain: np.float32 = _NO_GAIN
    peaks: list[float] = field(default_factory=list)
    """Of each block of the raw layer."""


class Composition:
    """The signals of a session, ready to be mixed; use it in a ``with`` statement.

    Args:
        plan: What to render.
        sources: The utterances that it places.
        responses: Of the plan's room.
        active: Start and end in samples of label activity, shape ``[N, 2]``.
        layers: What sounds beside the speakers.
        targets: Signals of each speaker to keep.
        early_seconds: Length of the target ``early`` after the direct path.
        scratch: Folder for the signals; None keeps them in memory.

    Raises:
        RunError: If the plan has no active speech, or a layer is silent.
    """

    def __init__(
        self,
        plan: SessionPlan,
        sources: Sources,
        responses: Responses,
        *,
        active: NDArray[np.int64],
        layers: Sequence[Layer] = (),
        targets: Sequence[Target] = (),
        early_seconds: float = EARLY_SECONDS,
        scratch: Path | None,
    ) -> None:
        """Convolve everything."""
        self.plan = plan
        self.frames = active_frames(active, plan.num_samples, plan.sampling_rate)
        self._early_seconds = early_seconds
        self._responses = responses
        self._block = block_size(responses.h.shape[2])
        self._names = [seat.speaker_local for seat in plan.room.seats]
        self._tracks = [
            SpeakerTrack(
                [p for p in plan.placements if p.speaker_local == name], sources, plan.sampling_rate
            )
            for name in self._names
        ]
        self._stack = ExitStack()
        self._speech = self._spool(scratch)
        self._speech_peaks: list[float] = []
        self._stems = {
            target: {name: self._spool(scratch) for name in self._names}
            for target in targets
            if target != "dry"
        }
        self._layers = [
            _Mixed(layer, self._spool(scratch) if layer.keep else None) for layer in layers
        ]
        self._gain = 1.0
        try:
            power = self._add_speech()
            self.levels = tuple(self._add_layer(mixed, power) for mixed in self._layers)
            self._gain = headroom_gain(self._peak(plan.peak_dbfs), plan.peak_dbfs)
        except BaseException:
            self._stack.close()
            raise

    @property
    def gain(self) -> float:
        """Headroom gain of the whole mix, at most 1; part of every signal that this gives."""
        return self._gain

    @property
    def speakers(self) -> tuple[str, ...]:
        """Local speakers in order of their seats."""
        return tuple(self._names)

    @property
    def groups(self) -> tuple[StemGroup, ...]:
        """Groups of layers that this session has."""
        present = {mixed.layer.stem for mixed in self._layers}
        return tuple(group for group in STEM_GROUPS if group in present)

    def mixture(self) -> Iterator[Samples]:
        """The sum of all block by block, after all gains, in steps of 16 bit.

        None of its samples is beyond the steps of 16 bit, which is what headroom is for. A block
        may be written over and holds until the next is taken.
        """
        return self._sums(headroom=self._gain)

    def speaker(self, local: str, target: Target) -> Iterator[Samples]:
        """A target of a speaker block by block, after all gains: ``[C, T]``, dry ``[1, T]``."""
        if target == "dry":
            yield from self._dry(local)
        else:
            for length, block in zip(self._lengths(), self._stems[target][local], strict=True):
                yield self._scaled(block, np.float32(self._gain), length)

    def group(self, group: StemGroup) -> Iterator[Samples]:
        """The sum of the layers of a group block by block, after all gains."""
        mixed = [mixed for mixed in self._layers if mixed.layer.stem == group]
        streams = [self._layer_blocks(each) for each in mixed]
        for length, *blocks in zip(self._lengths(), *streams, strict=True):
            total = np.zeros((self.plan.room.num_channels, length), dtype=np.float32)
            for each, block in zip(mixed, blocks, strict=True):
                if block is not None:
                    total += block * np.float32(each.gain * self._gain)
            yield total

    def __enter__(self) -> Self:
        """For use in a ``with`` statement."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give back memory and scratch files."""
        self._stack.close()

    def _spool(self, scratch: Path | None) -> Spool:
        return self._stack.enter_context(Spool(scratch))

    def _lengths(self) -> Iterator[int]:
        """Samples of each block."""
        for start in range(0, self.plan.num_samples, self._block):
            yield min(self._block, self.plan.num_samples - start)

    def _scaled(self, block: Samples | None, gain: np.float32, length: int) -> Samples:
        if block is None:
            return np.zeros((self.plan.room.num_channels, length), dtype=np.float32)
        return block * gain

    def _dry(self, local: str) -> Iterator[Samples]:
        seat = self.plan.room.seats[self._names.index(local)]
        track = DelayedTrack(self._tracks[self._names.index(local)], seat.direct_delay_samples)
        start = 0
        for length in self._lengths():
            block = track.block(start, length)
            start += length
            if block is None:
                yield np.zeros((1, length), dtype=np.float32)
            else:
                yield block[np.newaxis] * np.float32(self._gain)

    def _add_speech(self) -> float:
        """Convolve all speakers; power over active frames of their sum."""
        plan, meter = self.plan, ActivePower(self.frames)
        rate = plan.sampling_rate
        parts = [
            response_part(plan.room, self._responses, target, rate, self._early_seconds)
            for target in self._stems
        ]
        for block in convolve(
            self._tracks,
            self._responses.h,
            plan.num_samples,
            legs=self._responses.legs,
            stems=parts,
        ):
            self._speech.append(None if block.silent else block.speech, PCM16_SCALE)
            self._speech_peaks.append(0.0 if block.silent else _largest(block.speech))
            meter.add(block.speech[0])
            for spools, stems in zip(self._stems.values(), block.stems, strict=True):
                for name, stem in zip(self._names, stems, strict=True):
                    spools[name].append(stem)
        name = f"session {plan.session_id}"
        if not meter.num_samples:
            raise RunError(f"{name}: its labels have no active speech")
        if not np.isfinite(max(self._speech_peaks)):
            raise RunError(f"{name}: its speech is not finite")
        if meter.power <= SILENT_POWER:
            raise RunError(f"{name}: silent wherever its labels have speech")
        return meter.power

    def _add_layer(self, mixed: _Mixed, speech_power: float) -> LayerLevel:
        """Measure a layer, keep it if it is costly, and find the gain for the asked ratio."""
        layer = mixed.layer
        frames = layer.frames(self.frames)
        known = layer.statistics(frames) if mixed.spool is None else None
        measured = known or self._measure(mixed, frames)
        if known is not None:
            mixed.peaks = [known.peak] * len(self._speech_peaks)
        mixed.gain, level = mixed_level(layer, measured.power, speech_power, self.plan.session_id)
        return level

    def _measure(self, mixed: _Mixed, frames: NDArray[np.int64]) -> LayerStatistics:
        """Go through a layer once: power, peaks and, if it is costly, its samples."""
        meter = ActivePower(frames)
        silence = np.zeros(self._block, dtype=np.float32)
        for length, block in zip(self._lengths(), mixed.layer.blocks(self._block), strict=True):
            meter.add(silence[:length] if block is None else block[0])
            mixed.peaks.append(0.0 if block is None else _largest(block))
            if mixed.spool is not None:
                mixed.spool.append(block)
        return LayerStatistics(meter.power, max(mixed.peaks))

    def _layer_blocks(self, mixed: _Mixed) -> Iterable[Samples | None]:
        return mixed.layer.blocks(self._block) if mixed.spool is None else mixed.spool

    def _sums(
        self, wanted: Sequence[bool] | None = None, headroom: float = 1.0
    ) -> Iterator[Samples]:
        """Speech and layers in steps of 16 bit, in one buffer.

        Args:
            wanted: Which blocks to give; None means all.
            headroom: Gain of all together.
        """
        channels = self.plan.room.num_channels
        buffer = np.empty(channels * self._block, dtype=np.float32)
        gains = [mixed.gain * np.float32(PCM16_SCALE) for mixed in self._layers]
        streams = [self._layer_blocks(mixed) for mixed in self._layers]
        for n, (length, speech, *blocks) in enumerate(
            zip(self._lengths(), self._speech, *streams, strict=True)
        ):
            if wanted is not None and not wanted[n]:
                continue
            parts = [(b, gain) for b, gain in zip(blocks, gains, strict=True) if b is not None]
            total = buffer[: channels * length].reshape(channels, length)
            for c, row in enumerate(total):  # one by one: a channel stays in the cache
                _sum_channel(row, None if speech is None else speech[c], parts, c)
                if headroom != 1.0:
                    row *= np.float32(headroom)
            yield total

    def _peak(self, limit_dbfs: float) -> float:
        """Peak of all together; a bound of it where even that is below the limit."""
        bounds = [
            peak + sum(float(mixed.gain) * mixed.peaks[n] for mixed in self._layers)
            for n, peak in enumerate(self._speech_peaks)
        ]
        candidates = [headroom_gain(bound, limit_dbfs) < 1.0 for bound in bounds]
        if not any(candidates):
            return max(bounds)
        return max(_largest(block) for block in self._sums(candidates)) / PCM16_SCALE


def _largest(block: Samples) -> float:
    return max(float(block.max()), -float(block.min()))


def _sum_channel(
    row: NDArray[np.float32],
    speech: NDArray[np.float32] | None,
    parts: Sequence[tuple[Samples, np.float32]],
    channel: int,
) -> None:
    """Write the sum of speech and scaled layers to a row, shape ``[T]``."""
    if not parts:
        row[:] = 0.0 if speech is None else speech
        return
    (block, gain), *others = parts
    np.multiply(block[channel], gain, out=row)
    for block, gain in others:
        row += block[channel] * gain
    if speech is not None:
        row += speech
