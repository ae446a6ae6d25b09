"""Sessions whose truth is known beside what was annotated of their audio.

Sessions and recordings are matched by the hash of the audio file, so names do not matter. Labels
are made alike first: music is ``music`` whatever piece it is, background noise is no event, and an
utterance of one word with no word times is a word where it is heard.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from talkover.manifests.errors import ManifestError
from talkover.manifests.io import read_sessions
from talkover.manifests.schema import PAUSE_JOIN, Claim, Session, SoundEvent, Supervision
from talkover.manifests.score.sessions import side_of_session
from talkover.manifests.score.sides import LabelledSegment, Side
from talkover.manifests.score.spans import Spans
from talkover.manifests.segment_lines import read_segments
from talkover.manifests.segments import LabelWord, Segment

MUSIC = "music"


@dataclass(frozen=True, kw_only=True)
class Annotated:
    """All recordings of an annotated folder, by the hash of their audio file."""

    sessions: Mapping[str, Session]
    cuts: Mapping[str, tuple[float, ...]]
    """Seconds at which each recording is cut, its start and end left out; by id."""
    covered: Mapping[str, float]
    """Seconds of each recording that are in a segment; by id."""
    declared: Mapping[str, int]
    """Events that the annotator says it had to cut, by kind."""
    rejected: Mapping[str, str]
    """Reason by the resolved path of each file that was rejected."""

    @property
    def claims(self) -> dict[str, Claim]:
        """Who spoke for each branch, by kind; of the first recording that has it."""
        found: dict[str, Claim] = {}
        for session in self.sessions.values():
            for branch in session.annotation.branches if session.annotation else ():
                found.setdefault(branch.kind, branch.claim)
        return found


@dataclass(frozen=True, kw_only=True)
class Known:
    """A session whose truth is known."""

    name: str
    """Folder and id: ids of two folders may be equal."""
    folder: Path
    session: Session

    @property
    def audio(self) -> Path:
        """The file."""
        return self.folder / self.session.audio.path


def read_known(folders: Sequence[Path | str]) -> list[Known]:
    """The sessions of some folders.

    Raises:
        ManifestError: If there is none, or one is itself annotated: its labels are no truth.
    """
    names = folder_names([Path(folder) for folder in folders])
    found = []
    for name, folder in zip(names, map(Path, folders), strict=True):
        for session in read_sessions(folder):
            if session.origin == "annotated":
                raise ManifestError(
                    f"session {session.id} was annotated by a machine: its labels are no truth",
                    path=folder,
                )
            parent = folder if folder.is_dir() else folder.parent
            found.append(Known(name=f"{name}/{session.id}", folder=parent, session=session))
    if not found:
        raise ManifestError(
            f"no session in {', '.join(map(str, folders)) or 'no folder'}: nothing can be scored"
        )
    return found


def folder_names(folders: Sequence[Path]) -> list[str]:
    """A short name a folder, none twice.

    >>> folder_names([Path("a/film"), Path("b/film"), Path("call")])
    ['film', 'film-2', 'call']
    """
    names: list[str] = []
    for folder in folders:
        name, number = folder.resolve().name, 2
        while name in names:
            name, number = f"{folder.resolve().name}-{number}", number + 1
        names.append(name)
    return names


def read_annotated(folder: Path) -> Annotated:
    """What was annotated, with its cuts and what was rejected."""
    sessions = {}
    rates = {}
    for session in read_sessions(folder):
        if session.audio.sha256 is not None:
            sessions[session.audio.sha256] = session
        rates[session.id] = session.audio.sampling_rate
    cuts: dict[str, set[float]] = {name: set() for name in rates}
    covered = dict.fromkeys(rates, 0.0)
    declared: dict[str, set[str]] = {}
    for line in read_segments(folder):
        name = line.extras.session
        covered[name] += line.extras.num_samples / rates[name]
        if line.extras.start_sample > 0:
            cuts[name].add(line.extras.start_sample / rates[name])
        for cut in line.extras.cut_events:
            declared.setdefault(cut.kind, set()).add(f"{name}/{cut.event_id}")
    return Annotated(
        sessions=sessions,
        cuts={name: tuple(sorted(times)) for name, times in cuts.items()},
        covered=covered,
        declared={kind: len(events) for kind, events in sorted(declared.items())},
        rejected=dict(_rejected(folder)),
    )


def reference_side(session: Session) -> Side:
    """The truth of a session; speech of one speaker is joined over gaps under `PAUSE_JOIN`.

    So is what an annotator says: shorter gaps are part of the speech in the whole contract.
    """
    side = side_of_session(session)
    events = [_plain(event) for event in session.events if event.kind != "noise"]
    segments = [_with_words(row) for row in session.supervisions]
    ordered = sorted(segments, key=lambda s: (s.start, s.speaker, s.end))
    joined = {name: _over_pauses(spans) for name, spans in side.activity.items()}
    return replace(side, activity=joined, events=events, segments=ordered)


def hypothesis_side(annotated: Annotated, session: Session) -> Side:
    """What was annotated of a recording; sounds without a known class keep their shape's name."""
    side = side_of_session(session)
    events = [_plain(event) for event in session.events]
    return replace(side, events=events, cuts=annotated.cuts[session.id])


def is_named(event: SoundEvent) -> bool:
    """Whether an event claims to be of a class, and not just of an acoustic shape, or a sound."""
    return (event.attributes or {}).get("label_source") not in ("dsp", "any_sound")


def segment_lengths(folder: Path) -> list[float]:
    """Seconds of every segment, in their order."""
    return [line.duration for line in read_segments(folder)]


def _plain(event: SoundEvent) -> SoundEvent:
    return event.model_copy(update={"label": MUSIC}) if event.kind == "music" else event


def _over_pauses(spans: Spans) -> Spans:
    """Joined over gaps that are too short for a pause."""
    if len(spans) == 0:
        return spans
    opens = np.append(True, spans[1:, 0] - spans[:-1, 1] >= PAUSE_JOIN - 1e-9)
    closes = np.append(opens[1:], True)
    return np.stack([spans[opens, 0], spans[closes, 1]], axis=1)


def _with_words(row: Supervision) -> LabelledSegment:
    """A supervision, whose only word has the times of its speech if it has no others."""
    if row.words or not row.text or len(row.text.split()) > 1 or not row.regions:
        return row
    word = LabelWord(symbol=row.text.strip(), start=row.regions[0].start, end=row.regions[-1].end)
    return Segment(
        session="", speaker=row.speaker, start=row.start, end=row.end, text=row.text, words=(word,)
    )


def _rejected(folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / "rejected.jsonl"
    if not path.exists():
        return
    for text in path.read_text(encoding="utf8").splitlines():
        row = json.loads(text)
        yield str(Path(row["path"]).resolve()), f"{row['stage']}: {row['reason']}"
