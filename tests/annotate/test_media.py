"""Recordings are decoded block by block, and no block shows."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate import media
from talkover.annotate.media import RATE, decode, open_recording, recording_id
from talkover.manifests.audio import read_audio, resampled_length, to_pcm16
from talkover.manifests.errors import AudioError


def written(folder: Path, rate: int, seconds: float, channels: int = 1, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    signal = 0.3 * rng.uniform(-1, 1, (round(seconds * rate), channels))
    path = folder / f"a-{rate}-{channels}.wav"
    soundfile.write(path, signal, rate, subtype="PCM_16")
    return path


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("block", [0.37, 1.0])
def test_blocks_leave_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: int, block: float
) -> None:
    monkeypatch.setattr(media, "BLOCK_SECONDS", block)
    path = written(tmp_path, rate, 3.21)
    decoded = decode(open_recording(path), tmp_path / "a.pcm")
    whole = to_pcm16(read_audio(path, sampling_rate=RATE))
    assert decoded.num_samples == len(whole) == resampled_length(round(3.21 * rate), rate, RATE)
    found = np.rint(decoded.read(0, decoded.num_samples) * 32768).astype(int)
    assert np.abs(found - whole).max() <= 1  # the last bit of a sum in another order


def test_channels_are_mixed_or_picked(tmp_path: Path) -> None:
    path = written(tmp_path, RATE, 1.0, channels=3)
    recording = open_recording(path)
    assert recording.channels == 3
    every = read_audio(path, channel=None)
    mean = decode(recording, tmp_path / "mean.pcm").read(0, RATE)
    second = decode(recording, tmp_path / "second.pcm", channel=1).read(0, RATE)
    assert np.allclose(mean, every.mean(axis=0), atol=1e-4)
    assert np.allclose(second, every[1], atol=1e-4)
    with pytest.raises(AudioError, match="no channel 3"):
        decode(recording, tmp_path / "none.pcm", channel=3)
    assert not (tmp_path / "none.pcm").exists()


@given(start=st.integers(-2000, 3000), length=st.integers(0, 3000))
@settings(max_examples=40)
def test_reading_outside_gives_silence(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int
) -> None:
    folder = tmp_path_factory.mktemp("outside")
    path = written(folder, RATE, 0.1)
    decoded = decode(open_recording(path), folder / "a.pcm")
    padded = np.concatenate([np.zeros(2000), decoded.read(0, 1600), np.zeros(6000)])
    assert np.array_equal(
        decoded.read(start, start + length), padded[start + 2000 : start + 2000 + length]
    )


def test_blocks_have_their_neighbours(tmp_path: Path) -> None:
    decoded = decode(open_recording(written(tmp_path, RATE, 1.0)), tmp_path / "a.pcm")
    whole = decoded.read(0, RATE)
    parts = list(decoded.blocks(5000, halo=100))
    assert [start for start, _ in parts] == [0, 5000, 10000, 15000]
    assert np.array_equal(np.concatenate([part[100:-100] for _, part in parts]), whole)
    assert np.array_equal(parts[1][1], whole[4900:10100])


def test_ids_are_safe_and_tell_files_apart(tmp_path: Path) -> None:
    one = recording_id(Path("../../etc/pass wd.wav"), "00" * 32)
    two = recording_id(Path("../../etc/pass wd.wav"), "01" * 32)
    assert one != two
    assert one.startswith("pass-wd-")
    assert recording_id(Path("会議.flac"), "00" * 32).startswith("recording-")


def test_damaged_files_are_refused_with_their_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"fLaC" + bytes(100))
    with pytest.raises(AudioError, match=r"broken\.flac"):
        open_recording(broken)
