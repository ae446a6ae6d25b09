from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from talkover.manifests.audio_writing import write_audio
from talkover.manifests.errors import AudioError
from talkover.manifests.markers import file_sha256
from talkover.manifests.wav_writing import write_wav16


def signal(channels: int, length: int = 1000) -> np.ndarray:
    rng = np.random.default_rng(channels)
    return rng.integers(-(2**15), 2**15, (channels, length)).astype(np.int16)


@pytest.mark.parametrize("channels", [1, 2, 8, 16])
def test_the_file_is_the_one_that_libsndfile_writes(tmp_path: Path, channels: int) -> None:
    samples = signal(channels)
    blocks = [samples[:, :300], samples[:, 300:]]
    ours = write_wav16(tmp_path / "a.wav", blocks, 16000, channels, 1000)
    other = write_audio(tmp_path / "b.wav", [samples], 16000, format="wav")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert ours.sha256 == file_sha256(tmp_path / "a.wav")
    assert ours.pcm_sha256 == other.pcm_sha256 == hashlib.sha256(samples.T.tobytes()).hexdigest()


def test_a_wrong_length_or_channel_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    for length in (999, 1001):
        with pytest.raises(ValueError, match=f"not {length} samples"):
            write_wav16(path, [signal(2)], 16000, 2, length)
    with pytest.raises(ValueError, match="2 channels, not 3"):
        write_wav16(path, [signal(2)], 16000, 3, 1000)
    with pytest.raises(AudioError, match="use flac"):
        write_wav16(path, [], 16000, 2, 2**31)
    assert list(tmp_path.iterdir()) == []
