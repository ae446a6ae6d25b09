"""Plan → audio. Decides nothing: every draw is in the plan.

`talkover.simulate.compose` makes all signals and their gains; here they are summed, quantised and
kept (`render`, for training on the fly) or written (`render_to_files`). The mixture is the same
with and without stems, and has in memory the values that it has in a file. Both work in blocks, so
that writing takes memory for a block, not for a session.

Legend: ``C`` channel, ``T`` sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio import count_clipped, to_pcm16, write_audio
from talkover.manifests.markers import file_sha256
from talkover.manifests.schema import Audio, Mix, Noise, Scene, Stem
from talkover.simulate.compose import Composition
from talkover.simulate.levels import (
    LARGEST_PCM16,
    LEVEL_DIGITS,
    SNR_DEFINITION,
    ActivePower,
    decibels_of,
    decibels_of_power,
)
from talkover.simulate.noise import NoiseCollection
from talkover.simulate.plan import SessionPlan
from talkover.simulate.response_sets import ResponseSet
from talkover.simulate.responses import ResponseKind, responses
from talkover.simulate.scene import scene_of
from talkover.simulate.tracks import Sources

MEMORY_LIMIT = 256 * 2**20
"""Bytes of signals above which `render_to_files` keeps them in its scratch folder."""
PCM16_SCALE = float(2**15)
PCM24_SCALE = float(2**23)
RESIDUAL_DIGITS = 9
"""Digits after the point of a residual; one step of 24 bit is 1.2e-7."""

AudioFormat = Literal["flac", "wav"]
StemSubtype = Literal["PCM_24", "FLOAT"]
Samples = NDArray[np.float32]  # [C, T]


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderReport:
    """What was rendered, as the contract stores it."""

    audio: Audio | None
    """None where nothing was written."""
    scene: Scene
    noise: tuple[Noise, ...]
    mix: Mix


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """A session in memory; full scale is 1."""

    mixture: Samples  # [C, T]
    """Has the values of 16 bit, as in a file."""
    stems: Mapping[str, Samples]
    """By local speaker, as heard at the microphones; empty where not asked for."""
    noise: Samples | None
    """The noise's stem; None where not asked for, or where the plan has none."""
    report: RenderReport


def render(
    plan: SessionPlan,
    sources: Sources,
    *,
    active: NDArray[np.int64],
    noises: NoiseCollection | None = None,
    rirs: ResponseSet | None = None,
    stems: bool = False,
    response_kind: ResponseKind = "full",
) -> Rendering:
    """A plan as arrays.

    Args:
        plan: What to render.
        sources: The utterances that it places, such as a `SourceCache`.
        active: Start and end in samples of label activity, shape ``[N, 2]``; see `SNR_DEFINITION`.
        noises: The collection that an ambient noise is from.
        rirs: The measured responses that the room is of.
        stems: Give each speaker and the noise beside the mixture.
        response_kind: ``direct`` leaves the room's reflections out.

    Raises:
        RunError: If the plan has no active speech, or its noise is silent.
        ConfigurationError: If a noise or response of the plan is missing.
    """
    room = responses(plan.room, plan.sampling_rate, kind=response_kind, rirs=rirs)
    with Composition(
        plan, sources, room, active=active, noises=noises, stems=stems, scratch=None
    ) as signals:
        meter = _Meter(signals)
        mixture = np.concatenate(list(meter.mixture()), axis=1)
        speakers = {name: _joined(signals.stem(name)) for name in signals.stem_names}
        noise = None
        if stems and plan.noise is not None:
            noise = _joined(block for block in signals.noise() if block is not None)
        report = RenderReport(
            audio=None,
            scene=scene_of(plan, room, rirs),
            noise=meter.noise(noises),
            mix=meter.mix(stems=(), residual=_residual(signals, floats=True) if stems else None),
        )
    return Rendering(
        mixture=mixture.astype(np.float32) / np.float32(PCM16_SCALE),
        stems=speakers,
        noise=noise,
        report=report,
    )


def render_to_files(
    plan: SessionPlan,
    sources: Sources,
    *,
    active: NDArray[np.int64],
    root: Path,
    audio_path: str,
    format: AudioFormat = "flac",
    stem_folder: str | None = None,
    stem_subtype: StemSubtype = "PCM_24",
    noises: NoiseCollection | None = None,
    rirs: ResponseSet | None = None,
    response_kind: ResponseKind = "full",
    scratch: Path | None = None,
) -> RenderReport:
    """A plan as files: a mixture of 16 bit and, where asked for, its stems of 24 bit or float.

    Args:
        plan: What to render.
        sources: The utterances that it places, such as a `SourceCache`.
        active: Start and end in samples of label activity, shape ``[N, 2]``; see `SNR_DEFINITION`.
        root: Folder that all paths are below.
        audio_path: Path of the mixture below ``root``.
        format: Container of the mixture and the stems.
        stem_folder: Folder of the stems below ``root``, named by local speaker; None writes none.
        stem_subtype: ``FLOAT`` is always in WAV; so are the stems of a session where one of them
            exceeds full scale by itself, which 24 bit cannot hold.
        noises: The collection that an ambient noise is from.
        rirs: The measured responses that the room is of.
        response_kind: ``direct`` leaves the room's reflections out.
        scratch: Folder for the signals of sessions over `MEMORY_LIMIT`; None keeps all in memory.

    Raises:
        RunError: If the plan has no active speech, its noise is silent, or a disk is full.
        ConfigurationError: If a noise or response of the plan is missing.
    """
    room = responses(plan.room, plan.sampling_rate, kind=response_kind, rirs=rirs)
    stems = stem_folder is not None
    if _signal_bytes(plan, stems) <= MEMORY_LIMIT:
        scratch = None
    with Composition(
        plan, sources, room, active=active, noises=noises, stems=stems, scratch=scratch
    ) as signals:
        meter = _Meter(signals)
        audio = _write_mixture(plan, meter.mixture(), root, audio_path, format)
        written: tuple[Stem, ...] = ()
        residual = None
        if stem_folder is not None:
            floats = stem_subtype == "FLOAT" or _stem_peak(signals) > 1.0 - 1.0 / PCM24_SCALE
            written = _write_stems(signals, root, stem_folder, "wav" if floats else format, floats)
            residual = _residual(signals, floats=floats)
        return RenderReport(
            audio=audio,
            scene=scene_of(plan, room, rirs),
            noise=meter.noise(noises),
            mix=meter.mix(stems=written, residual=residual),
        )


class _Meter:
    """Sums and quantises the mixture, and measures what comes out."""

    def __init__(self, signals: Composition) -> None:
        self._signals = signals
        self._speech = ActivePower(signals.frames)
        self._noise = ActivePower(signals.frames)
        self._peak = 0
        self._clipped = 0

    def mixture(self) -> Iterator[NDArray[np.int16]]:
        """The mixture in blocks ``[C, T]``; to be gone through once, before the results."""
        for speech, noise in self._signals.blocks():
            self._speech.add(speech[0])
            if noise is not None:
                self._noise.add(noise[0])
                speech += noise
            pcm = to_pcm16(speech)
            peak = max(int(pcm.max()), -int(pcm.min()))
            if peak >= LARGEST_PCM16 * PCM16_SCALE:
                self._clipped += count_clipped(speech)
            self._peak = max(self._peak, peak)
            yield pcm

    def mix(self, *, stems: tuple[Stem, ...], residual: float | None) -> Mix:
        """Gain, peak and clipping."""
        return Mix(
            gain_db=round(decibels_of(self._signals.gain), LEVEL_DIGITS),
            peak_dbfs=round(decibels_of(self._peak / PCM16_SCALE), LEVEL_DIGITS),
            clipped_samples=self._clipped,
            stems=stems,
            residual_peak=residual,
        )

    def noise(self, noises: NoiseCollection | None) -> tuple[Noise, ...]:
        """The noise and its measured SNR."""
        plan = self._signals.plan.noise
        if plan is None:
            return ()
        snr_db = decibels_of_power(self._speech.power) - decibels_of_power(self._noise.power)
        licence = None
        if plan.kind == "ambient" and noises is not None:
            licence = noises.clip(plan.clip, plan.clip_sha256).licence
        return (
            Noise(
                id=plan.clip or plan.kind,
                kind=plan.kind,
                sha256=plan.clip_sha256,
                licence=licence,
                offset_samples=plan.offset_samples,
                snr_db_asked=plan.snr_db,
                snr_db_measured=round(snr_db, LEVEL_DIGITS),
                snr_definition=SNR_DEFINITION,
            ),
        )


def _write_mixture(
    plan: SessionPlan,
    blocks: Iterator[NDArray[np.int16]],
    root: Path,
    audio_path: str,
    format: AudioFormat,
) -> Audio:
    path = root / audio_path
    path.parent.mkdir(parents=True, exist_ok=True)
    written = write_audio(path, blocks, plan.sampling_rate, format=format, subtype="PCM_16")
    return Audio(
        path=audio_path,
        sha256=file_sha256(path),
        pcm_sha256=written.pcm_sha256,
        sampling_rate=plan.sampling_rate,
        num_samples=written.num_samples,
        num_channels=plan.room.num_channels,
        format=format,
        subtype="PCM_16",
    )


def _write_stems(
    signals: Composition, root: Path, folder: str, format: AudioFormat, floats: bool
) -> tuple[Stem, ...]:
    """One file a speaker and one for the noise."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    subtype: StemSubtype = "FLOAT" if floats else "PCM_24"
    rate = signals.plan.sampling_rate
    stems = []
    for name, blocks in _stem_blocks(signals):
        path = f"{folder}/{name}.{format}"
        write_audio(root / path, _quantised(blocks, floats), rate, format=format, subtype=subtype)
        stems.append(
            Stem(
                kind="noise" if name == NOISE_STEM else "speaker",
                speaker_local=None if name == NOISE_STEM else name,
                path=path,
                sha256=file_sha256(root / path),
                subtype=subtype,
            )
        )
    return tuple(stems)


NOISE_STEM = "noise"
"""Name of the noise's file beside ``S01``, ``S02``, …"""


def _stem_blocks(signals: Composition) -> Iterator[tuple[str, Iterator[Samples]]]:
    """Name and blocks of every stem of the additive law."""
    for name in signals.stem_names:
        yield name, signals.stem(name)
    if signals.plan.noise is not None:
        yield NOISE_STEM, (block for block in signals.noise() if block is not None)


def _quantised(blocks: Iterable[Samples], floats: bool) -> Iterator[Samples]:
    """The values that a stem's file holds; 24 bit fit a float exactly."""
    scale = np.float32(PCM24_SCALE)
    for block in blocks:
        yield block if floats else np.rint(block * scale) * (1 / scale)


def _residual(signals: Composition, *, floats: bool) -> float:
    """Largest difference between the mixture and the sum of its stems, as files hold them."""
    largest = 0.0
    streams = [_quantised(blocks, floats) for _, blocks in _stem_blocks(signals)]
    for pcm, *parts in zip(_Meter(signals).mixture(), *streams, strict=True):
        total = np.sum(parts, axis=0, dtype=np.float64)
        largest = max(largest, float(np.abs(pcm / PCM16_SCALE - total).max()))
    return round(largest, RESIDUAL_DIGITS)


def _stem_peak(signals: Composition) -> float:
    return max(
        float(np.abs(block).max()) for _, blocks in _stem_blocks(signals) for block in blocks
    )


def _signal_bytes(plan: SessionPlan, stems: bool) -> int:
    signals = 1 + (plan.noise is not None) + (len(plan.speakers) if stems else 0)
    return 4 * signals * plan.room.num_channels * plan.num_samples


def _joined(blocks: Iterable[Samples]) -> Samples:
    return np.concatenate(list(blocks), axis=1)
