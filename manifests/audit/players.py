"""Short pieces of audio that stand in a page as they are: WAV in a data address."""

from __future__ import annotations

import base64
import io
import math
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from talkover.manifests.audio import probe, read_audio
from talkover.manifests.audit.columns import rows_of
from talkover.manifests.errors import AudioError

BEFORE, LONGEST = 1.0, 4.0
"""Seconds ahead of a finding, and of a whole piece."""
RATE = 16000
"""Hz; pieces of higher rates are brought down to it, since a page holds many."""
MOST_PLAYERS = 12
"""Pieces in a page: 12 of 4 s at 16 kHz are 2 MB."""


def snippet(path: Path, time: float) -> str | None:
    """A piece of a file around a moment as a ``data:`` address; None where it cannot be read."""
    try:
        info = probe(path)
        start = max(0, math.floor((time - BEFORE) * info.sampling_rate))
        count = min(info.num_samples - start, round(LONGEST * info.sampling_rate))
        if count <= 0:
            return None
        rate = min(RATE, info.sampling_rate)
        signal = read_audio(path, start_sample=start, num_samples=count, sampling_rate=rate)
    except AudioError:
        return None
    buffer = io.BytesIO()
    peak = float(np.abs(signal).max(initial=0.0))
    signal = signal / peak * 0.9 if peak > 1 else signal  # resampling may overshoot
    soundfile.write(buffer, signal, rate, format="WAV", subtype="PCM_16")
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()


def worst_places(findings: pd.DataFrame, sessions: pd.DataFrame) -> list[tuple[int, Path]]:
    """Rows of findings to listen to, with their audio: one a check and session first.

    Args:
        findings: Gravest first.
        sessions: To find the audio by session.
    """
    known = findings[findings["time"].notna() & findings["session"].notna()]
    known = known.drop_duplicates(["check", "session"])
    turn = known.groupby("check").cumcount()  # one of every check before a second of any
    order = np.lexsort((np.arange(len(known)), turn.to_numpy()))
    audio = sessions[sessions["audio_path"].notna()].drop_duplicates("session")
    files = {
        row.session: Path(str(row.manifest)).parent / str(row.audio_path) for row in rows_of(audio)
    }
    places = []
    for n in order.tolist():
        name = known["session"].iloc[n]
        if name in files:
            places.append((int(known.index[n]), files[name]))
    return places
