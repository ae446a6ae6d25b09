"""The registration loop: who was heard in one piece is registered for the next.

Piece 1 is heard without a registration. Each speaker's cleanest segments are embedded; for the next
piece all known speakers are registered, whether they speak there or not (the mode that SpeakerLM
calls Over), each by the mean of what was heard of them so far. What the model writes under a
registered name belongs to that speaker; a new voice gets the next number.

Names in the prompt are drawn as in training: they say nothing of anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.seeds import generator
from talkover.manifests.serialize.transcript import speaker_label
from talkover.model.data.enrolment import samples_vector
from talkover.model.data.examples import Registered
from talkover.model.data.names import drawn_names
from talkover.model.inference.spoken import Spoken
from talkover.model.inference.voices import anonymous, clean_speech
from talkover.model.modeling import SatsModel


@dataclass(kw_only=True)
class Known:
    """A speaker of a recording."""

    label: str
    """In the recording: S01, S02, …"""
    name: str
    """In the prompt."""
    total: NDArray[np.float64] | None = None
    """Sum of what was heard, weighted by seconds."""
    seconds: float = 0.0

    def add(self, vector: NDArray[np.float32], seconds: float) -> None:
        """Take in more of the voice."""
        more = vector.astype(np.float64) * seconds
        self.total = more if self.total is None else self.total + more
        self.seconds += seconds


@dataclass(kw_only=True)
class SpeakerBook:
    """The speakers of one recording so far."""

    model: SatsModel
    given: tuple[Registered, ...] = ()
    """Registered from outside; they keep their names and vectors."""
    known: list[Known] = field(default_factory=list)

    def registered(self) -> tuple[Registered, ...]:
        """Who is registered for the next piece."""
        mine = [
            Registered(name=k.name, vector=(k.total / k.seconds).astype(np.float32))
            for k in self.known
            if k.total is not None
        ]
        return (*self.given, *mine)

    def learn(
        self,
        samples: NDArray[np.float32],
        sampling_rate: int,
        spoken: Sequence[Spoken],
        *,
        more: bool = True,
    ) -> Mapping[str, str]:
        """Take in a piece; gives the recording's name of each of its labels.

        Args:
            samples: Of the piece.
            sampling_rate: In Hz.
            spoken: On the piece's clock, under the labels and names that the model wrote.
            more: Whether there is another piece, for which voices are needed.
        """
        by_name = {known.name: known for known in self.known}
        names = {g.name: g.name for g in self.given}
        names |= {known.name: known.label for known in self.known}
        for label in anonymous(spoken):
            by_name[label] = self._new()
            names[label] = by_name[label].label
        for label in dict.fromkeys(s.speaker for s in spoken):
            if label not in by_name:
                names.setdefault(label, label)
                continue
            if not more:
                continue
            clean = clean_speech(samples, sampling_rate, spoken, label)
            if len(clean):
                vector = samples_vector(self.model, clean)
                by_name[label].add(vector, len(clean) / sampling_rate)
        return names

    def _new(self) -> Known:
        """The next speaker."""
        number = len(self.known) + 1
        taken = {g.name for g in self.given}
        rng = generator(0, 0, "model/inference/names")
        count = number + len(taken)
        names = [name for name in drawn_names(count, rng) if name not in taken]
        used = {known.name for known in self.known}
        name = next(name for name in names if name not in used)
        self.known.append(Known(label=speaker_label(number), name=name))
        return self.known[-1]
