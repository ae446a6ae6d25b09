"""What each format cannot hold: one table, from which refusals, documents and tests are made.

A `Loss` is a function that takes something out of a conversation, with a sentence that says what.
`without` applies all losses of a format; a converter writes its result, and reads it back equal.
So "is anything lost?" is "does the function change the conversation?", and the law of every
converter is ``read(write(x)) == without(x, its losses)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from talkover.manifests.convert.contract_form import (
    EDGE,
    fitting,
    inside,
    on_samples,
    split_at_pauses,
    with_length,
    with_safe_names,
    with_sound_words,
    within_edges,
    without_self_overlap,
)
from talkover.manifests.convert.conversation import Conversation
from talkover.manifests.convert.takings import (
    Take,
    all_or_no_text,
    each,
    each_symbol,
    each_text,
    each_word,
    given_ids,
    groups_with_length,
    groups_with_text,
    in_order,
    kaldi_ids,
    named_by_recording,
    no_contract,
    numbered_speakers,
    one_a_region,
    one_sex_a_speaker,
    only,
    only_length,
    only_path,
    plain_names,
    renamed,
    rounded,
    runs,
    sex_of,
    spaces,
    unset,
    with_a_length,
    without_words,
)
from talkover.manifests.exports import DIGITS as LABEL_DIGITS

CUE_LENGTH = 0.001
"""Seconds; the shortest cue that WebVTT allows at its resolution."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that a format has no place for."""

    name: str
    says: str
    """What is lost, to follow "cannot hold"."""
    take: Take
    blocks: bool
    """Whether it is of who said what, when: then `--allow-loss` is needed. The rest is told."""


def take_out(
    conversation: Conversation, losses: Iterable[Loss]
) -> tuple[Conversation | None, list[Loss]]:
    """What is left of a conversation, and the losses that really took something out of it.

    Args:
        conversation: In the one order, as `make_conversation` gives it.
        losses: Of a format.
    """
    found = []
    left = conversation
    for loss in losses:
        taken = loss.take(left)
        if taken is not None and taken is not left and taken != left:
            taken = in_order(taken)
        if taken is None or (taken is not left and taken != left):
            found.append(loss)
        if taken is None:
            return None, found
        left = taken
    return left, found


def without(conversation: Conversation, losses: Iterable[Loss]) -> Conversation | None:
    """What is left of a conversation; None if nothing is."""
    return take_out(conversation, losses)[0]


def lost(conversation: Conversation, losses: Iterable[Loss]) -> list[Loss]:
    """The losses that would really take something out of this conversation."""
    return take_out(conversation, losses)[1]


def rounding(digits: int) -> Loss:
    """Times with so many digits after the point; told, since no turn is lost by it."""
    return Loss("rounding", f"times finer than {10**-digits:.{digits}f} s", rounded(digits), False)


CONTRACT = Loss(
    "contract",
    "scene, noise, events, turns and roles, provenance, licences, hashes",
    no_contract,
    False,
)
AUDIO = Loss("audio", "the recording", lambda c: replace(c, recording=None), False)
AUDIO_FORM = Loss("audio_form", "the recording's rate and length (only its path)", only_path, False)
UEM = Loss("uem", "the labelled stretches (UEM)", lambda c: replace(c, uem=None), False)
IDS = Loss("ids", "ids of utterances", unset("id"), False)
GIVEN_IDS = Loss("given_ids", "utterances without an id (they get one)", given_ids, False)
LANGUAGE = Loss("language", "languages", unset("language"), False)
GENDER = Loss("gender", "genders", unset("gender"), False)
ONE_SEX = Loss(
    "one_sex",
    "genders, unless each speaker is f or m (other spellings become these)",
    one_sex_a_speaker,
    False,
)
SEX = Loss(
    "sex",
    "genders but f and m (other spellings become these)",
    each(lambda u: replace(u, gender=sex_of(u.gender))),
    False,
)
AUDIO_RATE = Loss(
    "audio_rate", "the recording's rate (only its path and length)", only_length, False
)
SOME_TEXT = Loss(
    "some_text",
    "turns whose text is not known beside others whose text is",
    all_or_no_text,
    True,
)
SCORES = Loss(
    "scores",
    "scores of words",
    each(each_word(lambda w: w if w.score is None else replace(w, score=None))),
    False,
)
WORDS = Loss("words", "word times", each(without_words), True)
REGIONS = Loss(
    "regions",
    "the pauses inside an utterance",
    unset("regions"),
    True,
)
TEXT = Loss("text", "text", unset("text"), True)
UTTERANCES = Loss("utterances", "which stretches of speech are one utterance", one_a_region, True)
RUNS = Loss("runs", "utterances as they were (words are joined over gaps under 0.2 s)", runs, True)
WITHOUT_WORDS = Loss(
    "without_words", "turns without word times", only(lambda u: u.words is not None), True
)
WITHOUT_TEXT = Loss(
    "without_text", "turns whose text is not known", only(lambda u: u.text is not None), True
)
GROUPS_WITHOUT_TEXT = Loss(
    "groups_without_text",
    "turns that overlap or touch one whose text is not known",
    groups_with_text,
    True,
)
GROUPS_WITHOUT_LENGTH = Loss(
    "groups_without_length", "turns of no length that stand alone", groups_with_length, True
)
NO_LENGTH = Loss("no_length", "turns and words of no length", with_a_length, True)
EMPTY = Loss(
    "empty", "sessions in which nobody speaks", lambda c: c if c.utterances else None, True
)
ALL_TURNS = Loss("turns", "turns", lambda c: replace(c, utterances=()), True)
NO_UEM = Loss("no_uem", "sessions without labelled stretches", lambda c: c if c.uem else None, True)
SPACES = Loss("spaces", "white space in text but single spaces", each_text(spaces), False)
EDGES = Loss("edges", "white space around text", each_text(str.strip), False)
LINE_ENDS = Loss(
    "line_ends",
    "line ends other than a line feed",
    each_text(lambda t: re.sub(r"\r\n?", "\n", t)),
    False,
)
SYMBOLS = Loss(
    "symbols",
    "white space in a word",
    each_symbol(lambda s: "_".join(s.split()) or "_"),
    False,
)
SYMBOL_EDGES = Loss(
    "symbol_edges",
    "white space around a word",
    each_symbol(lambda s: re.sub(r"\r\n?", "\n", s).strip() or "_"),
    False,
)
NAMES = Loss("names", "white space in names (it becomes _)", plain_names, False)
KALDI_IDS = Loss("kaldi_ids", "ids that do not begin with the speaker", kaldi_ids, False)
NUMBERS = Loss("numbers", "names of speakers (they become S01, S02, …)", numbered_speakers, False)
SESSION_NAMES = Loss(
    "session_names", "session ids (the recording's name)", named_by_recording, False
)
COLONS = Loss(
    "colons",
    "colons in names of speakers",
    renamed(lambda name: re.sub(r"[:<>&]", "_", spaces(name)) or "unknown"),
    False,
)

CUES = Loss(
    "cues",
    "turns under 1 ms",
    each(lambda u: replace(u, end=max(u.end, u.start + CUE_LENGTH))),
    False,
)

SAFE_NAMES = Loss(
    "safe_names",
    "names of other characters than A-Z a-z 0-9 - _ . (they are changed)",
    fitting(with_safe_names),
    False,
)
SAMPLES = Loss("samples", "times between samples", fitting(on_samples), False)
ENDS = Loss("ends", f"up to {EDGE} s beyond the end of the recording", fitting(within_edges), False)
OUTSIDE = Loss("outside", "what lies outside of the recording", fitting(inside), True)
NO_TURN_LENGTH = Loss("no_turn_length", "turns of no length", fitting(with_length), True)
UNSOUND_WORDS = Loss(
    "unsound_words",
    "word times that leave their turn, go back or do not say its text",
    fitting(with_sound_words),
    True,
)
PAUSES = Loss(
    "pauses",
    "turns that span a pause of 0.2 s between words (they are split)",
    fitting(split_at_pauses),
    False,
)
SELF_OVERLAP = Loss(
    "self_overlap",
    "speech of a speaker over the same speaker's",
    fitting(without_self_overlap),
    True,
)

_LABEL_FILE = (CONTRACT, AUDIO, UEM, IDS, LANGUAGE, GENDER)
_ROUNDED = rounding(LABEL_DIGITS)
_SUBTITLES = (
    *_LABEL_FILE, WORDS, REGIONS, WITHOUT_TEXT, SPACES, COLONS, rounding(3), CUES,
)  # fmt: skip

LOSSES: dict[str, tuple[Loss, ...]] = {
    "lhotse": (
        SAFE_NAMES, SAMPLES, ENDS, OUTSIDE, NO_TURN_LENGTH, UNSOUND_WORDS, PAUSES, SELF_OVERLAP,
    ),
    "lhotse-pair": (CONTRACT, UEM, REGIONS, GIVEN_IDS),
    "rttm": (*_LABEL_FILE, EMPTY, TEXT, WORDS, UTTERANCES, _ROUNDED, NAMES),
    "stm": (*_LABEL_FILE, EMPTY, WORDS, REGIONS, SPACES, _ROUNDED, NAMES),
    "ctm": (*_LABEL_FILE, SCORES, WITHOUT_WORDS, EMPTY, SYMBOLS, _ROUNDED, NAMES, RUNS),
    "words": (*_LABEL_FILE, SCORES, WITHOUT_WORDS, EMPTY, SYMBOLS, NAMES, RUNS),
    "seglst": (*_LABEL_FILE, EMPTY, WORDS, REGIONS, _ROUNDED),
    "uem": (CONTRACT, AUDIO, ALL_TURNS, NO_UEM, _ROUNDED, NAMES),
    "textgrid": (*_LABEL_FILE, SCORES, REGIONS, NO_LENGTH, LINE_ENDS, EDGES, SYMBOL_EDGES),
    "audacity": (*_LABEL_FILE, WORDS, REGIONS, SPACES, COLONS, rounding(6)),
    "srt": _SUBTITLES,
    "vtt": _SUBTITLES,
    "kaldi": (
        CONTRACT, AUDIO_RATE, UEM, WORDS, REGIONS, SOME_TEXT, SPACES, ONE_SEX, _ROUNDED, NAMES,
        KALDI_IDS,
    ),
    "nemo": (CONTRACT, AUDIO_FORM, UEM, EMPTY, WORDS, REGIONS),
    "parquet": (),
    "datasets": (),
    "moss": (
        CONTRACT, AUDIO_FORM, UEM, IDS, LANGUAGE, GENDER, WORDS, REGIONS, WITHOUT_TEXT,
        rounding(2), NUMBERS, SESSION_NAMES,
    ),
    "tagspeech": (
        CONTRACT, UEM, SEX, REGIONS, GROUPS_WITHOUT_TEXT, GROUPS_WITHOUT_LENGTH,
        EMPTY, GIVEN_IDS,
    ),
}  # fmt: skip
"""Format: what it cannot hold, in the order in which it is taken out."""
