"""People who were counted but got no turn: they get the one they are most likely to have had."""

from __future__ import annotations

import numpy as np

from talkover.annotate.activity_spans import stretches_of
from talkover.annotate.diarization.people import People
from talkover.annotate.diarization.stitching import Grid, PersonTurn
from talkover.annotate.diarization.windows import Activities, Voices
from talkover.annotate.speaker_count import SpeakerCount


def with_the_unheard(
    turns: list[PersonTurn],
    voices: Voices,
    people: People,
    activities: Activities,
    grid: Grid,
    speakers: SpeakerCount,
) -> list[PersonTurn]:
    """The turns, and one for each person who is needed to reach the least number of speakers.

    A person can lose every vote of overlapping windows to others, though somebody who counted the
    speakers says that there is one more. That person's longest stretch of activity in the window
    with the most of it becomes a turn.
    """
    heard = {turn.person for turn in turns}
    missing = [person for person in range(people.count) if person not in heard]
    added: list[PersonTurn] = []
    for person in missing:
        if len(heard) + len(added) >= speakers.limits[0]:
            break
        turn = _likeliest(person, voices, people, activities, grid)
        if turn is not None:
            added.append(turn)
    return sorted([*turns, *added], key=lambda turn: (turn.start, turn.end, turn.person))


def _likeliest(
    person: int, voices: Voices, people: People, activities: Activities, grid: Grid
) -> PersonTurn | None:
    own = np.flatnonzero(people.of_voice == person)
    if not len(own):
        return None
    voice = own[np.argmax(voices.clean[own])]
    window = int(voices.windows[voice])
    activity = activities[window][:, int(voices.locals[voice])]
    level = min(0.5, float(activity.max()))
    stretches = stretches_of(activity >= level)
    first, last = max(stretches.tolist(), key=lambda stretch: stretch[1] - stretch[0])
    start = (grid.first_frame(window) + first) * grid.frame
    end = min((grid.first_frame(window) + last) * grid.frame, grid.num_samples)
    if start >= end:
        return None
    sureness = float(activity[first:last].mean())
    return PersonTurn(person=person, start=start, end=end, activity=sureness)
