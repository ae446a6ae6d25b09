"""Scoring files: any readable label format on either side, results written where asked.

A folder or a ``cuts.jsonl`` of the data contract brings all it knows: speech regions, word times,
UEM, length, registered names, events and the fields for strata. Other formats bring segments; the
times of the segments are the activity.
"""

from __future__ import annotations

import json as json_format
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from talkover.manifests.errors import ManifestError
from talkover.manifests.io import read_sessions
from talkover.manifests.labels import guess_format, read_labels, read_uem
from talkover.manifests.lines import read_lines
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import PAUSE_JOIN
from talkover.manifests.score import evaluate
from talkover.manifests.score.concatenated import Search
from talkover.manifests.score.normalize import Normalizer
from talkover.manifests.score.page import to_html
from talkover.manifests.score.report import to_json, to_markdown
from talkover.manifests.score.result import ScoreResult
from talkover.manifests.score.sessions import side_of_session
from talkover.manifests.score.sides import Side, make_side
from talkover.manifests.score.spans import join_spans
from talkover.manifests.segments import Segment

_WORD_FORMATS = ("ctm", "words")  # one segment a word, as `read_labels` gives them


def score_files(
    ref: Path,
    hyp: Path,
    *,
    metrics: str | Sequence[str] | None = None,
    tcp_collar: float = 5.0,
    der_collar: float = 0.0,
    der_skip_overlap: bool = False,
    normalizer: str | Normalizer = "default",
    orc_search: Search = "greedy",
    registered: Collection[str] | None = None,
    strata: Sequence[str] = (),
    bootstrap: int = evaluate.NUM_RESAMPLES,
    seed: int = 0,
    uem: Path | None = None,
    segments: Path | None = None,
    compare: Path | None = None,
    json: Path | None = None,
    markdown: Path | None = None,
    html: Path | None = None,
) -> ScoreResult:
    """Score one file against another and write what was asked for; see `evaluate.score`.

    Args:
        ref: The reference.
        hyp: The hypothesis.
        metrics: Names, ``all``, or the default ones that the data allow.
        tcp_collar: Seconds on each side of a hypothesis word.
        der_collar: Seconds on each side of a reference boundary that are not scored.
        der_skip_overlap: Leave overlapped speech out of the DER.
        normalizer: Name with options.
        orc_search: How ORC and DI-cp are searched.
        registered: Names registered for every session.
        strata: Fields to split by.
        bootstrap: Number of resampled corpora.
        seed: Root seed of the resampling.
        uem: What may be scored, instead of what the reference says.
        segments: Lhotse cuts of a segmentation, for the cut rates, instead of ``hyp``'s segments.
        compare: A second hypothesis.
        json: Where the result goes as JSON.
        markdown: Where it goes as Markdown.
        html: Where the page of aligned errors goes.

    Raises:
        ManifestError: If a file cannot be read or its sessions are not the reference's.
    """
    reference = read_side(ref, strata)
    if uem is not None:
        reference = _with_uem(reference, uem)

    def run(path: Path) -> ScoreResult:
        hypothesis = read_side(path)
        if segments is not None:
            hypothesis = _with_cuts(hypothesis, read_cut_times(segments))
        return evaluate.score(
            reference,
            hypothesis,
            metrics=metrics,
            tcp_collar=tcp_collar,
            der_collar=der_collar,
            der_skip_overlap=der_skip_overlap,
            normalizer=normalizer,
            orc_search=orc_search,
            registered=registered,
            strata=strata,
            bootstrap=bootstrap,
            seed=seed,
        )

    result = run(hyp)
    if compare is not None:
        result = evaluate.compare(result, run(compare))
    for path, render in ((json, to_json), (markdown, to_markdown), (html, to_html)):
        if path is not None:
            with atomic_path(path) as temporary:
                # A recogniser may write lone surrogates, which UTF-8 has no bytes for.
                temporary.write_bytes(render(result).encode("utf-8", "backslashreplace"))
    return result


def read_side(path: Path, strata: Sequence[str] = ()) -> dict[str, Side]:
    """One side per session of a file or a produced folder.

    Raises:
        ManifestError: If the file cannot be read.
    """
    if path.is_dir() or _is_contract(path):
        return {s.id: side_of_session(s, strata) for s in read_sessions(path)}
    labels = read_labels(path)
    if guess_format(path) in _WORD_FORMATS:
        labels = {session: join_words(segments) for session, segments in labels.items()}
    return {session: make_side(segments) for session, segments in labels.items()}


def join_words(words: Sequence[Segment]) -> list[Segment]:
    """Segments of one speaker's words over gaps under 0.2 s, from one segment a word.

    CTM and word lists have no segments; these are the speech regions of the data contract.
    """
    joined: list[Segment] = []
    last: dict[str, int] = {}
    for word in sorted(words, key=lambda w: (w.start, w.speaker, w.end, w.text or "")):
        index = last.get(word.speaker)
        if index is not None and word.start - joined[index].end < PAUSE_JOIN:
            first = joined[index]
            joined[index] = replace(
                first,
                end=max(first.end, word.end),
                text=f"{first.text or ''} {word.text or ''}".strip(),
                words=(first.words or ()) + (word.words or ()),
            )
        else:
            last[word.speaker] = len(joined)
            joined.append(word)
    return joined


def read_cut_times(path: Path) -> dict[str, list[float]]:
    """Where a segmentation cuts each recording, from Lhotse cuts, one per segment.

    Returns:
        Starts and ends in seconds, sorted, per recording.

    Raises:
        ManifestError: If a line is not a cut of one recording.
    """
    times: dict[str, set[float]] = {}
    for line in read_lines(path):
        if not line.text.strip():
            continue
        try:
            cut = json_format.loads(line.text)
            start, duration = float(cut["start"]), float(cut["duration"])
            recording = str(cut["recording"]["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(
                f"not a Lhotse cut of one recording ({error!r})", path=path, line=line.number
            ) from error
        times.setdefault(recording, set()).update((start, start + duration))
    return {recording: sorted(found) for recording, found in times.items()}


def _with_cuts(sides: dict[str, Side], cuts: dict[str, list[float]]) -> dict[str, Side]:
    nothing = make_side([], failed=True)
    return {
        session: replace(sides.get(session, nothing), cuts=cuts.get(session, []))
        for session in {**sides, **cuts}
    }


def _with_uem(sides: dict[str, Side], path: Path) -> dict[str, Side]:
    spans = read_uem(path)
    if lacking := sorted(set(sides) - set(spans)):
        raise ManifestError(f"the UEM has no line for session {lacking[0]}", path=path)
    return {
        session: replace(side, uem=join_spans(spans[session])) for session, side in sides.items()
    }


def _is_contract(path: Path) -> bool:
    if guess_format(path) != "lhotse":
        return False
    try:
        custom = json_format.loads(next(read_lines(path)).text).get("custom")
    except (StopIteration, ValueError, AttributeError):
        return False
    return isinstance(custom, dict) and "audio" in (custom.get("talkover") or ())
