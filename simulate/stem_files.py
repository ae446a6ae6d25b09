"""The mixture, its stems and the targets as files, and how well the stems add up.

Legend: ``C`` channel, ``T`` sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio_writing import write_audio
from talkover.manifests.markers import file_sha256
from talkover.manifests.schema import Audio, Stem
from talkover.manifests.wav_writing import write_wav16
from talkover.simulate.compose import PCM16_SCALE, Composition
from talkover.simulate.layers import StemGroup
from talkover.simulate.mixdown import Mixdown
from talkover.simulate.plan import SessionPlan
from talkover.simulate.targets import Target

PCM24_SCALE = float(2**23)
RESIDUAL_DIGITS = 9
"""Digits after the point of a residual; one step of 24 bit is 1.2e-7."""

AudioFormat = Literal["flac", "wav"]
StemSubtype = Literal["PCM_24", "FLOAT"]
Samples = NDArray[np.float32]  # [C, T]


def write_mixture(
    plan: SessionPlan,
    blocks: Iterable[NDArray[np.int16]],
    root: Path,
    path: str,
    format: AudioFormat,
) -> Audio:
    """Write blocks ``[C, T]`` of 16 bit to a path below a root, and describe the file."""
    rate, channels = plan.sampling_rate, plan.room.num_channels
    if format == "wav":
        written = write_wav16(root / path, blocks, rate, channels, plan.num_samples)
        sha256, pcm_sha256 = written.sha256, written.pcm_sha256
    else:
        pcm_sha256 = write_audio(root / path, blocks, rate, format=format).pcm_sha256
        sha256 = file_sha256(root / path)
    return Audio(
        path=path,
        sha256=sha256,
        pcm_sha256=pcm_sha256,
        sampling_rate=rate,
        num_samples=plan.num_samples,
        num_channels=channels,
        format=format,
        subtype="PCM_16",
    )


def write_stems(
    signals: Composition,
    root: Path,
    folder: str,
    targets: Sequence[Target],
    early_seconds: float,
    format: AudioFormat,
    subtype: StemSubtype,
) -> tuple[tuple[Stem, ...], float | None]:
    """Write the targets of every speaker, and the noise, music and sounds.

    ``S01.flac`` is a speaker's reverberant stem, ``S01-early.flac`` another target of the speaker.

    Returns:
        The stems, and the largest difference between the mixture and the sum of those of its law;
        None where the reverberant stems were not asked for.
    """
    floats = subtype == "FLOAT" or _peak(signals, targets) > 1.0 - 1.0 / PCM24_SCALE
    if floats:
        format, subtype = "wav", "FLOAT"
    stems = []

    def write(name: str, blocks: Iterator[Samples]) -> tuple[str, str]:
        path = f"{folder}/{name}.{format}"
        rate = signals.plan.sampling_rate
        write_audio(root / path, _quantised(blocks, floats), rate, format=format, subtype=subtype)
        return path, file_sha256(root / path)

    for target in targets:
        for local in signals.speakers:
            name = local if target == "reverberant" else f"{local}-{target}"
            path, digest = write(name, signals.speaker(local, target))
            stems.append(
                Stem(
                    kind="speaker",
                    target=target,
                    early_seconds=early_seconds if target == "early" else None,
                    speaker_local=local,
                    path=path,
                    sha256=digest,
                    subtype=subtype,
                )
            )
    for group in signals.groups:
        path, digest = write(group, signals.group(group))
        stems.append(Stem(kind=group, path=path, sha256=digest, subtype=subtype))
    return tuple(stems), residual(signals, floats=floats) if "reverberant" in targets else None


def residual(signals: Composition, *, floats: bool) -> float:
    """Largest difference between the mixture and the sum of its stems, as files hold them."""
    largest = 0.0
    streams = [_quantised(blocks, floats) for blocks in _law(signals)]
    for pcm, *parts in zip(Mixdown(signals).blocks(), *streams, strict=True):
        total = np.sum(parts, axis=0, dtype=np.float64)
        largest = max(largest, float(np.abs(pcm / PCM16_SCALE - total).max()))
    return round(largest, RESIDUAL_DIGITS)


def _law(signals: Composition) -> Iterator[Iterator[Samples]]:
    """Every signal that the mixture is the sum of."""
    for local in signals.speakers:
        yield signals.speaker(local, "reverberant")
    group: StemGroup
    for group in signals.groups:
        yield signals.group(group)


def _peak(signals: Composition, targets: Sequence[Target]) -> float:
    """Largest sample of all stems."""
    speakers = (signals.speaker(name, target) for target in targets for name in signals.speakers)
    groups = (signals.group(group) for group in signals.groups)
    streams = [*speakers, *groups]
    return max(float(np.abs(block).max()) for blocks in streams for block in blocks)


def _quantised(blocks: Iterable[Samples], floats: bool) -> Iterator[Samples]:
    """The values that a stem's file holds; 24 bit fit a float exactly."""
    scale = np.float32(PCM24_SCALE)
    for block in blocks:
        yield block if floats else np.rint(block * scale) * (1 / scale)
