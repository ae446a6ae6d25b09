"""What each parser makes of the faults that models make."""

from __future__ import annotations

import pytest

from talkover.manifests.serialize import FORMATS, Event, Transcript, Turn, serializer

Row = tuple[str, str, float | None, float | None]

CASES: dict[str, tuple[str, str, list[Row], list[str]]] = {
    "a bracketed word of the text stays in it": (
        "inline",
        "[0.48][S01]so [laughter] yes[1.66]",
        [("S01", "so [laughter] yes", 0.48, 1.66)],
        ["bad_tag"],
    ),
    "a new speaker ends a turn without an end": (
        "inline",
        "[0.48][S01]foo[S02]bar[3.0]",
        [("S01", "foo", 0.48, None), ("S02", "bar", None, 3.0)],
        ["missing_end", "missing_start"],
    ),
    "a name seen before ends a turn too": (
        "inline",
        "[1.0][ana]a[2.0][3.0][bo]b[ana]c[4.0]",
        [("ana", "a", 1.0, 2.0), ("bo", "b", 3.0, None), ("ana", "c", None, 4.0)],
        ["missing_end", "missing_start"],
    ),
    "times around words are a turn of nobody": (
        "inline",
        "[0.48]hi[1.66]",
        [("", "hi", 0.48, 1.66)],
        ["missing_speaker"],
    ),
    "an end before the start becomes the start": (
        "inline",
        "[2.0][S01]a[1.0]",
        [("S01", "a", 2.0, 2.0)],
        ["end_before_start"],
    ),
    "words outside any turn are told, not kept": ("inline", "hello", [], ["stray_text"]),
    "words without any mark are one turn": (
        "sc",
        "hello<sc>bye",
        [("", "hello", None, None), ("", "bye", None, None)],
        ["missing_frame"],
    ),
    "a speaker without a mark begins a turn": (
        "sc",
        "<sc><spk1>a<spk2>b",
        [("S01", "a", None, None), ("S02", "b", None, None)],
        ["missing_frame"],
    ),
    "a tag of no meaning stays text": (
        "sc",
        "<sc><spk1>a <laugh> b",
        [("S01", "a <laugh> b", None, None)],
        ["bad_tag"],
    ),
    "a line without a role goes on with the speaker before": (
        "roles",
        "spk0: a\nand more\nspk1:",
        [("S01", "a", None, None), ("S01", "and more", None, None), ("S02", "", None, None)],
        ["missing_speaker", "truncated"],  # the colon may be all that was written so far
    ),
    "equal spans stay two speakers though one time is off by a digit": (
        "xml",
        "<text>\n0.00-1.21>A\n0.00-1.21>B\n</text>\n<speaker>\n"
        '<spk id="1" t="0.00-1.22"/>\n<spk id="2" t="0.00-1.21"/>\n</speaker>',
        [("S01", "A", 0.0, 1.21), ("S02", "B", 0.0, 1.21)],
        ["joined_by_overlap"],
    ),
    "a lost speaker line leaves the other turns theirs": (
        "xml",
        "<text>\n0.00-1.21>A\n0.96-2.13>B\n</text>\n<speaker>\n"
        '<spk id="2" t="0.96-2.13"/>\n</speaker>',
        [("S02", "B", 0.96, 2.13), ("", "A", 0.0, 1.21)],
        ["text_without_speaker", "start_order"],
    ),
    "a speaker line too many is told": (
        "xml",
        '<text>\n0.00-1.21>A\n</text>\n<speaker>\n<spk id="1" t="0.00-1.21"/>\n'
        '<spk id="2" t="5.00-6.00"/>\n</speaker>',
        [("S01", "A", 0.0, 1.21)],
        ["speaker_without_text"],
    ),
    "a time that cannot be read joins by order": (
        "xml",
        '<text>\n0.00-1.21>A\n</text>\n<speaker>\n<spk id="1" t="x"/>\n</speaker>',
        [("S01", "A", 0.0, 1.21)],
        ["bad_time", "joined_by_order"],
    ),
    "a string that never closes loses only its own object": (
        "json",
        '[{"Start":0.0,"End":7.5,"Speaker":0,"Content":"oops},'
        '{"Start":8,"End":9,"Speaker":1,"Content":"b"}]',
        [("S01", "oops},", 0.0, 7.5), ("S02", "b", 8.0, 9.0)],
        ["bad_object"],
    ),
    "a fenced list is read": (
        "json",
        '```json\n[{"Start":"1.0","End":2,"Speaker":true,"Content":"a"}]\n```',
        [("", "a", 1.0, 2.0)],
        ["stray_text", "bad_time", "bad_label", "stray_text"],
    ),
    "an endless nesting is an object that cannot be read": (
        "json",
        '[{"Start":1.0,"x":'
        + "[" * 100_000
        + '},{"Start":2.0,"End":3.0,"Speaker":0,"Content":""}]',
        [("S01", "", 2.0, 3.0)],
        ["bad_object"],
    ),
    "a cut object keeps its words": (
        "json",
        '[{"Start":0.0,"End":7.56,"Speaker":0,"Content":"na\\u00ef',
        [("S01", "naï", 0.0, 7.56)],
        ["truncated"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_repair(case: str) -> None:
    name, text, rows, kinds = CASES[case]
    parsed = serializer(name).parse(text)
    assert [(t.speaker, t.text, t.start, t.end) for t in parsed.transcript.turns] == rows
    assert [repair.kind for repair in parsed.repairs] == kinds


CUT = {
    "inline": ("[0.48][S01]one[1.00][2.00][S02]two wor", "two wor"),
    "xml": ("<text>\n0.48-1.00>one\n2.00-3.00>two wor", "two wor"),
    "json": (
        '[{"Start":0.48,"End":1.0,"Speaker":0,"Content":"one"},'
        '{"Start":2.0,"End":3.0,"Speaker":1,"Content":"two wor',
        "two wor",
    ),
}


@pytest.mark.parametrize("name", CUT)
def test_what_a_cut_text_began_to_say_is_kept_and_told(name: str) -> None:
    text, last = CUT[name]
    parsed = serializer(name).parse(text)
    assert parsed.is_truncated
    assert parsed.transcript.turns[-1].text == last


def test_names_that_look_like_the_format_are_kept_apart_from_it() -> None:
    names = ("S01", "spk0", "spk1", "1", "0", "?", "1.5", "#x", "f", "ovl", "sc", "S1", "null", "")
    turns = tuple(Turn(speaker=name, text="a", start=1.0, end=2.0) for name in names)
    for name in FORMATS:
        form = serializer(name)
        parsed = form.parse(form.encode(Transcript(turns=turns)))
        assert [turn.speaker for turn in parsed.transcript.turns] == list(names)


def test_marks_and_events_are_written_where_the_format_has_a_place_for_them() -> None:
    turn = Turn(speaker="S01", text="a", start=1.0, end=2.0, overlap=True, gender="f")
    x = Transcript(turns=(turn,), events=(Event(label="door", start=0.5, end=0.75),))
    assert {name: serializer(name).encode(x) for name in FORMATS} == {
        "inline": "[0.50][#door][0.75][1.00][S01]<ovl><f>a[2.00]",
        "sc": "<sc><spk1><ovl><f>a",
        "roles": "spk0: a",
        "xml": "<text>\n1.00-2.00>a\n</text>\n<speaker>\n"
        '<spk id="1" g="f" t="1.00-2.00" o="1"/>\n</speaker>\n'
        '<event>\n<ev l="door" t="0.50-0.75"/>\n</event>',
        "json": '[{"Start":0.5,"End":0.75,"Event":"door"},{"Start":1.0,"End":2.0,"Speaker":0,'
        '"Overlap":true,"Gender":"f","Content":"a"}]',
    }


def test_pieces_are_tagged_by_what_they_are() -> None:
    x = Transcript(turns=(Turn(speaker="S01", text="Welcome", start=0.48, end=1.66),))
    assert [(p.text, p.tag, p.turn) for p in serializer("inline").pieces(x)] == [
        ("[", "fmt", 0),
        ("0.48", "time", 0),
        ("][", "fmt", 0),
        ("S01", "speaker", 0),
        ("]", "fmt", 0),
        ("Welcome", "word", 0),
        ("[", "fmt", 0),
        ("1.66", "time", 0),
        ("]", "fmt", 0),
    ]
