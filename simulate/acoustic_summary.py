"""How a run sounds: rooms, levels, noises, sounds, channels and clips, as asked and as measured."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from talkover.manifests.schema import ChannelEffect, Session
from talkover.simulate.figures import Figure

SNR_TOLERANCE_DB = 0.3
"""Largest |got - asked| of the SNR of one sound or piece of music that `--strict` lets pass."""
LOUDNESS_TOLERANCE_LU = 0.3
"""Largest |got - asked| of one speaker's loudness."""
LEVEL_TOLERANCE_DB = 0.5
"""Largest |got - asked| of the mean level; single speakers differ by the jitter of utterances."""
DRR_TOLERANCE_DB = 0.5
"""Largest |got - asked| of one seat's direct-to-reverberant ratio."""
MEDIAN_T60_ERROR, LARGE_T60_ERROR = 0.05, 0.10
"""Of the asked T60: bars of the median and of the 95th percentile over the rooms…"""
ROOMS_FOR_QUANTILES = 20
"""…where there are this many…"""
LARGEST_T60_ERROR = 0.20
"""…and of every room where there are fewer."""
SHORTFALL = 0.1
"""Share of events or clips that may be missing for want of a pause or of speech."""


@dataclass(frozen=True, kw_only=True)
class EffectSummary:
    """One kind of channel effect over a run."""

    name: str
    uses: int
    """Devices of sessions that had it."""
    parameters: dict[str, str]
    """Range of each number, or the names that occurred."""
    measured: dict[str, tuple[float, float, float]]
    """Least, mean and most of each measured number."""


@dataclass(frozen=True, kw_only=True)
class AcousticSummary:
    """Values of a run, for tables and histograms."""

    t60: tuple[tuple[float, float], ...] = ()
    """(asked, measured) seconds, one a shoebox room."""
    drr_db: tuple[float, ...] = ()
    """One a seat."""
    levels: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """Unit → (asked, measured), one a speaker of a session."""
    noise_snr_db: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """Kind of noise → (asked, measured), one a session."""
    sound_snr_db: dict[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    """``sound`` or ``music`` → (asked, measured), one an event."""
    labels: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Label of sounds and music → number and seconds."""
    peak_dbfs: tuple[float, ...] = ()
    headroom_db: tuple[float, ...] = ()
    """Gain for headroom, one a session; 0 where there was room."""
    clipped_sessions: int = 0
    clipped_samples: int = 0
    channel_clipped_samples: int = 0
    channel_sessions: int = 0
    """Sessions with at least one effect."""
    effects: tuple[EffectSummary, ...] = ()
    clips: dict[str, int] = field(default_factory=dict)
    """Counts of registration clips."""
    sessions: int = 0


class AcousticRows:
    """Collects the values session by session; a few numbers each."""

    def __init__(self) -> None:
        """Know of no session yet."""
        self._sessions = 0
        self._t60: list[tuple[float, float]] = []
        self._drr: list[float] = []
        self._drr_pairs: list[tuple[float, float]] = []
        self._levels: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._noise: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._sounds: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
        self._labels: Counter[str] = Counter()
        self._label_seconds: defaultdict[str, float] = defaultdict(float)
        self._peak: list[float] = []
        self._headroom: list[float] = []
        self._counts: Counter[str] = Counter()
        self._effects: defaultdict[str, list[ChannelEffect]] = defaultdict(list)
        self._events: list[tuple[float, float]] = []
        self._clips: list[tuple[float, float]] = []
        self._clip_files: set[str] = set()

    def add(self, session: Session) -> None:
        """Take one session's figures."""
        self._sessions += 1
        self._add_scene(session)
        for level in session.levels:
            self._levels[level.unit].append((level.asked, level.measured))
        for noise in session.noise:
            self._noise[noise.kind].append((noise.snr_db_asked, noise.snr_db_measured))
        for event in session.events:
            self._labels[event.label] += 1
            self._label_seconds[event.label] += event.duration
            if event.snr_db is not None and event.snr_db_asked is not None:
                self._sounds[event.kind].append((event.snr_db_asked, event.snr_db))
        for effect in session.channel:
            self._effects[effect.name].append(effect)
        self._counts["channel_sessions"] += bool(session.channel)
        self._add_mix(session)
        self._add_counts(session)

    def figures(self) -> list[Figure]:
        """Targets with their tolerances, for the table and for `--strict`."""
        rows = [
            *self._t60_figures(),
            _figure("drr", "dB", self._drr_pairs, DRR_TOLERANCE_DB),
            _figure("speech level", "dB", self._levels["dbfs"], LEVEL_TOLERANCE_DB, of_means=True),
            _figure("speech loudness", "LU", self._levels["lufs"], LOUDNESS_TOLERANCE_LU),
            _figure("sound event snr", "dB", self._sounds["sound"], SNR_TOLERANCE_DB),
            _figure("music snr", "dB", self._sounds["music"], SNR_TOLERANCE_DB),
            _shortfall("sound events", self._events),
            _shortfall("registration clips", self._clips),
        ]
        if self._peak:
            clipped = [(0.0, float(self._counts["clipped"]))]
            rows.append(_figure("clipped samples before the channel", "samples", clipped, 0.0))
        return [row for row in rows if row.asked]

    def summary(self) -> AcousticSummary:
        """All values."""
        counts = self._counts
        return AcousticSummary(
            t60=tuple(self._t60),
            drr_db=tuple(self._drr),
            levels=_frozen(self._levels),
            noise_snr_db=_frozen(self._noise),
            sound_snr_db=_frozen(self._sounds),
            labels={k: (n, self._label_seconds[k]) for k, n in sorted(self._labels.items())},
            peak_dbfs=tuple(self._peak),
            headroom_db=tuple(self._headroom),
            clipped_sessions=counts["clipped_sessions"],
            clipped_samples=counts["clipped"],
            channel_clipped_samples=counts["channel_clipped"],
            channel_sessions=counts["channel_sessions"],
            effects=tuple(_effect(name, rows) for name, rows in sorted(self._effects.items())),
            clips={
                key: counts[key]
                for key in ("of speakers", "of distractors", "in other rooms")
                if self._clip_files
            }
            | ({"different files": len(self._clip_files)} if self._clip_files else {}),
            sessions=self._sessions,
        )

    def _add_scene(self, session: Session) -> None:
        if session.scene is None:
            return
        room = session.scene.room
        if room.t60_asked is not None and room.t60_measured is not None and room.t60_asked > 0:
            self._t60.append((room.t60_asked, room.t60_measured))
        for seat in session.scene.seats:
            if seat.drr_db is not None:
                self._drr.append(seat.drr_db)
                if seat.drr_db_asked is not None:
                    self._drr_pairs.append((seat.drr_db_asked, seat.drr_db))

    def _add_mix(self, session: Session) -> None:
        mix = session.mix
        if mix is None:
            return
        self._peak.append(mix.peak_dbfs)
        self._headroom.append(mix.gain_db)
        self._counts["clipped"] += mix.clipped_samples
        self._counts["clipped_sessions"] += mix.clipped_samples > 0
        self._counts["channel_clipped"] += mix.channel_clipped_samples or 0

    def _add_counts(self, session: Session) -> None:
        asked = session.asked
        if asked is not None and asked.sound_events is not None:
            got = sum(event.kind == "sound" for event in session.events)
            self._events.append((asked.sound_events, got))
        if asked is not None and asked.registration_clips is not None:
            self._clips.append((asked.registration_clips, len(session.registration)))
        for clip in session.registration:
            self._clip_files.add(clip.path)
            whose = "of distractors" if clip.speaker_local is None else "of speakers"
            self._counts[whose] += 1
            self._counts["in other rooms"] += clip.room is not None

    def _t60_figures(self) -> list[Figure]:
        errors = [abs(got / asked - 1) for asked, got in self._t60]
        if not errors:
            return []
        if len(errors) < ROOMS_FOR_QUANTILES:
            return [_error("T60, largest error", max(errors), LARGEST_T60_ERROR)]
        return [
            _error("T60, median error", float(np.median(errors)), MEDIAN_T60_ERROR),
            _error("T60, 95th percentile", float(np.quantile(errors, 0.95)), LARGE_T60_ERROR),
        ]


def _figure(
    name: str,
    unit: str,
    pairs: Sequence[tuple[float, float]],
    tolerance: float,
    *,
    of_means: bool = False,
) -> Figure:
    return Figure(
        name=name,
        unit=unit,
        asked=tuple(float(asked) for asked, _ in pairs),
        got=tuple(float(got) for _, got in pairs),
        tolerance=tolerance,
        of_means=of_means,
    )


def _shortfall(name: str, pairs: Sequence[tuple[float, float]]) -> Figure:
    """Numbers of things: all but a tenth of what was asked for must be there."""
    mean = float(np.mean([asked for asked, _ in pairs])) if pairs else 0.0
    return _figure(name, "a session", pairs, round(SHORTFALL * mean, 6), of_means=True)


def _error(name: str, error: float, tolerance: float) -> Figure:
    return _figure(name, "of the asked", [(0.0, error)], tolerance)


def _frozen(
    rows: dict[str, list[tuple[float, float]]],
) -> dict[str, tuple[tuple[float, float], ...]]:
    return {name: tuple(pairs) for name, pairs in sorted(rows.items()) if pairs}


def _effect(name: str, rows: Sequence[ChannelEffect]) -> EffectSummary:
    parameters: dict[str, str] = {}
    for key in sorted({key for row in rows for key in row.parameters} - {"sha256"}):
        values = [row.parameters[key] for row in rows if row.parameters.get(key) is not None]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if numbers:
            least, most = min(numbers), max(numbers)
            parameters[key] = f"{least:g}" if least == most else f"{least:g} to {most:g}"
        elif values:
            parameters[key] = ", ".join(sorted({str(value) for value in values}))
    measured = {}
    for key in sorted({key for row in rows for key in row.measured}):
        got = [v for row in rows if isinstance(v := row.measured.get(key), int | float)]
        if got:
            measured[key] = (float(min(got)), float(np.mean(got)), float(max(got)))
    return EffectSummary(name=name, uses=len(rows), parameters=parameters, measured=measured)
