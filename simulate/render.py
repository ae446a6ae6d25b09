"""Plan → audio. Decides nothing: every draw is in the plan.

`talkover.simulate.compose` makes all signals and their gains; here they are summed, quantised, sent
through the channel and kept (`render`, for training on the fly) or written (`render_to_files`). The
mixture is the same with and without stems, and has in memory the values that it has in a file. Both
work in blocks, so that writing takes memory for a block, not for a session.

Legend: ``C`` channel, ``T`` sample, ``L`` sample of a response.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkover.simulate.compose import PCM16_SCALE
from talkover.simulate.layers import StemGroup
from talkover.simulate.materials import Materials
from talkover.simulate.mixdown import Mixdown
from talkover.simulate.plan import SessionPlan
from talkover.simulate.render_job import RenderJob, RenderReport
from talkover.simulate.responses import ResponseKind
from talkover.simulate.stem_files import (
    AudioFormat,
    StemSubtype,
    residual,
    write_mixture,
    write_stems,
)
from talkover.simulate.targets import EARLY_SECONDS, Target
from talkover.simulate.tracks import Sources

__all__ = ["RenderReport", "Rendering", "render", "render_to_files"]

MEMORY_LIMIT = 256 * 2**20
"""Bytes of signals above which `render_to_files` keeps them in its scratch folder."""

Samples = NDArray[np.float32]  # [C, T]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """A session in memory; full scale is 1."""

    mixture: Samples  # [C, T]
    """After the channel; has the values of 16 bit, as in a file."""
    pre_channel: Samples | None
    """Before the channel; None where there is no channel."""
    targets: Mapping[Target, Mapping[str, Samples]]
    """By target and local speaker, at the microphones; ``dry`` has one channel."""
    groups: Mapping[StemGroup, Samples] = field(default_factory=dict)
    """Sums of the noises, music and sounds that the session has, where any target was asked for."""
    report: RenderReport

    @property
    def stems(self) -> Mapping[str, Samples]:
        """The target ``reverberant`` by local speaker; empty where it was not asked for."""
        return self.targets.get("reverberant", {})

    @property
    def noise(self) -> Samples | None:
        """The sum of all noises, where any target was asked for and the plan has noise."""
        return self.groups.get("noise")


def render(
    plan: SessionPlan,
    sources: Sources,
    *,
    active: NDArray[np.int64],
    materials: Materials | None = None,
    targets: Sequence[Target] = (),
    early_seconds: float = EARLY_SECONDS,
    response_kind: ResponseKind = "full",
) -> Rendering:
    """A plan as arrays.

    Args:
        plan: What to render.
        sources: The utterances that it places, such as a `SourceCache`.
        active: Start and end in samples of label activity, shape ``[N, 2]``; see `SNR_DEFINITION`.
        materials: Collections that the plan draws on.
        targets: Signals of each speaker to give beside the mixture, and with them the noise.
        early_seconds: Length of the target ``early`` after the direct path.
        response_kind: ``direct`` leaves the room's reflections out.

    Raises:
        RunError: If the plan has no active speech, or a noise or sound of it is silent.
        ConfigurationError: If a noise, sound or response of the plan is missing.
    """
    job = RenderJob(plan, materials or Materials(), response_kind)
    with job.compose(sources, active, targets, early_seconds, None) as signals:
        mixdown = Mixdown(signals)
        blocks = list(mixdown.blocks())
        channel = job.channel(None)
        after = blocks if channel is None else list(channel.apply(blocks))
        law = "reverberant" in targets
        report = job.report(
            signals.levels,
            audio=None,
            mix=mixdown.mix(residual_peak=residual(signals, floats=True) if law else None),
            channel=channel,
        )
        return Rendering(
            mixture=_as_float(after),
            pre_channel=None if channel is None else _as_float(blocks),
            targets={
                target: {name: _joined(signals.speaker(name, target)) for name in signals.speakers}
                for target in targets
            },
            groups={group: _joined(signals.group(group)) for group in signals.groups if targets},
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
    targets: Sequence[Target] = ("reverberant",),
    early_seconds: float = EARLY_SECONDS,
    materials: Materials | None = None,
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
        targets: Signals of each speaker to write as stems, beside the noise.
        early_seconds: Length of the target ``early`` after the direct path.
        materials: Collections that the plan draws on.
        response_kind: ``direct`` leaves the room's reflections out.
        scratch: Folder for the signals of sessions over `MEMORY_LIMIT`; None keeps all in memory.

    Raises:
        RunError: If the plan has no active speech, a noise or sound of it is silent, or a disk is
            full.
        ConfigurationError: If a noise, sound or response of the plan is missing.
    """
    job = RenderJob(plan, materials or Materials(), response_kind)
    if stem_folder is None:
        targets = ()
    if job.signal_bytes(targets) <= MEMORY_LIMIT:
        scratch = None
    with job.compose(sources, active, targets, early_seconds, scratch) as signals:
        mixdown = Mixdown(signals)
        channel = job.channel(scratch)
        blocks: Iterable[NDArray[np.int16]] = mixdown.blocks()
        pre_channel = None
        if channel is not None:
            if stem_folder is not None:
                pre_channel = f"{stem_folder}/pre_channel.{format}"
                write_mixture(plan, blocks, root, pre_channel, format)
                blocks = mixdown.blocks()
            blocks = channel.apply(blocks)
        audio = write_mixture(plan, blocks, root, audio_path, format)
        mix = mixdown.mix(pre_channel=pre_channel)
        if stem_folder is not None and targets:
            stems, peak = write_stems(
                signals, root, stem_folder, targets, early_seconds, format, stem_subtype
            )
            mix = mix.model_copy(update={"stems": stems, "residual_peak": peak})
        return job.report(signals.levels, audio=audio, mix=mix, channel=channel)


def _as_float(blocks: Iterable[NDArray[np.int16]]) -> Samples:
    pcm = np.concatenate(list(blocks), axis=1)
    return pcm.astype(np.float32) / np.float32(PCM16_SCALE)


def _joined(blocks: Iterator[Samples]) -> Samples:
    return np.concatenate(list(blocks), axis=1)
