"""A second hearing of a piece whose words are known: times of its words, voices of its speakers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from talkover.model.hearing import hear
from talkover.model.inference.alignment import WordTimer
from talkover.model.inference.likeness import AS_LIKELY, Cosine, Likeness, SameSpeaker
from talkover.model.inference.spoken import Spoken
from talkover.model.inference.voices import SAME_VOICE, Voice, voices_of
from talkover.model.inference.word_voices import can_tell_words_apart, word_voices
from talkover.model.transcribe import Transcriber


@dataclass(frozen=True, kw_only=True)
class Listened:
    """What the second hearing gave."""

    spoken: list[Spoken]
    """With the times of words, where they were asked for."""
    voices: dict[str, tuple[Voice, float]] = field(default_factory=dict)
    """Voice of each unnamed speaker, and its weight: clean seconds, or words."""


class Ears:
    """The encoders of a model, by which words and voices are found again."""

    def __init__(self, transcriber: Transcriber, *, word_times: bool = False) -> None:
        """Take a model; word times need CTC."""
        self.model = transcriber.model
        self.hearing = transcriber.options.hearing
        self.given = transcriber.collator.given
        """Vectors that the model takes instead of sound, if it does."""
        units = self.model.parts.tables.units
        self.timer = None
        if word_times and units:
            classes = {unit: place for place, unit in enumerate(units, start=1)}
            self.timer = WordTimer(codec=transcriber.codec, classes=classes)

    @property
    def sampling_rate(self) -> int:
        """Hz."""
        return int(self.model.parts.features.sampling_rate)

    @property
    def has_voices(self) -> bool:
        """Whether speakers of different pieces can be compared."""
        return self.model.speaker is not None or can_tell_words_apart(self.model)

    def likeness(self) -> tuple[Likeness, float]:
        """How voices are compared, and from where on two are one speaker's."""
        if self.model.speaker is None and self.model.voices is not None:
            plda = self.model.voices.plda
            if plda is not None:
                return SameSpeaker(plda.between), AS_LIKELY
        return Cosine(), SAME_VOICE

    def listen(
        self,
        samples: NDArray[np.float32],
        spoken: Sequence[Spoken],
        *,
        needs_voices: bool,
        vectors: NDArray[np.float32] | None = None,
    ) -> Listened:
        """Hear a piece again.

        Args:
            samples: Of the piece.
            spoken: On the piece's clock.
            needs_voices: Whether the voices of its speakers are wanted.
            vectors: Of the piece, where the model takes given ones.
        """
        if not spoken or not (needs_voices or self.timer is not None):
            return Listened(spoken=list(spoken))
        with torch.inference_mode():
            audio = torch.from_numpy(np.ascontiguousarray(samples))[None].to(self.model.device)
            count = torch.tensor([len(samples)], device=self.model.device)
            given = None
            if vectors is not None:
                given = torch.from_numpy(np.ascontiguousarray(vectors))[None].to(self.model.device)
            heard = hear(self.model, audio, count, self.hearing, given)
            timed = list(spoken)
            duration = len(samples) / self.sampling_rate
            if self.timer is not None and heard.unit_logits is not None:
                frames = heard.unit_logits[0, : int(heard.encoded.lengths[0])]
                table = frames.float().log_softmax(-1).cpu().numpy()
                timed = self.timer.timed(timed, table, len(table) / duration)
        voices = {}
        if needs_voices and heard.voices is not None:
            voices = voices_of(self.model, heard.voices, duration, spoken)
        elif needs_voices and can_tell_words_apart(self.model):
            voices = word_voices(self.model, heard, spoken)
        return Listened(spoken=timed, voices=voices)
