"""Checks 5 to 8, 16, 25, 26 and 28: the files themselves, and labels against their sound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from talkover.manifests.audio_rules import STEP_16_BIT
from talkover.manifests.audit.activity import frames_of, regions_by_session
from talkover.manifests.audit.audio_facts import FRAME, contour
from talkover.manifests.audit.columns import Frames, groups_of, rows_of
from talkover.manifests.audit.findings import Limits, Result, both, found, of_rows
from talkover.manifests.audit.registry import Context, check
from talkover.manifests.regions import join_spans

_DUST = 1e-7  # of float32 sums
_HALF_SAMPLE = 0.5
_DURATION_SLACK = 1e-6  # seconds; rounding of a declared length
_SHORTEST_REGION = 0.3  # seconds; shorter ones have no frame of their own
_DIP = 4  # frames without a loud one that end a run; syllables dip for less
_TAIL = 0.3  # seconds before and after speech in which sound is its own: breath, reverberation
_SPEECH_QUANTILE, _FLOOR_QUANTILE = 75, 5


@check(5, "error", "files that are not there", scope="corpus", needs=("audio",))
def files_exist(context: Context) -> Result:
    """Every file that a session names is there."""
    files = _files(context)
    return found(
        files,
        files["exists"] == 0,
        locus="role",
        value="path",
        limit="a file",
        hint="paths are relative to the folder of the manifest; copy the file or drop the session",
    )


@check(6, "error", "files that do not decode", scope="corpus", needs=("audio",))
def audio_decodes(context: Context) -> Result:
    """Every file decodes to its end."""
    files = _files(context)
    there = files[files["exists"] == 1]
    return found(
        there,
        there["fault"].notna(),
        locus="path",
        value="fault",
        limit="decodes",
        hint="fetch or render the file again",
    )


@check(
    7,
    "error",
    "audio of other length, rate or channels than declared",
    scope="corpus",
    needs=("audio",),
)
def audio_as_declared(context: Context) -> Result:
    """Samples, rate and channels of a file are those of the manifest, to the sample."""
    sessions, files = context.tables["sessions"], _decoded(context)
    audio = files[files["role"] == "audio"]
    own = sessions.loc[audio["session_row"]].set_axis(audio.index)
    results = []
    for name in ("sampling_rate", "num_samples", "num_channels"):
        declared = own[name]
        off = declared.notna() & (declared != audio[name])
        results.append(
            found(
                audio,
                off,
                examined=int(declared.notna().sum()),
                locus=(name,),
                value=("{:.0f} declared", declared),
                limit=("{:.0f}", audio[name]),
                hint="the file is another than the one that was labelled",
            )
        )
    length = own["num_samples"] / own["sampling_rate"]
    matches = (own["num_samples"] == audio["num_samples"]) & (
        own["sampling_rate"] == audio["sampling_rate"]
    )
    apart = matches & ((own["duration"] - length).abs() > _DURATION_SLACK)
    whole = own["origin"].notna()  # a plain Lhotse cut may be a part of its recording
    results.append(
        found(
            audio,
            apart & whole,
            examined=0,
            locus=("duration",),
            value=("{:.6f} s", own["duration"]),
            limit=("{:.6f} s", length),
            hint="the declared duration is not samples over rate",
        )
    )
    clips = files[(files["role"] == "registration") & files["duration"].notna()]
    seconds = clips["num_samples"] / clips["sampling_rate"]
    short = (seconds - clips["duration"]).abs() * clips["sampling_rate"] > _HALF_SAMPLE
    results.append(
        found(
            clips,
            short,
            examined=len(clips),
            locus="path",
            value=("{:.6f} s declared", clips["duration"]),
            limit=("{:.6f} s", seconds),
            hint="write the registration clip again",
        )
    )
    return both(*results)


@check(8, "error", "files of other content than declared", scope="corpus", needs=("audio",))
def content_hash(context: Context) -> Result:
    """The hash of each file, and of the samples of the mixture, is as declared."""
    files = _decoded(context)
    stated = files["declared"]
    changed = stated.notna() & (stated != files["sha256"])
    whole = found(
        files,
        changed,
        examined=int(stated.notna().sum()),
        locus="path",
        value=("{:.16} declared", stated),
        limit=("{:.16}", "sha256"),
        hint="the file was changed or replaced after it was described",
    )
    audio = files[files["role"] == "audio"]
    pcm = context.tables["sessions"]["pcm_sha256"].loc[audio["session_row"]].set_axis(audio.index)
    other = pcm.notna() & (pcm != audio["pcm_sha256"])
    samples = found(
        audio,
        other & ~changed.loc[audio.index],
        examined=int(pcm.notna().sum()),
        locus=("pcm_sha256",),
        value=("{:.16} declared", pcm),
        limit=("{:.16}", "pcm_sha256"),
        hint="the samples are not those described",
    )
    return both(whole, samples)


@check(
    16,
    "warning",
    "labels where nothing sounds, and sound where no label is",
    scope="corpus",
    needs=("audio",),
)
def label_energy(context: Context) -> Result:
    """Speech is louder than the floor, and silence is not as loud as speech."""
    tables, limits = context.tables, context.limits
    regions, events = regions_by_session(tables), _event_spans(tables)
    sessions, turns = tables["sessions"], tables["turns"]
    rows, examined = [], 0
    for audio in rows_of(_heard(context, ("audio",))):
        levels = contour(audio.contour)
        row = int(audio.session_row)
        first = round(sessions["offset"][row] / FRAME)
        levels = levels[first : first + int(np.ceil(sessions["duration"][row] / FRAME))]
        if not len(levels):
            continue  # a window outside of its file is told by the checks of length and place
        own = regions.get(row)
        spans = np.empty((0, 3)) if own is None else own
        active = frames_of(spans[:, :2], len(levels), pad=0.0)
        near = frames_of(spans[:, :2], len(levels), pad=_TAIL)
        floor = float(np.percentile(levels, _FLOOR_QUANTILE))
        speech = float(np.percentile(levels[active] if active.any() else levels, _SPEECH_QUANTILE))
        if speech - floor < limits.min_contrast_db:
            continue
        examined += 1
        session = sessions["session"][row]
        for turn, level, start in _silent_turns(spans, levels, floor, limits):
            yield_row = {"session": session, "locus": turns["supervision"].iloc[turn]}
            rows.append(
                {
                    **yield_row,
                    "value": f"{level:.0f} dBFS at the loudest",
                    "time": start,
                    "limit": f"above the floor of {floor:.0f} dBFS",
                    "hint": "nothing sounds there: are labels shifted, or is the stem missing?",
                }
            )
        labelled = sessions["labelled"][row]
        if labelled < sessions["duration"][row] - FRAME:
            continue  # what may not be scored may sound
        if row in events:
            near |= frames_of(events[row], len(levels), pad=_TAIL)
        for start, length in _loud_runs(levels, near, speech, floor, limits):
            rows.append(
                {
                    "session": session,
                    "locus": f"{start:.1f} to {start + length:.1f} s",
                    "value": "as loud as speech",
                    "limit": "a label, or silence",
                    "time": start,
                    "hint": "somebody may speak there who has no label",
                }
            )
    return of_rows(rows, examined)


def _event_spans(tables: Frames) -> dict[int, NDArray[np.float64]]:
    """Start and end of each session's sounds and music, which may be as loud as speech."""
    spans = {}
    for row, own in groups_of(tables["events"], "session_row"):
        start = own["start"].to_numpy(dtype=np.float64)
        spans[row] = np.stack([start, start + own["duration"].to_numpy(dtype=np.float64)], axis=1)
    return spans


def _silent_turns(
    spans: NDArray[np.float64], levels: NDArray[np.float64], floor: float, limits: Limits
) -> Iterator[tuple[int, float, float]]:
    """(turn row, level, start) of turns of which no region has a frame above the floor."""
    loudest: dict[int, tuple[float, float]] = {}
    for start, end, turn in spans:
        first, last = int(np.ceil(start / FRAME)), int(np.floor(end / FRAME))
        if end - start < _SHORTEST_REGION or first < 0 or last > len(levels) or last <= first:
            loudest[int(turn)] = (float("inf"), start)  # cannot be told
            continue
        level = float(levels[first:last].max())
        best, begun = loudest.get(int(turn), (level, start))
        loudest[int(turn)] = (max(best, level), begun)
    for turn, (level, start) in loudest.items():
        if level < floor + limits.silence_above_floor_db:
            yield turn, level, start


def _loud_runs(
    levels: NDArray[np.float64],
    near: NDArray[np.bool_],
    speech: float,
    floor: float,
    limits: Limits,
) -> Iterator[tuple[float, float]]:
    """Start and length of runs of frames far from labels that are as loud as speech."""
    least = max(speech - limits.loud_silence_db, floor + limits.min_contrast_db)
    loud = np.flatnonzero(~near & (levels > least))
    runs = join_spans(np.stack([loud, loud + 1], axis=1), _DIP)
    for first, last in runs.tolist():
        if (last - first) * FRAME >= limits.loud_silence_seconds:
            yield float(first * FRAME), float((last - first) * FRAME)


@check(
    25,
    "warning",
    "clipping, offset, faintness and missing bandwidth",
    scope="corpus",
    needs=("audio",),
)
def signal_quality(context: Context) -> Result:
    """Audio is not clipped, has no offset, is not faint and fills its rate."""
    limits, sessions = context.limits, context.tables["sessions"]
    audio = _heard(context, ("audio",))
    own = sessions.loc[audio["session_row"]].set_axis(audio.index)
    plain = own["num_effects"].fillna(0) == 0  # a channel effect may do all of this on purpose
    samples = audio["num_samples"] * audio["num_channels"]
    width = audio["bandwidth"] / (audio["sampling_rate"] / 2)
    looks = (
        (
            "clipping",
            audio["clipped"] > limits.clipped_share * samples,
            ("{:.0f} samples", audio["clipped"]),
            f"at most {limits.clipped_share:.4%}",
            "lower the gain before it is written",
        ),
        (
            "offset",
            audio["dc"].abs() > limits.max_dc,
            ("{:.4f}", audio["dc"]),
            f"at most {limits.max_dc:g}",
            "take the mean out with a high-pass",
        ),
        (
            "level",
            audio["level_dbfs"] < limits.min_level_dbfs,
            ("{:.0f} dBFS", audio["level_dbfs"]),
            f"at least {limits.min_level_dbfs:g} dBFS",
            "raise the gain: the signal drowns in its 16 bits",
        ),
        (
            "bandwidth",
            (width < limits.min_bandwidth) & (audio["level_dbfs"] >= limits.min_level_dbfs),
            ("{:.0f} Hz", audio["bandwidth"]),
            f"at least {limits.min_bandwidth:.0%} of half the rate",
            "the sources were of a lower rate, or of a telephone",
        ),
    )
    results = [
        found(
            audio,
            bad & plain,
            examined=len(audio) if n == 0 else 0,
            locus=(locus,),
            value=value,
            limit=limit,
            hint=hint,
        )
        for n, (locus, bad, value, limit, hint) in enumerate(looks)
    ]
    return both(*results)


@check(
    28, "error", "mixtures that are not the sum of their stems", scope="corpus", needs=("audio",)
)
def stem_sum(context: Context) -> Result:
    """The mixture before the channel is the sum of its stems, within one step of 16 bits."""
    audio = _heard(context, ("audio",))
    own = context.tables["sessions"].loc[audio["session_row"]]
    # After a channel stage the mixture is no sum of anything, unless the one before it is kept.
    lawful = ((own["num_effects"] == 0) | (own["has_pre_channel"] == 1)).to_numpy()
    known = audio["residual"].notna() & lawful
    return found(
        audio,
        known & (audio["residual"] > STEP_16_BIT + _DUST),
        examined=int(known.sum()),
        locus="mix.stems",
        value=("{:.6f} off", audio["residual"]),
        limit=f"at most {STEP_16_BIT:.6f}",
        hint="a stem was changed or is of another session",
    )


def _files(context: Context) -> Any:
    """Measured files beside what was declared of them, with the session's id."""
    declared = context.tables["files"]
    audio = context.tables["audio"].copy()
    keys = ["session_row", "role", "path"]
    stated = declared.drop_duplicates(keys).set_index(keys)
    own = stated.reindex(pd.MultiIndex.from_frame(audio[keys].astype({"role": "str"})))
    audio["declared"] = own["sha256"].to_numpy()
    audio["duration"] = own["duration"].to_numpy()
    names = context.tables["sessions"]["session"]
    audio["session"] = names.loc[audio["session_row"]].to_numpy()
    audio["declared"] = audio["declared"].astype("str")
    return audio


def _decoded(context: Context) -> Any:
    files = _files(context)
    return files[(files["exists"] == 1) & files["fault"].isna()]


def _heard(context: Context, roles: tuple[str, ...]) -> Any:
    """Decoded files of some roles that have a contour."""
    files = _decoded(context)
    return files[files["role"].isin(roles) & files["contour"].notna()]


def stem_snr(context: Context) -> dict[int, float]:
    """SNR in dB of each session with a noise stem and speaker stems, on active frames."""
    stems = _heard(context, ("speaker_stem", "noise_stem"))
    usable = stems.groupby("session_row")["path"].transform("size")
    files = context.tables["files"]
    declared = files[files["role"].isin(["speaker_stem", "noise_stem"])].groupby("session_row")
    stems = stems[usable.to_numpy() == declared.size().reindex(stems["session_row"]).to_numpy()]
    regions = regions_by_session(context.tables) if len(stems) else {}
    result = {}
    for row, own in groups_of(stems, "session_row"):
        powers: dict[str, Any] = {}
        for stem in rows_of(own):
            power = 10 ** (contour(stem.contour) / 10)
            powers[str(stem.role)] = powers.get(str(stem.role), 0) + power
        spans = regions.get(row)
        if "noise_stem" not in powers or "speaker_stem" not in powers or spans is None:
            continue
        active = frames_of(spans[:, :2], len(powers["noise_stem"]), pad=0.0)
        speech, noise = (powers[k][active].sum() for k in ("speaker_stem", "noise_stem"))
        if active.any() and noise > 0 and speech > 0:
            result[row] = float(10 * np.log10(speech / noise))
    return result
