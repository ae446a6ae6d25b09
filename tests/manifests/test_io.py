"""Manifests: lazy, strict, atomic, the same bytes every time."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from talkover.manifests.errors import ManifestError
from talkover.manifests.io import read_sessions, session_line, write_sessions
from talkover.manifests.schema import Session


@pytest.fixture
def three(full_session: Session) -> list[Session]:
    return [full_session.model_copy(update={"id": f"s{n}"}) for n in range(3)]


@pytest.mark.parametrize("name", ["cuts.jsonl", "cuts.jsonl.gz"])
def test_sessions_come_back_and_bytes_do_not_change(
    tmp_path: Path, three: list[Session], name: str
) -> None:
    first, second = tmp_path / "a" / name, tmp_path / "b" / name
    assert write_sessions(first, three) == write_sessions(second, iter(three)) == 3
    assert first.read_bytes() == second.read_bytes()
    assert list(read_sessions(first)) == three
    assert list(read_sessions(first.parent)) == three


def test_gzip_holds_no_time_and_no_name(tmp_path: Path, three: list[Session]) -> None:
    write_sessions(tmp_path / "cuts.jsonl.gz", three)
    header = (tmp_path / "cuts.jsonl.gz").read_bytes()[:10]
    assert header[3] == 0 and header[4:8] == b"\0\0\0\0"


def test_reading_is_lazy(tmp_path: Path, three: list[Session]) -> None:
    path = tmp_path / "cuts.jsonl"
    path.write_text(session_line(three[0]) + "\nnot json\n", encoding="utf8")
    sessions = read_sessions(path)
    assert next(sessions) == three[0]
    with pytest.raises(ManifestError, match=r"cuts\.jsonl:2: not JSON"):
        next(sessions)


@pytest.mark.parametrize(
    ("keep", "reason"), [(-1, "no line end"), (-40, "no line end")], ids=["newline", "torn"]
)
def test_a_torn_last_line_is_refused(
    tmp_path: Path, three: list[Session], keep: int, reason: str
) -> None:
    path = tmp_path / "cuts.jsonl"
    write_sessions(path, three)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ManifestError, match=f"cuts.jsonl:3: .*{reason}"):
        list(read_sessions(path))


def test_torn_gzip_is_refused(tmp_path: Path, three: list[Session]) -> None:
    path = tmp_path / "cuts.jsonl.gz"
    write_sessions(path, three)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ManifestError, match="torn"):
        list(read_sessions(path))
    path.write_bytes(b"plain")
    with pytest.raises(ManifestError, match="gzip"):
        list(read_sessions(path))


def test_an_id_on_two_lines_is_refused_when_read_and_when_written(
    tmp_path: Path, three: list[Session]
) -> None:
    path = tmp_path / "cuts.jsonl"
    path.write_text(f"{session_line(three[0])}\n" * 2, encoding="utf8")
    with pytest.raises(ManifestError, match="'s0' is on line 1 already"):
        list(read_sessions(path))
    with pytest.raises(ManifestError, match="two sessions have the id 's1'"):
        write_sessions(tmp_path / "new.jsonl", [three[1], three[1]])
    assert not (tmp_path / "new.jsonl").exists()


def test_a_writer_that_fails_leaves_the_old_file(tmp_path: Path, three: list[Session]) -> None:
    path = tmp_path / "cuts.jsonl"
    write_sessions(path, three[:1])

    def broken() -> Iterator[Session]:
        yield three[1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sessions(path, broken())
    assert list(read_sessions(path)) == three[:1]
    assert [p.name for p in tmp_path.iterdir()] == ["cuts.jsonl"]


def test_a_folder_without_a_manifest_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no cuts\.jsonl"):
        list(read_sessions(tmp_path))
    with pytest.raises(ManifestError, match=r"gone\.jsonl: cannot be read: No such file"):
        list(read_sessions(tmp_path / "gone.jsonl"))


def test_text_is_utf8_and_readable(tmp_path: Path, full_session: Session) -> None:
    line = session_line(full_session)
    assert "ü" in line and ": " not in line.replace('"as it is"', "")
    (tmp_path / "cuts.jsonl").write_bytes(line.encode("latin-1") + b"\n")
    with pytest.raises(ManifestError, match="not UTF-8"):
        list(read_sessions(tmp_path))
    with gzip.open(tmp_path / "bom.jsonl.gz", "wb") as file:
        file.write(b"\xef\xbb\xbf" + line.encode() + b"\r\n")
    assert list(read_sessions(tmp_path / "bom.jsonl.gz")) == [full_session]
