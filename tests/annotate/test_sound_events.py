"""Events are found where they are, named by the model or by their shape, never twice."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.activity_spans import Hysteresis
from talkover.annotate.backends.activity import activity_result
from talkover.annotate.backends.base import BackendInfo, BranchResult
from talkover.annotate.backends.events import (
    EVENTS,
    DspEvents,
    NamedEvents,
    ShapeConfig,
    covered_share,
    one_name_each,
)
from talkover.annotate.events import Curve, Event, check_events
from talkover.annotate.levels import frame_levels, noise_floor
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording
from talkover.annotate.sounds import shapes
from talkover.annotate.sounds.claims import FIGURES, Scorer
from talkover.annotate.sounds.shapes import excess_curve

Decoder = Callable[[np.ndarray], DecodedAudio]
MODEL = BackendInfo(name="tagger", version="7", licence="CC-BY-NC-4.0", non_commercial=True)


@pytest.fixture
def decoded(tmp_path: Path) -> Decoder:
    def make(signal: np.ndarray) -> DecodedAudio:
        soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="PCM_16")
        return decode(open_recording(tmp_path / "a.wav"), tmp_path / "a.pcm")

    return make


def noise(seconds: float, rms: float = 0.003, seed: int = 0) -> np.ndarray:
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def scene() -> np.ndarray:
    """A click, a tone, a burst of noise, a hum and a siren, in noise."""
    signal, t = noise(120.0), np.arange(2 * RATE) / RATE
    rng = np.random.default_rng(1)
    sounds = {
        5: 0.5 * np.exp(-t / 0.02) * rng.standard_normal(len(t)),
        25: 0.05 * np.sin(2 * np.pi * 1000 * t),
        45: 0.05 * rng.standard_normal(len(t)),
        65: 0.05 * sum(np.sin(2 * np.pi * hz * t) for hz in (100, 200, 300)),
        85: 0.05 * np.sin(2 * np.pi * (500 * t + 300 * t * t)),
    }
    for at, sound in sounds.items():
        signal[at * RATE : at * RATE + len(sound)] += sound
    return signal


def curves(audio: DecodedAudio, **zones: tuple[float, float]) -> BranchResult:
    hop = 1600
    made = {}
    for name, (start, end) in zones.items():
        values = np.zeros(-(-audio.num_samples // hop), dtype=np.float32)
        values[round(start * RATE / hop) : round(end * RATE / hop)] = 0.9
        key = name.replace("sound_", "sound.")
        made[key] = Curve(name=key, hop=hop, values=values)
    return activity_result(MODEL, made, dict.fromkeys(made, Hysteresis()), audio.num_samples)


def test_shapes_are_told_apart(decoded: Decoder) -> None:
    result = DspEvents().run(decoded(scene()), {})
    found = [(round(e.start / RATE), e.label) for e in result.events]
    assert found == [
        (5, "impulsive"),
        (25, "tonal"),
        (45, "broadband"),
        (65, "hum"),
        (85, "tonal"),
    ]
    for event in result.events[1:]:
        assert (event.end - event.start) / RATE == pytest.approx(2.0, abs=0.15)
        assert event.attributes["label_source"] == "dsp"
        assert 0.5 <= event.confidence <= 1


@pytest.mark.parametrize("rms", [1e-4, 0.003, 0.1])
def test_nothing_happens_in_steady_noise(decoded: Decoder, rms: float) -> None:
    assert DspEvents().run(decoded(noise(120.0, rms)), {}).events == ()


@pytest.mark.parametrize("signal", [np.zeros(3 * RATE), np.zeros(1), np.full(5000, 0.5)])
def test_nothing_happens_in_silence(decoded: Decoder, signal: np.ndarray) -> None:
    assert DspEvents().run(decoded(signal), {}).events == ()


def test_blocks_leave_no_trace(decoded: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = decoded(scene()[: 100 * RATE + 13])
    whole = excess_curve(audio)
    assert len(whole) == -(-audio.num_samples // shapes.HOP)
    monkeypatch.setattr(shapes, "BLOCK_SECONDS", 11.0)
    assert np.allclose(excess_curve(audio), whole, atol=1e-4)


def test_a_named_event_is_not_found_twice(decoded: Decoder) -> None:
    audio = decoded(scene())
    activity = curves(audio, sound_bell=(25.0, 27.0))
    result = NamedEvents().run(audio, {"activity": activity})
    labels = [(e.label, e.attributes["label_source"]) for e in result.events]
    assert labels == [
        ("impulsive", "dsp"),
        ("bell", "model"),
        ("broadband", "dsp"),
        ("hum", "dsp"),
        ("tonal", "dsp"),
    ]
    assert len({e.id for e in result.events}) == 5
    assert result.backend.non_commercial and "7" in result.backend.version
    (bell,) = NamedEvents(shapes=False).run(audio, {"activity": activity}).events
    assert bell.label == "bell"
    check_events(result.events, audio.num_samples, where="test")


def test_speech_and_music_are_no_events(decoded: Decoder) -> None:
    audio = decoded(scene())
    activity = curves(audio, speech=(44.0, 48.0), music=(64.0, 68.0))
    found = [e.label for e in EVENTS["dsp"]().run(audio, {"activity": activity}).events]
    assert found == ["impulsive", "tonal", "tonal"]


def test_real_sounds_are_found(decoded: Decoder, shared_data: Path) -> None:
    """Sixteen short sounds in noise 30 dB under them: each has an event."""
    folder = shared_data / "sounds" / "esc10"
    paths = [
        p
        for c in ("dog_bark", "person_sneeze", "rooster")
        for p in sorted((folder / c).glob("*.flac"))[:5]
    ]
    assert len(paths) == 15
    found = 0
    for path in paths:
        sound, _ = soundfile.read(path)
        sound = 0.1 * sound / np.abs(sound).max()
        audio = decoded(
            np.concatenate([np.zeros(5 * RATE), sound, np.zeros(5 * RATE)])
            + noise(15.1, 0.001)[: 10 * RATE + len(sound)]
        )
        events = DspEvents().run(audio, {}).events
        assert all(4.8 <= e.start / RATE and e.end / RATE <= 10.2 for e in events)
        found += bool(events)
    assert found >= 14


@given(
    st.integers(0, 50),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)), max_size=8),
)
@settings(max_examples=100)
def test_the_covered_share_is_that_of_the_union(
    start: int, length: int, spans: list[tuple[int, int]]
) -> None:
    known = [np.array([[a, a + n]]) for a, n in spans]
    heard = np.zeros(200, dtype=bool)
    for a, n in spans:
        heard[a : a + n] = True
    share = heard[start : start + length].mean()
    assert covered_share(start, start + length, known) == pytest.approx(share)


def test_the_floor_follows_the_room(decoded: Decoder) -> None:
    signal = np.concatenate([noise(60.0, 0.001), noise(60.0, 0.01, 1)])
    levels = frame_levels(decoded(signal), 1600)
    floor = noise_floor(levels, 10.0)
    assert floor[:400] == pytest.approx(-60.0, abs=1.0)
    assert floor[-400:] == pytest.approx(-40.0, abs=1.0)


def test_rules_that_contradict_are_refused() -> None:
    with pytest.raises(ValueError, match="offset <= onset"):
        ShapeConfig(onset_db=3.0, offset_db=8.0)
    with pytest.raises(ValueError, match="longest"):
        ShapeConfig(longest=0.0)


sounds = st.lists(
    st.tuples(st.integers(0, 90), st.integers(1, 30), st.sampled_from("abc"), st.floats(0, 1)),
    max_size=12,
)


@given(sounds)
def test_one_sound_has_one_name_and_it_is_the_surest(rows: list) -> None:
    events = [
        Event(id="", kind="sound", start=a, end=a + n, label=label, confidence=sure)
        for a, n, label, sure in rows
    ]
    kept = one_name_each(events)
    assert kept == sorted(kept, key=lambda e: (e.start, e.end, e.label))

    def share(one: Event, other: Event) -> float:
        common = min(one.end, other.end) - max(one.start, other.start)
        return max(0, common) / (max(one.end, other.end) - min(one.start, other.start))

    for number, one in enumerate(kept):
        assert all(share(one, other) < 0.5 for other in kept[number + 1 :])
    for event in events:
        rivals = [e for e in kept if share(event, e) >= 0.5 and e.confidence >= event.confidence]
        assert rivals  # itself, or somebody surer


def test_a_sound_begins_where_its_curve_rose(decoded: Decoder) -> None:
    audio = decoded(noise(10.0))
    values = np.full(100, 0.1, dtype=np.float32)
    values[30:50] = 0.4
    values[40:45] = 0.8
    curve = {"sound.bell": Curve(name="sound.bell", hop=1600, values=values)}
    rules = {"sound.bell": Hysteresis(onset=0.7, offset=0.3)}
    activity = activity_result(MODEL, curve, rules, audio.num_samples)
    (bell,) = NamedEvents(shapes=False).run(audio, {"activity": activity}).events
    assert (bell.start, bell.end) == (30 * 1600, 50 * 1600)


def heard(curves: dict[str, np.ndarray], audio: DecodedAudio, **figures: object) -> BranchResult:
    made = {name: Curve(name=name, hop=1600, values=v) for name, v in curves.items()}
    rules = dict.fromkeys(made, Hysteresis(onset=0.5, offset=0.5))
    result = activity_result(MODEL, made, rules, audio.num_samples)
    return replace(result, figures={**result.figures, **figures})


def test_sounds_are_chosen_as_the_tagger_says_and_others_have_no_name(decoded: Decoder) -> None:
    audio = decoded(noise(10.0))
    any_sound, bell, drum = (np.full(100, 0.02, dtype=np.float32) for _ in range(3))
    any_sound[10:45] = any_sound[80:90] = 0.98
    bell[10:30], drum[25:45] = 0.95, 0.95  # at once for half a second
    weights = np.zeros(2 * len(FIGURES) + 2)
    weights[[FIGURES.index("kind_low"), FIGURES.index("log_frames")]] = 1.0
    weights[[FIGURES.index("kind_before"), FIGURES.index("kind_after")]] = -0.5
    scorer = Scorer(kinds=("bell", "drum"), weights=weights, bias=-5.0, least=0.5)
    curves = {"any_sound": any_sound, "sound.bell": bell, "sound.drum": drum}
    activity = heard(curves, audio, claims=scorer.as_dict())
    found = NamedEvents(shapes=False).run(audio, {"activity": activity}).events
    assert [(e.label, e.start // 1600, e.end // 1600) for e in found] == [
        ("bell", 10, 30),
        ("drum", 25, 45),
        ("sound", 80, 90),  # something is there, but what?
    ]
    assert found[0].attributes == found[1].attributes == {"label_source": "model"}
    assert found[2].attributes == {"label_source": "any_sound"}
    assert found[2].confidence == pytest.approx(0.98, abs=1e-4)


def test_without_a_choice_sounds_are_stretches_of_their_class(decoded: Decoder) -> None:
    audio = decoded(noise(10.0))
    any_sound, bell = np.zeros((2, 100), dtype=np.float32)
    any_sound[10:30] = any_sound[80:90] = bell[15:30] = 0.9
    activity = heard({"any_sound": any_sound, "sound.bell": bell}, audio)
    found = NamedEvents(shapes=False).run(audio, {"activity": activity}).events
    assert [(e.label, e.start // 1600) for e in found] == [("bell", 15), ("sound", 80)]
