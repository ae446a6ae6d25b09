"""The source cache: the same bytes however it was built, and cheap to read."""

from __future__ import annotations

import csv
import errno
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from talkover.manifests.errors import ManifestError, RunError
from talkover.simulate import source_build
from talkover.simulate.corpus import Rejection, Utterance, open_corpora
from talkover.simulate.source_cache import SourceCache

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_build, "SHARD_SIZE", 5)


def published(folder: Path) -> dict[str, bytes]:
    """What the cache consists of, without what only says how it was built."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in ("requests", "markers")
    }
    assert {"cache.json", "rejected.jsonl", "pcm/00000.i16"} <= set(found)
    return found


def broken_corpus(folder: Path) -> Path:
    """Seven good utterances among bad ones of many kinds."""
    t = np.arange(8000) / RATE
    rows = []
    for n in range(7):
        sf.write(folder / f"good{n}.wav", 0.2 * np.sin(2 * np.pi * (200 + 50 * n) * t), RATE)
        rows.append({"utterance_id": f"good{n}", "speaker": f"s{n % 3}", "file": f"good{n}.wav"})
    (folder / "empty.wav").write_bytes(b"")
    sf.write(folder / "silent.wav", np.zeros(RATE), RATE)
    for n, more in enumerate(
        [
            {"file": "nowhere.wav"},
            {"file": "empty.wav"},
            {"file": "silent.wav"},
            {"utterance_id": "good0"},
            {"utterance_id": "../up"},
            {"sample_rate": "8000"},
            {"duration": "99"},
            {"speaker": ""},
        ]
    ):
        row = {"utterance_id": f"bad{n}", "speaker": "s0", "file": "good1.wav", **more}
        rows.insert(2 * n, row)  # good and bad in turn, the first bad one of good0 after it
    path = folder / "manifest.csv"
    columns = ["utterance_id", "speaker", "text", "file", "sample_rate", "duration"]
    with path.open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.usefixtures("small_shards")
def test_bad_utterances_are_set_aside_and_the_rest_is_numbered(tmp_path: Path) -> None:
    manifest = broken_corpus(tmp_path)
    cache = SourceCache.build(open_corpora([manifest]), tmp_path / "cache", RATE)
    assert len(cache) == 7
    assert [cache.utterance(n).utterance_id for n in range(7)] == [f"good{n}" for n in range(7)]
    rejected = list(cache.rejected)
    assert [r.field for r in rejected] == [
        "file", "file", "file", "utterance_id", "utterance_id", "sample_rate", "duration", "speaker"
    ]  # fmt: skip
    assert all(r.reason and (r.utterance_id or r.place) for r in rejected)
    assert str(tmp_path) not in (tmp_path / "cache" / "rejected.jsonl").read_text()


@pytest.mark.medium
@pytest.mark.usefixtures("small_shards")
def test_the_bytes_depend_on_no_worker_and_no_folder(
    tmp_path: Path, tone_corpus: Callable[..., Path]
) -> None:
    manifest = tone_corpus(speakers=3, utterances=5)
    one = SourceCache.build(open_corpora([manifest]), tmp_path / "one", RATE)
    two = SourceCache.build(
        open_corpora([manifest]), tmp_path / "two", RATE, executor="processes", jobs=2
    )
    moved = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(manifest.parent, moved)
    three = SourceCache.build(open_corpora([moved / manifest.name]), tmp_path / "three", RATE)
    assert published(one.folder) == published(two.folder) == published(three.folder)
    assert len(published(one.folder)) > 10
    assert one.corpus_hash == two.corpus_hash == three.corpus_hash


def test_samples_regions_and_words_are_those_of_the_source(
    tmp_path: Path, tone_corpus: Callable[..., Path]
) -> None:
    manifest = tone_corpus(speakers=2, utterances=8)
    cache = SourceCache.build(open_corpora([manifest]), tmp_path, RATE)
    with manifest.open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(cache) == len(rows) == 16
    for n, row in enumerate(rows):
        samples, found = cache.samples(n), cache.utterance(n)
        source = sf.read(manifest.parent / row["file"], dtype="int16")[0]
        assert samples.dtype == np.int16
        assert np.array_equal(samples, source)
        assert found.words is not None
        for (symbol, at, length), (name, start, duration) in zip(
            found.words, json.loads(row["words"]), strict=True
        ):
            assert symbol == name
            assert abs(at / RATE - start) < 1e-3 and abs(length / RATE - duration) < 1e-3
        assert cache.pieces(n).tolist() == [[at, at + count] for _, at, count in found.words]
        assert cache.regions(n).tolist() == [list(region) for region in found.regions]
        assert cache.speech_duration[n] == pytest.approx(found.speech_samples / RATE)
        assert cache.level_dbfs[n] == pytest.approx(found.level_dbfs)
        assert cache.num_samples[n] == found.num_samples
        assert cache.speakers[cache.speaker_no[n]] == row["speaker"]
        assert cache.languages[cache.language_no[n]] == "xx"
        assert cache.has_text[n]
    assert [cache.utterances_of(k).tolist() for k in range(2)] == [[*range(8)], [*range(8, 16)]]
    with pytest.raises(ValueError, match="read-only"):
        cache.samples(0)[0] = 1
    for beyond in (-1, 16):
        with pytest.raises(IndexError):
            cache.samples(beyond)
        with pytest.raises(IndexError):
            cache.utterance(beyond)


def test_speakers_are_numbered_by_name_and_no_language_is_minus_one(tmp_path: Path) -> None:
    t = np.arange(8000) / RATE
    sf.write(tmp_path / "a.wav", 0.2 * np.sin(2 * np.pi * 300 * t), RATE)
    people = [("zoe", "zh"), ("ana", None), ("bo", "en"), ("ana", "zh")]
    utterances = [
        Utterance(
            utterance_id=f"u{n}", speaker=speaker, language=language, path=tmp_path / "a.wav",
            file="a.wav", corpus="c", recording_id="r",
        )
        for n, (speaker, language) in enumerate(people)
    ]  # fmt: skip
    cache = SourceCache.build(utterances, tmp_path / "cache", RATE)
    assert cache.speakers == ["ana", "bo", "zoe"]
    assert cache.languages == ["en", "zh"]
    assert cache.language_no.tolist() == [1, -1, 0, 1]
    assert cache.utterances_of(0).tolist() == [1, 3]


def test_the_hash_changes_with_sound_and_with_text(
    tmp_path: Path, tone_corpus: Callable[..., Path]
) -> None:
    manifest = tone_corpus(speakers=2, utterances=3)
    copy = tmp_path / "copy"
    shutil.copytree(manifest.parent, copy)
    hashes = [SourceCache.build(open_corpora([manifest]), tmp_path / "c", RATE).corpus_hash]
    text = (copy / manifest.name).read_text(encoding="utf8")
    (copy / manifest.name).write_text(text.replace(",w0,", ",hello,"), encoding="utf8")
    hashes.append(
        SourceCache.build(open_corpora([copy / manifest.name]), tmp_path / "c", RATE).corpus_hash
    )
    samples, _ = sf.read(copy / "spk0-000.wav", dtype="int16")
    samples[len(samples) // 2] ^= 1
    sf.write(copy / "spk0-000.wav", samples, RATE)
    hashes.append(
        SourceCache.build(open_corpora([copy / manifest.name]), tmp_path / "c", RATE).corpus_hash
    )
    assert len(set(hashes)) == 3


@pytest.mark.usefixtures("small_shards")
def test_a_full_disk_is_one_clear_error_and_the_next_build_goes_on(
    tmp_path: Path, tone_corpus: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tone_corpus(speakers=3, utterances=5)
    whole = SourceCache.build(open_corpora([manifest]), tmp_path / "whole", RATE)
    real, calls = os.replace, 0

    def full(source: str | Path, target: str | Path) -> None:
        nonlocal calls
        calls += "rows" in str(target)
        if calls == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(RunError, match=r"no space left on device while writing .*rows"):
            SourceCache.build(open_corpora([manifest]), tmp_path / "c", RATE)
    with pytest.raises(RunError, match="not a finished source cache"):
        SourceCache.open(tmp_path / "c")
    assert not list((tmp_path / "c").rglob("*.tmp-*"))
    decoded = []
    monkeypatch.setattr(
        source_build, "decode", lambda u, r, d=source_build.decode: (decoded.append(u), d(u, r))[1]
    )
    again = SourceCache.build(open_corpora([manifest]), tmp_path / "c", RATE)
    assert len(decoded) == 10  # the first of three shards was done
    assert published(again.folder) == published(whole.folder)


SLOW_BUILD = """
import sys, time
from pathlib import Path
from talkover.simulate import source_build
from talkover.simulate.corpus import open_corpora
from talkover.simulate.source_cache import SourceCache
source_build.SHARD_SIZE = 5
decode = source_build.decode
def slow(utterance, rate):
    time.sleep(0.05)
    return decode(utterance, rate)
source_build.decode = slow
SourceCache.build(open_corpora([sys.argv[1]]), Path(sys.argv[2]), 16000)
"""


@pytest.mark.medium
@pytest.mark.usefixtures("small_shards")
def test_a_killed_build_goes_on_and_gives_the_same_bytes(
    tmp_path: Path, tone_corpus: Callable[..., Path]
) -> None:
    manifest = tone_corpus(speakers=3, utterances=10)
    whole = SourceCache.build(open_corpora([manifest]), tmp_path / "whole", RATE)
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", SLOW_BUILD, str(manifest), str(folder)])
    try:
        deadline = time.monotonic() + 60
        while not (folder / "markers" / "shard-00001.done.json").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (folder / "cache.json").exists()
    again = SourceCache.build(open_corpora([manifest]), folder, RATE)
    assert published(again.folder) == published(whole.folder)


@pytest.mark.usefixtures("small_shards")
def test_a_damaged_shard_is_decoded_again_and_a_good_one_is_not(
    tmp_path: Path, tone_corpus: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = tone_corpus(speakers=3, utterances=5)
    before = published(SourceCache.build(open_corpora([manifest]), tmp_path, RATE).folder)
    pcm = tmp_path / "pcm" / "00001.i16"
    pcm.write_bytes(pcm.read_bytes()[:-2])
    told: list[tuple[int, int]] = []
    cache = SourceCache.build(
        open_corpora([manifest]), tmp_path, RATE, progress=lambda *done: told.append(done)
    )
    assert told == [(15, 15)]
    assert published(cache.folder) == before


@pytest.mark.usefixtures("small_shards")
def test_a_smaller_corpus_leaves_nothing_of_a_larger_one(
    tmp_path: Path, tone_corpus: Callable[..., Path]
) -> None:
    large, small = tone_corpus(speakers=3, utterances=5), tone_corpus(speakers=2, utterances=3)
    SourceCache.build(open_corpora([large]), tmp_path / "a", RATE)
    SourceCache.build(open_corpora([small]), tmp_path / "a", RATE)
    SourceCache.build(open_corpora([small]), tmp_path / "b", RATE)
    assert published(tmp_path / "a") == published(tmp_path / "b")


def test_a_corpus_without_one_usable_utterance_is_an_error_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("speaker,text,file\nana,hi,a.wav\nana,hi,b.wav\n")
    with pytest.raises(ManifestError, match="2 of 2 rejected, most for: missing"):
        SourceCache.build(open_corpora([tmp_path / "m.csv"]), tmp_path / "c", RATE)
    lines = (tmp_path / "c" / "rejected.jsonl").read_text().splitlines()
    assert [Rejection.parse(line).file for line in lines] == ["a.wav", "b.wav"]


def test_what_is_no_cache_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no cache\.json"):
        SourceCache.open(tmp_path)
    (tmp_path / "cache.json").write_text("{")
    with pytest.raises(RunError, match="not the record"):
        SourceCache.open(tmp_path)
    (tmp_path / "cache.json").write_text('{"version": "0"}')
    with pytest.raises(RunError, match="version 0"):
        SourceCache.open(tmp_path)


def test_a_pickle_holds_the_folder_and_nothing_else(
    tmp_path: Path, tone_corpus: Callable[..., Path]
) -> None:
    cache = SourceCache.build(open_corpora([tone_corpus()]), tmp_path, RATE)
    cache.samples(0), cache.utterance(0)
    data = pickle.dumps(cache)
    assert len(data) < 500
    other = pickle.loads(data)
    assert np.array_equal(other.samples(3), cache.samples(3))
    assert other.utterance(3) == cache.utterance(3)


READER = """
import sys
from pathlib import Path
import numpy as np
from talkover.simulate.source_cache import SourceCache
cache = SourceCache.open(Path(sys.argv[1]))
assert len(cache) == 1_000_000
for n in np.random.default_rng(0).integers(0, len(cache), 20_000):
    cache.utterance(n), cache.samples(n).sum(), cache.pieces(n)
for k in range(len(cache.speakers)):
    assert len(cache.speech_duration[cache.utterances_of(k)]) == 100_000
# Not ru_maxrss: that of a child begins with its parent's.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["VmHWM"].split()[0]) // 1024)
print(status["RssAnon"].strip(), status["RssFile"].strip(), file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/status")
def test_a_million_utterances_cost_a_worker_little_memory(
    tmp_path: Path, tone_corpus: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One shard of a hundred utterances stands, by links, for ten thousand; read at random."""
    monkeypatch.setattr(source_build, "SHARD_SIZE", 100)
    manifest = tone_corpus(speakers=10, utterances=10)
    first = SourceCache.build(open_corpora([manifest]), tmp_path, RATE)
    for kind, suffix in (("pcm", "i16"), ("rows", "jsonl"), ("parts", "json")):
        for n in range(1, 10_000):
            os.link(tmp_path / kind / f"00000.{suffix}", tmp_path / kind / f"{n:05d}.{suffix}")
    shards = [source_build._Shard(n, tmp_path, RATE, 100, "") for n in range(10_000)]
    source_build._join(tmp_path, shards, RATE, "linked")
    assert SourceCache.open(tmp_path).utterance(999_942) == first.utterance(42)
    out = subprocess.run(
        [sys.executable, "-c", READER, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(out.stdout) < 600, out.stderr  # MB, pages shared with other workers included
