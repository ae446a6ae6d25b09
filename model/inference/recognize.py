"""Recordings of any length to what was said: cut, decoded, guarded, stitched.

What fails is said with the reason and never ends the work: a piece that is longer than the context,
an answer that cannot be read, a batch that does not fit into memory (it is halved until it does).
Behind an answer that looped or was cut short, the rest of its piece is heard anew from the last
complete turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from talkover.manifests.audio import unusable
from talkover.manifests.errors import ConfigurationError
from talkover.model.checkpoints import load_model
from talkover.model.data.examples import Example, Registered
from talkover.model.data.given import FILE
from talkover.model.data.people import registered_of
from talkover.model.inference.course import Course, Part
from talkover.model.inference.ears import Ears
from talkover.model.inference.known import known_voices
from talkover.model.inference.pieces import (
    Piece,
    check_window,
    example_of_samples,
    fault_of,
    plan_pieces,
    window_of_model,
)
from talkover.model.inference.placing import apart
from talkover.model.inference.spoken import Spoken
from talkover.model.inference.voices import KnownVoice, linked, same_labels
from talkover.model.transcribe import Answer, DecodeOptions, Transcriber

OUT_OF_MEMORY = "out of memory"
NO_VECTORS = f"no given vectors ({FILE})"

Linking = Literal["auto", "register", "cluster", "labels"]
"""How speakers are carried over pieces: by registration, by clustering of voices, or not at all;
``auto`` takes the first that the model can do."""

LINKINGS: tuple[Linking, ...] = get_args(Linking)

OVERLAP = 3.0
"""Seconds that two pieces share where the window is `OVERLAPPED_WINDOW` or longer."""
OVERLAPPED_WINDOW = 30.0
"""Seconds; in shorter windows too much would be heard twice."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What is to be heard."""

    id: str
    samples: NDArray[np.float32]
    """``[N]`` at the model's rate."""
    registered: tuple[Registered, ...] = ()
    """Whose voices are known; none for those whom the recogniser was given."""
    known: tuple[KnownVoice, ...] = ()
    """Whose voices are compared afterwards; none for those whom the recogniser was given."""
    vectors: NDArray[np.float32] | None = None
    """``[T, D]`` of the recording, where the model takes given ones."""


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
    """Pieces whose answer ended with its budget, with nothing heard of the rest."""
    num_looped: int = 0
    """Pieces whose answer looped, with nothing heard of the rest."""
    num_continued: int = 0
    """How often the rest of a piece was heard anew."""
    coverage: float | None = None
    """Share of the recording up to the last end; None where nothing was said."""

    @property
    def is_failed(self) -> bool:
        """Whether nothing at all is known of the recording."""
        return len(self.faults) == self.num_pieces


@dataclass(frozen=True, kw_only=True)
class LinkOptions:
    """How the pieces of a recording are made one."""

    linking: Linking = "auto"
    overlap: float | None = None
    """Seconds that two pieces share; None for `OVERLAP` in long windows and none in short ones."""
    same_voice: float | None = None
    """From where on two groups of voices are one speaker: a mean cosine, or with a linear model of
    voices log-odds in nats; None for the usual one of each."""
    num_speakers: int | None = None
    """How many there are, if that is known."""
    word_times: bool = False
    """Look for the times of words, where the model has CTC."""


class Recognizer:
    """A model with its window; the same recordings give the same words."""

    def __init__(
        self,
        transcriber: Transcriber,
        *,
        window: float | None = None,
        options: LinkOptions | None = None,
        registered: Sequence[Registered] = (),
        known: Sequence[KnownVoice] = (),
    ) -> None:
        """Take a model and how long it hears at a time; None for as long as it can.

        Args:
            transcriber: With the model.
            window: Seconds of a piece at most.
            options: How pieces are made one.
            registered: Whose voices and names the model reads.
            known: Whose voices are compared afterwards, for a model that reads none.

        Raises:
            ConfigurationError: If the window is too short for words or longer than the model's, or
                the model cannot link so.
        """
        self.transcriber = transcriber
        self.model = transcriber.model
        self.options = options or LinkOptions()
        self.registered, self.known = tuple(registered), tuple(known)
        self.sampling_rate = self.model.parts.features.sampling_rate
        self.ears = Ears(transcriber, word_times=self.options.word_times)
        longest = window_of_model(transcriber)
        self.window = longest if window is None else window
        overlap = self.options.overlap
        if overlap is None:
            overlap = OVERLAP if self.window >= OVERLAPPED_WINDOW else 0.0
        self.overlap = overlap
        check_window(self.window, self.overlap)
        if self.window > longest:
            raise ConfigurationError(
                f"window must be at most {longest:g} s for this checkpoint, got {self.window:g}"
            )
        self.linking = self._linking()
        self._check_known(self.known)

    def recognize(self, recordings: Sequence[Recording]) -> list[Recognized]:
        """What was said in each recording, in their order."""
        courses = [self._course(recording) for recording in recordings]
        while any(course.queue for course in courses):
            waiting: list[tuple[Course, Piece]] = []
            for course in courses:
                waiting += [(course, piece) for piece in course.take(self.linking == "register")]
            examples = [self._example(course, piece) for course, piece in waiting]
            answers = self._answers(examples)
            for (course, piece), answer in zip(waiting, answers, strict=True):
                course.add(piece, answer)
        return [self._stitched(course) for course in courses]

    def _linking(self) -> Linking:
        """What of the choices the model can do.

        Raises:
            ConfigurationError: If it cannot do what was asked.
        """
        parts = self.model.parts
        has_voices = self.ears.has_voices
        is_heard = getattr(self.model.speaker, "hears", "vectors") != "vectors"
        can_register = parts.layout.registration and is_heard and parts.registration_width is None
        if self.registered and not parts.layout.registration:
            raise ConfigurationError("this checkpoint takes no registered speakers")
        wanted = self.options.linking
        if wanted == "auto":
            return "register" if can_register else "cluster" if has_voices else "labels"
        if wanted == "register" and not can_register:
            raise ConfigurationError(
                "linking register needs a checkpoint with layout.registration and a speaker "
                "encoder: take cluster or labels"
            )
        if wanted == "cluster" and not has_voices:
            raise ConfigurationError(
                "linking cluster needs a speaker encoder, or a model of voices that was trained: "
                "take labels"
            )
        return wanted

    def _check_known(self, known: Sequence[KnownVoice]) -> None:
        if known and (self.linking != "cluster" or self.options.num_speakers is not None):
            raise ConfigurationError(
                "known voices of this checkpoint are found by linking cluster, without a number of "
                "speakers"
            )

    def _course(self, recording: Recording) -> Course:
        known = tuple(recording.known) or self.known
        self._check_known(known)
        plan = plan_pieces(recording.samples, self.sampling_rate, self.window, overlap=self.overlap)
        return Course(
            id=recording.id,
            samples=recording.samples,
            ears=self.ears,
            queue=list(plan),
            given=recording.registered or self.registered,
            vectors=recording.vectors,
            clusters=self.linking == "cluster",
            known=known,
            registers=self.linking == "register",
        )

    def _example(self, course: Course, piece: Piece) -> Example:
        samples = np.ascontiguousarray(course.samples[piece.start_sample : piece.end_sample])
        example = example_of_samples(course.id, samples, self.sampling_rate)
        return course.registering(replace(example, vectors=course.vectors_of(piece)))

    def _answers(self, examples: Sequence[Example]) -> list[Answer | str | None]:
        """An answer, a reason why there is none, or None where nothing can be heard."""
        found: list[Answer | str | None] = [None] * len(examples)
        places = []
        for place, example in enumerate(examples):
            if unusable(example.samples, self.sampling_rate) is not None:
                continue
            if self.ears.given is not None and example.vectors is None:
                found[place] = NO_VECTORS
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

    def _stitched(self, course: Course) -> Recognized:
        parts = course.in_order()
        names = self._names(parts, course.known)
        spoken = apart(course.joined(parts, names))
        end = max((s.end for s in spoken), default=None)
        duration = len(course.samples) / self.sampling_rate
        return Recognized(
            id=course.id,
            spoken=tuple(spoken),
            num_pieces=len(parts),
            faults=tuple(part.fault for part in parts if part.fault is not None),
            num_truncated=sum(part.is_truncated for part in parts),
            num_looped=sum(part.is_looped for part in parts),
            num_continued=course.num_continued,
            coverage=None if end is None else min(1.0, end / duration),
        )

    def _names(
        self, parts: Sequence[Part], known: Sequence[KnownVoice]
    ) -> Mapping[tuple[int, str], str]:
        """Names in the recording of each part's labels; parts that were renamed need none."""
        if self.linking == "cluster" and (len(parts) > 1 or known):
            voices = [voice for number, part in enumerate(parts) for voice in part.heard_as(number)]
            likeness, usual = self.ears.likeness()
            asked = self.options.same_voice
            return linked(
                voices,
                least=usual if asked is None else asked,
                num_speakers=self.options.num_speakers,
                likeness=likeness,
                known=known,
            )
        return same_labels([part.spoken for part in parts])


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
    options: LinkOptions | None = None,
    registered: Path | str | None = None,
) -> Recognizer:
    """A checkpoint, ready to hear.

    Args:
        checkpoint: Folder.
        batch_size: Pieces at a time.
        device: As torch names it, or ``auto`` for a GPU where there is one.
        window: Seconds of a piece at most; None for all that the model can hear.
        constrained: Only what the format's grammar allows is written.
        options: How pieces are made one.
        registered: Speakers whose voices are known: a manifest, or a folder of NAME.wav.

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
    decoding = DecodeOptions(batch_size=batch_size, constrained=constrained)
    transcriber = Transcriber(model, codec, decoding)
    people: tuple[Registered, ...] = ()
    known: tuple[KnownVoice, ...] = ()
    if registered is not None and model.parts.layout.registration:
        people = registered_of(registered, model, codec)
    elif registered is not None:
        known = known_voices(registered, Ears(transcriber))
    return Recognizer(transcriber, window=window, options=options, registered=people, known=known)
