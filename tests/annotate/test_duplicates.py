"""The same sound twice is found, whatever was done to it, and different sounds are not."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate import duplicates
from talkover.annotate.duplicates import Fingerprint, fingerprint, near_duplicates
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording

Decoder = Callable[[np.ndarray], DecodedAudio]


@pytest.fixture
def decoded(tmp_path: Path) -> Decoder:
    def make(signal: np.ndarray) -> DecodedAudio:
        soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="PCM_16")
        return decode(open_recording(tmp_path / "a.wav"), tmp_path / "a.pcm")

    return make


def melody(seconds: float, seed: int) -> np.ndarray:
    """Struck notes of chance with three partials, in a little noise."""
    rng = np.random.default_rng(seed)
    signal = 0.001 * rng.standard_normal(round(seconds * RATE))
    at = 0
    while at < len(signal) - RATE // 2:
        length = int(rng.uniform(0.1, 0.5) * RATE)
        t = np.arange(length) / RATE
        hz = rng.uniform(200, 1100)
        for partial in (1, 2, 3):
            tone = np.sin(2 * np.pi * partial * hz * t) * np.exp(-t * partial / 0.15)
            signal[at : at + length] += 0.2 / partial * tone
        at += length
    return signal


def as_mp3(signal: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    soundfile.write(file, signal, RATE, format="MP3")
    file.seek(0)
    return soundfile.read(file)[0]


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "quieter": lambda x: 0.1 * x,
    "coded": as_mp3,
    "noisier": lambda x: x + 0.01 * np.random.default_rng(9).standard_normal(len(x)),
    "moved": lambda x: np.concatenate([np.zeros(12345), x]),
    "excerpt": lambda x: x[7 * RATE + 123 : 19 * RATE],
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_changed_copy_is_found(decoded: Decoder, change: str) -> None:
    whole = melody(30.0, 1)
    prints = {
        "a": fingerprint(decoded(whole)),
        "b": fingerprint(decoded(CHANGES[change](whole))),
        "c": fingerprint(decoded(melody(30.0, 2))),
    }
    (found,) = near_duplicates(prints)
    assert (found.first, found.second) == ("a", "b")
    assert found.similarity > 0.15
    shift = {"moved": -12345 / RATE, "excerpt": 7 + 123 / RATE}.get(change, 0.0)
    assert found.shift == pytest.approx(shift, abs=0.15)


def test_real_recordings_are_told_apart(decoded: Decoder, shared_data: Path) -> None:
    paths = sorted((shared_data / "recordings").glob("*.flac"))
    assert len(paths) > 20
    prints = {path.stem: fingerprint(decoded(soundfile.read(path)[0])) for path in paths}
    assert near_duplicates(prints) == []
    speech = soundfile.read(shared_data / "recordings" / "jfk.flac")[0]
    prints["copy"] = fingerprint(decoded(as_mp3(0.5 * speech)))
    (found,) = near_duplicates(prints)
    assert (found.first, found.second) == ("copy", "jfk")


def test_blocks_leave_no_trace(decoded: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    audio = decoded(melody(25.0, 3))
    whole = fingerprint(audio)
    assert len(whole.hashes) > 100
    monkeypatch.setattr(duplicates, "BLOCK_FRAMES", 100)
    parts = fingerprint(audio)
    assert np.array_equal(parts.hashes, whole.hashes)
    assert np.array_equal(parts.frames, whole.frames)


@pytest.mark.parametrize("signal", [np.zeros(1), np.zeros(5 * RATE), np.full(3000, 0.5)])
def test_silence_is_like_nothing(decoded: Decoder, signal: np.ndarray) -> None:
    one = fingerprint(decoded(signal))
    assert near_duplicates({"a": one, "b": one.text(), "c": fingerprint(decoded(signal))}) == []
    assert near_duplicates({}) == []


def test_the_order_of_recordings_changes_nothing(decoded: Decoder) -> None:
    prints = {
        name: fingerprint(decoded(melody(12.0, seed))).text()
        for name, seed in (("x", 1), ("y", 2), ("z", 1), ("w", 2))
    }
    found = near_duplicates(prints)
    assert [(d.first, d.second) for d in found] == [("w", "y"), ("x", "z")]
    assert near_duplicates(dict(reversed(prints.items()))) == found


@given(
    st.lists(st.tuples(st.integers(0, 2**21 - 1), st.integers(0, 2**20)), max_size=50),
)
@settings(max_examples=100)
def test_text_keeps_a_fingerprint(landmarks: list[tuple[int, int]]) -> None:
    landmarks.sort(key=lambda one: one[1])
    one = Fingerprint(
        np.array([h for h, _ in landmarks], dtype=np.uint32),
        np.array([f for _, f in landmarks], dtype=np.uint32),
    )
    again = Fingerprint.of_text(one.text())
    assert np.array_equal(again.hashes, one.hashes)
    assert np.array_equal(again.frames, one.frames)


@pytest.mark.parametrize("text", ["", "nonsense", "ä"])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a fingerprint"):
        Fingerprint.of_text(text)
