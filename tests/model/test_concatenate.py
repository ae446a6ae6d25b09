"""Conversations joined: who meets whom, and where everything lands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.model.codec import SatsCodec
from talkover.model.data.collate import Collator
from talkover.model.data.concatenate import (
    Concatenation,
    Group,
    Part,
    group_duration,
    joined,
    plan_groups,
    require_joined,
)
from talkover.model.data.examples import Skips, example_of
from talkover.model.data.feeds import Choice, ManifestFeed, StreamFeed, read_entries, shared
from talkover.model.modeling import SatsModel, vocabulary_of

Tones = Callable[..., SessionAudio]

PARTS = st.lists(
    st.builds(
        Part,
        name=st.sampled_from("abcdefgh"),
        duration=st.floats(0.5, 30),
        speakers=st.sets(st.integers(0, 11).map(str), max_size=4),
        sampling_rate=st.sampled_from([8000, 16000, 16000, 16000]),
    ),
    min_size=1,
    max_size=30,
)


@given(parts=PARTS, most=st.integers(2, 8), longest=st.floats(1, 90), seed=st.integers(0, 9))
def test_groups_hold_each_place_once_and_nobody_twice(
    parts: list[Part], most: int, longest: float, seed: int
) -> None:
    config = Concatenation(max_speakers=most, longest=longest)
    order = [*range(len(parts)), 0]
    groups = plan_groups(parts, order, config, seed=seed, epoch=0)
    assert sorted(index for group in groups for index in group.parts) == sorted(order)
    for group in groups:
        chosen = [parts[index] for index in group.parts]
        assert len(group.pauses) == len(chosen) - 1
        if len(chosen) == 1:
            continue
        speakers = [speaker for part in chosen for speaker in part.speakers]
        assert len(speakers) == len(set(speakers)) <= most
        assert len({part.name for part in chosen}) == len(chosen)
        assert len({part.sampling_rate for part in chosen}) == 1
        assert group_duration(parts, group) <= longest
        assert all(config.pause[0] <= pause <= config.pause[1] for pause in group.pauses)
    assert groups == plan_groups(parts, order, config, seed=seed, epoch=0)


def test_groups_reach_the_most_speakers() -> None:
    parts = [
        Part(name=f"{n}", duration=5.0, speakers={f"{n}a", f"{n}b"}, sampling_rate=16000)
        for n in range(60)
    ]
    config = Concatenation(max_speakers=8, longest=90.0)
    groups = plan_groups(parts, list(range(60)), config, seed=1, epoch=0)
    assert {len(group.parts) for group in groups} == {1, 2, 3, 4}
    other = plan_groups(parts, list(range(60)), config, seed=1, epoch=1)
    assert [g.pauses for g in groups] != [g.pauses for g in other]


def test_joined_labels_stand_where_the_audio_does(make_tones: Tones, codec: SatsCodec) -> None:
    first = make_tones("one", [("ana", 0.2, "wahid"), ("bo", 0.9, "arbaa")], 2.0)
    second = make_tones("two", [("cy", 0.4, "ithnan wahid")], 1.5)
    third = make_tones("one", [("dan", 0.1, "thalatha")], 1.0)
    whole = joined([first, second, third], [0.25, 0.5])
    assert whole.samples.shape == (1, round((2.0 + 0.25 + 1.5 + 0.5 + 1.0) * 16000))
    assert whole.session.audio.num_samples == whole.samples.shape[1]
    rows = whole.session.supervisions
    assert [row.start for row in rows] == pytest.approx([0.2, 0.9, 2.65, 4.35])
    assert [row.speaker for row in rows] == ["ana", "bo", "cy", "dan"]
    assert [row.speaker_local for row in rows] == ["S01", "S02", "S03", "S04"]
    assert len({row.id for row in rows}) == 4
    at = round(2.25 * 16000)
    assert np.array_equal(whole.samples[:, at : at + second.samples.shape[1]], second.samples)
    assert not whole.samples[:, 2 * 16000 : at].any()
    assert rows[2].words is not None and rows[2].words[1].start == pytest.approx(2.9)
    example = example_of(whole, codec, 16000)
    assert [turn.speaker for turn in example.transcript.turns] == ["S01", "S02", "S03", "S04"]
    assert len(example.voices) == 4


def test_one_conversation_alone_is_itself(make_tones: Tones) -> None:
    item = make_tones("one", [("ana", 0.2, "wahid")], 1.0)
    assert joined([item], ()) is item


def pairs(make_tones: Tones) -> list[SessionAudio]:
    names = ["ana", "bo", "cy", "dan", "eve", "fay"]
    return [
        make_tones(
            f"p{n}", [(names[2 * n], 0.2, "wahid"), (names[2 * n + 1], 0.8, "arbaa ithnan")], 1.5
        )
        for n in range(3)
    ]


JOINED = Choice(
    seconds=12.0, concatenate=Concatenation(max_speakers=6, longest=6.0, pause=(0.1, 0.2))
)


def collator(model: SatsModel, codec: SatsCodec) -> Collator:
    return Collator(model, codec, vocabulary_of(codec))


def test_a_manifest_is_trained_on_joined(
    model: SatsModel,
    codec: SatsCodec,
    make_tones: Tones,
    write_tones: Callable[..., Path],
    tmp_path: Path,
) -> None:
    folder = write_tones(tmp_path / "corpus", pairs(make_tones))
    feed = ManifestFeed(
        read_entries([folder], 8.0, Skips()), collator(model, codec), seed=0, buckets="plain"
    )
    seen = names_of(feed, 6)
    assert seen == names_of(feed, 6)
    assert any("+" in name for names in seen for name in names)
    again = [handed.batch for handed, _ in zip(feed.batches(JOINED, 4), range(2), strict=False)]
    assert [batch.ids for batch in again if batch is not None] == seen[4:]


def test_a_stream_is_trained_on_joined(
    model: SatsModel, codec: SatsCodec, make_tones: Tones
) -> None:
    items = pairs(make_tones)
    feed = StreamFeed(shared(lambda: items), collator(model, codec), seed=0, longest=8.0)
    seen = names_of(feed, 6)
    assert any("+" in name for names in seen for name in names)


def names_of(feed: ManifestFeed | StreamFeed, count: int) -> list[tuple[str, ...]]:
    found = zip(feed.batches(JOINED, 0), range(count), strict=False)
    return [handed.batch.ids for handed, _ in found if handed.batch is not None]


def test_data_of_which_nothing_can_be_joined_are_refused() -> None:
    alone: Sequence[Group] = [Group(parts=(0,), pauses=()), Group(parts=(1,), pauses=())]
    require_joined(alone[:1], Concatenation())
    with pytest.raises(ConfigurationError, match="no two sessions can be joined"):
        require_joined(alone, Concatenation())


@pytest.mark.parametrize("wrong", [{"max_speakers": 1}, {"longest": 0.0}, {"pause": (1.0, 0.5)}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Concatenation(**wrong)  # type: ignore[arg-type]


def test_a_bad_session_is_left_out_of_what_it_would_be_joined_to(
    model: SatsModel,
    codec: SatsCodec,
    make_tones: Tones,
    write_tones: Callable[..., Path],
    tmp_path: Path,
) -> None:
    items = pairs(make_tones)
    items[1].samples[:] = 0  # people are said to speak, and nothing is heard
    folder = write_tones(tmp_path / "corpus", items)
    feed = ManifestFeed(
        read_entries([folder], 8.0, Skips()), collator(model, codec), seed=0, buckets="plain"
    )
    handed = [h for h, _ in zip(feed.batches(JOINED, 0), range(6), strict=False)]
    skipped = {name for h in handed for name, _ in h.skipped}
    assert skipped == {items[1].session.id}
    names = {name for h in handed if h.batch is not None for name in h.batch.ids}
    assert {part for name in names for part in name.split("+")} == {"p0", "p2"}
