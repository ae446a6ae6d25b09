"""Checks 26, 27, 35 and 36: noise and room as asked, enrolment, licences and provenance."""

from __future__ import annotations

import numpy as np
import pandas as pd

from talkover.manifests.audit.checks_audio import stem_snr
from talkover.manifests.audit.findings import Result, both, found, nothing
from talkover.manifests.audit.registry import Context, check


@check(26, "warning", "noise that is louder or softer than asked", scope="corpus")
def snr(context: Context) -> Result:
    """The SNR of noises and events is as asked, and of noises as the stems give it."""
    sources, tolerance = context.tables["sources"], context.limits.snr_tolerance_db
    noise = sources[sources["kind"] == "noise"]
    off = (noise["asked"] - noise["measured"]).abs() > tolerance
    declared = found(
        noise,
        off,
        locus="locus",
        value=("{:.1f} dB", noise["measured"]),
        limit=("{:.1f} dB asked", noise["asked"]),
        hint="render the session again",
    )
    sessions = context.tables["sessions"]
    events = context.tables["events"]
    sounds = found(
        events,
        (events["snr_asked"] - events["snr_measured"]).abs() > tolerance,
        examined=int((events["snr_asked"] - events["snr_measured"]).notna().sum()),
        locus="event",
        value=("{:.1f} dB", events["snr_measured"]),
        limit=("{:.1f} dB asked", events["snr_asked"]),
        hint="render the session again",
    )
    heard = pd.Series(stem_snr(context), dtype="float64").reindex(sessions.index)
    # Powers of several noises add; one that was not measured leaves the sum unknown.
    powers = (10 ** (-noise["measured"] / 10)).groupby(noise["session_row"])
    stated = -10 * np.log10(powers.sum(min_count=1).where(powers.count() == powers.size()))
    stated = stated.reindex(sessions.index)
    known = stated.notna() & heard.notna()
    apart = known & ((heard - stated).abs() > tolerance)
    stems = found(
        sessions,
        apart,
        examined=int(known.sum()),
        locus="stems",
        value=("{:.1f} dB", heard),
        limit=("{:.1f} dB declared", stated),
        hint="the stems are of another mix than the one described",
    )
    return both(declared, sounds, stems)


@check(27, "warning", "rooms that are not as asked, or that cannot be")
def room_acoustics(context: Context) -> Result:
    """T60 is as asked; distances and direct-to-reverberant ratios are those of a room."""
    sessions, sources, limits = (
        context.tables["sessions"],
        context.tables["sources"],
        context.limits,
    )
    asked, got = sessions["t60_asked"], sessions["t60_measured"]
    known = asked.notna() & got.notna()
    off = known & ((got - asked).abs() > limits.t60_tolerance * asked)
    rooms = found(
        sessions,
        off | (got <= 0),
        examined=int(known.sum()),
        locus="scene.room.t60_measured",
        value=("{:.2f} s", got),
        limit=("{:.2f} s asked", asked),
        hint="the room cannot have this T60, or its responses are of another room",
    )
    seats = sources[sources["kind"] == "rir"]
    low, high = limits.drr_range_db
    drr, distance = seats["measured"], seats["asked"]
    far = (distance <= 0) | (distance > limits.max_distance_m)
    ratios = found(
        seats,
        (drr < low) | (drr > high),
        examined=int(drr.notna().sum()),
        locus="locus",
        value=("{:.0f} dB", drr),
        limit=f"{low:g} to {high:g} dB",
        hint="look at the response: is its direct path there?",
    )
    seated = found(
        seats,
        far,
        examined=int(distance.notna().sum()),
        locus="locus",
        value=("{:.1f} m", distance),
        limit=f"above 0, at most {limits.max_distance_m:g} m",
        hint="nobody sits there",
    )
    return both(rooms, ratios, seated)


@check(35, "error", "enrolment speech from the session itself, or of somebody else")
def registration_outside(context: Context) -> Result:
    """Registration clips hold no utterance of their session, and are of the speaker they name."""
    sources, turns = context.tables["sources"], context.tables["turns"]
    clips = sources[sources["kind"] == "registration"]
    if not len(clips):
        return nothing()
    used = sources[sources["kind"] == "utterance"]
    bare = used["name"].str.replace(r"^[^/]*/", "", regex=True)
    heard = set(zip(used["session_row"], bare, strict=True))
    inside = [key in heard for key in zip(clips["session_row"], clips["name"], strict=True)]
    leaked = found(
        clips,
        np.array(inside),
        locus="locus",
        value="name",
        limit="not heard in the session",
        hint="draw the registration from other utterances of the speaker",
    )
    names = turns.drop_duplicates(["session_row", "speaker_local"])
    owner = names.set_index(["session_row", "speaker_local"])["speaker"]
    first = clips.drop_duplicates(["session_row", "locus"])
    first = first[first["within"].notna()]
    keys = pd.MultiIndex.from_frame(first[["session_row", "within"]])
    right = pd.Series(owner.reindex(keys).to_numpy(), index=first.index, dtype="str")
    wrong = found(
        first,
        right != first["speaker"],
        examined=0,
        locus="locus",
        value=("{} = {}", "within", "speaker"),
        limit=("{} = {}", "within", right.fillna("nobody")),
        hint="the clip is of another speaker than its name says",
    )
    return both(leaked, wrong)


@check(36, "error", "missing licences and provenance")
def licence_and_provenance(context: Context) -> Result:
    """Every source has a licence that the session lists, and the session says what made it."""
    sources, sessions = context.tables["sources"], context.tables["sessions"]
    used = sources[sources["kind"].isin(["utterance", "noise", "event"])]
    missing = found(
        used,
        used["licence"].isna(),
        locus="locus",
        value=("no licence of {}", "name"),
        limit="an SPDX name",
        hint="ask where the source is from; leave it out until that is known",
    )
    known = used[used["licence"].notna() & (used["licence"] != "synthetic")]
    pairs = known.drop_duplicates(["session_row", "licence"])
    listed = sessions["licences"].fillna("").loc[pairs["session_row"]]
    absent = [
        licence not in names.split()
        for licence, names in zip(pairs["licence"], listed, strict=True)
    ]
    unlisted = found(
        pairs,
        np.array(absent, dtype=bool),
        examined=0,
        locus="licences.spdx",
        value="licence",
        limit="listed",
        hint="list every licence of the sources in the session",
    )
    ours = sessions[sessions["is_talkover"] == 1]
    made = ours["origin"] == "simulated"
    gaps = {
        "tool": ours["tool"].isna(),
        "configuration_hash": ours["configuration_hash"].isna(),
        "root_seed": made & ours["root_seed"].isna(),
        "session_index": made & ours["session_index"].isna(),
        "plan_hash": made & ours["plan_hash"].isna(),
    }
    provenance = [
        found(
            ours,
            bad,
            examined=len(ours) if name == "tool" else 0,
            locus=f"provenance.{name}",
            value="missing",
            limit="given",
            hint="without it the session cannot be made again",
        )
        for name, bad in gaps.items()
    ]
    return both(missing, unlisted, *provenance)
