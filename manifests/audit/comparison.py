"""Two corpora side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from talkover.manifests.audit.columns import Frames
from talkover.manifests.turn_taking import wasserstein

_FIGURES: tuple[tuple[str, str, Callable[[Frames], float]], ...] = (
    ("sessions", "", lambda t: len(t["sessions"])),
    ("hours", "h", lambda t: t["sessions"]["duration"].sum() / 3600),
    ("speakers", "", lambda t: t["turns"]["speaker"].nunique()),
    ("speakers in a session", "", lambda t: t["sessions"]["num_speakers"].mean()),
    ("turns", "", lambda t: t["sessions"]["num_turns"].sum()),
    ("utterance, median", "s", lambda t: t["turns"]["duration"].median()),
    ("characters a second, median", "1/s", lambda t: _rate(t["turns"]).median()),
    ("overlap of speech, mean", "", lambda t: t["sessions"]["overlap_of_speech"].mean()),
    ("silence of time, mean", "", lambda t: t["sessions"]["silence_of_time"].mean()),
    ("talk entropy, mean", "", lambda t: t["sessions"]["talk_entropy"].mean()),
    ("floor-transfer offset, 10 %", "s", lambda t: _quantile(transfers(t), 0.1)),
    ("floor-transfer offset, median", "s", lambda t: _quantile(transfers(t), 0.5)),
    ("floor-transfer offset, 90 %", "s", lambda t: _quantile(transfers(t), 0.9)),
    ("pause, median", "s", lambda t: _quantile(pauses(t), 0.5)),
    ("holds", "", lambda t: (t["gaps"]["kind"] == "hold").mean()),
    ("switches", "", lambda t: (t["gaps"]["kind"] == "switch").mean()),
    ("interruptions", "", lambda t: (t["gaps"]["kind"] == "interruption").mean()),
    ("contained", "", lambda t: (t["gaps"]["kind"] == "contained").mean()),
    ("T60, median", "s", lambda t: t["sessions"]["t60_measured"].median()),
    ("SNR, median", "dB", lambda t: t["sessions"]["snr_measured"].median()),
)


def transfers(tables: Frames) -> Any:
    """Floor-transfer offsets in seconds."""
    gaps = tables["gaps"]
    chosen = gaps["kind"].isin(["switch", "interruption"])
    return gaps.loc[chosen, "offset"].to_numpy(dtype=np.float64)


def pauses(tables: Frames) -> Any:
    """Pauses of the speaker who holds the floor, in seconds."""
    gaps = tables["gaps"]
    chosen = (gaps["kind"] == "hold") & (gaps["offset"] > 0)
    return gaps.loc[chosen, "offset"].to_numpy(dtype=np.float64)


def compare_corpora(first: Frames, second: Frames) -> pd.DataFrame:
    """Figures of two corpora.

    Returns:
        ``figure``, ``unit`` (str), ``this``, ``other``, ``difference`` (float64). The last rows are
        Wasserstein-1 distances, which are a ``difference`` alone.
    """
    rows = [
        (name, unit, float(figure(first)), float(figure(second))) for name, unit, figure in _FIGURES
    ]
    frame = pd.DataFrame(rows, columns=["figure", "unit", "this", "other"])
    frame["difference"] = frame["this"] - frame["other"]
    distances = [
        ("floor-transfer offset, distance", wasserstein(transfers(first), transfers(second))),
        ("pause, distance", wasserstein(pauses(first), pauses(second))),
    ]
    nan = float("nan")
    more = [(name, "s", nan, nan, d if np.isfinite(d) else nan) for name, d in distances]
    tail = pd.DataFrame(more, columns=frame.columns)
    return pd.concat([frame, tail], ignore_index=True)


def _rate(turns: pd.DataFrame) -> pd.Series:
    known = (turns["num_characters"] > 0) & (turns["spoken"] > 0)
    return turns.loc[known, "num_characters"] / turns.loc[known, "spoken"]


def _quantile(values: np.ndarray, level: float) -> float:
    return float(np.quantile(values, level)) if len(values) else float("nan")
