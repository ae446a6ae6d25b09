"""Windows of manifests: what a batch is made of, before any audio is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from talkover.manifests.audio import read_audio, unusable
from talkover.manifests.errors import AudioError, ConfigurationError
from talkover.manifests.instructions import InstructionRow
from talkover.manifests.instructions.rows import rows_by_session
from talkover.manifests.io import SessionAudio, read_sessions
from talkover.manifests.lines import cuts_file
from talkover.manifests.schema import Session
from talkover.model.data.choice import TRANSCRIBE, Choice, Handed
from talkover.model.data.examples import (
    Skips,
    Window,
    check_session,
    is_transcribed,
    window_of,
    windows_of,
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A window of a manifest."""

    session: Session
    folder: Path
    window: Window
    manifest: int
    row: InstructionRow | None = None
    """What is asked of the window instead of a transcript."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.window.num_samples / self.session.audio.sampling_rate

    @cached_property
    def speakers(self) -> frozenset[str]:
        """Of the whole session."""
        return frozenset(row.speaker for row in self.session.supervisions)

    @cached_property
    def is_transcribed(self) -> bool:
        """Whether all speech of the session has a text."""
        return is_transcribed(self.session)

    @property
    def talkers(self) -> int:
        """Speakers of the whole session."""
        return len(self.speakers)

    @property
    def task(self) -> str:
        """What is asked of it."""
        return TRANSCRIBE if self.row is None else self.row.task

    def load(self) -> SessionAudio:
        """Read the window."""
        audio = self.session.audio
        samples = read_audio(
            self.folder / audio.path,
            start_sample=self.window.start_sample,
            num_samples=self.window.num_samples,
            channel=0,
        )
        return SessionAudio(
            session=self.labels(), samples=samples[None], sampling_rate=audio.sampling_rate
        )

    def labels(self) -> Session:
        """The window as a session of its own; its audio is not read."""
        silence = np.broadcast_to(np.float32(0), (1, self.session.audio.num_samples))
        rate = self.session.audio.sampling_rate
        whole = SessionAudio(session=self.session, samples=silence, sampling_rate=rate)
        return window_of(whole, self.window).session


def read_entries(
    manifests: Sequence[Path | str],
    longest: float,
    skips: Skips,
    shortest: float = 1.0,
    *,
    with_rows: bool = False,
    untranscribed: bool = False,
) -> list[Entry]:
    """Windows of all sessions of some manifests; sessions that cannot be used are counted.

    Args:
        manifests: Folders or files.
        longest: Seconds of a window.
        skips: Where what cannot be used is counted.
        shortest: Seconds of a window that is not the last.
        with_rows: Also the instruction rows beside the manifests.
        untranscribed: Also sessions with speech whose words are not known; stages draw them only
            where they ask for them.

    Raises:
        ConfigurationError: If no session can be used.
    """
    entries: list[Entry] = []
    for number, manifest in enumerate(manifests):
        folder = cuts_file(manifest).parent
        asked = rows_by_session(manifest) if with_rows else {}
        for session in read_sessions(manifest):
            rows = asked.pop(session.id, [])
            fault = check_session(session, untranscribed=untranscribed)
            if fault is not None:
                skips.add(session.id, fault)
                continue
            for window in windows_of(session, longest, shortest):
                entries.append(
                    Entry(session=session, folder=folder, window=window, manifest=number)
                )
            entries += [_row_entry(session, folder, row, number) for row in rows]
        for row in (row for rows in asked.values() for row in rows):
            skips.add(row.id, "instruction row of a session that is not in the manifest")
    if not entries:
        why = "; ".join(skips.lines()) or "they are empty"
        raise ConfigurationError(f"no session in the manifests can be used: {why}")
    return entries


def _row_entry(session: Session, folder: Path, row: InstructionRow, manifest: int) -> Entry:
    window = Window(start_sample=row.start_sample, num_samples=row.num_samples)
    return Entry(session=session, folder=folder, window=window, manifest=manifest, row=row)


def recut(entries: Sequence[Entry], windows: tuple[float, float] | None) -> Sequence[Entry]:
    """The sessions of some entries cut into windows of other lengths; None leaves them."""
    if windows is None:
        return entries
    shortest, longest = windows
    whole = {(e.manifest, e.session.id): e for e in entries if e.row is None}
    found = [
        Entry(session=entry.session, folder=entry.folder, window=window, manifest=entry.manifest)
        for entry in whole.values()
        for window in windows_of(entry.session, longest, shortest)
    ]
    return [*found, *(entry for entry in entries if entry.row is not None)]


def usable(entry: Entry, handed: Handed) -> list[SessionAudio]:
    """The window's audio, or none and a note of why."""
    try:
        item = entry.load()
        fault = unusable(item.samples, item.sampling_rate)
    except AudioError as error:
        fault = error.reason
    if fault is not None:
        handed.skipped.append((entry.session.id, fault))
        return []
    return [item]


def weight_of(entry: Entry, choice: Choice) -> float:
    """Expected occurrences in an epoch."""
    if not (choice.untranscribed or entry.is_transcribed):
        return 0.0
    weight = choice.weights[entry.manifest] if choice.weights else 1.0
    if choice.talkers is not None:
        weight *= choice.talkers.get(str(entry.talkers), 0.0)
    tasks = {TRANSCRIBE: 1.0} if choice.tasks is None else choice.tasks
    weight *= tasks.get(entry.task, 0.0)
    return weight
