"""Normalisers: what counts as the same word, under a name and a version that every result carries.

All but ``none`` share these steps: Unicode NFKC and case folding until nothing changes, punctuation
and symbols (categories P and S) become spaces, and Han and kana characters stand alone, so that a
*word* is a character in those scripts and a run of letters in all others.

========== ====================================================================================
default    an apostrophe inside a word vanishes (``don't`` = ``dont``)
english    an apostrophe inside a word stays (``we're`` is not ``were``), accents vanish
chinese    combining marks vanish; for the character metrics a Latin word is one unit, as in the
           mixed error rate of the published tables
none       words are what white space separates, nothing is changed
========== ====================================================================================

Options follow the name with a plus: ``tags`` deletes ``(…)``, ``<…>`` and ``[…]`` first (the rules
of MOSS-Transcribe-Diarize, arXiv 2601.01554; a segment's text holds no speaker tag), ``nofillers``
drops hesitations. A table from traditional to simplified characters is injected from Python.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from talkover.manifests.errors import ConfigurationError

NormalizerName = Literal["default", "english", "chinese", "none"]
Unit = Literal["word", "character"]

VERSIONS: dict[NormalizerName, int] = {"default": 1, "english": 1, "chinese": 1, "none": 1}
"""Raised whenever a text can come out differently."""

FILLERS = frozenset({"uh", "um", "uhm", "er", "erm", "hm", "hmm", "mm", "mmm", "mhm"}) | frozenset(
    "呃啊嗯"
)
"""Hesitations that carry no words: Whisper's English list, widened, and the Chinese three."""

# Code points written without spaces, one word each: radicals, iteration marks, numerals, kana and
# ideographs (Unicode 15 blocks).
_ALONE = (
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3021, 0x3029),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x1B000, 0x1B16F),
    (0x20000, 0x323AF),
)
_TAG = re.compile(r"\([^()]*\)|<[^<>]*>|\[[^\[\]]*\]")
_APOSTROPHES = "'’‘ʼ`´＇"
_INNER_APOSTROPHE = re.compile(rf"(?<=[^\W\d_])[{_APOSTROPHES}](?=[^\W\d_])")
_FOLD_ROUNDS = 4  # NFKC and case folding settle after two; the bound only guards the loop


def stands_alone(character: str) -> bool:
    """Whether a character is a word of its own: Han or kana."""
    code = ord(character)
    return any(low <= code <= high for low, high in _ALONE)


class _Spacing(dict[int, str]):
    """Table for `str.translate`, filled as characters are met."""

    def __init__(self, *, keep: str, drop_marks: bool) -> None:
        super().__init__()
        self._keep, self._drop_marks = keep, drop_marks

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)[0]
        if stands_alone(character):
            result = f" {character} "
        elif kind == "M" and self._drop_marks:
            result = ""
        elif kind in "LNM" or character in self._keep:
            result = character
        else:
            result = " "
        self[code] = result
        return result


_SPACING: dict[str, _Spacing] = {
    "default": _Spacing(keep="", drop_marks=False),
    "english": _Spacing(keep="'", drop_marks=True),
    "chinese": _Spacing(keep="", drop_marks=True),
}


@dataclass(frozen=True, kw_only=True)
class Normalizer:
    """A named and versioned way from text to the units that are compared."""

    name: NormalizerName = "default"
    tags: bool = False
    """Delete ``(…)``, ``<…>`` and ``[…]`` before anything else."""
    drop_fillers: bool = False
    simplified: Mapping[str, str] | None = None
    """Table of single characters, traditional to simplified."""

    def __post_init__(self) -> None:
        """Refuse names and tables that cannot work."""
        if self.name not in VERSIONS:
            raise ConfigurationError(
                f"normalizer must be one of {', '.join(VERSIONS)}, got {self.name!r}"
            )
        if self.simplified and any(len(key) != 1 for key in self.simplified):
            raise ValueError("the table of simplified characters must map single characters")

    @property
    def id(self) -> str:
        """Name, version and options, such as ``chinese/1+tags``: what a result is marked with."""
        options = ["tags"] * self.tags + ["nofillers"] * self.drop_fillers
        if self.simplified:
            joined = "".join(f"{a}{b}\n" for a, b in sorted(self.simplified.items()))
            options.append("table-" + hashlib.sha256(joined.encode()).hexdigest()[:8])
        return "+".join([f"{self.name}/{VERSIONS[self.name]}", *options])

    def words(self, text: str) -> tuple[str, ...]:
        """The words of a text, each Han or kana character a word (but for ``none``).

        >>> Normalizer().words("Don't go — 東京 (now)!")
        ('dont', 'go', '東', '京', 'now')
        >>> Normalizer(name="english", tags=True).words("[laughs] Don't go.")
        ("don't", 'go')
        """
        words = self._spaced(text).split()
        if self.drop_fillers:
            words = [word for word in words if word not in FILLERS]
        return tuple(words)

    def characters(self, text: str) -> tuple[str, ...]:
        """The characters of a text's words, without spaces.

        >>> Normalizer(name="chinese").characters("我们用Python。")
        ('我', '们', '用', 'python')
        """
        words = self.words(text)
        return words if self.name == "chinese" else tuple("".join(words))

    def tokens(self, text: str, unit: Unit) -> tuple[str, ...]:
        """Words or characters of a text."""
        return self.words(text) if unit == "word" else self.characters(text)

    def __call__(self, text: str) -> str:
        """The normalised text: its words with one space between them."""
        return " ".join(self.words(text))

    def _spaced(self, text: str) -> str:
        if self.tags:
            text = _without_tags(unicodedata.normalize("NFKC", text))
        if self.simplified:
            text = unicodedata.normalize("NFKC", text)
            text = "".join(self.simplified.get(character, character) for character in text)
        if self.name == "none":
            return text
        text = _fold(text)
        if self.name == "english":
            text = unicodedata.normalize("NFKD", text)
        text = _INNER_APOSTROPHE.sub("'" if self.name == "english" else "", text)
        text = text.translate(_SPACING[self.name])
        return _trim_apostrophes(text) if self.name == "english" else text


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    for _ in range(_FOLD_ROUNDS):
        folded = unicodedata.normalize("NFKC", text.casefold())
        if folded == text:
            break
        text = folded
    return text


def _without_tags(text: str) -> str:
    last = None
    while text != last:  # tags inside tags
        last, text = text, _TAG.sub(" ", text)
    return text


def _trim_apostrophes(text: str) -> str:
    return " ".join(trimmed for word in text.split() if (trimmed := word.strip("'")))


def get_normalizer(spec: str | Normalizer) -> Normalizer:
    """A normaliser from its name with options, such as ``english+tags+nofillers``.

    Raises:
        ConfigurationError: If the name or an option is unknown.
    """
    if isinstance(spec, Normalizer):
        return spec
    head, *options = spec.split("+")
    name = head.partition("/")[0]
    choices = get_args(NormalizerName)
    if unknown := [option for option in options if option not in ("tags", "nofillers")]:
        raise ConfigurationError(
            f"normalizer option must be tags or nofillers, got {unknown[0]!r} in {spec!r}"
        )
    for choice in choices:
        if choice == name and head in (name, f"{name}/{VERSIONS[choice]}"):
            return Normalizer(
                name=choice, tags="tags" in options, drop_fillers="nofillers" in options
            )
    known = ", ".join(f"{choice}/{VERSIONS[choice]}" for choice in choices)
    raise ConfigurationError(f"normalizer must be one of {known}, got {spec!r}")
