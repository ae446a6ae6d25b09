"""What a check gives back, and the limits that it holds values against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from talkover.manifests.audit.columns import FINDING_COLUMNS

Severity = Literal["error", "warning"]
SEVERITIES: tuple[Severity, ...] = ("warning", "error")
"""From mild to grave."""
_COLUMNS = [column.name for column in FINDING_COLUMNS]
_OWN = _COLUMNS[2:]  # a check does not know its name and severity


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where the checks draw the line; each is a choice that another corpus may need otherwise."""

    max_speakers: int = 20
    """Speakers of a session; MeetEval, too, refuses more than 20."""
    max_concurrent: int = 5
    """Speakers at once: in AMI and ICSI more than five is laughter, not speech that is labelled."""
    max_talk_share: float = 0.95
    """Share of one speaker in a session of two and more."""
    min_talk_entropy: float = 0.15
    """Normalised entropy of talk shares; two speakers at 98 to 2 % have 0.14."""
    max_turn: float = 60.0
    """Seconds of one supervision; longer ones are mostly missing segmentation."""
    max_characters_per_second: float = 40.0
    """Letters and digits in a second of speech; fast English has about 20, Chinese about 8."""
    min_characters_per_second: float = 0.5
    min_rated: float = 0.5
    """Seconds of speech from which a high rate counts: backchannels are fast."""
    min_rated_slow: float = 3.0
    """Seconds of speech from which a low rate counts: a hesitation is slow."""
    figure_tolerance: float = 1e-3
    """Stated statistics against measured ones: ratios, and seconds of quantiles."""
    asked_ratio_tolerance: float = 0.25
    """Overlap and silence of one session against its target; short sessions scatter widely."""
    asked_mean_tolerance: float = 0.05
    """The same of the mean over sessions, where there are `asked_mean_sessions` and more."""
    asked_mean_sessions: int = 30
    asked_duration_tolerance: float = 0.25
    """Share by which a session may be longer or shorter than asked."""
    snr_tolerance_db: float = 1.0
    """SNR asked, declared and measured from stems on frames of 0.1 s."""
    t60_tolerance: float = 0.35
    """Share by which the measured T60 may miss the asked one; image sources miss by up to 0.3."""
    drr_range_db: tuple[float, float] = (-25.0, 35.0)
    """Direct-to-reverberant ratios of rooms with people in them."""
    max_distance_m: float = 30.0
    clipped_share: float = 1e-4
    """Samples at full scale, in runs, over all samples."""
    max_dc: float = 0.01
    """Mean of the signal, full scale = 1 (-40 dBFS)."""
    min_level_dbfs: float = -60.0
    """Level of the 95 % frame; below it 16 bits leave less than 36 dB of signal."""
    min_bandwidth: float = 0.55
    """Highest frequency with sound, as a share of half the rate; 4 of 8 kHz is a telephone."""
    silence_above_floor_db: float = 3.0
    """A speech region whose loudest frame is less than this above the session's floor is silent."""
    loud_silence_db: float = 6.0
    """How far frames without a label may be below the session's speech level and count as loud."""
    loud_silence_seconds: float = 0.5
    min_contrast_db: float = 12.0
    """Speech level minus floor from which energy says anything about labels."""
    text_leak_words: int = 8
    """Words of a text from which having it in two splits is a leak: short ones recur by nature."""
    near_duplicate: float = 0.995
    """Correlation of the level contours of two recordings of one length."""
    near_duplicate_seconds: float = 5.0
    """Shortest recording that is compared."""
    reuse_floor: int = 30
    """Uses of an utterance or a response from which reuse can be too much …"""
    reuse_of_median: float = 10.0
    """… and how many times the median use it must be."""
    same_voice: float = 0.85
    """Cosine of the mean voice vectors of two speakers from which they are one voice."""

    def __post_init__(self) -> None:
        """Refuse limits that no value can be held against."""
        for name in ("max_speakers", "max_concurrent", "text_leak_words", "reuse_floor"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if not self.drr_range_db[0] < self.drr_range_db[1]:
            raise ValueError(f"drr_range_db must be (low, high), got {self.drr_range_db}")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a check looked at and found."""

    examined: int
    """Things that it could look at; 0 means that the corpus has none of them."""
    findings: pd.DataFrame
    """Columns of a finding without check and severity."""


def nothing(examined: int = 0) -> Result:
    """No finding."""
    return Result(examined=examined, findings=pd.DataFrame({name: [] for name in _OWN}))


Given = str | pd.Series | tuple[Any, ...]
"""A column's name or one text for all (in a tuple of its own where a column is called so, too),
values one a row, or a format and what goes into it."""


def found(
    frame: pd.DataFrame,
    bad: Any,
    *,
    examined: int | None = None,
    locus: Given = "",
    value: Given = "",
    limit: Given = "",
    hint: str = "",
    time: str | None = None,
) -> Result:
    """The rows of a table that are bad. Texts are made of bad rows only.

    Args:
        frame: A table with ``session``.
        bad: Which rows.
        examined: How many rows could be looked at; all if None.
        locus: A column, values, one text, or a tuple such as ``("{:.3f} s", "start")``.
        value: Likewise.
        limit: Likewise.
        hint: What to do.
        time: A column of seconds.
    """
    which = np.flatnonzero(np.asarray(bad, dtype=bool))
    rows = frame.iloc[which]
    data: dict[str, Any] = {"session": rows["session"].to_numpy()}
    for name, given in (("locus", locus), ("value", value), ("limit", limit)):
        data[name] = _texts(given, frame, which)
    data["hint"] = hint
    data["time"] = float("nan") if time is None else rows[time].to_numpy()
    table = pd.DataFrame(data, columns=_OWN)
    return Result(examined=len(frame) if examined is None else examined, findings=table)


def _texts(given: Given, frame: pd.DataFrame, which: Any) -> Any:
    if isinstance(given, tuple) and len(given) == 1:
        return given[0]
    if isinstance(given, tuple):
        columns = [_texts(part, frame, which) for part in given[1:]]
        return [given[0].format(*values) for values in zip(*columns, strict=True)]
    if isinstance(given, str):
        return frame[given].iloc[which].tolist() if given in frame else given
    return given.iloc[which].tolist()


def both(*results: Result) -> Result:
    """What several looks of one check found."""
    frames = [result.findings for result in results if len(result.findings)]
    findings = pd.concat(frames, ignore_index=True) if frames else nothing().findings
    return Result(examined=sum(result.examined for result in results), findings=findings)


def of_rows(rows: Iterable[dict[str, Any]], examined: int) -> Result:
    """Findings one by one, for checks of few things."""
    listed = list(rows)
    if not listed:
        return nothing(examined)
    blank: dict[str, Any] = {"session": None, "locus": "", "value": "", "limit": "", "hint": ""}
    frame = pd.DataFrame([{**blank, "time": float("nan"), **row} for row in listed])
    return Result(examined=examined, findings=frame[_OWN])


def finished(findings: pd.DataFrame, check: str, severity: str) -> pd.DataFrame:
    """Findings with the name of their check, with the documented dtypes."""
    frame = findings.reset_index(drop=True)
    frame.insert(0, "severity", severity)
    frame.insert(0, "check", check)
    for name in _COLUMNS[:-1]:
        frame[name] = frame[name].astype("str")
    frame["time"] = frame["time"].astype("float64")
    return frame
