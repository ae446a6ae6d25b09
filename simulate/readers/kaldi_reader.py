"""Utterances of a Kaldi data directory.

Read are ``wav.scp`` and ``utt2spk`` (required) and, where there, ``segments``, ``text``,
``spk2gender``, ``utt2lang`` and ``utt2topic``. An entry of ``wav.scp`` that is a command (it ends
with ``|``) is rejected: no command is ever run. The format is described at
https://kaldi-asr.org/doc/data_prep.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from talkover.manifests.errors import ManifestError
from talkover.simulate.corpus import (
    Channel,
    CorpusOptions,
    Rejection,
    Utterance,
    gender_of,
    resolve_source,
)

_SIDES: dict[str, Channel] = {"A": 0, "B": 1}  # of a telephone call, as segments may name them


class KaldiReader:
    """Reads a Kaldi data directory; see `talkover.simulate.corpus.CorpusReader`."""

    def __init__(self, path: Path, options: CorpusOptions) -> None:
        """Read all tables but the one that is iterated over.

        Raises:
            ManifestError: If a required file is missing or a file is not UTF-8.
        """
        self._folder, self._options = path, options
        self._repeated: list[tuple[str, str, str]] = []
        for name in ("wav.scp", "utt2spk"):
            if not (path / name).is_file():
                raise ManifestError(f"not a Kaldi data directory: no {name}", path=path)
        self._recordings = self._table("wav.scp")
        self._speakers = self._table("utt2spk")
        self._texts = self._table("text")
        self._genders = self._table("spk2gender")
        self._languages = self._table("utt2lang")
        self._topics = self._table("utt2topic")

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        """Yield in the order of ``segments``, or of ``wav.scp`` where there are none."""
        for name, key, place in self._repeated:
            yield self._rejection(key, place, name, "a second line for one key: the first counts")
        segments = self._folder / "segments"
        if not segments.is_file():
            for name in self._recordings:
                yield self._utterance(name, name, "wav.scp")
            return
        with segments.open(encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if fields := line.split():
                    yield self._segment(fields, f"segments:{number}")

    def _segment(self, fields: list[str], place: str) -> Utterance | Rejection:
        name = fields[0]
        if len(fields) not in (4, 5):
            reason = "must be: utterance recording start end [channel]"
            return self._rejection(name, place, "segments", reason, " ".join(fields))
        try:
            start, end = float(fields[2]), float(fields[3])
        except ValueError:
            reason = "start and end must be numbers of seconds"
            return self._rejection(name, place, "segments", reason, " ".join(fields[2:4]))
        channel = self._options.channel
        if len(fields) == 5:
            side = fields[4]
            if side not in _SIDES and not (side.isascii() and side.isdecimal()):
                reason = "the channel must be A, B or a number from 0"
                return self._rejection(name, place, "segments", reason, side)
            channel = _SIDES[side] if side in _SIDES else int(side)
        # An end below 0 means the end of the recording.
        duration = None if end < 0 else round(end - start, 9)
        return self._utterance(name, fields[1], place, start, duration, channel)

    def _utterance(
        self,
        name: str,
        recording: str,
        place: str,
        start: float | None = None,
        duration: float | None = None,
        channel: Channel | None = None,
    ) -> Utterance | Rejection:
        file = self._recordings.get(recording)
        if not file:
            reason = "the recording has no file in wav.scp"
            return self._rejection(name, place, "wav.scp", reason, recording)
        if file.endswith("|"):
            reason = "a command in wav.scp, which is never run: decode to files first"
            return self._rejection(name, place, "wav.scp", reason, file)
        speaker = self._speakers.get(name)
        if not speaker:
            return self._rejection(
                name, place, "utt2spk", "the utterance has no speaker in utt2spk"
            )
        return Utterance(
            utterance_id=name,
            speaker=speaker,
            path=resolve_source(self._folder, file),
            file=file,
            corpus=self._options.name,
            recording_id=recording,
            channel=self._options.channel if channel is None else channel,
            start=start,
            duration=duration,
            text=" ".join(self._texts.get(name, "").split()) or None,
            language=self._languages.get(name) or None,
            gender=gender_of(self._genders.get(speaker, "")),
            topic=self._topics.get(name) or None,
            licence=self._options.licence,
        )

    def _table(self, name: str) -> dict[str, str]:
        """Lines ``KEY value`` as a dict, in the order of the file; empty if there is no file."""
        table: dict[str, str] = {}
        path = self._folder / name
        if not path.is_file():
            return table
        try:
            with path.open(encoding="utf-8-sig") as file:
                for number, line in enumerate(file, start=1):
                    if not line.strip():
                        continue
                    key, *value = line.split(maxsplit=1)
                    if key in table:
                        self._repeated.append((name, key, f"{name}:{number}"))
                    else:
                        table[key] = value[0].strip() if value else ""
        except UnicodeDecodeError as error:
            raise ManifestError(f"not UTF-8: {error.reason}", path=path) from error
        return table

    def _rejection(
        self, name: str, place: str, field: str, reason: str, value: str | None = None
    ) -> Rejection:
        return Rejection(
            corpus=self._options.name,
            utterance_id=name,
            place=place,
            field=field,
            reason=reason,
            value=value,
        )
