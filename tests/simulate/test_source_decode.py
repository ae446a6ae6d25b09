"""Every way in which a source can be bad, and what decoding keeps of a good one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.simulate.corpus import Rejection, Utterance
from talkover.simulate.source_decode import (
    CachedUtterance,
    decode,
    from_request,
    to_request,
)

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000


def tone(seconds: float = 0.5, rate: int = RATE, amplitude: float = 0.3) -> np.ndarray:
    """A tone with 0.1 s of silence on both sides."""
    t = np.arange(round(seconds * rate)) / rate
    silence = np.zeros(rate // 10)
    return np.concatenate([silence, amplitude * np.sin(2 * np.pi * 440 * t), silence]).astype("f4")


def utterance(path: Path, **more: Any) -> Utterance:
    values = {
        "utterance_id": "u",
        "speaker": "ana",
        "path": path,
        "file": path.name,
        "corpus": "c",
        "recording_id": "r",
    }
    return Utterance(**{**values, **more})


def good(path: Path, **more: Any) -> tuple[CachedUtterance, np.ndarray]:
    found = decode(utterance(path, **more), RATE)
    assert not isinstance(found, Rejection), found
    return found


def bad(path: Path, **more: Any) -> Rejection:
    found = decode(utterance(path, **more), RATE)
    assert isinstance(found, Rejection), found
    assert (found.utterance_id, found.file, found.corpus) == ("u", path.name, "c")
    assert str(path.parent) not in found.line()  # the same on every machine
    return found


def wav(samples: Any, subtype: str = "FLOAT", rate: int = RATE) -> Callable[[Path], None]:
    return lambda path: sf.write(path, np.asarray(samples, np.float32), rate, subtype=subtype)


def torn(path: Path) -> None:
    wav(tone(), "PCM_16")(path)
    path.write_bytes(path.read_bytes()[:5000])


def with_nan() -> np.ndarray:
    samples = tone()
    samples[3000] = np.nan
    return samples


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: None, "missing"),
        (lambda path: path.write_bytes(b""), "empty file"),
        (lambda path: path.write_bytes(b"RIFF not audio at all"), "not decodable"),
        (torn, "truncated"),
        (lambda path: path.mkdir(), "not a file"),
        (wav(np.zeros(0)), "empty"),
        (wav(with_nan()), "not finite"),
        (wav(np.full(RATE, 0.4)), "constant (DC)"),
        (wav(np.zeros(RATE)), "silent"),
        (wav(1e-5 * tone()), "silent"),
        (wav(tone(0.5)[1600:2200]), "shorter than 0.05 s"),
    ],
)
def test_unusable_audio_is_rejected_with_its_reason(
    tmp_path: Path, write: Callable[[Path], None], reason: str
) -> None:
    path = tmp_path / "a.wav"
    write(path)
    rejected = bad(path)
    assert (rejected.field, rejected.reason) == ("file", reason)


def test_another_rate_than_the_corpus_claims_is_rejected(tmp_path: Path) -> None:
    wav(tone(rate=8000), rate=8000)(tmp_path / "a.wav")
    rejected = bad(tmp_path / "a.wav", sampling_rate=16000)
    assert (rejected.field, rejected.reason) == ("sample_rate", "wrong rate")
    assert rejected.value == "the corpus says 16000 Hz, the file has 8000 Hz"
    good(tmp_path / "a.wav", sampling_rate=8000)


@pytest.mark.parametrize(
    ("window", "field"),
    [
        ({"start_sample": 0, "num_samples": 11201}, "num_samples"),
        ({"start_sample": 11200}, "start"),
        ({"start": 0.1, "duration": 0.65}, "duration"),
        ({"start": 5.0}, "start"),
    ],
)
def test_a_window_beyond_the_file_is_rejected(
    tmp_path: Path, window: dict[str, Any], field: str
) -> None:
    wav(tone())(tmp_path / "a.wav")
    rejected = bad(tmp_path / "a.wav", **window)
    assert (rejected.field, rejected.reason) == (field, "beyond the file's end")


def test_samples_win_over_rounded_seconds(tmp_path: Path) -> None:
    samples = tone()
    wav(samples, "PCM_16")(tmp_path / "a.wav")
    row, pcm = good(
        tmp_path / "a.wav", start_sample=1000, num_samples=5000, start=0.062, duration=0.31
    )
    assert row.num_samples == len(pcm) == 5000
    assert np.array_equal(pcm, sf.read(tmp_path / "a.wav", dtype="int16")[0][1000:6000])
    row, _ = good(tmp_path / "a.wav", start=0.2, duration=0.505)  # rounded up by 5 ms
    assert row.num_samples == 8000


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_sixteen_bit_sources_keep_every_bit(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path = tmp_path_factory.mktemp("pcm") / "a.flac"
    rng = np.random.default_rng(seed)
    half = rng.integers(-(2**15) + 1, 2**15, 2000)
    samples = np.concatenate([[-(2**15), 2**15 - 1], half, -half]).astype(np.int16)  # no offset
    sf.write(path, samples, RATE, subtype="PCM_16")
    row, pcm = good(path)
    assert np.array_equal(pcm, samples)
    assert row.source_gain_db == 0.0


def test_a_source_beyond_full_scale_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    wav(tone(amplitude=1.9))(tmp_path / "a.wav")
    row, pcm = good(tmp_path / "a.wav")
    assert int(np.abs(pcm.astype(int)).max()) == 2**15 - 1
    assert np.count_nonzero(np.abs(pcm.astype(int)) == 2**15 - 1) < 100
    assert row.source_gain_db == pytest.approx(20 * np.log10(1 / 1.9), abs=0.01)


def test_an_offset_is_taken_out(tmp_path: Path) -> None:
    wav(tone() + 0.2)(tmp_path / "a.wav")
    row, pcm = good(tmp_path / "a.wav")
    assert abs(float(pcm.mean())) < 1
    assert np.abs(np.array(row.regions) - [[1600, 9600]]).max() <= 32


def test_channels_are_chosen_or_averaged(tmp_path: Path) -> None:
    left, right = tone(), 0.5 * tone()
    wav(np.stack([left, right], axis=1), "PCM_16")(tmp_path / "a.wav")
    levels = {c: good(tmp_path / "a.wav", channel=c)[0].level_dbfs for c in (0, 1, "mean")}
    assert levels[0] - levels[1] == pytest.approx(20 * np.log10(2), abs=0.01)
    assert levels[0] - levels["mean"] == pytest.approx(20 * np.log10(4 / 3), abs=0.01)
    assert bad(tmp_path / "a.wav", channel=2).reason == "no channel 2"


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000])
def test_times_survive_resampling(tmp_path: Path, rate: int) -> None:
    wav(tone(rate=rate), "PCM_16", rate)(tmp_path / "a.wav")
    row, _ = good(tmp_path / "a.wav", words=(("a", 0.1, 0.5),), word_source="reference")
    assert row.words is not None
    assert row.words[0][1:] == (1600, 8000)
    assert np.abs(np.array(row.regions) - [[1600, 9600]]).max() <= 32


def test_words_rule_the_regions_and_end_at_the_speech(tmp_path: Path) -> None:
    wav(tone(), "PCM_16")(tmp_path / "a.wav")
    words = (("a", 0.0, 0.3), ("b", 0.3, 0.4))
    row, _ = good(tmp_path / "a.wav", words=words, word_source="alignment", text="a b")
    assert row.words is not None
    (_, first, _), (_, start, length) = row.words
    assert abs(first - 1600) <= 0.02 * RATE + 32
    assert abs(start + length - 9600) <= 0.02 * RATE + 32
    assert row.regions == ((first, start + length),)
    assert row.word_source == "alignment"


def test_a_word_beyond_the_audio_is_a_fault_of_the_words(tmp_path: Path) -> None:
    wav(tone(), "PCM_16")(tmp_path / "a.wav")
    assert bad(tmp_path / "a.wav", words=(("a", 0.1, 0.9),)).field == "words"
    row, pcm = good(tmp_path / "a.wav", words=(("a", 0.1, 0.65),))
    assert row.words is not None
    assert row.words[0][1] + row.words[0][2] <= len(pcm)


samples_of = st.tuples(st.integers(0, 10**6), st.integers(1, 10**6))
optional = st.none() | st.text(max_size=8)


@settings(deadline=None)
@given(
    regions=st.lists(samples_of, min_size=1, max_size=3),
    words=st.none()
    | st.lists(st.tuples(st.text(min_size=1, max_size=4), *[st.integers(0, 9)] * 2)),
    text=optional,
    language=optional,
    level=st.floats(-100, 0),
)
def test_a_row_survives_its_line(
    regions: list[tuple[int, int]],
    words: list[tuple[str, int, int]] | None,
    text: str | None,
    language: str | None,
    level: float,
) -> None:
    row = CachedUtterance(
        utterance_id="u",
        speaker="s",
        corpus="c",
        recording_id="r",
        num_samples=5,
        regions=tuple(regions),
        sha256="0" * 64,
        level_dbfs=level,
        peak_dbfs=-1.0,
        noise_floor_dbfs=-60.0,
        text=text,
        words=None if words is None else tuple(words),
        language=language,
    )
    assert "\n" not in row.line()
    assert CachedUtterance.parse(row.line().encode()) == row


def test_a_request_survives_json() -> None:
    full = utterance(Path("/x/a.wav"), words=(("a", 0.1, 0.2),), start=1.5, channel=1, text="a")
    assert from_request(json.loads(json.dumps(to_request(full)))) == full
