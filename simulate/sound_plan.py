"""Which sounds and which music a session has, when, how loud and where. Hears nothing.

Every kind of decision has a generator of its own, so that more music changes no event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.schema import Metres
from talkover.manifests.seeds import generator
from talkover.simulate.config import MusicConfig, SoundsConfig
from talkover.simulate.plan import Placement, RoomPlan, SoundPlan
from talkover.simulate.providers import make_provider
from talkover.simulate.sound_clips import SoundClip, SoundCollection, Sounds
from talkover.simulate.trajectories import largest_delay

SNR_DIGITS = 4
"""Digits after the point of a drawn SNR in dB."""
CUT_FADE = 0.005
"""Seconds of the fades at both ends of an event, against clicks where a run is cut."""
WALL_DISTANCE = 0.3
"""Metres that a sound keeps from walls, floor and ceiling…"""
MICROPHONE_DISTANCE = 0.5
"""…and from the microphones, where the room has the space."""
SPREAD_POINTS = 4
"""Places that a spread sound comes from at once."""
PLACES_TRIED = 50
SLOTS_TRIED = 20
"""Draws of an event's time between the turns before it is left out."""
POSITION_DIGITS = 3

Delay = Callable[[Metres], int]
"""Samples from a place to the first microphone by the direct path."""


def draw_sounds(
    sounds_config: SoundsConfig,
    music_config: MusicConfig,
    *,
    seed: int,
    session: int,
    sounds: Sounds | None,
    room: RoomPlan,
    delay: Delay,
    sampling_rate: int,
    num_samples: int,
    placements: Sequence[Placement],
) -> tuple[SoundPlan, ...]:
    """Events and music of a session, in order of time.

    Args:
        sounds_config: What is asked of events.
        music_config: What is asked of music.
        seed: Root seed.
        session: Index of the session.
        sounds: The collections.
        room: Where the session is.
        delay: Of the direct path of a place in the room.
        sampling_rate: Hz.
        num_samples: Length of the session.
        placements: Its speech, which events may have to keep out of.
    """
    if sounds is None:
        return ()
    drawn: list[SoundPlan] = []
    if sounds.events is not None:
        events = _Events(sounds_config, sounds.events, room, delay, sampling_rate, num_samples)
        drawn += events.draw(seed, session, _speech(placements, room, sampling_rate))
    if sounds.music is not None:
        drawn += _music(
            music_config, seed, session, sounds.music, room, delay, sampling_rate, num_samples
        )
    drawn.sort(key=lambda row: (row.start_sample + row.direct_delay_samples, row.kind, row.clip))
    return tuple(row.model_copy(update={"id": f"e{n:03d}"}) for n, row in enumerate(drawn))


def number_of_events(config: SoundsConfig, seed: int, session: int, seconds: float) -> int:
    """How many events a session of a length asks for: Poisson, of a rate drawn for the session."""
    rng = generator(seed, session, "sounds/number")
    return int(rng.poisson(rng.uniform(*config.per_minute) * seconds / 60))


class _Events:
    """Draws the events of one session."""

    def __init__(
        self,
        config: SoundsConfig,
        collection: SoundCollection,
        room: RoomPlan,
        delay: Delay,
        rate: int,
        num_samples: int,
    ) -> None:
        self._config, self._clips = config, collection
        self._room, self._delay = room, delay
        self._rate, self._count = rate, num_samples

    def draw(self, seed: int, session: int, speech: NDArray[np.int64]) -> list[SoundPlan]:
        rows = []
        number = number_of_events(self._config, seed, session, self._count / self._rate)
        for n in range(number):
            event = self._event(generator(seed, session, f"sounds/{n}"), speech)
            if event is not None:
                rows.append(event)
        return rows

    def _event(self, rng: np.random.Generator, speech: NDArray[np.int64]) -> SoundPlan | None:
        config, rate = self._config, self._rate
        labels = config.labels or self._clips.labels
        label = labels[int(rng.integers(len(labels)))]
        clips = self._clips.of(label)
        clip = clips[int(rng.integers(len(clips)))]
        first, count = _part(clip, config.length, rate, rng)
        snr_db = rng.uniform(*config.snr_by_label.get(label, config.snr_db))
        positions = _positions(self._room, config.placement, rng)
        delay = min((self._delay(place) for place in positions), default=0)
        heard = self._slot(rng, count, delay, speech)
        if heard is None:
            return None
        return SoundPlan(
            kind="sound",
            label=label,
            clip=clip.clip_id,
            clip_sha256=clip.sha256,
            source_start=first,
            source_samples=count,
            start_sample=heard - delay,
            num_samples=count,
            fade_samples=round(CUT_FADE * rate),
            snr_db=round(float(snr_db), SNR_DIGITS),
            positions_m=positions,
            direct_delay_samples=delay,
        )

    def _slot(
        self, rng: np.random.Generator, count: int, delay: int, speech: NDArray[np.int64]
    ) -> int | None:
        """Sample at which the event is first heard; None where there is no room for it."""
        last = self._count - count
        if last < delay:
            return None
        for _ in range(SLOTS_TRIED if self._config.where == "pauses" else 1):
            start = int(rng.integers(delay, last + 1))
            touches = (speech[:, 0] < start + count) & (speech[:, 1] > start)
            if self._config.where == "anywhere" or not touches.any():
                return start
        return None


def _part(
    clip: SoundClip, length: tuple[float, float], rate: int, rng: np.random.Generator
) -> tuple[int, int]:
    """First sample and number of samples: one run of the clip, or a part of a long one."""
    least, most = round(length[0] * rate), round(length[1] * rate)
    long_enough = [run for run in clip.runs if run[1] - run[0] >= least]
    runs = long_enough or [max(clip.runs, key=lambda run: run[1] - run[0])]
    start, end = runs[int(rng.integers(len(runs)))]
    wanted = int(rng.integers(least, most + 1))
    if end - start <= wanted:
        return start, end - start
    # The beginning of a sound is what it is known by: a bark that is cut keeps its onset.
    return start, wanted


def _music(
    config: MusicConfig,
    seed: int,
    session: int,
    collection: SoundCollection,
    room: RoomPlan,
    delay_of: Delay,
    rate: int,
    num_samples: int,
) -> list[SoundPlan]:
    rng = generator(seed, session, "music")
    if rng.random() >= config.probability:
        return []
    labels = config.labels or collection.labels
    label = labels[int(rng.integers(len(labels)))]
    clips = collection.of(label)
    clip = clips[int(rng.integers(len(clips)))]
    positions = _positions(room, config.placement, rng)
    delay = min((delay_of(place) for place in positions), default=0)
    room_left = num_samples - delay
    count = max(1, min(room_left, round(rng.uniform(*config.share) * num_samples)))
    start = int(rng.integers(0, room_left - count + 1))
    first, end = clip.runs[0][0], clip.runs[-1][1]
    return [
        SoundPlan(
            kind="music",
            label=label,
            clip=clip.clip_id,
            clip_sha256=clip.sha256,
            source_start=first,
            source_samples=end - first,
            source_offset=int(rng.integers(end - first)) if end - first < count else 0,
            start_sample=start,
            num_samples=count,
            fade_samples=min(round(config.fade * rate), count // 2),
            snr_db=round(float(rng.uniform(*config.snr_db)), SNR_DIGITS),
            positions_m=positions,
            direct_delay_samples=delay,
        )
    ]


def _speech(placements: Sequence[Placement], room: RoomPlan, rate: int) -> NDArray[np.int64]:
    """Start and end of every placement, ``[N, 2]``: from emission to the last direct sound."""
    first = room.microphone_positions_m[0] if room.microphone_positions_m else None
    latest = {seat.speaker_local: largest_delay(seat, first, rate) for seat in room.seats}
    spans = [
        (p.start_sample, p.start_sample + p.num_samples + latest[p.speaker_local])
        for p in placements
    ]
    return np.array(spans, dtype=np.int64).reshape(-1, 2)


def _positions(room: RoomPlan, placement: str, rng: np.random.Generator) -> tuple[Metres, ...]:
    """One place, or several for a spread sound; none in a room without places."""
    if make_provider(room.kind).geometry == "dry":
        return ()
    count = SPREAD_POINTS if placement == "spread" else 1
    return tuple(_position(room, rng) for _ in range(count))


def _position(room: RoomPlan, rng: np.random.Generator) -> Metres:
    size = room.dimensions_m or (1.0, 1.0, 1.0)  # elsewhere a place only chooses a response
    margins = [min(WALL_DISTANCE, side / 4) for side in size]
    microphones = room.microphone_positions_m or ()
    best: tuple[float, Metres] | None = None
    for _ in range(PLACES_TRIED):
        x, y, z = (
            round(float(rng.uniform(margin, side - margin)), POSITION_DIGITS)
            for margin, side in zip(margins, size, strict=True)
        )
        nearest = min((math.dist((x, y, z), m) for m in microphones), default=math.inf)
        if nearest >= MICROPHONE_DISTANCE:
            return x, y, z
        if best is None or nearest > best[0]:
            best = nearest, (x, y, z)
    assert best is not None, "at least one place was tried"
    return best[1]
