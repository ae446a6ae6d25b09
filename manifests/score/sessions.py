"""A session of the data contract, as one side of a score.

Text comes from the supervisions, activity from their speech regions, registered names from the
registration clips (distractors included), and the scored stretches from the session's UEM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from talkover.manifests.schema import Session
from talkover.manifests.score.sides import Side, TimedWord, make_side
from talkover.manifests.score.strata import session_fields, speaker_fields


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch in which a speaker is heard, in seconds."""

    speaker: str
    start: float
    end: float
    text: str | None = None
    words: Sequence[TimedWord] | None = None


def side_of_session(session: Session, strata: Sequence[str] = ()) -> Side:
    """What a session says, with the fields that the strata ask for."""
    regions = [
        Region(supervision.speaker, region.start, region.end)
        for supervision in session.supervisions
        for region in supervision.regions
    ]
    names = frozenset(clip.speaker for clip in session.registration)
    return make_side(
        session.supervisions,
        regions=regions,
        duration=session.audio.duration,
        uem=[(span.start, span.end) for span in session.uem],
        registered=names or None,
        events=session.events,
        fields=session_fields(session, strata),
        speaker_fields=speaker_fields(session, strata),
    )
