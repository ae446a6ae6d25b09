"""Speech is found where it is: exact on bursts, robust to noise, offset and hum."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.audio import read_audio
from talkover.simulate.activity import (
    WORD_TOLERANCE,
    Activity,
    fit_words,
    measure_activity,
    regions_of,
)

RATE = 16000
TWO_MS = round(0.002 * RATE)


def bursts(spans: list[tuple[int, int]], length: int, frequency: float = 400.0) -> np.ndarray:
    """Tones of amplitude 0.3 with ramps of 2 ms."""
    signal = np.zeros(length, np.float32)
    for start, end in spans:
        t = np.arange(end - start) / RATE
        ramp = np.minimum(1, np.minimum(t, t[::-1]) / 0.002)
        signal[start:end] = 0.3 * np.sin(2 * np.pi * frequency * t) * ramp
    return signal


def noise(length: int, level_db: float, seed: int = 0) -> np.ndarray:
    wave = np.random.default_rng(seed).normal(size=length)
    return (wave * 10 ** (level_db / 20)).astype(np.float32)


@st.composite
def spans(draw: st.DrawFn) -> tuple[list[tuple[int, int]], int]:
    """Bursts of 60 to 400 ms with pauses that are clearly short or clearly long."""
    at = draw(st.integers(0, 8000))
    found = []
    for _ in range(draw(st.integers(1, 5))):
        end = at + draw(st.integers(960, 6400))
        found.append((at, end))
        at = end + draw(st.sampled_from([800, 1600, 2900, 3500, 5000, 9000]))
    return found, found[-1][1] + draw(st.integers(0, 8000))


def joined(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out = [found[0]]
    for start, end in found[1:]:
        if start - out[-1][1] < 0.2 * RATE:
            out[-1] = (out[-1][0], end)
        else:
            out.append((start, end))
    return out


@settings(max_examples=40, deadline=None)
@given(drawn=spans(), frequency=st.floats(150, 3000), floor=st.sampled_from([None, -80.0, -65.0]))
def test_regions_are_the_bursts_within_two_milliseconds(
    drawn: tuple[list[tuple[int, int]], int], frequency: float, floor: float | None
) -> None:
    found, length = drawn
    signal = bursts(found, length, frequency)
    if floor is not None:
        signal = signal + noise(length, floor)
    regions = measure_activity(signal, RATE).regions
    expected = np.array(joined(found))
    assert regions.shape == expected.shape
    assert np.abs(regions - expected).max() <= TWO_MS


@pytest.mark.parametrize("offset", [0.2, -0.05])
def test_an_offset_is_no_speech(offset: float) -> None:
    signal = bursts([(8000, 16000)], 32000) + np.float32(offset) + noise(32000, -70)
    regions = measure_activity(signal, RATE).regions
    assert np.abs(regions - [[8000, 16000]]).max() <= TWO_MS


def test_hum_is_no_speech() -> None:
    hum = 0.02 * np.sin(2 * np.pi * 50 * np.arange(48000) / RATE)
    signal = (bursts([(16000, 28000)], 48000) * 0.3 + hum + noise(48000, -75)).astype(np.float32)
    regions = measure_activity(signal, RATE).regions
    assert regions.shape == (1, 2)
    assert np.abs(regions - [[16000, 28000]]).max() <= 5 * TWO_MS


def test_noise_at_twenty_db_below_moves_edges_less_than_ten_milliseconds() -> None:
    signal = bursts([(8000, 16000), (24000, 30000)], 40000) + noise(40000, -33.5)
    regions = measure_activity(signal, RATE).regions
    assert regions.shape == (2, 2)
    assert np.abs(regions - [[8000, 16000], [24000, 30000]]).max() <= 0.010 * RATE


def test_a_click_is_no_speech() -> None:
    signal = bursts([(16000, 24000)], 32000)
    signal[4000:4020] = 0.9
    assert np.abs(measure_activity(signal, RATE).regions - [[16000, 24000]]).max() <= TWO_MS


def test_the_level_is_that_of_the_speech_alone() -> None:
    short = measure_activity(bursts([(8000, 24000)], 32000), RATE)
    long = measure_activity(bursts([(8000, 24000)], 96000), RATE)
    assert short.level_dbfs == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.1)
    assert long.level_dbfs == pytest.approx(short.level_dbfs, abs=0.01)
    assert short.peak_dbfs == pytest.approx(20 * np.log10(0.3), abs=0.05)


def test_scaling_changes_no_region() -> None:
    signal = bursts([(8000, 16000)], 24000) + noise(24000, -70)
    loud, soft = measure_activity(signal, RATE), measure_activity(signal * np.float32(0.125), RATE)
    assert np.array_equal(loud.regions, soft.regions)
    assert loud.level_dbfs - soft.level_dbfs == pytest.approx(20 * np.log10(8), abs=1e-3)


def test_sound_from_end_to_end_is_one_region() -> None:
    regions = measure_activity(noise(RATE, -20), RATE).regions
    assert regions.tolist() == [[0, RATE]]


def test_less_than_a_frame_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least 160 samples"):
        measure_activity(np.ones(159, np.float32), RATE)


def activity(*regions: tuple[int, int]) -> Activity:
    return Activity(
        regions=np.array(regions), level_dbfs=-20.0, peak_dbfs=-10.0, noise_floor_dbfs=-70.0
    )


def test_words_are_clipped_to_the_speech_at_both_ends_only() -> None:
    words = [("a", 0, 5000), ("b", 5000, 3000), ("c", 9000, 7000)]
    tolerance = round(WORD_TOLERANCE * RATE)
    fitted = fit_words(words, activity((4000, 12000)), RATE)
    assert fitted == (
        ("a", 4000 - tolerance, 1000 + tolerance),
        ("b", 5000, 3000),
        ("c", 9000, 3000 + tolerance),
    )


def test_a_word_far_outside_the_speech_keeps_its_times() -> None:
    words = [("a", 0, 1000), ("b", 5000, 3000)]
    assert fit_words(words, activity((4000, 12000)), RATE)[0] == ("a", 0, 1000)


def test_regions_are_runs_of_words_where_words_are_known() -> None:
    words = [("a", 0, 1000), ("b", 1100, 1000), ("c", 5300, 1000), ("d", 9499, 100)]
    measured = activity((0, 100), (50000, 60000))
    assert regions_of(words, measured, RATE).tolist() == [[0, 2100], [5300, 9599]]
    assert regions_of(None, measured, RATE).tolist() == [[0, 100], [50000, 60000]]


def test_real_words_lie_where_their_author_trimmed_them(shared_data: Path) -> None:
    """The corpus was trimmed with 80 ms around the speech."""
    with (shared_data / "speech" / "manifest.csv").open(encoding="utf8", newline="") as file:
        rows = [r for r in csv.DictReader(file) if r["corpus"] == "arabic_speech_commands"]
    assert rows
    lead = []
    for row in rows[::60]:
        signal = read_audio(
            shared_data / "speech" / row["file"],
            start_sample=int(row["start_sample"]),
            num_samples=int(row["num_samples"]),
        )
        measured = measure_activity(signal, RATE)
        lead.append(measured.onset / RATE)
    assert abs(np.median(lead) - 0.08) < 0.02
    assert np.mean(np.abs(np.array(lead) - 0.08) < 0.05) > 0.8
