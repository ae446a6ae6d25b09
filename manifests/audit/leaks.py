"""What splits share: the names of `talkover.manifests.split_keys` on the tables of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from talkover.manifests.audit.columns import Frames

KINDS = ("speaker", "utterance", "recording", "room", "rir", "noise")
"""What is looked for by name; texts are looked for by their letters."""


def uses(tables: Frames, kind: str) -> Any:
    """``session_row``, ``session``, ``split``, ``name`` of every use in a session with a split."""
    sources = tables["sources"]
    if kind == "speaker":
        turns = tables["turns"][["session_row", "session", "speaker"]]
        clips = sources.loc[
            sources["kind"] == "registration", ["session_row", "session", "speaker"]
        ]
        frame = pd.concat([turns, clips]).rename(columns={"speaker": "name"})
    elif kind == "recording":
        frame = sources.loc[sources["kind"] == "utterance", ["session_row", "session", "within"]]
        frame = frame.rename(columns={"within": "name"})
    else:
        wanted = ["noise", "event"] if kind == "noise" else [kind]
        frame = sources.loc[sources["kind"].isin(wanted), ["session_row", "session", "name"]]
    frame = frame[frame["name"].notna() & (frame["name"] != "")]
    split = tables["sessions"]["split"].loc[frame["session_row"]].set_axis(frame.index)
    return frame.assign(split=split)[split.notna()]


def shared_names(tables: Frames, kinds: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Names that several splits use, and how many names there are.

    A recording of which a used utterance is shared already is not told again.

    Returns:
        ``kind``, ``name``, ``splits`` (in words), ``session``: one of the second split, in order.
    """
    frames, examined = [], 0
    told: set[str] = set()
    for kind in kinds:
        used = uses(tables, kind).drop_duplicates(["name", "split"])
        examined += int(used["name"].nunique())
        count = used.groupby("name")["split"].transform("size")
        bad = used[count > 1].sort_values(["name", "split"], kind="stable")
        if kind == "recording" and "utterance" in kinds:
            bad = bad[~bad["name"].isin(told)]
        if kind == "utterance":
            told = _recordings_of(tables, set(bad["name"]))
        joined = bad.groupby("name", sort=True).agg(
            splits=("split", " and ".join), session=("session", "last")
        )
        frames.append(joined.reset_index().assign(kind=kind))
    return pd.concat(frames, ignore_index=True), examined


def _recordings_of(tables: Frames, names: set[str]) -> set[str]:
    sources = tables["sources"]
    own = sources[(sources["kind"] == "utterance") & sources["name"].isin(names)]
    return set(own["within"].dropna())


def leaked_texts(tables: Frames, words: int) -> tuple[pd.DataFrame, int]:
    """Longer texts that several splits have from different utterances, and how many texts.

    Returns:
        ``session``, ``supervision``, ``start``, ``text``, ``splits`` of one of the second split.
    """
    turns = tables["turns"]
    sources = tables["sources"]
    split = tables["sessions"]["split"].loc[turns["session_row"]].set_axis(turns.index)
    frame = turns[["session", "supervision", "start", "text"]].assign(split=split)
    frame = frame[split.notna() & (turns["num_tokens"] >= words)]
    used = sources[sources["kind"] == "utterance"].drop_duplicates(["session", "locus"])
    keys = pd.MultiIndex.from_frame(frame[["session", "supervision"]])
    utterance = used.set_index(["session", "locus"])["name"].reindex(keys).to_numpy()
    frame = frame.assign(key=frame["text"].str.lower(), utterance=utterance)
    examined = int(frame["key"].nunique())
    several = frame.groupby("key")["split"].transform("nunique") > 1
    frame = frame[several].sort_values(["key", "split"], kind="stable")
    named = frame["utterance"].notna()
    one = frame.groupby("key")["utterance"].transform("nunique") <= 1
    frame = frame[~(one & named)]  # the same utterance: told as such
    frame["splits"] = frame.groupby("key")["split"].transform(
        lambda column: " and ".join(sorted(set(column)))
    )
    return frame.drop_duplicates("key", keep="last"), examined


def leak_matrix(tables: Frames, kind: str) -> pd.DataFrame:
    """How many names of a kind each pair of splits shares; the diagonal is how many each has."""
    used = uses(tables, kind).drop_duplicates(["name", "split"])
    splits = sorted(tables["sessions"]["split"].dropna().unique())
    if not len(used):
        zeros = np.zeros((len(splits), len(splits)), dtype=np.int64)
        return pd.DataFrame(zeros, index=splits, columns=splits)
    names, splits_of = pd.factorize(used["name"])[0], pd.Categorical(used["split"], splits).codes
    from scipy.sparse import coo_array

    has = coo_array((np.ones(len(used), np.int64), (splits_of, names))).tocsr()
    shared = np.zeros((len(splits), len(splits)), dtype=np.int64)
    product = (has @ has.T).toarray()
    shared[: product.shape[0], : product.shape[1]] = product
    return pd.DataFrame(shared, index=splits, columns=splits)
