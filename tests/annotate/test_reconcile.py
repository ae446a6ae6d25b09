"""Whatever branches say, the timeline is one that a recording can have."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_backends import event, result, turn

from talkover.annotate.config import TurnsConfig
from talkover.annotate.cutting import cut_up
from talkover.annotate.events import Curve, Event, Timeline
from talkover.annotate.media import RATE
from talkover.annotate.pipeline import Heard
from talkover.annotate.reconcile import Reconciled, reconcile
from talkover.annotate.segmentation.config import SegmentationConfig
from talkover.annotate.segmentation.stream import segment


def heard(seconds: float, **results: tuple[Event, ...]) -> Heard:
    found: Any = {kind: result(kind, *events) for kind, events in results.items()}
    return Heard(channel="mean", num_samples=round(seconds * RATE), results=found)


def spans(found: Reconciled, kind: str) -> list[tuple[float, float]]:
    return [(e.start / RATE, e.end / RATE) for e in found.timeline.events if e.kind == kind]


wild_times = st.integers(-20 * RATE, 40 * RATE)
wild_events = st.builds(
    Event,
    id=st.text(max_size=3),
    kind=st.sampled_from(["turn", "sound", "music", "overlap", "word"]),
    start=wild_times,
    end=wild_times,
    label=st.sampled_from(["speech", "dog", ""]),
    confidence=st.floats(-1, 2) | st.sampled_from([float("nan"), float("inf")]),
    speaker=st.sampled_from([None, "a", "b", "c"]),
    bars=st.lists(wild_times, max_size=3).map(tuple),
)


@given(
    st.lists(wild_events, max_size=15),
    st.integers(1, 20 * RATE),
    st.floats(0, 2),
    st.booleans(),
)
@settings(max_examples=150)
def test_any_events_give_a_timeline_of_the_recording(
    events: list[Event], num_samples: int, pause: float, has_diarizer: bool
) -> None:
    own: dict[str, tuple[Event, ...]] = {
        "diarizer" if has_diarizer else "vad": tuple(events),
        "events": tuple(events),
        "music": tuple(events),
    }
    part = replace(heard(1.0, **own), num_samples=num_samples)
    found = reconcile("r", [part], TurnsConfig(pause=pause))
    assert found.timeline.num_samples == num_samples
    assert len({e.id for e in found.timeline.events}) == len(found.timeline.events)
    assert all(e.id in found.branches for e in found.timeline.events)
    assert all(num_samples >= bar >= 0 for e in found.timeline.events for bar in e.bars)
    by_speaker: dict[str, list[tuple[int, int]]] = {}
    for spoken in found.turns:
        by_speaker.setdefault(spoken.speaker, []).extend(spoken.regions)
    for regions in by_speaker.values():
        ordered = sorted(regions)
        assert all(b[0] - a[1] >= 0.2 * RATE for a, b in itertools.pairwise(ordered))
    again = reconcile("r", [replace(part)], TurnsConfig(pause=pause))
    assert again.timeline.events == found.timeline.events
    segments = cut_up("r", found.timeline, SegmentationConfig())
    assert segments[0].start == 0 and segments[-1].end == num_samples


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(1, 30), st.sampled_from("ab"))))
@settings(max_examples=80)
def test_overlaps_are_where_two_speak(raw: list[tuple[int, int, str]]) -> None:
    turns = tuple(turn(start, start + length, who) for start, length, who in raw)
    found = reconcile("r", [heard(130, diarizer=turns)], TurnsConfig(shortest_overlap=0))
    active = np.zeros((2, 130), dtype=bool)
    for start, length, who in raw:
        active["ab".index(who), start : start + length] = True
    expected = active.all(axis=0)
    got = np.zeros(130, dtype=bool)
    for start, end in spans(found, "overlap"):
        got[round(start) : round(end)] = True
    assert (got == expected).all()


def test_pauses_join_turns_unless_somebody_begins_to_speak() -> None:
    ana = (turn(0, 1, "a"), turn(1.4, 2, "a"), turn(3, 4, "a"), turn(4.3, 5, "a"))
    found = reconcile("r", [heard(9, diarizer=(*ana, turn(4.1, 4.2, "b")))], TurnsConfig())
    assert spans(found, "turn") == [(0, 2), (3, 4), (4.1, 4.2), (4.3, 5)]
    assert found.turns[0].regions == ((0, RATE), (round(1.4 * RATE), 2 * RATE))


def test_one_label_of_one_moment_is_said_once_and_the_surest_counts() -> None:
    sounds = (
        event("sound", 1, 2, "dog", confidence=0.4),
        event("sound", 1.5, 3, "dog", confidence=0.9, attributes={"a": 1}),
        event("sound", 1.5, 3, "cat"),
        event("sound", 3, 4, "dog", confidence=0.3),
    )
    found = reconcile("r", [heard(9, events=sounds)], TurnsConfig())
    dogs = [e for e in found.timeline.events if e.label == "dog"]
    assert [(e.start / RATE, e.end / RATE, e.confidence) for e in dogs] == [
        (1, 3, 0.9),
        (3, 4, 0.3),
    ]
    assert dogs[0].attributes == {"a": 1}
    assert len(found.timeline.events) == 3


def test_channels_have_speakers_of_their_own_and_share_sounds() -> None:
    dog = event("sound", 5, 6, "dog")
    left = replace(heard(9, diarizer=(turn(0, 2, "x"),), events=(dog,)), channel=0)
    right = replace(heard(9, diarizer=(turn(1, 3, "x"),), events=(dog,)), channel=1)
    found = reconcile("r", [left, right], TurnsConfig())
    assert [t.speaker for t in found.turns] == ["c0-x", "c1-x"]
    assert spans(found, "overlap") == [(1, 2)]
    assert spans(found, "sound") == [(5, 6)]


def test_parts_of_a_timeline_give_the_segments_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    starts = np.sort(rng.uniform(0, 1990, 300))
    events = tuple(
        replace(turn(s, min(2000, s + rng.uniform(0.3, 6)), "a"), id=f"e{n:04d}")
        for n, s in enumerate(starts)
    )
    timeline = Timeline(
        sampling_rate=RATE,
        num_samples=2000 * RATE,
        events=events,
        curves={
            "speech": Curve(name="speech", hop=512, values=rng.random(62500, dtype=np.float32)),
            "novelty": Curve(name="novelty", hop=1600, values=rng.random(19990, dtype=np.float32)),
        },
    )
    assert cut_up("r", timeline, SegmentationConfig()) == segment("r", timeline)
