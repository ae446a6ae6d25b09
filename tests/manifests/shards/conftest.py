"""A small produced corpus, its shards, and a server that keeps objects in memory."""

from __future__ import annotations

import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import numpy as np
import pytest

from talkover.manifests.audio import file_sha256, write_audio
from talkover.manifests.io import write_sessions
from talkover.manifests.schema import Session
from talkover.manifests.shards import write_shards

RATE = 16000


def _session(folder: Path, make_session: Callable[..., Session], n: int, id: str) -> Session:
    """One session of FLAC whose samples tell which it is; every third has two channels."""
    count, channels = 1600 + 160 * n, 2 if n % 3 == 2 else 1
    spoken = [("ana", 100, [("hé", 0, 300), ("ho", 400, 200)], True), ("bo", 500, [("b", 0, 90)], False)]  # fmt: skip # noqa: E501
    session = make_session(spoken, id=id, num_samples=count, channels=channels)
    rng = np.random.default_rng(n)
    signal = np.round(rng.uniform(-0.2, 0.2, (channels, count)) * 2**15) / 2**15
    path = f"audio/{id}.flac"
    written = write_audio(
        folder / path, [signal.astype(np.float32)], RATE, format="flac", subtype="PCM_16"
    )
    audio = session.audio.model_copy(
        update={
            "path": path,
            "format": "flac",
            "sha256": file_sha256(folder / path),
            "pcm_sha256": written.pcm_sha256,
        }
    )
    return session.model_copy(update={"audio": audio})


@pytest.fixture(scope="session")
def make_corpus(make_session: Callable[..., Session]) -> Callable[..., Path]:
    """Write a corpus of sessions s000, s001, … into a folder."""

    def make(folder: Path, count: int, name: str = "s{:03d}") -> Path:
        (folder / "audio").mkdir(parents=True)
        made = [_session(folder, make_session, n, name.format(n)) for n in range(count)]
        write_sessions(folder / "cuts.jsonl", made)
        return folder

    return make


@pytest.fixture(scope="session")
def corpus(make_corpus: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of 23 sessions, not to be changed."""
    return make_corpus(tmp_path_factory.mktemp("corpus") / "made", 23)


@pytest.fixture(scope="session", params=["shar", "webdataset"])
def shards(
    request: pytest.FixtureRequest, corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The corpus as three shards of either format, not to be changed."""
    out = tmp_path_factory.mktemp("shards") / request.param
    write_shards(corpus, out, format=request.param, shard_size=9, executor="serial")
    return out


@pytest.fixture
def memory() -> Iterator[str]:
    """A URL in the memory of this process, empty."""
    system = fsspec.filesystem("memory")
    yield "memory://shards-test/out"
    system.store.clear()
    system.pseudo_dirs[:] = [""]


class _Objects(BaseHTTPRequestHandler):
    """What s3fs asks of S3 for whole objects: PUT, GET with a range, HEAD, DELETE, list."""

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    log: list[tuple[str, str, str | None]]

    def log_message(self, *args: object) -> None:
        pass

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            body = _unchunked(body)
        self.objects[self._key()] = body
        self._answer(200)

    def do_DELETE(self) -> None:
        self.objects.pop(self._key(), None)
        self._answer(204)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        if "list-type" in query:
            return self._list(query.get("prefix", [""])[0], query.get("delimiter", [""])[0])
        key, asked = self._key(), self.headers.get("Range")
        self.log.append((self.command, key, asked))
        if key not in self.objects:
            return self._answer(404, _error("NoSuchKey"), {"Content-Type": "application/xml"})
        data = self.objects[key]
        if not asked:
            return self._answer(200, data)
        first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", asked).groups()  # type: ignore[union-attr]
        end = min(int(last) + 1 if last else len(data), len(data))
        where = {"Content-Range": f"bytes {first}-{end - 1}/{len(data)}"}
        self._answer(206, data[int(first) : end], where)

    def _list(self, prefix: str, delimiter: str) -> None:
        bucket = self._key().split("/")[0]
        rows, folders = "", set()
        for key in sorted(self.objects):
            name = key.removeprefix(f"{bucket}/")
            if not key.startswith(f"{bucket}/{prefix}"):
                continue
            rest = name.removeprefix(prefix)
            if delimiter and delimiter in rest:
                folders.add(prefix + rest.split(delimiter)[0] + delimiter)
                continue
            size = len(self.objects[key])
            rows += f'<Contents><Key>{name}</Key><Size>{size}</Size><ETag>"0"</ETag></Contents>'
        rows += "".join(
            f"<CommonPrefixes><Prefix>{f}</Prefix></CommonPrefixes>" for f in sorted(folders)
        )
        name = f"<Name>{bucket}</Name><IsTruncated>false</IsTruncated>"
        text = f"<ListBucketResult>{name}{rows}</ListBucketResult>"
        self._answer(200, text.encode(), {"Content-Type": "application/xml"})

    def _key(self) -> str:
        return urllib.parse.unquote(urllib.parse.urlsplit(self.path).path).strip("/")

    def _answer(self, status: int, body: bytes = b"", more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"ETag": '"0"', "Accept-Ranges": "bytes", **(more or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()


def _unchunked(body: bytes) -> bytes:
    """Data of the chunks ``SIZE[;…]\\r\\nDATA\\r\\n``."""
    result, position = b"", 0
    while True:
        end = body.index(b"\r\n", position)
        size = int(body[position:end].split(b";")[0], 16)
        if size == 0:
            return result
        result += body[end + 2 : end + 2 + size]
        position = end + 2 + size + 2


@pytest.fixture
def object_server() -> Iterator[ThreadingHTTPServer]:
    """A local server of S3's objects, which also serves plain HTTP with ranges."""
    handler = type("Handler", (_Objects,), {"objects": {}, "log": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
