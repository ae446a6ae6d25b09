"""Score a hypothesis against a reference: every session, every metric that can be worked out.

A session that the hypothesis lacks, or that is marked as failed, counts with all its words and all
its speech as missed; nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec

from pydantic import JsonValue

from talkover.manifests.errors import ConfigurationError, ManifestError, MissingExtraError
from talkover.manifests.schema import Session
from talkover.manifests.score.bootstrap import bootstrap_intervals, compare_systems
from talkover.manifests.score.concatenated import Search
from talkover.manifests.score.diarization import convention
from talkover.manifests.score.normalize import Normalizer, get_normalizer
from talkover.manifests.score.registry import (
    METRICS,
    Metric,
    Need,
    ScoreSettings,
    find_metrics,
    with_parts,
)
from talkover.manifests.score.result import Comparison, ScoreResult
from talkover.manifests.score.sessions import side_of_session
from talkover.manifests.score.sides import LabelledSegment, Pair, Side, make_side
from talkover.manifests.score.strata import stratify
from talkover.manifests.score.tally import Tally, add_tallies, subtract_tallies

Labels = Mapping[str, Sequence[LabelledSegment] | Side] | Iterable[Session]
"""One side: segments or a `Side` per session, or sessions."""

NUM_RESAMPLES = 1000
_SHOWN = 3  # ids in a message


def score(
    reference: Labels,
    hypothesis: Labels,
    *,
    metrics: str | Sequence[str] | None = None,
    tcp_collar: float = 5.0,
    der_collar: float = 0.0,
    der_skip_overlap: bool = False,
    normalizer: str | Normalizer = "default",
    orc_search: Search = "greedy",
    registered: Mapping[str, Collection[str]] | Collection[str] | None = None,
    failed: Collection[str] = (),
    strata: Sequence[str] = (),
    bootstrap: int = NUM_RESAMPLES,
    seed: int = 0,
) -> ScoreResult:
    """All figures of a hypothesis: overall, per session, per stratum, with intervals.

    Args:
        reference: What was said, by whom, when.
        hypothesis: What a system says; may lack sessions, may not have others.
        metrics: Names, ``"all"`` that the data allow, or the default ones that the data allow.
        tcp_collar: Seconds on each side of a hypothesis word.
        der_collar: Seconds on each side of a reference boundary that are not scored.
        der_skip_overlap: Leave overlapped speech out of the DER.
        normalizer: Name with options, such as ``english+tags``, or an object.
        orc_search: How ORC and DI-cp are searched.
        registered: Names registered for every session, or per session; sessions may bring theirs.
        failed: Sessions whose output could not be parsed: scored as if nothing had been said.
        strata: ``overlap``, ``speakers``, or fields of the manifest.
        bootstrap: Number of resampled corpora for the intervals, 0 for none.
        seed: Root seed of the resampling.

    Raises:
        ConfigurationError: If a metric is unknown or needs what the data do not have.
        ManifestError: If the hypothesis has sessions that the reference lacks.
        MissingExtraError: If a metric needs meeteval and it is not installed.
    """
    settings = ScoreSettings(
        normalizer=get_normalizer(normalizer),
        tcp_collar=tcp_collar,
        der_collar=der_collar,
        der_skip_overlap=der_skip_overlap,
        orc_search=orc_search,
    )
    pairs = pair_sides(
        _sides(reference, strata),
        _sides(hypothesis, ()),
        settings.normalizer,
        registered=registered,
        failed=failed,
    )
    chosen = with_parts(choose_metrics(metrics, pairs))
    sessions = {name: score_session(pair, chosen, settings) for name, pair in pairs.items()}
    overall = {m.name: add_tallies(t[m.name] for t in sessions.values()) for m in chosen}
    return ScoreResult(
        overall=overall,
        sessions=sessions,
        settings=_describe(settings, chosen, pairs, bootstrap, seed),
        strata=stratify(pairs, sessions, strata),
        intervals=bootstrap_intervals(sessions, bootstrap, seed),
        pairs=pairs,
    )


def compare(first: ScoreResult, second: ScoreResult) -> ScoreResult:
    """The first result, with the paired comparison to the second.

    Raises:
        ConfigurationError: If the two were not scored in the same way on the same sessions.
    """
    if first.settings != second.settings or set(first.sessions) != set(second.sessions):
        raise ConfigurationError(
            "two results can only be compared when both have the same reference and settings"
        )
    num_resamples = first.settings["bootstrap"]
    seed = first.settings["seed"]
    assert isinstance(num_resamples, int) and isinstance(seed, int)
    differences = compare_systems(
        first.sessions, second.sessions, num_resamples or NUM_RESAMPLES, seed
    )
    return replace(first, comparison=Comparison(overall=second.overall, differences=differences))


def score_session(
    pair: Pair, metrics: Sequence[Metric], settings: ScoreSettings
) -> dict[str, Tally]:
    """The tallies of one session; the parts of a difference stand before it."""
    tallies: dict[str, Tally] = {}
    for metric in metrics:
        if metric.difference is not None:
            first, second = metric.difference
            tallies[metric.name] = subtract_tallies(tallies[first], tallies[second])
        elif metric.compute is not None:
            tallies[metric.name] = metric.compute(pair, settings)
    pair.release()
    return tallies


def pair_sides(
    reference: Mapping[str, Side],
    hypothesis: Mapping[str, Side],
    normalizer: Normalizer,
    *,
    registered: Mapping[str, Collection[str]] | Collection[str] | None = None,
    failed: Collection[str] = (),
) -> dict[str, Pair]:
    """Reference and hypothesis of every session of the reference, sessions by name."""
    if not reference:
        raise ManifestError("the reference has no session: nothing can be scored")
    if extra := sorted((set(hypothesis) | set(failed)) - set(reference)):
        shown = ", ".join(extra[:_SHOWN]) + (", …" if len(extra) > _SHOWN else "")
        raise ManifestError(
            f"the hypothesis has {len(extra)} session(s) that the reference lacks ({shown}); "
            f"the reference has {', '.join(sorted(reference)[:_SHOWN])}: the ids must be equal"
        )
    nothing = make_side([], failed=True)
    pairs = {}
    for session in sorted(reference):
        theirs = nothing if session in failed else hypothesis.get(session, nothing)
        ours = _with_registered(session, reference[session], registered)
        pairs[session] = Pair(session, ours, theirs, normalizer)
    return pairs


def choose_metrics(metrics: str | Sequence[str] | None, pairs: Mapping[str, Pair]) -> list[Metric]:
    """The metrics that were asked for, or those that the data allow.

    Raises:
        ConfigurationError: If one that was asked for needs what the data do not have.
    """
    if metrics is None or metrics == "all":
        return [
            metric
            for metric in METRICS.values()
            if (metric.is_default or metrics == "all")
            and all(_lack(need, pairs) is None for need in metric.needs)
        ]
    names = metrics.split(",") if isinstance(metrics, str) else metrics
    chosen = find_metrics([name.strip() for name in names])
    for metric in chosen:
        for need in sorted(metric.needs):
            if need == "meeteval" and _lack(need, pairs):
                raise MissingExtraError("meeteval", "score", metric.name)
            if lack := _lack(need, pairs):
                raise ConfigurationError(f"{metric.name} {lack}")
    return chosen


def _lack(need: Need, pairs: Mapping[str, Pair]) -> str | None:
    """What is missing for a need, as the end of a sentence; None where it is met."""
    references = [pair.reference for pair in pairs.values()]
    segments = [segment for side in references for segment in side.segments]
    if need == "meeteval":
        return None if find_spec("meeteval") else "needs meeteval"
    if need == "text":
        met = not segments or any(s.text is not None or s.words for s in segments)
        return None if met else "needs texts, and the reference has none"
    if need == "words":
        met = any(s.words for s in segments)
        return None if met else "needs word times, and the reference has none"
    if need == "events":
        sides = [*references, *(pair.hypothesis for pair in pairs.values())]
        met = any(s.events is not None for s in sides)
        return None if met else "needs sound events, and neither side has a list of them"
    for session, pair in pairs.items():
        if pair.reference.registered is None:
            return f"needs registered names, and session {session} has none (registered=…)"
    return None


def _with_registered(
    session: str, side: Side, registered: Mapping[str, Collection[str]] | Collection[str] | None
) -> Side:
    if registered is None:
        return side
    names = registered.get(session) if isinstance(registered, Mapping) else registered
    return side if names is None else replace(side, registered=frozenset(names))


def _sides(labels: Labels, strata: Sequence[str]) -> dict[str, Side]:
    if isinstance(labels, Mapping):
        return {
            session: side if isinstance(side, Side) else make_side(side)
            for session, side in labels.items()
        }
    sides: dict[str, Side] = {}
    for session in labels:
        if session.id in sides:
            raise ManifestError(f"session {session.id} is there twice", field="id")
        sides[session.id] = side_of_session(session, strata)
    return sides


def _describe(
    settings: ScoreSettings,
    metrics: Sequence[Metric],
    pairs: Mapping[str, Pair],
    bootstrap: int,
    seed: int,
) -> dict[str, JsonValue]:
    unlabelled = sum(
        s.text is None and not s.words for p in pairs.values() for s in p.reference.segments
    )
    return {
        "normalizer": settings.normalizer.id,
        "characters": "characters of the normalised words, spaces not counted",
        "speaker_free_order": "by start, then speaker",
        "tcp_collar": settings.tcp_collar,
        "der_collar": settings.der_collar,
        "der_convention": convention(settings.der_collar, settings.der_skip_overlap),
        "orc_search": settings.orc_search,
        "bootstrap": bootstrap,
        "confidence": 0.95,
        "seed": seed,
        "metrics": {metric.name: metric.summary for metric in metrics},
        "segments_without_text": unlabelled,
    }
