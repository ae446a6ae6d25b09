"""Who of one piece is who of the next: speakers are linked by their voices.

A model numbers speakers anew in each piece. The voice of a speaker is the speaker encoder's
embedding of the frames where nobody else speaks; pieces are taken one after the other, and each
speaker goes to the known voice that the best assignment gives, if it is near enough, or is new.
Registered names keep their name. A model without a speaker encoder knows no voices: there the
labels are taken as they are, so S01 stays S01.

Shapes: ``K`` speaker, ``T`` time in frames, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch.nn import functional

from talkover.manifests.serialize.transcript import speaker_label, speaker_number
from talkover.model.modeling import SatsModel

SAME_VOICE = 0.4
"""Cosine from which two voices are taken for one. Measured with a short training of ``tiny`` on
three unseen speakers, one voice a session: 15 % of voices of the same speaker lie below it (10 % at
0.3, 26 % at 0.5), 6 % of those of different speakers above it (15 %, 2 %)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """What a speaker says, in seconds of the clock that the holder names."""

    speaker: str
    start: float
    end: float
    text: str


Voice = NDArray[np.float32]
"""``[D]`` of length 1."""


class Linker(Protocol):
    """Gives the speakers of each piece their names in the recording; one for each recording.

    It sees pieces in order. A loop that hands voices of one piece to the next as registrations
    takes this place.
    """

    def names(self, samples: NDArray[np.float32], spoken: Sequence[Spoken]) -> Mapping[str, str]:
        """Labels of a piece to names of the recording; `spoken` is on the piece's clock."""
        ...


class SameLabels:
    """Labels as they are: all there is without voices."""

    def names(self, samples: NDArray[np.float32], spoken: Sequence[Spoken]) -> Mapping[str, str]:
        """See `Linker`."""
        return {s.speaker: s.speaker for s in spoken}


class VoiceLinker:
    """Links by the speaker encoder."""

    def __init__(self, model: SatsModel, least: float = SAME_VOICE) -> None:
        """Begin without a known voice."""
        self.model, self.least = model, least
        self.sums: list[NDArray[np.float64]] = []

    def names(self, samples: NDArray[np.float32], spoken: Sequence[Spoken]) -> Mapping[str, str]:
        """See `Linker`."""
        labels = list(dict.fromkeys(s.speaker for s in spoken))
        anonymous = [label for label in labels if speaker_number(label) is not None]
        voices = voices_of(self.model, samples, spoken, anonymous)
        places = self.link([voices[label] for label in anonymous])
        named = {label: label for label in labels if label not in anonymous}
        return named | {
            label: speaker_label(place + 1) for label, place in zip(anonymous, places, strict=True)
        }

    def link(self, voices: Sequence[Voice]) -> list[int]:
        """The known voice of each voice of a piece; new ones are added to the known."""
        if not voices:
            return []
        table = np.stack(voices).astype(np.float64)  # [K, D]
        found: dict[int, int] = {}
        if self.sums:
            known = np.stack([total / np.linalg.norm(total) for total in self.sums])
            cosines = table @ known.T
            rows, columns = linear_sum_assignment(-cosines)
            found = {
                int(row): int(column)
                for row, column in zip(rows, columns, strict=True)
                if cosines[row, column] >= self.least
            }
        for row, voice in enumerate(table):
            if row in found:
                self.sums[found[row]] = self.sums[found[row]] + voice
            else:
                found[row] = len(self.sums)
                self.sums.append(voice)
        return [found[row] for row in range(len(voices))]


def linker_of(model: SatsModel) -> Linker:
    """What a model can link by."""
    return SameLabels() if model.speaker is None else VoiceLinker(model)


def voices_of(
    model: SatsModel,
    samples: NDArray[np.float32],
    spoken: Sequence[Spoken],
    labels: Sequence[str],
) -> dict[str, Voice]:
    """The voice of each speaker of a piece; of one who is never alone, from all its speech."""
    if not labels:
        return {}
    rate = model.parts.features.sampling_rate
    with torch.inference_mode():
        audio = torch.from_numpy(np.ascontiguousarray(samples))[None].to(model.device)
        voices = model.hear(audio, torch.tensor([len(samples)], device=model.device)).voices
        assert voices is not None
        frames = int(voices.lengths[0])
        weights = _alone(spoken, labels, frames, frames * rate / len(samples))
        embedded = model.voice(
            voices, torch.from_numpy(weights)[None, :, : voices.hidden.shape[1]].to(model.device)
        )[0]  # [K, D]
        if model.classifier is not None:
            embedded = model.classifier.embed(embedded)
        unit = functional.normalize(embedded.float(), dim=-1).cpu().numpy()
    return {label: unit[place] for place, label in enumerate(labels)}


def _alone(
    spoken: Sequence[Spoken], labels: Sequence[str], frames: int, rate: float
) -> NDArray[np.float32]:
    """1 where a speaker is heard and nobody else, ``[K, T]``."""
    names = [*labels, *sorted({s.speaker for s in spoken} - set(labels))]
    active = np.zeros((len(names), frames), dtype=bool)
    for s in spoken:
        begin = min(int(s.start * rate), frames - 1)
        active[names.index(s.speaker), begin : max(begin + 1, round(s.end * rate))] = True
    alone = active & (active.sum(0, keepdims=True) == 1)
    chosen = np.where(alone.any(1, keepdims=True), alone, active)
    return np.asarray(chosen[: len(labels)], dtype=np.float32)
