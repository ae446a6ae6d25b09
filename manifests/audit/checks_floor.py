"""Checks 19 to 24: who takes part, how much, and whether that is what was asked and stated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from talkover.manifests.audit.findings import Result, both, found, of_rows
from talkover.manifests.audit.registry import Context, check
from talkover.manifests.errors import ManifestError
from talkover.manifests.segments import Segment
from talkover.manifests.turn_taking import compare

_STATED_HINT = "labels were changed after the statistics were measured: measure again"


def _stated(context: Context, name: str, tolerance: float, unit: str = "") -> Result:
    """Where a stated figure is not what the regions give."""
    sessions = context.tables["sessions"]
    stated, measured = sessions[f"stated_{name}"], sessions[name]
    known = stated.notna()
    off = known & ~(np.abs(stated - measured.fillna(np.inf)) <= tolerance)
    return found(
        sessions,
        off,
        examined=int(known.sum()),
        locus=f"statistics.{name}",
        value=(f"{{:.4f}}{unit}", stated),
        limit=(f"{{:.4f}}{unit}", measured),
        hint=_STATED_HINT,
    )


@check(19, "warning", "sessions of nobody, or of too many speakers")
def speakers_per_session(context: Context) -> Result:
    """A session has speakers, not more than a model or a score can take, and as many as it says."""
    sessions, limit = context.tables["sessions"], context.limits.max_speakers
    count = sessions["num_speakers"]
    amiss = (count < 1) | (count > limit)
    crowd = found(
        sessions,
        amiss,
        locus="speakers",
        value=("{}", count),
        limit=f"1 to {limit}",
        hint="leave the session out, or cut it into several",
    )
    return both(crowd, _stated(context, "num_speakers", 0.5))


@check(20, "warning", "sessions in which one speaker has nearly all the talk")
def talk_share(context: Context) -> Result:
    """Talk shares are those of a conversation, and as stated."""
    sessions, limits = context.tables["sessions"], context.limits
    several = sessions["num_speakers"] > 1
    alone = (sessions["top_share"] > limits.max_talk_share) | (
        sessions["talk_entropy"] < limits.min_talk_entropy
    )
    shares = found(
        sessions,
        several & alone,
        examined=int(several.sum()),
        locus="talk share",
        value=("{:.1%}, entropy {:.2f}", "top_share", "talk_entropy"),
        limit=f"at most {limits.max_talk_share:.0%}, entropy {limits.min_talk_entropy:g}",
        hint="teaches a model to ignore the others; weigh or drop such sessions",
    )
    return both(shares, _stated(context, "top_share", context.limits.figure_tolerance))


@check(21, "warning", "moments with too many speakers at once")
def max_concurrent(context: Context) -> Result:
    """Not more speak at once than people do, and as many as stated."""
    overlaps, limit = context.tables["overlaps"], context.limits.max_concurrent
    crowd = found(
        overlaps,
        overlaps["max_speakers"] > limit,
        examined=len(context.tables["sessions"]),
        locus="overlap",
        value=("{} at once", "max_speakers"),
        limit=f"at most {limit}",
        hint="look for turns that were all put at one time",
        time="start",
    )
    return both(crowd, _stated(context, "max_concurrent", 0.5))


@check(22, "error", "stated overlap or silence that the labels do not have")
def overlap_ratio(context: Context) -> Result:
    """Overlap of speech and of time, and silence, are as stated."""
    tolerance = context.limits.figure_tolerance
    names = ("overlap_of_speech", "overlap_of_time", "silence_of_time")
    return both(*(_stated(context, name, tolerance) for name in names))


@check(
    23, "warning", "turn-taking that is not as stated, or not as in the reference", scope="corpus"
)
def turn_taking(context: Context) -> Result:
    """Floor transfers, pauses and turns are as stated, and near a reference where one is given."""
    tolerance = context.limits.figure_tolerance
    stated = [
        _stated(context, "num_turns", 0.5),
        _stated(context, "fto_count", 0.5),
        _stated(context, "pause_count", 0.5),
        _stated(context, "fto_p50", tolerance, " s"),
        _stated(context, "pause_p50", tolerance, " s"),
    ]
    return both(*stated, _against_reference(context))


def segments_of(tables: Any) -> dict[str, list[Segment]]:
    """Speech regions of every session, by id, as label readers give them."""
    regions, turns, sessions = tables["regions"], tables["turns"], tables["sessions"]
    row = regions["turn_row"].to_numpy()
    names = sessions["session"].to_numpy()[regions["session_row"].to_numpy()].tolist()
    speakers = turns["speaker"].fillna("").to_numpy()[row].tolist()
    found_: dict[str, list[Segment]] = {}
    times = (regions["start"].tolist(), regions["end"].tolist())
    for name, speaker, start, end in zip(names, speakers, *times, strict=True):
        segment = Segment(session=name, speaker=speaker, start=start, end=end)
        found_.setdefault(name, []).append(segment)
    return found_


def _against_reference(context: Context) -> Result:
    """The bars of `talkover turns compare` that do not hold."""
    if context.reference is None:
        return of_rows([], 0)
    name = context.reference.name
    try:
        comparison = compare(context.reference.sessions, segments_of(context.tables))
    except ManifestError as error:
        hint = "sessions of two speakers and 20 s are needed on both sides"
        row = {"locus": f"against {name}", "value": str(error), "limit": "comparable", "hint": hint}
        return of_rows([row], 1)
    hint = "see talkover turns compare; fit a turn-taking model on the reference"
    broken = [bar for bar, holds in comparison.bars.items() if not holds]
    rows = (
        {"locus": f"against {name}", "value": bar, "limit": "holds", "hint": hint} for bar in broken
    )
    return of_rows(rows, len(comparison.bars))


@check(24, "warning", "sessions that miss what was asked of them", scope="corpus")
def asked_measured(context: Context) -> Result:
    """Overlap, silence and length are near their targets, each and in the mean."""
    sessions, limits = context.tables["sessions"], context.limits
    results = []
    for name in ("overlap_of_speech", "silence_of_time"):
        asked, got = sessions[f"asked_{name}"], sessions[name]
        off = (asked - got).abs() > limits.asked_ratio_tolerance
        results.append(
            found(
                sessions,
                off,
                examined=int(asked.notna().sum()),
                locus=(name,),
                value=("{:.3f}", got),
                limit=("{:.3f} asked", asked),
                hint="the targets of this session cannot be met together: relax one",
            )
        )
        results.append(of_rows(_missed_mean(asked, got, name, context), 0))
    asked, got = sessions["asked_duration"], sessions["duration"]
    off = (asked - got).abs() > limits.asked_duration_tolerance * asked
    results.append(
        found(
            sessions,
            off,
            examined=int(asked.notna().sum()),
            locus=("duration",),
            value=("{:.1f} s", got),
            limit=("{:.1f} s asked", asked),
            hint="the session is not as long as it was planned: was it cut?",
        )
    )
    return both(*results)


def _missed_mean(
    asked: pd.Series, got: pd.Series, name: str, context: Context
) -> Iterator[dict[str, str]]:
    known, limits = asked.notna(), context.limits
    difference = (got[known] - asked[known]).mean()
    if known.sum() >= limits.asked_mean_sessions and abs(difference) > limits.asked_mean_tolerance:
        yield {
            "locus": f"mean {name}",
            "value": f"{got[known].mean():.3f}",
            "limit": f"{asked[known].mean():.3f} asked",
            "hint": "the simulation leans one way: see talkover turns fit",
        }
