"""Music: where there is some, its tempo, key and bars.

Zones come from the activity branch's curve; tempo, key and bars from the samples of each zone,
part by part, so memory does not depend on how long the music is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.annotate.activity_spans import Hysteresis, active_stretches, mean_over
from talkover.annotate.backends.activity import rule_of
from talkover.annotate.backends.base import Backend, BackendInfo, BranchResult, Kind
from talkover.annotate.beats import BEATS_OF_BAR, first_beats, track_beats
from talkover.annotate.events import Event
from talkover.annotate.media import RATE, DecodedAudio
from talkover.annotate.music_analysis import (
    HOP_SECONDS,
    Tempo,
    Tones,
    band_onsets,
    tempo_of_onsets,
)

VERSION = "1"
PART_SECONDS = 30.0
"""Seconds that are heard at a time."""
BASS_BANDS = 3
"""Bands up to 250 Hz, in which bass drums and bass notes begin."""
CLEAR = 0.1
"""Clarity of the tempo from which bars are counted; noise stays under it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MusicConfig:
    """What counts as a piece of music.

    Raises:
        ValueError: If a value is out of its range.
    """

    shortest: float = 3.0
    """Seconds; shorter zones are no piece."""
    gap: float = 2.0
    """Seconds; shorter gaps are part of the piece."""
    onset: float | None = None
    """Probability of music at which a zone begins; None for the activity model's own."""
    offset: float | None = None
    """Probability under which it ends; None for the activity model's own."""

    def rule(self, activity: BranchResult) -> Hysteresis:
        """Thresholds for an activity branch's curve."""
        own = rule_of(activity, "music")
        return Hysteresis(
            onset=own.onset if self.onset is None else self.onset,
            offset=own.offset if self.offset is None else self.offset,
            shortest=self.shortest,
            gap=self.gap,
        )


class DspMusic:
    """Zones of the activity branch, analysed by signal processing.

    Args:
        options: Of `MusicConfig`.
    """

    def __init__(self, **options: float) -> None:
        """Take the values as they are."""
        self.config = MusicConfig(**options)

    def info(self) -> BackendInfo:
        """No weights of its own."""
        return BackendInfo(name="talkover-music", version=VERSION, licence="Apache-2.0")

    def available(self) -> tuple[bool, str]:
        """Always."""
        return True, ""

    def load(self) -> None:
        """Nothing to load."""

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """One event a piece, with ``tempo_bpm``, ``tempo_clarity``, ``key`` and bars if clear."""
        activity = upstream.get("activity")
        if activity is None or "music" not in activity.curves:
            return BranchResult(
                backend=self.info(), warnings=("no activity branch says where music is",)
            )
        curve = activity.curves["music"]
        zones = active_stretches(
            curve.values, curve.hop, audio.num_samples, RATE, self.config.rule(activity)
        )
        events = [
            _piece(audio, number, start, end, mean_over(curve.values, curve.hop, start, end))
            for number, (start, end) in enumerate(zones.tolist())
        ]
        share = sum(e.end - e.start for e in events) / max(1, audio.num_samples)
        return BranchResult(
            backend=self.info(), events=tuple(events), figures={"music_share": round(share, 6)}
        )


def _piece(audio: DecodedAudio, number: int, start: int, end: int, confidence: float) -> Event:
    heard = hear_piece(audio, start, end)
    attributes: dict[str, JsonValue] = {}
    tempo = tempo_of_onsets(heard.onsets)
    bars: tuple[int, ...] = ()
    if tempo is not None:
        attributes |= {"tempo_bpm": tempo.bpm, "tempo_clarity": tempo.clarity}
        bars, clearness = bars_of(heard, tempo, start, end)
        if bars:
            attributes["bar_clarity"] = round(clearness, 4)
    key = heard.tones.key()
    if key is not None:
        attributes |= {"key": key.name, "key_correlation": key.correlation}
    return Event(
        id=f"music-{number:05d}",
        kind="music",
        start=start,
        end=end,
        label="music",
        confidence=round(confidence, 4),
        bars=bars,
        attributes=attributes,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeardPiece:
    """What tempo, bars and key are found from.

    Attributes:
        onsets: Onset strength every 10 ms, ``[N]``.
        bass: The same of the lowest bands, ``[N]``.
        tones: How much of each frequency sounds.
    """

    onsets: NDArray[np.float64]
    bass: NDArray[np.float64]
    tones: Tones


def hear_piece(audio: DecodedAudio, start: int, end: int) -> HeardPiece:
    """Hear a piece from one sample to another, part by part."""
    size, hop = round(PART_SECONDS * RATE), round(HOP_SECONDS * RATE)
    onsets, bass, tones = [], [], Tones(RATE)
    for first in range(start, end, size):
        last = min(first + size, end)
        samples = audio.read(first, last)
        tones.add(samples)
        count = -(-(last - first) // hop)
        rises = band_onsets(samples, RATE)[:, :count]
        rises = np.pad(rises, ((0, 0), (0, count - rises.shape[1])))
        onsets.append(rises.mean(axis=0))
        bass.append(rises[:BASS_BANDS].mean(axis=0))
    return HeardPiece(onsets=np.concatenate(onsets), bass=np.concatenate(bass), tones=tones)


def bars_of(heard: HeardPiece, tempo: Tempo, start: int, end: int) -> tuple[tuple[int, ...], float]:
    """Samples at which bars begin inside a piece, and how clear that is from 0 to 1."""
    if tempo.clarity < CLEAR:
        return (), 0.0
    beats = track_beats(heard.onsets, tempo.bpm)
    phase, clearness = first_beats(beats, heard.bass)
    hop = round(HOP_SECONDS * RATE)
    samples = start + beats[phase::BEATS_OF_BAR] * hop
    return tuple(int(s) for s in samples if start <= s < end), clearness


MUSICS: dict[str, type[Backend]] = {"dsp": DspMusic}
"""The built-in backends by name."""
