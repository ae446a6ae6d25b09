"""What every renderer needs of a plan: its room, its layers, its channel, and the report.

Legend: ``C`` channel, ``L`` sample of a response.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.schema import Audio, ChannelEffect, Metres, Mix, Noise, Scene
from talkover.simulate.channel.stage import ChannelStage
from talkover.simulate.compose import Composition
from talkover.simulate.layers import Layer, LayerLevel
from talkover.simulate.materials import Materials
from talkover.simulate.noise import noise_layers, noises_of
from talkover.simulate.plan import SessionPlan
from talkover.simulate.responses import ResponseKind, Responses, point_response, responses
from talkover.simulate.scene import scene_of
from talkover.simulate.sounds import sound_layers
from talkover.simulate.targets import Target
from talkover.simulate.tracks import Sources


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderReport:
    """What was rendered, as the contract stores it."""

    audio: Audio | None
    """None where nothing was written."""
    scene: Scene
    noise: tuple[Noise, ...]
    mix: Mix
    layers: tuple[LayerLevel, ...] = ()
    """All noises, then all sounds, in the plan's order."""
    sounds: tuple[LayerLevel, ...] = ()
    """The sounds alone."""
    channel: tuple[ChannelEffect, ...] = ()


class RenderJob:
    """A plan with its room, its layers and its channel: all that is the same for every renderer.

    Args:
        plan: What to render.
        materials: Collections that the plan draws on.
        kind: ``direct`` leaves the room's reflections out.
    """

    def __init__(self, plan: SessionPlan, materials: Materials, kind: ResponseKind) -> None:
        """Find the responses."""
        self.plan, self.materials = plan, materials
        self.room: Responses = responses(
            plan.room, plan.sampling_rate, kind=kind, rirs=materials.rirs, bank=materials.bank
        )

    def compose(
        self,
        sources: Sources,
        active: NDArray[np.int64],
        targets: Sequence[Target],
        early_seconds: float,
        scratch: Path | None,
    ) -> Composition:
        """The first pass."""
        return Composition(
            self.plan,
            sources,
            self.room,
            active=active,
            layers=self.layers,
            targets=targets,
            early_seconds=early_seconds,
            scratch=scratch,
        )

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """All noises, then all sounds."""
        return (
            *noise_layers(self.plan, noises=self.materials.noises, point=self._point),
            *sound_layers(self.plan, sounds=self.materials.sounds, point=self._point),
        )

    def channel(self, scratch: Path | None) -> ChannelStage | None:
        """What comes after the mix; None where nothing does."""
        plan = self.plan
        if not plan.channel:
            return None
        return ChannelStage(
            plan.channel,
            plan.room.devices or (0,) * plan.room.num_channels,
            plan.sampling_rate,
            plan.num_samples,
            scratch=scratch,
            responses=self.materials.microphones,
        )

    def report(
        self,
        levels: tuple[LayerLevel, ...],
        *,
        audio: Audio | None,
        mix: Mix,
        channel: ChannelStage | None,
    ) -> RenderReport:
        """What was rendered.

        Args:
            levels: Of all layers.
            audio: The file, if there is one.
            mix: Before the channel.
            channel: After it was applied.
        """
        if channel is not None:
            mix = mix.model_copy(
                update={
                    "channel_peak_dbfs": channel.peak_dbfs,
                    "channel_clipped_samples": channel.clipped_samples,
                }
            )
        num_noises = len(self.plan.noise)
        return RenderReport(
            audio=audio,
            scene=scene_of(self.plan, self.room, self.materials.rirs),
            noise=noises_of(self.plan, levels[:num_noises], self.materials.noises),
            mix=mix,
            layers=levels,
            sounds=levels[num_noises:],
            channel=() if channel is None else channel.effects,
        )

    def signal_bytes(self, targets: Sequence[Target]) -> int:
        """Of the signals that wait for the second pass."""
        kept = sum(layer.keep for layer in self.layers)
        stems = len(self.plan.speakers) * sum(target != "dry" for target in targets)
        return 4 * (1 + kept + stems) * self.plan.room.num_channels * self.plan.num_samples

    def _point(self, position_m: Metres) -> NDArray[np.float32]:
        return point_response(
            self.plan.room,
            position_m,
            self.plan.sampling_rate,
            rirs=self.materials.rirs,
            bank=self.materials.bank,
        )
