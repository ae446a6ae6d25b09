"""Labels move whole: words, regions and events with their supervision, samples with seconds."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.lhotse_form import to_cut
from talkover.manifests.regions import join_spans, spans_of
from talkover.manifests.retimed import with_timeline
from talkover.manifests.rules import RULES, seconds_are_samples
from talkover.manifests.schema import Session, Supervision
from talkover.manifests.timeline import (
    Timeline,
    mix,
    pad,
    shift,
    speed,
    split_pauses,
    timeline_of,
    trim,
    windows,
)

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

QUICK = settings(max_examples=40, deadline=None)
Sessions = st.SearchStrategy[Session]


def as_session(session: Session, timeline: Timeline, name: str = "new") -> Session:
    audio = session.audio.model_copy(update={"num_samples": timeline.num_samples})
    return with_timeline(session, timeline, id=name, audio=audio)


def broken_rules(session: Session) -> list[str]:
    return [name for name, rule in RULES.items() for _ in rule(session)]


def renamed(timeline: Timeline, prefix: str) -> Timeline:
    rows = tuple(
        row.model_copy(
            update={key: f"{prefix}{getattr(row, key)}" for key in ("id", "turn_id", "speaker")}
        )
        for row in timeline.supervisions
    )
    return Timeline(
        sampling_rate=timeline.sampling_rate,
        num_samples=timeline.num_samples,
        supervisions=rows,
        uem=timeline.uem,
    )


def word_starts(row: Supervision) -> list[float]:
    return [word.start for word in row.words or ()]


@QUICK
@given(data=st.data(), samples=st.integers(-(10**6), 10**6))
def test_a_shift_there_and_back_changes_nothing(
    sessions: Sessions, data: st.DataObject, samples: int
) -> None:
    session = data.draw(sessions)
    timeline = timeline_of(session)
    moved = shift(timeline, samples)
    assert shift(moved, -samples) == timeline
    assert not list(seconds_are_samples(as_session(session, moved)))


@QUICK
@given(data=st.data())
def test_a_trim_to_the_whole_changes_nothing(sessions: Sessions, data: st.DataObject) -> None:
    timeline = timeline_of(data.draw(sessions))
    trimmed = trim(timeline, 0, timeline.num_samples)
    assert trimmed.timeline == timeline
    assert trimmed.cut == trimmed.dropped == ()


@QUICK
@given(data=st.data())
def test_a_window_breaks_no_rule_and_tells_what_it_cut(
    sessions: Sessions, data: st.DataObject
) -> None:
    session = data.draw(sessions)
    timeline = timeline_of(session)
    start = data.draw(st.integers(0, timeline.num_samples - 1))
    count = data.draw(st.integers(1, timeline.num_samples - start))
    trimmed = trim(timeline, start, count)
    assert set(broken_rules(as_session(session, trimmed.timeline))) <= {"word_pause"}
    before = {row.id: row for row in timeline.supervisions}
    after = {row.id: row for row in trimmed.timeline.supervisions}
    assert before.keys() - after.keys() == set(trimmed.dropped)
    for name, row in after.items():
        whole = before[name].num_samples == row.num_samples
        assert whole or name in trimmed.cut
        assert row.text == before[name].text or name in trimmed.cut
        moved = {w.start_sample + start: w.symbol for w in row.words or ()}
        assert moved.items() <= {(w.start_sample, w.symbol) for w in before[name].words or ()}


def test_a_cut_supervision_keeps_the_words_inside_and_their_text(
    make_session: Callable[..., Session],
) -> None:
    words = [("one", 0, 4000), ("two", 4000, 4000), ("three", 8000, 4000)]
    session = make_session([("ana", 4000, words, True), ("bo", 4000, words, False)])
    trimmed = trim(timeline_of(session), 6000, 8000)
    ana, bo = sorted(trimmed.timeline.supervisions, key=lambda row: row.speaker)
    assert (ana.text, [w.symbol for w in ana.words or ()]) == ("two", ["two"])
    assert (ana.start_sample, ana.num_samples, word_starts(ana)) == (0, 8000, [0.125])
    assert ana.source is not None and (ana.source.offset, ana.source.duration) == (0.125, 0.5)
    assert (bo.text, bo.words, bo.regions[0].num_samples) == (None, None, 8000)
    assert trimmed.cut == ("session-1-00000", "session-1-00001")


@QUICK
@given(data=st.data())
def test_windows_cover_everything_once_where_they_do_not_overlap(
    sessions: Sessions, data: st.DataObject
) -> None:
    timeline = timeline_of(data.draw(sessions))
    length = data.draw(st.integers(timeline.num_samples // 12 + 1, timeline.num_samples + 9))
    hop = data.draw(st.integers(length // 2 + 1, length))
    found = list(windows(timeline, length, hop))
    covered = [(w.start_sample, w.start_sample + w.timeline.num_samples) for w in found]
    assert join_spans(covered).tolist() == [[0, timeline.num_samples]]
    if hop == length:
        for speaker in {row.speaker for row in timeline.supervisions}:
            pieces = [
                (r.start_sample + w.start_sample, r.end_sample + w.start_sample)
                for w in found
                for row in w.timeline.supervisions
                if row.speaker == speaker
                for r in row.regions
            ]
            whole = [
                span
                for row in timeline.supervisions
                if row.speaker == speaker
                for span in spans_of(row.regions).tolist()
            ]
            assert join_spans(pieces).tolist() == join_spans(whole).tolist()


@QUICK
@given(data=st.data(), offset=st.integers(0, 200000))
def test_a_mix_keeps_every_supervision_and_word(
    sessions: Sessions, data: st.DataObject, offset: int
) -> None:
    session = data.draw(sessions)
    one, two = timeline_of(session), renamed(timeline_of(data.draw(sessions)), "x")
    both = mix([one, two], [0, offset])
    assert len(both.supervisions) == len(one.supervisions) + len(two.supervisions)
    assert both.num_samples == max(one.num_samples, two.num_samples + offset)
    assert [(s.start_sample, s.num_samples) for s in both.uem] == [(0, both.num_samples)]
    shifted = {row.id: row for row in both.supervisions}
    for row in two.supervisions:
        expected = [round(t + offset / 16000, 8) for t in word_starts(row)]
        assert word_starts(shifted[row.id]) == pytest.approx(expected, abs=1e-7)
    assert not broken_rules(as_session(session, both))


def test_where_one_part_is_not_labelled_the_mix_is_not(
    make_session: Callable[..., Session],
) -> None:
    whole = timeline_of(make_session([("ana", 0, [("a", 0, 1000)], True)]))
    half = renamed(trim(pad(whole, 0, 0), 0, 160000).timeline, "x")
    half = Timeline(
        sampling_rate=16000, num_samples=160000, supervisions=half.supervisions,
        uem=trim(whole, 0, 80000).timeline.uem,
    )  # fmt: skip
    both = mix([whole, half], [0, 16000])
    assert [(s.start_sample, s.end_sample) for s in both.uem] == [(0, 96000)]


@QUICK
@given(data=st.data(), left=st.integers(0, 99999), right=st.integers(0, 99999))
def test_padding_comes_off_again(
    sessions: Sessions, data: st.DataObject, left: int, right: int
) -> None:
    session = data.draw(sessions)
    timeline = timeline_of(session)
    padded = pad(timeline, left, right)
    assert not broken_rules(as_session(session, padded))
    assert trim(padded, left, timeline.num_samples).timeline == timeline


@QUICK
@given(data=st.data(), factor=st.floats(0.5, 2.0))
def test_speed_there_and_back_is_within_a_sample(
    sessions: Sessions, data: st.DataObject, factor: float
) -> None:
    session = data.draw(sessions)
    timeline = timeline_of(session)
    changed = speed(timeline, factor)
    assert not list(seconds_are_samples(as_session(session, changed)))
    back = speed(changed, 1 / factor)
    slack = max(1, round(factor))  # half a sample of the fast clock is `factor` halves of the slow
    for before, after in zip(timeline.supervisions, back.supervisions, strict=True):
        assert abs(before.start_sample - after.start_sample) <= slack
        assert abs(before.end_sample - after.end_sample) <= slack
        assert after.speed == pytest.approx(1.0)
        for one, two in zip(before.words or (), after.words or (), strict=True):
            assert abs(one.start_sample - two.start_sample) <= slack


@QUICK
@given(data=st.data(), factor=st.floats(0.3, 2.0))
def test_a_changed_speed_breaks_no_rule_once_pauses_are_split(
    sessions: Sessions, data: st.DataObject, factor: float
) -> None:
    session = data.draw(sessions)
    changed = split_pauses(speed(timeline_of(session), factor))
    allowed = {"supervision_length", "region_range"}  # words of one sample may vanish
    assert set(broken_rules(as_session(session, changed))) <= allowed


def test_a_slow_supervision_is_split_at_its_new_pause(make_session: Callable[..., Session]) -> None:
    words = [("one", 0, 4000), ("two", 6000, 4000)]
    slow = speed(timeline_of(make_session([("ana", 0, words, True)])), 0.5)
    assert [row.text for row in slow.supervisions] == ["one two"]
    parts = split_pauses(slow).supervisions
    assert [(p.text, p.start_sample, p.num_samples) for p in parts] == [
        ("one", 0, 8000),
        ("two", 12000, 8000),
    ]
    assert len({p.turn_id for p in parts}) == 1 and len({p.id for p in parts}) == 2


def test_lhotse_leaves_words_behind_where_ours_move(full_session: Session) -> None:
    """The trap that this module owns: if Lhotse ever moves words, this says so."""
    from lhotse.serialization import deserialize_item

    row = full_session.supervisions[0]
    theirs = deserialize_item(to_cut(full_session)).truncate(offset=0.05)
    moved = theirs.supervisions[0]
    assert moved.start == pytest.approx(row.start - 0.05)
    assert moved.alignment["word"][0].start == row.start

    ours = trim(timeline_of(full_session), 800, 100000).timeline.supervisions[0]
    assert ours.start == pytest.approx(row.start - 0.05) == ours.words[0].start  # type: ignore[index]


def test_a_session_of_a_window_keeps_no_claim_about_the_old_audio(full_session: Session) -> None:
    window = trim(timeline_of(full_session), 16000, 30000).timeline
    session = as_session(full_session, window)
    assert session.mix is None and session.provenance.plan_hash is None
    assert [(s.speaker, s.speaker_local) for s in session.supervisions] == [("bo", "S01")]
    assert session.scene is not None and [s.position_m for s in session.scene.seats] == [
        (3.0, 2.0, 1.2)
    ]
    with pytest.raises(ValueError, match="160000 samples"):
        with_timeline(full_session, window, id="x", audio=full_session.audio)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: trim(t, -1, 10),
        lambda t: trim(t, 0, 0),
        lambda t: trim(t, 0, 10**9),
        lambda t: list(windows(t, 10, 11)),
        lambda t: speed(t, 0.0),
        lambda t: pad(t, -1, 0),
        lambda t: mix([t], [0, 1]),
        lambda t: mix([t, t], [0, 1]),
    ],
)
def test_what_cannot_be_done_is_refused(
    full_session: Session, call: Callable[[Timeline], object]
) -> None:
    with pytest.raises(ValueError):
        call(timeline_of(full_session))
