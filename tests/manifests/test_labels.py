"""Label files of anybody: what is read, and what is refused with its place."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from talkover.manifests.errors import ManifestError
from talkover.manifests.io import write_sessions
from talkover.manifests.labels import LabelWord, Segment, read_labels, read_uem
from talkover.manifests.schema import Session

RTTM = (
    ";; a comment\n"
    "SPKR-INFO s1 1 <NA> <NA> <NA> unknown ana <NA> <NA>\n"
    "SPEAKER s1 1 0.50 1.25 <NA> <NA> ana <NA> <NA>\n"
    "\n"
    "SPEAKER s2 1 3 0 <NA> <NA> bo <NA>\n"
)


def seg(session: str, speaker: str, start: float, end: float, text: str | None = None) -> Segment:
    return Segment(session=session, speaker=speaker, start=start, end=end, text=text)


def word(session: str, speaker: str, start: float, end: float, text: str) -> Segment:
    timed = (LabelWord(symbol=text, start=start, end=end),)
    return Segment(session=session, speaker=speaker, start=start, end=end, text=text, words=timed)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf8")
    return path


@pytest.mark.parametrize("name", ["a.rttm", "a.rttm.gz", "a.b.RTTM"])
def test_rttm_reads_speaker_lines(tmp_path: Path, name: str) -> None:
    assert read_labels(written(tmp_path, name, RTTM)) == {
        "s1": [seg("s1", "ana", 0.5, 1.75)],
        "s2": [seg("s2", "bo", 3.0, 3.0)],
    }


def test_stm_reads_text_labels_and_unscored_stretches(tmp_path: Path) -> None:
    text = (
        "s1 1 ana 0 1.5 <O,F0,female> hello  there,\n"
        "s1 1 inter_segment_gap 1.5 2 \n"
        "s1 A bo 2 3 <unk> you\u3000好\n"
        "s1 1 ana 3 4\n"
        "s1 1 bo 4 5 IGNORE_TIME_SEGMENT_IN_SCORING\n"
    )
    assert read_labels(written(tmp_path, "a.stm", text))["s1"] == [
        seg("s1", "ana", 0.0, 1.5, "hello  there,"),
        seg("s1", "bo", 2.0, 3.0, "<unk> you\u3000好"),
        seg("s1", "ana", 3.0, 4.0, ""),
        seg("s1", "bo", 4.0, 5.0, None),
    ]


def test_ctm_and_word_tables_read_as_words(tmp_path: Path) -> None:
    ctm = written(tmp_path, "a.ctm", "s1 ana 0.5 0.25 hi 0.99\n")
    assert read_labels(ctm) == {"s1": [word("s1", "ana", 0.5, 0.75, "hi")]}
    rows = 'speaker\tsession\tword\tstart\tend\textra\nana\ts1\t"hi\t0.5\t0.75\t0\n'
    assert read_labels(written(tmp_path, "a.tsv", rows)) == {
        "s1": [word("s1", "ana", 0.5, 0.75, '"hi')]
    }


def test_a_word_that_ends_before_it_starts_has_no_length(tmp_path: Path) -> None:
    rows = "session\tspeaker\tstart\tend\tword\ns1\tana\t5\t3\tso\n"
    assert read_labels(written(tmp_path, "a.tsv", rows)) == {
        "s1": [word("s1", "ana", 5.0, 5.0, "so")]
    }


def test_seglst_reads_with_and_without_words_and_session(tmp_path: Path) -> None:
    rows = [
        {"session_id": "s1", "speaker": "ana", "start_time": "0.5", "end_time": 1, "words": "hi"},
        {"speaker": "bo", "start_time": 2.0, "end_time": 2.5},
    ]
    assert read_labels(written(tmp_path, "dev.seglst.json", json.dumps(rows))) == {
        "s1": [seg("s1", "ana", 0.5, 1.0, "hi")],
        "dev": [seg("dev", "bo", 2.0, 2.5)],
    }


def test_our_cuts_read_as_supervisions_or_regions(tmp_path: Path, full_session: Session) -> None:
    write_sessions(tmp_path / "cuts.jsonl.gz", [full_session])
    supervisions = read_labels(tmp_path)["session-1"]
    assert [(s.speaker, s.start, s.end, s.text) for s in supervisions] == [
        (row.speaker, row.start, row.end, row.text) for row in full_session.supervisions
    ]
    assert [s.words is None for s in supervisions] == [False, True, False]
    first = supervisions[0].words
    assert first == tuple(
        LabelWord(symbol=w.symbol, start=w.start, end=w.end)
        for w in full_session.supervisions[0].words or ()
    )
    regions = read_labels(tmp_path, regions=True)["session-1"]
    assert [(s.speaker, s.start, s.end) for s in regions] == [
        (row.speaker, r.start, r.end) for row in full_session.supervisions for r in row.regions
    ]
    assert len(regions) == 4


@pytest.mark.medium
def test_lhotse_of_others_is_put_on_the_clock_of_the_cut(tmp_path: Path) -> None:
    from lhotse import CutSet, SupervisionSet
    from lhotse.cut import MonoCut
    from lhotse.supervision import AlignmentItem, SupervisionSegment
    from lhotse.testing.dummies import dummy_recording

    # The cut is the recording from 2 s on: its supervision moves, the word does not (Lhotse).
    row = SupervisionSegment("x", "r", 1.0, 2.0, text="hi", speaker="ana")
    row = row.with_alignment("word", [AlignmentItem("hi", 3.25, 0.5)])
    recording = dummy_recording(1, duration=10.0)
    cut = MonoCut("c", 2.0, 5.0, 0, supervisions=[row], recording=recording)
    mixed = cut.mix(
        MonoCut("d", 2.0, 5.0, 0, supervisions=[row], recording=recording), offset_other_by=1.5
    )
    CutSet.from_cuts([cut, mixed.with_id("m")]).to_file(tmp_path / "c.jsonl")
    found = read_labels(tmp_path / "c.jsonl")
    hi = (LabelWord(symbol="hi", start=1.25, end=1.75),)
    assert found["c"] == [
        Segment(session="c", speaker="ana", start=1.0, end=3.0, text="hi", words=hi)
    ]
    assert [(s.start, s.words[0].start) for s in found["m"] if s.words] == [(1, 1.25), (2.5, 2.75)]

    SupervisionSet.from_segments([row]).to_file(tmp_path / "s.json")
    assert [(s.session, s.start) for s in read_labels(tmp_path / "s.json")["r"]] == [("r", 1.0)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.rttm", RTTM + "SPEAKER s1 1 0.5\n", "a.rttm:6: must have 8 fields, got 4"),
        ("a.rttm", "SPEAKER s 1 x 1 - - a - -\n", "a.rttm:1: start: must be a time in seconds"),
        ("a.rttm", "SPEAKER s 1 1 -1 - - a - -\n", "a.rttm:1: duration: must not be negative"),
        ("a.stm", "s 1 a 1 inf\n", "a.stm:1: end: must be a time in seconds, got 'inf'"),
        ("a.stm", "s 1 a 2 1 x\n", r"a.stm:1: ends at 1\.0 s, before its start"),
        ("a.ctm", "s a 1 .5\n", "a.ctm:1: must have 5 fields"),
        ("a.tsv", "session\tstart\n", "a.tsv:1: header lacks speaker, end, word"),
        ("a.tsv", "session\tspeaker\tstart\tend\tword\ns\ta\n", "a.tsv:2: must have 5 fields"),
        ("a.json", "{", "a.json: not JSON"),
        ("a.json", '{"a": 1}', "a.json: must be a list of objects"),
        ("a.json", '[{"start_time": 1}]', r"a.json: \[0\]\.speaker: must be text, got None"),
        ("a.jsonl", '{"type": "MonoCut"}\n', "a.jsonl:1: id: must be text"),
        ("a.jsonl", "{}\n{\n", "a.jsonl:1: recording_id: must be text"),
        ("a.jsonl", "[\n", "a.jsonl:1: not JSON"),
        (
            "a.jsonl",
            '{"type": "MonoCut", "id": "c", "supervisions": [{"start": 1, "duration": null}]}\n',
            r"a.jsonl:1: supervisions\[0\]\.duration: must be a time in seconds, got None",
        ),
        ("a.txt", "", "a.txt: the name does not say the format"),
    ],
)
def test_what_breaks_the_format_is_named_with_its_line(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        read_labels(written(tmp_path, name, text))


def test_a_format_can_be_said(tmp_path: Path) -> None:
    assert read_labels(written(tmp_path, "a.txt", RTTM), format="rttm").keys() == {"s1", "s2"}


def test_missing_and_foreign_bytes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        read_labels(tmp_path / "gone.rttm")
    path = tmp_path / "a.stm"
    path.write_bytes(b"s 1 a 0 1 fine\ns 1 a 1 2 caf\xe9\n")
    with pytest.raises(ManifestError, match=r"a\.stm:2: not UTF-8"):
        read_labels(path)


def test_a_uem_reads_as_stretches(tmp_path: Path) -> None:
    path = written(tmp_path, "a.uem", ";; x\ns1 1 0 10.5\ns1 1 12 20\ns2 1 0 1\n")
    assert read_uem(path) == {"s1": [(0.0, 10.5), (12.0, 20.0)], "s2": [(0.0, 1.0)]}
    with pytest.raises(ManifestError, match=r"a\.uem:1: must have 4 fields"):
        read_uem(written(tmp_path, "a.uem", "s1 0 1\n"))


def test_real_corpora_read_whole(shared_data: Path) -> None:
    found = read_labels(shared_data / "conversations" / "aishell4_train18.rttm.gz")
    assert (len(found), sum(map(len, found.values()))) == (18, 8882)
    # As the ruler adds it, dust and all: what touches must touch for both.
    assert found["20200706_L_R001S01C01"][0].end == 33.6354 + 2.3550


def test_a_segment_serves_where_scores_want_one(make_session: Callable[..., Session]) -> None:
    from talkover.manifests.score.sides import make_side

    side = make_side([word("s", "ana", 0.5, 1.0, "hi")])
    assert side.activity["ana"].tolist() == [[0.5, 1.0]]
