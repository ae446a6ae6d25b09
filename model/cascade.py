"""The baseline: a diarizer says who and when, the model's own semantic encoder says what.

Each segment of each speaker is cut out of the mixture and read by the encoder's CTC head, greedily.
The language model takes no part, nothing separates voices: where two speak at once, both segments
hold both. Segments come from an RTTM (or any label file), or are the reference's own speech
(``oracle``), which bounds what any diarizer could do for this encoder.

CTC learns words without spaces. A vocabulary that marks where words begin (SentencePiece) gives
them back; with any other, letters are parted into known words (`spaced`). The words of the
references are given for that: it helps the baseline's WER and changes no letter, so CER is the same
with and without.

Shapes: ``B`` batch, ``T`` frames.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkover.manifests.audio import SHORTEST, unusable
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.labels import read_labels
from talkover.manifests.schema import Session
from talkover.manifests.score.spans import join_spans
from talkover.model.codec import SatsCodec
from talkover.model.inference.pieces import plan_pieces
from talkover.model.inference.recognize import OUT_OF_MEMORY, Recognizer, Recording
from talkover.model.inference.spoken import Spoken
from talkover.model.losses import BLANK
from talkover.model.memory import is_out_of_memory
from talkover.model.modeling import SatsModel

ORACLE = "oracle"

Diarization = Mapping[str, Sequence[tuple[str, float, float]]]
"""Speaker, start and end in seconds, per session."""


@dataclass(kw_only=True)
class CascadeOutput:
    """What the cascade heard."""

    said: dict[str, list[Spoken]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    """Reason, of sessions of which nothing is known."""


def oracle_diarization(sessions: Sequence[Session]) -> Diarization:
    """The speech regions of the reference."""
    return {
        session.id: [
            (row.speaker, region.start, region.end)
            for row in session.supervisions
            for region in row.regions
        ]
        for session in sessions
    }


def read_diarization(path: Path | str, sessions: Sequence[Session]) -> Diarization:
    """Segments of a label file; sessions that it lacks have none.

    Raises:
        ManifestError: If the file cannot be read, or knows none of the sessions.
    """
    labels = read_labels(path, regions=True)
    ids = {session.id for session in sessions}
    if not ids & set(labels):
        known = ", ".join(sorted(labels)[:3])
        raise ManifestError(
            f"knows none of the {len(ids)} sessions (it has {known or 'none'}; wanted are "
            f"{', '.join(sorted(ids)[:3])})",
            path=path,
        )
    found = {}
    for id in sorted(ids):
        segments = [s for s in labels.get(id, []) if s.end > s.start]
        names = safe_names([s.speaker for s in segments])
        found[id] = [(names[s.speaker], s.start, s.end) for s in segments]
    return found


def safe_names(speakers: Sequence[str]) -> dict[str, str]:
    """Names that a session may hold, one for one; those that it may not become numbers.

    >>> safe_names(["A", "B 1", "A"])
    {'A': 'A', 'B 1': 'speaker-2'}
    """
    found: dict[str, str] = {}
    for name in speakers:
        if name not in found:
            is_safe = re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}", name) is not None
            found[name] = name if is_safe else f"speaker-{len(found) + 1}"
    return found


def own_segments(
    diarization: Sequence[tuple[str, float, float]], duration: float
) -> list[tuple[str, float, float]]:
    """Segments inside the audio, by start; those of one speaker that overlap or touch are one."""
    speakers: dict[str, list[tuple[float, float]]] = {}
    for speaker, start, end in diarization:
        speakers.setdefault(speaker, []).append((max(0.0, start), min(end, duration)))
    found = [
        (speaker, start, end)
        for speaker, spans in speakers.items()
        for start, end in join_spans(spans).tolist()
    ]
    return sorted(found, key=lambda s: (s[1], s[2], s[0]))


class Cascade:
    """Diarized segments, read by the semantic encoder."""

    def __init__(self, recognizer: Recognizer, words: Iterable[str] = ()) -> None:
        """Take the model with its window and batch size, and words for putting spaces back.

        Raises:
            ConfigurationError: If the checkpoint has no CTC head.
        """
        self.recognizer = recognizer
        self.model: SatsModel = recognizer.model
        self.codec: SatsCodec = recognizer.transcriber.codec
        self.words = frozenset(words)
        if recognizer.transcriber.collator.given is not None:
            raise ConfigurationError(
                "the cascade cuts segments out of the audio: not with given vectors"
            )
        units = self.model.parts.tables.units
        self.marks_words = any(
            (self.codec.token_bytes[index] or b"").startswith(b" ") for index in units
        )
        if not units:
            raise ConfigurationError(
                "the cascade needs a checkpoint whose semantic encoder was trained with CTC"
            )

    def recognize(self, recordings: Sequence[Recording], diarization: Diarization) -> CascadeOutput:
        """What each speaker of each recording says, by the segments."""
        output = CascadeOutput()
        rate = self.recognizer.sampling_rate
        pieces: list[NDArray[np.float32]] = []
        segments: list[tuple[str, tuple[str, float, float], int]] = []
        for recording in recordings:
            output.said[recording.id] = []
            duration = len(recording.samples) / rate
            for segment in own_segments(diarization.get(recording.id, ()), duration):
                cut = list(self._cut(recording, *segment[1:]))
                segments.append((recording.id, segment, len(cut)))
                pieces += cut
        texts = iter(self._texts(pieces))
        for id, (speaker, start, end), count in segments:
            parts = [next(texts) for _ in range(count)]
            if None in parts:
                output.faults[id] = OUT_OF_MEMORY
            output.said[id].append(
                Spoken(
                    speaker=speaker,
                    start=start,
                    end=end,
                    text=" ".join(part for part in parts if part),
                )
            )
        for id in output.faults:
            del output.said[id]
        return output

    def _cut(self, recording: Recording, start: float, end: float) -> Iterator[NDArray[np.float32]]:
        """Samples of a segment, in pieces where it is longer than the model's window."""
        rate = self.recognizer.sampling_rate
        samples = recording.samples[round(start * rate) : round(end * rate)]
        if len(samples) < SHORTEST * rate:
            return
        for piece in plan_pieces(samples, rate, self.recognizer.window):
            yield samples[piece.start_sample : piece.start_sample + piece.num_samples]

    def _texts(self, pieces: Sequence[NDArray[np.float32]]) -> list[str | None]:
        """The text of each piece, None where memory did not suffice; like lengths together."""
        rate = self.recognizer.sampling_rate
        found: list[str | None] = [""] * len(pieces)
        places = [n for n, piece in enumerate(pieces) if unusable(piece, rate) is None]
        places.sort(key=lambda place: len(pieces[place]))
        size = self.recognizer.transcriber.options.batch_size
        for begin in range(0, len(places), size):
            chosen = places[begin : begin + size]
            for place, text in zip(chosen, self._read([pieces[n] for n in chosen]), strict=True):
                found[place] = text
        return found

    def _read(self, pieces: Sequence[NDArray[np.float32]]) -> list[str | None]:
        try:
            return [self.text(units) for units in best_units(self.model, pieces)]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        if len(pieces) == 1:
            return [None]
        middle = len(pieces) // 2
        return self._read(pieces[:middle]) + self._read(pieces[middle:])

    def text(self, units: Sequence[int]) -> str:
        """The text of classes of CTC; see the module for its spaces."""
        text = self.codec.decode(self.model.parts.tables.units[unit - 1] for unit in units)
        return " ".join(text.split()) if self.marks_words else spaced(text, self.words)


def spaced(text: str, words: Collection[str]) -> str:
    """Text without spaces, parted into known words so that the fewest letters belong to none.

    Of equally good ways the one with the fewest words is taken; a run of letters that belong to no
    word is a word of its own.

    >>> spaced("onetwothreex", {"one", "two", "three", "t"})
    'one two three x'
    """
    longest = max(map(len, words), default=0)
    # Cost of the best way to part what comes before a letter: strange letters, then words.
    best: list[tuple[int, int]] = [(0, 0)]
    origin: list[tuple[int, bool]] = [(0, True)]
    for end in range(1, len(text) + 1):
        strange, count = best[end - 1]
        goes_on = end > 1 and not origin[end - 1][1]
        ways = [(strange + 1, count + (not goes_on), end - 1, False)]
        for start in range(max(0, end - longest), end):
            if text[start:end] in words:
                ways.append((best[start][0], best[start][1] + 1, start, True))
        least = min(ways)
        best.append(least[:2])
        origin.append(least[2:])
    parts: list[str] = []
    end, was_word = len(text), True
    while end > 0:
        start, is_word = origin[end]
        if parts and not is_word and not was_word:
            parts[-1] = text[start:end] + parts[-1]
        else:
            parts.append(text[start:end])
        end, was_word = start, is_word
    return " ".join(reversed(parts))


def best_units(model: SatsModel, pieces: Sequence[NDArray[np.float32]]) -> list[list[int]]:
    """The likeliest class of each frame, with repeats joined and blanks left out."""
    lengths = [len(piece) for piece in pieces]
    audio = np.zeros((len(pieces), max(lengths)), np.float32)
    for row, piece in enumerate(pieces):
        audio[row, : len(piece)] = piece
    with torch.inference_mode():
        heard = model.hear(
            torch.from_numpy(audio).to(model.device), torch.tensor(lengths, device=model.device)
        )
    assert heard.unit_logits is not None
    best = heard.unit_logits.argmax(-1).cpu().tolist()  # [B, T]
    frames = heard.encoded.lengths.tolist()
    return [collapse(row[:count]) for row, count in zip(best, frames, strict=True)]


def collapse(path: Sequence[int]) -> list[int]:
    """What a path of CTC says.

    >>> collapse([0, 3, 3, 0, 3, 5])
    [3, 3, 5]
    """
    last, found = BLANK, []
    for unit in path:
        if unit not in (BLANK, last):
            found.append(unit)
        last = unit
    return found
