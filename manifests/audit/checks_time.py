"""Checks 9 to 11, 15 and 17: supervisions and words on the session's clock."""

from __future__ import annotations

import numpy as np
import pandas as pd

from talkover.manifests.audit.findings import Result, both, found
from talkover.manifests.audit.registry import Context, check

EDGE = 1e-3
"""Seconds by which rounded times may cross an edge: RTTM and STM often have three decimals."""


@check(9, "error", "supervisions and regions outside of their session")
def turns_inside(context: Context) -> Result:
    """Supervisions and what is heard of them lie in ``[0, duration]``."""
    tables = context.tables
    turns = tables["turns"]
    length = tables["sessions"]["duration"].to_numpy()[turns["session_row"]]
    end = turns["start"] + turns["duration"]
    regions = tables["regions"]
    place = regions["turn_row"].to_numpy()
    start, stop = turns["start"].to_numpy()[place], end.to_numpy()[place]
    out = (regions["start"] < start - EDGE) | (regions["end"] > stop + EDGE)
    strays = np.zeros(len(turns), dtype=bool)
    strays[place[out.to_numpy()]] = True
    strays &= turns["duration"].to_numpy() > 0
    outside = (turns["start"] < -EDGE) | (end > length + EDGE)
    shown = ("{:.3f} to {:.3f} s", "start", end)
    whole = found(
        turns,
        outside,
        locus="supervision",
        value=shown,
        limit=("0 to {:.3f} s", pd.Series(length, index=turns.index)),
        hint="shift or cut the supervision, or mend the declared length",
        time="start",
    )
    inner = found(
        turns,
        strays & ~outside,
        examined=0,
        locus="supervision",
        value="a region outside",
        limit=shown,
        hint="regions lie in their supervision",
        time="start",
    )
    return both(whole, inner)


@check(10, "error", "supervisions without length")
def turns_have_length(context: Context) -> Result:
    """No supervision takes no time or less."""
    turns = context.tables["turns"]
    return found(
        turns,
        turns["duration"] <= 0,
        locus="supervision",
        value=("{:.3f} s", turns["duration"]),
        limit="above 0 s",
        hint="drop it or give it its length",
        time="start",
    )


@check(11, "error", "words that are not where their supervision is")
def words_inside(context: Context) -> Result:
    """Words lie in their supervision, on the session's clock, and do not go back."""
    words, turns = context.tables["words"], context.tables["turns"]
    row = words["turn_row"].to_numpy()
    start, length = words["start"].to_numpy(), words["duration"].to_numpy()
    first = turns["start"].to_numpy()[row]
    turn_length = turns["duration"].to_numpy()[row]
    outside = (start < first - EDGE) | (start + length > first + turn_length + EDGE)
    outside &= turn_length > 0
    back = np.zeros(len(words), dtype=bool)
    back[1:] = (row[1:] == row[:-1]) & (start[1:] < start[:-1] - EDGE)
    results = []
    for bad, limit, hint in (
        (
            outside,
            "inside its supervision",
            "words are on the clock of the session, not of the source",
        ),
        (back & ~outside, "not before the word ahead of it", "sort the words, or align them again"),
    ):
        which = np.flatnonzero(bad)
        which = which[np.unique(row[which], return_index=True)[1]]  # the first of each turn
        owners = turns.iloc[row[which]]
        shown = [
            f"{symbol} at {at:.3f} s"
            for symbol, at in zip(words["symbol"].iloc[which], start[which], strict=True)
        ]
        results.append(
            found(
                owners,
                np.ones(len(owners)),
                examined=0,
                locus="supervision",
                value=pd.Series(shown, index=owners.index, dtype="str"),
                limit=limit,
                hint=hint,
                time="start",
            )
        )
    total = both(*results)
    return Result(examined=len(words), findings=total.findings)


@check(15, "warning", "supervisions that are too long")
def turn_length(context: Context) -> Result:
    """No supervision is longer than a turn can be."""
    turns, limit = context.tables["turns"], context.limits.max_turn
    return found(
        turns,
        turns["duration"] > limit,
        locus="supervision",
        value=("{:.1f} s", turns["duration"]),
        limit=f"at most {limit:g} s",
        hint="segment it: such stretches are mostly several turns",
        time="start",
    )


@check(17, "error", "speakers who talk over themselves")
def self_overlap(context: Context) -> Result:
    """No two supervisions of a speaker sound at once."""
    regions, turns = context.tables["regions"], context.tables["turns"]
    row = regions["turn_row"].to_numpy()
    speaker = pd.factorize(turns["speaker"].fillna(""))[0][row]
    session, start = regions["session_row"].to_numpy(), regions["start"].to_numpy()
    order = np.lexsort((row, start, speaker, session))
    row, speaker, session, start = row[order], speaker[order], session[order], start[order]
    end = regions["end"].to_numpy()[order]
    same = np.zeros(len(row), dtype=bool)
    same[1:] = (speaker[1:] == speaker[:-1]) & (session[1:] == session[:-1])
    group = np.cumsum(~same)
    reach = pd.Series(end).groupby(group).cummax().to_numpy()
    late = np.zeros(len(row), dtype=bool)
    late[1:] = same[1:] & (row[1:] != row[:-1]) & (start[1:] < reach[:-1] - EDGE)
    which = np.flatnonzero(late)
    owners = turns.iloc[row[which]]
    held = pd.Series(reach[which - 1], index=owners.index)
    return found(
        owners,
        np.ones(len(owners)),
        examined=len(turns),
        locus="supervision",
        value=("{} still speaks until {:.3f} s", "speaker", held),
        limit="one thing at a time",
        hint="join the two, or mend their times: DER counts it twice",
        time="start",
    )
