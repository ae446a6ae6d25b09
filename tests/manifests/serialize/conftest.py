"""Transcripts that are hard to write, and one that the formats' papers show."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from talkover.manifests.serialize import Event, Transcript, Turn

NASTY = (
    *"[]<>{}()\"'\\/&;:?#=-,. \n\r\t\0",
    *("<sc>", "<spk1>", "<ovl>", "<f>", "</text>", "&lt;", "&amp;", "&#10;", "spk0: ", "\\n"),
    *(
        "[0.48]",
        "[S01]",
        "[#",
        '{"Start"',
        '{"Start":0.0',
        "0.00-1.21>",
        "\u2028",
        "é",
        "你好",
        "😀",
    ),
    *("S01", "7", "007", "<speaker>", "</speaker>", '"/>', "[event]", "\x85", "\ud800"),
)
text = st.lists(st.one_of(st.sampled_from(NASTY), st.text(max_size=4)), max_size=6).map("".join)
label = st.one_of(
    st.sampled_from(["S01", "S02", "S10", "S100", "S1", "S00", "spk0", "spk1", "1", "0", "?", ""]),
    st.sampled_from(["ana", "bo-li", "f", "ovl", "sc", "#x", "1.5", "null", "S1000001", "n"]),
    text,
)
time = st.one_of(
    st.floats(0, 1e8, allow_nan=False), st.sampled_from([0.0, -0.0, 0.005, 1.0, 1.004])
)


@st.composite
def span(draw: st.DrawFn) -> dict[str, float | None]:
    low, high = sorted((draw(time), draw(time)))
    known = draw(st.sampled_from([(True, True), (True, True), (False, True), (True, False)]))
    return {"start": low if known[0] else None, "end": high if known[1] else None}


turn = st.builds(
    lambda times, **rest: Turn(**times, **rest),
    span(),
    speaker=label,
    text=text,
    overlap=st.booleans(),
    gender=st.sampled_from([None, "f", "m", "o"]),
)
event = st.builds(lambda times, label: Event(label=label, **times), span(), text)
transcript = st.builds(
    Transcript,
    turns=st.lists(turn, max_size=4).map(tuple),
    events=st.lists(event, max_size=2).map(tuple),
    hotwords=st.just(("Zürich",)),
)


@pytest.fixture(scope="session")
def transcripts() -> st.SearchStrategy[Transcript]:
    """Any transcript: overlap, same times, no times, delimiters of all formats in all places."""
    return transcript


@pytest.fixture(scope="session")
def nasty_text() -> st.SearchStrategy[str]:
    """Text made of the delimiters of all formats and anything else."""
    return text


@pytest.fixture
def published() -> Transcript:
    """Two turns with times that the papers' samples have."""
    return Transcript(
        turns=(
            Turn(speaker="S01", text="Welcome everyone", start=0.48, end=1.66),
            Turn(speaker="S02", text="The pipeline is ready", start=12.26, end=13.81),
        )
    )
