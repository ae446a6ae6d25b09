"""How right an answer to an instruction is: stamps, statements, times, numbers, names.

Every figure is a sum over a length, so that rows add up. An answer that is absent, or of which
nothing can be read, is wrong in full: it is never left out.

aas          accumulated average shift: mean |difference| in seconds over the starts and ends of
             matched stamps. It sees matches only, so it comes with `unmatched_stamps`.
grounding    1 - intersection over union of what is stated, one to one by label; a statement that
             is missing or too many counts as 0 in common.
answer       questions answered wrongly: numbers and names exactly, times within the row's
             tolerance, spans from an IoU of 0.5 on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from talkover.manifests.instructions.answers import (
    CaptionAnswer,
    LabelsAnswer,
    NumberAnswer,
    SpanAnswer,
    Stamp,
    StampsAnswer,
    Statement,
    TimeAnswer,
)
from talkover.manifests.instructions.rows import InstructionRow
from talkover.manifests.instructions.stamps import read_stamps
from talkover.manifests.instructions.statements import (
    mentioned,
    read_count,
    read_numbers,
    read_speakers,
    read_statements,
)
from talkover.manifests.score.edit import align, count_edits, edit_distance
from talkover.manifests.score.normalize import Normalizer
from talkover.manifests.score.tally import Tally, edit_tally

ANSWER_METRICS: Mapping[str, str] = {
    "aas": "mean shift of starts and ends of matched stamps, seconds",
    "unmatched_stamps": "stamps of the reference without a match",
    "stamped_wer": "words wrong in stamped transcriptions",
    "grounding": "1 - IoU of stated stretches of time, one to one by label",
    "speaker_count": "captions with a wrong number of speakers",
    "answer": "questions answered wrongly",
    "time_shift": "mean shift of answered times, seconds",
    "unreadable": "answers of which nothing can be read",
}
"""Every metric with what is counted over what."""

SAME_TEXT = 0.5
"""Share of words that two stamps must have in common to be of the same thing."""

SAME_SPAN = 0.5
"""Intersection over union from which a stretch of time is right (the usual bar of grounding)."""

NOBODY = "nobody"


def score_answer(row: InstructionRow, text: str | None, normalizer: Normalizer) -> dict[str, Tally]:
    """What is right and wrong in the answer to a row.

    Args:
        row: What was asked.
        text: What was answered; None for no answer.
        normalizer: Of the words of stamps.
    """
    return _SCORERS[row.answer.kind](row.answer, text or "", normalizer)


def match_stamps(
    reference: Sequence[Stamp], hypothesis: Sequence[Stamp], normalizer: Normalizer
) -> list[tuple[int, int]]:
    """(index in the reference, index in the hypothesis) of stamps that say the same.

    In order of both, so that the texts have the most in common; what has less than `SAME_TEXT` in
    common is not matched.
    """
    ours = [normalizer.words(stamp.text) for stamp in reference]
    theirs = [normalizer.words(stamp.text) for stamp in hypothesis]
    common = np.array([[_common(a, b) for b in theirs] for a in ours]).reshape(
        len(ours), len(theirs)
    )
    best = np.zeros((len(ours) + 1, len(theirs) + 1))
    for i in range(len(ours)):
        for j in range(len(theirs)):
            pair = best[i, j] + common[i, j]
            best[i + 1, j + 1] = max(best[i, j + 1], best[i + 1, j], pair)
    found = []
    i, j = len(ours), len(theirs)
    while i and j:
        if best[i, j] == best[i - 1, j]:
            i -= 1
        elif best[i, j] == best[i, j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            found.append((i, j))
    return found[::-1]


def _common(a: Sequence[str], b: Sequence[str]) -> float:
    """Share of words in common; 0 below `SAME_TEXT`."""
    longest = max(len(a), len(b))
    share = 1 - edit_distance(a, b) / longest if longest else 1.0
    return share if share >= SAME_TEXT else 0.0


def iou(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Intersection over union of two stretches of time.

    >>> iou((0.0, 2.0), (1.0, 3.0)) == 1 / 3
    True
    """
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - shared
    return shared / union if union > 0 else float(a == b)


def grounding(reference: Sequence[Statement], hypothesis: Sequence[Statement]) -> Tally:
    """Statements matched one to one by label, so that they have the most in common."""
    table = np.array(
        [
            [iou((a.start, a.end), (b.start, b.end)) * (a.label == b.label) for b in hypothesis]
            for a in reference
        ]
    ).reshape(len(reference), len(hypothesis))
    rows, columns = linear_sum_assignment(table, maximize=True)
    common = float(table[rows, columns].sum())
    length = max(len(reference), len(hypothesis))
    return Tally(
        errors=length - common,
        length=length,
        parts={"reference": len(reference), "hypothesis": len(hypothesis)},
    )


def _stamps(answer: StampsAnswer, text: str, normalizer: Normalizer) -> dict[str, Tally]:
    found = read_stamps(text)
    pairs = match_stamps(answer.items, found, normalizer)
    onsets = [abs(answer.items[i].start - found[j].start) for i, j in pairs]
    offsets = [abs(answer.items[i].end - found[j].end) for i, j in pairs]
    ours = [word for stamp in answer.items for word in normalizer.words(stamp.text)]
    theirs = [word for stamp in found for word in normalizer.words(stamp.text)]
    return {
        "aas": Tally(
            errors=sum(onsets) + sum(offsets),
            length=2 * len(pairs),
            parts={"matched": len(pairs), "reference": len(answer.items), "stamps": len(found)},
            samples={"onset": onsets, "offset": offsets},
        ),
        "unmatched_stamps": Tally(errors=len(answer.items) - len(pairs), length=len(answer.items)),
        "stamped_wer": edit_tally(count_edits(ours, theirs, align(ours, theirs))),
        "unreadable": _unreadable(not found and bool(answer.items)),
    }


def _caption(answer: CaptionAnswer, text: str, _: Normalizer) -> dict[str, Tally]:
    labels = {statement.label for statement in answer.statements}
    found = read_statements(text, labels)
    speakers = read_speakers(text)
    return {
        "grounding": grounding(answer.statements, found),
        "speaker_count": _wrong(speakers != answer.num_speakers),
        "unreadable": _unreadable(speakers is None and not found),
    }


def _span(answer: SpanAnswer, text: str, _: Normalizer) -> dict[str, Tally]:
    times = read_numbers(text)[:2]
    is_read = len(times) == 2 and times[0] <= times[1]
    common = iou((answer.start, answer.end), (times[0], times[1])) if is_read else 0.0
    return {
        "grounding": Tally(errors=1 - common, length=1, parts={"reference": 1}),
        "answer": _wrong(common < SAME_SPAN),
        "unreadable": _unreadable(not is_read),
    }


def _time(answer: TimeAnswer, text: str, _: Normalizer) -> dict[str, Tally]:
    times = read_numbers(text)
    shifts = [abs(times[0] - answer.seconds)] if times else []
    is_right = bool(shifts) and shifts[0] <= answer.tolerance + 1e-9
    return {
        "answer": _wrong(not is_right),
        "time_shift": Tally(errors=sum(shifts), length=len(shifts), samples={"shift": shifts}),
        "unreadable": _unreadable(not times),
    }


def _number(answer: NumberAnswer, text: str, _: Normalizer) -> dict[str, Tally]:
    value = read_count(text)
    return {"answer": _wrong(value != answer.value), "unreadable": _unreadable(value is None)}


def _labels(answer: LabelsAnswer, text: str, _: Normalizer) -> dict[str, Tally]:
    named = mentioned(text, {*answer.choices, *answer.labels})
    says_nobody = not named and bool(mentioned(text, {NOBODY, "no one", "none", "silence"}))
    is_read = bool(named) or says_nobody
    return {
        "answer": _wrong(not is_read or named != frozenset(answer.labels)),
        "unreadable": _unreadable(not is_read),
    }


def _wrong(is_wrong: bool) -> Tally:
    return Tally(errors=int(is_wrong), length=1)


def _unreadable(is_unreadable: bool) -> Tally:
    return Tally(errors=int(is_unreadable), length=1)


_SCORERS: dict[str, Callable[..., dict[str, Tally]]] = {
    "stamps": _stamps,
    "caption": _caption,
    "span": _span,
    "time": _time,
    "number": _number,
    "labels": _labels,
}
