"""TextGrid, Audacity and subtitles: exact files, those of other programs, and faults with place."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkover.manifests.convert import (
    Conversation,
    Faults,
    SpokenWord,
    Utterance,
    WriteOptions,
    converter,
    make_conversation,
)
from talkover.manifests.errors import ConfigurationError, ManifestError


def said(
    speaker: str, start: float, end: float, text: str | None = None, *words: SpokenWord
) -> Utterance:
    return Utterance(speaker=speaker, start=start, end=end, text=text, words=words or None)


def word(symbol: str, start: float, end: float) -> SpokenWord:
    return SpokenWord(symbol=symbol, start=start, end=end)


TALK = make_conversation(
    "talk",
    [
        said("ana", 0.5, 1.5, 'a "b"', word("a", 0.5, 0.75), word('"b"', 0.75, 1.5)),
        said("bo", 1.0, 2.0),
        said("ana", 1.25, 1.75, ""),
    ],
)


def write(name: str, path: Path, *conversations: Conversation) -> str:
    converter(name).write(path, conversations, WriteOptions(folder=path.parent))
    return path.read_text(encoding="utf8")


def read(name: str, path: Path, content: str | bytes) -> tuple[Utterance, ...]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (conversation,) = converter(name).read(path, Faults())
    return conversation.utterances


def test_a_textgrid_has_a_tier_a_speaker_and_one_of_words(tmp_path: Path) -> None:
    lines = [line.strip() for line in write("textgrid", tmp_path / "t.TextGrid", TALK).splitlines()]
    assert lines[:7] == [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        "xmax = 2",
        "tiers? <exists>",
        "size = 4",
    ]
    assert [line for line in lines if line.startswith("name")] == [
        'name = "ana"', 'name = "ana - words"', 'name = "ana"', 'name = "bo"',
    ]  # fmt: skip
    assert lines.count('text = "a ""b"""') == 1
    assert lines.count('text = "<unknown>"') == lines.count('text = "<empty>"') == 1
    starts = [line for line in lines if line.startswith("intervals:")]
    assert starts == [f"intervals: size = {n}" for n in (3, 4, 3, 2)]  # silence filled in


@pytest.mark.medium
def test_praatio_reads_our_textgrids_as_we_do(tmp_path: Path) -> None:
    textgrid = pytest.importorskip("praatio.textgrid", reason="praatio is in the extra dev")
    two = make_conversation("talk", [u for u in TALK.utterances if u.text != ""])
    write("textgrid", tmp_path / "t.TextGrid", two)
    grid = textgrid.openTextgrid(str(tmp_path / "t.TextGrid"), includeEmptyIntervals=False)
    assert grid.tierNames == ("ana", "ana - words", "bo")
    assert [tuple(e) for e in grid.getTier("ana").entries] == [(0.5, 1.5, 'a "b"')]
    assert [e.label for e in grid.getTier("ana - words").entries] == ["a", '"b"']


SHORT = """File type = "ooTextFile"
"TextGrid"

0
2.3
<exists>
3
"IntervalTier"
"Mary, 1"
0
2.3
2
0 1 "" ! silence
1 2.3 "she said ""no"" [2] = 3"
"TextTier"
"bell"
0
2.3
1
0.5
"ding"
"IntervalTier"
"John"
0
2.3
1
0
2.3
"two
lines"
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_short_form_reads_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    rows = read("textgrid", tmp_path / "t.TextGrid", SHORT.encode(encoding))
    assert [(u.speaker, u.start, u.end, u.text) for u in rows] == [
        ("John", 0.0, 2.3, "two\nlines"),
        ("Mary, 1", 1.0, 2.3, 'she said "no" [2] = 3'),
    ]


def test_the_aligners_word_tiers_become_turns(tmp_path: Path) -> None:
    words = SHORT.replace('"John"', '"ana - words"').replace("two\nlines", "yes")
    rows = read("textgrid", tmp_path / "t.TextGrid", words.replace("Mary, 1", "ana - phones"))
    assert rows == (said("ana", 0.0, 2.3, "yes", word("yes", 0.0, 2.3)),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("ooTextFile", "ooBinaryFile"), r"t.TextGrid:1: File type: must be 'ooTextFile'"),
        (('"TextGrid"', '"Pitch"'), r"t.TextGrid:2: Object class: must be 'TextGrid'"),
        (("1 2.3", "3 2.3"), r"t.TextGrid:14: xmax: is 2.3, before xmin, 3.0"),
        (("<exists>\n3", "<exists>\n4"), "the file ends in the middle of something"),
        (('"TextTier"', '"Tier"'), r"t.TextGrid:15: class: must be IntervalTier or TextTier"),
        (("2\n0 1", "x 2\n0 y"), r"xmax: must be a number of seconds, got ''"),
    ],
)
def test_a_broken_textgrid_is_named_with_its_line(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in SHORT
    with pytest.raises(ManifestError, match=message):
        read("textgrid", tmp_path / "t.TextGrid", SHORT.replace(*change))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="neither UTF-8 nor UTF-16"):
        read("textgrid", tmp_path / "t.TextGrid", b"ooTextFile caf\xe9")


def test_a_folder_of_textgrids_is_a_session_a_file(tmp_path: Path) -> None:
    talks = [make_conversation(name, TALK.utterances) for name in ("b", "a.1")]
    one = converter("textgrid")
    one.write(tmp_path / "grids", talks, WriteOptions(folder=tmp_path))
    assert [c.id for c in one.read(tmp_path / "grids", Faults())] == ["a.1", "b"]
    (tmp_path / "grids" / "a.1.TextGrid").write_text("nothing")
    skipped = Faults(skip=True)
    assert [c.id for c in one.read(tmp_path / "grids", skipped)] == ["b"]
    assert "ends in the middle" in str(skipped.found[0])


def test_two_sessions_do_not_go_into_one_file(tmp_path: Path) -> None:
    talks = [make_conversation(name, TALK.utterances) for name in ("a", "b")]
    with pytest.raises(ConfigurationError, match="one session a file: name a folder"):
        write("srt", tmp_path / "x.srt", *talks)
    assert not (tmp_path / "x.srt").exists()
    with pytest.raises(ManifestError, match="cannot be the name of a file"):
        converter("srt").write(
            tmp_path / "d", [make_conversation("a/../b")], WriteOptions(folder=tmp_path)
        )


def test_audacity_labels_are_lines_of_tabs(tmp_path: Path) -> None:
    assert write("audacity", tmp_path / "t.txt", TALK) == (
        '0.500000\t1.500000\tana: a "b"\n1.000000\t2.000000\tbo\n1.250000\t1.750000\tana:\n'
    )
    theirs = "0,5\t1\tx\n"
    with pytest.raises(ManifestError, match=r"t.txt:1: start: must be a time in seconds, got '0,5"):
        read("audacity", tmp_path / "t.txt", theirs)
    with pytest.raises(ManifestError, match=r"t.txt:2: end: ends at 1.0 s, before"):
        read("audacity", tmp_path / "t.txt", "0\t1\tx\n2\t1\tx\n")
    with pytest.raises(ManifestError, match=r"t.txt:1: must be: start, tab, end"):
        read("audacity", tmp_path / "t.txt", "no tabs\n")
    spectral = "0.5\t1.0\tana\n\\\t100.0\t4000.0\n"
    assert read("audacity", tmp_path / "t.txt", spectral) == (said("ana", 0.5, 1.0),)


def test_subtitles_show_overlap_as_parallel_cues(tmp_path: Path) -> None:
    talk = make_conversation(
        "talk", [said("ana", 0.5, 3661.5, "a < b & c"), said("bo", 1.0, 2.0, "yes")]
    )
    assert write("srt", tmp_path / "t.srt", talk) == (
        "1\n00:00:00,500 --> 01:01:01,500\nana: a < b & c\n\n"
        "2\n00:00:01,000 --> 00:00:02,000\nbo: yes\n"
    )
    assert write("vtt", tmp_path / "t.vtt", talk) == (
        "WEBVTT\n\n00:00:00.500 --> 01:01:01.500\n<v ana>a &lt; b &amp; c\n\n"
        "00:00:01.000 --> 00:00:02.000\n<v bo>yes\n"
    )


def test_subtitles_of_others_are_read(tmp_path: Path) -> None:
    vtt = (
        "WEBVTT - a title\n\nNOTE a\nremark\n\nSTYLE\n::cue {}\n\n"
        "cue-1\n00:01.000 --> 00:02.500 align:start\n<v.loud Mary Smith>so <i>yes</i></v>\n\n"
        "01:00:00.000 --> 01:00:01.000\n<b>nobody</b>\nsaid\n"
    )
    assert read("vtt", tmp_path / "t.vtt", vtt) == (
        said("Mary Smith", 1.0, 2.5, "so yes"),
        said("", 3600.0, 3601.0, "nobody said"),
    )
    srt = "\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\nana: two\r\nlines\r\n\r\n"
    assert read("srt", tmp_path / "t.srt", srt) == (said("ana", 1.0, 2.5, "two lines"),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1\n00:00:01 --> 00:00:02\nx\n", r"t.srt:2: times: must be: start --> end"),
        ("1\n00:00:03,000 --> 00:00:02,000\nx\n", r"t.srt:2: times: ends at 2.0 s"),
        ("1\njust text\n", r"t.srt:1: a block without a line of times"),
    ],
)
def test_broken_subtitles_are_named_with_their_line(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        read("srt", tmp_path / "t.srt", content)


def test_a_speaker_that_reads_as_a_word_tier_is_refused(tmp_path: Path) -> None:
    bad = make_conversation("talk", [said("ana - words", 0.0, 1.0, "x")])
    with pytest.raises(ManifestError, match="rename the speaker"):
        write("textgrid", tmp_path / "t.TextGrid", bad)
