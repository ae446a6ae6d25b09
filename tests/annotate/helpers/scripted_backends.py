"""Backends that say what a test tells them, and recordings for them to hear."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from talkover.annotate.backends.base import BackendInfo, BranchResult
from talkover.annotate.events import Curve, Event
from talkover.annotate.media import DecodedAudio

Says = Callable[..., BranchResult]
CALLS: Counter[str] = Counter()
"""How often each scripted backend ran."""


def info(name: str, version: str = "1", **more: Any) -> BackendInfo:
    return BackendInfo(name=name, version=version, licence=more.pop("licence", "MIT"), **more)


def turn(start: float, end: float, speaker: str, confidence: float = 0.9) -> Event:
    return Event(
        id=f"{speaker}{start}",
        kind="turn",
        start=round(start * 16000),
        end=round(end * 16000),
        label="speech",
        confidence=confidence,
        speaker=speaker,
    )


def event(kind: Any, start: float, end: float, label: str, **more: Any) -> Event:
    return Event(
        id=f"{label}{start}",
        kind=kind,
        start=round(start * 16000),
        end=round(end * 16000),
        label=label,
        **{"confidence": 0.8, **more},
    )


def scripted(name: str, says: Says, of: BackendInfo | None = None) -> type[Any]:
    """A class of backends that calls a function; its options go to the function, too."""

    class Scripted:
        def __init__(self, **options: Any) -> None:
            self._options = options

        def info(self) -> BackendInfo:
            return of or info(name)

        def available(self) -> tuple[bool, str]:
            return True, ""

        def load(self) -> None:
            CALLS[f"{name}.load"] += 1

        def run(
            self, audio: DecodedAudio, upstream: Mapping[str, BranchResult], **asked: Any
        ) -> BranchResult:
            CALLS[name] += 1
            return says(audio, upstream, **self._options, **asked)

    return Scripted


def result(name: str, *events: Event, **more: Any) -> BranchResult:
    return BranchResult(backend=info(name), events=events, **more)


def curve(name: str, values: list[float], hop: int = 1600) -> Curve:
    return Curve(name=name, hop=hop, values=np.array(values, dtype=np.float32))


def write_bursts(
    path: Path,
    bursts: list[tuple[float, float]],
    seconds: float,
    *,
    rate: int = 16000,
    channels: int = 1,
    seed: int = 0,
    subtype: str = "PCM_16",
) -> Path:
    """Loud noise between the given seconds, near silence elsewhere; channels take turns."""
    rng = np.random.default_rng(seed)
    signal = 1e-4 * rng.standard_normal((round(seconds * rate), channels))
    for number, (start, end) in enumerate(bursts):
        first, last = round(start * rate), round(end * rate)
        signal[first:last, number % channels] += 0.2 * rng.standard_normal(last - first)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(signal, -1, 1), rate, subtype=subtype)
    return path
