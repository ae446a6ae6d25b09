"""Segmentation: nothing is cut that need not be, however the recording comes."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.events import Curve, Event, Timeline, check_events, sorted_events
from talkover.annotate.segmentation.config import (
    OVERSIZE,
    SegmentationConfig,
    escalating_weights,
    usual_slack,
)
from talkover.annotate.segmentation.cost import possible_cuts
from talkover.annotate.segmentation.path import CheapestPath, Cuts
from talkover.annotate.segmentation.stream import Segmenter, segment
from talkover.manifests.errors import ConfigurationError, ManifestError

RATE = 1000
SMALL = SegmentationConfig(shortest=2.0, preferred=4.0, longest=8.0, oversize=16.0)


def event(number: int, kind: str, start: float, end: float, **more: object) -> Event:
    return Event(
        id=f"e{number}",
        kind=kind,  # type: ignore[arg-type]
        start=round(start * RATE),
        end=round(end * RATE),
        **more,  # type: ignore[arg-type]
    )


def timeline(events: list[Event], seconds: float) -> Timeline:
    return Timeline(
        sampling_rate=RATE, num_samples=round(seconds * RATE), events=sorted_events(events)
    )


@st.composite
def timelines(draw: st.DrawFn, longest: float = 90.0) -> Timeline:
    seconds = draw(st.floats(0.5, longest))
    events = []
    for number in range(draw(st.integers(0, 40))):
        kind = draw(st.sampled_from(["word", "turn", "sound", "music"]))
        length = {"word": 0.5, "turn": 12.0, "sound": 6.0, "music": 40.0}[kind]
        start = draw(st.floats(0.0, seconds - 0.01))
        end = min(seconds, start + draw(st.floats(0.01, length)))
        if round(start * RATE) < round(end * RATE):
            confidence = draw(st.floats(0.2, 1.0))
            events.append(event(number, kind, start, end, confidence=confidence))
    return timeline(events, seconds)


@given(timelines())
@settings(max_examples=60)
def test_segments_cover_the_recording_and_cut_no_word(line: Timeline) -> None:
    segments = segment("r", line, SMALL)
    assert segments[0].start == 0
    assert segments[-1].end == line.num_samples
    assert all(a.end == b.start for a, b in itertools.pairwise(segments))
    ends = [s.end for s in segments[:-1]]
    for word in (e for e in line.events if e.kind == "word"):
        assert not any(word.start < end < word.end for end in ends)
    for made in segments[:-1]:
        assert made.end - made.start >= SMALL.shortest * RATE


@given(timelines(), st.lists(st.floats(0.05, 30.0), min_size=1, max_size=8))
@settings(max_examples=60)
def test_segments_do_not_depend_on_how_the_recording_comes(
    line: Timeline, parts: list[float]
) -> None:
    values = np.random.default_rng(line.num_samples).random(line.num_samples // 100 + 1)
    speech = Curve(name="speech", hop=100, values=values.astype(np.float32))
    at_once = segment("r", replace(line, curves={"speech": speech}), SMALL)
    segmenter = Segmenter("r", RATE, SMALL)
    made, begin, done = [], 0, 0
    for part in itertools.cycle(parts):
        until = min(line.num_samples, begin + round(part * RATE) + 1)
        fresh = [e for e in line.events if begin <= e.start < until]
        value = len(values) if until == line.num_samples else -(-until // 100)
        curve = Curve(name="speech", hop=100, values=speech.values[done:value])
        made += segmenter.push(fresh, until, {"speech": curve})
        begin, done = until, max(done, value)
        if until == line.num_samples:
            break
    made += segmenter.finish(line.num_samples)
    assert made == at_once


def test_words_that_are_long_past_do_not_depend_on_how_the_recording_comes() -> None:
    """What a cut of a turn costs must not depend on whether a word far away is still in memory."""
    words = tuple(event(n, "word", 0, 0.5) for n in range(4))
    turns = (event(4, "turn", 0, 5), event(5, "turn", 4, 16))
    line = Timeline(sampling_rate=RATE, num_samples=17 * RATE, events=(*words, *turns))
    segmenter, made = Segmenter("r", RATE, SMALL), []
    for second in range(17):
        fresh = [e for e in line.events if second <= e.start / RATE < second + 1]
        made += segmenter.push(fresh, (second + 1) * RATE)
    assert made + segmenter.finish(17 * RATE) == segment("r", line, SMALL)


@given(timelines())
@settings(max_examples=40)
def test_every_event_that_is_cut_is_written_down(line: Timeline) -> None:
    segments = segment("r", line, SMALL)
    told = {(c.event_id, c.sample) for s in segments for c in s.cut_events}
    true = {(e.id, s.end) for s in segments[:-1] for e in line.events if e.start < s.end < e.end}
    assert told == true
    for one, two in itertools.pairwise(segments):
        crossed = any(e.start < one.end < e.end for e in line.events)
        assert (one.continues_to == two.id) == crossed
        assert (two.continues_from == one.id) == crossed
    for made in segments:
        inside = [e.id for e in line.events if e.start < made.end and e.end > made.start]
        assert list(made.event_ids) == inside


def brute_force(cuts: Cuts, num_samples: int, config: SegmentationConfig) -> float:
    """Cheapest total over all subsets of the cuts."""

    def length_cost(length: float, *, last: bool) -> float:
        if length > config.oversize or (length < config.shortest and not last):
            return math.inf
        cost = config.length_cost * math.log(length / config.preferred) ** 2
        if length > config.longest:
            cost += OVERSIZE * (1 + (length - config.longest) / config.longest)
        if length < config.shortest:
            cost += OVERSIZE * (1 + config.shortest - length)
        return cost

    places = list(zip(cuts.samples.tolist(), (cuts.hard + cuts.soft).tolist(), strict=True))
    best = math.inf
    for count in range(len(places) + 1):
        for chosen in itertools.combinations(places, count):
            times = [0, *(t for t, _ in chosen), num_samples]
            total = sum(cost for _, cost in chosen) + sum(
                length_cost((b - a) / RATE, last=b == num_samples)
                for a, b in itertools.pairwise(times)
            )
            best = min(best, total)
    return best


@given(
    st.lists(st.integers(1, 19_000), min_size=0, max_size=9, unique=True),
    st.lists(st.floats(0.0, 300.0), min_size=9, max_size=9),
)
@settings(max_examples=80)
def test_the_path_is_the_cheapest_of_all(places: list[int], costs: list[float]) -> None:
    samples = np.sort(np.array(places, dtype=np.int64))
    cuts = Cuts(samples, np.zeros(len(samples)), np.array(costs[: len(samples)]))
    num_samples = 20_000
    best = brute_force(cuts, num_samples, SMALL)
    path = CheapestPath(SMALL, RATE)
    ends = path.push(cuts)
    ends += path.finish(num_samples)
    cost_of = dict(zip(samples.tolist(), cuts.soft.tolist(), strict=True)) | {num_samples: 0.0}
    chosen = Cuts(
        np.array(ends[:-1], dtype=np.int64),
        np.zeros(len(ends) - 1),
        np.array([cost_of[end] for end in ends[:-1]]),
    )
    if math.isfinite(best):
        only = _total(chosen, num_samples)
        assert only == pytest.approx(best)


def _total(chosen: Cuts, num_samples: int) -> float:
    times = [0, *chosen.samples.tolist(), num_samples]
    total = float(chosen.soft.sum())
    for a, b in itertools.pairwise(times):
        length = (b - a) / RATE
        total += SMALL.length_cost * math.log(length / SMALL.preferred) ** 2
        if length > SMALL.longest:
            total += OVERSIZE * (1 + (length - SMALL.longest) / SMALL.longest)
        if length < SMALL.shortest:
            total += OVERSIZE * (1 + SMALL.shortest - length)
    return total


def test_cuts_go_to_the_middle_of_the_silence() -> None:
    line = timeline([event(0, "turn", 0.5, 3.5), event(1, "turn", 4.5, 7.5)], 8.0)
    made = segment("r", line, replace(SMALL, longest=6.0))
    assert [s.end for s in made] == [4000, 8000]
    assert made[0].boundary_confidence > 0.7


def test_a_gap_narrower_than_the_grid_is_found() -> None:
    line = timeline([event(0, "turn", 0.0, 5.011), event(1, "turn", 5.021, 12.0)], 12.0)
    assert segment("r", line, SMALL)[0].end == 5016


def test_escalation_gives_up_length_then_music_then_sounds_then_turns() -> None:
    music = timeline([event(0, "music", 0.0, 14.0)], 14.0)
    assert [s.steps for s in segment("r", music, SMALL)] == [("oversize",)]
    longer = timeline([event(0, "music", 0.0, 40.0), event(1, "sound", 0.0, 12.0)], 40.0)
    made = segment("r", longer, SMALL)
    assert {step for s in made for step in s.steps} <= {"oversize", "music"}
    assert all(c.kind == "music" for s in made for c in s.cut_events)
    sound = timeline([event(0, "sound", 0.0, 40.0), event(1, "turn", 0.0, 15.5)], 40.0)
    assert {c.kind for s in segment("r", sound, SMALL) for c in s.cut_events} == {"sound"}
    turn = timeline([event(0, "turn", 0.0, 30.0)], 30.0)
    made = segment("r", turn, SMALL)
    assert made[0].steps[-1] == "turn"
    assert made[0].continues_to == made[1].id


def test_a_turn_that_must_be_cut_is_cut_at_its_longest_pause() -> None:
    words, time = [], 0.0
    for number in range(80):
        words.append(event(number + 1, "word", time, time + 0.28, parent="e0"))
        time += 0.9 if number == 35 else 0.3
    whole = event(0, "turn", 0.0, words[-1].end / RATE)
    made = segment("r", timeline([whole, *words], words[-1].end / RATE), SMALL)
    pause = (words[35].end, words[36].start)
    assert len(made) == 2
    assert pause[0] < made[0].end < pause[1]


def test_words_are_not_cut_even_where_nothing_else_is_left() -> None:
    line = timeline([event(0, "word", 1.0, 40.0)], 42.0)
    made = segment("r", line, SMALL)
    assert not any(1000 < s.end < 40000 for s in made)


def test_music_that_must_be_cut_is_cut_at_a_bar() -> None:
    bars = tuple(range(0, 40_000, 1_777))
    line = timeline([event(0, "music", 0.0, 40.0, bars=bars)], 40.0)
    for made in segment("r", line, SMALL)[:-1]:
        assert min(abs(made.end - bar) for bar in bars) <= 60


def test_less_sure_events_are_cut_first() -> None:
    sure = event(0, "sound", 0.0, 20.0, confidence=1.0)
    unsure = event(1, "sound", 20.0, 40.0, confidence=0.1)
    config = replace(SMALL, shortest=10.0, preferred=13.0, longest=15.0, oversize=26.0)
    made = segment("r", timeline([sure, unsure], 40.0), config)
    assert {c.event_id for s in made for c in s.cut_events} <= {"e1"}


def test_memory_stays_bounded_on_a_long_recording() -> None:
    rng = np.random.default_rng(0)
    segmenter = Segmenter("r", RATE)
    held = points = 0
    for start in range(0, 3600, 10):
        events = [
            event(start * 10 + k, "turn", start + t, start + t + 2.0)
            for k, t in enumerate(np.sort(rng.uniform(0, 10, 3)))
        ]
        segmenter.push(events, (start + 10) * RATE)
        held = max(held, segmenter.held_events)
        points = max(points, segmenter._path.memory)
    lag = SegmentationConfig().lag + 70  # a stretch, the horizon and a look
    assert held <= 3 * lag / 10
    assert points <= lag / SegmentationConfig().cell


def test_short_recordings_are_one_segment() -> None:
    (only,) = segment("r", timeline([], 0.3))
    assert (only.start, only.end, only.steps) == (0, 300, ("short_end",))


def test_the_cheapest_cut_of_each_cell_is_chosen() -> None:
    cuts = possible_cuts(
        [event(0, "turn", 0.1, 0.9)], 0, 2000, sampling_rate=RATE, config=SegmentationConfig()
    )
    assert len(cuts.samples) == 8
    assert cuts.hard[0] == 0.0  # the sample before the turn
    assert cuts.hard[1] > 0


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="shortest <= preferred"):
        SegmentationConfig(shortest=30.0)
    with pytest.raises(ConfigurationError, match=r"weights\.turn"):
        SegmentationConfig(weights=escalating_weights() | {"turn": -1.0})
    with pytest.raises(ConfigurationError, match="needs a value for each"):
        SegmentationConfig(slack={"word": 0.02})
    assert usual_slack()["word"] == 0.02
    segmenter = Segmenter("r", RATE)
    segmenter.push([], 5000)
    with pytest.raises(ValueError, match="go back"):
        segmenter.push([], 4000)
    with pytest.raises(ValueError, match="is past"):
        segmenter.push([event(0, "turn", 1.0, 2.0)], 6000)


def test_impossible_events_are_all_named() -> None:
    events = [
        event(0, "turn", 2.0, 1.0),
        event(1, "turn", 0.0, 1.0, confidence=math.nan),
        event(2, "word", 0.0, 3.0, parent="e1"),
        event(3, "word", 0.0, 3.0, parent="e9"),
    ]
    with pytest.raises(ManifestError) as caught:
        check_events(events, 10_000, where="a.flac")
    text = str(caught.value)
    assert text.startswith("a.flac: 4 bad events")
    assert all(name in text for name in ("e0", "e1", "e2", "e3"))
    check_events([event(0, "turn", 0.0, 1.0)], 1000, where="a.flac")
