"""A conversation of others as a session of the data contract, with its audio below a folder.

The labels are taken as they are: `talkover.manifests.convert.contract_form` made them fit before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue, ValidationError

from talkover.manifests.audio import file_sha256, pcm_sha256, probe
from talkover.manifests.canonical import json_sha256
from talkover.manifests.convert.base import required
from talkover.manifests.convert.conversation import Conversation, Recording, SpokenWord, Utterance
from talkover.manifests.convert.recordings import placed
from talkover.manifests.convert.safe_names import safe_name
from talkover.manifests.errors import ManifestError
from talkover.manifests.extras import installed_version
from talkover.manifests.schema import (
    Audio,
    Licences,
    Provenance,
    Session,
    Supervision,
    TimeSpan,
    Word,
    span_fields,
    time_span,
)
from talkover.manifests.statistics import session_statistics

TOOL = "talkover convert"


@dataclass(kw_only=True)
class SessionMaker:
    """Makes sessions for one manifest."""

    folder: Path
    """Of the manifest."""
    licence: str | None = None
    source_format: str = "unknown"
    _ids: set[str] = field(default_factory=set)

    def session(self, conversation: Conversation) -> Session:
        """The session, its files below the folder.

        Raises:
            ManifestError: If there is no recording, or the manifest and the file disagree.
            AudioError: If the recording cannot be read.
        """
        recording = required(conversation.recording, conversation.id)
        if conversation.session is not None:
            return self._moved(conversation.session, recording)
        audio = self._audio(recording, conversation.id)
        rows = self._supervisions(conversation, audio.sampling_rate)
        configuration: dict[str, JsonValue] = {"from": self.source_format}
        try:
            return Session(
                id=conversation.id,
                origin="converted",
                audio=audio,
                supervisions=rows,
                statistics=session_statistics(rows, audio.num_samples, audio.sampling_rate),
                provenance=Provenance(
                    tool=TOOL,
                    version=installed_version("talkover") or "unknown",
                    configuration=configuration,
                    configuration_hash=json_sha256(configuration),
                ),
                licences=Licences(spdx=() if self.licence is None else (self.licence,)),
                uem=_uem(conversation, audio),
            )
        except ValidationError as error:
            raise _refused(conversation.id, error) from error

    def _moved(self, session: Session, recording: Recording) -> Session:
        """A session of ours with all its files below the folder."""
        root = recording.path
        for _ in Path(session.audio.path).parts:
            root = root.parent
        path = placed(recording.path, self.folder, session.audio.path)
        for other in _other_files(session):
            if placed(root / other, self.folder, other) != other:
                raise ManifestError(
                    f"session {session.id!r} keeps {other} beside its audio: write into the "
                    "folder of the session or into another one, not above it"
                )
        if path == session.audio.path:
            return session
        audio = session.audio.model_copy(update={"path": path})
        return session.model_copy(update={"audio": audio})

    def _audio(self, recording: Recording, name: str) -> Audio:
        preferred = f"audio/{name}{recording.path.suffix.lower()}"
        path = placed(recording.path, self.folder, preferred)
        info = probe(recording.path)
        said = (recording.sampling_rate, recording.num_samples)
        if said != (info.sampling_rate, info.num_samples):
            raise ManifestError(
                f"session {name!r}: the manifest says {said[1]} samples at {said[0]} Hz, the file "
                f"has {info.num_samples} at {info.sampling_rate} Hz: make the manifest again",
                path=recording.path,
            )
        try:
            return Audio(
                path=path,
                sha256=file_sha256(recording.path),
                pcm_sha256=pcm_sha256(recording.path),
                sampling_rate=info.sampling_rate,
                num_samples=info.num_samples,
                num_channels=info.channels,
                format=info.format,
                subtype=info.subtype,
            )
        except ValidationError as error:
            raise _refused(name, error) from error

    def _supervisions(self, conversation: Conversation, rate: int) -> tuple[Supervision, ...]:
        names: dict[str, str] = {}
        rows = []
        for n, u in enumerate(conversation.utterances):
            local = names.setdefault(u.speaker, f"S{len(names) + 1:02d}")
            name = safe_name(u.id) if u.id else f"{conversation.id}-{n:05d}"
            if name in self._ids:
                name = f"{conversation.id}-{n:05d}"
            self._ids.add(name)
            turn = u.turn or f"{conversation.id}-u{n:05d}"
            try:
                rows.append(_supervision(u, name, turn, local, rate))
            except ValidationError as error:
                raise _refused(conversation.id, error) from error
        return tuple(rows)


def _supervision(u: Utterance, name: str, turn: str, local: str, rate: int) -> Supervision:
    words = None if u.words is None else tuple(_word(w, rate) for w in u.words)
    return Supervision(
        id=name,
        turn_id=turn,
        speaker=u.speaker,
        speaker_local=local,
        **_fields(u.start, u.end, rate),  # type: ignore[arg-type]
        regions=tuple(_time_span(start, end, rate) for start, end in u.speech),
        text=u.text,
        language=u.language,
        gender=u.gender,
        words=words,
        word_samples=None
        if words is None
        else tuple((w.start_sample, w.num_samples) for w in words),
        word_source=None if words is None else "reference",
    )


def _word(word: SpokenWord, rate: int) -> Word:
    return Word(
        symbol=word.symbol,
        score=word.score,
        **_fields(word.start, word.end, rate),  # type: ignore[arg-type]
    )


def _fields(start: float, end: float, rate: int) -> dict[str, float | int]:
    first, last = round(start * rate), round(end * rate)
    return span_fields(first, last - first, rate)


def _time_span(start: float, end: float, rate: int) -> TimeSpan:
    first, last = round(start * rate), round(end * rate)
    return time_span(first, last - first, rate)


def _uem(conversation: Conversation, audio: Audio) -> tuple[TimeSpan, ...]:
    if not conversation.uem:
        return (time_span(0, audio.num_samples, audio.sampling_rate),)
    return tuple(_time_span(start, end, audio.sampling_rate) for start, end in conversation.uem)


def _other_files(session: Session) -> list[str]:
    """Files of a session besides its audio."""
    files = [clip.path for clip in session.registration]
    if session.mix is not None:
        files += [stem.path for stem in session.mix.stems]
        files += [session.mix.pre_channel] if session.mix.pre_channel else []
    return files


def _refused(session: str, error: ValidationError) -> ManifestError:
    fault = error.errors(include_url=False)[0]
    place = ".".join(map(str, fault["loc"]))
    return ManifestError(
        f"session {session!r}: {fault['msg']}, got {fault['input']!r}", field=place
    )
