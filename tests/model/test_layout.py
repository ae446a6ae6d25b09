"""The layout: markers that do not drift, labels on the answer alone, every vector in its place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.model.layout import (
    IGNORED,
    Kind,
    LayoutConfig,
    Plan,
    Streams,
    Vocabulary,
    marker_positions,
    plan_layout,
)

SEMANTIC, SPEAKER, REGISTRATION, END = 1001, 1002, 1003, 1004
LETTERS = Vocabulary(
    encode=lambda text: [ord(letter) for letter in text],
    time_id=lambda time: 2000 + round(time * 10) if time <= 30 else None,
    pad_id=0,
    end_id=END,
    semantic_id=SEMANTIC,
    speaker_id=SPEAKER,
    registration_id=REGISTRATION,
)
RATE = 12.5


def one(count: int, rate: float = RATE) -> Streams:
    return Streams(semantic=count, semantic_rate=rate)


def two(semantic: int, speaker: int, rate: float = RATE) -> Streams:
    return Streams(semantic=semantic, semantic_rate=rate, speaker=speaker, speaker_rate=rate)


def shown(plan: Plan) -> str:
    """Vectors as ``.`` and ``o``, markers and texts as they are, the answer in capitals' place."""
    marks = {SEMANTIC: ".", SPEAKER: "o", REGISTRATION: "r", END: "$"}
    return "".join(marks.get(index, chr(index)) for index in plan.ids)


def test_markers_do_not_drift_over_an_hour() -> None:
    # int(12.5 · 1 s) = 12 would be 144 s early after an hour.
    positions = marker_positions(45000, RATE, 1.0)
    assert len(positions) == 3599
    assert max(abs(p / RATE - k) for k, p in enumerate(positions, start=1)) <= 0.5 / RATE + 1e-9


@given(
    count=st.integers(0, 400),
    rate=st.sampled_from([6.25, 7.5, 12.5, 16.666666, 25.0]),
    interval=st.sampled_from([0.5, 1.0, 1.28, 2.0]),
)
def test_each_marker_stands_before_the_vector_that_begins_at_its_time(
    count: int, rate: float, interval: float
) -> None:
    positions = marker_positions(count, rate, interval)
    assert positions == [round(k * interval * rate) for k in range(1, len(positions) + 1)]
    assert all(0 < p < count for p in positions)
    assert round((len(positions) + 1) * interval * rate) >= count


@given(
    semantic=st.integers(1, 80),
    speaker=st.integers(1, 80),
    fusion=st.sampled_from(["single", "add", "channel", "time", "interleave", "two_block"]),
    marker=st.sampled_from(["none", "seconds", "ordinals"]),
    ends=st.booleans(),
    answer=st.lists(st.integers(32, 126), max_size=9),
)
def test_every_order_keeps_every_vector_in_order_and_labels_the_answer_alone(
    semantic: int, speaker: int, fusion: str, marker: str, ends: bool, answer: list[int]
) -> None:
    config = LayoutConfig(
        fusion=fusion,  # type: ignore[arg-type]
        marker=marker,  # type: ignore[arg-type]
        marker_ends=ends,
        before="<",
        after=">",
        use_prompt=True,
        block_mark="|",
    )
    plan = plan_layout(two(semantic, speaker), config, LETTERS, prompt="say", answer=answer)
    is_split = fusion in ("time", "interleave", "two_block")
    assert len(plan.positions(Kind.SEMANTIC)) == semantic
    assert len(plan.positions(Kind.SPEAKER)) == (speaker if is_split else 0)
    assert plan.ids[-len(answer) - 1 :] == (*answer, END)
    assert [i for i in plan.labels if i != IGNORED] == [*answer, END]
    assert all(label == IGNORED for label in plan.labels[: len(plan) - len(answer) - 1])
    assert len(plan.ids) == len(plan.kinds) == len(plan.labels)


@given(count=st.integers(1, 90), fusion=st.sampled_from(["single", "two_block", "interleave"]))
def test_what_comes_before_the_answer_does_not_depend_on_it(count: int, fusion: str) -> None:
    config = LayoutConfig(fusion=fusion)  # type: ignore[arg-type]
    bare = plan_layout(two(count, count), config, LETTERS)
    full = plan_layout(two(count, count), config, LETTERS, answer=[65, 66])
    assert full.ids[: len(bare)] == bare.ids
    assert not bare.positions(Kind.ANSWER)


def test_seconds_are_digits_that_are_never_learned() -> None:
    config = LayoutConfig(marker="seconds", marker_interval=2.0)
    plan = plan_layout(one(30), config, LETTERS, answer=[65])
    assert shown(plan) == "." * 25 + "2" + "." * 5 + "A$"
    assert plan.labels[25] == IGNORED  # the marker's digit stays out of the loss


def test_atoms_stand_for_seconds_and_a_missing_one_is_told() -> None:
    config = LayoutConfig(marker="seconds", marker_style="atomic")
    plan = plan_layout(one(26), config, LETTERS)
    assert [plan.ids[place] for place in plan.positions(Kind.MARKER)] == [2010, 2020]
    with pytest.raises(ConfigurationError, match="31 s has no atom"):
        plan_layout(one(400), config, LETTERS)


def test_two_blocks_carry_the_same_ordinals_at_both_ends() -> None:
    config = LayoutConfig(
        fusion="two_block",
        marker="ordinals",
        marker_interval=1.28,
        marker_ends=True,
        stream_open=("T", "S"),
        stream_close=("t", "s"),
    )
    plan = plan_layout(two(10, 10, rate=6.25), config, LETTERS)
    assert shown(plan) == "T0........1..2tS0oooooooo1oo2s"


def test_interleaved_blocks_of_both_streams_hold_the_same_time() -> None:
    config = LayoutConfig(fusion="interleave", marker="none", block=0.4, block_mark="|")
    streams = Streams(semantic=11, semantic_rate=12.5, speaker=5, speaker_rate=6.25)
    assert shown(plan_layout(streams, config, LETTERS)) == "|.....|oo|.....|ooo|.|"


def test_registered_names_each_have_one_vector() -> None:
    config = LayoutConfig(registration=True, marker="none")
    streams = replace(one(2), registered=("ana", "bo"))
    assert shown(plan_layout(streams, config, LETTERS)) == "ana: r\nbo: r\n.."
    with pytest.raises(ConfigurationError, match="registration is off"):
        plan_layout(streams, LayoutConfig(), LETTERS)


def test_an_order_of_two_streams_needs_two() -> None:
    with pytest.raises(ConfigurationError, match="needs a speaker encoder"):
        plan_layout(one(3), LayoutConfig(fusion="time"), LETTERS)
