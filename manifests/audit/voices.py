"""Voice vectors that somebody else made: a Parquet file with a speaker and a vector a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from talkover.manifests.errors import ManifestError


def read_voices(path: Path | str | pd.DataFrame | None) -> pd.DataFrame | None:
    """Vectors by speaker.

    Args:
        path: Parquet with ``speaker`` and ``vector`` (a list of numbers of one length); further
            columns, such as ``session`` and ``supervision``, are kept.

    Raises:
        ManifestError: If the columns are not there or vectors differ in length.
    """
    if path is None:
        return None
    try:
        frame = path if isinstance(path, pd.DataFrame) else pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ManifestError(f"cannot be read as Parquet: {error}", path=str(path)) from error
    name = "voice vectors" if isinstance(path, pd.DataFrame) else str(path)
    if missing := [column for column in ("speaker", "vector") if column not in frame]:
        raise ManifestError(f"lacks the column {', '.join(missing)}", path=name)
    if len({len(vector) for vector in frame["vector"]}) > 1:
        raise ManifestError("must have vectors of one length", path=name, field="vector")
    return frame


def mean_voices(voices: pd.DataFrame) -> tuple[list[str], NDArray[np.float64]]:
    """Mean of the unit vectors of each speaker, itself of length 1; speakers by name."""
    names, means = [], []
    for speaker, own in voices.groupby("speaker", sort=True):
        units = [_unit(np.asarray(vector, dtype=np.float64)) for vector in own["vector"]]
        names.append(str(speaker))
        means.append(_unit(np.mean(units, axis=0)))
    return names, np.array(means)


def _unit(vector: NDArray[Any]) -> NDArray[Any]:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
