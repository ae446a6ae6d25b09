"""Reading and judging audio: the only place that decodes a file; writing is offered here, too.

Decoding is libsndfile's (wav, flac, ogg, mp3), resampling SciPy's polyphase filter, and both give
the same samples every time. What is written is the same bytes every time.

Shapes: ``C`` channel, ``T`` time in samples. A signal is ``[T]`` or ``[C, T]``, float32, full scale
at 1.0.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from talkover.manifests import riff
from talkover.manifests.audio_writing import WrittenAudio, write_audio
from talkover.manifests.errors import AudioError
from talkover.manifests.markers import file_sha256
from talkover.manifests.pcm import (
    count_clipped,
    little_endian,
    require_finite,
    to_pcm16,
    to_pcm24,
)

__all__ = [
    "AudioInfo",
    "WrittenAudio",
    "count_clipped",
    "file_sha256",
    "pcm_sha256",
    "probe",
    "read_audio",
    "resample",
    "resampled_length",
    "to_pcm16",
    "to_pcm24",
    "unusable",
    "write_audio",
]

Signal = NDArray[np.float32]
KnownFormat = Literal["flac", "wav", "ogg", "mp3", "other"]

SHORTEST = 0.05
"""Seconds, two analysis windows of 25 ms: anything shorter holds no word."""
SILENT_PEAK = 16 / 2**15
"""Of full scale, about -66 dBFS: speech below it keeps fewer than 5 of its 16 bits."""

_BLOCK = 1 << 16  # samples per channel that are decoded at a time
_LONGEST = 2**48  # samples; libsndfile reports 2**63 - 1 for a FLAC that does not know its length
_FORMATS: dict[str, KnownFormat] = {
    "FLAC": "flac",
    "WAV": "wav",
    "WAVEX": "wav",
    "OGG": "ogg",
    "MP3": "mp3",
    "MPEG": "mp3",
}
_PCM_TYPES = {
    "PCM_S8": "int16",
    "PCM_U8": "int16",
    "PCM_16": "int16",
    "PCM_24": "int32",  # libsndfile puts 24 bits into the upper three bytes
    "PCM_32": "int32",
    "DOUBLE": "float64",
}


@dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What the header of an audio file says."""

    sampling_rate: int
    num_samples: int
    """Per channel."""
    channels: int
    format: KnownFormat
    subtype: str
    """libsndfile's name, such as ``PCM_16`` or ``VORBIS``."""

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_samples / self.sampling_rate


def probe(path: Path | str) -> AudioInfo:
    """What an audio file holds, from its header.

    Raises:
        AudioError: If the file is missing, empty, truncated as far as its header tells, of unknown
            length, or cannot be decoded.
    """
    with _opened(path) as file:
        return _info(file)


def read_audio(
    path: Path | str,
    *,
    start_sample: int = 0,
    num_samples: int | None = None,
    sampling_rate: int | None = None,
    channel: int | Literal["mean"] | None = "mean",
) -> Signal:
    """Samples of a file or of a window of it.

    Args:
        path: A wav, flac, ogg or mp3 file.
        start_sample: First sample of the window, at the rate of the file.
        num_samples: Length of the window, at the rate of the file; None for all that follows.
        sampling_rate: What to resample the window to, in Hz; None for the rate of the file. What is
            outside the window counts as silence.
        channel: One channel, counted from 0; their mean; or None for all of them.

    Returns:
        ``[T]``, or ``[C, T]`` if `channel` is None.

    Raises:
        AudioError: If the file cannot be decoded, holds less than was asked, has no such channel or
            holds values that are not finite.
        ValueError: If the window is negative or empty.
    """
    if start_sample < 0 or (num_samples is not None and num_samples <= 0):
        raise ValueError(
            f"window must start at 0 or later and hold a sample, got start_sample={start_sample} "
            f"and num_samples={num_samples}"
        )
    with _opened(path) as file:
        info = _info(file)
        end = info.num_samples if num_samples is None else start_sample + num_samples
        if start_sample >= end or end > info.num_samples:
            raise AudioError(
                path,
                f"short: asked for samples {start_sample} to {end}, has {info.num_samples}",
            )
        if isinstance(channel, int) and not 0 <= channel < info.channels:
            raise AudioError(path, f"no channel {channel}: has {info.channels}, counted from 0")
        shape = (info.channels, end - start_sample) if channel is None else (end - start_sample,)
        signal = np.empty(shape, dtype=np.float32)
        position = 0
        for block in _blocks(file, path, start_sample, end, "float32"):  # [T, C]
            signal[..., position : position + len(block)] = _pick(block, channel)
            position += len(block)
    require_finite(path, signal, start_sample)
    return signal if sampling_rate is None else resample(signal, info.sampling_rate, sampling_rate)


def resample(signal: Signal, from_rate: int, to_rate: int) -> Signal:
    """A signal at another rate, by `scipy.signal.resample_poly` with its default Kaiser window.

    The filter has linear phase and its delay is taken out: sample n stays at n / rate seconds.

    Args:
        signal: ``[..., T]``.
        from_rate: Rate of the signal, in Hz.
        to_rate: Rate of the result, in Hz.

    Returns:
        ``[..., resampled_length(T, from_rate, to_rate)]``, float32.
    """
    up, down = _ratio(from_rate, to_rate)
    if up == down:
        return signal
    return np.asarray(resample_poly(signal, up, down, axis=-1), dtype=np.float32)


def resampled_length(num_samples: int, from_rate: int, to_rate: int) -> int:
    """Number of samples that `resample` gives: rounded up, so that no sound is lost.

    >>> resampled_length(44101, 44100, 16000)
    16001
    """
    up, down = _ratio(from_rate, to_rate)
    return -(-num_samples * up // down)


def unusable(signal: NDArray[np.floating[Any]], sampling_rate: int) -> str | None:
    """Why a signal cannot serve as speech, or None if it can.

    An offset (DC) is no reason while there is sound on top of it.

    Args:
        signal: ``[..., T]``, full scale at 1.0.
        sampling_rate: In Hz.

    Returns:
        One of ``empty``, ``not finite``, ``shorter than 0.05 s``, ``constant (DC)`` and
        ``silent (peak … dBFS)``.

    >>> unusable(np.full(16000, 0.5, dtype=np.float32), 16000)
    'constant (DC)'
    """
    if signal.size == 0:
        return "empty"
    if not np.isfinite(signal).all():
        return "not finite"
    if signal.shape[-1] < SHORTEST * sampling_rate:
        return f"shorter than {SHORTEST} s"
    offset = signal.mean(axis=-1, dtype=np.float64, keepdims=True)
    peak = float(np.abs(signal - offset).max())
    if peak >= SILENT_PEAK:
        return None
    if float(np.abs(offset).max()) >= SILENT_PEAK:
        return "constant (DC)"
    return f"silent (peak {20 * math.log10(peak):.0f} dBFS)" if peak else "silent (peak -inf dBFS)"


def pcm_sha256(path: Path | str) -> str:
    """SHA-256 of the decoded samples, whatever container holds them.

    The samples are interleaved and little-endian: int16 for up to 16 bits, int32 (24 bits in the
    upper three bytes) up to 32, float32 for float and for lossy files, float64 for double.

    Raises:
        AudioError: As `probe`, and if the samples end early.
    """
    digest = hashlib.sha256()
    with _opened(path) as file:
        end = _info(file).num_samples
        for block in _blocks(file, path, 0, end, _PCM_TYPES.get(file.subtype, "float32")):
            digest.update(little_endian(block))
    return digest.hexdigest()


@contextmanager
def _opened(path: Path | str) -> Iterator[soundfile.SoundFile]:
    """An open file, and every error on the way as an AudioError that says why."""
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise AudioError(path, "not a file")
        with path.open("rb") as plain:
            if not plain.read(1):
                raise AudioError(path, "empty file")
        if absent := riff.missing_bytes(path):
            raise AudioError(path, f"truncated: {absent} bytes of samples are missing at its end")
        with soundfile.SoundFile(path) as file:
            yield file
    except FileNotFoundError as error:
        raise AudioError(path, "missing") from error
    except OSError as error:
        raise AudioError(path, f"not readable: {error.strerror}") from error
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        raise AudioError(path, f"not decodable: {reason}") from error


def _info(file: soundfile.SoundFile) -> AudioInfo:
    if file.frames > _LONGEST:
        raise AudioError(file.name, "of unknown length: write it to a file once more, not a pipe")
    if file.frames == 0:
        raise AudioError(file.name, "empty: holds no sample")
    return AudioInfo(
        sampling_rate=file.samplerate,
        num_samples=file.frames,
        channels=file.channels,
        format=_FORMATS.get(file.format, "other"),
        subtype=file.subtype,
    )


def _blocks(
    file: soundfile.SoundFile, path: Path | str, start: int, end: int, dtype: str
) -> Iterator[NDArray[Any]]:
    """Blocks ``[T, C]`` of a window; what is read is counted against what was asked."""
    position = start
    file.seek(start)
    while position < end:
        block = file.read(min(_BLOCK, end - position), dtype=dtype, always_2d=True)
        if len(block) == 0:
            raise AudioError(
                path, f"short: asked for {end - start} samples, got {position - start}"
            )
        position += len(block)
        yield block


def _pick(block: Signal, channel: int | Literal["mean"] | None) -> Signal:
    """Channels of a block ``[T, C]`` as ``[T]`` or ``[C, T]``."""
    if channel is None:
        return block.T
    if channel == "mean":
        return np.asarray(block.mean(axis=1, dtype=np.float64), dtype=np.float32)
    return np.asarray(block[:, channel])


def _ratio(from_rate: int, to_rate: int) -> tuple[int, int]:
    if from_rate <= 0 or to_rate <= 0:
        raise ValueError(f"sampling rates must be above 0 Hz, got {from_rate} and {to_rate}")
    common = math.gcd(from_rate, to_rate)
    return to_rate // common, from_rate // common
