"""Music that nobody owns: short pieces, written and played by rule.

Three recorded pieces are too few to learn what music is. These have what all music has and speech
and noise have not: a beat, pitches of a scale that are held, several voices at once. The tempo of
each piece is known, so that the pieces serve as a test of tempo too.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

RATE = 16000
SECONDS = 24.0
Signal = NDArray[np.float64]

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "pentatonic": (0, 2, 4, 7, 9),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
}
PROGRESSIONS = ((0, 3, 4, 0), (0, 4, 5, 3), (0, 5, 3, 4), (1, 4, 0, 0), (0, 2, 3, 4))
"""Degrees of a scale, one chord a bar: the commonest of popular music and jazz."""
INSTRUMENTS = ("plucked", "organ", "strings", "bell", "brass", "flute")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """What decides how a piece sounds."""

    name: str
    bpm: float
    scale: str
    tonic: int
    """MIDI number."""
    chords: tuple[int, ...]
    lead: str
    backing: str
    drums: float
    """Level of the drums against the rest; 0: none."""
    density: float
    """Probability of a note of the melody on each half beat."""


def draw_piece(name: str, rng: np.random.Generator) -> Piece:
    """A piece by chance."""
    return Piece(
        name=name,
        bpm=float(rng.integers(64, 176)),
        scale=str(rng.choice(sorted(SCALES))),
        tonic=int(rng.integers(45, 57)),
        chords=PROGRESSIONS[int(rng.integers(len(PROGRESSIONS)))],
        lead=str(rng.choice(INSTRUMENTS)),
        backing=str(rng.choice(INSTRUMENTS)),
        drums=float(rng.choice([0.0, 0.3, 0.6, 1.0])),
        density=float(rng.uniform(0.25, 0.8)),
    )


def play(piece: Piece, rng: np.random.Generator) -> Signal:
    """The piece as sound, peak 0.7."""
    beat = 60.0 / piece.bpm
    beats = int(SECONDS / beat)
    sound = np.zeros(round(SECONDS * RATE) + 4 * RATE)
    for bar, start in enumerate(range(0, beats, 4)):
        degree = piece.chords[bar % len(piece.chords)]
        for voice in (0, 2, 4):
            pitch = _pitch(piece, degree + voice)
            _add(sound, start * beat, 0.2 * _note(piece.backing, pitch, 4 * beat, rng))
        for step in range(0, 4, 2):
            bass = _pitch(piece, degree) - 12
            _add(sound, (start + step) * beat, 0.35 * _note("plucked", bass, 2 * beat, rng))
    degree = 7
    for half in range(2 * beats):
        if rng.random() < piece.density:
            degree = int(np.clip(degree + rng.integers(-2, 3), 3, 14))
            length = beat * float(rng.choice([0.5, 1.0, 1.0, 2.0]))
            note = _note(piece.lead, _pitch(piece, degree), length, rng)
            _add(sound, half * beat / 2, 0.4 * note)
    if piece.drums > 0:
        for number in range(beats):
            loud = 0.9 if number % 2 == 0 else 0.5
            drum = _kick() if number % 2 == 0 else _snare(rng)
            _add(sound, number * beat, piece.drums * loud * drum)
            for half in (0.0, 0.5):
                _add(sound, (number + half) * beat, piece.drums * 0.2 * _hat(rng))
    sound = sound[: round(SECONDS * RATE)]
    return 0.7 * sound / np.abs(sound).max()


def render_pieces(out: Path, count: int, seed: int) -> Path:
    """Write pieces and their table; returns the table.

    Args:
        out: Folder.
        count: Number of pieces.
        seed: Other seeds, other pieces.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        piece = draw_piece(f"rendered-{seed}-{number:03d}", rng)
        path = out / f"{piece.name}.flac"
        soundfile.write(path, play(piece, rng), RATE, subtype="PCM_16")
        rows.append(
            {
                "clip_id": piece.name,
                "file": str(path.resolve()),
                "label": "rendered_music",
                "kind": "music",
                "licence": "CC0-1.0",
                "author": "talkover (render_music.py)",
                "bpm": piece.bpm,
                "tonic": piece.tonic % 12,
                "scale": piece.scale,
            }
        )
    table = out / "manifest.csv"
    with table.open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return table


def _pitch(piece: Piece, degree: int) -> int:
    scale = SCALES[piece.scale]
    octave, step = divmod(degree, len(scale))
    return piece.tonic + 12 * octave + scale[step]


def _add(sound: Signal, start: float, note: Signal) -> None:
    first = round(start * RATE)
    part = sound[first : first + len(note)]
    part += note[: len(part)]


def _note(instrument: str, pitch: int, length: float, rng: np.random.Generator) -> Signal:
    """One note, at most 1 loud."""
    hertz = 440.0 * 2 ** ((pitch - 69) / 12)
    count = round((length + 0.3) * RATE)
    time = np.arange(count) / RATE
    if instrument == "plucked":
        return _plucked(hertz, count, rng)
    vibrato = 1 + 0.004 * np.sin(2 * np.pi * 5.2 * time) * np.clip(time / 0.4, 0, 1)
    phase = 2 * np.pi * hertz * np.cumsum(vibrato) / RATE
    partials = {
        "organ": [(1, 1), (2, 0.6), (3, 0.4), (4, 0.3), (6, 0.15)],
        "strings": [(k, 1 / k) for k in range(1, 12)],
        "bell": [(1, 1), (2.76, 0.6), (5.4, 0.3), (8.93, 0.15)],
        "brass": [(k, 1 / k**0.7) for k in range(1, 14)],
        "flute": [(1, 1), (2, 0.25), (3, 0.08)],
    }[instrument]
    tone = sum(
        level * np.sin(factor * phase) for factor, level in partials if factor * hertz < RATE / 2
    )
    attack = {"strings": 0.12, "brass": 0.05, "flute": 0.06}.get(instrument, 0.008)
    decay = np.exp(-time / 0.6) if instrument == "bell" else 1.0
    envelope = np.clip(time / attack, 0, 1) * np.clip((length + 0.1 - time) / 0.1, 0, 1) * decay
    return np.asarray(tone / sum(level for _, level in partials) * envelope)


def _plucked(hertz: float, count: int, rng: np.random.Generator) -> Signal:
    """A plucked string (Karplus and Strong 1983)."""
    period = max(2, round(RATE / hertz))
    burst = np.zeros(count)
    burst[: min(period, count)] = rng.uniform(-1, 1, min(period, count))
    feedback = np.zeros(period + 2)
    feedback[0] = 1.0
    feedback[period] = feedback[period + 1] = -0.498
    sound = lfilter([1.0], feedback, burst)
    return np.asarray(sound / max(1e-9, np.abs(sound).max()))


def _kick() -> Signal:
    time = np.arange(round(0.25 * RATE)) / RATE
    sweep = 2 * np.pi * np.cumsum(45 + 120 * np.exp(-time / 0.03)) / RATE
    return np.asarray(np.sin(sweep) * np.exp(-time / 0.08))


def _snare(rng: np.random.Generator) -> Signal:
    time = np.arange(round(0.2 * RATE)) / RATE
    noise = rng.standard_normal(len(time)) * 0.4
    return np.asarray((noise + 0.5 * np.sin(2 * np.pi * 190 * time)) * np.exp(-time / 0.06))


def _hat(rng: np.random.Generator) -> Signal:
    time = np.arange(round(0.06 * RATE)) / RATE
    filtered = sosfilt(
        butter(2, 6000, "high", fs=RATE, output="sos"), rng.standard_normal(len(time))
    )
    return np.asarray(filtered * np.exp(-time / 0.02))
