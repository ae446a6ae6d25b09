"""What was heard, as a session of the data contract."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path

from pydantic import JsonValue

from talkover.manifests.canonical import json_sha256
from talkover.manifests.markers import file_sha256
from talkover.manifests.schema import (
    Audio,
    Claim,
    Licences,
    Provenance,
    Session,
    Supervision,
    TimeSpan,
    Word,
    time_span,
)
from talkover.manifests.serialize.transcript import speaker_label, speaker_number
from talkover.manifests.statistics import session_statistics
from talkover.model.checkpoints import WEIGHTS
from talkover.model.inference.spoken import Spoken

BACKEND = "talkover-sats"
UNKNOWN_LICENCE = "LicenseRef-unknown"
"""SPDX's form for a licence that is not in its list: of recordings nothing is known."""
SCORE_DIGITS = 4
"""Of the score of a word."""
LONGEST_ID = 180
"""Letters of an id that leave room for what is added to it (`SafeId` has 200)."""


def claim_of(checkpoint: Path, backend: str = BACKEND) -> Claim:
    """Who says so: this package, with the hash of the weights."""
    return Claim(
        backend=backend,
        version=version("talkover"),
        weights_sha256=file_sha256(checkpoint / WEIGHTS),
    )


def annotated_session(
    id: str,
    spoken: Sequence[Spoken],
    audio: Audio,
    claim: Claim,
    *,
    tool: str,
    configuration: dict[str, JsonValue],
    uem: Sequence[TimeSpan] | None = None,
    prefix: str = "",
) -> Session:
    """A session of what was heard.

    Args:
        id: Of the session.
        spoken: Turns; no two of a speaker overlap.
        audio: Of the recording.
        claim: Who says so.
        tool: Name for the provenance.
        configuration: What decided the result besides audio and weights.
        uem: Stretches that may be scored; None for the whole recording.
        prefix: Before each unnamed speaker, so that S01 of two recordings is not one person.
    """
    rows = tuple(_supervisions(id, spoken, audio, claim, prefix))
    whole = (time_span(0, audio.num_samples, audio.sampling_rate),)
    return Session(
        id=id,
        supervisions=rows,
        origin="annotated",
        audio=audio,
        statistics=session_statistics(rows, audio.num_samples, audio.sampling_rate),
        provenance=Provenance(
            tool=tool,
            version=version("talkover"),
            configuration=configuration,
            configuration_hash=json_sha256(configuration),
        ),
        licences=Licences(spdx=(UNKNOWN_LICENCE,)),
        uem=whole if uem is None else tuple(uem),
    )


def _supervisions(
    id: str, spoken: Sequence[Spoken], audio: Audio, claim: Claim, prefix: str
) -> Iterator[Supervision]:
    local: dict[str, str] = {}
    timed = [(*_samples(s.start, s.end, audio), s) for s in spoken]
    timed.sort(key=lambda row: (row[0], row[1], row[2].speaker))
    for number, (start, end, s) in enumerate(timed):
        span = time_span(start, end - start, audio.sampling_rate)
        words = _words(s, start, end, audio.sampling_rate)
        yield Supervision(
            id=f"{id[:LONGEST_ID]}-{number:05d}",
            turn_id=f"{id[:LONGEST_ID]}-t{number:05d}",
            speaker=_speaker_id(s.speaker, prefix),
            speaker_local=local.setdefault(s.speaker, speaker_label(len(local) + 1)),
            start=span.start,
            duration=span.duration,
            start_sample=span.start_sample,
            num_samples=span.num_samples,
            regions=(span,),
            text=s.text,
            words=words,
            word_samples=None
            if words is None
            else tuple((word.start_sample, word.num_samples) for word in words),
            word_source=None if words is None else "alignment",
            claim=claim,
            chunk=s.chunk,
            chunk_speaker=s.chunk_speaker,
        )


def _speaker_id(speaker: str, prefix: str) -> str:
    """A registered speaker keeps the name, with what no id may hold replaced."""
    if speaker_number(speaker) is not None:
        return f"{prefix}{speaker}"
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", speaker)[:LONGEST_ID]
    return f"_{name[1:]}" if name.startswith(".") else name


def _words(spoken: Spoken, start: int, end: int, rate: int) -> tuple[Word, ...] | None:
    """Words in samples, side by side from the first sample of the supervision to its last."""
    if not spoken.words:
        return None
    edges = [start, *(round(word.end * rate) for word in spoken.words)]
    edges[-1] = end
    edges = [min(max(edge, start), end) for edge in edges]
    return tuple(
        Word(
            symbol=word.symbol,
            score=None if word.score is None else round(word.score, SCORE_DIGITS),
            **time_span(first, max(0, last - first), rate).model_dump(),
        )
        for word, first, last in zip(spoken.words, edges, accumulate(edges[1:], max), strict=False)
    )


def _samples(start: float, end: float, audio: Audio) -> tuple[int, int]:
    """First sample and the one after the last, inside the audio and at least one apart."""
    rate, count = audio.sampling_rate, audio.num_samples
    first = min(max(0, round(start * rate)), count - 1)
    return first, min(max(first + 1, round(end * rate)), count)
