"""People are found in stretches of sure speech, and stretches have a say in who speaks.

The models of these tests hear people as tones, as in `test_diarizer`.
"""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.backends.base import BranchResult
from talkover.annotate.backends.diarizer import TalkoverDiarizer
from talkover.annotate.clustering import ClusteringConfig
from talkover.annotate.diarization import stretches as stretches_module
from talkover.annotate.diarization.stretches import (
    StretchConfig,
    Stretches,
    hear_stretches,
    likeliest,
    likely_people,
    people_of,
)
from talkover.annotate.events import Curve
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording
from talkover.annotate.speaker_count import SpeakerCount

FRAME = 640
PEOPLE = 4
Turns = list[tuple[int, float, float]]


def tones(turns: Turns, seconds: float) -> np.ndarray:
    """A person is a tone: 500 Hz and 150 Hz more for each."""
    signal = np.zeros(round(seconds * RATE))
    t = np.arange(len(signal)) / RATE
    for person, start, end in turns:
        at = slice(round(start * RATE), round(end * RATE))
        signal[at] += 0.05 * np.sin(2 * np.pi * (500 + 150 * person) * t[at])
    return signal


class ToneVoices:
    """How loud each tone is, as a voice."""

    frame_samples, halo_s = FRAME, 0.04

    def features(self, samples: np.ndarray) -> np.ndarray:
        whole = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
        spectra = np.abs(np.fft.rfft(whole, axis=1)) * 2 / FRAME / 0.05
        return spectra[:, 20 : 20 + 6 * PEOPLE : 6].astype(np.float32)

    def pool(self, features: np.ndarray, masks: np.ndarray) -> np.ndarray:
        mean = masks @ features / np.maximum(masks.sum(axis=1, keepdims=True), 1e-9)
        return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)


class Deaf:
    """A segmentation model that hears nobody."""

    window_samples, frame_samples = 250 * FRAME, FRAME

    def window(self, samples: np.ndarray) -> np.ndarray:
        return np.zeros((len(samples), 250, 3), dtype=np.float32)


@pytest.fixture
def decoded(tmp_path: Path) -> Callable[[np.ndarray], DecodedAudio]:
    def make(signal: np.ndarray) -> DecodedAudio:
        soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="PCM_16")
        return decode(open_recording(tmp_path / "a.wav"), tmp_path / "a.pcm")

    return make


TURNS: Turns = [(0, 1.0, 5.0), (1, 5.0, 9.0), (0, 11.0, 15.0), (2, 15.0, 20.0), (1, 21.0, 25.0)]
SECONDS = 26.0


def speech_in(turns: Turns, seconds: float) -> np.ndarray:
    middles = (np.arange(round(seconds * RATE / FRAME)) + 0.5) * FRAME / RATE
    return np.any([(start <= middles) & (middles < end) for _, start, end in turns], axis=0)


def heard(audio: DecodedAudio, config: StretchConfig | None = None) -> Stretches:
    speech = speech_in(TURNS, SECONDS)
    return hear_stretches(audio, ToneVoices(), speech, config or StretchConfig())


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(1, 3), st.floats(0, 1), st.integers(0, 10_000))
def test_the_path_is_the_best_of_all_paths(count: int, people: int, cost: float, seed: int) -> None:
    similarity = np.random.default_rng(seed).uniform(-1, 1, (count, people))

    def worth(path: tuple[int, ...]) -> float:
        changes = sum(a != b for a, b in itertools.pairwise(path))
        return float(similarity[np.arange(count), list(path)].sum()) - cost * changes

    best = max(worth(path) for path in itertools.product(range(people), repeat=count))
    assert worth(tuple(likeliest(similarity, cost))) == pytest.approx(best)


def test_people_are_found_in_stretches(decoded: Callable[[np.ndarray], DecodedAudio]) -> None:
    found = heard(decoded(tones(TURNS, SECONDS)))
    config = StretchConfig()
    people = people_of(found, ClusteringConfig(similarity=0.5), config, 600.0)
    assert people is not None
    assert sorted(np.argmax(people, axis=1).tolist()) == [0, 1, 2]
    likely = likely_people(found, people, config)
    assert np.allclose(likely.probability.sum(axis=1), 1.0, atol=1e-5)
    person = np.argmax(people, axis=1)
    for tone, start, end in TURNS:
        middle = np.array([round((start + end) / 2 * RATE)])
        assert person[np.argmax(likely.at(middle)[0])] == tone


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_given_number_of_people_is_found(
    decoded: Callable[[np.ndarray], DecodedAudio], count: int
) -> None:
    clustering = ClusteringConfig(similarity=0.5, speakers=SpeakerCount(exact=count))
    people = people_of(heard(decoded(tones(TURNS, SECONDS))), clustering, StretchConfig(), 600.0)
    assert people is not None
    assert len(people) == count


@pytest.mark.parametrize("block_s", [3.0, 7.0, 600.0])
def test_blocks_change_nothing(
    decoded: Callable[[np.ndarray], DecodedAudio],
    monkeypatch: pytest.MonkeyPatch,
    block_s: float,
) -> None:
    audio = decoded(tones(TURNS, SECONDS))
    whole = heard(audio)
    monkeypatch.setattr(stretches_module, "BLOCK_S", block_s)
    parts = heard(audio)
    assert np.allclose(whole.deciding, parts.deciding, atol=2e-3)
    assert np.allclose(whole.founding, parts.founding, atol=2e-3)
    assert np.array_equal(whole.seconds, parts.seconds)


def test_without_speech_nobody_is_found(decoded: Callable[[np.ndarray], DecodedAudio]) -> None:
    audio = decoded(tones(TURNS, SECONDS))
    silent = np.zeros(len(speech_in(TURNS, SECONDS)), dtype=np.bool_)
    found = hear_stretches(audio, ToneVoices(), silent, StretchConfig())
    assert people_of(found, ClusteringConfig(), StretchConfig(), 600.0) is None


def test_sure_speech_is_somebodys_though_windows_hear_nobody(
    decoded: Callable[[np.ndarray], DecodedAudio],
) -> None:
    audio = decoded(tones(TURNS, SECONDS))
    values = speech_in(TURNS, SECONDS).astype(np.float32)
    vad = BranchResult(
        backend=TalkoverDiarizer(Deaf(), ToneVoices()).info(),
        curves={"speech": Curve(name="speech", hop=FRAME, values=values)},
    )
    backend = TalkoverDiarizer(Deaf(), ToneVoices(), similarity=0.5)
    backend.load()
    assert not backend.run(audio, {}).events
    turns = [e for e in backend.run(audio, {"vad": vad}).events if e.kind == "turn"]
    names: dict[int, str] = {}
    for turn, (tone, start, end) in zip(turns, TURNS, strict=True):
        assert names.setdefault(tone, str(turn.speaker)) == turn.speaker
        assert turn.start / RATE == pytest.approx(start, abs=0.25)
        assert turn.end / RATE == pytest.approx(end, abs=0.25)
    assert len(set(names.values())) == 3


@pytest.mark.parametrize(
    "wrong", [{"deciding_s": 0.0}, {"smallest_voice": 1.0}, {"change_cost": -1.0}]
)
def test_wrong_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"needs lengths|must be 0 or more"):
        StretchConfig(**wrong)  # type: ignore[arg-type]
