"""Conversations joined one behind the other: longer ones, with more speakers, made of short ones.

Stage 3 of "Balancing ASR and diarization" (arXiv 2606.13095) trains on its two-speaker corpus
"concatenated to up to eight speakers". How is not published; here a group is filled with the
conversations that come next, as long as nobody in it would be heard twice.

Which conversations form a group is a pure function of their lengths and speakers and of a seed;
audio is joined when the group is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.manifests.schema import Supervision
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator
from talkover.manifests.timeline import Timeline, mix, timeline_of

LOOK_AHEAD = 50
"""Conversations among which one that fits a group is looked for."""


@dataclass(frozen=True, kw_only=True)
class Concatenation:
    """How conversations are joined."""

    max_speakers: int = 8
    """In what is joined; a group aims at a number from 2 to this, each as likely."""
    longest: float = 60.0
    """Seconds of what is joined."""
    pause: tuple[float, float] = (0.2, 1.0)
    """Least and most seconds of silence between two conversations."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.max_speakers < 2:
            raise ValueError(f"max_speakers must be 2 or more, got {self.max_speakers}")
        if not 0 <= self.pause[0] <= self.pause[1]:
            raise ValueError(f"pause must be 0 <= least <= most seconds, got {self.pause}")
        if not self.longest > 0:
            raise ValueError(f"longest must be above 0 s, got {self.longest}")


@dataclass(frozen=True, kw_only=True)
class Part:
    """What the planning knows of a conversation."""

    name: str
    """Of the session; windows of one session are never joined."""
    duration: float
    """Seconds."""
    speakers: Collection[str]
    sampling_rate: int


@dataclass(frozen=True, kw_only=True)
class Group:
    """Conversations in the order in which they are joined."""

    parts: tuple[int, ...]
    pauses: tuple[float, ...]
    """Seconds behind each but the last."""


def plan_groups(
    parts: Sequence[Part], order: Sequence[int], config: Concatenation, *, seed: int, epoch: int
) -> list[Group]:
    """Groups of conversations; each place of the order is in one group.

    Args:
        parts: All conversations.
        order: Indices of those of an epoch, shuffled.
        config: How they are joined.
        seed: Root seed.
        epoch: Number of the epoch.
    """
    rng = generator(seed, SESSION_OF_CORPUS, f"model/concatenate/{epoch}")
    waiting = list(order)
    groups: list[Group] = []
    while waiting:
        wanted = int(rng.integers(2, config.max_speakers + 1))
        groups.append(_next_group(parts, waiting, wanted, config, rng))
    return groups


def require_joined(groups: Sequence[Group], config: Concatenation) -> None:
    """Refuse data of which nothing can be joined.

    Raises:
        ConfigurationError: If every group of several is one conversation.
    """
    if len(groups) > 1 and all(len(group.parts) == 1 for group in groups):
        raise ConfigurationError(
            "data.concatenate: no two sessions can be joined: they share speakers, differ in "
            f"sampling rate, have more than {config.max_speakers} speakers, or are longer than "
            f"{config.longest:g} s together"
        )


def _next_group(
    parts: Sequence[Part],
    waiting: list[int],
    wanted: int,
    config: Concatenation,
    rng: np.random.Generator,
) -> Group:
    """The first that waits, and those behind it that fit; they wait no more."""
    chosen, pauses = [waiting.pop(0)], []
    first = parts[chosen[0]]
    names, speakers, seconds = {first.name}, set(first.speakers), first.duration
    pause = float(rng.uniform(*config.pause))
    at = 0
    while at < min(LOOK_AHEAD, len(waiting)) and len(speakers) < wanted:
        part = parts[waiting[at]]
        fits = (
            part.name not in names
            and part.sampling_rate == first.sampling_rate
            and speakers.isdisjoint(part.speakers)
            and len(speakers) + len(part.speakers) <= wanted
            and seconds + pause + part.duration <= config.longest
        )
        if not fits:
            at += 1
            continue
        chosen.append(waiting.pop(at))
        pauses.append(pause)
        names.add(part.name)
        speakers |= set(part.speakers)
        seconds += pause + part.duration
        pause = float(rng.uniform(*config.pause))
    return Group(parts=tuple(chosen), pauses=tuple(pauses))


def group_duration(parts: Sequence[Part], group: Group) -> float:
    """Seconds of what is joined."""
    return sum(parts[index].duration for index in group.parts) + sum(group.pauses)


def joined(items: Sequence[SessionAudio], pauses: Sequence[float]) -> SessionAudio:
    """One session of several, one behind the other, with silence between; the first channel.

    Ids get the number of their part ahead of them, and speakers are numbered anew in order of
    arrival; who they are stays.

    Args:
        items: Sessions of one rate without a speaker in common.
        pauses: Seconds behind each but the last.
    """
    if len(items) == 1:
        return items[0]
    rate = items[0].sampling_rate
    silences = [np.zeros((1, round(pause * rate)), np.float32) for pause in pauses]
    pieces, offsets, at = [], [], 0
    for place, item in enumerate(items):
        offsets.append(at)
        pieces.append(item.samples[:1])
        pieces += silences[place : place + 1]
        at = sum(piece.shape[1] for piece in pieces)
    timelines = [_own_ids(timeline_of(item.session), n) for n, item in enumerate(items, start=1)]
    timeline = _renumbered(mix(timelines, offsets))
    first = items[0].session
    audio = first.audio.model_copy(update={"num_samples": timeline.num_samples, "num_channels": 1})
    session = first.model_copy(
        update={
            "id": "+".join(item.session.id for item in items),
            "audio": audio,
            "supervisions": timeline.supervisions,
            "events": timeline.events,
            "uem": timeline.uem,
        }
    )
    samples = np.concatenate(pieces, axis=1).astype(np.float32, copy=False)
    return SessionAudio(session=session, samples=samples, sampling_rate=rate)


def _own_ids(timeline: Timeline, number: int) -> Timeline:
    """Ids that no other part has."""
    return replace(
        timeline,
        supervisions=tuple(
            row.model_copy(
                update={"id": f"{number}.{row.id}", "turn_id": f"{number}.{row.turn_id}"}
            )
            for row in timeline.supervisions
        ),
        events=tuple(
            event.model_copy(update={"id": f"{number}.{event.id}"}) for event in timeline.events
        ),
    )


def _renumbered(timeline: Timeline) -> Timeline:
    """Local labels S01, S02, … in order of arrival."""
    labels: dict[str, str] = {}
    for row in timeline.supervisions:
        labels.setdefault(row.speaker, f"S{len(labels) + 1:02d}")

    def labelled(row: Supervision) -> Supervision:
        return row.model_copy(update={"speaker_local": labels[row.speaker]})

    return replace(timeline, supervisions=tuple(map(labelled, timeline.supervisions)))
