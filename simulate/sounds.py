"""Sound events and music as layers of the mixture, and as labels of the session.

Legend: ``C`` channel, ``T`` sample, ``L`` tap, ``M`` span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import RunError
from talkover.manifests.schema import Metres, SoundEvent, Source, time_span
from talkover.simulate.layers import Layer, LayerLevel, LayerStatistics, through_room
from talkover.simulate.plan import SessionPlan, SoundPlan
from talkover.simulate.sound_clips import SoundCollection, Sounds

EVENT_SNR_DEFINITION = (
    "power of reverberant speech over the 10 ms frames with at least one active speaker (labels), "
    "over the power of the sound over its own span, first channel"
)
"""What the SNR of an event or of music means; stored with every one."""
LOOP_CROSSFADE_SECONDS = 1.0
"""From the end of a piece of music to its beginning; at most a quarter of it."""

PointResponse = Callable[[Metres], NDArray[np.float32]]
"""From a place in the room to the response ``[C, L]``."""


class SoundTrack:
    """One planned sound before the room, as a signal that can be read anywhere.

    Args:
        plan: When, and what of the clip.
        clip: All samples of the clip, ``[T]``.
        sampling_rate: Hz.
    """

    def __init__(self, plan: SoundPlan, clip: NDArray[np.float32], sampling_rate: int) -> None:
        """Cut the part that sounds; make a loop of it where it must last longer."""
        if plan.source_start + plan.source_samples > len(clip):
            raise RunError(f"sound {plan.clip!r} is shorter than when it was planned")
        part = clip[plan.source_start : plan.source_start + plan.source_samples]
        if plan.num_samples > len(part):
            part = looped(part, round(LOOP_CROSSFADE_SECONDS * sampling_rate))
        self._part, self._plan = part, plan

    def block(self, start: int, num_samples: int) -> NDArray[np.float32] | None:
        """Samples from ``start`` on of the session's clock, ``[T]``; None where it is silent."""
        plan = self._plan
        begin = max(start, plan.start_sample)
        end = min(start + num_samples, plan.start_sample + plan.num_samples)
        if begin >= end:
            return None
        place = np.arange(begin, end) - plan.start_sample
        sound = self._part[(place + plan.source_offset) % len(self._part)]
        if plan.fade_samples:
            edge = np.minimum(place, plan.num_samples - 1 - place) + 0.5
            inside = np.minimum(edge / plan.fade_samples, 1.0)
            sound = sound * (0.5 - 0.5 * np.cos(np.pi * inside)).astype(np.float32)
        block = np.zeros(num_samples, dtype=np.float32)
        block[begin - start : end - start] = sound
        return block


class SoundLayer:
    """One planned sound as heard at all microphones; see `talkover.simulate.layers.Layer`."""

    keep = True
    """Convolved, so that a second pass would cost as much as the first."""

    def __init__(
        self, plan: SoundPlan, session: SessionPlan, track: SoundTrack, h: NDArray[np.float32]
    ) -> None:
        """Keep what `blocks` needs; ``h`` is ``[C, L]``."""
        self.name = f"{plan.kind} {plan.id} ({plan.label})"
        self.stem: Literal["noise", "music", "sound"] = plan.kind
        self.snr_db = plan.snr_db
        self._plan, self._session, self._track, self._h = plan, session, track, h

    def frames(self, speech: NDArray[np.int64]) -> NDArray[np.int64]:
        """Its own span at the first channel, ``[1, 2]``."""
        first, count = audible_span(self._plan)
        return np.array([[first, first + count]], dtype=np.int64)

    def blocks(self, block_samples: int) -> Iterator[NDArray[np.float32] | None]:
        """The sound through the room, ``[C, T]`` at an arbitrary level."""
        return through_room(self._track, self._h, self._session.num_samples, block_samples)

    def statistics(self, frames: NDArray[np.int64]) -> LayerStatistics | None:
        """Not known before the sound has been through the room."""
        return None


def sound_layers(
    plan: SessionPlan, *, sounds: Sounds | None, point: PointResponse
) -> tuple[Layer, ...]:
    """A layer for each of ``plan.sounds``, in their order.

    Args:
        plan: What to render.
        sounds: The collections that its clips are from.
        point: Gives the response of a place in the plan's room.

    Raises:
        ConfigurationError: If a collection or a clip is missing.
    """
    layers: list[Layer] = []
    for row in plan.sounds:
        collection = _collection(row, sounds)
        samples = collection.samples(collection.clip(row.clip, row.clip_sha256))
        track = SoundTrack(row, samples, plan.sampling_rate)
        layers.append(SoundLayer(row, plan, track, _response(row, plan.room.num_channels, point)))
    return tuple(layers)


def sound_events(
    plan: SessionPlan, levels: Sequence[LayerLevel], sounds: Sounds | None
) -> tuple[SoundEvent, ...]:
    """The labels of a session's sounds, with the SNR as asked and as it came out.

    Args:
        plan: What was rendered.
        levels: What the renderer measured, in the order of ``plan.sounds``.
        sounds: The collections, for licences and authors.
    """
    events = []
    for row, level in zip(plan.sounds, levels, strict=True):
        clip = _collection(row, sounds).clip(row.clip, row.clip_sha256)
        span = time_span(*audible_span(row), plan.sampling_rate)
        rate = plan.sampling_rate
        events.append(
            SoundEvent(
                id=f"{plan.session_id}-{row.id}",
                kind=row.kind,
                label=row.label,
                start=span.start,
                duration=span.duration,
                start_sample=span.start_sample,
                num_samples=span.num_samples,
                snr_db=level.snr_db_measured,
                snr_db_asked=row.snr_db,
                snr_definition=EVENT_SNR_DEFINITION,
                positions_m=row.positions_m or None,
                source=Source(
                    corpus="music" if row.kind == "music" else "sounds",
                    recording_id=clip.clip_id,
                    utterance_id=clip.clip_id,
                    offset=round(row.source_start / rate, 8),
                    duration=round(min(row.source_samples, row.num_samples) / rate, 8),
                    licence=clip.licence,
                    attribution=clip.attribution,
                    sha256=clip.sha256,
                ),
            )
        )
    return tuple(events)


def audible_span(plan: SoundPlan) -> tuple[int, int]:
    """First sample and number of samples at which the first channel hears the direct sound."""
    return plan.start_sample + plan.direct_delay_samples, plan.num_samples


def looped(part: NDArray[np.float32], crossfade: int) -> NDArray[np.float32]:
    """A loop without a seam: the end is faded into the beginning, at constant power."""
    fade = min(crossfade, len(part) // 4)
    period = len(part) - fade
    angle = np.pi / 2 * (np.arange(fade) + 0.5) / max(fade, 1)
    loop = part[:period].astype(np.float64)
    loop[:fade] = loop[:fade] * np.sin(angle) + part[period:] * np.cos(angle)
    return np.asarray(loop, dtype=np.float32)


def _collection(row: SoundPlan, sounds: Sounds | None) -> SoundCollection:
    return (sounds or Sounds()).of(row.kind)


def _response(row: SoundPlan, num_channels: int, point: PointResponse) -> NDArray[np.float32]:
    """From the sound's places to the microphones, ``[C, L]``; the places share its power."""
    if not row.positions_m:
        return np.ones((num_channels, 1), dtype=np.float32)
    parts = [point(place) for place in row.positions_m]
    total = np.zeros((num_channels, max(part.shape[1] for part in parts)), dtype=np.float32)
    for part in parts:
        total[:, : part.shape[1]] += part / np.float32(np.sqrt(len(parts)))
    return total
