"""The course of one recording: its pieces one after the other, and what became of each.

A part is a piece with what was said in it. Where an answer looped or was cut short, the rest of its
piece goes to the head of the queue, as a piece of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.serialize import Turn
from talkover.model.data.examples import Example, Registered
from talkover.model.inference.book import SpeakerBook
from talkover.model.inference.ears import Ears
from talkover.model.inference.pieces import Piece
from talkover.model.inference.placing import place_turns
from talkover.model.inference.spoken import Spoken
from talkover.model.inference.voices import KnownVoice, LocalVoice, Voice
from talkover.model.reading import last_end
from talkover.model.transcribe import Answer

UNREADABLE = "the answer cannot be read"

LEAST_STEP = 1.0
"""Seconds that an answer must get on before the rest of its piece is heard anew, and that the rest
must be long."""
MOST_CONTINUATIONS = 8
"""Times that the rest of a piece is heard anew."""
HALF = 0.5
"""Share of a turn that another one must cover to say the same."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece, and what was said in it."""

    piece: Piece
    spoken: tuple[Spoken, ...] = ()
    """On the recording's clock."""
    voices: Mapping[str, tuple[Voice, float]] = field(default_factory=dict)
    fault: str | None = None
    is_truncated: bool = False
    is_looped: bool = False

    def heard_as(self, number: int) -> list[LocalVoice]:
        """The voices of this part, which is the ``number``-th."""
        return [
            LocalVoice(piece=number, label=label, voice=voice, weight=weight)
            for label, (voice, weight) in self.voices.items()
        ]


@dataclass(kw_only=True)
class Course:
    """See the module."""

    id: str
    samples: NDArray[np.float32]
    ears: Ears
    queue: list[Piece]
    given: tuple[Registered, ...] = ()
    """Registered from outside."""
    vectors: NDArray[np.float32] | None = None
    """Of the recording, where the model takes given ones."""
    clusters: bool = False
    """Whether speakers are carried over pieces by the voices of all of them."""
    known: tuple[KnownVoice, ...] = ()
    """Whose voices are compared; so voices are needed even of a recording in one piece."""
    registers: bool = False
    """Whether speakers of one piece are registered for the next."""
    parts: list[Part] = field(default_factory=list)
    num_continued: int = 0
    book: SpeakerBook | None = None
    is_cut: bool = False
    """Whether there is more than one piece."""

    def __post_init__(self) -> None:
        """Open the book."""
        self.is_cut = len(self.queue) > 1
        if self.registers:
            self.book = SpeakerBook(model=self.ears.model, given=self.given)

    def take(self, one: bool) -> list[Piece]:
        """The pieces that are heard next: the first, or all that wait."""
        count = 1 if one else len(self.queue)
        taken, self.queue = self.queue[:count], self.queue[count:]
        return taken

    def vectors_of(self, piece: Piece) -> NDArray[np.float32] | None:
        """Those of the given vectors that are of a piece."""
        form = self.ears.given
        if form is None or self.vectors is None:
            return None
        start = piece.start_sample / self.ears.sampling_rate
        return form.cut(self.vectors, start, piece.num_samples)

    def registering(self, example: Example) -> Example:
        """The example with those who are registered."""
        registered = self.given if self.book is None else self.book.registered()
        return replace(example, registered=registered) if registered else example

    def add(self, piece: Piece, answer: Answer | str | None) -> None:
        """Take in what came of a piece."""
        if isinstance(answer, str):
            self.parts.append(Part(piece=piece, fault=answer))
        elif answer is None:
            self.parts.append(Part(piece=piece))
        elif not is_readable(answer):
            self.parts.append(Part(piece=piece, fault=UNREADABLE))
        else:
            self._add(piece, answer)

    def in_order(self) -> list[Part]:
        """The parts by time."""
        return sorted(self.parts, key=lambda part: part.piece.start_sample)

    def joined(self, parts: Sequence[Part], names: Mapping[tuple[int, str], str]) -> list[Spoken]:
        """All turns under the recording's names, each once.

        Args:
            parts: In order.
            names: By number of the part and label.
        """
        said = [
            [
                replace(
                    s,
                    speaker=names.get((number, s.speaker), s.speaker),
                    chunk=number,
                    chunk_speaker=s.chunk_speaker or s.speaker,
                )
                for s in part.spoken
            ]
            for number, part in enumerate(parts)
        ]
        rate = self.ears.sampling_rate
        cores = [
            None if p.piece.core is None else (p.piece.core[0] / rate, p.piece.core[1] / rate)
            for p in parts
        ]
        return merged(said, cores)

    def _add(self, piece: Piece, answer: Answer) -> None:
        """A part from an answer, and perhaps the rest of its piece."""
        turns = answer.parsed.transcript.turns
        rest = None
        if answer.is_looped or answer.is_truncated:
            believed = turns[:-1] if answer.is_truncated else turns
            rest = self._rest(piece, believed)
        if rest is not None:
            turns = believed
            self.num_continued += 1
            self.is_cut = True
            self.queue.insert(0, rest)
            piece = _before(piece, rest.start_sample)
        rate = self.ears.sampling_rate
        samples = self.samples[piece.start_sample : piece.end_sample]
        spoken = place_turns(turns, piece.num_samples / rate)
        listened = self.ears.listen(
            samples,
            spoken,
            needs_voices=self.clusters and (self.is_cut or bool(self.known)),
            vectors=self.vectors_of(piece),
        )
        named = listened.spoken
        if self.book is not None:
            names = self.book.learn(samples, rate, named, more=bool(self.queue))
            named = [replace(s, speaker=names[s.speaker], chunk_speaker=s.speaker) for s in named]
        self.parts.append(
            Part(
                piece=piece,
                spoken=tuple(s.moved(piece.start_sample / rate) for s in named),
                voices=listened.voices,
                is_truncated=answer.is_truncated and rest is None,
                is_looped=answer.is_looped and rest is None,
            )
        )

    def _rest(self, piece: Piece, turns: Sequence[Turn]) -> Piece | None:
        """What of a piece is heard anew behind its last complete turn; None for nothing."""
        end = last_end(turns)
        if end is None or piece.attempt >= MOST_CONTINUATIONS:
            return None
        rate = self.ears.sampling_rate
        step = round(end * rate)
        left = piece.num_samples - step
        if step < LEAST_STEP * rate or left < LEAST_STEP * rate:
            return None
        begin = piece.start_sample + step
        core = None if piece.core is None else (min(begin, piece.core[1]), piece.core[1])
        return Piece(start_sample=begin, num_samples=left, core=core, attempt=piece.attempt + 1)


def _before(piece: Piece, sample: int) -> Piece:
    """A piece up to a sample of the recording."""
    core = piece.core
    if core is not None:
        core = core[0], min(max(core[0], sample), core[1])
    return replace(piece, num_samples=sample - piece.start_sample, core=core)


def merged(
    said: Sequence[Sequence[Spoken]], cores: Sequence[tuple[float, float] | None]
) -> list[Spoken]:
    """Turns of pieces that overlap, each once: it belongs to the core that has its middle.

    A turn over a cut may end in one piece's hearing before its true end and begin in the other's
    behind its true start, so that neither core has its middle. It is kept if no turn of the same
    speaker that was kept covers half of it.

    Args:
        said: By piece, on one clock.
        cores: Of each piece in seconds; None takes all that was heard.
    """
    kept: list[Spoken] = []
    spare: list[Spoken] = []
    for spoken, core in zip(said, cores, strict=True):
        for s in spoken:
            inside = core is None or core[0] <= (s.start + s.end) / 2 < core[1]
            (kept if inside else spare).append(s)
    for s in sorted(spare, key=lambda s: (s.start - s.end, s.start)):
        if not any(_says(k, s) for k in kept):
            kept.append(s)
    return sorted(kept, key=lambda s: (s.start, s.end, s.speaker))


def _says(kept: Spoken, other: Spoken) -> bool:
    """Whether one turn covers half of another of the same speaker."""
    shared = min(kept.end, other.end) - max(kept.start, other.start)
    return kept.speaker == other.speaker and shared >= HALF * (other.end - other.start)


def is_readable(answer: Answer) -> bool:
    """Whether an answer says something, or says that there is nothing."""
    parsed = answer.parsed
    return bool(parsed.transcript.turns or parsed.transcript.events) or not parsed.repairs
