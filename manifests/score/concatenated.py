"""Speaker-attributed error rates: each speaker's texts joined, speakers paired in some way.

cp     the pairing of reference and hypothesis speakers with the fewest errors (Watanabe et al.
       2020), a speaker without partner against nothing
sa     each name against the same name, no permutation (SpeakerLM, arXiv 2508.06372)
tm     speakers paired once, by the longest common time of activity
ORC    each reference segment may go to any hypothesis stream (Sklyar et al. 2022): speaker
       confusion between segments costs nothing
DI-cp  each hypothesis segment may go to any reference speaker (von Neumann et al. 2024): what
       cpWER has more than this is attribution alone

ORC and DI-cp are NP-hard in the number of streams: the greedy search of meeteval starts from the
pairing of cp, so it is never worse than cp; the exact one only runs where its table is small.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy.optimize import linear_sum_assignment

from talkover.manifests.errors import ConfigurationError, MissingExtraError
from talkover.manifests.score.diarization import pair_by_overlap
from talkover.manifests.score.edit import EditCounts, Pattern, edit_distance
from talkover.manifests.score.normalize import Unit
from talkover.manifests.score.sides import Pair, TokenSegment, joined
from talkover.manifests.score.tally import Tally, edit_tally
from talkover.manifests.score.words import edits

Search = Literal["greedy", "exact"]
Pairing = list[tuple[str | None, str | None]]
"""Reference speaker and hypothesis speaker; None for a side without partner."""
Stream = TypeVar("Stream")

MAX_EXACT_CELLS = 20_000_000
"""Cells of the exact ORC table that are allowed: about a gigabyte in meeteval 0.4.3."""


def cp_error_rate(pair: Pair, unit: Unit) -> Tally:
    """CpWER (or cpCER) of the session."""
    reference = _joined_streams(pair, "reference", unit)
    hypothesis = _joined_streams(pair, "hypothesis", unit)
    return pairing_tally(best_text_pairing(reference, hypothesis), reference, hypothesis)


def sa_error_rate(pair: Pair, unit: Unit) -> Tally:
    """SaWER (or saCER): every name against itself; an unlisted name is all insertions."""
    reference = _joined_streams(pair, "reference", unit)
    hypothesis = _joined_streams(pair, "hypothesis", unit)
    pairing: Pairing = [(name, name if name in hypothesis else None) for name in reference]
    pairing += [(None, name) for name in hypothesis if name not in reference]
    return pairing_tally(pairing, reference, hypothesis)


def tm_error_rate(pair: Pair, unit: Unit) -> Tally:
    """TmWER (or tmCER): speakers paired by their common time of activity, then fixed."""
    reference = _joined_streams(pair, "reference", unit)
    hypothesis = _joined_streams(pair, "hypothesis", unit)
    mapping = pair_by_overlap(pair.reference.activity, pair.hypothesis.activity, pair.scored)
    pairing: Pairing = [(name, mapping.get(name)) for name in reference]
    taken = {name for _, name in pairing}
    pairing += [(None, name) for name in hypothesis if name not in taken]
    return pairing_tally(pairing, reference, hypothesis)


def orc_error_rate(pair: Pair, unit: Unit, search: Search) -> Tally:
    """ORC-WER (or ORC-CER): reference segments to hypothesis streams."""
    segments = pair.tokens("reference", unit)
    return edit_tally(_combine(segments, _joined_streams(pair, "hypothesis", unit), search))


def dicp_error_rate(pair: Pair, unit: Unit, search: Search) -> Tally:
    """DI-cpWER (or DI-cpCER): hypothesis segments to reference speakers."""
    reference = _joined_streams(pair, "reference", unit)
    segments = pair.tokens("hypothesis", unit)
    swapped = _combine(segments, reference, search)
    length = sum(map(len, reference.values()))
    return edit_tally(
        EditCounts(swapped.substitutions, swapped.insertions, swapped.deletions, length)
    )


def best_pairing(
    reference: Mapping[str, Stream], hypothesis: Mapping[str, Stream], costs: NDArray[np.int64]
) -> Pairing:
    """The pairing of least cost.

    Args:
        reference: Streams per speaker.
        hypothesis: Streams per speaker.
        costs: Shape ``[K, K]`` with ``K`` the larger number of speakers; rows and columns beyond
            a side's speakers stand for nobody.
    """
    rows, columns = linear_sum_assignment(costs)
    names, others = list(reference), list(hypothesis)
    pairing: Pairing = []
    for row, column in zip(rows, columns, strict=True):
        name = names[row] if row < len(names) else None
        other = others[column] if column < len(others) else None
        pairing.append((name, other))
    return pairing


def cost_matrix(
    reference: Sequence[Stream],
    hypothesis: Sequence[Stream],
    size: Callable[[Stream], int],
    distances: Callable[[Stream], Callable[[Stream], int]],
) -> NDArray[np.int64]:
    """Distances of all pairs of streams, padded with the cost of having no partner."""
    count = max(len(reference), len(hypothesis))
    costs = np.zeros((count, count), dtype=np.int64)
    for column, stream in enumerate(hypothesis):
        costs[:, column] = size(stream)
    for row, stream in enumerate(reference):
        costs[row] = size(stream)
        distance = distances(stream)
        for column, other in enumerate(hypothesis):
            costs[row, column] = distance(other)
    return costs


def best_text_pairing(
    reference: Mapping[str, Sequence[str]], hypothesis: Mapping[str, Sequence[str]]
) -> Pairing:
    """The pairing of speakers with the fewest edits."""

    def distances(stream: Sequence[str]) -> Callable[[Sequence[str]], int]:
        pattern = Pattern(stream)
        return lambda other: edit_distance(pattern, other)

    costs = cost_matrix(list(reference.values()), list(hypothesis.values()), len, distances)
    return best_pairing(reference, hypothesis, costs)


def pairing_tally(
    pairing: Pairing, reference: Mapping[str, list[str]], hypothesis: Mapping[str, list[str]]
) -> Tally:
    """Errors of paired speakers, each pair aligned."""
    counts = [
        edits(
            reference.get(name or "", []) if name is not None else [],
            hypothesis.get(other, []) if other is not None else [],
        )
        for name, other in pairing
    ]
    return tally_of_pairs(pairing, counts)


def tally_of_pairs(
    pairing: Pairing, counts: Sequence[EditCounts], parts: Mapping[str, float] | None = None
) -> Tally:
    """One tally from the counts of each pair, with the assignment and each speaker's share."""
    assignment: list[JsonValue] = [[name, other] for name, other in pairing]
    speakers = {
        name: (float(count.errors), float(count.length))
        for (name, _), count in zip(pairing, counts, strict=True)
        if name is not None
    }
    return edit_tally(
        sum(counts, EditCounts()),
        speakers=speakers,
        parts={
            "missed_speakers": sum(other is None for _, other in pairing),
            "extra_speakers": sum(name is None for name, _ in pairing),
            **(parts or {}),
        },
        detail={"assignment": assignment},
    )


def _joined_streams(
    pair: Pair, which: Literal["reference", "hypothesis"], unit: Unit
) -> dict[str, list[str]]:
    return {name: joined(segments) for name, segments in pair.streams(which, unit).items()}


def _combine(
    segments: Sequence[TokenSegment], streams: Mapping[str, list[str]], search: Search
) -> EditCounts:
    """Edits when every segment goes to the stream where it costs least."""
    if not segments or not streams:
        length, extra = len(joined(segments)), sum(map(len, streams.values()))
        return EditCounts(0, length, extra, length)
    numbers: dict[str, int] = {}
    coded = [[numbers.setdefault(t, len(numbers)) for t in s.tokens] for s in segments]
    targets = [[numbers.setdefault(t, len(numbers)) for t in s] for s in streams.values()]
    if search == "exact":
        assignment = _exact(coded, targets)
    else:
        assignment = _greedy(coded, targets, _first_assignment(segments, streams))
    total = EditCounts()
    for index, stream in enumerate(streams.values()):
        chosen = [s for s, a in zip(segments, assignment, strict=True) if a == index]
        total += edits(joined(chosen), stream)
    return total


def _first_assignment(
    segments: Sequence[TokenSegment], streams: Mapping[str, list[str]]
) -> list[int]:
    """Each segment to the partner that its speaker has under cp, or to the nearest stream."""
    speakers: dict[str, list[str]] = {}
    for segment in segments:
        speakers.setdefault(segment.speaker, []).extend(segment.tokens)
    names = list(streams)
    partner = {a: b for a, b in best_text_pairing(speakers, streams) if a is not None}
    number: dict[str, int] = {}
    for speaker, tokens in speakers.items():
        name = partner[speaker]
        if name is None:
            pattern = Pattern(tokens)
            name = min(names, key=lambda n: edit_distance(pattern, streams[n]) - len(streams[n]))
        number[speaker] = names.index(name)
    return [number[segment.speaker] for segment in segments]


def _greedy(coded: list[list[int]], targets: list[list[int]], first: list[int]) -> list[int]:
    try:
        from meeteval.wer.matching import (
            greedy_combination_matching as search,
        )
    except ImportError as error:
        raise MissingExtraError("meeteval", "score", "ORC-WER and DI-cpWER") from error
    before = _total_distance(coded, targets, first)
    _, assignment = search.greedy_combination_matching(coded, targets, list(first))
    found = [int(a) for a in assignment]
    return found if _total_distance(coded, targets, found) <= before else first


def _total_distance(
    coded: list[list[int]], targets: list[list[int]], assignment: Sequence[int]
) -> int:
    total = 0
    for index, target in enumerate(targets):
        chosen = [t for s, a in zip(coded, assignment, strict=True) if a == index for t in s]
        total += edit_distance(chosen, target)
    return total


def _exact(coded: list[list[int]], targets: list[list[int]]) -> list[int]:
    try:
        from meeteval.wer.matching import mimo_matching as search
    except ImportError as error:
        raise MissingExtraError("meeteval", "score", "ORC-WER and DI-cpWER") from error
    cells = float(len(coded) + 1)
    for target in targets:
        cells *= len(target) + 1
    if cells > MAX_EXACT_CELLS:
        raise ConfigurationError(
            f"the exact search over {len(targets)} streams and {len(coded)} segments needs a "
            f"table of {cells:.1e} cells, at most {MAX_EXACT_CELLS:.1e} are allowed: use the "
            'greedy search (orc_search="greedy")'
        )
    _, assignment = search.mimo_matching([coded], targets)
    return [int(stream) for _, stream in assignment]
