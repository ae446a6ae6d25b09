"""Enrolled people are recognised in the turns of any diarizer, and nobody else is.

Voices of these tests are tones, heard by their spectra.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.backends.base import BackendError, BackendInfo, BranchResult
from talkover.annotate.backends.embedder import KnownVoices, clean_stretches
from talkover.annotate.enrolment import Enrolment, recognise
from talkover.annotate.events import Event
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording
from talkover.annotate.profiles import enrolled, read_profiles, write_profiles
from talkover.manifests.errors import ConfigurationError

Decoder = Callable[[np.ndarray], DecodedAudio]
PEOPLE = {"ana": 300, "bo": 700, "cy": 1500}


class SpectrumVoices:
    """The spectrum of a stretch in bins of 100 Hz."""

    thresholds: ClassVar = {"enrolment": 0.8, "margin": 0.1}

    def embed(self, samples: np.ndarray, masks: np.ndarray | None = None) -> np.ndarray:
        frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
        power = (np.abs(np.fft.rfft(frames, axis=1)) ** 2).mean(axis=0)[None]
        return (power / max(float(np.linalg.norm(power)), 1e-12)).astype(np.float32)


def tone(hz: float, seconds: float) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


@pytest.fixture
def decoded(tmp_path: Path) -> Decoder:
    def make(signal: np.ndarray) -> DecodedAudio:
        soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="PCM_16")
        return decode(open_recording(tmp_path / "a.wav"), tmp_path / "a.pcm")

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people by one file at other rates, one by a folder; clips begin with silence."""
    place = tmp_path / "voices"
    (place / "cy").mkdir(parents=True)
    for name, rate in (("ana", 16000), ("bo", 48000)):
        t = np.arange(3 * rate) / rate
        clip = np.concatenate([np.zeros(rate), 0.1 * np.sin(2 * np.pi * PEOPLE[name] * t)])
        soundfile.write(place / f"{name}.flac", clip, rate)
    for number in range(2):
        soundfile.write(place / "cy" / f"{number}.wav", tone(PEOPLE["cy"], 2.0), RATE)
    (place / "notes.txt").write_text("no audio")
    return place


def turn(speaker: str, start: float, end: float) -> Event:
    return Event(
        id=f"{speaker}-{start}",
        kind="turn",
        start=round(start * RATE),
        end=round(end * RATE),
        speaker=speaker,
    )


def said(*turns: Event) -> dict[str, BranchResult]:
    info = BackendInfo(name="any", version="1", licence="MIT")
    return {"diarizer": BranchResult(backend=info, events=turns)}


def known(voices: Path, **options: float) -> KnownVoices:
    backend = KnownVoices(voices, SpectrumVoices(), **options)
    backend.load()
    return backend


def test_known_people_get_their_names_and_others_none(decoded: Decoder, folder: Path) -> None:
    signal = np.concatenate([tone(700, 3), tone(2500, 3), tone(300, 3), np.zeros(RATE)])
    signal[5 * RATE : 6 * RATE] += tone(300, 1)  # while S2 speaks: not clean, not heard
    upstream = said(turn("S1", 0, 3), turn("S2", 3, 6), turn("S3", 5, 9), turn("S4", 9.5, 9.9))
    result = known(folder).run(decoded(signal), upstream)
    names = result.figures["names"]
    assert {s: one["name"] for s, one in names.items()} == {
        "S1": "bo",
        "S2": None,
        "S3": "ana",
        "S4": None,
    }
    assert names["S1"]["similarity"] > 0.95
    strict = known(folder, margin=2.5).run(decoded(signal), upstream)
    assert all(one["name"] is None for one in strict.figures["names"].values())


def test_nobody_speaks(decoded: Decoder, folder: Path) -> None:
    assert known(folder).run(decoded(np.zeros(RATE)), said()).figures["names"] == {}


def test_a_branch_must_say_who_speaks(decoded: Decoder, folder: Path) -> None:
    with pytest.raises(BackendError, match="who speaks"):
        known(folder).run(decoded(np.zeros(RATE)), {})
    with pytest.raises(BackendError, match="not loaded"):
        KnownVoices(folder, SpectrumVoices()).run(decoded(np.zeros(RATE)), said())


def test_profiles_are_kept_without_audio(folder: Path, tmp_path: Path) -> None:
    profiles = enrolled(folder, SpectrumVoices().embed, model="m1")
    assert profiles.names == ("ana", "bo", "cy")
    write_profiles(profiles, tmp_path / "p.json")
    kept = read_profiles(tmp_path / "p.json", model="m1")
    assert kept.names == profiles.names
    assert np.allclose(kept.voices, profiles.voices, atol=1e-5)
    assert np.allclose(np.linalg.norm(kept.voices, axis=1), 1.0)
    with pytest.raises(ConfigurationError, match="other weights"):
        read_profiles(tmp_path / "p.json", model="m2")


def test_a_profile_file_serves_as_voices(decoded: Decoder, folder: Path, tmp_path: Path) -> None:
    backend = known(folder)
    profiles = enrolled(folder, SpectrumVoices().embed, model="untrained")
    write_profiles(profiles, tmp_path / "p.json")
    upstream, audio = said(turn("S1", 0, 2)), decoded(tone(1500, 2))
    again = known(tmp_path / "p.json").run(audio, upstream)
    assert again.figures == backend.run(audio, upstream).figures
    assert again.figures["names"]["S1"]["name"] == "cy"


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ("nonsense", "Invalid JSON"),
        (json.dumps({"format": 1, "model": "m"}), "voices"),
        (json.dumps({"format": 1, "model": "m", "voices": {}}), "voices"),
        (
            json.dumps({"format": 1, "model": "m", "voices": {"a": [1.0], "b": [1.0, 2.0]}}),
            "voices",
        ),
    ],
)
def test_bad_profile_files_are_refused(tmp_path: Path, document: str, fault: str) -> None:
    (tmp_path / "p.json").write_text(document)
    with pytest.raises(ConfigurationError, match=f"p.json: .*{fault}"):
        read_profiles(tmp_path / "p.json", model="m")


def test_bad_voices_are_refused_by_name(tmp_path: Path) -> None:
    embed = SpectrumVoices().embed
    with pytest.raises(ConfigurationError, match="nobody is enrolled"):
        enrolled(tmp_path, embed, model="m")
    soundfile.write(tmp_path / "quiet.wav", np.zeros(5 * RATE), RATE)
    with pytest.raises(ConfigurationError, match=r"quiet\.wav"):
        enrolled(tmp_path, embed, model="m")
    (tmp_path / "quiet.wav").write_bytes(b"RIFF")
    with pytest.raises(ConfigurationError, match=r"quiet\.wav"):
        enrolled(tmp_path, embed, model="m")
    ok, reason = KnownVoices(tmp_path / "none", SpectrumVoices()).available()
    assert not ok and "no enrolled voices" in reason


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 40), st.integers(1, 20)), max_size=10)
)
@settings(max_examples=100)
def test_clean_stretches_have_one_speaker(turns: list[tuple[str, int, int]]) -> None:
    events = [
        Event(id=str(n), kind="turn", start=a, end=a + d, speaker=s)
        for n, (s, a, d) in enumerate(turns)
    ]
    active = {s: np.zeros(60, dtype=bool) for s in "abc"}
    for speaker, start, length in turns:
        active[speaker][start : start + length] = True
    alone = sum(active.values()) == 1
    for speaker, stretches in clean_stretches(events).items():
        found = np.zeros(60, dtype=bool)
        for start, end in stretches:
            assert not found[start:end].any()
            found[start:end] = True
        assert np.array_equal(found, active[speaker] & alone)


@given(st.floats(1, 60), st.floats(0, 0.3), st.floats(-0.2, 1))
def test_little_speech_needs_less_likeness(seconds: float, shortness: float, cosine: float) -> None:
    person = np.array([[cosine, np.sqrt(1 - cosine**2)]])
    rule = Enrolment(similarity=0.6, shortness=shortness)
    voices = np.array([[1.0, 0.0]])
    (found,) = recognise(person, ["ana"], voices, rule, np.array([seconds]))
    needed = 0.6 - shortness / seconds
    if abs(cosine - needed) > 1e-6:
        assert (found.name == "ana") == (cosine > needed)
    (plenty,) = recognise(person, ["ana"], voices, rule)
    assert found.name is not None or plenty.name is None  # time only ever asks for more


def test_the_model_says_how_much_less_short_speech_needs(folder: Path) -> None:
    class Short(SpectrumVoices):
        thresholds: ClassVar = {"enrolment": 0.8, "enrolment_shortness": 0.2, "margin": 0.1}

    voices = KnownVoices(folder, embedding=Short())
    voices.load()
    assert voices.rule == Enrolment(similarity=0.8, margin=0.1, shortness=0.2)
