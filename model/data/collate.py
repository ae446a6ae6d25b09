"""Examples to a batch: layouts, labels, frames of activity.

Shapes: ``B`` batch, ``N`` samples, ``L`` positions, ``U`` units, ``T`` frames, ``K`` speakers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Session
from talkover.manifests.serialize import PromptOptions
from talkover.model.batch import Batch
from talkover.model.codec import SatsCodec
from talkover.model.config import Parts
from talkover.model.data.examples import Example, Unusable
from talkover.model.data.given import FILE, given_of
from talkover.model.data.marks import marks_of
from talkover.model.data.registration import Draw, Registrar, registrar_of, without_strangers
from talkover.model.layout import IGNORED, Kind, Plan, Streams, Vocabulary, plan_layout
from talkover.model.modeling import SatsModel
from talkover.model.onsets import Unit, onset_targets
from talkover.model.target import Target, plain_target

NOBODY = -1
"""Speaker of a word that is not there."""


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
        self.given = given_of(model)
        """Vectors that the model takes instead of sound, if it does."""
        self.registrar: Registrar | None = None
        """Registers speakers for the batches of a stage that asks for it."""
        tables = model.parts.tables
        self._classes = {unit: place for place, unit in enumerate(tables.units, start=1)}
        self._voices = {name: place for place, name in enumerate(tables.voices)}

    def plan(self, example: Example, *, with_answer: bool = True) -> Plan:
        """The layout of an example.

        Raises:
            Unusable: If it is longer than the language model's context, or its session's
                registration clips are of its own audio.
            UnknownCharacter: If the tokenizer cannot write its text.
        """
        if self.registrar is not None:
            self.registrar.check(example)
        names = tuple(registered.name for registered in example.registered)
        streams = self.model.streams(len(example.samples), names)
        prompt = ""
        if self.model.parts.layout.use_prompt:
            prompt = self.codec.serializer.prompt(PromptOptions(duration=example.duration))
        has_answer = with_answer and example.is_transcribed
        plan = plan_layout(
            streams,
            self.model.parts.layout,
            self.vocabulary,
            prompt=prompt,
            instruction=example.instruction,
            answer=self._target(example).ids if has_answer else None,
        )
        limit = self.model.parts.lm.config.get("max_position_embeddings")
        if limit is not None and len(plan) > limit:
            raise Unusable(f"longer than the context of {limit} positions")
        return plan

    def enrol(self, sessions: Iterable[tuple[Session, Path]]) -> None:
        """Register speakers from the clips of these sessions, each with its manifest's folder.

        Raises:
            ConfigurationError: If there is no clip, or the model cannot use any.
            ManifestError: If given vectors cannot be read.
        """
        assert isinstance(self.model, SatsModel), "only a whole model makes vectors of clips"
        self.registrar = registrar_of(sessions, self.model)

    def _target(self, example: Example) -> Target:
        """What is to be written."""
        if example.target is not None:
            return self.codec.encode_plain(example.target)
        return self.codec.encode(example.transcript)

    def __call__(
        self, examples: Sequence[Example], *, with_answer: bool = True, draw: Draw | None = None
    ) -> Batch:
        """A batch; layouts are padded on the right, without answers on the left.

        Args:
            examples: Its rows.
            with_answer: Whether answers are known.
            draw: How speakers are registered; None leaves the examples as they are.

        Raises:
            ValueError: If there is no example.
        """
        if not examples:
            raise ValueError("a batch needs at least one example")
        if draw is not None and self.registrar is not None:
            drawn = self.registrar.registered(examples, draw)
            examples = [self._fitting(*pair) for pair in zip(drawn, examples, strict=True)]
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
            **marks_of(
                plans,
                [
                    self._target(e) if with_answer and e.is_transcribed else plain_target(())
                    for e in examples
                ],
                [example.overlapped if example.target is None else () for example in examples],
            ),
            units=_padded(units, 0, False),
            num_units=torch.tensor([len(row) for row in units]),
            activity=self._activity(examples),
            is_activity_known=torch.tensor([len(e.voices) <= self._outputs for e in examples]),
            voices=self._classes_of(examples),
            **self._onsets(examples),
            **self._spans(examples),
            registration=registration_vectors(examples),
            vectors=None if self.given is None else given_vectors(examples),
        )

    def _fitting(self, drawn: Example, plain: Example) -> Example:
        """The example as drawn, with fewer strangers or nobody registered if it is too long."""
        while drawn.registered:
            try:
                self.plan(drawn)
            except Unusable:
                fewer = without_strangers(drawn)
                drawn = fewer if len(fewer.registered) < len(drawn.registered) else plain
            else:
                return drawn
        return plain

    def units(self, example: Example) -> list[int]:
        """Classes of CTC, none if the frames are too few for them.

        Pieces of words that CTC does not know are left out.
        """
        if not example.is_transcribed:
            return []
        ids = self.codec.word_ids(example.transcript)
        found = [self._classes[index] for index in ids if index in self._classes]
        repeated = sum(a == b for a, b in pairwise(found))
        fits = len(found) + repeated <= self.model.unit_frames(len(example.samples))
        return found if fits else []

    def timed_units(self, example: Example) -> list[Unit] | None:
        """Units of CTC with their times, a word's time shared by its units; None if not known."""
        found: list[Unit] = []
        for word in example.words:
            if word.text is None:
                return None
            classes = [self._classes.get(index) for index in self.codec.encode_text(word.text)]
            step = (word.end - word.start) / max(1, len(classes))
            for place, kind in enumerate(classes):
                if kind is None:
                    return None
                start = word.start + place * step
                found.append(Unit(start=start, end=start + step, kind=kind))
        return found

    def _onsets(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """The fields ``onsets`` and ``onset_seconds``."""
        frames = [self.model.unit_frames(len(example.samples)) for example in examples]
        onsets = torch.full((len(examples), max(frames)), IGNORED)
        seconds = torch.zeros(len(examples), max(frames))
        for row, (example, length) in enumerate(zip(examples, frames, strict=True)):
            units = self.timed_units(example) if example.is_transcribed else None
            if units is not None:
                rate = length / example.duration
                classes, durations = onset_targets(units, length, rate)
                onsets[row, :length] = torch.tensor(classes)
                seconds[row, :length] = torch.tensor(durations)
        return {"onsets": onsets, "onset_seconds": seconds}

    def _spans(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """The fields ``spans``, ``span_speakers``, ``span_voices`` and ``span_kinds``."""
        most = max(1, *(len(example.words) for example in examples))
        spans = torch.zeros(len(examples), most, 2)
        speakers = torch.full((len(examples), most), NOBODY)
        voices = torch.full((len(examples), most), IGNORED)
        kinds = torch.zeros((len(examples), most), dtype=torch.long)
        for row, example in enumerate(examples):
            numbers: dict[str, int] = {}
            for place, word in enumerate(example.words):
                spans[row, place] = torch.tensor([word.start, word.end])
                speakers[row, place] = numbers.setdefault(word.speaker, len(numbers))
                name = voice_name(word.speaker, example.speed)
                voices[row, place] = self._voices.get(name, IGNORED)
                kinds[row, place] = self._kind(word.text)
        return {
            "spans": spans,
            "span_speakers": speakers,
            "span_voices": voices,
            "span_kinds": kinds,
        }

    def _kind(self, text: str | None) -> int:
        """Class of CTC of a word that is one unit, 0 of any other and where it is not known."""
        ids = self.codec.encode_text(text) if text is not None else []
        return self._classes.get(ids[0], 0) if len(ids) == 1 else 0

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


def registration_vectors(examples: Sequence[Example]) -> Tensor | None:
    """``[B, R, D]``, zeros behind the last of a row; None where nobody is registered."""
    most = max(len(example.registered) for example in examples)
    if most == 0:
        return None
    width = next(len(r.vector) for example in examples for r in example.registered)
    table = np.zeros((len(examples), most, width), np.float32)
    for row, example in enumerate(examples):
        for place, registered in enumerate(example.registered):
            table[row, place] = registered.vector
    return torch.from_numpy(table)


def given_vectors(examples: Sequence[Example]) -> Tensor:
    """``[B, T, D]``, zeros behind the last of a row.

    Raises:
        ConfigurationError: If an example has none.
    """
    rows = []
    for example in examples:
        if example.vectors is None:
            raise ConfigurationError(
                f"{example.id}: this model takes given vectors ({FILE} beside the manifest), and "
                "this recording came without"
            )
        rows.append(torch.from_numpy(np.ascontiguousarray(example.vectors)))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


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
