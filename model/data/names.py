"""Names that speakers are registered under: short, drawn anew for each batch.

A corpus' own ids would be learned by heart, name and voice together, and the vector behind the name
would never be looked at. Drawn names say nothing of anybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.serialize import Transcript, Turn
from talkover.manifests.serialize.transcript import speaker_label, speaker_number
from talkover.model.codec import SatsCodec

SYLLABLES = tuple(c + v for c in "bdfgklmnprstvz" for v in "aeiou")
"""Easy in most languages; two of them make 4,900 names of four letters."""

MOST_NAMES = len(SYLLABLES) ** 2
"""That can be drawn for one recording."""

LONGEST_NAME = 64
"""Characters; a name stands in the prompt and again before every turn."""


def drawn_names(count: int, rng: np.random.Generator) -> list[str]:
    """Different names.

    >>> drawn_names(3, np.random.default_rng(0))
    ['Pupa', 'Nasu', 'Tune']

    Raises:
        ConfigurationError: If there are not so many.
    """
    if count > MOST_NAMES:
        raise ConfigurationError(f"at most {MOST_NAMES} speakers can be registered, got {count}")
    places = rng.choice(MOST_NAMES, size=count, replace=False)
    size = len(SYLLABLES)
    return [(SYLLABLES[p // size] + SYLLABLES[p % size]).capitalize() for p in places.tolist()]


def check_names(names: Collection[str], codec: SatsCodec) -> None:
    """Refuse names that cannot be written and read back, or that the format gives to strangers.

    Raises:
        ConfigurationError: With the name.
    """
    for name in names:
        check_label(name)
        turn = Turn(speaker=name, text="a", start=0.0, end=1.0)
        text = codec.serializer.encode(Transcript(turns=(turn,)))
        read = codec.parse(codec.decode(codec.encode_text(text))).transcript
        if "speakers" in codec.serializer.carries and [t.speaker for t in read.turns] != [name]:
            raise ConfigurationError(f"registered name {name!r}: the tokenizer cannot write it")


def check_label(name: str) -> None:
    """Refuse a name that is not one line, or is the label of a stranger.

    Raises:
        ConfigurationError: With the name.
    """
    if not name or name != " ".join(name.split()) or len(name) > LONGEST_NAME:
        raise ConfigurationError(
            f"registered name {name!r}: must be one line of 1 to {LONGEST_NAME} characters "
            "without spaces at its ends or two in a row"
        )
    if speaker_number(name) is not None:
        raise ConfigurationError(
            f"registered name {name!r}: labels such as S01 are those of unregistered speakers"
        )


def renamed(
    transcript: Transcript, labels: Mapping[str, str], names: Mapping[str, str]
) -> Transcript:
    """The transcript with registered names; the others are numbered in order of appearance.

    Args:
        transcript: With the labels that `talkover.manifests.serialize.from_session` gave.
        labels: Label of each speaker in it.
        names: Registered name of some speakers.
    """
    known = {label: names[speaker] for speaker, label in labels.items() if speaker in names}
    number = 0
    for turn in transcript.turns:
        if turn.speaker and turn.speaker not in known:
            number += 1
            known[turn.speaker] = speaker_label(number)
    turns = tuple(
        Turn(
            speaker=known.get(turn.speaker, turn.speaker),
            text=turn.text,
            start=turn.start,
            end=turn.end,
            overlap=turn.overlap,
            gender=turn.gender,
        )
        for turn in transcript.turns
    )
    return Transcript(turns=turns, events=transcript.events, hotwords=transcript.hotwords)
