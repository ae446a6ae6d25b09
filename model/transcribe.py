"""Recordings to transcripts: batched, with key-value cache, constrained to the format's grammar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from talkover.manifests.serialize import Parsed
from talkover.model.codec import SatsCodec
from talkover.model.data.collate import Collator
from talkover.model.data.examples import Example
from talkover.model.decoding import GrammarProcessor, VocabularyTrie, grammar_of
from talkover.model.modeling import SatsModel, vocabulary_of

LEAST_TOKENS = 64
"""Budget of an answer, whatever the length of the audio."""


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How answers are written."""

    tokens_per_second: float = 40.0
    """Budget of new tokens by length of audio, beyond `LEAST_TOKENS`."""
    constrained: bool = True
    """Only what the format's grammar allows; else whatever the model writes."""
    batch_size: int = 16
    """Recordings at a time."""
    sample: bool = False
    """Draw tokens by chance instead of taking the likeliest."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model wrote about a recording."""

    id: str
    text: str
    parsed: Parsed
    num_tokens: int
    is_truncated: bool
    """The budget was used up before the model ended by itself."""


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
        order = sorted(range(len(examples)), key=lambda i: examples[i].duration)
        found: dict[int, Answer] = {}
        for begin in range(0, len(order), self.options.batch_size):
            places = order[begin : begin + self.options.batch_size]
            answers = self._batch([examples[i] for i in places])
            found.update(zip(places, answers, strict=True))
        return [found[place] for place in range(len(examples))]

    def budget(self, duration: float) -> int:
        """New tokens at most for so many seconds of audio."""
        return LEAST_TOKENS + int(self.options.tokens_per_second * duration)

    def _batch(self, examples: Sequence[Example]) -> list[Answer]:
        batch = self.collator(examples, with_answer=False).to(self.model.device)
        budget = self.budget(max(batch.durations))
        processors = []
        if self.options.constrained:
            config = self.model.parts.codec
            processors.append(
                GrammarProcessor(
                    [grammar_of(config, duration) for duration in batch.durations],
                    self.trie,
                    end_id=self.codec.end_id,
                    pad_id=self.codec.pad_id,
                    budget=budget,
                )
            )
        with torch.inference_mode():
            ids = self.model.generate(
                batch,
                max_new_tokens=budget,
                do_sample=self.options.sample,
                logits_processor=processors,
                eos_token_id=self.codec.end_id,
                pad_token_id=self.codec.pad_id,
                use_cache=True,
            )
        return [
            self._answer(example, row, budget)
            for example, row in zip(examples, ids.tolist(), strict=True)
        ]

    def _answer(self, example: Example, ids: list[int], budget: int) -> Answer:
        has_end = self.codec.end_id in ids
        length = ids.index(self.codec.end_id) if has_end else len(ids)
        text = self.codec.decode(ids)
        return Answer(
            id=example.id,
            text=text,
            parsed=self.codec.parse(text),
            num_tokens=length,
            is_truncated=length + 1 >= budget,
        )
