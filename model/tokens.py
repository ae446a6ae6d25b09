"""Tokenizers: one of our own trained on the texts, or any of Hugging Face; and the bytes of tokens.

Ours is a byte-level BPE over words and single spaces, so that a frequent word is one token wherever
it stands, any text can be written, and nothing is lost. Times and speakers may be *atoms*, one
token each (``[1.3]``, ``[S01]``): sequences get several times shorter.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.serialize.transcript import speaker_label, speaker_number, time_text

PAD, END = "<|pad|>", "<|end|>"
SEMANTIC, SPEAKER, REGISTRATION = "<|semantic|>", "<|speaker|>", "<|registration|>"
SPECIAL = (PAD, END, SEMANTIC, SPEAKER, REGISTRATION)
"""Control tokens; no text can hold one, since texts are read without them."""


@dataclass(frozen=True, kw_only=True)
class AtomConfig:
    """Which times and speakers are one token each."""

    max_time: float = 0.0
    """Seconds; times from 0 to this are atoms. 0 makes no atoms of times."""
    max_speakers: int = 0
    """Labels from S01 to this are atoms."""


def time_atom(format_name: str, time: float, digits: int) -> str:
    """How the atom of a time is written in a format.

    >>> time_atom("inline", 1.3, 1), time_atom("xml", 1.3, 1)
    ('[1.3]', '1.3')
    """
    text = time_text(time, digits)
    return f"[{text}]" if format_name == "inline" else text


def speaker_atom(format_name: str, label: str) -> str | None:
    """How the atom of an anonymous speaker is written; None if the format is not one of ours.

    >>> speaker_atom("inline", "S01"), speaker_atom("sc", "S01"), speaker_atom("json", "S01")
    ('[S01]', '<spk1>', '"Speaker":0')
    """
    number = speaker_number(label)
    assert number is not None, label
    written = {
        "inline": f"[{label}]",
        "sc": f"<spk{number}>",
        "roles": f"spk{number - 1}: ",
        "xml": f'<spk id="{number}"',
        "json": f'"Speaker":{number - 1}',
    }
    return written.get(format_name)


def atoms(format_name: str, digits: int, config: AtomConfig) -> list[str]:
    """All atoms of a format, times first."""
    count = round(config.max_time * 10**digits)
    times = [time_atom(format_name, k / 10**digits, digits) for k in range(count + 1)]
    labels = [speaker_label(number) for number in range(1, config.max_speakers + 1)]
    speakers = [speaker_atom(format_name, label) for label in labels]
    return (times if config.max_time > 0 else []) + [s for s in speakers if s is not None]


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, atoms: Sequence[str] = (), marks: Sequence[str] = ()
) -> Any:
    """A `PreTrainedTokenizerFast` of our own; the same texts give the same bytes.

    Args:
        texts: Target texts to learn from.
        vocab_size: Most tokens before atoms are added; 256 single bytes and `SPECIAL` are in it.
        atoms: Texts that become one token each.
        marks: Control tokens besides `SPECIAL`.

    Raises:
        ConfigurationError: If the vocabulary has no room for single bytes.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    least = 256 + len(SPECIAL)
    if vocab_size < least:
        raise ConfigurationError(f"vocab_size must be {least} or more, got {vocab_size}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s"), "isolated"),
            # A text that spells a control token must not be merged into one of the same name.
            pre_tokenizers.Split(Regex(r"<\|"), "isolated"),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_without(atoms, texts), trainer)
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False
    )
    prepare_tokenizer(made, atoms, marks)
    return made


def _without(atoms: Sequence[str], texts: Iterable[str]) -> Iterator[str]:
    """What is left between atoms: what a tokenizer with atoms will be asked to split.

    >>> list(_without(["[0.5]", "[S01]"], ["[0.5][S01]yes[0.9]"]))
    ['yes[0.9]']
    """
    if not atoms:
        yield from texts
        return
    longest_first = sorted(atoms, key=lambda atom: (-len(atom), atom))
    pattern = re.compile("|".join(re.escape(atom) for atom in longest_first))
    for text in texts:
        yield from (part for part in pattern.split(text) if part)


def load_tokenizer(
    folder: Path | str,
    *,
    atoms: Sequence[str] = (),
    marks: Sequence[str] = (),
    ahead: Sequence[str] = (),
) -> Any:
    """A tokenizer of Hugging Face from a local folder, with the control tokens and atoms added.

    Args:
        folder: With ``tokenizer.json``.
        atoms: Texts that become one token each.
        marks: Control tokens besides `SPECIAL`.
        ahead: Control tokens whose ids must be the first behind the vocabulary.

    Raises:
        ConfigurationError: If the folder has none, or one without a fast implementation.
    """
    from tokenizers import AddedToken
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{folder}: no tokenizer: {error}") from error
    if not tokenizer.is_fast:
        raise ConfigurationError(f"{folder}: this tokenizer has no fast form (tokenizer.json)")
    tokenizer.add_tokens(
        [AddedToken(t, special=True, normalized=False) for t in ahead if t not in tokenizer.vocab],
        special_tokens=True,
    )
    prepare_tokenizer(tokenizer, atoms, marks)
    return tokenizer


def prepare_tokenizer(tokenizer: Any, atoms: Sequence[str], marks: Sequence[str] = ()) -> None:
    """Add the control tokens that are missing and the atoms; the end and padding stay if set."""
    from tokenizers import AddedToken

    if tokenizer.eos_token is None:
        tokenizer.add_special_tokens({"eos_token": END})
    if tokenizer.pad_token is None:
        tokenizer.add_special_tokens({"pad_token": PAD})
    known = tokenizer.get_vocab()
    control = [
        AddedToken(text, special=True, normalized=False)
        for text in (SEMANTIC, SPEAKER, REGISTRATION, *marks)
        if text not in known
    ]
    if control:
        tokenizer.add_tokens(control, special_tokens=True)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in atoms])


@functools.cache
def _byte_of_letter() -> dict[str, int]:
    """Which byte a letter of a byte-level vocabulary stands for (GPT-2's table)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + place): byte for place, byte in enumerate(others)}


def bytes_of_tokens(tokenizer: Any) -> list[bytes | None]:
    """What each token adds to the text, as bytes of UTF-8; None for control tokens.

    A token of a byte-level vocabulary may hold part of a character.

    Raises:
        ConfigurationError: If the tokenizer's decoder is of a kind that is not known here.
    """
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = _decoder_kind(backend.get("decoder"))
    added = {entry["id"]: entry for entry in backend["added_tokens"]}
    control = set(tokenizer.all_special_ids)
    found: list[bytes | None] = [None] * len(tokenizer)
    for text, index in tokenizer.get_vocab().items():
        if index in added:
            is_control = added[index]["special"] or index in control
            found[index] = None if is_control else text.encode()
        elif index not in control:
            found[index] = _token_bytes(text, kind)
    return found


def _token_bytes(text: str, kind: str) -> bytes:
    if kind == "bytes":
        table = _byte_of_letter()
        return bytes(table[letter] for letter in text)
    if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
        return bytes([int(text[3:5], 16)])
    return text.replace("▁", " ").encode()


def _decoder_kind(decoder: dict[str, Any] | None) -> str:
    kinds = {"ByteLevel": "bytes", "Metaspace": "pieces", "ByteFallback": "pieces"}
    parts = [] if decoder is None else [decoder, *decoder.get("decoders", [])]
    for part in parts:
        if part["type"] in kinds:
            return kinds[part["type"]]
    name = "none" if decoder is None else decoder["type"]
    raise ConfigurationError(
        f"the tokenizer's decoder is {name}; only byte-level and SentencePiece ones can be used"
    )
