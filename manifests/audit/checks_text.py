"""Checks 12 to 14: text by itself, against its words, against its time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from talkover.manifests.audit.findings import Result, both, found
from talkover.manifests.audit.registry import Context, check


@check(12, "error", "texts that are not what their words say")
def text_is_words(context: Context) -> Result:
    """Text and words with times have the same letters and digits."""
    turns = context.tables["turns"]
    return found(
        turns,
        turns["text_is_words"] == 0,
        examined=int((turns["text_is_words"] >= 0).sum()),
        locus="supervision",
        value=("{:.60}", "text"),
        limit="the letters of its words",
        hint="one of the two was edited without the other: align again",
        time="start",
    )


@check(13, "error", "texts that are empty or cannot be")
def text_legal(context: Context) -> Result:
    """A text has letters, no markup, no control characters, and the script of its language."""
    turns = context.tables["turns"]
    known = turns["text"].notna()
    return found(
        turns,
        turns["text_fault"].notna(),
        examined=int(known.sum()),
        locus="supervision",
        value=("{}: {:.60}", "text_fault", "text"),
        limit="words as they are said",
        time="start",
        hint="leave text out where it is not known; mend text or language tag where they differ",
    )


@check(14, "warning", "texts too long or too short for their time")
def speaking_rate(context: Context) -> Result:
    """Characters in a second of speech are as people speak."""
    turns, limits = context.tables["turns"], context.limits
    spoken, said = turns["spoken"].to_numpy(), turns["num_characters"].to_numpy()
    known = (said > 0) & (spoken > 0)
    rate = np.divide(said, spoken, out=np.zeros(len(turns)), where=known)
    fast = known & (spoken >= limits.min_rated) & (rate > limits.max_characters_per_second)
    slow = known & (spoken >= limits.min_rated_slow) & (rate < limits.min_characters_per_second)
    shown = ("{:.2f} characters a second", pd.Series(rate, index=turns.index))
    results = [
        found(
            turns,
            bad,
            examined=count,
            locus="supervision",
            value=shown,
            limit=limit,
            hint="text and time do not belong together: align again",
            time="start",
        )
        for bad, count, limit in (
            (fast, int(known.sum()), f"at most {limits.max_characters_per_second:g}"),
            (slow, 0, f"at least {limits.min_characters_per_second:g}"),
        )
    ]
    return both(*results)
