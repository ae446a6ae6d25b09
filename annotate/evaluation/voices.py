"""Are people known again, and strangers not? Enrolment, tried on sessions with known speakers.

All voices with enough speech are enrolled, five people at a time, with what they say alone in one
session. For each five the annotator says who is who in all sessions; a speaker of the session that
a voice was enrolled from does not count for that voice. Everybody else is unknown, and has to stay
so. So every speaker is tried against several fives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from talkover.annotate.evaluation.sides import Annotated, Known
from talkover.manifests.audio import read_audio
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Session
from talkover.manifests.score.diarization import scored_activity
from talkover.manifests.score.sessions import side_of_session
from talkover.manifests.score.sides import Side
from talkover.manifests.score.spans import Spans, crowded_spans, join_spans, total
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator

LEAST_ALONE = 6.0
"""Seconds that a voice must speak alone in a session to be enrolled from it."""
MOST_ENROLLED = 20.0
"""Seconds of a voice that are enrolled."""
GROUP = 5
"""People that are enrolled at a time."""
MOST_GROUPS = 6
"""Times that all sessions are heard: enough for a few hundred trials."""
SHORTEST = 0.3
"""Seconds; shorter stretches alone do not go into a clip."""

Kin = Callable[[str], str]
"""Name of the person behind a voice: two voices of one person are no pair of strangers."""


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """Speakers of sessions, counted."""

    enrolled: int = 0
    """Voices."""
    known: int = 0
    """Speakers that were enrolled, each session by itself."""
    right: int = 0
    """Of these, who got their own name."""
    wrong: int = 0
    """Of these, who got another's."""
    unknown: int = 0
    """Speakers who were not enrolled."""
    accepted: int = 0
    """Of these, who got a name."""
    too_short: int = 0
    """Speakers who were not compared to anybody, for want of speech; in none of the others."""
    groups: int = 1
    """Times that some were enrolled and all sessions heard."""
    strangers: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Each unknown person's trials, and those in which they got a name."""

    def __add__(self, other: Recognition) -> Recognition:
        """Counts of both, of the same sessions with others enrolled."""
        counts = {
            name: getattr(self, name) + getattr(other, name)
            for name in self.__dataclass_fields__
            if name != "strangers"
        }
        people = sorted({*self.strangers, *other.strangers})
        none = (0, 0)
        strangers = {
            name: (
                self.strangers.get(name, none)[0] + other.strangers.get(name, none)[0],
                self.strangers.get(name, none)[1] + other.strangers.get(name, none)[1],
            )
            for name in people
        }
        return Recognition(**counts, strangers=strangers)

    @property
    def accepted_share(self) -> float | None:
        """Unknown speakers taken for somebody; None where there are none."""
        return self.accepted / self.unknown if self.unknown else None

    @property
    def right_share(self) -> float | None:
        """Enrolled speakers known again; None where there are none."""
        return self.right / self.known if self.known else None


@dataclass(frozen=True, kw_only=True)
class Enrolled:
    """Voices in a folder, as `talkover annotate --enrol` takes them."""

    folder: Path
    origin: Mapping[str, str] = field(default_factory=dict)
    """Name of the session that each voice was enrolled from."""


def enrol_groups(
    known: Sequence[Known], folder: Path, *, seed: int, kin: Kin = str
) -> list[Enrolled]:
    """Write clips of all voices that speak alone for long enough, five people a group.

    Voices that speak in several sessions come first, since others can only be strangers.

    Args:
        known: Sessions with known speakers.
        folder: Made; gets ``GROUP/NAME.wav``.
        seed: Decides who is with whom.
        kin: The person behind a voice; of one person only one voice is in a group.

    Raises:
        ConfigurationError: If no voice speaks in two sessions and alone for long enough.
    """
    alone: dict[str, dict[str, Spans]] = {}
    for one in known:
        for speaker, spans in stretches_alone(side_of_session(one.session)).items():
            alone.setdefault(speaker, {})[one.name] = spans
    able = [
        speaker
        for speaker in sorted(alone)
        if max(map(total, alone[speaker].values())) >= LEAST_ALONE
    ]
    if not any(len(alone[speaker]) > 1 for speaker in able):
        raise ConfigurationError(
            f"no voice speaks in two sessions, in one of them {LEAST_ALONE:g} s alone: "
            "nobody can be enrolled"
        )
    rng = generator(seed, SESSION_OF_CORPUS, "annotate-eval/enrolled")
    mixed = [able[n] for n in rng.permutation(len(able)).tolist()]
    mixed.sort(key=lambda speaker: len(alone[speaker]) < 2)
    by_name = {one.name: one for one in known}
    found = []
    for number, voices in enumerate(_groups(mixed, kin)[:MOST_GROUPS]):
        own = folder / f"{number:02d}"
        own.mkdir(parents=True, exist_ok=True)
        origin = {}
        for speaker in sorted(voices):
            longest = max(alone[speaker], key=lambda name: (total(alone[speaker][name]), name))
            origin[speaker] = longest
            _write_clip(by_name[longest], alone[speaker][longest], own / f"{speaker}.wav")
        found.append(Enrolled(folder=own, origin=origin))
    return found


def _groups(voices: Sequence[str], kin: Kin) -> list[list[str]]:
    """Voices in order, each in the first group that has room and nobody of the same person."""
    groups: list[list[str]] = []
    for voice in voices:
        for group in groups:
            if len(group) < GROUP and kin(voice) not in map(kin, group):
                group.append(voice)
                break
        else:
            groups.append([voice])
    return groups


def stretches_alone(side: Side) -> dict[str, Spans]:
    """Where each speaker is the only one, stretches of `SHORTEST` and more."""
    crowded = crowded_spans(side.activity, 2)
    found = {}
    for speaker, spans in side.activity.items():
        parts = []
        for start, end in spans.tolist():
            inner = crowded[(crowded[:, 1] > start) & (crowded[:, 0] < end)]
            edges = [start, *np.clip(inner, start, end).ravel().tolist(), end]
            parts += [
                (a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= SHORTEST
            ]
        found[speaker] = join_spans(parts)
    return found


def count_recognised(
    known: Sequence[Known], annotated: Annotated, enrolled: Enrolled, kin: Kin = str
) -> Recognition:
    """Who of the sessions' speakers was taken for whom.

    Args:
        known: The sessions.
        annotated: The same, annotated with these voices enrolled.
        enrolled: The voices.
        kin: The person behind a voice.
    """
    families = {kin(name) for name in enrolled.origin}
    known_count = right = wrong = too_short = 0
    strangers: dict[str, tuple[int, int]] = {}
    for one in known:
        found = annotated.sessions.get(one.session.audio.sha256 or "")
        if found is None or found.annotation is None:
            continue
        truth = dominant_speakers(side_of_session(one.session), found)
        for voice in found.annotation.recognised:
            speaker = truth.get(voice.speaker_local)
            if speaker is None or enrolled.origin.get(speaker) == one.name:
                continue
            if voice.name is None and voice.similarity == 0.0:
                too_short += 1
            elif speaker in enrolled.origin:
                known_count += 1
                right += voice.name == speaker
                wrong += voice.name not in (None, speaker)
            elif kin(speaker) not in families:
                trials, accepted = strangers.get(kin(speaker), (0, 0))
                strangers[kin(speaker)] = (trials + 1, accepted + (voice.name is not None))
    return Recognition(
        enrolled=len(enrolled.origin),
        known=known_count,
        right=right,
        wrong=wrong,
        unknown=sum(trials for trials, _ in strangers.values()),
        accepted=sum(accepted for _, accepted in strangers.values()),
        too_short=too_short,
        strangers=dict(sorted(strangers.items())),
    )


def dominant_speakers(reference: Side, session: Session) -> dict[str, str]:
    """The true speaker who has most of the time of each local speaker; nobody where none has."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for supervision in session.supervisions:
        own = rows.setdefault(supervision.speaker_local, [])
        own += [(region.start, region.end) for region in supervision.regions]
    said = {name: join_spans(spans) for name, spans in sorted(rows.items())}
    whole = join_spans([(0.0, session.audio.duration)])
    common = scored_activity(reference.activity, said, whole).common_time()
    names = list(reference.activity)
    if not names:
        return {}
    best: Iterable[tuple[str, int]] = zip(said, common.argmax(axis=0).tolist(), strict=True)
    return {
        local: names[row] for column, (local, row) in enumerate(best) if common[row, column] > 0
    }


def _write_clip(one: Known, spans: Spans, path: Path) -> None:
    """The longest stretches of a speaker alone, one after the other, in their order in time."""
    order = np.argsort(spans[:, 0] - spans[:, 1], kind="stable")
    chosen, left = [], MOST_ENROLLED
    for row in order.tolist():
        start, end = spans[row].tolist()
        if left <= 0:
            break
        chosen.append((start, min(end, start + left)))
        left -= chosen[-1][1] - start
    samples, rate = read_audio(one.audio), one.session.audio.sampling_rate
    parts = [samples[round(a * rate) : round(b * rate)] for a, b in sorted(chosen)]
    soundfile.write(path, np.concatenate(parts), rate, subtype="PCM_16")
