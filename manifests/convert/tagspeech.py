"""Cuts that TagSpeech is trained on: one a group of overlapping turns, all turns in one cut.

As its data preparation describes (Auden, examples/tagspeech): Lhotse `MonoCut`s over the long
recording, cut where nobody speaks (`trim_to_supervision_groups` with no pause), each with the turns
of all speakers, their times on the cut's clock, ``channel`` a list, ``gender`` F or M. Word times
stay on the recording's clock, as everywhere in Lhotse.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from talkover.manifests.convert.base import AudioNeed, Faults, WriteOptions, text_file
from talkover.manifests.convert.conversation import (
    Conversation,
    Recording,
    Utterance,
    make_conversation,
)
from talkover.manifests.convert.cut_rows import (
    lhotse_recording,
    lines_of,
    recording_of,
    supervision_row,
    utterance_of,
)
from talkover.manifests.convert.losses import LOSSES
from talkover.manifests.convert.takings import groups, sex_of
from talkover.manifests.errors import ManifestError
from talkover.manifests.label_json import placed_supervisions
from talkover.manifests.schema import TIME_DIGITS
from talkover.manifests.segments import seconds

Row = dict[str, Any]


class TagSpeech:
    """Reads and writes cuts of groups of turns."""

    name = "tagspeech"
    suffixes: tuple[str, ...] = (".tagspeech.jsonl",)
    is_folder = False
    audio: AudioNeed = "form"
    losses = LOSSES["tagspeech"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each recording, of all cuts over it."""
        recordings: dict[str, Recording] = {}
        utterances: dict[str, list[Utterance]] = {}
        for number, row in lines_of(path, faults):
            try:
                if row.get("type") != "MonoCut" or not isinstance(row.get("recording"), dict):
                    raise ManifestError("must be a MonoCut with its recording", field="type")
                name, recording = recording_of(row["recording"], path.parent)
                start = seconds(row.get("start"), "start")
                found = [
                    _on_recording(utterance_of(placed), start)
                    for placed in placed_supervisions(row)
                ]
            except ManifestError as error:
                reason, field = error.reason, error.field
                faults.take(ManifestError(reason, path=path, line=number, field=field))
                continue
            recordings.setdefault(name, recording)
            utterances.setdefault(name, []).extend(found)
        for name, rows in utterances.items():
            yield make_conversation(name, rows, recording=recordings[name])

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """One line a group of turns."""
        with text_file(path) as file:
            for conversation in conversations:
                recording = lhotse_recording(conversation, options)
                for n, group in enumerate(groups(conversation)):
                    cut = _cut(f"{conversation.id}-{n:05d}", group, recording)
                    file.write(json.dumps(cut, ensure_ascii=False) + "\n")


def _on_recording(u: Utterance, start: float) -> Utterance:
    """An utterance of a cut, on the clock of the recording."""
    words = tuple(replace(w, start=w.start + start, end=w.end + start) for w in u.words or ())
    return replace(
        u,
        start=u.start + start,
        end=u.end + start,
        words=words or None,
        gender=sex_of(u.gender) or u.gender,
    )


def _cut(name: str, group: list[Utterance], recording: Row) -> Row:
    start, end = group[0].start, max(u.end for u in group)
    return {
        "id": name,
        "start": start,
        "duration": round(end - start, TIME_DIGITS),
        "channel": 0,
        "supervisions": [_supervision(u, start, recording["id"]) for u in group],
        "recording": recording,
        "type": "MonoCut",
    }


def _supervision(u: Utterance, start: float, recording: str) -> Row:
    """A supervision on the clock of the cut, its words on the recording's."""
    row = supervision_row(u, recording, channels=1)
    row |= {"start": round(u.start - start, TIME_DIGITS), "channel": [0]}
    return row if u.gender is None else row | {"gender": u.gender.upper()}
