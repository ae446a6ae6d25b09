from __future__ import annotations

import hashlib
import io
import os
import resource
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from talkover.manifests import riff
from talkover.manifests.audio import (
    AudioInfo,
    count_clipped,
    file_sha256,
    pcm_sha256,
    probe,
    read_audio,
    resample,
    resampled_length,
    to_pcm16,
    to_pcm24,
    unusable,
    write_audio,
)
from talkover.manifests.errors import AudioError, RunError

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000  # Hz
LOSSLESS = [("flac", "PCM_16"), ("flac", "PCM_24"), ("wav", "PCM_16"), ("wav", "PCM_24")]


def noise(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def tone(hertz: float, seconds: float, rate: int) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(
        np.float32
    )


# Rounding


def test_rounding_is_half_to_even_and_held_to_full_scale() -> None:
    steps = np.array([-1.5, -0.5, 0.5, 1.5, 2.5, 32767.4, 32768.0, -32768.4, -40000.0, 1e30])
    golden = [-2, 0, 0, 2, 2, 32767, 32767, -32768, -32768, 32767]
    assert to_pcm16(steps / 2**15).tolist() == golden
    assert to_pcm16((steps / 2**15).astype(np.float32)).tolist() == golden
    assert count_clipped(steps / 2**15) == 3  # -32768.4 rounds to what fits
    assert to_pcm24(np.array([0.5, 1.5, 2.0**24]) / 2**23).tolist() == [0, 512, (2**23 - 1) * 256]
    assert count_clipped(np.array([1.0, -1.0, 0.9999999]), 24) == 1


@settings(deadline=None)
@given(hnp.arrays(np.int16, st.integers(1, 50)))
def test_integers_survive_the_way_through_float(samples: NDArray[np.int16]) -> None:
    signal = samples.astype(np.float32) / np.float32(2**15)
    assert np.array_equal(to_pcm16(signal), samples)
    assert count_clipped(signal) == 0


@settings(deadline=None)
@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-0.75, 0.75, width=32)))
def test_rounding_moves_a_sample_by_half_a_step_at_most(signal: NDArray[np.float32]) -> None:
    assert np.abs(to_pcm16(signal) / 2**15 - signal.astype(np.float64)).max() <= 0.5 / 2**15
    assert np.abs(to_pcm24(signal) / 2**31 - signal.astype(np.float64)).max() <= 0.5 / 2**23


def test_what_is_not_finite_cannot_be_rounded() -> None:
    with pytest.raises(ValueError, match="not finite"):
        to_pcm16(np.array([0.0, np.nan]))


# Writing and reading back


@pytest.mark.parametrize(("format", "subtype"), [*LOSSLESS, ("wav", "FLOAT")])
@pytest.mark.parametrize("shape", [(5000,), (1, 5000), (3, 5000)])
def test_what_is_written_is_read_back(
    tmp_path: Path, format: Any, subtype: Any, shape: tuple[int, ...]
) -> None:
    signal = noise(*shape)
    path = tmp_path / f"a.{format}"
    written = write_audio(path, [signal], RATE, format=format, subtype=subtype)
    assert probe(path) == AudioInfo(
        sampling_rate=RATE,
        num_samples=5000,
        channels=1 if len(shape) == 1 else shape[0],
        format=format,
        subtype=subtype,
    )
    step = {"PCM_16": 0.5 / 2**15, "PCM_24": 0.5 / 2**23, "FLOAT": 0.0}[subtype]
    assert np.abs(read_audio(path, channel=None) - np.atleast_2d(signal)).max() <= step
    assert written == (5000, pcm_sha256(path), 0)


@pytest.mark.parametrize(("format", "subtype"), LOSSLESS)
def test_int16_blocks_are_stored_as_they_are(tmp_path: Path, format: Any, subtype: Any) -> None:
    samples = to_pcm16(noise(2, 3000))
    path = tmp_path / "a"
    write_audio(path, [samples], RATE, format=format, subtype=subtype)
    assert np.array_equal(to_pcm16(read_audio(path, channel=None)), samples)


@pytest.mark.parametrize(("format", "subtype"), [*LOSSLESS, ("wav", "FLOAT")])
def test_bytes_do_not_depend_on_how_a_signal_is_cut_into_blocks(
    tmp_path: Path, format: Any, subtype: Any
) -> None:
    signal = noise(2, 9000)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first = write_audio(whole, [signal], RATE, format=format, subtype=subtype)
    blocks = np.split(signal, [1, 1, 4097, 5000], axis=1)  # one of them empty
    assert write_audio(parts, iter(blocks), RATE, format=format, subtype=subtype) == first
    assert whole.read_bytes() == parts.read_bytes()


def test_a_float_file_holds_no_time(tmp_path: Path) -> None:
    raw = io.BytesIO()
    soundfile.write(raw, noise(100), RATE, format="WAV", subtype="FLOAT")
    offset = riff.chunks(raw)[b"PEAK"].offset + 4
    assert struct.unpack("<I", raw.getvalue()[offset : offset + 4])[0] > 0  # libsndfile's clock
    path = tmp_path / "a.wav"
    write_audio(path, [noise(100)], RATE, format="wav", subtype="FLOAT")
    ours = path.read_bytes()
    assert ours[offset : offset + 4] == bytes(4)
    assert ours[:offset] + ours[offset + 4 :] == (
        raw.getvalue()[:offset] + raw.getvalue()[offset + 4 :]
    )


def test_pcm_hashes_are_of_interleaved_little_endian_samples(tmp_path: Path) -> None:
    signal = noise(2, 1000)
    expected = hashlib.sha256(to_pcm16(signal).T.astype("<i2").tobytes()).hexdigest()
    for format in ("flac", "wav"):
        write_audio(tmp_path / format, [signal], RATE, format=format)  # type: ignore[arg-type]
        assert pcm_sha256(tmp_path / format) == expected
    assert file_sha256(tmp_path / "flac") != file_sha256(tmp_path / "wav")
    wide = write_audio(tmp_path / "24", [signal], RATE, subtype="PCM_24")
    assert wide.pcm_sha256 == hashlib.sha256(to_pcm24(signal).T.astype("<i4").tobytes()).hexdigest()


def test_clipped_samples_are_counted(tmp_path: Path) -> None:
    blocks = [np.array([0.0, 1.5, -1.5]), np.array([-1.0, 2.0, 0.5])]
    assert write_audio(tmp_path / "a.flac", blocks, RATE).num_clipped == 3


def test_what_no_container_can_hold_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(AudioError, match="at most 8 channels, got 9: write wav"):
        write_audio(path, [noise(9, 100)], RATE)
    with pytest.raises(AudioError, match="empty: there is no sample"):
        write_audio(path, [noise(0)], RATE)
    with pytest.raises(AudioError, match="not finite: NaN or infinite at sample 102"):
        write_audio(path, [noise(100), np.array([0, 0, np.inf])], RATE)
    with pytest.raises(ValueError, match="choose wav for FLOAT"):
        write_audio(path, [noise(100)], RATE, subtype="FLOAT")
    with pytest.raises(ValueError, match="1 channels follow 2"):
        write_audio(path, [noise(2, 100), noise(100)], RATE)
    with pytest.raises(ValueError, match="float or int16, got int64"):
        write_audio(path, [np.arange(100)], RATE)  # type: ignore[list-item]
    assert os.listdir(tmp_path) == []


def test_wav_stops_before_its_sizes_overflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(riff, "MOST_BYTES", 1000)
    write_audio(tmp_path / "fits.wav", [noise(500)], RATE, format="wav")
    with pytest.raises(AudioError, match="at most 500 such samples: use flac"):
        write_audio(tmp_path / "a.wav", [noise(501)], RATE, format="wav")
    assert os.listdir(tmp_path) == ["fits.wav"]


@pytest.mark.parametrize("format", ["flac", "wav"])
def test_a_failing_disk_is_reported_as_the_system_names_it(tmp_path: Path, format: Any) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_audio(tmp_path / "a", [noise(16000)] * 5, RATE, format=format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_a_run_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, data: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(soundfile.SoundFile, "write", full)
    with pytest.raises(RunError, match=r"no space left on device while writing .*a\.flac"):
        write_audio(tmp_path / "a.flac", [noise(100)], RATE)
    assert os.listdir(tmp_path) == []


# Reading


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        ("wav", "PCM_16", 0.0),
        ("flac", "PCM_16", 0.0),
        ("ogg", "VORBIS", 0.0),
        ("mp3", "MPEG_LAYER_III", 1e-6),  # the decoder's state differs in its last bits
    ],
)
def test_a_window_is_that_part_of_the_whole(
    tmp_path: Path, suffix: str, subtype: str, tolerance: float
) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, noise(2, 30000).T, RATE, subtype=subtype)
    whole = read_audio(path, channel=None)
    assert whole.shape == (2, 30000) and whole.dtype == np.float32
    for start, length in ((0, 10), (1, 5000), (12345, 17655), (29999, 1)):
        window = read_audio(path, start_sample=start, num_samples=length, channel=None)
        assert np.abs(window - whole[:, start : start + length]).max() <= tolerance
    rest = read_audio(path, start_sample=29000, channel=None)
    assert rest.shape == (2, 1000)


def test_one_channel_or_their_mean_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    signal = np.stack([np.full(100, 0.5), np.full(100, -0.25)]).astype(np.float32)
    write_audio(path, [signal], RATE, format="wav")
    assert set(read_audio(path).tolist()) == {0.125}
    assert set(read_audio(path, channel=1).tolist()) == {-0.25}
    with pytest.raises(AudioError, match="no channel 2: has 2"):
        read_audio(path, channel=2)


def _wav(samples: bytes, declared: int | None = None, rate: int = RATE) -> bytes:
    size = len(samples) if declared is None else declared
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    body = b"WAVE" + b"fmt " + struct.pack("<I", 16) + form
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(samples))
        + body
        + (b"data" + struct.pack("<I", size) + samples)
    )


def test_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    flac = io.BytesIO()
    soundfile.write(flac, noise(20000), RATE, format="FLAC")
    endless = bytearray(flac.getvalue())
    endless[21] &= 0xF0  # the 36 bits of STREAMINFO that count samples (RFC 9639, section 8.2)
    endless[22:26] = bytes(4)
    files = {
        "empty": (b"", "empty file"),
        "junk": (b"not audio at all" * 9, "not decodable: .*Format not recognised"),
        "header": (_wav(b"")[:20], "not decodable"),
        "no samples": (_wav(b""), "empty: holds no sample"),
        "truncated": (_wav(bytes(600), 1000), "truncated: 400 bytes"),
        "cut flac": (flac.getvalue()[:8000], "not decodable|short"),
        "endless": (bytes(endless), "unknown length"),
        "no rate": (_wav(bytes(600), rate=0), "not decodable"),
    }
    for name, (content, reason) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AudioError, match=reason) as caught:
            read_audio(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(caught.value)
    with pytest.raises(AudioError, match=r"missing$"):
        probe(tmp_path / "nowhere")
    with pytest.raises(AudioError, match="not a file"):
        probe(tmp_path)


def test_a_wav_written_to_a_pipe_is_no_truncated_one(tmp_path: Path) -> None:
    (tmp_path / "piped.wav").write_bytes(_wav(bytes(600), 0xFFFFFFFF))
    assert probe(tmp_path / "piped.wav").num_samples == 300


def test_lossy_files_that_end_early_are_found(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    soundfile.write(path, noise(40000), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=r"asked for 40000 samples, got|has"):
        read_audio(path)


def test_values_that_are_no_numbers_are_found_with_their_place(tmp_path: Path) -> None:
    signal = noise(1000)
    signal[321] = np.nan
    soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match="not finite: NaN or infinite at sample 321"):
        read_audio(tmp_path / "a.wav")
    with pytest.raises(AudioError, match="at sample 321"):
        read_audio(tmp_path / "a.wav", start_sample=300)
    assert len(read_audio(tmp_path / "a.wav", num_samples=321)) == 321


def test_a_window_beyond_the_end_names_what_was_asked_and_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, [noise(100)], RATE, format="wav")
    for start, length in ((50, 51), (100, 1), (100, None)):
        with pytest.raises(AudioError, match=rf"asked for samples {start} to \d+, has 100"):
            read_audio(path, start_sample=start, num_samples=length)
    for start, length in ((-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="window must start"):
            read_audio(path, start_sample=start, num_samples=length)


# Rates

rates = st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000])


@settings(deadline=None, max_examples=30)
@given(num_samples=st.integers(1, 3000), old=rates, new=rates)
def test_the_length_at_another_rate_is_known_beforehand(
    num_samples: int, old: int, new: int
) -> None:
    signal = noise(num_samples)
    found = resample(signal, old, new)
    assert len(found) == resampled_length(num_samples, old, new)
    assert found.dtype == np.float32
    assert resampled_length(num_samples, old, new) >= num_samples * new / old


@pytest.mark.parametrize("old", [8000, 22050, 44100, 48000])
def test_a_tone_keeps_its_place_and_level_at_another_rate(old: int) -> None:
    found, expected = resample(tone(440, 1, old), old, RATE), tone(440, 1, RATE)
    inner = slice(RATE // 10, -RATE // 10)
    assert np.abs(found[inner] - expected[inner]).max() < 0.002  # of an amplitude of 0.5


def test_channels_are_resampled_like_single_signals(tmp_path: Path) -> None:
    signal = noise(2, 4410)
    both = resample(signal, 44100, RATE)
    assert np.array_equal(both[1], resample(signal[1], 44100, RATE))
    write_audio(tmp_path / "a.wav", [signal], 44100, format="wav", subtype="FLOAT")
    assert np.array_equal(read_audio(tmp_path / "a.wav", sampling_rate=RATE, channel=None), both)
    with pytest.raises(ValueError, match="above 0 Hz"):
        resample(signal, 0, RATE)


# Judging


def test_speech_is_usable_whatever_its_offset() -> None:
    assert unusable(tone(200, 0.5, RATE), RATE) is None
    assert unusable(0.02 * tone(200, 0.5, RATE) + 0.5, RATE) is None
    assert unusable(np.stack([np.zeros(8000, np.float32), tone(200, 0.5, RATE)]), RATE) is None


def test_every_kind_of_useless_signal_has_its_name() -> None:
    zeros = np.zeros(RATE, np.float32)
    assert unusable(zeros[:0], RATE) == "empty"
    assert unusable(zeros[:799], RATE) == "shorter than 0.05 s"
    assert unusable(zeros, RATE) == "silent (peak -inf dBFS)"
    assert unusable(0.0002 * tone(200, 1, RATE), RATE) == "silent (peak -80 dBFS)"
    assert unusable(zeros + np.float32(0.25), RATE) == "constant (DC)"
    assert unusable(zeros + np.float32(np.nan), RATE) == "not finite"


def test_real_speech_is_usable(shared_data: Path) -> None:
    files = sorted((shared_data / "speech").rglob("*.flac"))[::20]
    assert files
    for path in files:
        assert unusable(read_audio(path, num_samples=8000), probe(path).sampling_rate) is None
