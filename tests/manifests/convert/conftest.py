"""Random conversations of anybody: overlap, unicode, same times, one-sample words, odd names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import strategies as st

from talkover.manifests.convert import (
    Conversation,
    Recording,
    SpokenWord,
    Utterance,
    make_conversation,
)

RATE = 16000
ODD = ["Mary Smith", "", ";;ana", "bo: so", "Łukasz", "<i>", "مريم", "a\tb"]
TEXT = st.text("abc äß你好é'\"\\[]<>&:,;#-.!\n\t\u00a0مر👍01", max_size=12)
SYMBOL = st.text("abcxyzäß你好é'\"[<>&:👍 ", min_size=1, max_size=6)


def seconds(sample: int) -> float:
    return round(sample / RATE, 8)


@st.composite
def utterances(draw: st.DrawFn, speaker: str, start: int) -> Utterance:
    """One turn from a sample on, with or without text, word times and regions."""
    kind = draw(st.sampled_from(["words", "text", "none", "regions"]))
    length = draw(st.integers(0, 40000))
    words, clock = [], start
    if kind == "words":
        for _ in range(draw(st.integers(1, 4))):
            count = draw(st.sampled_from([1, 2, 160, 4000]) | st.integers(1, 9000))
            words.append(
                SpokenWord(
                    symbol=draw(SYMBOL),
                    start=seconds(clock),
                    end=seconds(clock + count),
                    score=draw(st.none() | st.sampled_from([0.5, -1.25])),
                )
            )
            clock += count + draw(st.integers(0, 6000))
        length = max(length, clock - start)
    text = None
    if kind == "text":
        text = draw(TEXT)
    elif kind == "words" and draw(st.booleans()):
        text = " ".join(word.symbol for word in words)
    regions = None
    if kind == "regions":
        end = start + length
        regions = ((seconds(start), seconds(start + length // 4)), (seconds(end), seconds(end)))
    return Utterance(
        speaker=speaker,
        start=seconds(start),
        end=seconds(start + length),
        text=text,
        words=tuple(words) or None,
        regions=regions,
        id=None,
        language=draw(st.sampled_from([None, "en", "zh"])),
        gender=draw(st.sampled_from([None, "f", "M", "other"])),
    )


@st.composite
def conversation_strategy(draw: st.DrawFn) -> Conversation:
    """Turns of up to five speakers at any times, also of one speaker at once."""
    names = draw(st.lists(st.sampled_from(["ana", "bo", "cy", *ODD]), min_size=1, max_size=5))
    starts = st.sampled_from([0, 8000, 16000]) | st.integers(0, 300000)
    rows = [
        draw(utterances(draw(st.sampled_from(names)), draw(starts)))
        for _ in range(draw(st.integers(0, 7)))
    ]
    has_ids = draw(st.booleans())
    rows = [replace(u, id=f"utt {n}" if has_ids else None) for n, u in enumerate(rows)]
    end = max([1, *(round(u.end * RATE) for u in rows)])
    total = end + draw(st.integers(0, 9000))
    return make_conversation(
        draw(st.sampled_from(["meeting", "EN 2001a", "会议"])),
        rows,
        recording=Recording(
            path=Path("/recordings/far away/meeting 1.wav"),
            sampling_rate=RATE,
            num_samples=total,
            num_channels=draw(st.sampled_from([1, 2])),
        ),
        uem=draw(st.none() | st.just([(0.0, seconds(total // 2)), (seconds(end), seconds(end))])),
    )


@pytest.fixture(scope="session")
def conversations() -> st.SearchStrategy[Conversation]:
    """Random conversations that no session of ours stands behind."""
    return conversation_strategy()
