"""Noises of a session: which ones, and their samples as layers.

Synthetic noise comes from the bank (`talkover.simulate.noise_bank`): independent in each channel
(``white``, ``pink``, ``speech_shaped``) or as an isotropic field (``diffuse``). An ``ambient`` clip
is looped and the same in all channels. A ``point`` source stands somewhere in the room and is heard
through its response. Samples depend on (plan, channel, position) alone, not on the blocks.

Legend: ``C`` channel, ``T`` sample, ``L`` sample of a response.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Metres, Noise
from talkover.manifests.seeds import generator
from talkover.simulate.config import NoiseConfig, NoiseLayerConfig
from talkover.simulate.convolve import Track
from talkover.simulate.layers import (
    Layer,
    LayerLevel,
    LayerStatistics,
    Samples,
    StemGroup,
    through_room,
)
from talkover.simulate.levels import SNR_DEFINITION, ActivePower
from talkover.simulate.noise_bank import (
    NoiseLoops,
    diffuse_loops,
    microphone_distances,
    noise_loops,
)
from talkover.simulate.noise_clips import NoiseClip, NoiseCollection
from talkover.simulate.plan import NoisePlan, RoomPlan, SessionPlan

__all__ = [
    "NoiseClip",
    "NoiseCollection",
    "PointResponse",
    "draw_noise",
    "noise_layers",
    "noises_of",
]

SNR_DIGITS = 4
"""Digits after the point of a drawn SNR in dB."""
POSITION_DIGITS = 4
"""Digits after the point of a drawn position in metres."""
WALL_MARGIN_M = 0.3
"""Nearest that a point source comes to a wall."""
MICROPHONE_MARGIN_M = 0.5
"""Nearest that a point source comes to a microphone, where the room has the space."""
POSITION_ATTEMPTS = 50
"""Positions drawn for a point source until one is far enough from the microphones."""
MEASURED_BLOCK = 32768
"""Samples at a time when power is measured; in the cache of a core."""
LONGEST_OFFSET = 2**40
"""Offsets into loops are drawn below this; the loops take them modulo their lengths."""

PointResponse = Callable[[Metres], NDArray[np.float32]]
"""From a place in the session's room to its channels, shape ``[C, L]``."""


def draw_noise(
    config: NoiseConfig,
    rng: np.random.Generator,
    collection: NoiseCollection | None,
    sampling_rate: int,
    room: RoomPlan | None = None,
) -> tuple[NoisePlan, ...]:
    """The noises of a session; none where none is asked for.

    Args:
        config: What is asked.
        rng: Of this decision.
        collection: Clips, where clips are asked for.
        sampling_rate: Hz.
        room: Where a point source stands; needed for these alone.

    Raises:
        ConfigurationError: If a clip is asked for without a collection.
    """
    return tuple(
        _draw(layer, rng, collection, sampling_rate, room)
        for layer in (config, *config.also)
        if layer.kind != "none"
    )


def noise_layers(
    plan: SessionPlan, *, noises: NoiseCollection | None, point: PointResponse
) -> tuple[Layer, ...]:
    """The plan's noises as layers, in their order.

    Args:
        plan: What to render.
        noises: The collection that clips are from.
        point: Responses of the session's room.

    Raises:
        ConfigurationError: If the collection lacks a clip.
    """
    return tuple(_layer(noise, plan, noises, point) for noise in plan.noise)


def noises_of(
    plan: SessionPlan, levels: tuple[LayerLevel, ...], noises: NoiseCollection | None
) -> tuple[Noise, ...]:
    """The noises as the contract stores them, with their measured SNR; one level a noise."""
    found = []
    for noise, level in zip(plan.noise, levels, strict=True):
        licence = None
        if noise.clip is not None and noises is not None:
            licence = noises.clip(noise.clip, noise.clip_sha256).licence
        found.append(
            Noise(
                id=noise.clip or noise.spectrum or noise.kind,
                kind=noise.kind,
                sha256=noise.clip_sha256,
                licence=licence,
                offset_samples=noise.offset_samples,
                position_m=noise.position_m,
                snr_db_asked=noise.snr_db,
                snr_db_measured=level.snr_db_measured,
                snr_definition=SNR_DEFINITION,
            )
        )
    return tuple(found)


def _draw(
    config: NoiseLayerConfig,
    rng: np.random.Generator,
    collection: NoiseCollection | None,
    sampling_rate: int,
    room: RoomPlan | None,
) -> NoisePlan:
    assert config.kind != "none"
    plan = NoisePlan(kind=config.kind, snr_db=round(float(rng.uniform(*config.snr_db)), SNR_DIGITS))
    changes: dict[str, object] = {}
    if config.kind == "ambient" or (config.kind == "point" and config.spectrum == "clip"):
        clip = _draw_clip(rng, collection, sampling_rate)
        changes = {
            "clip": clip.clip_id,
            "clip_sha256": clip.sha256,
            "offset_samples": int(rng.integers(clip.loop_samples)),
        }
    else:
        changes = {"seed": int(rng.integers(2**32))}
        if config.kind in ("point", "diffuse"):
            changes["spectrum"] = config.spectrum
    if config.kind == "point":
        if room is None:
            raise ValueError("a point source needs a room to stand in")
        changes["position_m"] = _draw_position(room, rng)
    return plan.model_copy(update=changes)


def _draw_clip(
    rng: np.random.Generator, collection: NoiseCollection | None, sampling_rate: int
) -> NoiseClip:
    if collection is None:
        raise ConfigurationError(
            "noise.kind ambient, and noise.spectrum clip, need noise.path: a folder or a "
            "manifest.csv"
        )
    if collection.sampling_rate != sampling_rate:
        raise ValueError(f"noises at {collection.sampling_rate} Hz, plan at {sampling_rate} Hz")
    return collection.ambient[int(rng.integers(len(collection.ambient)))]


def _draw_position(room: RoomPlan, rng: np.random.Generator) -> Metres:
    """Anywhere in the room; rooms without known sides tell places apart by their numbers alone."""
    sides = np.array(room.dimensions_m or (1.0, 1.0, 1.0))
    margin = np.minimum(WALL_MARGIN_M, sides / 4)
    microphones = np.array(room.microphone_positions_m or ()).reshape(-1, 3)
    for _ in range(POSITION_ATTEMPTS):
        x, y, z = (round(float(v), POSITION_DIGITS) for v in rng.uniform(margin, sides - margin))
        away = np.linalg.norm(microphones - (x, y, z), axis=1)
        if not len(away) or away.min() >= MICROPHONE_MARGIN_M:
            break
    return (x, y, z)


def _layer(
    noise: NoisePlan, plan: SessionPlan, noises: NoiseCollection | None, point: PointResponse
) -> Layer:
    session = _Session(plan.num_samples, plan.room.num_channels)
    rate = plan.sampling_rate
    clip = None
    if noise.clip is not None or noise.kind == "ambient":
        if noises is None:
            raise ConfigurationError("this plan has noise from clips: give noise.path to render it")
        clip = _ClipTrack(
            noises.loop(noises.clip(noise.clip, noise.clip_sha256)), noise.offset_samples
        )
    if noise.kind == "ambient":
        assert clip is not None
        return _AmbientNoise(noise, session, clip)
    if noise.kind == "point":
        if noise.position_m is None:
            raise ValueError("a point source needs position_m")
        track = clip or _BankTrack(noise_loops(noise.spectrum or "", rate), 0, _offsets(noise, 0))
        return _PointNoise(noise, session, track, point(noise.position_m))
    if noise.kind == "diffuse":
        if plan.room.microphone_positions_m is None and session.num_channels > 1:
            raise ConfigurationError(
                "noise.kind diffuse needs to know where the microphones are: not with room.kind "
                f"{plan.room.kind} and several channels"
            )
        places = plan.room.microphone_positions_m or ((0.0, 0.0, 0.0),)
        loops = diffuse_loops(noise.spectrum or "", rate, microphone_distances(places))
        offsets = _offsets(noise, 0)
        return _BankNoise(
            noise,
            session,
            tuple(_BankTrack(loops, c, offsets) for c in range(session.num_channels)),
        )
    loops = noise_loops(noise.kind, rate)
    return _BankNoise(
        noise,
        session,
        tuple(_BankTrack(loops, 0, _offsets(noise, c)) for c in range(session.num_channels)),
    )


def _offsets(noise: NoisePlan, channel: int) -> tuple[int, int]:
    """Where a channel begins in both loops; not dependent on the number of channels."""
    first, second = generator(noise.seed, channel, f"noise/{noise.kind}").integers(
        LONGEST_OFFSET, size=2
    )
    return int(first), int(second)


@dataclass(frozen=True, slots=True)
class _Session:
    """Size of what a layer has to fill."""

    num_samples: int
    num_channels: int

    def starts(self, block_samples: int) -> Iterator[tuple[int, int]]:
        """Start and length of each block."""
        if block_samples < 1:
            raise ValueError(f"block_samples must be at least 1, got {block_samples}")
        for start in range(0, self.num_samples, block_samples):
            yield start, min(block_samples, self.num_samples - start)


@dataclass(frozen=True, slots=True)
class _BankTrack:
    """One channel of the bank from an offset on."""

    loops: NoiseLoops
    channel: int
    offsets: tuple[int, int]

    def block(self, start: int, num_samples: int) -> NDArray[np.float32]:
        out = np.empty(num_samples, dtype=np.float32)
        self.write(start, out)
        return out

    def write(self, start: int, out: NDArray[np.float32]) -> None:
        self.loops.add(self.channel, self.offsets, start, out)


@dataclass(frozen=True, slots=True)
class _ClipTrack:
    """A loop from an offset on."""

    loop: NDArray[np.float32]
    offset: int

    def block(self, start: int, num_samples: int) -> NDArray[np.float32]:
        first = (self.offset + start) % len(self.loop)
        if first + num_samples <= len(self.loop):
            return self.loop[first : first + num_samples]
        return np.take(self.loop, np.arange(first, first + num_samples), mode="wrap")


@dataclass(frozen=True, slots=True)
class _StationaryNoise:
    """What all noises have in common."""

    plan: NoisePlan
    session: _Session

    @property
    def name(self) -> str:
        """Clip, or kind and spectrum."""
        return " ".join(
            part for part in (self.plan.kind, self.plan.spectrum, self.plan.clip) if part
        )

    @property
    def stem(self) -> StemGroup:
        """All noises share one stem."""
        return "noise"

    @property
    def snr_db(self) -> float:
        """As drawn."""
        return self.plan.snr_db

    def frames(self, speech: NDArray[np.int64]) -> NDArray[np.int64]:
        """The level of a stationary noise is meant while somebody speaks."""
        return speech


@dataclass(frozen=True, slots=True)
class _BankNoise(_StationaryNoise):
    """A track of the bank for each channel."""

    channels: tuple[_BankTrack, ...]

    @property
    def keep(self) -> bool:
        """An addition is cheaper than keeping."""
        return False

    def blocks(self, block_samples: int) -> Iterator[Samples | None]:
        """All channels, block by block, in one buffer."""
        buffer = np.empty(self.session.num_channels * block_samples, dtype=np.float32)
        for start, length in self.session.starts(block_samples):
            block = buffer[: self.session.num_channels * length].reshape(-1, length)
            for track, row in zip(self.channels, block, strict=True):
                track.write(start, row)
            yield block

    def statistics(self, frames: NDArray[np.int64]) -> LayerStatistics | None:
        """Of the first channel; the peak is that of the bank."""
        power = _power(self.channels[0], frames, self.session.num_samples)
        return LayerStatistics(power, self.channels[0].loops.peak)


@dataclass(frozen=True, slots=True)
class _AmbientNoise(_StationaryNoise):
    """A clip that is the same in all channels."""

    clip: _ClipTrack

    @property
    def keep(self) -> bool:
        """It is in memory anyhow."""
        return False

    def blocks(self, block_samples: int) -> Iterator[Samples | None]:
        """The clip in every channel."""
        for start, length in self.session.starts(block_samples):
            yield np.repeat(
                self.clip.block(start, length)[np.newaxis], self.session.num_channels, 0
            )

    def statistics(self, frames: NDArray[np.int64]) -> LayerStatistics | None:
        """Of the clip."""
        power = _power(self.clip, frames, self.session.num_samples)
        return LayerStatistics(power, float(np.abs(self.clip.loop).max()))


@dataclass(frozen=True, slots=True)
class _PointNoise(_StationaryNoise):
    """One place in the room that makes noise."""

    track: Track
    h: NDArray[np.float32]  # [C, L]

    @property
    def keep(self) -> bool:
        """It is convolved."""
        return True

    def blocks(self, block_samples: int) -> Iterator[Samples | None]:
        """The source through its response; it starts with the session."""
        return through_room(self.track, self.h, self.session.num_samples, block_samples)

    def statistics(self, frames: NDArray[np.int64]) -> LayerStatistics | None:
        """Only known after the room."""
        return None


def _power(track: Track, frames: NDArray[np.int64], num_samples: int) -> float:
    """Mean square of a track over some frames."""
    meter = ActivePower(frames)
    for start in range(0, num_samples, MEASURED_BLOCK):
        block = track.block(start, min(MEASURED_BLOCK, num_samples - start))
        assert block is not None, "a stationary noise is never silent"
        meter.add(block)
    return meter.power
