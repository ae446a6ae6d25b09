"""Checks 0 to 4: lines, ids and their order."""

from __future__ import annotations

import numpy as np

from talkover.manifests.audit.findings import Result, both, found
from talkover.manifests.audit.registry import Context, check

_LEGAL = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
_MOVED = 1e-9  # seconds that are none


@check(0, "error", "lines that are no session", scope="corpus")
def readable_lines(context: Context) -> Result:
    """Every line of a manifest is a cut that can be read."""
    problems, sessions = context.tables["problems"], context.tables["sessions"]
    torn = problems[problems["kind"] == "line"]
    return found(
        torn,
        np.ones(len(torn)),
        examined=len(sessions) + len(torn),
        locus=("line {} of {}", "line", "manifest"),
        value=("{}: {}", torn["field"].fillna(""), "reason"),
        limit="a Lhotse cut a line",
        hint="make the line again; talkover validate tells every fault of it",
    )


@check(1, "error", "ids that come twice", scope="corpus")
def unique_ids(context: Context) -> Result:
    """Session ids, supervision ids, and recording ids with different files, come once."""
    sessions, turns = context.tables["sessions"], context.tables["turns"]
    twice = sessions["session"].duplicated()
    hint = "give each its own id: the later one overwrites the first in every table by id"
    of_sessions = found(
        sessions, twice, locus="id", value="session", limit="once in the corpus", hint=hint
    )
    fresh = turns[~turns["session_row"].isin(sessions.index[twice])]
    again = fresh["supervision"].duplicated()
    of_turns = found(
        fresh,
        again,
        locus="supervision",
        value="supervision",
        limit="once in the corpus",
        hint=hint,
        time="start",
    )
    named = sessions[~twice & sessions["recording"].notna() & sessions["audio_path"].notna()]
    files = named.groupby("recording")["audio_path"].transform("nunique") > 1
    recordings = found(
        named,
        files & named["recording"].duplicated(),
        examined=0,
        locus="recording.id",
        value="recording",
        limit="one file a recording id",
        hint=hint,
    )
    return both(of_sessions, of_turns, recordings)


@check(2, "error", "ids with characters that no file name or label file bears")
def legal_ids(context: Context) -> Result:
    """Ids and speakers are ASCII letters, digits and ``-_.``, not beginning with a dot."""
    sessions, turns = context.tables["sessions"], context.tables["turns"]
    limit = "letters, digits, - _ ."
    hint = "rename: such ids break RTTM, STM, CTM and file names"
    bad = ~sessions["session"].str.fullmatch(_LEGAL)
    results = [found(sessions, bad, locus="id", value="session", limit=limit, hint=hint)]
    for name in ("supervision", "speaker"):
        values = turns[name]
        illegal = ~values.fillna("").str.fullmatch(_LEGAL)
        place = turns["supervision"] if name == "speaker" else name
        results.append(
            found(
                turns,
                illegal,
                locus=place,
                value=values.fillna(""),
                limit=limit,
                hint=hint if name == "supervision" else f"{hint}; name the speaker",
                time="start",
            )
        )
    return both(*results)


@check(3, "error", "names that disagree between files or places", scope="corpus")
def matching_ids(context: Context) -> Result:
    """Supervisions name their recording, local speakers one speaker, label files the sessions."""
    turns, problems = context.tables["turns"], context.tables["problems"]
    elsewhere = found(
        turns,
        turns["recording"].notna(),
        locus="supervision",
        value="recording",
        limit="the session's recording",
        hint="this supervision belongs to another recording",
        time="start",
    )
    local = turns[turns["speaker_local"].notna()]
    first = local.groupby(["session_row", "speaker_local"])["speaker"].transform("first")
    names = found(
        local,
        local["speaker"] != first,
        examined=0,
        locus="supervision",
        value=("{} = {}", "speaker_local", local["speaker"].fillna("")),
        limit=("{} = {}", "speaker_local", first.fillna("")),
        hint="a local speaker is one speaker",
        time="start",
    )
    beside = problems[problems["kind"] == "labels"]
    files = found(
        beside,
        np.ones(len(beside)),
        examined=0,
        locus="manifest",
        value="reason",
        limit="the same sessions",
        hint="write the label files again from the manifest",
    )
    return both(elsewhere, names, files)


@check(4, "warning", "supervisions out of time order")
def time_order(context: Context) -> Result:
    """Supervisions of a session are sorted by start."""
    sessions, turns = context.tables["sessions"], context.tables["turns"]
    ordered = sessions["line"].to_numpy()[turns["session_row"]] > 0  # label files have no order
    back = (turns["session_row"].diff() == 0) & (turns["start"].diff() < -_MOVED)
    return found(
        turns,
        back & ordered,
        examined=int(ordered.sum()),
        locus="supervision",
        value=("{:.3f} s", "start"),
        limit="not before the supervision ahead of it",
        hint="sort supervisions by start",
        time="start",
    )
