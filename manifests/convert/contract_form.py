"""Labels of others made to fit the data contract: on samples, in range, split at pauses.

Each function takes out or changes one thing that the contract refuses (docs/contract.md, rules) and
leaves a conversation alone that came as a session of ours. They stand in the loss table like those
of any other format. The recording's rate and length must be known; without them nothing is done.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace

from talkover.manifests.convert.conversation import (
    Conversation,
    Span,
    SpokenWord,
    Utterance,
    make_conversation,
)
from talkover.manifests.convert.safe_names import safe_name
from talkover.manifests.regions import Spans, as_spans, gap_samples, join_regions, join_spans
from talkover.manifests.schema import TIME_DIGITS
from talkover.manifests.serialize.from_session import join_texts

EDGE = 0.02
"""Seconds by which labels may outlast their recording: times written with two decimals do."""

Fit = Callable[[Conversation, int, int], Conversation]
"""Conversation, rate and number of samples of its recording."""


def fitting(fit: Fit) -> Callable[[Conversation], Conversation]:
    """A change that is made to labels of others once their recording is known."""

    def take(c: Conversation) -> Conversation:
        recording = c.recording
        if c.session is not None or recording is None:
            return c
        if recording.sampling_rate is None or recording.num_samples is None:
            return c
        return fit(c, recording.sampling_rate, recording.num_samples)

    return take


def with_safe_names(c: Conversation, rate: int, total: int) -> Conversation:
    """Names of sessions and speakers that can be names of files."""
    rows = [replace(u, speaker=safe_name(u.speaker or "unknown")) for u in c.utterances]
    return replace(c, id=safe_name(c.id), utterances=tuple(rows))


def on_samples(c: Conversation, rate: int, total: int) -> Conversation:
    """Times moved to the nearest sample."""

    def at(time: float) -> float:
        return round(round(time * rate) / rate, TIME_DIGITS)

    def moved(u: Utterance) -> Utterance:
        words = tuple(replace(w, start=at(w.start), end=at(w.end)) for w in u.words or ())
        regions = tuple((at(a), at(b)) for a, b in u.regions or ())
        return replace(
            u, start=at(u.start), end=at(u.end), words=words or None, regions=regions or None
        )

    uem = None if c.uem is None else tuple((at(a), at(b)) for a, b in c.uem)
    return replace(c, utterances=tuple(map(moved, c.utterances)), uem=uem)


def within_edges(c: Conversation, rate: int, total: int) -> Conversation:
    """What ends just after the recording ends with it; so do words."""
    end = round(total / rate, TIME_DIGITS)

    def near(time: float) -> float:
        return end if end < time <= end + EDGE else time

    rows = []
    for u in c.utterances:
        words = tuple(replace(w, start=near(w.start), end=near(w.end)) for w in u.words or ())
        regions = tuple((near(a), near(b)) for a, b in u.regions or ())
        rows.append(replace(u, end=near(u.end), words=words or None, regions=regions or None))
    uem = None if c.uem is None else tuple((near(a), near(b)) for a, b in c.uem)
    return replace(c, utterances=tuple(rows), uem=uem)


def inside(c: Conversation, rate: int, total: int) -> Conversation:
    """What lies in the recording: turns and stretches are cut at its ends."""
    end = round(total / rate, TIME_DIGITS)

    def cut(span: Span) -> Span:
        return min(max(span[0], 0.0), end), min(max(span[1], 0.0), end)

    rows = []
    for u in c.utterances:
        start, stop = cut((u.start, u.end))
        if (start, stop) != (u.start, u.end) and stop <= start:
            continue
        regions = tuple(cut(region) for region in u.regions or ())
        words = tuple(w for w in u.words or () if 0.0 <= w.start and w.end <= end)
        changed = replace(u, start=start, end=stop, regions=regions or None)
        rows.append(changed if len(words) == len(u.words or ()) else replace(changed, words=None))
    uem: list[Span] = []
    for first, last in sorted(map(cut, c.uem or ())):
        if uem and first <= uem[-1][1]:
            uem[-1] = (uem[-1][0], max(uem[-1][1], last))
        elif last > first:
            uem.append((first, last))
    return replace(c, utterances=tuple(rows), uem=None if c.uem is None else tuple(uem))


def with_length(c: Conversation, rate: int, total: int) -> Conversation:
    """Turns of a sample and more."""
    return replace(c, utterances=tuple(u for u in c.utterances if u.end > u.start))


def with_sound_words(c: Conversation, rate: int, total: int) -> Conversation:
    """Word times only where they lie in their turn, go forward and say its text."""
    rows = [u if _sound(u) else replace(u, words=None) for u in c.utterances]
    return replace(c, utterances=tuple(rows))


def split_at_pauses(c: Conversation, rate: int, total: int) -> Conversation:
    """Turns whose words are known, one part a run of words; the parts have one `turn`."""
    gap = gap_samples(rate)
    rows: list[Utterance] = []
    for n, u in enumerate(make_conversation(c.id, c.utterances).utterances):
        runs = _runs(u.words or (), rate, gap)
        if len(runs) < 2:
            rows.append(u)
            continue
        texts = _texts(u.text, runs)
        edges = [(run[0].start, max(w.end for w in run)) for run in runs]
        edges[0] = (u.start, edges[0][1])
        edges[-1] = (edges[-1][0], u.end)
        for k, (run, text, (start, end)) in enumerate(zip(runs, texts, edges, strict=True)):
            name = f"{u.id}-{k}" if u.id else None
            part = replace(u, id=name, start=start, end=end, text=text, words=tuple(run))
            if end > start:
                rows.append(replace(part, regions=None, turn=f"{c.id}-t{n:05d}"))
    return replace(c, utterances=tuple(rows))


def without_self_overlap(c: Conversation, rate: int, total: int) -> Conversation:
    """Speech of a speaker only where the same speaker does not speak already."""
    taken: dict[str, Spans] = {}
    rows = []
    for u in make_conversation(c.id, c.utterances).utterances:
        spans = as_spans([(round(a * rate), round(b * rate)) for a, b in u.speech])
        low, high = round(u.start * rate), round(u.end * rate)
        spans = join_regions(spans.clip(low, high), rate)
        before = taken.get(u.speaker, as_spans([]))
        free = _apart(_minus(spans, before), gap_samples(rate))
        if len(free) == 0:
            continue
        taken[u.speaker] = join_spans([*before.tolist(), *free.tolist()])
        regions = tuple(
            (round(a / rate, TIME_DIGITS), round(b / rate, TIME_DIGITS)) for a, b in free.tolist()
        )
        rows.append(replace(u, regions=regions))
    return replace(c, utterances=tuple(rows))


def _sound(u: Utterance) -> bool:
    words = u.words or ()
    starts, ends = [w.start for w in words], [w.end for w in words]
    if starts != sorted(starts) or ends != sorted(ends):
        return False
    if any(w.start < u.start or w.end > u.end or w.end < w.start or not w.symbol for w in words):
        return False
    said = "".join(w.symbol for w in words)
    return u.text is None or not words or letters(u.text) == letters(said)


def letters(text: str) -> str:
    """What is left of a text without spaces, punctuation, case and width."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


def _runs(words: Sequence[SpokenWord], rate: int, gap: int) -> list[list[SpokenWord]]:
    runs: list[list[SpokenWord]] = []
    for word in words:
        if not runs or round(word.start * rate) - round(runs[-1][-1].end * rate) >= gap:
            runs.append([])
        runs[-1].append(word)
    return runs


def _texts(text: str | None, runs: list[list[SpokenWord]]) -> list[str | None]:
    """The text of each run: its share of the tokens, or its words where these do not match."""
    if text is None:
        return [None] * len(runs)
    tokens = text.split()
    if len(tokens) != sum(map(len, runs)):
        return [join_texts(w.symbol for w in run) for run in runs]
    texts: list[str | None] = []
    for run in runs:
        texts.append(" ".join(tokens[: len(run)]))
        tokens = tokens[len(run) :]
    parts = [letters(t or "") for t in texts]
    said = [letters("".join(w.symbol for w in run)) for run in runs]
    return texts if parts == said else [join_texts(w.symbol for w in run) for run in runs]


def _minus(spans: Spans, taken: Spans) -> Spans:
    """What of disjoint sorted spans is not in others of that kind."""
    free: list[tuple[int, int]] = []
    others = taken.tolist()
    for start, end in spans.tolist():
        for first, last in others:
            if last <= start or first >= end:
                continue
            if first > start:
                free.append((start, first))
            start = max(start, last)
        if end > start:
            free.append((start, end))
    return as_spans(free)


def _apart(spans: Spans, gap: int) -> Spans:
    """Of spans closer than ``gap`` samples the longer one: a region ends before a real pause."""
    kept: list[list[int]] = []
    for span in spans.tolist():
        if kept and span[0] - kept[-1][1] < gap:
            kept[-1] = max(kept[-1], span, key=lambda s: s[1] - s[0])
        else:
            kept.append(span)
    return as_spans(kept)
