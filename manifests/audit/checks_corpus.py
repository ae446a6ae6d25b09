"""Checks 18 and 29 to 34: what sessions must not share, or not share too often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from talkover.manifests.audit.audio_facts import contour
from talkover.manifests.audit.columns import rows_of
from talkover.manifests.audit.findings import Result, both, found, of_rows
from talkover.manifests.audit.leaks import leaked_texts, shared_names
from talkover.manifests.audit.registry import Context, check
from talkover.manifests.audit.voices import mean_voices

_SHAPE = 64  # points that a level contour is compared on
_NEIGHBOURS = 0.02  # share by which the lengths of near duplicates may differ
_LEAK_HINT = "plan the splits again: talkover split keeps it apart"


@check(18, "warning", "one voice under two speaker ids", scope="corpus", needs=("voices",))
def one_voice_one_id(context: Context) -> Result:
    """Mean voice vectors of different speakers differ."""
    assert context.voices is not None
    names, vectors = mean_voices(context.voices)
    present = set(context.tables["turns"]["speaker"].dropna().unique())
    keep = [n for n, name in enumerate(names) if name in present]
    names, vectors = [names[n] for n in keep], vectors[keep]
    limit = context.limits.same_voice
    rows = []
    for first in range(len(names)):
        alike = vectors[first + 1 :] @ vectors[first]
        for offset in np.flatnonzero(alike >= limit).tolist():
            rows.append(
                {
                    "locus": f"{names[first]} and {names[first + 1 + offset]}",
                    "value": f"cosine {alike[offset]:.3f}",
                    "limit": f"below {limit:g}",
                    "hint": "listen: one person under two ids inflates DER and leaks over splits",
                }
            )
    return of_rows(rows, len(names))


def _leaks(context: Context, kinds: tuple[str, ...]) -> Result:
    shared, examined = shared_names(context.tables, kinds)
    rows = (
        {
            "session": row.session,
            "locus": f"{row.kind} {row.name}",
            "value": row.splits,
            "limit": "one split",
            "hint": _LEAK_HINT,
        }
        for row in rows_of(shared)
    )
    return of_rows(rows, examined)


@check(29, "error", "speakers in two splits", scope="corpus", needs=("splits",))
def speaker_leaks(context: Context) -> Result:
    """No speaker, of turns or of registration clips, is in two splits."""
    return _leaks(context, ("speaker",))


@check(
    30, "error", "source utterances and recordings in two splits", scope="corpus", needs=("splits",)
)
def source_leaks(context: Context) -> Result:
    """No source utterance or source recording is in two splits; an utterance is told once."""
    return _leaks(context, ("utterance", "recording"))


@check(
    31,
    "error",
    "rooms, responses, noises and texts in two splits",
    scope="corpus",
    needs=("splits",),
)
def scene_leaks(context: Context) -> Result:
    """No room, impulse response, noise or longer text is in two splits."""
    texts, examined = leaked_texts(context.tables, context.limits.text_leak_words)
    rows = (
        {
            "session": row.session,
            "locus": row.supervision,
            "value": f"{row.splits}: {row.text[:60]}",
            "limit": "one split",
            "time": row.start,
            "hint": "a test text that was trained on measures memory",
        }
        for row in rows_of(texts)
    )
    return both(_leaks(context, ("room", "rir", "noise")), of_rows(rows, examined))


@check(32, "error", "sessions with the same samples", scope="corpus")
def exact_duplicates(context: Context) -> Result:
    """No two sessions have the same samples."""
    sessions = context.tables["sessions"]
    known = sessions[_pcm(context).notna()]
    pcm = _pcm(context)[known.index]
    twice = pcm.duplicated()
    first = known.assign(pcm=pcm).groupby("pcm")["session"].transform("first")
    return found(
        known,
        twice,
        locus="audio",
        value=("the samples of {}", first),
        limit="samples of its own",
        hint="drop one of the two",
    )


def _pcm(context: Context) -> Any:
    """Hash of the samples of each session: measured, or as declared where audio was not read."""
    audio = context.tables["audio"]
    own = audio[(audio["role"] == "audio") & audio["pcm_sha256"].notna()]
    measured = own.drop_duplicates("session_row").set_index("session_row")["pcm_sha256"]
    sessions = context.tables["sessions"]
    known = measured.reindex(sessions.index).fillna(sessions["pcm_sha256"])
    return known.where(sessions["is_whole"] == 1)  # windows of one file are no duplicates


@check(33, "warning", "sessions that are nearly the same, or of one recipe", scope="corpus")
def near_duplicates(context: Context) -> Result:
    """No two sessions have one plan, one seed and index, or the same sound at another level."""
    sessions = context.tables["sessions"]
    pcm = _pcm(context)
    fresh = sessions[~(pcm.duplicated() & pcm.notna())]
    plans = fresh[fresh["plan_hash"].notna()]
    planned = plans["plan_hash"].duplicated()
    of_plan = found(
        plans,
        planned,
        locus="provenance.plan_hash",
        value=("{:.16}", "plan_hash"),
        limit="a plan of its own",
        hint="the same session was made twice",
    )
    recipe = ["configuration_hash", "root_seed", "session_index"]
    seeded = fresh[fresh[recipe].notna().all(axis=1)]
    again = seeded.duplicated(recipe) & ~planned.reindex(seeded.index, fill_value=False)
    of_seed = found(
        seeded,
        again,
        examined=0,
        locus="provenance.session_index",
        value=("seed {}, index {:.0f}", "root_seed", "session_index"),
        limit="a seed and index of its own",
        hint="the same session was made twice",
    )
    told = set(of_plan.findings["session"]) | set(of_seed.findings["session"])
    return both(of_plan, of_seed, of_rows(*_near(context, set(fresh.index), told)))


def _near(context: Context, rows: set[int], told: set[str]) -> tuple[list[dict[str, Any]], int]:
    """Pairs of recordings of one length whose levels go up and down together."""
    audio, limits = context.tables["audio"], context.limits
    sessions = context.tables["sessions"]
    names, rows = sessions["session"], rows & set(sessions.index[sessions["is_whole"] == 1])
    shapes, lengths, owners = [], [], []
    for file in rows_of(audio[(audio["role"] == "audio") & audio["contour"].notna()]):
        levels = contour(file.contour)
        seconds = file.num_samples / file.sampling_rate
        if file.session_row not in rows or seconds < limits.near_duplicate_seconds:
            continue
        points = np.interp(np.linspace(0, len(levels) - 1, _SHAPE), np.arange(len(levels)), levels)
        points -= points.mean()
        size = float(np.linalg.norm(points))
        if size > 0:
            shapes.append(points / size)
            lengths.append(seconds)
            owners.append(int(file.session_row))
    found_rows = []
    for first, second, alike in _pairs(np.array(shapes), np.array(lengths), limits.near_duplicate):
        name, other = names[owners[first]], names[owners[second]]
        if name not in told and other not in told:
            found_rows.append(
                {
                    "session": other,
                    "locus": "audio",
                    "value": f"like {name}: {alike:.4f}",
                    "limit": f"below {limits.near_duplicate:g}",
                    "hint": "listen; drop one of the two",
                }
            )
    return found_rows, len(owners)


def _pairs(shapes: Any, lengths: Any, limit: float) -> Iterator[tuple[int, int, float]]:
    """Pairs above the limit among recordings of nearly one length."""
    order = np.argsort(lengths, kind="stable")
    for place, first in enumerate(order.tolist()):
        end = int(np.searchsorted(lengths[order], lengths[first] * (1 + _NEIGHBOURS), "right"))
        others = order[place + 1 : end]
        if len(others):
            alike = shapes[others] @ shapes[first]
            for n in np.flatnonzero(alike >= limit).tolist():
                second = int(others[n])
                yield min(first, second), max(first, second), float(alike[n])


@check(34, "warning", "utterances and responses that are used far too often", scope="corpus")
def reuse(context: Context) -> Result:
    """No utterance or impulse response is used far more often than the others."""
    sources, limits = context.tables["sources"], context.limits
    rows: list[dict[str, Any]] = []
    examined = 0
    for kind in ("utterance", "rir"):
        names = sources.loc[(sources["kind"] == kind) & (sources["name"] != ""), "name"]
        uses = names.value_counts(sort=False)
        if not len(uses):
            continue
        examined += len(uses)
        limit = max(limits.reuse_floor, limits.reuse_of_median * float(uses.median()))
        worn = uses[uses > limit].sort_index()
        rows += [
            {
                "locus": f"{kind} {name}",
                "value": f"{count} uses",
                "limit": f"at most {limit:.0f}",
                "hint": "a model learns it by heart: cap its use",
            }
            for name, count in worn.items()
        ]
    return of_rows(rows, examined)
