"""What can be taken out of a conversation: one small function each, for the table of losses.

Each gives the conversation itself where there is nothing to take.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from talkover.manifests.convert.conversation import (
    Conversation,
    Span,
    SpokenWord,
    Utterance,
    make_conversation,
    runs_of_words,
)
from talkover.manifests.exports import DIGITS as LABEL_DIGITS
from talkover.manifests.serialize.transcript import speaker_label

Take = Callable[[Conversation], Conversation | None]
"""Gives what is left, or None where nothing is."""


def in_order(c: Conversation) -> Conversation:
    """A changed conversation in the one order again."""
    return make_conversation(
        c.id, c.utterances, recording=c.recording, uem=c.uem, session=c.session
    )


def each(change: Callable[[Utterance], Utterance]) -> Take:
    """A loss that concerns each utterance by itself."""

    def take(c: Conversation) -> Conversation:
        rows = tuple(map(change, c.utterances))
        same = all(new is old for new, old in zip(rows, c.utterances, strict=True))
        return c if same else replace(c, utterances=rows)

    return take


def unset(field: str) -> Take:
    """A loss of one field of each utterance."""
    nothing: dict[str, Any] = {field: None}
    return each(lambda u: u if getattr(u, field) is None else replace(u, **nothing))


def each_word(change: Callable[[SpokenWord], SpokenWord]) -> Callable[[Utterance], Utterance]:
    """A change of each word of an utterance; the utterance itself where no word changes."""

    def changed(u: Utterance) -> Utterance:
        if u.words is None:
            return u
        words = tuple(map(change, u.words))
        return u if words == u.words else replace(u, words=words)

    return changed


def only(keep: Callable[[Utterance], bool]) -> Take:
    """A loss of whole utterances."""
    return lambda c: replace(c, utterances=tuple(filter(keep, c.utterances)))


def without_words(u: Utterance) -> Utterance:
    """The utterance without word times; where its speaker is heard stays."""
    return u if u.words is None else replace(u, words=None, regions=u.speech)


def spaces(text: str) -> str:
    """The text with single spaces and none around it."""
    return " ".join(text.split())


def each_text(change: Callable[[str], str]) -> Take:
    """A change of each text."""

    def changed(u: Utterance) -> Utterance:
        text = None if u.text is None else change(u.text)
        return u if text == u.text else replace(u, text=text)

    return each(changed)


def each_symbol(change: Callable[[str], str]) -> Take:
    """A change of the symbol of each word."""

    def changed(word: SpokenWord) -> SpokenWord:
        symbol = change(word.symbol)
        return word if symbol == word.symbol else replace(word, symbol=symbol)

    return each(each_word(changed))


def rounded(digits: int) -> Take:
    """Times with so many digits after the point."""

    def near(spans: tuple[Span, ...]) -> tuple[Span, ...]:
        return tuple((round(a, digits), round(b, digits)) for a, b in spans)

    def word(w: SpokenWord) -> SpokenWord:
        start, end = round(w.start, digits), round(w.end, digits)
        return w if (start, end) == (w.start, w.end) else replace(w, start=start, end=end)

    in_words = each_word(word)

    def change(u: Utterance) -> Utterance:
        u = in_words(u)
        start, end = round(u.start, digits), round(u.end, digits)
        regions = None if u.regions is None else near(u.regions)
        if (start, end, regions) == (u.start, u.end, u.regions):
            return u
        return replace(u, start=start, end=end, regions=regions)

    def take(c: Conversation) -> Conversation:
        changed = each(change)(c)
        assert changed is not None
        return changed if c.uem is None else replace(changed, uem=near(c.uem))

    return take


def plain_name(name: str) -> str:
    """A name as one field of a line: no white space, no comment mark, never empty.

    >>> plain_name("Mary Smith"), plain_name(";;x"), plain_name("")
    ('Mary_Smith', '_;x', 'unknown')
    """
    return re.sub(r"^[;#]|\s", "_", name) or "unknown"


def renamed(name: Callable[[str], str]) -> Take:
    """A change of the name of each speaker."""

    def changed(u: Utterance) -> Utterance:
        speaker = name(u.speaker)
        return u if speaker == u.speaker else replace(u, speaker=speaker)

    return each(changed)


def plain_names(c: Conversation) -> Conversation:
    """Names of the session and of speakers as `plain_name` has them."""
    changed = renamed(plain_name)(c)
    assert changed is not None
    return changed if (name := plain_name(c.id)) == c.id else replace(changed, id=name)


def one_a_region(c: Conversation) -> Conversation:
    """One utterance a region of speech, which says only who and when."""
    return replace(
        c,
        utterances=tuple(
            Utterance(speaker=u.speaker, start=start, end=end)
            for u in c.utterances
            for start, end in u.speech
        ),
    )


def runs(c: Conversation) -> Conversation:
    """All words of a speaker as `runs_of_words`."""
    words: dict[str, list[SpokenWord]] = {}
    for u in c.utterances:
        words.setdefault(u.speaker, []).extend(u.words or ())
    return replace(
        c, utterances=tuple(run for name in words for run in runs_of_words(name, words[name]))
    )


def numbered_speakers(c: Conversation) -> Conversation:
    """Speakers named S01, S02, … by first appearance."""
    names: dict[str, str] = {}
    for u in in_order(c).utterances:
        names.setdefault(u.speaker, speaker_label(len(names) + 1))
    changed = renamed(names.__getitem__)(c)
    assert changed is not None
    return changed


def named_by_recording(c: Conversation) -> Conversation:
    """The session named as its recording."""
    return c if c.recording is None else replace(c, id=c.recording.path.stem)


def only_path(c: Conversation) -> Conversation:
    """Of the recording its path."""
    if c.recording is None:
        return c
    unknown = replace(c.recording, sampling_rate=None, num_samples=None, num_channels=None)
    return replace(c, recording=unknown)


def only_length(c: Conversation) -> Conversation:
    """Of the recording its path and length."""
    left = only_path(c)
    if left.recording is None:
        return c
    return replace(left, recording=replace(left.recording, seconds=round(c.duration, LABEL_DIGITS)))


def all_or_no_text(c: Conversation) -> Conversation:
    """The utterances with text, unless none has."""
    if all(u.text is None for u in c.utterances):
        return c
    return replace(c, utterances=tuple(u for u in c.utterances if u.text is not None))


def with_a_length(c: Conversation) -> Conversation:
    """Utterances and words of more than no length."""

    def changed(u: Utterance) -> Utterance:
        words = tuple(w for w in u.words or () if w.end > w.start) or None
        return u if words == u.words else replace(u, words=words)

    return replace(c, utterances=tuple(changed(u) for u in c.utterances if u.end > u.start))


def sex_of(gender: str | None) -> str | None:
    """``f`` or ``m``, for formats that know these two; None for anything else.

    >>> sex_of("Female"), sex_of("M"), sex_of("other")
    ('f', 'm', None)
    """
    return {"f": "f", "female": "f", "m": "m", "male": "m"}.get((gender or "").lower())


def one_sex_a_speaker(c: Conversation) -> Conversation:
    """Each speaker f or m throughout, or nobody anything."""
    known: dict[str, str] = {}
    for u in in_order(c).utterances:
        if (sex := sex_of(u.gender)) is not None:
            known.setdefault(u.speaker, sex)
    if any(u.speaker not in known for u in c.utterances):
        known = {}
    changed = each(lambda u: replace(u, gender=known.get(u.speaker)))(c)
    assert changed is not None
    return changed


def kaldi_ids(c: Conversation) -> Conversation:
    """The conversation with an id for each utterance that begins with its speaker's name.

    Kaldi sorts utterances and expects those of a speaker together.
    """
    rows = []
    for n, u in enumerate(in_order(c).utterances):
        name = plain_name(u.id) if u.id else f"{c.id}-{n:05d}"
        if not name.startswith(f"{u.speaker}-"):
            name = f"{u.speaker}-{name}"
        rows.append(replace(u, id=name))
    return replace(c, utterances=tuple(rows))


def given_ids(c: Conversation) -> Conversation:
    """An id for each utterance."""
    rows = [
        u if u.id else replace(u, id=f"{c.id}-{n:05d}")
        for n, u in enumerate(in_order(c).utterances)
    ]
    return replace(c, utterances=tuple(rows))


def groups(c: Conversation) -> list[list[Utterance]]:
    """Utterances in groups that touch or overlap; silence stands between the groups.

    The cutting of Lhotse's `trim_to_supervision_groups` with no pause allowed.
    """
    found: list[list[Utterance]] = []
    end = 0.0
    for u in in_order(c).utterances:
        if not found or u.start > end:
            found.append([])
            end = u.end
        found[-1].append(u)
        end = max(end, u.end)
    return found


def groups_with_text(c: Conversation) -> Conversation:
    """The groups in which all text is known."""
    kept = [g for g in groups(c) if all(u.text is not None for u in g)]
    return replace(c, utterances=tuple(u for group in kept for u in group))


def groups_with_length(c: Conversation) -> Conversation:
    """The groups of more than no length."""
    kept = [g for g in groups(c) if max(u.end for u in g) > g[0].start]
    return replace(c, utterances=tuple(u for group in kept for u in group))


def no_contract(c: Conversation) -> Conversation:
    """The labels without what only the data contract has."""
    left = unset("turn")(c)
    assert left is not None
    return left if c.session is None else replace(left, session=None)
