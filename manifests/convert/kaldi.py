"""Kaldi data directories: ``wav.scp segments utt2spk spk2utt text reco2dur utt2lang spk2gender``.

All files are sorted by bytes, as Kaldi's tools want them, and each utterance id begins with its
speaker. Where no text is known there is no ``text``; an utterance that says nothing has a line
without words. A command in ``wav.scp`` (it ends with ``|``) is refused: none is ever run.
Format: https://kaldi-asr.org/doc/data_prep.html.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from talkover.manifests.convert.base import AudioNeed, Faults, WriteOptions, text_file
from talkover.manifests.convert.conversation import (
    Conversation,
    Recording,
    Utterance,
    absolute,
    make_conversation,
)
from talkover.manifests.convert.losses import LOSSES
from talkover.manifests.errors import ManifestError
from talkover.manifests.exports import DIGITS
from talkover.manifests.lines import read_lines
from talkover.manifests.segments import seconds

NO_LANGUAGE = "und"
"""ISO 639-2: undetermined; for utterances without a language beside others with one."""

REQUIRED = ("wav.scp", "utt2spk")

_SEGMENT_FIELDS = 4  # utterance recording start end, and perhaps a channel


class Kaldi:
    """Reads and writes Kaldi data directories."""

    name = "kaldi"
    suffixes: tuple[str, ...] = ()
    is_folder = True
    audio: AudioNeed = "form"
    losses = LOSSES["kaldi"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each recording of ``wav.scp``."""
        tables = _Tables(path, faults)
        recordings, lengths = tables.table("wav.scp"), tables.table("reco2dur")
        utterances: dict[str, list[Utterance]] = {name: [] for name in recordings}
        for recording, utterance in _segments(tables, recordings, path, faults):
            utterances[recording].append(utterance)
        for name, file in recordings.items():
            if file.rstrip().endswith("|"):
                reason = f"a command, which is never run: decode {name!r} to a file first"
                faults.take(ManifestError(reason, path=path / "wav.scp", field=name))
                continue
            try:
                length = seconds(lengths[name], "duration") if name in lengths else None
            except ManifestError as error:
                reason, field = error.reason, error.field
                faults.take(ManifestError(reason, path=path / "reco2dur", field=field))
                length = None
            audio = Recording(path=absolute(path, file), seconds=length)
            yield make_conversation(name, utterances[name], recording=audio)

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """All files of the directory."""
        tables = _Written()
        for conversation in conversations:
            tables.add(conversation, options)
        tables.write(path)


class _Tables:
    """The files of a directory, each a key and the rest of its line."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self._folder, self._faults = folder, faults
        for name in REQUIRED:
            if not (folder / name).is_file():
                raise ManifestError(f"not a Kaldi data directory: no {name}", path=folder)

    def table(self, name: str) -> dict[str, str]:
        """Values by key, in the order of the file; empty where there is no file."""
        path = self._folder / name
        found: dict[str, str] = {}
        for line in read_lines(path) if path.is_file() else ():
            key, value = (*line.text.split(None, 1), "", "")[:2]
            if key in found:
                reason = f"a second line for {key!r}"
                self._faults.take(ManifestError(reason, path=path, line=line.number))
            elif key:
                found[key] = value.strip()
        return found


def _segments(
    tables: _Tables, recordings: Mapping[str, str], folder: Path, faults: Faults
) -> Iterator[tuple[str, Utterance]]:
    """Utterances and their recordings; without ``segments`` each recording is one utterance."""
    speakers, texts = tables.table("utt2spk"), tables.table("text")
    languages, genders = tables.table("utt2lang"), tables.table("spk2gender")
    place = folder / "segments"
    if not place.is_file():
        raise ManifestError(
            "no segments, so no times: this is a directory of whole utterances, which "
            "`talkover simulate` takes as a corpus",
            path=folder,
        )
    for line in read_lines(place):
        fields = line.text.split()
        if not fields:
            continue
        try:
            if len(fields) < _SEGMENT_FIELDS:
                raise ManifestError(
                    f"must be: utterance recording start end; got {line.text[:60]!r}"
                )
            name, recording = fields[:2]
            start, end = seconds(fields[2], "start"), seconds(fields[3], "end")
            if recording not in recordings:
                raise ManifestError(f"{recording!r} is not in wav.scp", field="recording")
            if name not in speakers:
                raise ManifestError(f"{name!r} is not in utt2spk", field="utterance")
            if end < start:
                raise ManifestError(f"ends at {end} s, before its start at {start} s", field="end")
        except ManifestError as error:
            reason, where = error.reason, error.field
            faults.take(ManifestError(reason, path=place, line=line.number, field=where))
            continue
        yield (
            recording,
            Utterance(
                id=name,
                speaker=speakers[name],
                start=start,
                end=end,
                text=texts.get(name),
                language=None if (spoken := languages.get(name)) == NO_LANGUAGE else spoken,
                gender=genders.get(speakers[name]),
            ),
        )


@dataclass
class _Written:
    """The lines of each file, by key."""

    files: dict[str, dict[str, str]] = field(default_factory=dict)
    by_speaker: dict[str, list[str]] = field(default_factory=dict)

    def add(self, conversation: Conversation, options: WriteOptions) -> None:
        name, recording = conversation.id, conversation.recording
        self._put("wav.scp", name, options.audio_path(recording, name))
        self._put("reco2dur", name, f"{conversation.duration:.{DIGITS}f}")
        for u in conversation.utterances:
            assert u.id is not None  # the loss table gave each one
            times = f"{u.start:.{DIGITS}f} {u.end:.{DIGITS}f}"
            self._put("segments", u.id, f"{name} {times}")
            self._put("utt2spk", u.id, u.speaker)
            self.by_speaker.setdefault(u.speaker, []).append(u.id)
            if u.text is not None:
                self._put("text", u.id, u.text)
            self._put("utt2lang", u.id, u.language or NO_LANGUAGE)
            if u.gender is not None:
                self.files.setdefault("spk2gender", {}).setdefault(u.speaker, u.gender)

    def write(self, folder: Path) -> None:
        speakers = {name: " ".join(_sorted(ids)) for name, ids in self.by_speaker.items()}
        files = {"segments": {}, "utt2spk": {}, **self.files, "spk2utt": speakers}
        # Kaldi's tools and Lhotse want tables of languages and genders whole or not at all.
        if set(files.get("utt2lang", {}).values()) <= {NO_LANGUAGE}:
            files.pop("utt2lang", None)
        if files.get("spk2gender", {}).keys() != speakers.keys():
            files.pop("spk2gender", None)
        for name, rows in files.items():
            with text_file(folder / name) as file:
                for key in _sorted(rows):
                    file.write(f"{key} {rows[key]}".rstrip() + "\n")

    def _put(self, file: str, key: str, value: str) -> None:
        rows = self.files.setdefault(file, {})
        if key in rows:
            raise ManifestError(f"{file}: two lines would have the key {key!r}: rename one")
        rows[key] = value


def _sorted(keys: Iterable[str]) -> list[str]:
    """In the order of ``LC_ALL=C sort``."""
    return sorted(keys, key=lambda key: key.encode())
