"""Recordings to transcripts: batched, with key-value cache, constrained to the format's grammar.

Long recordings are encoded in windows and read in chunks (`talkover.model.hearing`,
`talkover.model.prefill`). An answer that loops is stopped, and written again with a little chance;
if every attempt loops, what the first one said before its loop is kept.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.seeds import generator
from talkover.manifests.serialize import Parsed, Transcript, Turn
from talkover.model.batch import Batch
from talkover.model.build import vocabulary_of
from talkover.model.codec import SatsCodec
from talkover.model.data.collate import Collator
from talkover.model.data.examples import Example
from talkover.model.decoding import RowConstraint, VocabularyTrie, grammar_of
from talkover.model.decoding.joint import FieldTable, JointScorer, joint_scorers
from talkover.model.hearing import HearOptions, hear
from talkover.model.layout import Kind
from talkover.model.modeling import SatsModel
from talkover.model.objectives import Heard
from talkover.model.prefill import PREFILL_CHUNK, Prefilled, check_attention, prefill
from talkover.model.reading import Reader, first_turns, last_end
from talkover.model.writing import Pen, Processor, write

LEAST_TOKENS = 256
"""Budget of an answer, whatever the length of the audio."""

RETRIES = (0.2, 0.3, 0.4)
"""Temperatures of further attempts, those of VibeVoice-ASR (its released code)."""


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How answers are written."""

    tokens_per_second: float = 40.0
    """Budget of new tokens by length of audio, beyond `LEAST_TOKENS`: four times dense speech."""
    constrained: bool = True
    """Only what the format's grammar allows; else whatever the model writes."""
    batch_size: int = 16
    """Recordings at a time."""
    joint: float = 6.0
    """Bonus in nats for what the encoder found (`talkover.model.decoding.joint`), where the model
    finds words and each field has a token of its own; 0 lets the language model write alone."""
    sample: bool = False
    """Draw tokens by chance instead of taking the likeliest."""
    retries: tuple[float, ...] = RETRIES
    """Temperatures of further attempts where an answer loops; none to keep the first."""
    seed: int = 0
    """Of what is drawn."""
    prefill_chunk: int = PREFILL_CHUNK
    """Positions that are read at a time."""
    hearing: HearOptions = field(default_factory=HearOptions)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model wrote about a recording."""

    id: str
    text: str
    """As it was written, with a loop up to where it was stopped."""
    parsed: Parsed
    """Without the loop."""
    num_tokens: int
    is_truncated: bool
    """The budget was used up before the model ended by itself."""
    is_looped: bool = False
    """Every attempt said the same over and over."""
    temperature: float = 0.0
    """Of the attempt that was taken."""
    duration: float = 0.0
    """Seconds of audio."""

    @property
    def coverage(self) -> float | None:
        """Share of the audio up to the last time that is named; None where none is named."""
        end = last_end(self.parsed.transcript.turns)
        if end is None or self.duration <= 0:
            return None
        return min(1.0, end / self.duration)


class Transcriber:
    """A model that writes."""

    def __init__(
        self, model: SatsModel, codec: SatsCodec, options: DecodeOptions | None = None
    ) -> None:
        """Take a model, its codec and how to decode."""
        self.model, self.codec = model, codec
        self.model.train(False)
        self.options = options or DecodeOptions()
        self.collator = Collator(model, codec, vocabulary_of(codec))
        self._trie: VocabularyTrie | None = None

    @property
    def trie(self) -> VocabularyTrie:
        """The vocabulary by bytes; built once."""
        if self._trie is None:
            self._trie = VocabularyTrie(self.codec.token_bytes)
        return self._trie

    def answers(self, examples: Sequence[Example]) -> list[Answer]:
        """Answers in the order of the examples; like lengths are decoded together."""
        first = 1.0 if self.options.sample else 0.0
        found = self._attempt(examples, range(len(examples)), first)
        for temperature in self.options.retries:
            looped = [place for place, answer in found.items() if answer.is_looped]
            for place, answer in self._attempt(examples, looped, temperature).items():
                if not answer.is_looped:
                    found[place] = answer
        return [found[place] for place in range(len(examples))]

    def stream(self, example: Example) -> Generator[Turn, None, Answer]:
        """The turns of one recording as they are complete; returns the answer.

        There is one attempt: what was handed out cannot be taken back. It ends at a loop.
        """
        temperature = 1.0 if self.options.sample else 0.0
        with torch.inference_mode():
            batch, prefilled, scorers = self._prefilled([example])
            pen = self._pen(batch, 0, example, temperature, scorers[0])
            reader = Reader(self.codec)
            given = 0
            for _, token in write(self.model.lm, prefilled, [pen], self.processors(batch)):
                reader.read(token)
                pen.is_stopped = reader.is_looped
                yield from reader.turns[given:]
                given = len(reader.turns)
        answer = self._answer(example, pen, reader)
        yield from answer.parsed.transcript.turns[given:]
        return answer

    def budget(self, duration: float) -> int:
        """New tokens at most for so many seconds of audio."""
        return LEAST_TOKENS + int(self.options.tokens_per_second * duration)

    def processors(self, batch: Batch) -> list[Processor]:
        """Changes to the scores before the grammar is asked; none here."""
        return []

    def _attempt(
        self, examples: Sequence[Example], places: Sequence[int], temperature: float
    ) -> dict[int, Answer]:
        """Answers of some examples, by their place."""
        order = sorted(places, key=lambda i: examples[i].duration)
        found: dict[int, Answer] = {}
        for begin in range(0, len(order), self.options.batch_size):
            chosen = order[begin : begin + self.options.batch_size]
            answers = self._batch([examples[i] for i in chosen], temperature)
            found.update(zip(chosen, answers, strict=True))
        return found

    def _batch(self, examples: Sequence[Example], temperature: float) -> list[Answer]:
        with torch.inference_mode():
            batch, prefilled, scorers = self._prefilled(examples)
            pens = [
                self._pen(batch, n, example, temperature, scorers[n])
                for n, example in enumerate(examples)
            ]
            readers = [Reader(self.codec) for _ in examples]
            for row, token in write(self.model.lm, prefilled, pens, self.processors(batch)):
                readers[row].read(token)
                pens[row].is_stopped = readers[row].is_looped
        return [
            self._answer(example, pen, reader)
            for example, pen, reader in zip(examples, pens, readers, strict=True)
        ]

    def _prefilled(
        self, examples: Sequence[Example]
    ) -> tuple[Batch, Prefilled, Sequence[JointScorer | None]]:
        """The language model, having read what the examples hold, and what was found in them."""
        batch = self.collator(examples, with_answer=False).to(self.model.device)
        check_attention(self.model.parts, batch.kinds.shape[1])
        heard = hear(
            self.model, batch.audio, batch.num_samples, self.options.hearing, batch.vectors
        )
        mask: Tensor = (batch.kinds != int(Kind.PAD)).long()
        with self.model.deep_hooks(batch, heard):
            prefilled = prefill(
                self.model.lm,
                self.model.embed(batch, heard),
                mask,
                chunk=self.options.prefill_chunk,
            )
        return batch, prefilled, self._scorers(heard, len(batch))

    def _scorers(self, heard: Heard, rows: int) -> Sequence[JointScorer | None]:
        """What the encoder found, as a say in what each row writes."""
        options, parts = self.options, self.model.parts
        if heard.said is None or options.joint == 0 or not FieldTable.fits(self.codec):
            return [None] * rows
        units, most = parts.tables.units, parts.max_speakers
        return joint_scorers(self.codec, units, heard.said, most=most, weight=options.joint)

    def _pen(
        self,
        batch: Batch,
        row: int,
        example: Example,
        temperature: float,
        joint: JointScorer | None,
    ) -> Pen:
        budget = self.budget(example.duration)
        limit = self.model.parts.lm.config.get("max_position_embeddings")
        if limit is not None:
            read = int((batch.kinds[row] != int(Kind.PAD)).sum())
            budget = min(budget, limit - read)
            if budget < 1:
                raise ConfigurationError(
                    f"{example.id}: the context of {limit} positions has no room for an answer"
                )
        constraint = None
        if self.options.constrained and example.instruction is None:
            names = [registered.name for registered in example.registered]
            constraint = RowConstraint(
                grammar_of(self.model.parts.codec, example.duration, names),
                self.trie,
                end_id=self.codec.end_id,
                budget=budget,
            )
        random = torch.Generator()
        decision = f"model/transcribe/{example.id}/{temperature:g}"
        random.manual_seed(int(generator(self.options.seed, 0, decision).integers(2**62)))
        return Pen(
            budget=budget,
            end_id=self.codec.end_id,
            constraint=constraint,
            joint=None if example.instruction is not None else joint,
            temperature=temperature,
            random=random,
        )

    def _answer(self, example: Example, pen: Pen, reader: Reader) -> Answer:
        text = self.codec.decode(pen.ids)
        if example.instruction is None:
            parsed = self.codec.parse(text)
        else:
            parsed = Parsed(transcript=Transcript(), repairs=())
        if reader.kept is not None:
            parsed = first_turns(parsed, reader.kept)
        has_end = bool(pen.ids) and pen.ids[-1] == self.codec.end_id
        return Answer(
            id=example.id,
            text=text,
            parsed=parsed,
            num_tokens=len(pen.ids) - has_end,
            is_truncated=not reader.is_looped and len(pen.ids) >= pen.budget,
            is_looped=reader.is_looped,
            temperature=pen.temperature,
            duration=example.duration,
        )
