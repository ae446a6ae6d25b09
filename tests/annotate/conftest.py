"""What the tests of whole runs share."""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from talkover.annotate import pipeline, work
from talkover.annotate.config import AnnotationConfig, load_config

sys.path.insert(0, str(Path(__file__).parent / "helpers"))  # modules of ours, not of any package
from scripted_backends import CALLS

OFF = [
    f"backends.{kind}=none"
    for kind in ("activity", "diarizer", "embedder", "music", "events", "quality")
]


@pytest.fixture
def energy() -> AnnotationConfig:
    """The one backend that needs no model."""
    return load_config(None, [*OFF, "backends.vad=energy"])


@pytest.fixture(autouse=True)
def fresh_worker() -> Iterator[None]:
    """This process as a worker that has opened nothing yet."""
    work._open.clear()
    CALLS.clear()
    yield
    work._open.clear()


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AnnotationConfig]:
    """Put scripted backends in place of all others; gives the configuration that uses them."""

    def use(*assignments: str, **classes: type[Any]) -> AnnotationConfig:
        work._open.clear()
        monkeypatch.setattr(
            pipeline,
            "backends_of",
            lambda kind: {"scripted": classes[kind]} if kind in classes else {},
        )
        chosen = [
            f"backends.{kind}={'scripted' if kind in classes else 'none'}"
            for kind in pipeline.READS
        ]
        return load_config(None, [*chosen, *assignments])

    return use


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Any attempt to connect fails; gives the list of attempts."""
    attempts: list[object] = []

    def refuse(_: object, address: object, *__: object) -> NoReturn:
        attempts.append(address)
        raise OSError(f"a connection to {address} was attempted")

    def no_names(host: object, *_: object, **__: object) -> NoReturn:
        attempts.append(host)
        raise OSError(f"the name {host} was looked up")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", no_names)
    return attempts


@pytest.fixture
def produced() -> Callable[[Path], dict[str, str]]:
    """Hash of every file of a folder outside its ``run/``."""

    def hashes(folder: Path) -> dict[str, str]:
        return {
            path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.relative_to(folder).parts[0] != "run"
        }

    return hashes
