"""Turns as a model wrote them, placed on a clock: every turn gets a start, an end and a speaker.

A text may leave times out, name times beyond the audio, or let a speaker talk over itself. Nothing
is dropped for that; the rules, in order:

* without any time, the audio is shared out by number of characters;
* a missing start is the end of the turn before, a missing end the start of the next turn (or the
  end of the audio);
* times are brought into the audio, and a turn is at least `LEAST` long;
* where turns of one speaker overlap, the earlier one ends where the later begins; those that begin
  together become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from talkover.manifests.score.sides import proportional_times
from talkover.manifests.serialize import Turn
from talkover.manifests.serialize.transcript import speaker_label
from talkover.model.inference.spoken import Spoken, shared_out

LEAST = 0.05
"""Seconds of a turn at least, two analysis windows of 25 ms."""


def place_turns(turns: Sequence[Turn], duration: float) -> list[Spoken]:
    """Turns on the clock of their audio, by start.

    Args:
        turns: As they were written.
        duration: Of the audio, in seconds.

    >>> [placed] = place_turns([Turn(speaker="S01", text="a b", start=0.5)], 2.0)
    >>> placed.speaker, placed.start, placed.end, placed.text
    ('S01', 0.5, 2.0, 'a b')
    """
    if turns and all(turn.start is None and turn.end is None for turn in turns):
        spans = proportional_times([turn.text or "-" for turn in turns], 0.0, duration)
    else:
        spans = _filled(turns, duration)
    spoken = [
        Spoken(
            speaker=turn.speaker or speaker_label(1),
            start=start,
            end=end,
            text=" ".join(turn.text.split()),
        )
        for turn, (start, end) in zip(turns, spans, strict=True)
    ]
    return apart(clamped(spoken, duration))


def _filled(turns: Sequence[Turn], duration: float) -> list[tuple[float, float]]:
    spans: list[tuple[float, float]] = []
    last = 0.0
    for place, turn in enumerate(turns):
        start = last if turn.start is None else turn.start
        later = (t.start for t in turns[place + 1 :] if t.start is not None and t.start > start)
        end = next(later, duration) if turn.end is None else turn.end
        last = max(start, end)
        spans.append((start, last))
    return spans


def clamped(spoken: Sequence[Spoken], duration: float) -> list[Spoken]:
    """Turns inside ``[0, duration]``, none shorter than `LEAST` where the audio is not."""
    found = []
    for s in spoken:
        end = min(max(s.end, s.start + LEAST), duration)
        start = max(0.0, min(s.start, end - LEAST))
        found.append(s.within(start, end))
    return found


def _joined(first: Spoken, second: Spoken) -> Spoken:
    """Two turns that begin together as one."""
    text = " ".join(part for part in (first.text, second.text) if part)
    start, end = first.start, max(first.end, second.end)
    has_words = first.words is not None and second.words is not None
    words = shared_out(text, start, end) if has_words else None
    return replace(second, start=start, end=end, text=text, words=words)


def apart(spoken: Sequence[Spoken]) -> list[Spoken]:
    """Turns by start, of which no two of one speaker overlap."""
    speakers: dict[str, list[Spoken]] = {}
    for s in sorted(spoken, key=lambda s: s.start):
        rows = speakers.setdefault(s.speaker, [])
        if rows and s.start < rows[-1].end:
            last = rows.pop()
            if s.start - last.start >= LEAST:
                rows.append(last.within(last.start, s.start))
            else:
                s = _joined(last, s)
        rows.append(s)
    found = [s for rows in speakers.values() for s in rows]
    return sorted(found, key=lambda s: (s.start, s.end, s.speaker))
