"""The table of splits: what each holds, and how much of it another has, too."""

from __future__ import annotations

from typing import Any

import pandas as pd

from talkover.manifests.audit.columns import Frames
from talkover.manifests.audit.leaks import KINDS, leak_matrix

SPLIT_COLUMNS = ("split", "sessions", "hours", "turns", *(f"{kind}s" for kind in KINDS))
SHARED_COLUMNS = tuple(f"shared_{kind}s" for kind in KINDS)


def split_table(tables: Frames) -> pd.DataFrame:
    """A row a split.

    Returns:
        ``split`` (str), ``sessions`` (int64), ``hours`` (float64), ``turns`` (int64), for each of
        `KINDS` the number of names (int64) and how many of them another split has, too (int64).
    """
    sessions = tables["sessions"]
    named = sessions[sessions["split"].notna()]
    grouped = named.groupby("split", sort=True)
    frame = pd.DataFrame(
        {
            "sessions": grouped.size(),
            "hours": grouped["duration"].sum() / 3600,
            "turns": grouped["num_turns"].sum(),
        }
    )
    for kind in KINDS:
        matrix: Any = leak_matrix(tables, kind)
        own = {name: int(matrix.loc[name, name]) for name in matrix.index}
        shared = {
            name: int(
                max((matrix.loc[name, other] for other in matrix if other != name), default=0)
            )
            for name in matrix.index
        }
        frame[f"{kind}s"] = pd.Series(own, dtype="int64")
        frame[f"shared_{kind}s"] = pd.Series(shared, dtype="int64")
    frame = frame.rename_axis("split").reset_index()
    frame["split"] = frame["split"].astype("str")
    return frame[[*SPLIT_COLUMNS, *SHARED_COLUMNS]]
