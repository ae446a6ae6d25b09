"""Between tensors of a batch and the voices of its words.

Shapes: ``B`` batch, ``T`` frames or vectors, ``F`` mel bands, ``K`` speakers.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from talkover.model.batch import Batch
from talkover.model.cues import Beginnings
from talkover.model.losses import Loss
from talkover.model.onsets import Found
from talkover.model.voices.model import VoiceModel
from talkover.model.voices.said import SaidWord


def observe(voices: VoiceModel, features: Tensor, batch: Batch) -> Loss:
    """Add a batch to what is known of voices; a loss of zero, counted by words.

    Args:
        voices: Its sums grow in training, and only then.
        features: ``[B, T, F]`` log-mel, not masked.
        batch: With the words' times and speakers.
    """
    there = batch.span_speakers >= 0
    if voices.training:
        frames = batch.num_samples * voices.frame_rate / voices.sampling_rate
        voices.observe(
            [row[: int(n)] for row, n in zip(features, frames.tolist(), strict=True)],
            [
                [(s, e) for s, e in row[t].tolist()]
                for row, t in zip(batch.spans, there, strict=True)
            ],
            [row[t].tolist() for row, t in zip(batch.span_speakers, there, strict=True)],
            [row[t].tolist() for row, t in zip(batch.span_voices, there, strict=True)],
            [row[t].tolist() for row, t in zip(batch.span_kinds, there, strict=True)],
        )
    return Loss(features.new_zeros(()), there.sum())


@torch.no_grad()
def said_words(
    voices: VoiceModel, features: Tensor, found: Sequence[Sequence[Found]], *, most: int
) -> list[list[SaidWord]]:
    """Who says the words that were found.

    Args:
        voices: Model of voices.
        features: ``[B, T, F]`` log-mel, not masked.
        found: Words of each recording, in order of their starts.
        most: Speakers at most.
    """
    said = []
    for frames, words in zip(features.float().cpu().numpy(), found, strict=True):
        units = [word.unit for word in words]
        spans = [(unit.start, unit.end) for unit in units]
        who = voices.speakers_of(frames, spans, [unit.kind for unit in units], most)
        said.append([SaidWord(unit=w.unit, speaker=s) for w, s in zip(words, who, strict=True)])
    return said


def beginnings(
    said: Sequence[Sequence[SaidWord]], *, rate: float, frames: int, most: int
) -> Beginnings:
    """Speakers, times and order of the words at the vectors where they begin.

    Args:
        said: Words of each recording, in order of their starts.
        rate: Vectors a second.
        frames: Vectors of the longest recording.
        most: ``K``.
    """
    speakers = torch.zeros(len(said), frames, most)
    starts, ends, before = (torch.full((len(said), frames), -1.0) for _ in range(3))
    is_last = torch.zeros(len(said), frames, dtype=torch.bool)
    for row, words in enumerate(said):
        last = -1.0
        for number, word in enumerate(words, start=1):
            place = min(frames - 1, int(word.unit.start * rate))
            speakers[row, place, word.speaker] += 1
            starts[row, place], ends[row, place] = word.unit.start, word.unit.end
            before[row, place], last = last, word.unit.start
            is_last[row, place] = number == len(words)
    return Beginnings(speakers=speakers, starts=starts, ends=ends, before=before, is_last=is_last)
