"""What can be told of a text by itself: its letters, and what is illegal in it."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_ASCII_OTHER = re.compile(r"[^a-z0-9]")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffd\ufeff]")
_NEVER_SPOKEN = re.compile(r"https?://|</?[a-z]+/?>|&[a-z]+;|\{|\}", re.IGNORECASE)

SCRIPTS: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "cs", "sv", "da", "fi", "tr", "vi", "id"),
        frozenset({"LATIN"}),
    ),
    "zh": frozenset({"CJK", "LATIN"}),  # names and loans stand in Latin letters
    "yue": frozenset({"CJK", "LATIN"}),
    "ja": frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "LATIN"}),
    "ko": frozenset({"HANGUL", "CJK", "LATIN"}),
    **dict.fromkeys(("ru", "uk", "bg", "be"), frozenset({"CYRILLIC"})),
    "el": frozenset({"GREEK"}),
    "he": frozenset({"HEBREW"}),
    **dict.fromkeys(("ar", "fa", "ur"), frozenset({"ARABIC"})),
    **dict.fromkeys(("hi", "mr", "ne"), frozenset({"DEVANAGARI"})),
    "th": frozenset({"THAI"}),
}
"""Scripts (first word of a letter's Unicode name) that a language is written in, by ISO 639 tag."""

ALIEN_SHARE = 0.5
"""Share of letters of other scripts from which a text is not of its language."""


def letters(text: str) -> str:
    """A text without spaces, punctuation, case and width.

    >>> letters("It's 5 o'clock."), letters("ＡＢ，好")
    ('its5oclock', 'ab好')
    """
    if text.isascii():
        return _ASCII_OTHER.sub("", text.lower())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if _counts(c))


def text_fault(text: str, said: str, language: str | None) -> str | None:
    """What is illegal in a text, or None.

    Args:
        text: As it is written.
        said: Its `letters`.
        language: Tag such as ``en`` or ``zh-CN``.

    >>> text_fault("привет", "привет", "en")
    'script is not of the language'
    """
    if not said:
        return "no letter" if text.strip() else "empty"
    if _CONTROL.search(text):
        return "control character"
    if _NEVER_SPOKEN.search(text):
        return "markup"
    scripts = SCRIPTS.get(language.partition("-")[0].lower()) if language else None
    if scripts is None or (text.isascii() and "LATIN" in scripts):
        return None
    found = [script for c in said if (script := _script(c)) is not None]
    alien = sum(script not in scripts for script in found)
    if found and alien > ALIEN_SHARE * len(found):
        return "script is not of the language"
    return None


@lru_cache(maxsize=65536)
def _counts(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


@lru_cache(maxsize=65536)
def _script(character: str) -> str | None:
    """First word of a letter's name; None for digits and marks."""
    if not character.isalpha():
        return None
    return unicodedata.name(character, "UNKNOWN").split(" ")[0]
