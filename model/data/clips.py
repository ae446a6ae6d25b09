"""Which clips may register whom: the clips of manifests, by speaker, never the session's own audio.

A speaker's clips in one session are a *group*; they are averaged. A session's speakers are
registered by the group that the session itself lists, or else by the first group of the same
speaker in another session that shares no utterance with this one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from talkover.manifests.schema import RegistrationClip, Session


@dataclass(frozen=True, slots=True)
class Clip:
    """Speech of one speaker."""

    path: Path
    utterances: frozenset[str]


Group = tuple[Clip, ...]

JOIN = "+"
"""Between the ids of sessions that were joined to one (`talkover.model.data.concatenate`)."""


def utterances_of(session: Session) -> frozenset[str]:
    """Source utterances that are heard in a session, in part or whole."""
    rows = session.supervisions
    return frozenset(row.source.utterance_id for row in rows if row.source is not None)


def leak_of(session: Session) -> str | None:
    """Why a session's clips may not register its speakers, or None.

    A clip leaks if it is the session's own audio or a stem of it, or if it shares an utterance with
    the session, whichever stretches of the utterance the two use.
    """
    said = utterances_of(session)
    stems = () if session.mix is None else session.mix.stems
    paths = {session.audio.path, *(stem.path for stem in stems)}
    hashes = {session.audio.sha256, *(stem.sha256 for stem in stems)} - {None}
    for clip in session.registration:
        if clip.path in paths or clip.sha256 in hashes:
            return f"registration clip {clip.path} is audio of the session itself"
        if shared := said.intersection(clip.utterance_ids):
            return (
                f"registration clip {clip.path} holds utterance {min(shared)} of the session itself"
            )
    return None


@dataclass(frozen=True, kw_only=True)
class ClipTable:
    """All clips that may be used; see `clip_table`."""

    groups: Mapping[str, tuple[Group, ...]]
    """By speaker (corpus-wide id), in the order of the manifests, each group once."""
    own: Mapping[str, Mapping[str, Group]] = field(default_factory=dict)
    """By session, then by speaker."""
    leaks: Mapping[str, str] = field(default_factory=dict)
    """Sessions that are refused, with the reason."""

    def group(self, session: str, speaker: str, utterances: Collection[str]) -> Group | None:
        """The clips that register a speaker of a session, or None if there are none.

        Args:
            session: Id of the whole session.
            speaker: Corpus-wide id.
            utterances: Source utterances of the whole session.
        """
        for part in session.split(JOIN):
            if (own := self.own.get(part, {}).get(speaker)) is not None:
                return own
        for group in self.groups.get(speaker, ()):
            if not any(clip.utterances.intersection(utterances) for clip in group):
                return group
        return None

    def leak(self, session: str) -> str | None:
        """Why a session, or one of those that it was joined of, is refused."""
        found = (self.leaks.get(part) for part in session.split(JOIN))
        return next((reason for reason in found if reason is not None), None)

    def paths(self) -> list[Path]:
        """Every clip once, by path."""
        return sorted(
            {clip.path for groups in self.groups.values() for group in groups for clip in group}
        )


def clip_table(sessions: Iterable[tuple[Session, Path]]) -> ClipTable:
    """The clips of sessions, each with the folder of its manifest; a leak refuses a session."""
    groups: dict[str, dict[Group, None]] = {}
    own: dict[str, dict[str, Group]] = {}
    leaks: dict[str, str] = {}
    for session, folder in sessions:
        if session.id in own or session.id in leaks:
            continue  # another window of it
        if (reason := leak_of(session)) is not None:
            leaks[session.id] = reason
            continue
        present = {row.speaker for row in session.supervisions}
        own[session.id] = {}
        for speaker, group in _groups(session.registration, folder):
            groups.setdefault(speaker, {})[group] = None
            if speaker in present:
                own[session.id][speaker] = group
    return ClipTable(
        groups={speaker: tuple(found) for speaker, found in groups.items()}, own=own, leaks=leaks
    )


def _groups(clips: Iterable[RegistrationClip], folder: Path) -> Iterator[tuple[str, Group]]:
    found: dict[str, list[Clip]] = {}
    for clip in clips:
        made = Clip(path=folder / clip.path, utterances=frozenset(clip.utterance_ids))
        found.setdefault(clip.speaker, []).append(made)
    yield from ((speaker, tuple(made)) for speaker, made in found.items())
