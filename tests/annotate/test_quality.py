"""Figures of quality are those of signals whose quality is known."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.backends.base import BranchResult
from talkover.annotate.backends.quality import QUALITIES, SignalQuality
from talkover.annotate.duplicates import Fingerprint
from talkover.annotate.events import Event
from talkover.annotate.media import RATE, DecodedAudio, Recording, decode, open_recording
from talkover.annotate.quality import native
from talkover.annotate.quality.native import clipped_samples, measure
from talkover.annotate.quality.noise import FRAME, speech_to_noise_db
from talkover.annotate.quality.opinion import Opinion, weights
from talkover.manifests.loudness import integrated_lufs

Opened = Callable[..., Recording]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    def make(signal: np.ndarray, rate: int = RATE) -> Recording:
        soundfile.write(tmp_path / "a.wav", signal, rate, subtype="PCM_16")
        return open_recording(tmp_path / "a.wav")

    return make


def noise(seconds: float, rate: int = RATE, rms: float = 0.05, seed: int = 0) -> np.ndarray:
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * rate))


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_loudness_is_that_of_the_whole_signal(opened: Opened, rate: int) -> None:
    signal = noise(34.3, rate) * (np.sin(np.arange(round(34.3 * rate)) / rate / 3) > -0.3)
    found = measure(opened(signal, rate))
    assert found.loudness_lufs == pytest.approx(integrated_lufs(signal, rate), abs=0.02)


def test_blocks_leave_no_trace(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    recording = opened(np.stack([noise(40.0), noise(40.0, seed=1)], axis=1) + 0.01, RATE)
    whole = measure(recording)
    monkeypatch.setattr(native, "READ_HOPS", 32)  # whole frames of the spectrum: 3.2 s
    parts = measure(recording)
    assert parts.loudness_lufs == pytest.approx(whole.loudness_lufs, abs=1e-4)
    assert parts.dc_offset == pytest.approx(whole.dc_offset, abs=1e-9)
    assert replace(parts, loudness_lufs=0.0, dc_offset=0.0) == replace(
        whole, loudness_lufs=0.0, dc_offset=0.0
    )


def test_two_channels_are_three_lu_louder(opened: Opened) -> None:
    one = noise(10.0)
    mono, stereo = measure(opened(one)), measure(opened(np.stack([one, one], axis=1)))
    assert mono.loudness_lufs is not None and stereo.loudness_lufs is not None
    assert stereo.loudness_lufs - mono.loudness_lufs == pytest.approx(3.01, abs=0.01)


@pytest.mark.parametrize(("cutoff", "rate"), [(3400, 16000), (3400, 48000), (7000, 44100)])
def test_bandwidth_is_that_of_the_filter(opened: Opened, cutoff: int, rate: int) -> None:
    sos = scipy.signal.ellip(12, 0.1, 100, cutoff, fs=rate, output="sos")
    found = measure(opened(scipy.signal.sosfilt(sos, noise(10.0, rate)), rate))
    assert found.bandwidth_hz == pytest.approx(cutoff, rel=0.15)  # the slope of the filter
    whole = measure(opened(noise(10.0, rate), rate))
    assert whole.bandwidth_hz is not None and whole.bandwidth_hz > 0.49 * rate


def test_clipping_and_offset_of_any_channel_count(opened: Opened) -> None:
    clean = 0.3 * np.sin(2 * np.pi * 440 * np.arange(5 * RATE) / RATE)
    found = measure(opened(np.stack([clean, np.clip(5 * clean, -1, 1)], axis=1)))
    over = np.mean(np.abs(5 * clean) >= 1)
    assert found.clipped_share == pytest.approx(over / 2, rel=0.05)
    assert found.peak_dbfs == pytest.approx(0.0, abs=0.01)
    assert measure(opened(clean)).clipped_share == 0.0
    moved = measure(opened(np.stack([clean, clean - 0.1], axis=1)))
    assert moved.dc_offset == pytest.approx(-0.1, abs=1e-3)


@pytest.mark.parametrize("samples", [1, 50, 2000, 7000])
def test_silent_and_short_recordings_have_figures(opened: Opened, samples: int) -> None:
    found = measure(opened(np.zeros(samples)))
    assert (found.loudness_lufs, found.bandwidth_hz, found.clipped_share) == (None, None, 0.0)
    assert measure(opened(np.full(samples, 0.5))).dc_offset == pytest.approx(0.5, abs=1e-3)


@given(st.lists(st.integers(-2, 2), max_size=40))
@settings(max_examples=100)
def test_clipping_is_runs_of_three_and_more_of_one_sign(values: list[int]) -> None:
    signal = np.array(values, dtype=np.float32) / 2
    runs, count = [], 0
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    count = sum(length for value, length in runs if abs(value) == 2 and length >= 3)
    assert clipped_samples(signal) == count


def speech_events(spans: list[tuple[float, float]]) -> tuple[Event, ...]:
    return tuple(
        Event(id=f"s{n}", kind="turn", start=round(a * RATE), end=round(b * RATE))
        for n, (a, b) in enumerate(spans)
    )


def run(recording: Recording, folder: Path, spans: list[tuple[float, float]], **options: object):
    audio = decode(recording, folder / "a.pcm")
    audio = DecodedAudio(audio.path, audio.num_samples, recording)
    backend = QUALITIES["talkover"](**options)
    backend.load()
    vad = BranchResult(backend=backend.info(), events=speech_events(spans))
    return backend.run(audio, {"vad": vad})


@pytest.mark.parametrize("snr", [0, 10, 20, 40])
def test_signal_to_noise_is_what_was_mixed(opened: Opened, tmp_path: Path, snr: int) -> None:
    spans = [(5.0, 12.0), (20.0, 33.0)]
    signal = noise(40.0, rms=0.1 * 10 ** (-snr / 20))
    for start, end in spans:
        at = slice(round(start * RATE), round(end * RATE))
        signal[at] += noise(end - start, seed=2, rms=0.1)
    result = run(opened(signal), tmp_path, spans)
    assert result.figures["snr_db"] == pytest.approx(snr, abs=0.5)
    assert result.figures["speech_seconds"] == pytest.approx(20.0)


def test_nobody_speaks_has_no_ratio() -> None:
    assert speech_to_noise_db(np.full(100, -40.0), ()) is None
    whole = speech_to_noise_db(
        np.linspace(-60, -20, 100), speech_events([(0.0, 100 * FRAME / RATE)])
    )
    assert whole is not None and 20 < whole < 40  # the quietest tenth stands for the noise


def test_all_figures_come_from_one_run(opened: Opened, tmp_path: Path) -> None:
    rate = 44100
    result = run(opened(np.stack([noise(12.0, rate)] * 2, axis=1), rate), tmp_path, [])
    assert set(result.figures) == {
        "snr_db",
        "speech_seconds",
        "silence_share",
        "fingerprint",
        "clipped_share",
        "dc_offset",
        "peak_dbfs",
        "bandwidth_hz",
        "loudness_lufs",
    }
    assert result.figures["snr_db"] is None
    assert result.figures["bandwidth_hz"] > 20000
    Fingerprint.of_text(str(result.figures["fingerprint"]))
    assert result.backend.weights_sha256 is None
    assert len(result.curves["level_dbfs"].values) == -(-12 * RATE // FRAME)


needs_opinion = pytest.mark.skipif(weights() is None, reason="speechmos is not installed")


@needs_opinion
def test_opinions_fall_with_noise(opened: Opened, tmp_path: Path, shared_data: Path) -> None:
    speech, _ = soundfile.read(shared_data / "recordings" / "jfk.flac")
    clean = run(opened(speech), tmp_path, [], opinion=True)
    noisy = run(opened(speech + noise(len(speech) / RATE)), tmp_path, [], opinion=True)
    for name in ("dnsmos_overall", "dnsmos_background", "dnsmos_signal"):
        assert 1 <= float(noisy.figures[name]) < float(clean.figures[name]) <= 5
    assert clean.backend.weights_sha256 is not None
    assert len(clean.curves["dnsmos_overall"].values) == 2


@needs_opinion
def test_short_and_silent_recordings_have_opinions_or_none(opened: Opened, tmp_path: Path) -> None:
    short = run(opened(noise(0.5)), tmp_path, [], opinion=True)
    assert 1 <= float(short.figures["dnsmos_overall"]) <= 5
    silent = run(opened(np.zeros(20 * RATE)), tmp_path, [], opinion=True)
    assert silent.figures["dnsmos_overall"] is None


@needs_opinion
def test_an_opinion_is_of_any_window(opened: Opened) -> None:
    opinion = Opinion()
    scores = opinion.of(noise(9.01).astype(np.float32))
    assert scores.shape == (3,) and ((scores >= 1) & (scores <= 5)).all()
    assert np.array_equal(scores, opinion.of(noise(9.01).astype(np.float32)))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="opinion_hop"):
        SignalQuality(opinion=True, opinion_hop=0.1)
