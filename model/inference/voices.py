"""Voices of the speakers of a piece, and who of one piece is who of the others.

A model numbers speakers anew in each piece. The voice of a speaker is the speaker encoder's
embedding of the frames where nobody else speaks; over a whole recording the voices are clustered
(`talkover.model.inference.clustering`). A model without a speaker encoder may have a linear model
of voices instead (`talkover.model.inference.word_voices`). One with neither knows no voices: there
the labels are taken as they are, so S01 stays S01.

Shapes: ``K`` speaker, ``T`` time in frames, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from talkover.manifests.serialize.transcript import speaker_label, speaker_number
from talkover.model.encoders import Encoded
from talkover.model.inference.clustering import cluster
from talkover.model.inference.likeness import Likeness
from talkover.model.inference.spoken import Spoken
from talkover.model.modeling import SatsModel

SAME_VOICE = 0.4
"""Mean cosine from which two groups of voices are one. Measured with a short training of ``tiny``
on three unseen speakers, one voice a session: 15 % of pairs of the same speaker lie below it (10 %
at 0.3, 26 % at 0.5), 6 % of those of different speakers above it (15 %, 2 %)."""

LONGEST_CLIP = 10.0
"""Seconds of clean speech that a speaker is registered by, as in training."""
SHORTEST_CLIP = 0.5
"""Seconds of clean speech below which nobody is registered."""

Voice = NDArray[np.float32]
"""``[D]``; an embedding is of length 1."""


@dataclass(frozen=True, kw_only=True)
class LocalVoice:
    """A speaker of one piece."""

    piece: int
    label: str
    voice: Voice
    weight: float
    """Of the speech behind it: seconds, or words."""


@dataclass(frozen=True, kw_only=True)
class KnownVoice:
    """Somebody whose voice is known, whether they speak or not."""

    name: str
    voice: Voice
    weight: float
    """As of `LocalVoice`."""


ALL_KNOWN = -1
"""In the place of a piece: people who are known are different people."""


def linked(
    voices: Sequence[LocalVoice],
    *,
    least: float = SAME_VOICE,
    num_speakers: int | None = None,
    likeness: Likeness | None = None,
    known: Sequence[KnownVoice] = (),
) -> dict[tuple[int, str], str]:
    """Names in the recording of the speakers of its pieces, by piece and label.

    Who is alike enough to somebody known gets that name, others S01, S02, … in order.

    Args:
        voices: Of all pieces, in the order of their first words.
        least: Likeness from which two groups of voices are one.
        num_speakers: How many there are, if that is known.
        likeness: How groups are compared; None for their mean cosine.
        known: People whose voices are known.
    """
    if not voices:
        return {}
    everybody: list[KnownVoice | LocalVoice] = [*known, *voices]
    found = cluster(
        np.stack([v.voice for v in everybody]).astype(np.float64),
        [ALL_KNOWN] * len(known) + [v.piece for v in voices],
        [v.weight for v in everybody],
        least=least,
        num_speakers=num_speakers,
        likeness=likeness,
    )
    names = {number: k.name for number, k in zip(found, known, strict=False)}
    strangers = dict.fromkeys(number for number in found[len(known) :] if number not in names)
    names |= {number: speaker_label(place) for place, number in enumerate(strangers, start=1)}
    return {
        (v.piece, v.label): names[number]
        for v, number in zip(voices, found[len(known) :], strict=True)
    }


def anonymous(spoken: Sequence[Spoken]) -> list[str]:
    """Labels of a piece that are no registered names, in order of appearance."""
    labels = dict.fromkeys(s.speaker for s in spoken)
    return [label for label in labels if speaker_number(label) is not None]


def voices_of(
    model: SatsModel, voices: Encoded, duration: float, spoken: Sequence[Spoken]
) -> dict[str, tuple[Voice, float]]:
    """Voice and clean seconds of each unnamed speaker of a piece.

    Of one who is never alone, the voice is that of all its speech.

    Args:
        model: With a speaker encoder.
        voices: Its frames of the piece, one row.
        duration: Seconds of the piece.
        spoken: On the piece's clock.
    """
    labels = anonymous(spoken)
    if not labels:
        return {}
    frames = int(voices.lengths[0])
    rate = frames / duration
    weights = alone(spoken, labels, frames, rate)
    with torch.inference_mode():
        given = torch.from_numpy(weights)[None, :, : voices.hidden.shape[1]]
        embedded = model.voice(voices, given.to(voices.hidden.device))[0]  # [K, D]
        if model.classifier is not None:
            embedded = model.classifier.embed(embedded)
        unit = functional.normalize(embedded.float(), dim=-1).cpu().numpy()
    return {
        label: (unit[place], float(weights[place].sum() / rate))
        for place, label in enumerate(labels)
    }


def clean_speech(
    samples: NDArray[np.float32], sampling_rate: int, spoken: Sequence[Spoken], speaker: str
) -> NDArray[np.float32]:
    """A speaker's cleanest segments: the longest stretches where nobody else speaks, joined.

    At most `LONGEST_CLIP`; none if there is less than `SHORTEST_CLIP`.
    """
    frame_rate = 100.0
    frames = max(1, int(len(samples) / sampling_rate * frame_rate))
    mask = alone(spoken, [speaker], frames, frame_rate, else_all=False)[0] > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    runs = sorted(zip(edges[::2], edges[1::2], strict=True), key=lambda run: run[0] - run[1])
    left = int(LONGEST_CLIP * frame_rate)
    parts = []
    for begin, end in runs:
        stop = min(int(end), int(begin) + left)
        if stop > begin:
            parts.append((int(begin), stop))
            left -= stop - int(begin)
    if sum(end - begin for begin, end in parts) < SHORTEST_CLIP * frame_rate:
        return np.zeros(0, np.float32)
    hop = sampling_rate / frame_rate
    return np.concatenate([samples[int(b * hop) : int(e * hop)] for b, e in sorted(parts)])


def alone(
    spoken: Sequence[Spoken],
    labels: Sequence[str],
    frames: int,
    rate: float,
    *,
    else_all: bool = True,
) -> NDArray[np.float32]:
    """1 where a speaker is heard and nobody else, ``[K, T]``.

    Args:
        spoken: Of everybody.
        labels: The speakers whose rows are wanted.
        frames: ``T``.
        rate: Frames a second.
        else_all: Give all speech of one who is never alone.
    """
    names = [*labels, *sorted({s.speaker for s in spoken} - set(labels))]
    active = np.zeros((len(names), frames), dtype=bool)
    for s in spoken:
        begin = min(int(s.start * rate), frames - 1)
        active[names.index(s.speaker), begin : max(begin + 1, round(s.end * rate))] = True
    mine = active & (active.sum(0, keepdims=True) == 1)
    if else_all:
        mine = np.where(mine.any(1, keepdims=True), mine, active)
    return np.asarray(mine[: len(labels)], dtype=np.float32)


def same_labels(pieces: Sequence[Sequence[Spoken]]) -> Mapping[tuple[int, str], str]:
    """Labels as they are: all there is without voices."""
    return {
        (number, label): label
        for number, spoken in enumerate(pieces)
        for label in anonymous(spoken)
    }
