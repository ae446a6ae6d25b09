"""One utterance decoded for the cache: mono, at the session's rate, 16 bit, and measured.

The order is fixed: window and channel are read, an offset (DC) is taken out, the rest is resampled,
scaled down only if it would clip, rounded to 16 bits, and only then measured, so that times and
levels are those of the samples that are used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio import probe, read_audio, resample, to_pcm16, unusable
from talkover.manifests.errors import AudioError
from talkover.manifests.schema import WordSource
from talkover.simulate.activity import SampledWord, fit_words, measure_activity, regions_of
from talkover.simulate.corpus import Rejection, Utterance

PCM = np.dtype("<i2")
"""Samples on disk: int16, little-endian on every machine."""
LEVEL_DIGITS = 3
"""Digits after the point of a level in dB."""
WINDOW_TOLERANCE = 0.02
"""Seconds by which a window given in (rounded) seconds may reach beyond its file and is cut."""
WORD_END_TOLERANCE = 0.1
"""Seconds by which words may reach beyond the audio and are cut; aligners pad the last frame."""
LEAST_OFFSET = 1e-3
"""Of full scale, -60 dBFS: a smaller offset is left in, so that clean files keep their samples."""

FULL = 2.0**15
_LARGEST = (FULL - 1) / FULL


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedUtterance:
    """An utterance as it is in the cache; samples are counted on its own clock at the cache's rate.

    Fields that a `talkover.simulate.corpus.Utterance` has, too, mean the same.
    """

    utterance_id: str
    speaker: str
    corpus: str
    recording_id: str
    num_samples: int
    regions: tuple[tuple[int, int], ...]
    """First sample and end of each stretch of speech: runs of words, or measured activity."""
    sha256: str
    """Of the samples, int16 little-endian."""
    level_dbfs: float
    """RMS over the frames that are speech."""
    peak_dbfs: float
    noise_floor_dbfs: float
    source_gain_db: float = 0.0
    """0, or how far a source beyond full scale was scaled down."""
    channel: int | str = "mean"
    text: str | None = None
    words: tuple[SampledWord, ...] | None = None
    """Symbol, first sample and number of samples."""
    word_source: WordSource | None = None
    language: str | None = None
    gender: str | None = None
    topic: str | None = None
    licence: str | None = None
    corpus_version: str | None = None

    @property
    def speech_samples(self) -> int:
        """From the first to the last sample of speech."""
        return self.regions[-1][1] - self.regions[0][0]

    def line(self) -> str:
        """One line of JSON with sorted keys; the same utterance gives the same text."""
        known = _known(self)
        return json.dumps(known, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def parse(cls, line: str | bytes) -> Self:
        """The inverse of `line`."""
        fields: dict[str, Any] = json.loads(line)
        fields["regions"] = tuple((start, end) for start, end in fields["regions"])
        if fields.get("words") is not None:
            fields["words"] = tuple((symbol, at, length) for symbol, at, length in fields["words"])
        return cls(**fields)


def decode(
    utterance: Utterance, sampling_rate: int
) -> tuple[CachedUtterance, NDArray[np.int16]] | Rejection:
    """Samples and measurements of one utterance, or why it cannot be used.

    Args:
        utterance: From a reader.
        sampling_rate: Of the result, in Hz.
    """
    try:
        signal = _read(utterance, sampling_rate)
        pcm, gain_db = _quantised(signal)
        words = _sampled_words(utterance, len(pcm), sampling_rate)
    except _Unusable as fault:
        return _rejection(utterance, fault.field, fault.reason, fault.value)
    except AudioError as error:
        reason, _, value = error.reason.partition(": ")  # the phrase, then what was found
        return _rejection(utterance, "file", reason, value or None)
    return _described(utterance, pcm, words, gain_db, sampling_rate), pcm


def to_request(utterance: Utterance) -> dict[str, Any]:
    """An utterance as JSON values; `from_request` is the inverse."""
    return {**_known(utterance), "path": str(utterance.path)}


def from_request(values: Mapping[str, Any]) -> Utterance:
    """The utterance of `to_request`."""
    words = values.get("words")
    return Utterance(
        **{
            **values,
            "path": Path(values["path"]),
            "words": None if words is None else tuple((s, a, d) for s, a, d in words),
        }
    )


def _known(item: Utterance | CachedUtterance) -> dict[str, Any]:
    """Fields that are not None; `dataclasses.asdict` would copy every word."""
    values = {name: getattr(item, name) for name in item.__slots__}
    return {name: value for name, value in values.items() if value is not None}


class _Unusable(Exception):
    """A finding about one utterance, not an error of ours."""

    def __init__(self, field: str, reason: str, value: str | None = None) -> None:
        super().__init__(reason)
        self.field, self.reason, self.value = field, reason, value


def _rejection(
    utterance: Utterance, field: str, reason: str, value: str | None = None
) -> Rejection:
    return Rejection(
        corpus=utterance.corpus,
        utterance_id=utterance.utterance_id,
        file=utterance.file,
        field=field,
        reason=reason,
        value=value,
    )


def _read(utterance: Utterance, sampling_rate: int) -> NDArray[np.float32]:
    """The utterance's window as mono without offset, at the asked rate."""
    info = probe(utterance.path)
    claimed = utterance.sampling_rate
    if claimed is not None and claimed != info.sampling_rate:
        found = f"the corpus says {claimed} Hz, the file has {info.sampling_rate} Hz"
        raise _Unusable("sample_rate", "wrong rate", found)
    start, length = _window(utterance, info.sampling_rate, info.num_samples)
    signal = read_audio(
        utterance.path, start_sample=start, num_samples=length, channel=utterance.channel
    )
    fault = unusable(signal, info.sampling_rate)
    if fault is not None:
        phrase, _, level = fault.partition(" (peak ")
        raise _Unusable("file", phrase, level.rstrip(")") or None)
    offset = float(signal.mean(dtype=np.float64))
    if abs(offset) > LEAST_OFFSET:
        signal = signal - np.float32(offset)
    return resample(signal, info.sampling_rate, sampling_rate)


def _window(utterance: Utterance, rate: int, available: int) -> tuple[int, int]:
    """First sample and number of samples in the file."""
    if utterance.start_sample is not None:
        start = utterance.start_sample
    else:
        start = round((utterance.start or 0.0) * rate)
    if utterance.num_samples is not None:
        end = start + utterance.num_samples
    elif utterance.duration is not None:
        end = start + round(utterance.duration * rate)
        if available < end <= available + round(WINDOW_TOLERANCE * rate):
            end = available
    else:
        end = available
    if start >= available or end > available:
        asked = f"samples {start} to {max(start, end)}, the file has {available}"
        field = "num_samples" if utterance.num_samples is not None else "duration"
        raise _Unusable("start" if start >= available else field, "beyond the file's end", asked)
    if end <= start:
        raise _Unusable("duration", "empty")
    return start, end - start


def _quantised(signal: NDArray[np.float32]) -> tuple[NDArray[np.int16], float]:
    """Samples as 16 bits and the gain in dB that kept them from clipping."""
    peak = float(np.abs(signal).max())
    if peak <= 1.0:
        return to_pcm16(signal), 0.0
    gain = _LARGEST / peak
    return to_pcm16(signal * np.float32(gain)), round(20 * float(np.log10(gain)), LEVEL_DIGITS)


def _sampled_words(
    utterance: Utterance, length: int, sampling_rate: int
) -> tuple[SampledWord, ...] | None:
    """Words on the sample clock, none of them beyond the audio; None if no times are known."""
    if not utterance.words:
        return None
    words = []
    for symbol, start, duration in utterance.words:
        first = round(start * sampling_rate)
        end = max(first + 1, round((start + duration) * sampling_rate))
        if first >= length or end > length + WORD_END_TOLERANCE * sampling_rate:
            at = f"{symbol!r} ends at {start + duration:.3f} of {length / sampling_rate:.3f} s"
            raise _Unusable("words", "a word reaches beyond the audio", at)
        words.append((symbol, first, min(end, length) - first))
    return tuple(words)


def _described(
    utterance: Utterance,
    pcm: NDArray[np.int16],
    words: tuple[SampledWord, ...] | None,
    gain_db: float,
    sampling_rate: int,
) -> CachedUtterance:
    activity = measure_activity(pcm.astype(np.float32) / np.float32(FULL), sampling_rate)
    if words is not None:
        words = fit_words(words, activity, sampling_rate)
    regions = regions_of(words, activity, sampling_rate)
    return CachedUtterance(
        utterance_id=utterance.utterance_id,
        speaker=utterance.speaker,
        corpus=utterance.corpus,
        recording_id=utterance.recording_id,
        num_samples=len(pcm),
        regions=tuple((int(start), int(end)) for start, end in regions),
        sha256=hashlib.sha256(pcm.astype(PCM, copy=False).tobytes()).hexdigest(),
        level_dbfs=round(activity.level_dbfs, LEVEL_DIGITS),
        peak_dbfs=round(activity.peak_dbfs, LEVEL_DIGITS),
        noise_floor_dbfs=round(activity.noise_floor_dbfs, LEVEL_DIGITS),
        source_gain_db=gain_db,
        channel=utterance.channel,
        text=utterance.text,
        words=words,
        word_source=utterance.word_source if words is not None else None,
        language=utterance.language,
        gender=utterance.gender,
        topic=utterance.topic,
        licence=utterance.licence,
        corpus_version=utterance.corpus_version,
    )
