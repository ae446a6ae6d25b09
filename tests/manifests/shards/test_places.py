"""Shards anywhere: memory, S3 and HTTP, by ranges; what is broken is named."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any

import fsspec
import pytest

from talkover.manifests.errors import AudioError, ConfigurationError, ManifestError, RunError
from talkover.manifests.io import read_sessions
from talkover.manifests.shards import read_index, read_sharded, write_shards
from talkover.manifests.shards.dataset import ShardDataset
from talkover.manifests.shards.loader import ShardLoader
from talkover.manifests.shards.places import Place


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def ids(items: Any) -> list[str]:
    return [item.session.id for item in items]


@pytest.fixture
def s3(object_server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict]:
    """Options of s3fs for the local server."""
    pytest.importorskip("s3fs", reason="s3:// needs the extra s3")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield {
        "key": "user",
        "secret": "password",
        "endpoint_url": f"http://127.0.0.1:{object_server.server_port}",
    }
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_memory_holds_the_same_bytes_as_a_disk_and_resumes(
    corpus: Path, shards: Path, memory: str
) -> None:
    format = read_index(shards)[0].format
    arguments: dict[str, Any] = {"format": format, "shard_size": 9, "jobs": 2}
    write_shards(corpus, memory, **arguments)
    system = fsspec.filesystem("memory")
    found = {name.removeprefix("/shards-test/out/"): system.cat_file(name) for name in system.store}
    assert found == files_below(shards)
    broken = next(name for name in system.store if "/shards/" in name)
    times = {name: system.modified(name) for name in system.store}
    system.pipe_file(broken, b"short")
    system.rm_file("/shards-test/out/index.json")
    write_shards(corpus, memory, **arguments)
    assert system.cat_file(broken) == found[broken.removeprefix("/shards-test/out/")]
    again = {name for name in times if system.modified(name) != times[name]}
    assert 0 < len(again) < len(times) / 2
    with pytest.raises(RunError, match="choose an empty folder"):
        write_shards(corpus, memory, format=format, shard_size=4)


@pytest.mark.medium
def test_a_dataset_reads_memory_with_workers(corpus: Path, memory: str) -> None:
    write_shards(corpus, memory, format="webdataset", shard_size=9)
    loader = ShardLoader(ShardDataset(memory), batch_size=3, collate=ids, num_workers=2)
    assert sorted(chain.from_iterable(loader)) == [f"s{n:03d}" for n in range(23)]


@pytest.mark.medium
def test_s3_is_written_read_by_range_and_resumed(
    corpus: Path, shards: Path, object_server: ThreadingHTTPServer, s3: dict[str, Any]
) -> None:
    format = read_index(shards)[0].format
    url, objects = "s3://bucket/some/where", object_server.RequestHandlerClass.objects  # type: ignore[attr-defined]
    objects["bucket/other"] = b""
    arguments: dict[str, Any] = {"format": format, "shard_size": 9, "storage_options": s3}
    write_shards(corpus, url, jobs=2, **arguments)
    found = {
        name.removeprefix("bucket/some/where/"): data
        for name, data in objects.items()
        if name != "bucket/other"
    }
    assert found == files_below(shards)
    del objects["bucket/some/where/index.json"]
    broken = next(name for name in objects if "/shards/" in name)
    objects[broken] = b"short"
    write_shards(corpus, url, executor="serial", **arguments)
    assert objects[broken] == found[broken.removeprefix("bucket/some/where/")]
    log = object_server.RequestHandlerClass.log  # type: ignore[attr-defined]
    log.clear()
    assert [one.session for one in read_sharded(url, storage_options=s3)] == list(
        read_sessions(corpus)
    )
    gets = [asked for method, key, asked in log if method == "GET" and "/shards/" in key]
    assert len(gets) == 23 * (2 if format == "shar" else 1)
    assert all(gets)
    dataset = ShardDataset(url, storage_options=s3)
    loader = ShardLoader(dataset, batch_size=3, collate=ids, num_workers=2)
    assert sorted(chain.from_iterable(loader)) == [f"s{n:03d}" for n in range(23)]


@pytest.mark.medium
def test_http_is_read_by_range_and_not_written(
    corpus: Path,
    shards: Path,
    object_server: ThreadingHTTPServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("aiohttp", reason="http:// needs aiohttp")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    objects = object_server.RequestHandlerClass.objects  # type: ignore[attr-defined]
    objects.update({f"data/{name}": data for name, data in files_below(shards).items()})
    url = f"http://127.0.0.1:{object_server.server_port}/data"
    assert [one.session for one in read_sharded(url)] == list(read_sessions(corpus))
    log = object_server.RequestHandlerClass.log  # type: ignore[attr-defined]
    assert all(asked for _, key, asked in log if "/shards/" in key)
    loader = ShardLoader(ShardDataset(url), batch_size=5, collate=ids, num_workers=2)
    assert sorted(chain.from_iterable(loader)) == [f"s{n:03d}" for n in range(23)]
    with pytest.raises(ConfigurationError, match="can only be read"):
        write_shards(corpus, url)


def test_shards_that_are_not_the_indexs_are_named(shards: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(shards, copy)
    index, _, _ = read_index(copy)
    first, second = index.shards[0], index.shards[1]
    audio = copy / first.audio.path
    whole = audio.read_bytes()

    audio.unlink()
    with pytest.raises(ManifestError, match="missing"):
        list(read_sharded(copy))
    audio.write_bytes(whole[: first.sessions[0].audio[0] + 10])
    with pytest.raises(ManifestError, match="was cut short"):
        list(read_sharded(copy))
    start, size = first.sessions[0].audio
    audio.write_bytes(whole[:start] + bytes(size) + whole[start + size :])
    with pytest.raises(AudioError, match="audio of s000 not decodable"):
        list(read_sharded(copy))
    audio.write_bytes(whole)

    for file, other in ((first.labels, second.labels), (first.audio, second.audio)):
        shutil.copyfile(copy / other.path, copy / file.path)
    with pytest.raises((ManifestError, AudioError)):
        list(read_sharded(copy))


def test_a_scheme_that_nobody_knows_is_named() -> None:
    with pytest.raises(ConfigurationError, match="nonsense"):
        Place.of("nonsense://a").is_of_process  # noqa: B018


def test_a_place_shows_no_secret() -> None:
    assert "password" not in repr(Place.of("memory://a", {"secret": "password"}))
