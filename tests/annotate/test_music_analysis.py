"""Tempo and key of music whose tempo and key are known."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.music_analysis import PITCHES, estimate_key, estimate_tempo

RATE = 16000


def played(bpm: float, tonic: int, mode: str, seconds: float = 12.0, tuning: float = 0.0):
    """A cadence, a chord a beat, with a hit on each beat."""
    rng = np.random.default_rng(1)
    third = 4 if mode == "major" else 3
    progression = [(0, third), (5, third), (7, 4), (0, third)]
    signal = 0.002 * rng.standard_normal(round(seconds * RATE))
    beat = 60 / bpm
    for number in range(int(seconds / beat)):
        root, own_third = progression[number % 4]
        start = round(number * beat * RATE)
        t = np.arange(min(round(0.9 * beat * RATE), len(signal) - start)) / RATE
        envelope = np.exp(-3 * t / beat)
        for step in (0, own_third, 7):
            hz = 440 * 2 ** ((tonic - 9 + root + step + tuning) / 12)
            signal[start : start + len(t)] += 0.1 * envelope * np.sin(2 * np.pi * hz * t)
        hit = min(320, len(signal) - start)
        signal[start : start + hit] += 0.2 * rng.standard_normal(hit) * np.linspace(1, 0, hit)
    return signal.astype(np.float32)


@given(st.floats(62, 185))
@settings(max_examples=25)
def test_tempo_is_within_4_percent_or_an_octave(bpm: float) -> None:
    found = estimate_tempo(played(bpm, 0, "major"), RATE)
    assert found is not None
    octaves = np.log2(found.bpm / bpm)
    assert min(abs(octaves - k) for k in (-1, 0, 1)) <= np.log2(1.04)
    assert found.clarity > 0.2


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
def test_key_is_that_of_the_cadence(tonic: int, mode: str) -> None:
    found = estimate_key(played(100, tonic, mode), RATE)
    assert found is not None
    assert found.name == f"{PITCHES[tonic]} {mode}"


def test_key_does_not_depend_on_the_tuning() -> None:
    for cents in (-40, -20, 20, 40):
        found = estimate_key(played(100, 2, "major", tuning=cents / 100), RATE)
        assert found is not None
        assert found.name == "D major"


def test_nothing_is_made_up() -> None:
    assert estimate_tempo(np.zeros(RATE, dtype=np.float32), RATE) is None
    assert estimate_tempo(np.zeros(20 * RATE, dtype=np.float32), RATE) is None
    assert estimate_key(np.zeros(20 * RATE, dtype=np.float32), RATE) is None


def test_noise_has_no_clear_tempo() -> None:
    noise = np.random.default_rng(0).standard_normal(20 * RATE).astype(np.float32)
    found = estimate_tempo(noise, RATE)
    assert found is None or found.clarity < 0.1


def test_real_music_gives_a_tempo_and_a_key(shared_data: Path) -> None:
    paths = sorted((shared_data / "sounds" / "music").glob("*.flac"))
    assert paths
    for path in paths:
        signal, rate = soundfile.read(path, dtype="float32")
        tempo, key = estimate_tempo(signal, rate), estimate_key(signal, rate)
        assert tempo is not None and 40 <= tempo.bpm <= 220
        assert key is not None and key.correlation > 0.4
