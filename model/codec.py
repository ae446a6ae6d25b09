"""Between sessions and token ids: the text format of `manifests.serialize` and a tokenizer."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Session
from talkover.manifests.serialize import (
    Parsed,
    Transcribed,
    Transcript,
    TranscriptOptions,
    from_session,
    serializer,
)
from talkover.manifests.serialize.from_session import Extra
from talkover.manifests.serialize.transcript import speaker_label
from talkover.model.target import Target, TimeTokens, plain_target, target_of
from talkover.model.tokens import (
    REGISTRATION,
    SEMANTIC,
    SPEAKER,
    AtomConfig,
    atoms,
    bytes_of_tokens,
    load_tokenizer,
    speaker_atom,
    time_atom,
    train_tokenizer,
)


class UnknownCharacter(ValueError):
    """A text that the tokenizer cannot write."""


@dataclass(frozen=True, kw_only=True)
class CodecConfig:
    """How a transcript is written."""

    format: str = "inline"
    """Name of a format of `talkover.manifests.serialize`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the format, such as ``with_speakers``."""
    digits: int = 1
    """Digits after the point of a written time."""
    unit: str = "supervision"
    """``supervision``, or ``turn`` for supervisions of one turn joined."""
    extras: tuple[Extra, ...] = ()
    """What is marked besides who, when and what."""
    atoms: AtomConfig = field(default_factory=AtomConfig)
    vocab_size: int = 1024
    """Of a tokenizer of our own."""
    tokenizer: str | None = None
    """Local folder of a tokenizer of Hugging Face; None trains one on the texts."""
    marks: tuple[str, ...] = ()
    """Control tokens that the layout's texts hold, such as ``<|im_end|>``; added where missing."""


class SatsCodec:
    """A format and a tokenizer."""

    def __init__(self, config: CodecConfig, tokenizer: Any) -> None:
        """Join the two; see `build_codec`."""
        self.config, self.tokenizer = config, tokenizer
        options = dict(config.options)
        self.serializer = serializer(config.format, digits=config.digits, **options)
        vocabulary = tokenizer.get_vocab()
        self.pad_id, self.end_id = int(tokenizer.pad_token_id), int(tokenizer.eos_token_id)
        self.semantic_id = vocabulary[SEMANTIC]
        self.speaker_id = vocabulary[SPEAKER]
        self.registration_id = vocabulary[REGISTRATION]

    @functools.cached_property
    def token_bytes(self) -> list[bytes | None]:
        """What each token adds to a text; None for control tokens."""
        return bytes_of_tokens(self.tokenizer)

    def __len__(self) -> int:
        """Number of token ids."""
        return len(self.tokenizer)

    def transcribed(self, session: Session, names: Mapping[str, str] | None = None) -> Transcribed:
        """What the text of a session says; see `from_session`."""
        options = TranscriptOptions(
            digits=self.config.digits,
            unit="turn" if self.config.unit == "turn" else "supervision",
            extras=self.config.extras,
            names=names or {},
        )
        return from_session(session, options)

    def encode_text(self, text: str) -> list[int]:
        """Token ids of a text; control tokens in it are read as the letters that they are."""
        return [int(i) for i in self._encoding(text)["input_ids"]]

    def encode_fixed(self, text: str) -> list[int]:
        """Token ids of a text of the configuration; control tokens in it are read as such."""
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=False)
        return [int(i) for i in ids["input_ids"]]

    def encode(self, transcript: Transcript) -> Target:
        """The target of a transcript.

        Raises:
            UnknownCharacter: If the tokenizer cannot write it.
        """
        pieces = self.serializer.pieces(transcript)
        text = "".join(piece.text for piece in pieces)
        encoding = self._encoding(text)
        ids = [int(i) for i in encoding["input_ids"]]
        if self.tokenizer.unk_token_id in ids or self.decode(ids) != text:
            raise UnknownCharacter(f"the tokenizer cannot write {text!r}")
        return target_of(pieces, ids, encoding["offset_mapping"], self._time_tokens)

    def encode_plain(self, text: str) -> Target:
        """The target of a free text, such as the answer to a question.

        Raises:
            UnknownCharacter: If the tokenizer cannot write it.
        """
        ids = self.encode_text(text)
        if self.tokenizer.unk_token_id in ids or self.decode(ids) != text:
            raise UnknownCharacter(f"the tokenizer cannot write {text!r}")
        return plain_target(ids)

    @functools.cached_property
    def _time_tokens(self) -> TimeTokens:
        return TimeTokens(
            digits=self.config.digits,
            atoms=frozenset(self.time_ids()),
            figures=self.digit_ids(),
        )

    def digit_ids(self) -> tuple[int, ...]:
        """Token ids of the digits 0 to 9; none if one of them is not a token of its own."""
        found = [self.encode_text(str(digit)) for digit in range(10)]
        return tuple(ids[0] for ids in found) if all(len(ids) == 1 for ids in found) else ()

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids, up to the end token; control tokens add nothing."""
        found = bytearray()
        for index in ids:
            if index == self.end_id:
                break
            found += self.token_bytes[index] or b""
        return found.decode("utf8", errors="replace")

    def parse(self, text: str) -> Parsed:
        """Read a text; never raises."""
        return self.serializer.parse(text)

    def word_ids(self, transcript: Transcript) -> list[int]:
        """Ids of all words in the order of the text, without marks and spaces: what CTC learns."""
        words = [word for turn in transcript.turns for word in turn.text.split()]
        return [index for word in words for index in self._word_ids(word)]

    @functools.cached_property
    def _word_ids(self) -> Any:
        return functools.lru_cache(maxsize=65536)(self.encode_text)

    def time_id(self, time: float) -> int | None:
        """The atom of a time in seconds, if it is one."""
        return self._atom(time_atom(self.config.format, time, self.config.digits))

    def time_ids(self) -> list[int]:
        """Atoms of 0 s to the last, in steps of the resolution."""
        steps = 10**self.config.digits
        found = [self.time_id(k / steps) for k in range(self._num_times)]
        return [index for index in found if index is not None]

    def speaker_ids(self, count: int) -> list[int]:
        """Atoms of S01 to S``count``.

        Raises:
            ConfigurationError: If some are no atoms.
        """
        texts = [speaker_atom(self.config.format, speaker_label(n + 1)) for n in range(count)]
        found = [None if text is None else self._atom(text) for text in texts]
        if None in found:
            raise ConfigurationError(
                f"codec.atoms.max_speakers must be {count} or more for speaker cues, "
                f"got {self.config.atoms.max_speakers}"
            )
        return [index for index in found if index is not None]

    @property
    def _num_times(self) -> int:
        if self.config.atoms.max_time <= 0:
            return 0
        steps: int = 10**self.config.digits
        return round(self.config.atoms.max_time * steps) + 1

    @functools.cached_property
    def _added(self) -> dict[str, int]:
        """Ids of atoms: the tokenizer makes the table anew at each call, of up to 54,001 times."""
        return dict(self.tokenizer.get_added_vocab())

    def _atom(self, text: str) -> int | None:
        index = self._added.get(text)
        return None if index is None else int(index)

    def _encoding(self, text: str) -> Any:
        return self.tokenizer(
            text,
            add_special_tokens=False,
            return_offsets_mapping=True,
            split_special_tokens=True,
            return_attention_mask=False,
        )


def build_codec(config: CodecConfig, texts: Iterable[str] = ()) -> SatsCodec:
    """A codec with its tokenizer trained on target texts, or loaded from a folder.

    Args:
        config: Format, atoms, tokenizer.
        texts: Target texts, for a tokenizer of our own.

    Raises:
        ConfigurationError: If the tokenizer cannot be made or loaded.
    """
    wanted = atoms(config.format, config.digits, config.atoms)
    if config.tokenizer is not None:
        return SatsCodec(config, load_tokenizer(config.tokenizer, atoms=wanted, marks=config.marks))
    tokenizer = train_tokenizer(
        texts, vocab_size=config.vocab_size, atoms=wanted, marks=config.marks
    )
    return SatsCodec(config, tokenizer)
