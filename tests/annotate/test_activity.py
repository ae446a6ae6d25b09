"""Curves of activity are heard in blocks that leave no trace, and become zones by hysteresis."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.activity_spans import Hysteresis, active_stretches, is_on, joined
from talkover.annotate.backends import activity as activity_module
from talkover.annotate.backends.activity import (
    ACTIVITIES,
    LevelActivity,
    TaggerActivity,
    rule_of,
)
from talkover.annotate.backends.base import BackendError, BranchResult
from talkover.annotate.events import Curve
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording
from talkover.annotate.models.tagger import Tagger

Decoder = Callable[[np.ndarray], DecodedAudio]


@dataclass(frozen=True)
class Threshold:
    onset: float = 0.6
    offset: float = 0.3
    shortest_s: float = 0.5
    gap_s: float = 0.3


class ToneTagger:
    """Speech is 500 Hz, music 1000 Hz, a bell 2000 Hz, over what is around each hop."""

    hop_samples, halo_s = 1600, 0.25
    activities, events = ("speech", "music", "noise", "silence"), ("bell",)
    thresholds: ClassVar = {name: Threshold() for name in (*activities, *events)}

    def run(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        count = -(-len(samples) // 1600)
        padded = np.zeros(count * 1600, dtype=np.float32)
        padded[: len(samples)] = samples
        spectra = np.abs(np.fft.rfft(padded.reshape(count, 1600), axis=1)) / 800 / 0.1
        around = np.pad(spectra, ((2, 2), (0, 0)), mode="edge")
        smooth = sum(around[k : k + count] for k in range(5)) / 5  # depends on its neighbours
        found = {"speech": smooth[:, 50], "music": smooth[:, 100], "bell": smooth[:, 200]}
        found["silence"] = 1.0 - np.minimum(1, smooth[:, [50, 100, 200]].sum(axis=1))
        found["noise"] = np.zeros(count)
        return {name: np.clip(values, 0, 1).astype(np.float32) for name, values in found.items()}


@pytest.fixture
def decoded(tmp_path: Path) -> Decoder:
    def make(signal: np.ndarray) -> DecodedAudio:
        soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="PCM_16")
        return decode(open_recording(tmp_path / "a.wav"), tmp_path / "a.pcm")

    return make


def scene(seconds: float = 60.0) -> np.ndarray:
    """Speech 2–20 s, music 10–40 s: they coincide for ten seconds; a bell at 45–47 s."""
    signal = np.zeros(round(seconds * RATE))
    t = np.arange(len(signal)) / RATE
    for hz, start, end in ((500, 2, 20), (1000, 10, 40), (2000, 45, 47)):
        inside = (t >= start) & (t < end)
        signal[inside] += 0.1 * np.sin(2 * np.pi * hz * t[inside])
    return signal


def loaded(tagger: object) -> TaggerActivity:
    backend = TaggerActivity(tagger)
    backend.load()
    return backend


def test_labels_may_coincide(decoded: Decoder) -> None:
    result = loaded(ToneTagger()).run(decoded(scene()), {})
    zones = {name: np.array(spans) / RATE for name, spans in result.figures["zones"].items()}
    assert np.allclose(zones["speech"], [[2, 20]], atol=0.31)
    assert np.allclose(zones["music"], [[10, 40]], atol=0.31)
    assert zones["noise"].size == 0
    assert result.figures["speech_share"] == pytest.approx(0.3, abs=0.02)
    assert set(result.curves) == {"speech", "music", "noise", "silence", "sound.bell"}
    assert rule_of(result, "sound.bell") == Hysteresis(onset=0.6, offset=0.3, shortest=0.5, gap=0.3)


@pytest.mark.parametrize("tagger", [ToneTagger(), Tagger.untrained()], ids=["tones", "untrained"])
def test_blocks_leave_no_trace(
    decoded: Decoder, monkeypatch: pytest.MonkeyPatch, tagger: object
) -> None:
    audio = decoded(scene()[: 47 * RATE + 77])
    whole = loaded(tagger).run(audio, {})
    monkeypatch.setattr(activity_module, "BLOCK_SECONDS", 7.0)
    parts = loaded(tagger).run(audio, {})
    for name, curve in whole.curves.items():
        assert len(curve.values) == -(-audio.num_samples // curve.hop)
        assert np.allclose(parts.curves[name].values, curve.values, atol=1e-5)


def test_levels_tell_silence_and_sound_without_a_model(decoded: Decoder) -> None:
    rng = np.random.default_rng(0)
    signal = 0.003 * rng.standard_normal(30 * RATE)
    signal[10 * RATE : 12 * RATE] += 0.1 * rng.standard_normal(2 * RATE)
    signal[20 * RATE :] = 0.0
    audio = decoded(signal)
    backend = LevelActivity()
    result = backend.run(audio, {})
    zones = {name: np.array(spans) / RATE for name, spans in result.figures["zones"].items()}
    assert np.allclose(zones["noise"], [[10, 12]], atol=0.11)
    assert np.allclose(zones["silence"], [[20, 30]], atol=0.11)
    assert "music" not in result.curves
    values = np.zeros(audio.num_samples // 512 + 1, dtype=np.float32)
    values[10 * RATE // 512 : 12 * RATE // 512 + 1] = 1.0
    vad = BranchResult(
        backend=backend.info(), curves={"speech": Curve(name="speech", hop=512, values=values)}
    )
    spoken = backend.run(audio, {"vad": vad})
    assert np.allclose(np.array(spoken.figures["zones"]["speech"]) / RATE, [[10, 12]], atol=0.2)
    assert spoken.figures["zones"]["noise"] == []


@pytest.mark.parametrize("samples", [1, 1599, 1601])
def test_short_recordings_have_a_curve(decoded: Decoder, samples: int) -> None:
    audio = decoded(np.full(samples, 0.1))
    for backend in (loaded(ToneTagger()), LevelActivity()):
        result = backend.run(audio, {})
        for curve in result.curves.values():
            assert len(curve.values) == -(-samples // 1600)
            assert ((curve.values >= 0) & (curve.values <= 1)).all()


def test_what_was_not_loaded_says_so(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="not loaded"):
        ACTIVITIES["talkover"]().run(DecodedAudio(tmp_path / "x", 1), {})
    ok, reason = TaggerActivity(tmp_path / "none").available()
    assert not ok and "none" in reason


@given(
    st.lists(st.floats(0, 1, width=32), max_size=120),
    st.floats(0.1, 0.9),
    st.floats(0.05, 0.1),
    st.integers(0, 4),
    st.integers(0, 4),
)
@settings(max_examples=60)
def test_stretches_are_apart_long_enough_and_hold_what_is_sure(
    values: list[float], onset: float, offset: float, gap: int, shortest: int
) -> None:
    curve = np.array(values)
    rule = Hysteresis(onset=onset, offset=offset, gap=gap, shortest=shortest)
    found = active_stretches(curve, 2, 2 * len(curve), 2, rule)
    assert (found[:, 1] - found[:, 0] >= 2 * shortest).all()
    assert (found[1:, 0] - found[:-1, 1] >= max(1, 2 * gap)).all()
    inside = np.zeros(len(curve), dtype=bool)
    for start, end in found // 2:
        inside[start:end] = True
        assert curve[start] >= onset
    if shortest == 0:
        assert inside[curve >= onset].all()


@given(st.lists(st.floats(0, 1), max_size=60))
@settings(max_examples=100)
def test_hysteresis_is_between_its_two_thresholds(values: list[float]) -> None:
    curve = np.array(values)
    on = is_on(curve, 0.7, 0.3)
    assert on[curve >= 0.7].all() and not on[curve < 0.3].any()
    assert joined(np.zeros((0, 2), dtype=np.int64), 3).shape == (0, 2)


@pytest.mark.parametrize("bad", [{"onset": 0.2, "offset": 0.3}, {"onset": 1.0}, {"gap": -1.0}])
def test_thresholds_out_of_order_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs"):
        Hysteresis(**bad)
