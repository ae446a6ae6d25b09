"""A source cache of a million utterances, made of a small one by repeating its index.

The samples and rows on disk are those of the small cache; the index has a row for each of the
million, which is what a worker holds of a corpus.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkover.simulate.source_build import _write_columns
from talkover.simulate.source_cache import SourceCache

UTTERANCES = 1_000_000
GROUPED = ("regions", "pieces")


def million_utterances(cache: SourceCache, folder: Path, count: int = UTTERANCES) -> Path:
    """Write the large cache and return its folder."""
    record = json.loads((cache.folder / "cache.json").read_bytes())
    arrays = {name: np.asarray(cache._column(name)) for name in record["columns"]}
    times = -(-count // len(cache))
    folder.mkdir()
    for name in ("pcm", "rows"):
        (folder / name).symlink_to(cache.folder / name)
    (folder / "rejected.jsonl").write_text("")
    with (folder / "index.bin").open("wb") as file:
        record["columns"] = _write_columns(file, _repeated(arrays, times))
    record["num_utterances"] = times * len(cache)
    (folder / "cache.json").write_text(json.dumps(record))
    return folder


def _repeated(arrays: dict[str, NDArray[Any]], times: int) -> dict[str, NDArray[Any]]:
    result: dict[str, NDArray[Any]] = {}
    for name, values in arrays.items():
        if name.endswith("_ends") and name.removesuffix("_ends") in GROUPED:
            rounds = np.arange(times)[:, np.newaxis] * values[-1]
            result[name] = (rounds + values).astype(values.dtype).ravel()
        elif not name.startswith("by_speaker"):
            result[name] = np.tile(values, (times,) + (1,) * (values.ndim - 1))
    order = np.argsort(result["speaker_no"], kind="stable")
    result["by_speaker"] = order.astype(arrays["by_speaker"].dtype)
    counts = np.bincount(result["speaker_no"], minlength=len(arrays["by_speaker_ends"]))
    result["by_speaker_ends"] = np.cumsum(counts).astype(arrays["by_speaker_ends"].dtype)
    return result
