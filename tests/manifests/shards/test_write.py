"""Shards: readable by Lhotse and by tar tools, the same bytes always, resumed after a kill."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkover.manifests.errors import ConfigurationError, ManifestError, RunError
from talkover.manifests.io import read_sessions
from talkover.manifests.shards import Index, read_index, read_sharded, shard, write_shards
from talkover.manifests.shards import write as write_module
from talkover.manifests.shards.archive import HashedFile, add_bytes, finish
from talkover.manifests.shards.plan import parse_size

pytestmark = pytest.mark.medium  # seconds each: not for the fast round


def tree(folder: Path) -> dict[str, bytes]:
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found
    return found


def test_every_session_comes_back_with_all_its_labels_and_samples(
    corpus: Path, shards: Path
) -> None:
    written = list(read_sessions(corpus))
    read = list(read_sharded(shards))
    assert [one.session for one in read] == written
    for one in read:
        wanted, rate = soundfile.read(
            corpus / one.session.audio.path, dtype="float32", always_2d=True
        )
        assert one.sampling_rate == rate
        assert one.samples.dtype == np.float32
        np.testing.assert_array_equal(one.samples, wanted.T)


def test_the_index_says_where_every_member_lies(corpus: Path, shards: Path) -> None:
    index, _, sha256 = read_index(shards)
    assert sha256 == hashlib.sha256((shards / "index.json").read_bytes()).hexdigest()
    sessions = {session.id: session for session in read_sessions(corpus)}
    assert [one.num_sessions for one in index.shards] == [9, 9, 5]
    assert index.num_sessions == 23
    assert index.seconds == pytest.approx(sum(s.audio.duration for s in sessions.values()))
    for one in index.shards:
        for file in (one.labels, one.audio):
            data = (shards / file.path).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
        assert one.num_samples == sum(entry.num_samples for entry in one.sessions)
        for entry in one.sessions:
            start, size = entry.audio
            audio = (shards / one.audio.path).read_bytes()[start : start + size]
            assert hashlib.sha256(audio).hexdigest() == sessions[entry.id].audio.sha256
            start, size = entry.labels
            labels = (shards / one.labels.path).read_bytes()[start : start + size]
            labels = gzip.decompress(labels) if index.format == "shar" else labels
            assert json.loads(labels)["id"] == entry.id


def test_lhotse_opens_shar_with_audio_and_labels(corpus: Path, tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    write_shards(corpus, tmp_path, format="shar", shard_size=9, executor="serial")
    cuts = list(lhotse.CutSet.from_shar(in_dir=tmp_path / "shards"))
    plain = list(lhotse.CutSet.from_file(corpus / "cuts.jsonl").with_recording_path_prefix(corpus))
    assert [cut.id for cut in cuts] == [cut.id for cut in plain]
    for cut, other in zip(cuts, plain, strict=True):
        with lhotse.audio.backend.audio_backend("LibsndfileBackend"):  # torchaudio may not load
            np.testing.assert_array_equal(cut.load_audio(), other.load_audio())
        assert cut.supervisions == other.supervisions
        assert cut.custom["talkover"] == other.custom["talkover"]
        assert cut.num_channels == other.num_channels


def test_webdataset_members_come_in_pairs_with_nothing_of_the_machine(
    corpus: Path, tmp_path: Path
) -> None:
    index = write_shards(corpus, tmp_path, format="webdataset", shard_size=9, executor="serial")
    names = []
    for one in index.shards:
        with tarfile.open(tmp_path / one.audio.path) as tar:
            for member in tar:
                assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
                assert (member.uname, member.gname) == ("", "")
                names.append(member.name)
    wanted = [
        f"{session.id}.{kind}" for session in read_sessions(corpus) for kind in ("json", "flac")
    ]
    assert names == wanted


def test_ids_with_dots_are_one_key_of_webdataset_each(
    make_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    corpus = make_corpus(tmp_path / "in", 3, "a.{}.b")
    index = write_shards(corpus, tmp_path / "out", format="webdataset", executor="serial")
    with tarfile.open(tmp_path / "out" / index.shards[0].audio.path) as tar:
        keys = [re.fullmatch(r"([^.]+)\.(.+)", name).groups() for name in tar.getnames()]  # type: ignore[union-attr]
    assert [kind for _, kind in keys] == ["json", "flac"] * 3
    assert len({key for key, _ in keys}) == 3
    assert [one.session.id for one in read_sharded(tmp_path / "out")] == ["a.0.b", "a.1.b", "a.2.b"]


@pytest.mark.parametrize("format", ["shar", "webdataset"])
def test_a_very_long_id_survives(
    make_corpus: Callable[..., Path], tmp_path: Path, format: str
) -> None:
    corpus = make_corpus(tmp_path / "in", 2, "x" * 190 + "{}")
    write_shards(corpus, tmp_path / "out", format=format, executor="serial")  # type: ignore[arg-type]
    assert [one.session for one in read_sharded(tmp_path / "out")] == list(read_sessions(corpus))


@pytest.mark.medium
def test_bytes_do_not_depend_on_workers(corpus: Path, shards: Path, tmp_path: Path) -> None:
    format = read_index(shards)[0].format
    write_shards(corpus, tmp_path, format=format, shard_size=9, jobs=2, executor="processes")
    assert tree(tmp_path) == tree(shards)


def test_a_gzip_manifest_gives_the_same_shards(corpus: Path, shards: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    packed = gzip.compress((corpus / "cuts.jsonl").read_bytes())
    (tmp_path / "in" / "cuts.jsonl.gz").write_bytes(packed)
    (tmp_path / "in" / "audio").symlink_to(corpus / "audio")
    format = read_index(shards)[0].format
    write_shards(tmp_path / "in", tmp_path / "out", format=format, shard_size=9, executor="serial")
    assert tree(tmp_path / "out") == tree(shards)


def test_shards_by_bytes_hold_no_more_than_asked(corpus: Path, tmp_path: Path) -> None:
    lines = (corpus / "cuts.jsonl").read_bytes().splitlines(keepends=True)
    costs = {
        session.id: (corpus / session.audio.path).stat().st_size + len(line)
        for session, line in zip(read_sessions(corpus), lines, strict=True)
    }
    limit = 2 * max(costs.values())
    plan = write_module.plan_shards(
        corpus, "shar", dataclasses.replace(parse_size("1MB"), num_bytes=limit)
    )
    ids, sums = list(costs), []
    for one in plan.shards:
        lines_here = [line for line, _ in write_module.lines_of(plan, one)]
        sums.append(sum(costs[ids[line - 1]] for line in lines_here))
    assert len(sums) > 3
    assert sum(sums) == sum(costs.values())
    assert max(sums) <= limit
    firsts = [costs[ids[one.first_line - 1]] for one in plan.shards[1:]]
    assert all(held + following > limit for held, following in zip(sums, firsts, strict=False))


def test_a_stopped_run_goes_on_and_gives_the_same_bytes(
    corpus: Path, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    format = read_index(shards)[0].format
    calls: list[float] = []

    def stop(seconds: float) -> None:
        calls.append(seconds)
        if len(calls) == 2:
            raise KeyboardInterrupt

    def write(progress: Callable[[float], object] | None = None) -> Index:
        return write_shards(
            corpus, tmp_path, format=format, shard_size=9, executor="serial", progress=progress
        )

    with pytest.raises(KeyboardInterrupt):
        write(stop)
    assert not (tmp_path / "index.json").exists()
    done = {p: p.stat().st_mtime_ns for p in (tmp_path / "shards").iterdir()}
    broken = sorted(done)[0]
    broken.write_bytes(b"x" + broken.read_bytes()[1:])
    write()
    assert tree(tmp_path) == tree(shards)
    untouched = [p for p, time in done.items() if p.stat().st_mtime_ns == time]
    assert len(untouched) == len(done) // 2  # the shard that was whole
    added: list[int] = []
    monkeypatch.setattr(write_module, "_add", lambda *_: added.append(1))
    assert write() == read_index(shards)[0]
    assert added == []


def test_other_shards_are_not_written_over(corpus: Path, tmp_path: Path) -> None:
    write_shards(corpus, tmp_path, shard_size=9, executor="serial")
    before = tree(tmp_path)
    for arguments in ({"shard_size": 5}, {"shard_size": 9, "format": "webdataset"}):
        with pytest.raises(RunError, match="choose an empty folder"):
            write_shards(corpus, tmp_path, executor="serial", **arguments)  # type: ignore[arg-type]
    assert tree(tmp_path) == before


def test_audio_that_is_not_the_manifests_is_refused(
    make_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    corpus = make_corpus(tmp_path / "in", 3)
    changed = corpus / "audio" / "s001.flac"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\0")
    with pytest.raises(ManifestError, match=r"s001\.flac: is not the file of the manifest"):
        write_shards(corpus, tmp_path / "out", executor="serial")
    assert not (tmp_path / "out" / "index.json").exists()
    assert list((tmp_path / "out" / "shards").iterdir()) == []
    changed.unlink()
    with pytest.raises(ManifestError, match=r"cuts\.jsonl:2: audio of s001"):
        write_shards(corpus, tmp_path / "out", executor="serial")


@pytest.mark.parametrize("case", ["twice", "torn", "empty"])
def test_a_manifest_that_is_not_whole_is_refused(corpus: Path, tmp_path: Path, case: str) -> None:
    text = (corpus / "cuts.jsonl").read_text(encoding="utf8")
    line = text.splitlines(keepends=True)[0]
    (tmp_path / "audio").symlink_to(corpus / "audio")
    content, reason = {
        "twice": (line + line, r"cuts\.jsonl:2: id: 's000' is on line 1 already"),
        "torn": (line[:-1], "no line end"),
        "empty": ("", "holds no session"),
    }[case]
    (tmp_path / "cuts.jsonl").write_text(content, encoding="utf8")
    with pytest.raises(ManifestError, match=reason):
        write_shards(tmp_path, tmp_path / "out", executor="serial")


def test_the_command_says_what_was_written(corpus: Path, tmp_path: Path) -> None:
    summary = shard(corpus, tmp_path, format="webdataset", shard_size="1MB", executor="serial")
    files = list((tmp_path / "shards").iterdir())
    assert summary == {
        "index": f"{tmp_path}/index.json",
        "format": "webdataset",
        "shards": len(files),
        "sessions": 23,
        "seconds": pytest.approx(sum(1600 + 160 * n for n in range(23)) / 16000),
        "bytes": sum(file.stat().st_size for file in files),
    }


@pytest.mark.parametrize("size", ["0", "many", "-3", "1.5GB", "10 kB", 0])
def test_a_size_that_means_nothing_is_refused(size: int | str) -> None:
    with pytest.raises(ConfigurationError, match="such as 256MB"):
        parse_size(size)


def test_an_unknown_format_is_refused(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="choose one of shar, webdataset"):
        shard(corpus, tmp_path, format="zip")


def test_our_tar_is_what_tarfile_writes() -> None:
    members = {"a.json": b"{}", "b.flac": bytes(1000), "c" * 150 + ".json": b"x" * 512}
    ours, theirs = io.BytesIO(), io.BytesIO()
    file = HashedFile(ours)
    for name, data in members.items():
        start, size = add_bytes(file, name, data)
        assert ours.getvalue()[start : start + size] == data
    finish(file)
    with tarfile.open(fileobj=theirs, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert ours.getvalue() == theirs.getvalue()
    assert file.sha256 == hashlib.sha256(theirs.getvalue()).hexdigest()
