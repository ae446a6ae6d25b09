"""How many positions a session takes in the language model's context, and of what kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from talkover.manifests.schema import Session
from talkover.model.codec import SatsCodec, UnknownCharacter
from talkover.model.data.collate import Geometry
from talkover.model.layout import Kind, Vocabulary, plan_layout


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """Positions of one session, heard and written in one pass."""

    session: str
    duration: float
    """Seconds."""
    audio: int
    """Vectors of the encoders."""
    markers: int
    """Tokens of time markers between them."""
    prompt: int
    """Fixed texts and the instruction."""
    text: int
    """Tokens of words."""
    stamps: int
    """Tokens of times, speakers and the format's marks, with the end."""

    @property
    def positions(self) -> int:
        """All of them."""
        return self.audio + self.markers + self.prompt + self.text + self.stamps

    def scaled(self, duration: float) -> Tokens:
        """A session of the same density and another length."""
        factor = duration / self.duration
        return Tokens(
            session=f"{self.session} × {factor:.2f}",
            duration=duration,
            audio=round(self.audio * factor),
            markers=round(self.markers * factor),
            prompt=self.prompt,
            text=round(self.text * factor),
            stamps=round(self.stamps * factor),
        )

    def parts(self) -> str:
        """The sum in words."""
        return (
            f"{self.audio:,} audio + {self.markers:,} markers + {self.prompt:,} prompt + "
            f"{self.text:,} text + {self.stamps:,} stamps = {self.positions:,} tokens"
        )


def count_tokens(
    session: Session, geometry: Geometry, codec: SatsCodec, vocabulary: Vocabulary
) -> Tokens:
    """Count without reading the audio.

    Raises:
        ConfigurationError: If a marker has no token.
        UnknownCharacter: If the tokenizer cannot write the text.
    """
    rate = geometry.parts.features.sampling_rate
    streams = geometry.streams(int(session.audio.duration * rate))
    prompt = codec.serializer.prompt() if geometry.parts.layout.use_prompt else ""
    plan = plan_layout(streams, geometry.parts.layout, vocabulary, prompt=prompt)
    kinds = Counter(plan.kinds)
    words = marks = 0
    if any(row.text is not None for row in session.supervisions):
        known = tuple(row for row in session.supervisions if row.text is not None)
        written = session.model_copy(update={"supervisions": known})
        target = codec.encode(codec.transcribed(written).transcript)
        words = sum(tag == "word" for tag in target.tags)
        marks = len(target.ids) - words
    return Tokens(
        session=session.id,
        duration=session.audio.duration,
        audio=kinds[Kind.SEMANTIC] + kinds[Kind.SPEAKER],
        markers=kinds[Kind.MARKER],
        prompt=kinds[Kind.TEXT] + kinds[Kind.REGISTRATION],
        text=words,
        stamps=marks + 1,
    )


__all__ = ["Tokens", "UnknownCharacter", "count_tokens"]
