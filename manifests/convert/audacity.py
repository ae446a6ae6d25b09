"""Audacity label tracks, one a session: ``start<TAB>end<TAB>speaker: text``.

Labels may overlap. Without a colon the label is the speaker and the text is not known, as
diarization tools write them. Lines that begin with a backslash hold frequencies and are passed over
(Audacity manual, "Importing and Exporting Labels").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from talkover.manifests.convert.base import (
    AudioNeed,
    Faults,
    WriteOptions,
    session_files,
    session_name,
    write_session_files,
)
from talkover.manifests.convert.conversation import Conversation, Utterance, make_conversation
from talkover.manifests.convert.losses import LOSSES
from talkover.manifests.errors import ManifestError
from talkover.manifests.lines import read_lines
from talkover.manifests.segments import seconds

COLON = ":"


class Audacity:
    """Reads and writes label tracks."""

    name = "audacity"
    suffixes: tuple[str, ...] = (".txt",)
    is_folder = False
    audio: AudioNeed = "none"
    losses = LOSSES["audacity"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each file; the session is the file's name."""
        for file in session_files(path, self.suffixes):
            yield make_conversation(session_name(file, self.suffixes), _utterances(file, faults))

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """One file a session."""
        write_session_files(path, ".txt", conversations, _text)


def labelled(speaker: str, text: str | None) -> str:
    """Speaker and text as one label.

    >>> labelled("ana", "so"), labelled("ana", ""), labelled("ana", None)
    ('ana: so', 'ana:', 'ana')
    """
    return speaker if text is None else f"{speaker}{COLON} {text}".rstrip()


def of_label(label: str) -> tuple[str, str | None]:
    """The inverse of `labelled`.

    >>> of_label("ana: so: yes"), of_label("ana"), of_label("see 10:30")
    (('ana', 'so: yes'), ('ana', None), ('see 10:30', None))
    """
    speaker, colon, text = label.partition(f"{COLON} ")
    if colon:
        return speaker, text.strip()
    return (label[:-1], "") if label.endswith(COLON) else (label, None)


def _utterances(path: Path, faults: Faults) -> Iterator[Utterance]:
    for line in read_lines(path):
        if not line.text.strip() or line.text.startswith("\\"):
            continue
        try:
            yield _utterance(line.text)
        except ManifestError as error:
            faults.take(ManifestError(error.reason, path=path, line=line.number, field=error.field))


def _utterance(text: str) -> Utterance:
    fields = text.split("\t", 2)
    if len(fields) < 2:
        raise ManifestError(f"must be: start, tab, end, tab, label; got {text[:60]!r}")
    start, end = seconds(fields[0], "start"), seconds(fields[1], "end")
    if end < start:
        raise ManifestError(f"ends at {end} s, before its start at {start} s", field="end")
    speaker, said = of_label(fields[2].strip() if len(fields) == 3 else "")
    return Utterance(speaker=speaker, start=start, end=end, text=said)


def _text(conversation: Conversation) -> str:
    return "".join(
        f"{u.start:.6f}\t{u.end:.6f}\t{labelled(u.speaker, u.text)}\n"
        for u in conversation.utterances
    )
