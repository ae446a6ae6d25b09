"""Opus (RFC 6716) there and back, as in calls over the internet; by libsndfile's Ogg/Opus.

Channels are coded one by one, as separate calls would be. The encoded bytes wait in a scratch file
once they are many, so memory does not grow with the session.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, ClassVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from talkover.manifests.errors import RunError
from talkover.simulate.channel.effects import Samples, Setting, require_between
from talkover.simulate.channel.streams import fitted, rechunked, resampled, skipped

RATES = (8000, 12000, 16000, 24000, 48000)
"""Hz that Opus codes as they are (RFC 6716, section 2.1.3); others go through the highest."""
LOWEST_BIT_RATE, HIGHEST_BIT_RATE = 6000, 256000
"""Bits a second and channel; libsndfile's compression levels 1 and 0 (ogg_opus.c)."""
BLOCK = 4096
"""Samples of one write: libsndfile 1.2 crashes on writes of many minutes."""
IN_MEMORY = 4 * 2**20
"""Bytes of one channel's encoded stream that stay in memory."""

PROBE_SECONDS = 1.0
PROBE_HZ = (150.0, 3500.0)
PROBE_FADE_SECONDS = 0.05
LONGEST_DELAY = 0.02
"""Seconds; one frame."""


@dataclass(frozen=True, kw_only=True)
class Opus:
    """Each channel through an Opus encoder (variable bit rate) and decoder, delay taken out."""

    name: ClassVar[str] = "opus"
    bit_rate: int = 24000
    """Bits a second and channel, of which the encoder may spend more or less in a frame."""

    def __post_init__(self) -> None:
        """Check the bit rate."""
        require_between("bit_rate", self.bit_rate, LOWEST_BIT_RATE, HIGHEST_BIT_RATE)

    def check(self, sampling_rate: int) -> None:
        """Works at any rate, if the installed libsndfile knows Opus."""
        if "OPUS" not in soundfile.available_subtypes("OGG"):
            raise ValueError(f"libsndfile {soundfile.__libsndfile_version__} has no Opus")

    def apply(self, blocks: Iterable[Samples], setting: Setting) -> Iterator[Samples]:
        """Encode all, then decode block by block."""
        rate, count = setting.sampling_rate, setting.num_samples
        if rate in RATES:
            yield from self._coded(blocks, rate, count, setting)
            return
        step = rate / RATES[-1]
        inner = int(np.ceil(count / step)) + 1
        fast = resampled(blocks, step, num_samples=inner)
        coded = self._coded(fast, RATES[-1], inner, setting)
        yield from resampled(coded, 1 / step, num_samples=count)

    def _coded(
        self, blocks: Iterable[Samples], rate: int, count: int, setting: Setting
    ) -> Iterator[Samples]:
        level = _compression_level(self.bit_rate)
        with ExitStack() as stack:
            streams, size = _encode(blocks, rate, level, stack)
            setting.measured["bit_rate"] = round(8 * size * rate / count / len(streams))
            decoded = _decode(streams, stack)
            delay = coding_delay(rate, level)
            if delay < 0:
                decoded = _late(decoded, -delay)
            yield from fitted(skipped(decoded, max(delay, 0)), count)


def _compression_level(bit_rate: float) -> float:
    return (HIGHEST_BIT_RATE - bit_rate) / (HIGHEST_BIT_RATE - LOWEST_BIT_RATE)


def _encode(
    blocks: Iterable[Samples], rate: int, level: float, stack: ExitStack
) -> tuple[list[IO[bytes]], int]:
    """One encoded stream a channel, and their bytes in all."""
    streams: list[IO[bytes]] = []
    with ExitStack() as writing:
        encoders: list[soundfile.SoundFile] = []
        for block in rechunked(blocks, BLOCK):
            if not encoders:
                for _ in block:
                    stream = stack.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY))
                    streams.append(stream)
                    encoders.append(writing.enter_context(_encoder(stream, rate, level)))
            for encoder, row in zip(encoders, block, strict=True):
                encoder.write(np.ascontiguousarray(row))
    if not streams:
        raise RunError("opus: there is no sample to encode")
    return streams, sum(stream.tell() for stream in streams)


def _encoder(stream: IO[bytes], rate: int, level: float) -> soundfile.SoundFile:
    return soundfile.SoundFile(stream, "w", rate, 1, "OPUS", format="OGG", compression_level=level)


def _decode(streams: list[IO[bytes]], stack: ExitStack) -> Iterator[Samples]:
    for stream in streams:
        stream.seek(0)
    decoders = [stack.enter_context(soundfile.SoundFile(stream)) for stream in streams]
    while True:
        rows = [decoder.read(BLOCK, dtype="float32") for decoder in decoders]
        if not len(rows[0]):
            return
        yield np.stack(rows)


def _late(blocks: Iterable[Samples], count: int) -> Iterator[Samples]:
    for number, block in enumerate(blocks):
        if not number:
            yield np.zeros((block.shape[0], count), dtype=np.float32)
        yield block


@lru_cache(maxsize=64)
def coding_delay(rate: int, level: float) -> int:
    """Samples by which a coded signal comes late although the container took its delay out.

    Opus changes the rate inside, and how long that takes depends on the bit rate (0 at 8 and 16
    kHz, up to 2 samples at 48 kHz). Measured on noise in the band of speech, by cross-correlation.
    """
    probe = _probe(rate)
    with ExitStack() as stack:
        streams, _ = _encode([probe[None, :]], rate, level, stack)
        coded = np.concatenate(list(_decode(streams, stack)), axis=1)[0]
    most = round(LONGEST_DELAY * rate)
    size = 1 << int(np.ceil(np.log2(len(probe) + len(coded))))
    cross = np.fft.irfft(np.fft.rfft(coded, size) * np.conj(np.fft.rfft(probe, size)), size)
    around = np.concatenate([cross[-most:], cross[: most + 1]])
    return int(np.argmax(around)) - most


def _probe(rate: int) -> NDArray[np.float32]:
    """Noise in the band of speech that rises and falls at both ends."""
    count = round(PROBE_SECONDS * rate)
    hz = np.fft.rfftfreq(count, 1 / rate)
    low, high = PROBE_HZ[0], min(PROBE_HZ[1], 0.45 * rate)
    spectrum = np.fft.rfft(np.random.default_rng(0).standard_normal(count))
    spectrum[(hz < low) | (hz > high)] = 0
    noise = np.fft.irfft(spectrum, count)
    fade = np.minimum(1, np.arange(1, count + 1) / (PROBE_FADE_SECONDS * rate))
    return np.asarray(0.1 * noise / noise.std() * fade * fade[::-1], dtype=np.float32)
