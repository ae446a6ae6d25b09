"""Rules over a session that need nothing but the session: one small function each, in one table.

A rule yields a fault for everything that breaks it. That each value is of its kind, and that the
Lhotse part of a line agrees with ours, is checked before (`talkover.manifests.lhotse_form`).
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

from talkover.manifests.acoustic_rules import ACOUSTIC_RULES
from talkover.manifests.canonical import json_sha256
from talkover.manifests.faults import Fault, Rule
from talkover.manifests.regions import gap_samples
from talkover.manifests.schema import TIME_DIGITS, Session, Statistics, Supervision
from talkover.manifests.statistics import session_statistics

__all__ = ["RULES", "Fault", "Rule", "Timed"]

FIGURE_TOLERANCE = 2e-6
"""Of statistics, which are rounded to six digits."""


class Timed(Protocol):
    """Anything with a time in seconds and in samples."""

    @property
    def start(self) -> float: ...  # noqa: D102
    @property
    def duration(self) -> float: ...  # noqa: D102
    @property
    def start_sample(self) -> int: ...  # noqa: D102
    @property
    def num_samples(self) -> int: ...  # noqa: D102
    @property
    def end_sample(self) -> int: ...  # noqa: D102


def seconds_are_samples(session: Session) -> Iterator[Fault]:
    """Seconds are samples over the rate, everywhere."""
    rate = session.audio.sampling_rate
    for field, item in _timed(session):
        for name, samples in (("start", item.start_sample), ("duration", item.num_samples)):
            right = round(samples / rate, TIME_DIGITS)
            got = getattr(item, name)
            if got != right:
                yield Fault(f"{field}.{name}", got, f"{samples} samples at {rate} Hz are {right} s")


def supervisions_lie_in_the_session(session: Session) -> Iterator[Fault]:
    """Supervisions lie in ``[0, num_samples]``."""
    for field, row in _supervisions(session):
        yield from _outside(field, row, 0, session.audio.num_samples, "the session")


def supervisions_have_a_length(session: Session) -> Iterator[Fault]:
    """No supervision is empty."""
    for field, row in _supervisions(session):
        if row.num_samples == 0:
            yield Fault(f"{field}.num_samples", 0, "must be above 0")


def supervisions_are_in_time_order(session: Session) -> Iterator[Fault]:
    """Supervisions are sorted by start."""
    for n, (last, row) in enumerate(pairwise(session.supervisions), start=1):
        if row.start_sample < last.start_sample:
            yield Fault(
                f"supervisions[{n}].start_sample",
                row.start_sample,
                f"is before the supervision ahead of it, which starts at {last.start_sample}",
            )


def words_lie_in_their_supervision(session: Session) -> Iterator[Fault]:
    """Words are on the session's clock, inside their supervision."""
    for field, row in _supervisions(session):
        for n, word in enumerate(row.words or ()):
            place = f"{field}.words[{n}]"
            yield from _outside(place, word, row.start_sample, row.end_sample, "its supervision")


def words_are_in_order(session: Session) -> Iterator[Fault]:
    """Neither starts nor ends of words go back."""
    for field, row in _supervisions(session):
        for n, (last, word) in enumerate(pairwise(row.words or ()), start=1):
            if word.start_sample < last.start_sample or word.end_sample < last.end_sample:
                yield Fault(
                    f"{field}.words[{n}].start_sample",
                    word.start_sample,
                    f"goes back behind the word ahead of it ({last.symbol!r} at "
                    f"{last.start_sample} to {last.end_sample})",
                )


def words_leave_no_pause(session: Session) -> Iterator[Fault]:
    """With word times, a supervision does not span a pause of `PAUSE_JOIN`."""
    limit = gap_samples(session.audio.sampling_rate)
    for field, row in _supervisions(session):
        for n, (last, word) in enumerate(pairwise(row.words or ()), start=1):
            gap = word.start_sample - last.end_sample
            if gap >= limit:
                yield Fault(
                    f"{field}.words[{n}].start_sample",
                    word.start_sample,
                    f"comes {gap} samples after the word ahead of it; a supervision ends before a "
                    f"pause of {limit}",
                )


def words_are_the_text(session: Session) -> Iterator[Fault]:
    """Text and words have the same letters and digits."""
    for field, row in _supervisions(session):
        if row.text is None or row.words is None:
            continue
        said = "".join(word.symbol for word in row.words)
        if _letters(row.text) != _letters(said):
            yield Fault(f"{field}.text", row.text, f"is not what its words say: {said!r}")


def regions_lie_in_their_supervision(session: Session) -> Iterator[Fault]:
    """Each supervision has regions, each with a length, inside it."""
    for field, row in _supervisions(session):
        if not row.regions:
            yield Fault(f"{field}.regions", [], "must have at least one region")
        for n, region in enumerate(row.regions):
            place = f"{field}.regions[{n}]"
            if region.num_samples == 0:
                yield Fault(f"{place}.num_samples", 0, "must be above 0")
            yield from _outside(place, region, row.start_sample, row.end_sample, "its supervision")


def regions_are_apart(session: Session) -> Iterator[Fault]:
    """Regions are sorted, with gaps of `PAUSE_JOIN` or more."""
    limit = gap_samples(session.audio.sampling_rate)
    for field, row in _supervisions(session):
        for n, (last, region) in enumerate(pairwise(row.regions), start=1):
            gap = region.start_sample - last.end_sample
            if gap < limit:
                yield Fault(
                    f"{field}.regions[{n}].start_sample",
                    region.start_sample,
                    f"comes {gap} samples after the region ahead of it; at least {limit} belong",
                )


def speakers_do_not_overlap_themselves(session: Session) -> Iterator[Fault]:
    """No two supervisions of a speaker sound at once."""
    latest: dict[str, tuple[int, str]] = {}
    regions = sorted(
        (region.start_sample, region.end_sample, n, m, row.speaker_local)
        for n, row in enumerate(session.supervisions)
        for m, region in enumerate(row.regions)
    )
    for start, end, n, m, speaker in regions:
        field = f"supervisions[{n}].regions[{m}]"
        last_end, last = latest.get(speaker, (0, ""))
        if last and start < last_end and not last.startswith(f"supervisions[{n}]."):
            yield Fault(f"{field}.start_sample", start, f"{speaker} still speaks in {last}")
        if end >= last_end:
            latest[speaker] = (end, field)


def local_speakers_are_numbered(session: Session) -> Iterator[Fault]:
    """Local speakers are S01, S02, … by first appearance, one for one with speakers."""
    local: dict[str, str] = {}
    for field, row in _supervisions(session):
        right = local.setdefault(row.speaker, f"S{len(local) + 1:02d}")
        if row.speaker_local != right:
            yield Fault(
                f"{field}.speaker_local",
                row.speaker_local,
                f"must be {right}: speaker {row.speaker!r} by order of first appearance",
            )


def turns_have_one_speaker(session: Session) -> Iterator[Fault]:
    """Supervisions of a turn are of one speaker."""
    speakers: dict[str, str] = {}
    for field, row in _supervisions(session):
        if (owner := speakers.setdefault(row.turn_id, row.speaker)) != row.speaker:
            yield Fault(f"{field}.turn_id", row.turn_id, f"is a turn of {owner!r}")


def statistics_are_measured(session: Session) -> Iterator[Fault]:
    """Statistics are what the regions give."""
    if session.statistics is None:
        return
    audio = session.audio
    right = session_statistics(session.supervisions, audio.num_samples, audio.sampling_rate)
    expected, got = _figures(right), _figures(session.statistics)
    for name in sorted(expected.keys() | got.keys()):
        first, second = got.get(name), expected.get(name)
        if first is None or second is None or abs(first - second) > FIGURE_TOLERANCE:
            if first != second:
                yield Fault(f"statistics.{name}", first, f"must be {second} by the regions")


def events_lie_in_the_session(session: Session) -> Iterator[Fault]:
    """Sound events lie in ``[0, num_samples]``."""
    for n, event in enumerate(session.events):
        yield from _outside(f"events[{n}]", event, 0, session.audio.num_samples, "the session")


def uem_lies_in_the_session(session: Session) -> Iterator[Fault]:
    """Labelled stretches lie in the session, sorted and apart."""
    end = 0
    for n, span in enumerate(session.uem):
        yield from _outside(f"uem[{n}]", span, 0, session.audio.num_samples, "the session")
        if span.start_sample < end:
            yield Fault(
                f"uem[{n}].start_sample",
                span.start_sample,
                f"is before the end of the stretch ahead of it, {end}",
            )
        end = span.end_sample


def microphones_are_channels(session: Session) -> Iterator[Fault]:
    """Positions and devices of microphones are one a channel."""
    if session.scene is None:
        return
    microphones, channels = session.scene.microphones, session.audio.num_channels
    for name in ("positions_m", "devices"):
        values = getattr(microphones, name)
        if values is not None and len(values) != channels:
            yield Fault(
                f"scene.microphones.{name}", len(values), f"must have {channels}, one a channel"
            )


def speakers_have_a_seat(session: Session) -> Iterator[Fault]:
    """Where there are seats, each speaker has one."""
    if session.scene is None or not session.scene.seats:
        return
    seats = [seat.speaker_local for seat in session.scene.seats]
    for name in sorted({s.speaker_local for s in session.supervisions}):
        if seats.count(name) != 1:
            yield Fault("scene.seats", seats, f"must have {name} once, has it {seats.count(name)}×")


def stems_are_of_speakers(session: Session) -> Iterator[Fault]:
    """A speaker's stem names a speaker of the session, and no two of a target name one."""
    known = {s.speaker_local for s in session.supervisions}
    seen: set[tuple[str, str]] = set()
    for n, stem in enumerate(session.mix.stems if session.mix is not None else ()):
        name = stem.speaker_local
        if (stem.kind == "speaker") != (name is not None):
            yield Fault(
                f"mix.stems[{n}].speaker_local", name, "belongs to stems of speakers, and only them"
            )
        elif name is not None and (name not in known or (stem.target, name) in seen):
            left = sorted(known - {other for target, other in seen if target == stem.target})
            yield Fault(f"mix.stems[{n}].speaker_local", name, f"must be one of {left}")
        elif name is None and stem.target != "reverberant":
            yield Fault(f"mix.stems[{n}].target", stem.target, "belongs to stems of speakers")
        if (stem.early_seconds is not None) != (stem.target == "early"):
            yield Fault(
                f"mix.stems[{n}].early_seconds", stem.early_seconds, "belongs to target early"
            )
        seen.add((stem.target, name or ""))


def configuration_has_its_hash(session: Session) -> Iterator[Fault]:
    """The hash of the configuration is that of the configuration."""
    provenance = session.provenance
    right = json_sha256(provenance.configuration)
    if provenance.configuration_hash != right:
        yield Fault(
            "provenance.configuration_hash",
            provenance.configuration_hash,
            f"the configuration's is {right}",
        )


def registration_is_from_outside(session: Session) -> Iterator[Fault]:
    """Registration clips use no utterance of the session, and name its speakers rightly."""
    said = {s.source.utterance_id for s in session.supervisions if s.source is not None}
    names = {s.speaker_local: s.speaker for s in session.supervisions}
    for n, clip in enumerate(session.registration):
        for utterance in clip.utterance_ids:
            if utterance in said:
                yield Fault(
                    f"registration[{n}].utterance_ids", utterance, "is heard in the session itself"
                )
        owner = names.get(clip.speaker_local) if clip.speaker_local is not None else None
        if owner != clip.speaker and (
            clip.speaker_local is not None or clip.speaker in names.values()
        ):
            yield Fault(
                f"registration[{n}].speaker_local",
                clip.speaker_local,
                f"is not the local name of {clip.speaker!r} in the session",
            )


def licences_are_listed(session: Session) -> Iterator[Fault]:
    """Every licence of a source, sound or noise is in ``licences.spdx``."""
    found = [
        *((f"{field}.source.licence", row.source) for field, row in _supervisions(session)),
        *((f"events[{n}].source.licence", e.source) for n, e in enumerate(session.events)),
        *((f"noise[{n}].licence", noise) for n, noise in enumerate(session.noise)),
    ]
    listed = set(session.licences.spdx)
    for field, item in found:
        if item is not None and item.licence is not None and item.licence not in listed:
            yield Fault(field, item.licence, f"is not in licences.spdx, {sorted(listed)}")


RULES: dict[str, Rule] = {
    "seconds": seconds_are_samples,
    "supervision_range": supervisions_lie_in_the_session,
    "supervision_length": supervisions_have_a_length,
    "supervision_order": supervisions_are_in_time_order,
    "word_range": words_lie_in_their_supervision,
    "word_order": words_are_in_order,
    "word_pause": words_leave_no_pause,
    "text_words": words_are_the_text,
    "region_range": regions_lie_in_their_supervision,
    "region_gap": regions_are_apart,
    "self_overlap": speakers_do_not_overlap_themselves,
    "speaker_local": local_speakers_are_numbered,
    "turn_speaker": turns_have_one_speaker,
    "statistics": statistics_are_measured,
    "event_range": events_lie_in_the_session,
    "uem_range": uem_lies_in_the_session,
    "microphones": microphones_are_channels,
    "seats": speakers_have_a_seat,
    "stem_speaker": stems_are_of_speakers,
    "configuration_hash": configuration_has_its_hash,
    "registration": registration_is_from_outside,
    "licences": licences_are_listed,
    **ACOUSTIC_RULES,
}


def _supervisions(session: Session) -> Iterator[tuple[str, Supervision]]:
    for n, row in enumerate(session.supervisions):
        yield f"supervisions[{n}]", row


def _timed(session: Session) -> Iterator[tuple[str, Timed]]:
    """Everything on the session's clock, with its field."""
    for field, row in _supervisions(session):
        yield field, row
        for n, region in enumerate(row.regions):
            yield f"{field}.regions[{n}]", region
        for n, word in enumerate(row.words or ()):
            yield f"{field}.words[{n}]", word
    for n, event in enumerate(session.events):
        yield f"events[{n}]", event
    for n, span in enumerate(session.uem):
        yield f"uem[{n}]", span


def _outside(field: str, item: Timed, first: int, end: int, of_what: str) -> Iterator[Fault]:
    if item.start_sample < first or item.end_sample > end:
        yield Fault(
            f"{field}.start_sample",
            [item.start_sample, item.end_sample],
            f"start and end must lie in {of_what}, {first} to {end} samples",
        )


def _letters(text: str) -> str:
    """What is left of a text without spaces, punctuation, case and width."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if unicodedata.category(c)[0] in "LMN")


def _figures(statistics: Statistics) -> dict[str, float]:
    """Statistics as dotted names and numbers; what is None is left out."""
    flat: dict[str, float] = {}
    for name, value in statistics.model_dump().items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": v for key, v in value.items() if v is not None}
        elif value is not None:
            flat[name] = value
    assert all(math.isfinite(value) for value in flat.values())
    return flat
