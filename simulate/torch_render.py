"""Plan → audio on a device: a batch of sessions with torch, for training on a GPU.

The same sums as `talkover.simulate.render`, in another order: samples differ by the rounding of
single precision, so that a mixture differs by a step of 16 bit here and there. Whoever needs the
same bytes as a run on disk renders with numpy. Dry speech and layers are put together on the CPU;
all convolution, scaling and quantising is on the device, with no atomic additions, so that one
device gives the same samples every time.

Legend: ``N`` row (a leg in a block), ``B`` block, ``P`` leg, ``C`` channel, ``T`` sample, ``F``
frequency bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from talkover.manifests.errors import RunError
from talkover.manifests.schema import Mix
from talkover.simulate.compose import PCM16_SCALE
from talkover.simulate.convolve import Active, block_size, dry_rows, fft_size
from talkover.simulate.layers import Layer, LayerLevel, mixed_level
from talkover.simulate.levels import (
    LEVEL_DIGITS,
    SILENT_POWER,
    active_frames,
    decibels_of,
    headroom_gain,
)
from talkover.simulate.materials import Materials
from talkover.simulate.plan import SessionPlan
from talkover.simulate.render import Rendering
from talkover.simulate.render_job import RenderJob
from talkover.simulate.tracks import Sources, SpeakerTrack

BLOCKS_AT_ONCE = 64
"""Blocks of a session whose inverse transforms are in memory together: 8 channels take 70 MB."""


def render_batch(
    plans: Sequence[SessionPlan],
    sources: Sources,
    *,
    active: Sequence[NDArray[np.int64]],
    materials: Materials | None = None,
    device: str | torch.device = "cpu",
) -> list[Rendering]:
    """Plans as arrays, without stems.

    Args:
        plans: What to render.
        sources: The utterances that they place.
        active: Start and end in samples of each session's label activity, shape ``[N, 2]``.
        materials: Collections that the plans draw on.
        device: Where to compute.

    Raises:
        RunError: If a plan has no active speech, or a noise or sound of it is silent.
        ConfigurationError: If a noise, sound or response is missing.
    """
    with torch.inference_mode():
        return [
            _render(RenderJob(plan, materials or Materials(), "full"), sources, spans, device)
            for plan, spans in zip(plans, active, strict=True)
        ]


def _render(
    job: RenderJob, sources: Sources, active: NDArray[np.int64], device: str | torch.device
) -> Rendering:
    plan = job.plan
    mixture = _speech(job, sources, device)  # [C, T]
    frames = active_frames(active, plan.num_samples, plan.sampling_rate)
    if not len(frames):
        raise RunError(f"session {plan.session_id}: its labels have no active speech")
    speech_power = _power(mixture[0], frames)
    if not speech_power > SILENT_POWER:
        raise RunError(f"session {plan.session_id}: silent wherever its labels have speech")
    levels: list[LayerLevel] = []
    for layer in job.layers:
        signal = _layer_signal(layer, plan, device)
        power = _power(signal[0], layer.frames(frames))
        gain, level = mixed_level(layer, power, speech_power, plan.session_id)
        mixture += signal * float(gain)
        levels.append(level)
    gain_all = headroom_gain(float(mixture.abs().max()), plan.peak_dbfs)
    steps = torch.round(mixture * (gain_all * PCM16_SCALE))
    pcm = steps.to(torch.int16).cpu().numpy()
    mix = Mix(
        gain_db=round(decibels_of(gain_all), LEVEL_DIGITS),
        peak_dbfs=round(decibels_of(float(steps.abs().max()) / PCM16_SCALE), LEVEL_DIGITS),
        clipped_samples=0,  # headroom
    )
    channel = job.channel(None)
    after = pcm if channel is None else np.concatenate(list(channel.apply([pcm])), axis=1)
    return Rendering(
        mixture=after.astype(np.float32) / np.float32(PCM16_SCALE),
        pre_channel=None if channel is None else pcm.astype(np.float32) / np.float32(PCM16_SCALE),
        targets={},
        report=job.report(tuple(levels), audio=None, mix=mix, channel=channel),
    )


def _speech(job: RenderJob, sources: Sources, device: str | torch.device) -> torch.Tensor:
    """All speakers through the room, shape ``[C, T]``."""
    plan, room = job.plan, job.room
    tracks = [
        SpeakerTrack(
            [p for p in plan.placements if p.speaker_local == seat.speaker_local],
            sources,
            plan.sampling_rate,
        )
        for seat in plan.room.seats
    ]
    num_channels, length = room.h.shape[1:]
    size, hop = fft_size(length), block_size(length)
    h = torch.fft.rfft(torch.tensor(room.h, device=device), n=size)  # [P, C, F]
    tail = torch.zeros((num_channels, length - 1), device=device)
    parts = []
    for first in range(0, plan.num_samples, hop * BLOCKS_AT_ONCE):
        end = min(plan.num_samples, first + hop * BLOCKS_AT_ONCE)
        starts = range(first, end, hop)
        wanted = [min(hop, end - start) for start in starts]
        active, rows = dry_rows(tracks, room.legs, starts, wanted, size)
        spectra = torch.fft.rfft(torch.from_numpy(rows).to(device))  # [N, F]
        signals = torch.fft.irfft(_sums(active, spectra, h), n=size)  # [B, C, size]
        body, tails = signals[:, :, :hop], signals[:, :, hop:]
        before = torch.cat([tail[None], tails[:-1]])
        body[:, :, : length - 1] += before
        tail = tails[-1]
        parts.append(body.permute(1, 0, 2).reshape(num_channels, -1)[:, : end - first])
    return torch.cat(parts, dim=1)


def _sums(active: Sequence[Active], spectra: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Products of signals and responses summed over legs, shape ``[B, C, F]``."""
    sums = torch.zeros((len(active), *h.shape[1:]), dtype=torch.complex64, device=h.device)
    by_leg: dict[int, list[tuple[int, int]]] = {}
    for block, sounding in enumerate(active):
        for leg, row in sounding:
            by_leg.setdefault(leg, []).append((block, row))
    for leg, pairs in by_leg.items():  # a leg is at most once in a block, so nothing collides
        blocks, rows = (
            torch.tensor(column, device=h.device) for column in zip(*pairs, strict=True)
        )
        sums[blocks] += spectra[rows][:, None] * h[leg]
    return sums


def _layer_signal(layer: Layer, plan: SessionPlan, device: str | torch.device) -> torch.Tensor:
    """A raw layer, shape ``[C, T]``."""
    channels = plan.room.num_channels
    signal = np.zeros((channels, plan.num_samples), dtype=np.float32)
    hop = fft_size(1)
    for start, block in zip(range(0, plan.num_samples, hop), layer.blocks(hop), strict=True):
        if block is not None:
            signal[:, start : start + hop] = block
    return torch.from_numpy(signal).to(device)


def _power(signal: torch.Tensor, frames: NDArray[np.int64]) -> float:
    """Mean square of ``[T]`` over some frames."""
    parts = [signal[first:end] for first, end in frames.tolist()]
    return float(torch.cat(parts).to(torch.float64).square().mean())
