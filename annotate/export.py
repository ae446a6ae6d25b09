"""From a reconciled timeline to a session of the data contract and its segments.

Here samples at `talkover.annotate.media.RATE` become samples of the recording, once, by one
function for events, regions and segments, so that what touched still touches.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from pydantic import JsonValue

from talkover.annotate.backends.base import BackendInfo, Kind, is_non_commercial
from talkover.annotate.config import AnnotationConfig
from talkover.annotate.events import Event
from talkover.annotate.flags import flags_of
from talkover.annotate.media import RATE, Recording
from talkover.annotate.pipeline import Heard
from talkover.annotate.reconcile import NOBODY, Reconciled, Spoken
from talkover.annotate.speaker_count import SpeakerCount
from talkover.manifests.canonical import json_sha256
from talkover.manifests.convert.safe_names import safe_name
from talkover.manifests.regions import join_regions
from talkover.manifests.schema import (
    Annotation,
    Audio,
    Branch,
    Claim,
    Licences,
    Provenance,
    RecognisedVoice,
    Session,
    SoundEvent,
    Supervision,
    TimeSpan,
    time_span,
)
from talkover.manifests.serialize.transcript import speaker_label
from talkover.manifests.statistics import session_statistics

TOOL = "talkover annotate"
UNKNOWN_LICENCE = "LicenseRef-unknown"
"""SPDX's form for a licence that is not in its list: of recordings nothing is known."""
PRIVATE_FIGURES = frozenset({"fingerprint", "voices", "names", "speakers", "zones", "rules"})
"""Figures that are for later stages, and not for the manifest: voices are personal data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clock:
    """Samples at `RATE` as samples of a recording."""

    sampling_rate: int
    num_samples: int

    def sample(self, at: int) -> int:
        """The nearest sample of the recording, never beyond its end.

        >>> Clock(sampling_rate=44100, num_samples=100).sample(16)
        44
        """
        return min(self.num_samples, (2 * at * self.sampling_rate + RATE) // (2 * RATE))

    def span(self, start: int, end: int) -> TimeSpan:
        """A span at least one sample long."""
        first, last = self.sample(start), self.sample(end)
        if last <= first:
            first = min(first, self.num_samples - 1)
            last = first + 1
        return time_span(first, last - first, self.sampling_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a session is made of besides its timeline."""

    recording: Recording
    audio: Audio
    """As it stands in the folder."""
    config: AnnotationConfig
    speakers: SpeakerCount
    licence: str | None = None
    """Of the recording; None where it is not known."""

    @property
    def clock(self) -> Clock:
        """The recording's."""
        return Clock(sampling_rate=self.audio.sampling_rate, num_samples=self.audio.num_samples)


def session_of(
    facts: Facts, heard: Sequence[Heard], reconciled: Reconciled, num_segments: int
) -> Session:
    """The recording as a session: turns as supervisions, sounds and music as events.

    Args:
        facts: Of the recording.
        heard: What the branches said of its channels.
        reconciled: Its timeline.
        num_segments: Lines that it has in ``segments.jsonl``.
    """
    infos = {kind: heard[0].results[kind].backend for kind in heard[0].results}
    names = _names(heard)
    rows = tuple(_supervisions(facts, reconciled.turns, infos, names))
    audio = facts.audio
    configuration = _configuration(facts)
    return Session(
        id=facts.recording.id,
        supervisions=rows,
        origin="annotated",
        audio=audio,
        events=tuple(_sounds(facts.clock, reconciled, infos)),
        statistics=session_statistics(rows, audio.num_samples, audio.sampling_rate),
        annotation=_annotation(facts, heard, reconciled, rows, names, num_segments),
        provenance=Provenance(
            tool=TOOL,
            version=version("talkover"),
            configuration=configuration,
            configuration_hash=json_sha256(configuration),
        ),
        licences=_licences(facts, infos),
        uem=(time_span(0, audio.num_samples, audio.sampling_rate),),
    )


def claim_of(info: BackendInfo, confidence: float | None = None) -> Claim:
    """Who says so, and how sure."""
    return Claim(
        backend=info.name,
        version=info.version,
        weights_sha256=info.weights_sha256,
        licence=info.licence,
        confidence=None if confidence is None else round(confidence, 6),
        non_commercial=True if info.non_commercial else None,
    )


def _configuration(facts: Facts) -> dict[str, JsonValue]:
    values = facts.config.plain()
    values["speakers"] = list(facts.speakers.limits)
    return values


def _supervisions(
    facts: Facts,
    turns: Sequence[Spoken],
    infos: Mapping[Kind, BackendInfo],
    names: Mapping[str, tuple[str | None, float]],
) -> Iterator[Supervision]:
    """Turns on the recording's clock, in its order, with local speakers by first appearance."""
    clock, session = facts.clock, facts.recording.id
    placed = sorted(
        ((clock.span(t.regions[0][0], t.regions[-1][1]), t) for t in turns),
        key=lambda pair: (pair[0].start_sample, pair[0].end_sample, pair[1].speaker),
    )
    local: dict[str, str] = {}
    for span, turn in placed:
        label = local.setdefault(turn.speaker, speaker_label(len(local) + 1))
        spans = [clock.span(start, end) for start, end in turn.regions]
        joined = join_regions(
            [(s.start_sample, s.end_sample) for s in spans], clock.sampling_rate
        ).tolist()
        known = names.get(turn.speaker, (None, 0.0))[0]
        yield Supervision(
            id=turn.id,
            turn_id=turn.id,
            speaker=f"{session}-{label}" if known is None else safe_name(known),
            speaker_local=label,
            start=span.start,
            duration=span.duration,
            start_sample=span.start_sample,
            num_samples=span.num_samples,
            regions=tuple(time_span(a, b - a, clock.sampling_rate) for a, b in joined),
            claim=claim_of(infos[turn.branch], turn.confidence),
        )


def _names(heard: Sequence[Heard]) -> dict[str, tuple[str | None, float]]:
    """Name (or none) and similarity of each speaker that the embedder looked at.

    Where several channels claim one name, the most similar speaker has it.
    """
    found: dict[str, tuple[str | None, float]] = {}
    for part in heard:
        if "embedder" not in part.results:
            continue
        prefix = f"c{part.channel}-" if len(heard) > 1 else ""
        rows = part.results["embedder"].figures.get("names")
        for speaker, row in rows.items() if isinstance(rows, dict) else ():
            if isinstance(row, dict):
                name, similarity = row.get("name"), row.get("similarity")
                value = float(similarity) if isinstance(similarity, (int, float)) else 0.0
                found[f"{prefix}{speaker}"] = (None if name is None else str(name), value)
    best: dict[str, str] = {}
    for speaker, (name, value) in sorted(found.items()):
        if name is not None and (name not in best or value > found[best[name]][1]):
            best[name] = speaker
    return {
        speaker: (name if name is not None and best[name] == speaker else None, value)
        for speaker, (name, value) in found.items()
    }


def _sounds(
    clock: Clock, reconciled: Reconciled, infos: Mapping[Kind, BackendInfo]
) -> Iterator[SoundEvent]:
    for event in reconciled.timeline.events:
        if event.kind not in ("sound", "music"):
            continue
        span = clock.span(event.start, event.end)
        yield SoundEvent(
            id=event.id,
            kind="music" if event.kind == "music" else "sound",
            label=event.label or event.kind,
            start=span.start,
            duration=span.duration,
            start_sample=span.start_sample,
            num_samples=span.num_samples,
            attributes=_attributes(event, clock),
            claim=claim_of(infos[reconciled.branches[event.id]], event.confidence),
        )


def _attributes(event: Event, clock: Clock) -> dict[str, JsonValue] | None:
    """Figures of an event, sorted, and the bars of music in seconds of the recording."""
    found = {name: value for name, value in event.attributes.items() if value is not None}
    if event.bars:
        found["bars"] = [
            round(clock.sample(bar) / clock.sampling_rate, 4) for bar in sorted(set(event.bars))
        ]
    return {name: found[name] for name in sorted(found)} or None


def _annotation(
    facts: Facts,
    heard: Sequence[Heard],
    reconciled: Reconciled,
    rows: Sequence[Supervision],
    names: Mapping[str, tuple[str | None, float]],
    num_segments: int,
) -> Annotation:
    quality = quality_of(heard)
    degraded = sorted({kind for part in heard for kind in part.degraded})
    local = {turn.speaker: row.speaker_local for turn, row in _pairs(reconciled.turns, rows)}
    limits = facts.speakers.limits
    asked = None if limits == (1, None) else limits
    warnings = [warning for part in heard for warning in part.warnings] + list(reconciled.warnings)
    if asked is not None and (fault := _missed_count(asked, local)):
        warnings.append(fault)
    return Annotation(
        channel=facts.config.channel,
        branches=tuple(_branches(heard)),
        quality=quality,
        flags=flags_of(quality, facts.config.flags, has_speech=bool(rows), degraded=degraded),
        warnings=tuple(dict.fromkeys(warnings)),
        speakers_asked=asked,
        recognised=tuple(
            RecognisedVoice(
                speaker_local=local[speaker],
                name=name,
                similarity=round(min(1.0, max(-1.0, similarity)), 6),
            )
            for speaker, (name, similarity) in sorted(names.items())
            if speaker in local
        ),
        num_segments=num_segments,
    )


def _pairs(
    turns: Sequence[Spoken], rows: Sequence[Supervision]
) -> Iterator[tuple[Spoken, Supervision]]:
    by_id = {row.id: row for row in rows}
    return ((turn, by_id[turn.id]) for turn in turns)


def _missed_count(asked: tuple[int, int | None], local: Mapping[str, str]) -> str | None:
    found = len([speaker for speaker in local if not speaker.endswith(NOBODY)])
    least, most = asked
    if found < least or (most is not None and found > most):
        wanted = f"{least}" if most == least else f"{least} to {most or 'any number of'}"
        return f"diarizer: {wanted} speakers were asked for, {found} were found"
    return None


def _branches(heard: Sequence[Heard]) -> Iterator[Branch]:
    for kind, result in heard[0].results.items():
        figures: dict[str, JsonValue] = {
            name: value
            for name, value in sorted(result.figures.items())
            if kind != "quality" and name not in PRIVATE_FIGURES and value is not None
        }
        yield Branch(kind=kind, claim=claim_of(result.backend), figures=figures)


def quality_of(heard: Sequence[Heard]) -> dict[str, JsonValue]:
    """Figures of the quality branch; of several channels, those of the first that has them."""
    found: dict[str, JsonValue] = {}
    for part in heard:
        if "quality" in part.results:
            for name, value in part.results["quality"].figures.items():
                if name in PRIVATE_FIGURES or value is None:
                    continue
                if not (isinstance(value, float) and not math.isfinite(value)):
                    found.setdefault(name, value)
    return {name: found[name] for name in sorted(found)}


def _licences(facts: Facts, infos: Mapping[Kind, BackendInfo]) -> Licences:
    """Of the recording, and of the models whose labels it carries."""
    own = {facts.licence or UNKNOWN_LICENCE}
    return Licences(
        spdx=tuple(sorted(own | {info.licence for info in infos.values()})),
        non_commercial=any(info.non_commercial for info in infos.values())
        or is_non_commercial(facts.licence or ""),
    )
