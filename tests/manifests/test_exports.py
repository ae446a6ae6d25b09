"""Label files that we write: read back, they are the session."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkover.manifests.exports import LABEL_FILES, write_labels, write_rttm
from talkover.manifests.labels import read_labels, read_uem
from talkover.manifests.schema import Session

HALF_SAMPLE = 0.5 / 16000


@pytest.mark.medium
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_every_sample_comes_back_from_every_file(
    sessions: st.SearchStrategy[Session], data: st.DataObject, tmp_path: Path
) -> None:
    session = data.draw(sessions)
    write_labels(tmp_path, [session])

    def samples(name: str) -> list[tuple[str, int, int]]:
        rows = read_labels(tmp_path / name).get(session.id, [])
        return sorted((s.speaker, round(s.start * 16000), round(s.end * 16000)) for s in rows)

    rows = session.supervisions
    regions = [(s.speaker, r.start_sample, r.end_sample) for s in rows for r in s.regions]
    words = [(s.speaker, w.start_sample, w.end_sample) for s in rows for w in s.words or ()]
    whole = sorted((s.speaker, s.start_sample, s.end_sample) for s in rows)
    assert samples("labels.rttm") == sorted(regions)
    assert samples("labels.ctm") == sorted(words)
    assert samples("labels.stm") == samples("labels.seglst.json") == whole
    for name in ("labels.stm", "labels.seglst.json"):
        texts = [s.text for s in read_labels(tmp_path / name)[session.id]]
        assert texts == [s.text for s in rows]
    (end,) = [end for _, end in read_uem(tmp_path / "labels.uem")[session.id]]
    assert abs(end - session.audio.duration) < HALF_SAMPLE


def test_the_files_of_a_known_session_are_these(tmp_path: Path, full_session: Session) -> None:
    rows = list(full_session.supervisions)
    rows[1] = rows[1].model_copy(update={"text": None})
    counts = write_labels(tmp_path, [full_session.model_copy(update={"supervisions": tuple(rows)})])
    assert (counts.sessions, counts.supervisions) == (1, 3)
    assert (counts.without_text, counts.without_words) == (1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(LABEL_FILES)
    read = {path.name: path.read_text(encoding="utf8") for path in tmp_path.iterdir()}
    assert read["labels.rttm"] == (
        "SPEAKER session-1 1 0.10000 0.80000 <NA> <NA> ana <NA> <NA>\n"
        "SPEAKER session-1 1 1.00000 0.50000 <NA> <NA> bo <NA> <NA>\n"
        "SPEAKER session-1 1 1.75000 0.50000 <NA> <NA> bo <NA> <NA>\n"
        "SPEAKER session-1 1 3.75000 0.25000 <NA> <NA> ana <NA> <NA>\n"
    )
    assert read["labels.stm"] == (
        "session-1 1 ana 0.10000 0.90000 aa bb\nsession-1 1 ana 3.75000 4.00000 aa\n"
    )
    assert read["labels.ctm"] == (
        "session-1 ana 0.10000 0.25000 aa\n"
        "session-1 ana 0.40000 0.50000 bb\n"
        "session-1 ana 3.75000 0.25000 aa\n"
    )
    assert read["labels.uem"] == "session-1 1 0.00000 10.00000\n"
    assert json.loads(read["labels.seglst.json"])[0] == {
        "session_id": "session-1",
        "speaker": "ana",
        "start_time": 0.1,
        "end_time": 0.9,
        "words": "aa bb",
    }


def test_files_of_no_session_are_empty_and_readable(tmp_path: Path) -> None:
    write_labels(tmp_path, [])
    assert read_labels(tmp_path / "labels.seglst.json") == {}
    assert (tmp_path / "labels.rttm").read_bytes() == b""


def test_a_failure_half_way_leaves_no_file(tmp_path: Path, full_session: Session) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield full_session
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_labels(tmp_path, broken())
    assert list(tmp_path.iterdir()) == []


def test_text_with_line_ends_stays_on_its_line(tmp_path: Path, full_session: Session) -> None:
    row = full_session.supervisions[0]
    word = row.words[0].model_copy(update={"symbol": "New York"})  # type: ignore[index]
    row = row.model_copy(update={"text": " a\nb\tc\u2028d ", "words": (word,)})
    write_labels(tmp_path, [full_session.model_copy(update={"supervisions": (row,)})])
    assert [s.text for s in read_labels(tmp_path / "labels.stm")["session-1"]] == ["a b c d"]
    assert [s.text for s in read_labels(tmp_path / "labels.ctm")["session-1"]] == ["New_York"]


def test_meeteval_reads_our_files_as_we_do(tmp_path: Path, full_session: Session) -> None:
    meeteval = pytest.importorskip("meeteval", reason="meeteval is in the extra `score`")
    write_labels(tmp_path, [full_session])
    for name in ("labels.rttm", "labels.stm"):
        theirs = sorted(
            (row["speaker"], float(row["start_time"]), float(row["end_time"]))
            for row in meeteval.io.load(tmp_path / name).to_seglst()
        )
        ours = read_labels(tmp_path / name)["session-1"]
        assert theirs == sorted((s.speaker, s.start, s.end) for s in ours)


def test_segments_of_any_origin_become_an_rttm(tmp_path: Path, full_session: Session) -> None:
    write_labels(tmp_path, [full_session])
    segments = read_labels(tmp_path / "labels.rttm")
    assert write_rttm(tmp_path / "again.rttm", segments) == 4
    assert (tmp_path / "again.rttm").read_bytes() == (tmp_path / "labels.rttm").read_bytes()
