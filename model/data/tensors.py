"""Sessions out of plain tensors, for training without manifests, shards or Lhotse.

    items = [session_of_tensor("a", audio, 16000, [("ana", 0.2, 1.4, "good morning")]), …]
    train([], preset("tiny"), "model", stream=shared(lambda: items))

(`talkover.model.run.train`, `talkover.model.data.stream.shared`.) Windows, speeds, buckets and
skips are those of any other data.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
from numpy.typing import ArrayLike

from talkover.manifests.canonical import json_sha256
from talkover.manifests.io import SessionAudio
from talkover.manifests.schema import (
    Audio,
    Licences,
    Provenance,
    Session,
    Supervision,
    time_span,
)
from talkover.manifests.serialize.transcript import speaker_label
from talkover.manifests.statistics import session_statistics

TOOL = "talkover.model.data.tensors"
UNKNOWN_LICENCE = "LicenseRef-unknown"
"""SPDX's form for a licence that is not in its list."""

Said = tuple[str, float, float, str]
"""Speaker, start and end in seconds, text."""


def session_of_tensor(
    id: str, audio: ArrayLike, sampling_rate: int, said: Sequence[Said]
) -> SessionAudio:
    """A session with its audio, from what is in memory.

    Args:
        id: Letters, digits and ``-_.``.
        audio: ``[T]`` or ``[C, T]``, a tensor of the CPU or an array, full scale at 1.
        sampling_rate: In Hz.
        said: Turns in any order; a speaker keeps one id over all sessions.

    Raises:
        ValueError: If the audio has another shape, or a turn ends before it begins.
    """
    samples = np.atleast_2d(np.asarray(audio, dtype=np.float32))
    if samples.ndim != 2 or samples.shape[1] == 0:
        raise ValueError(f"{id}: audio must be [T] or [C, T], got shape {samples.shape}")
    rows, local = [], dict[str, str]()
    for number, (speaker, start, end, text) in enumerate(sorted(said, key=lambda row: row[1:3])):
        if not start < end:
            raise ValueError(f"{id}: a turn of {speaker} ends at {end} s and begins at {start} s")
        first, last = round(start * sampling_rate), round(end * sampling_rate)
        span = time_span(first, max(1, last - first), sampling_rate)
        rows.append(
            Supervision(
                id=f"{id}-{number:05d}",
                turn_id=f"{id}-t{number:05d}",
                speaker=speaker,
                speaker_local=local.setdefault(speaker, speaker_label(len(local) + 1)),
                **span.model_dump(),
                regions=(span,),
                text=text,
            )
        )
    configuration = {"sampling_rate": sampling_rate}
    session = Session(
        id=id,
        supervisions=tuple(rows),
        origin="converted",
        audio=Audio(
            path=f"audio/{id}.wav",
            pcm_sha256=hashlib.sha256(samples.tobytes()).hexdigest(),
            sampling_rate=sampling_rate,
            num_samples=samples.shape[1],
            num_channels=samples.shape[0],
            format="wav",
            subtype="FLOAT",
        ),
        statistics=session_statistics(tuple(rows), samples.shape[1], sampling_rate),
        provenance=Provenance(
            tool=TOOL,
            version=version("talkover"),
            configuration=dict(configuration),
            configuration_hash=json_sha256(configuration),
        ),
        licences=Licences(spdx=(UNKNOWN_LICENCE,)),
        uem=(time_span(0, samples.shape[1], sampling_rate),),
    )
    return SessionAudio(session=session, samples=samples, sampling_rate=sampling_rate)
