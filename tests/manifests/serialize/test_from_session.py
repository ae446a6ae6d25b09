"""What a session becomes: order, labels, marks, and what is left out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.schema import (
    Audio,
    Licences,
    Provenance,
    Session,
    SoundEvent,
    Supervision,
    span_fields,
    time_span,
)
from talkover.manifests.serialize import (
    FORMATS,
    Event,
    TranscriptOptions,
    from_session,
    serializer,
)

RATE = 16000
HASH = hashlib.sha256(b"").hexdigest()

Said = tuple[str, float, float, str | None]


def session_of(
    rows: Iterable[Said],
    *,
    events: Iterable[tuple[str, float, float]] = (),
    turns: Iterable[str] | None = None,
    gender: str | None = None,
) -> Session:
    """A session of (speaker, start, end, text); speakers are numbered by first appearance."""
    rows = sorted(rows, key=lambda row: row[1])
    numbers = {name: place for place, name in enumerate(dict.fromkeys(row[0] for row in rows), 1)}
    turn_ids = list(turns) if turns is not None else [f"t{i}" for i in range(len(rows))]
    supervisions = []
    for place, (speaker, start, end, text) in enumerate(rows):
        first, count = round(start * RATE), round(end * RATE) - round(start * RATE)
        supervisions.append(
            Supervision(
                id=f"u{place}",
                turn_id=turn_ids[place],
                speaker=speaker,
                speaker_local=f"S{numbers[speaker]:02d}",
                **span_fields(first, count, RATE),
                regions=(time_span(first, count, RATE),),
                text=text,
                gender=gender,
            )
        )
    return Session(
        id="x",
        origin="simulated",
        supervisions=tuple(supervisions),
        events=tuple(
            SoundEvent(
                id=f"e{place}",
                kind="sound",
                label=label,
                **span_fields(round(start * RATE), round((end - start) * RATE), RATE),
            )
            for place, (label, start, end) in enumerate(events)
        ),
        audio=Audio(
            path="audio/x.wav",
            sha256=HASH,
            pcm_sha256=HASH,
            sampling_rate=RATE,
            num_samples=100 * RATE,
            num_channels=1,
            format="wav",
            subtype="PCM_16",
        ),
        provenance=Provenance(tool="t", version="0", configuration={}, configuration_hash=HASH),
        licences=Licences(spdx=("CC0-1.0",)),
        uem=(time_span(0, 100 * RATE, RATE),),
    )


TALK = [
    ("cy", 0.0, 0.4, None),
    ("ana", 0.48, 1.66, "Welcome everyone"),
    ("bo", 1.5, 2.0, ""),
    ("ana", 2.5, 3.0, "go on"),
]


def test_labels_count_in_the_order_in_which_the_text_shows_the_speakers() -> None:
    found = from_session(session_of(TALK))
    text = serializer("inline").encode(found.transcript)
    assert text == "[0.48][S01]Welcome everyone[1.66][1.50][S02][2.00][2.50][S01]go on[3.00]"
    assert found.labels == {"ana": "S01", "bo": "S02"}
    assert found.num_skipped == 1


def test_registered_speakers_keep_their_names_and_the_others_are_numbered() -> None:
    options = TranscriptOptions(names={"bo": "Bo Li", "zed": "Zed"})
    found = from_session(session_of(TALK), options)
    assert [turn.speaker for turn in found.transcript.turns] == ["S01", "Bo Li", "S01"]
    taken = from_session(session_of(TALK), TranscriptOptions(names={"bo": "S01"}))
    assert taken.labels == {"bo": "S01", "ana": "S02"}


def test_the_order_is_that_of_the_times_as_written() -> None:
    rows = [("ana", 1.001, 3.0, "long"), ("bo", 1.004, 2.0, "short"), ("cy", 1.003, 2.001, "too")]
    turns = from_session(session_of(rows)).transcript.turns
    assert [(t.text, t.start, t.end, t.speaker) for t in turns] == [
        ("too", 1.0, 2.0, "S01"),
        ("short", 1.0, 2.0, "S02"),
        ("long", 1.0, 3.0, "S03"),
    ]
    finer = from_session(session_of(rows), TranscriptOptions(digits=3)).transcript.turns
    assert [t.text for t in finer] == ["long", "too", "short"]


def test_a_supervision_without_text_still_overlaps_others() -> None:
    rows = [("ana", 0.0, 2.0, "a"), ("bo", 1.0, 1.5, None), ("ana", 3.0, 4.0, "b")]
    marked = TranscriptOptions(extras=("overlap",))
    turns = from_session(session_of(rows), marked).transcript.turns
    assert [turn.overlap for turn in turns] == [True, False]
    assert not any(turn.overlap for turn in from_session(session_of(rows)).transcript.turns)


def test_touching_is_no_overlap_and_a_speaker_does_not_overlap_herself() -> None:
    rows = [("ana", 0.0, 1.0, "a"), ("bo", 1.0, 2.0, "b"), ("bo", 1.5, 2.5, "c")]
    turns = from_session(session_of(rows), TranscriptOptions(extras=("overlap",))).transcript.turns
    assert [turn.overlap for turn in turns] == [False, False, False]


def test_supervisions_of_a_turn_are_joined_if_asked() -> None:
    rows = [("ana", 0.0, 1.0, "so"), ("bo", 0.5, 0.7, "mhm"), ("ana", 1.5, 2.0, "yes")]
    session = session_of(rows, turns=["t0", "t1", "t0"])
    turns = from_session(session, TranscriptOptions(unit="turn")).transcript.turns
    assert [(t.text, t.start, t.end) for t in turns] == [("so yes", 0.0, 2.0), ("mhm", 0.5, 0.7)]


@pytest.mark.parametrize(
    ("given_as", "written"),
    [("Female", "f"), ("m", "m"), ("other", "o"), ("?", None), (None, None)],
)
def test_gender_is_one_letter_or_nothing(given_as: str | None, written: str | None) -> None:
    options = TranscriptOptions(extras=("gender",))
    turns = from_session(session_of(TALK, gender=given_as), options).transcript.turns
    assert {turn.gender for turn in turns} == {written}


def test_events_and_hotwords_come_along_if_asked() -> None:
    session = session_of(TALK, events=[("door", 2.0, 2.5), ("cough", 1.0, 1.5)])
    options = TranscriptOptions(extras=("events",), hotwords=("Zürich",))
    found = from_session(session, options).transcript
    assert found.events == (
        Event(label="cough", start=1.0, end=1.5),
        Event(label="door", start=2.0, end=2.5),
    )
    assert found.hotwords == ("Zürich",)
    assert from_session(session).transcript.events == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"digits": 7}, "digits must be"),
        ({"extras": ("mood",)}, "extras must be"),
        ({"unit": "word"}, "unit must be"),
        ({"names": {"a": "x", "b": "x"}}, "must differ"),
    ],
)
def test_impossible_options_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TranscriptOptions(**arguments)


said = st.tuples(
    st.sampled_from(["ana", "bo", "cy"]),
    st.integers(0, 200).map(lambda n: n / 16),
    st.integers(1, 100).map(lambda n: n / 160),
    st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["[S01]", '"', "<sc>", "3 < 4"])),
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(said, max_size=6).map(lambda rows: [(n, a, a + d, t) for n, a, d, t in rows]),
    st.sampled_from([0, 1, 2]),
    st.sampled_from(["supervision", "turn"]),
)
def test_every_session_survives_every_format(rows: list[Said], digits: int, unit: str) -> None:
    session = session_of(rows, events=[("door", 1.0, 2.0)])
    options = TranscriptOptions(digits=digits, unit=unit, extras=("overlap", "gender", "events"))
    found = from_session(session, options)
    assert len(found.transcript.turns) + found.num_skipped == len(rows)
    for name in FORMATS:
        form = serializer(name, digits=digits)
        parsed = form.parse(form.encode(found.transcript))
        assert parsed.repairs == ()
        assert parsed.transcript == form.lossless_view(found.transcript)
        if "times" in form.carries:
            assert parsed.transcript.turns == found.transcript.turns
