"""Examples to a batch: layouts, labels, frames of activity.

Shapes: ``B`` batch, ``N`` samples, ``L`` positions, ``U`` units, ``T`` frames, ``K`` speakers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from talkover.manifests.serialize import PromptOptions
from talkover.model.batch import Batch
from talkover.model.codec import SatsCodec
from talkover.model.config import Parts
from talkover.model.data.examples import Example, Unusable
from talkover.model.layout import IGNORED, Kind, Plan, Streams, Vocabulary, plan_layout


class Geometry(Protocol):
    """What the batch needs to know of a model."""

    parts: Parts

    def streams(self, num_samples: int, registered: tuple[str, ...] = ()) -> Streams:
        """Numbers and rates of the vectors of a recording."""
        ...

    def activity_frames(self, num_samples: int) -> int:
        """Frames of the activity head; 0 without one."""
        ...

    def unit_frames(self, num_samples: int) -> int:
        """Frames over which CTC spreads its units."""
        ...


class Collator:
    """Makes batches for a model."""

    def __init__(self, model: Geometry, codec: SatsCodec, vocabulary: Vocabulary) -> None:
        """Take what decides the layout; weights are not touched."""
        self.model, self.codec, self.vocabulary = model, codec, vocabulary
        tables = model.parts.tables
        self._classes = {unit: place for place, unit in enumerate(tables.units, start=1)}
        self._voices = {name: place for place, name in enumerate(tables.voices)}

    def plan(self, example: Example, *, with_answer: bool = True) -> Plan:
        """The layout of an example.

        Raises:
            Unusable: If it is longer than the language model's context.
            UnknownCharacter: If the tokenizer cannot write its text.
        """
        streams = self.model.streams(len(example.samples))
        prompt = ""
        if self.model.parts.layout.use_prompt:
            prompt = self.codec.serializer.prompt(PromptOptions(duration=example.duration))
        answer = self.codec.encode(example.transcript).ids if with_answer else None
        plan = plan_layout(
            streams, self.model.parts.layout, self.vocabulary, prompt=prompt, answer=answer
        )
        limit = self.model.parts.lm.config.get("max_position_embeddings")
        if limit is not None and len(plan) > limit:
            raise Unusable(f"longer than the context of {limit} positions")
        return plan

    def __call__(self, examples: Sequence[Example], *, with_answer: bool = True) -> Batch:
        """A batch; layouts are padded on the right, without answers on the left.

        Raises:
            ValueError: If there is no example.
        """
        if not examples:
            raise ValueError("a batch needs at least one example")
        plans = [self.plan(example, with_answer=with_answer) for example in examples]
        kinds = [[int(kind) for kind in plan.kinds] for plan in plans]
        is_left = not with_answer
        units = [self.units(example) for example in examples]
        lengths = [len(example.samples) for example in examples]
        audio = np.zeros((len(examples), max(lengths)), np.float32)
        for row, example in enumerate(examples):
            audio[row, : lengths[row]] = example.samples
        return Batch(
            ids=tuple(example.id for example in examples),
            durations=tuple(example.duration for example in examples),
            audio=torch.from_numpy(audio),
            num_samples=torch.tensor(lengths),
            input_ids=_padded([plan.ids for plan in plans], self.vocabulary.pad_id, is_left),
            kinds=_padded(kinds, int(Kind.PAD), is_left),
            labels=_padded([plan.labels for plan in plans], IGNORED, is_left),
            units=_padded(units, 0, False),
            num_units=torch.tensor([len(row) for row in units]),
            activity=self._activity(examples),
            is_activity_known=torch.tensor([len(e.voices) <= self._outputs for e in examples]),
            voices=self._classes_of(examples),
        )

    def units(self, example: Example) -> list[int]:
        """Classes of CTC, none if the frames are too few for them.

        Pieces of words that CTC does not know are left out.
        """
        ids = self.codec.word_ids(example.transcript)
        found = [self._classes[index] for index in ids if index in self._classes]
        repeated = sum(a == b for a, b in pairwise(found))
        fits = len(found) + repeated <= self.model.unit_frames(len(example.samples))
        return found if fits else []

    @property
    def _outputs(self) -> int:
        return self.model.parts.max_speakers

    def _activity(self, examples: Sequence[Example]) -> Tensor:
        frames = [self.model.activity_frames(len(example.samples)) for example in examples]
        activity = torch.zeros(len(examples), max(frames), self._outputs, dtype=torch.bool)
        for row, example in enumerate(examples):
            rate = frames[row] / example.duration
            for place, voice in enumerate(example.voices[: self._outputs]):
                for start, end in voice.spans:
                    activity[row, max(0, round(start * rate)) : round(end * rate), place] = True
        return activity

    def _classes_of(self, examples: Sequence[Example]) -> Tensor:
        classes = torch.full((len(examples), self._outputs), IGNORED)
        for row, example in enumerate(examples):
            for place, voice in enumerate(example.voices[: self._outputs]):
                name = voice_name(voice.speaker, example.speed)
                classes[row, place] = self._voices.get(name, IGNORED)
        return classes


def voice_name(speaker: str, speed: float) -> str:
    """A speaker played at another speed is somebody else: pitch and formants move.

    >>> voice_name("ana", 1.0), voice_name("ana", 1.1)
    ('ana', 'ana~1.1')
    """
    return speaker if speed == 1.0 else f"{speaker}~{speed:g}"


def _padded(rows: Sequence[Sequence[int]], filling: int, is_left: bool) -> Tensor:
    """``[B, longest]``."""
    table = torch.full((len(rows), max(map(len, rows))), filling, dtype=torch.long)
    for place, row in enumerate(rows):
        if row:
            span = slice(-len(row), None) if is_left else slice(len(row))
            table[place, span] = torch.tensor(row)
    return table
