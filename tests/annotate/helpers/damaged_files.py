"""Files that are not what their names say: one recipe a kind of damage, any number of files."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def encoded(
    signal: np.ndarray, rate: int = RATE, format: str = "WAV", subtype: str | None = None
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, signal, rate, format=format, subtype=subtype)
    return buffer.getvalue()


def noise(rng: np.random.Generator, low: float = 0.05, high: float = 0.8) -> np.ndarray:
    return 0.2 * rng.standard_normal(round(RATE * rng.uniform(low, high)))


def any_audio(rng: np.random.Generator) -> tuple[bytes, str]:
    form, suffix = (("WAV", ".wav"), ("FLAC", ".flac"), ("OGG", ".ogg"), ("MP3", ".mp3"))[
        rng.integers(4)
    ]
    return encoded(np.clip(noise(rng), -1, 1), format=form), suffix


def empty(rng: np.random.Generator) -> tuple[bytes, str]:
    return b"", str(rng.choice([".wav", ".flac", ".mp3", ".ogg", ".m4a"]))


def zeros(rng: np.random.Generator) -> tuple[bytes, str]:
    return bytes(int(rng.integers(1, 5000))), str(rng.choice([".wav", ".flac", ".mp3", ".ogg"]))


def random_bytes(rng: np.random.Generator) -> tuple[bytes, str]:
    return rng.bytes(int(rng.integers(1, 9000))), str(rng.choice([".wav", ".flac", ".mp3", ".aif"]))


def text(rng: np.random.Generator) -> tuple[bytes, str]:
    return b"This is not the file that you are looking for.\n" * int(rng.integers(1, 50)), ".wav"


def truncated_wav(rng: np.random.Generator) -> tuple[bytes, str]:
    data = encoded(noise(rng))
    return data[: int(rng.integers(1, len(data) - 1))], ".wav"


def truncated_flac(rng: np.random.Generator) -> tuple[bytes, str]:
    data = encoded(np.clip(noise(rng, 0.3), -1, 1), format="FLAC")
    return data[: int(rng.integers(1, len(data) * 3 // 4))], ".flac"


def header_only(rng: np.random.Generator) -> tuple[bytes, str]:
    return encoded(np.zeros(0)), ".wav"


def huge_claim(rng: np.random.Generator) -> tuple[bytes, str]:
    data = bytearray(encoded(noise(rng)))
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", int(rng.integers(10**6, 0x7FFFFEFF)))
    return bytes(data), ".wav"


def absurd_rate(rng: np.random.Generator) -> tuple[bytes, str]:
    data = bytearray(encoded(noise(rng)))
    rate = int(rng.choice([0, 1, 7, 1999, 800_001, 2**31 - 1, 2**32 - 1]))
    place = data.index(b"fmt ") + 12
    data[place : place + 4] = struct.pack("<I", rate)
    return bytes(data), ".wav"


def absurd_channels(rng: np.random.Generator) -> tuple[bytes, str]:
    data = bytearray(encoded(noise(rng)))
    place = data.index(b"fmt ") + 10
    data[place : place + 2] = struct.pack("<H", int(rng.choice([0, 300, 1025, 65535])))
    return bytes(data), ".wav"


def unknown_codec(rng: np.random.Generator) -> tuple[bytes, str]:
    data = bytearray(encoded(noise(rng)))
    place = data.index(b"fmt ") + 8
    data[place : place + 2] = struct.pack("<H", int(rng.choice([0, 2047, 8192, 65535])))
    return bytes(data), ".wav"


def not_a_number(rng: np.random.Generator) -> tuple[bytes, str]:
    signal = noise(rng)
    signal[rng.integers(len(signal))] = rng.choice([np.nan, np.inf, -np.inf])
    return encoded(signal, subtype="FLOAT"), ".wav"


def flipped_bits(rng: np.random.Generator) -> tuple[bytes, str]:
    """May still decode; then it is no reject."""
    data, suffix = any_audio(rng)
    values = np.frombuffer(data, dtype=np.uint8).copy()
    for _ in range(int(rng.integers(1, 40))):
        values[rng.integers(len(values))] ^= 1 << rng.integers(8)
    return values.tobytes(), suffix


def wrong_name(rng: np.random.Generator) -> tuple[bytes, str]:
    """Good audio under another format's name decodes all the same."""
    data, _ = any_audio(rng)
    return data, str(rng.choice([".wav", ".flac", ".m4a", ".mp3"]))


def far_too_loud(rng: np.random.Generator) -> tuple[bytes, str]:
    """Finite, and nothing else."""
    return encoded(noise(rng) * 1e38, rate=44100, subtype="FLOAT"), ".wav"


BROKEN: tuple[Callable[[np.random.Generator], tuple[bytes, str]], ...] = (
    empty,
    zeros,
    random_bytes,
    text,
    truncated_wav,
    truncated_flac,
    header_only,
    huge_claim,
    absurd_rate,
    absurd_channels,
    unknown_codec,
    not_a_number,
)
"""Damage that no decoder forgives."""
PERHAPS: tuple[Callable[[np.random.Generator], tuple[bytes, str]], ...] = (
    flipped_bits,
    wrong_name,
    far_too_loud,
)
"""Damage after which there may still be sound."""


def damage(folder: Path, count: int, seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Fill a folder with damaged files.

    Returns:
        Files that must be rejected, and files that may be.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    recipes = (*BROKEN, *PERHAPS, None)
    surely: list[Path] = []
    perhaps: list[Path] = []
    for number in range(count):
        recipe = recipes[number % len(recipes)]
        if recipe is None:
            surely.append(_odd_entry(folder, number))
            continue
        data, suffix = recipe(rng)
        name = recipe.__name__
        path = folder / f"{name}-{number:04d}{suffix}"
        path.write_bytes(data)
        (surely if recipe in BROKEN else perhaps).append(path)
    return surely, perhaps


def _odd_entry(folder: Path, number: int) -> Path:
    """A folder with an audio file's name, a link to itself or to nothing, or a pipe."""
    path = folder / f"odd {number:04d}.wav"
    kind = number // 16 % 4
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.symlink_to(path.name)
    elif kind == 2:
        path.symlink_to("nowhere.wav")
    else:
        os.mkfifo(path)
    return path
