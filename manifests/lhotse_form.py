"""A session as a line of ``cuts.jsonl``: one Lhotse cut, which Lhotse opens without talkover.

What Lhotse knows by name stands where Lhotse looks for it: a `MonoCut` (one channel) or `MultiCut`
over one recording, a supervision for each of ours, word times under ``alignment``. The rest is
under ``custom["talkover"]`` of the cut and of each supervision. The classes here are that line's
exact shape; what a line says twice (the recording and our ``audio``, say) must agree.

Lhotse keeps word times on the clock of the *recording* and does not move them when cuts are mixed,
cut or padded. Here the cut is the whole recording, so both clocks are one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError

from talkover.manifests.errors import ManifestError
from talkover.manifests.schema import (
    SCHEMA_VERSION,
    Contract,
    RelativePath,
    SafeId,
    Seconds,
    Session,
    SessionExtras,
    Supervision,
    SupervisionExtras,
    Word,
)
from talkover.manifests.stand_ins import with_stand_ins

Length = Annotated[Seconds, Field(ge=0.0)]
AlignedWord = tuple[Annotated[str, Field(min_length=1)], Seconds, Length, Seconds | None]
"""Symbol, start, duration, score."""
Channels = Annotated[int, Field(ge=0)] | Annotated[tuple[int, ...], Field(min_length=2)]
"""Channel 0 of a `MonoCut`, or all channels of a `MultiCut`."""

_LONGEST_VALUE = 120  # characters of a value that a message shows


class RecordingSource(Contract):
    """The one file of a recording."""

    type: Literal["file"]
    channels: tuple[int, ...]
    source: RelativePath


class CutRecording(Contract):
    """Lhotse's `Recording`."""

    id: SafeId
    sources: tuple[RecordingSource]
    sampling_rate: Annotated[int, Field(gt=0)]
    num_samples: Annotated[int, Field(gt=0)]
    duration: Length
    channel_ids: tuple[int, ...]


class Alignment(Contract):
    """Lhotse's alignments by kind, of which we write words."""

    word: tuple[AlignedWord, ...]


class SupervisionCustom(Contract):
    """``custom`` of a supervision."""

    talkover: SupervisionExtras


class CutSupervision(Contract):
    """Lhotse's `SupervisionSegment`."""

    id: SafeId
    recording_id: SafeId
    start: Seconds
    duration: Length
    channel: Channels
    text: str | None = None
    language: str | None = None
    speaker: SafeId
    gender: str | None = None
    custom: SupervisionCustom
    alignment: Alignment | None = None


class CutCustom(Contract):
    """``custom`` of a cut."""

    talkover: SessionExtras


class CutLine(Contract):
    """Lhotse's `MonoCut` or `MultiCut`: one line of ``cuts.jsonl``."""

    id: SafeId
    start: Annotated[Seconds, Field(ge=0.0, le=0.0)]
    duration: Length
    channel: Channels
    supervisions: tuple[CutSupervision, ...]
    recording: CutRecording
    custom: CutCustom
    type: Literal["MonoCut", "MultiCut"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FormProblem:
    """One way in which a line is not a session."""

    rule: str
    field: str
    reason: str
    value: str = ""
    """What was got, shortened; empty where it would only repeat the reason."""

    @classmethod
    def of(cls, rule: str, field: str, reason: str, value: object) -> Self:
        """A problem with a value shown as JSON would."""
        return cls(rule=rule, field=field, reason=reason, value=shown(value))


@dataclass(frozen=True, slots=True)
class ParsedLine:
    """What a line says: its session if that could be made out, and all that is wrong."""

    session: Session | None
    problems: tuple[FormProblem, ...]


def to_cut(session: Session) -> dict[str, Any]:
    """A session as the dictionary that Lhotse would write: plain JSON types, no key at None.

    ``word_samples`` are written from the words. Keys of free dictionaries are sorted.
    """
    plain = session.model_dump(mode="json", exclude_none=True)
    name, rows, audio = plain.pop("id"), plain.pop("supervisions"), session.audio
    plain["provenance"]["configuration"] = _sorted(session.provenance.configuration)
    for effect, parsed in zip(plain["channel"], session.channel, strict=True):
        effect["parameters"] = _sorted(parsed.parameters)
    channels = list(range(audio.num_channels))
    channel = 0 if audio.num_channels == 1 else channels
    return {
        "id": name,
        "start": 0.0,
        "duration": audio.duration,
        "channel": channel,
        "supervisions": [_cut_supervision(row, name, channel) for row in rows],
        "recording": {
            "id": name,
            "sources": [{"type": "file", "channels": channels, "source": audio.path}],
            "sampling_rate": audio.sampling_rate,
            "num_samples": audio.num_samples,
            "duration": audio.duration,
            "channel_ids": channels,
        },
        "custom": {"talkover": plain},
        "type": "MonoCut" if audio.num_channels == 1 else "MultiCut",
    }


def from_cut(
    cut: Mapping[str, Any], *, path: Path | str | None = None, line: int | None = None
) -> Session:
    """The session of a cut that `to_cut` wrote.

    Args:
        cut: Plain JSON values.
        path: File for the message of an error.
        line: Line in that file.

    Raises:
        ManifestError: At the first thing that is not as it must be; `parse_line` tells them all.
    """
    try:
        text = json.dumps(cut, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ManifestError(f"holds more than plain JSON: {error}", path=path, line=line) from error
    return session_of_line(text, path=path, line=line)


def session_of_line(
    text: str | bytes, *, path: Path | str | None = None, line: int | None = None
) -> Session:
    """The session of a line of ``cuts.jsonl``; see `from_cut`."""
    parsed = parse_line(text)
    if parsed.session is None or parsed.problems:
        first = parsed.problems[0]
        reason = f"{first.reason}, got {first.value}" if first.value else first.reason
        raise ManifestError(reason, path=path, line=line, field=first.field or None)
    return parsed.session


def parse_line(text: str | bytes) -> ParsedLine:
    """Everything that a line says and everything that is wrong with its form.

    A file of a newer minor version may have fields that are not known here; they are passed over.
    """
    try:
        cut = CutLine.model_validate_json(text)
    except ValidationError as error:
        return _second_try(text, error)
    problems = (*_version_problems(cut.custom.talkover.schema_version), *_disagreements(cut))
    return ParsedLine(_session(cut), problems)


def shown(value: object) -> str:
    """A value for a message: as JSON where that works, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _cut_supervision(row: dict[str, Any], session: str, channel: int | list[int]) -> dict[str, Any]:
    words = row.pop("words", None)
    if words is not None:
        row["word_samples"] = [[word["start_sample"], word["num_samples"]] for word in words]
    result = {
        "id": row.pop("id"),
        "recording_id": session,
        "start": row.pop("start"),
        "duration": row.pop("duration"),
        "channel": channel,
    }
    result |= {key: row.pop(key) for key in ("text", "language", "speaker", "gender") if key in row}
    result["custom"] = {"talkover": row}
    if words is not None:
        result["alignment"] = {
            "word": [[w["symbol"], w["start"], w["duration"], w.get("score")] for w in words]
        }
    return result


def _sorted(value: Any) -> Any:
    """A JSON value with all its keys in order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _session(cut: CutLine) -> Session:
    """Put the parts of a line together; each is valid by itself, so nothing is checked again."""
    return Session.model_construct(
        id=cut.id,
        supervisions=tuple(_supervision(row) for row in cut.supervisions),
        **_fields(cut.custom.talkover),
    )


def _supervision(row: CutSupervision) -> Supervision:
    extras = row.custom.talkover
    words = None
    if row.alignment is not None:
        samples = extras.word_samples or ()
        words = tuple(
            Word.model_construct(
                symbol=symbol,
                start=start,
                duration=duration,
                score=score,
                start_sample=first,
                num_samples=count,
            )
            # A missing pair is reported as a disagreement; the words that have one still count.
            for (symbol, start, duration, score), (first, count) in zip(
                row.alignment.word, samples, strict=False
            )
        )
    return Supervision.model_construct(
        id=row.id,
        speaker=row.speaker,
        start=row.start,
        duration=row.duration,
        text=row.text,
        language=row.language,
        gender=row.gender,
        words=words,
        **_fields(extras),
    )


def _fields(model: Contract) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


def _second_try(text: str | bytes, error: ValidationError) -> ParsedLine:
    """Say what is wrong; of a newer minor version, unknown fields are dropped first."""
    try:
        raw = json.loads(text)
    except ValueError as cause:
        return ParsedLine(None, (FormProblem(rule="json", field="", reason=f"not JSON: {cause}"),))
    if not isinstance(raw, dict):
        reason = f"must be a JSON object, got {shown(raw)}"
        return ParsedLine(None, (FormProblem(rule="schema", field="", reason=reason),))
    version = _dig(raw, "custom", "talkover", "schema_version")
    if version is not None and (wrong := _version_problems(version)):
        return ParsedLine(None, tuple(wrong))
    faults = error.errors(include_url=False)
    unknown = [fault["loc"] for fault in faults if fault["type"] == "extra_forbidden"]
    if version is not None and _newer_minor(version) and len(unknown) == len(faults):
        for place in unknown:
            del _dig(raw, *place[:-1])[place[-1]]
        return parse_line(json.dumps(raw))
    problems = [
        FormProblem.of("schema", _dotted(fault["loc"]), _sentence(fault["msg"]), fault["input"])
        for fault in faults
    ]
    mended = with_stand_ins(raw, faults)
    try:
        cut = None if mended is None else CutLine.model_validate_json(json.dumps(mended))
    except ValidationError:
        cut = None
    return ParsedLine(None if cut is None else _session(cut), tuple(problems))


def _dig(value: Any, *place: Any) -> Any:
    for key in place:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _dotted(place: tuple[int | str, ...]) -> str:
    """``supervisions[3].start`` of ``("supervisions", 3, "start")``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _sentence(message: str) -> str:
    return message[:1].lower() + message[1:]


def _version_problems(version: object) -> list[FormProblem]:
    parts = _version(version)
    known = _version(SCHEMA_VERSION)
    assert known is not None
    if parts is not None and parts[0] == known[0]:
        return []
    return [
        FormProblem.of(
            "schema_version",
            "custom.talkover.schema_version",
            f"this reader knows version {known[0]} of the schema: use a talkover of the file's age",
            version,
        )
    ]


def _newer_minor(version: object) -> bool:
    parts, known = _version(version), _version(SCHEMA_VERSION)
    return parts is not None and known is not None and parts > known


def _version(version: object) -> tuple[int, int] | None:
    parts = version.split(".") if isinstance(version, str) else []
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return int(parts[0]), int(parts[1])


def _disagreements(cut: CutLine) -> Iterator[FormProblem]:
    """Where Lhotse's part of a line says something else than ours."""
    audio, recording, extras = cut.custom.talkover.audio, cut.recording, "custom.talkover.audio"
    channels = tuple(range(audio.num_channels))
    channel = 0 if audio.num_channels == 1 else channels
    kind = "MonoCut" if audio.num_channels == 1 else "MultiCut"
    expected: list[tuple[str, object, object, str]] = [
        ("recording.id", recording.id, cut.id, "id of the cut"),
        ("recording.sampling_rate", recording.sampling_rate, audio.sampling_rate, extras),
        ("recording.num_samples", recording.num_samples, audio.num_samples, extras),
        ("recording.duration", recording.duration, audio.duration, "num_samples / sampling_rate"),
        ("recording.sources[0].source", recording.sources[0].source, audio.path, extras),
        ("recording.sources[0].channels", recording.sources[0].channels, channels, extras),
        ("recording.channel_ids", recording.channel_ids, channels, extras),
        ("duration", cut.duration, audio.duration, "num_samples / sampling_rate"),
        ("channel", cut.channel, channel, extras),
        ("type", cut.type, kind, "its number of channels"),
    ]
    for n, row in enumerate(cut.supervisions):
        place = f"supervisions[{n}]"
        expected.append((f"{place}.recording_id", row.recording_id, cut.id, "id of the cut"))
        expected.append((f"{place}.channel", row.channel, channel, extras))
    for field, got, right, source in expected:
        if got != right:
            yield FormProblem.of("agreement", field, f"must be {shown(right)} by {source}", got)
    for n, row in enumerate(cut.supervisions):
        times = None if row.alignment is None else len(row.alignment.word)
        pairs = row.custom.talkover.word_samples
        samples = None if pairs is None else len(pairs)
        if times != samples:
            yield FormProblem(
                rule="word_samples",
                field=f"supervisions[{n}].custom.talkover.word_samples",
                reason=f"has {samples or 'no'} words where alignment.word has {times or 'none'}",
            )
