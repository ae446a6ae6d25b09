"""Pieces of music have a tempo, a key and bars, however long they are and wherever they begin."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.activity_spans import Hysteresis
from talkover.annotate.backends import music as music_module
from talkover.annotate.backends.activity import activity_result
from talkover.annotate.backends.base import BackendInfo, BranchResult
from talkover.annotate.backends.music import DspMusic
from talkover.annotate.beats import BEATS_OF_BAR, first_beats, track_beats
from talkover.annotate.events import Curve, Event, check_events
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording
from talkover.annotate.music_analysis import PITCHES

Decoder = Callable[[np.ndarray], DecodedAudio]
HOP = 1600


@pytest.fixture
def decoded(tmp_path: Path) -> Decoder:
    def make(signal: np.ndarray) -> DecodedAudio:
        soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="PCM_16")
        return decode(open_recording(tmp_path / "a.wav"), tmp_path / "a.pcm")

    return make


def band(bpm: float, tonic: int, seconds: float, seed: int = 0) -> np.ndarray:
    """Four beats to the bar: a bass drum on the first, a hat on each, a chord a bar, a melody."""
    rng = np.random.default_rng(seed)
    signal = 0.001 * rng.standard_normal(round(seconds * RATE))
    beat = 60 / bpm
    for number in range(int(seconds / beat)):
        start = round(number * beat * RATE)
        t = np.arange(min(round(0.9 * beat * RATE), len(signal) - start)) / RATE
        here = signal[start : start + len(t)]
        here += 0.05 * rng.standard_normal(len(t)) * np.exp(-t / 0.02)
        if number % 4 == 0:
            here += 0.4 * np.sin(2 * np.pi * 60 * t) * np.exp(-t / 0.08)
        root = (0, 5, 7, 0)[number // 4 % 4]
        third = 4
        scale = (0, 2, 4, 5, 7, 9, 11)
        notes = [root, root + third, root + 7, 12 + int(rng.choice(scale))]
        for step in notes:
            hz = 440 * 2 ** ((tonic - 9 + step) / 12)
            here += 0.05 * np.exp(-2 * t / beat) * np.sin(2 * np.pi * hz * t)
    return signal.astype(np.float32)


def zones(audio: DecodedAudio, *spans: tuple[float, float]) -> BranchResult:
    values = np.zeros(-(-audio.num_samples // HOP), dtype=np.float32)
    for start, end in spans:
        values[round(start * RATE / HOP) : round(end * RATE / HOP)] = 0.8
    curve = Curve(name="music", hop=HOP, values=values)
    info = BackendInfo(name="tagger", version="1", licence="MIT")
    return activity_result(info, {"music": curve}, {"music": Hysteresis()}, audio.num_samples)


def piece_of(audio: DecodedAudio, start: float, end: float) -> Event:
    result = DspMusic().run(audio, {"activity": zones(audio, (start, end))})
    (event,) = result.events
    check_events(result.events, audio.num_samples, where="test")
    return event


@pytest.mark.parametrize("bpm", [72.0, 96.0, 118.0, 143.0])
def test_rendered_music_has_its_tempo_key_and_bars(decoded: Decoder, bpm: float) -> None:
    tonic = round(bpm) % 12
    signal = np.concatenate([np.zeros(5 * RATE), band(bpm, tonic, 40.0), np.zeros(5 * RATE)])
    event = piece_of(decoded(signal), 5.0, 45.0)
    tempo = float(event.attributes["tempo_bpm"])
    assert min(abs(np.log2(tempo / bpm) - k) for k in (-1, 0, 1)) <= np.log2(1.04)
    assert event.attributes["key"] == f"{PITCHES[tonic]} major"
    assert event.confidence == pytest.approx(0.8)
    bar = 4 * 60 / bpm
    if abs(np.log2(tempo / bpm)) < 0.1:
        places = (np.array(event.bars) / RATE - 5.0) / bar
        off = np.abs(places - np.round(places)) * bar
        assert np.median(off) <= 0.06
        assert len(event.bars) >= 0.8 * 40.0 / bar


def test_long_pieces_are_heard_in_parts(decoded: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = decoded(band(110.0, 4, 70.0))
    parts = piece_of(audio, 0.0, 70.0)
    monkeypatch.setattr(music_module, "PART_SECONDS", 100.0)
    whole = piece_of(audio, 0.0, 70.0)
    assert float(parts.attributes["tempo_bpm"]) == pytest.approx(
        float(whole.attributes["tempo_bpm"]), rel=0.005
    )
    assert parts.attributes["key"] == whole.attributes["key"] == "E major"


def test_zones_join_short_gaps_and_drop_jingles(decoded: Decoder) -> None:
    audio = decoded(band(100.0, 0, 60.0))
    upstream = {"activity": zones(audio, (2.0, 10.0), (11.0, 20.0), (30.0, 31.0), (40.0, 55.0))}
    result = DspMusic().run(audio, upstream)
    assert [(e.start / RATE, e.end / RATE) for e in result.events] == [(2.0, 20.0), (40.0, 55.0)]
    assert result.figures["music_share"] == pytest.approx(33 / 60, abs=1e-3)
    short = DspMusic(shortest=0.5).run(audio, upstream)
    assert len(short.events) == 3


def test_what_has_no_beat_has_no_bars(decoded: Decoder) -> None:
    noise = 0.05 * np.random.default_rng(0).standard_normal(20 * RATE)
    assert piece_of(decoded(noise), 0.0, 20.0).bars == ()
    silent = piece_of(decoded(np.zeros(20 * RATE)), 0.0, 20.0)
    assert silent.bars == () and "tempo_bpm" not in silent.attributes
    assert "key" not in silent.attributes


def test_without_an_activity_branch_it_says_so(decoded: Decoder) -> None:
    result = DspMusic().run(decoded(np.zeros(RATE)), {})
    assert result.events == () and "no activity branch" in result.warnings[0]


@given(st.floats(60, 200), st.floats(0, 1), st.integers(12, 40))
@settings(max_examples=25)
def test_beats_of_a_click_track_are_its_clicks(bpm: float, start: float, count: int) -> None:
    clicks = np.round((start + 60 / bpm * np.arange(count)) * 100).astype(int)
    onsets = np.zeros(clicks[-1] + 30)
    onsets[clicks] = 1.0
    assert track_beats(onsets, bpm).tolist() == clicks.tolist()


@given(st.integers(0, 3), st.integers(8, 40))
@settings(max_examples=40)
def test_bars_begin_where_the_bass_is(phase: int, count: int) -> None:
    beats = 50 * np.arange(count)
    bass = np.full(50 * count, 0.1)
    bass[beats[phase::BEATS_OF_BAR]] = 1.0
    found, clearness = first_beats(beats, bass)
    assert found == phase
    assert clearness == pytest.approx(0.9)


def test_nothing_has_no_beats() -> None:
    assert len(track_beats(np.zeros(100), 120.0)) == 0
    assert len(track_beats(np.zeros(0), 120.0)) == 0
    assert first_beats(np.arange(5), np.ones(5)) == (0, 0.0)
