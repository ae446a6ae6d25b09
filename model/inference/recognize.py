"""Recordings of any length to what was said: cut, decoded in batches, stitched.

Each piece is heard by itself; `talkover.model.inference.voices` links its speakers to those of the
pieces before. What fails is said with the reason and never ends the work: a piece that is longer
than the context, an answer that cannot be read, a batch that does not fit into memory (it is halved
until it does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkover.manifests.audio import unusable
from talkover.manifests.errors import ConfigurationError
from talkover.model.checkpoints import load_model
from talkover.model.data.examples import Example
from talkover.model.inference.pieces import (
    Piece,
    check_window,
    example_of_samples,
    fault_of,
    plan_pieces,
    window_of_model,
)
from talkover.model.inference.placing import apart, place_turns
from talkover.model.inference.voices import Linker, Spoken, linker_of
from talkover.model.transcribe import Answer, DecodeOptions, Transcriber

OUT_OF_MEMORY = "out of memory"
UNREADABLE = "the answer cannot be read"


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What is to be heard."""

    id: str
    samples: NDArray[np.float32]
    """``[N]`` at the model's rate."""


@dataclass(frozen=True, kw_only=True)
class Recognized:
    """What was heard in a recording."""

    id: str
    spoken: tuple[Spoken, ...]
    """On the recording's clock, by start."""
    num_pieces: int
    faults: tuple[str, ...] = ()
    """Reasons of the pieces of which nothing is known."""
    num_truncated: int = 0
    """Pieces whose answer ended with its budget."""

    @property
    def is_failed(self) -> bool:
        """Whether nothing at all is known of the recording."""
        return len(self.faults) == self.num_pieces


class Recognizer:
    """A model with its window; the same recordings give the same words."""

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        window: float | None = None,
    ) -> None:
        """Take a model and how long it hears at a time; None for as long as it can.

        Raises:
            ConfigurationError: If the window is too short for words, or longer than the model's.
        """
        self.transcriber = transcriber
        self.model = transcriber.model
        self.sampling_rate = self.model.parts.features.sampling_rate
        longest = window_of_model(transcriber)
        self.window = longest if window is None else window
        check_window(self.window)
        if self.window > longest:
            raise ConfigurationError(
                f"window must be at most {longest:g} s for this checkpoint, got {self.window:g}"
            )

    def recognize(self, recordings: Sequence[Recording]) -> list[Recognized]:
        """What was said in each recording, in their order."""
        plans = [plan_pieces(r.samples, self.sampling_rate, self.window) for r in recordings]
        examples = [
            self._example(recording, piece)
            for recording, plan in zip(recordings, plans, strict=True)
            for piece in plan
        ]
        answers = iter(self._answers(examples))
        return [
            self._stitched(recording, plan, [next(answers) for _ in plan])
            for recording, plan in zip(recordings, plans, strict=True)
        ]

    def _example(self, recording: Recording, piece: Piece) -> Example:
        end = piece.start_sample + piece.num_samples
        samples = np.ascontiguousarray(recording.samples[piece.start_sample : end])
        return example_of_samples(recording.id, samples, self.sampling_rate)

    def _answers(self, examples: Sequence[Example]) -> list[Answer | str | None]:
        """An answer, a reason why there is none, or None where nothing can be heard."""
        found: list[Answer | str | None] = [None] * len(examples)
        places = []
        for place, example in enumerate(examples):
            if unusable(example.samples, self.sampling_rate) is not None:
                continue
            found[place] = fault_of(self.transcriber.collator, example)
            if found[place] is None:
                places.append(place)
        places.sort(key=lambda place: examples[place].duration)
        size = self.transcriber.options.batch_size
        for begin in range(0, len(places), size):
            chosen = places[begin : begin + size]
            answers = self._decoded([examples[place] for place in chosen])
            for place, answer in zip(chosen, answers, strict=True):
                found[place] = answer
        return found

    def _decoded(self, examples: Sequence[Example]) -> list[Answer | str]:
        try:
            return list(self.transcriber.answers(examples))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(examples) == 1:
            return [OUT_OF_MEMORY]
        middle = len(examples) // 2
        return self._decoded(examples[:middle]) + self._decoded(examples[middle:])

    def _stitched(
        self, recording: Recording, plan: Sequence[Piece], answers: Sequence[Answer | str | None]
    ) -> Recognized:
        linker: Linker | None = linker_of(self.model) if len(plan) > 1 else None
        found: list[Spoken] = []
        faults: list[str] = []
        for piece, answer in zip(plan, answers, strict=True):
            if isinstance(answer, str):
                faults.append(answer)
            elif answer is not None and not is_readable(answer):
                faults.append(UNREADABLE)
            elif answer is not None:
                found += self._moved(recording, piece, answer, linker)
        return Recognized(
            id=recording.id,
            spoken=tuple(apart(found)),
            num_pieces=len(plan),
            faults=tuple(faults),
            num_truncated=sum(isinstance(a, Answer) and a.is_truncated for a in answers),
        )

    def _moved(
        self, recording: Recording, piece: Piece, answer: Answer, linker: Linker | None
    ) -> list[Spoken]:
        """The turns of a piece on the recording's clock, under the recording's names."""
        spoken = place_turns(answer.parsed.transcript.turns, piece.num_samples / self.sampling_rate)
        names = {s.speaker: s.speaker for s in spoken}
        if linker is not None:
            end = piece.start_sample + piece.num_samples
            names = dict(linker.names(recording.samples[piece.start_sample : end], spoken))
        begin = piece.start_sample / self.sampling_rate
        return [
            replace(s, speaker=names[s.speaker], start=s.start + begin, end=s.end + begin)
            for s in spoken
        ]


def is_readable(answer: Answer) -> bool:
    """Whether an answer says something, or says that there is nothing."""
    parsed = answer.parsed
    return bool(parsed.transcript.turns or parsed.transcript.events) or not parsed.repairs


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error is the want of memory, on a GPU or here."""
    is_ours = isinstance(error, (MemoryError, torch.OutOfMemoryError))
    return is_ours or "can't allocate memory" in str(error)


def load_recognizer(
    checkpoint: Path | str,
    *,
    batch_size: int = 16,
    device: str = "auto",
    window: float | None = None,
    constrained: bool = True,
) -> Recognizer:
    """A checkpoint, ready to hear.

    Args:
        checkpoint: Folder.
        batch_size: Pieces at a time.
        device: As torch names it, or ``auto`` for a GPU where there is one.
        window: Seconds of a piece at most; None for all that the model can hear.
        constrained: Only what the format's grammar allows is written.

    Raises:
        ConfigurationError: If the folder is no checkpoint, or the device is not there.
    """
    if batch_size < 1:
        raise ConfigurationError(f"batch_size must be 1 or more, got {batch_size}")
    model, codec = load_model(checkpoint)
    name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    try:
        model.to(torch.device(name))  # type: ignore[arg-type, unused-ignore]
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigurationError(f"device {device!r} cannot be used: {reason}") from error
    options = DecodeOptions(batch_size=batch_size, constrained=constrained)
    return Recognizer(Transcriber(model, codec, options), window=window)
