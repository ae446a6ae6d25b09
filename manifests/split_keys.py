"""What two splits must not share, and the split that a name belongs to by its hash alone."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from talkover.manifests.schema import Session, Source

Kind = Literal["speaker", "utterance", "recording", "room", "noise"]
Stratum = Literal["speakers", "overlap", "language"]

KINDS: tuple[Kind, ...] = ("speaker", "utterance", "recording", "room", "noise")
STRATA: tuple[Stratum, ...] = ("speakers", "overlap", "language")
FRACTIONS: Mapping[str, float] = MappingProxyType({"train": 0.8, "dev": 0.1, "test": 0.1})

OVERLAP_BINS = (0.0, 0.1, 0.2, 0.3)
"""Upper edges of the overlap strata, as shares of speech; AMI has 0.1 to 0.2 in most meetings."""
MANY_SPEAKERS = 5
"""Sessions of this many speakers and more are one stratum."""
SYNTHETIC_NOISE = {"white", "pink", "speech_shaped"}


def is_synthetic_noise(kind: str, name: str, sha256: str | None) -> bool:
    """Whether a noise is made by the simulator: of such a kind, or a spectrum put in a room.

    Diffuse and point noise may be either; a recorded one has the hash of its clip.
    """
    return kind in SYNTHETIC_NOISE or (sha256 is None and name in SYNTHETIC_NOISE)


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise ValueError unless the shares are above 0 and sum to 1, under names for folders."""
    total = math.fsum(fractions.values())
    if not fractions or min(fractions.values()) <= 0 or abs(total - 1) > 1e-9:  # rounding
        raise ValueError(f"fractions must be above 0 and sum to 1, got {dict(fractions)}")
    for name in fractions:
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            raise ValueError(f"a split is named by letters, digits, - and _, got {name!r}")


def unit_hash(*parts: str) -> float:
    """A number in [0, 1) that depends on the parts alone."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(joined.encode()).digest()[:6], "big") / 2**48


def key_split(
    kind: str, name: str, *, seed: int = 0, fractions: Mapping[str, float] = FRACTIONS
) -> str:
    """The split that a speaker, room, noise, … belongs to, whatever else there is.

    A simulation that draws each session's speakers, rooms and noises from one split's names only
    makes sessions that `plan_split` with the same seed and fractions keeps all.

    Args:
        kind: What the name names: one of `KINDS`.
        name: Name as `session_keys` gives it: for a speaker the corpus-wide id.
        seed: Any whole number; another seed is another split.
        fractions: Share of each split; their order counts.

    >>> key_split("speaker", "ana"), key_split("speaker", "ana", seed=2)
    ('train', 'dev')
    """
    check_fractions(fractions)
    return split_at(unit_hash(str(seed), kind, name), fractions)


def speaker_split(name: str, seed: int = 0, fractions: Mapping[str, float] = FRACTIONS) -> str:
    """The split of a speaker; see `key_split`."""
    return key_split("speaker", name, seed=seed, fractions=fractions)


def split_at(position: float, fractions: Mapping[str, float]) -> str:
    """The split at a position in [0, 1) when the splits lie side by side.

    >>> split_at(0.85, FRACTIONS)
    'dev'
    """
    edge = 0.0
    for name, share in fractions.items():
        edge += share
        if position < edge:
            return name
    return name


def session_keys(session: Session, kinds: Iterable[Kind] = KINDS) -> dict[Kind, list[str]]:
    """What a session must not share with sessions of other splits, by kind, sorted.

    * speaker: of the supervisions and of the registration clips, distractors too.
    * utterance, recording: ``corpus/id`` of each source; a real recording also stands for itself.
    * room: the room, and each impulse response; none where it is dry.
    * noise: noises by id and hash, and the sources of sound events; not what is synthesised.
    """
    makers = {
        "speaker": _speakers,
        "utterance": _utterances,
        "recording": _recordings,
        "room": _rooms,
        "noise": _noises,
    }
    return {kind: sorted(set(makers[kind](session))) for kind in kinds}


def _speakers(session: Session) -> Iterable[str]:
    yield from (supervision.speaker for supervision in session.supervisions)
    yield from (clip.speaker for clip in session.registration)


def _sources(session: Session) -> Iterable[Source]:
    return (s.source for s in session.supervisions if s.source is not None)


def _utterances(session: Session) -> Iterable[str]:
    return (f"{source.corpus}/{source.utterance_id}" for source in _sources(session))


def _recordings(session: Session) -> Iterable[str]:
    yield from (f"{source.corpus}/{source.recording_id}" for source in _sources(session))
    if session.origin != "simulated":
        yield f"audio/{session.audio.pcm_sha256}"


def _rooms(session: Session) -> Iterable[str]:
    if session.scene is None or session.scene.room.kind == "dry":
        return
    yield f"room/{session.scene.room.id}"
    for seat in session.scene.seats:
        response = seat.rir_sha256 or seat.rir_id
        if response is not None:
            yield f"rir/{response}"


def _noises(session: Session) -> Iterable[str]:
    for noise in session.noise:
        if not is_synthetic_noise(noise.kind, noise.id, noise.sha256):
            yield noise.id
            if noise.sha256 is not None:
                yield f"sha256/{noise.sha256}"
    for event in session.events:
        if event.source is not None:
            yield f"{event.source.corpus}/{event.source.utterance_id}"


def session_strata(session: Session, strata: Sequence[Stratum]) -> tuple[str, ...]:
    """The stratum of a session in each of the given respects."""
    makers = {"speakers": _num_speakers, "overlap": _overlap, "language": _language}
    return tuple(makers[stratum](session) for stratum in strata)


def _num_speakers(session: Session) -> str:
    count = len({supervision.speaker for supervision in session.supervisions})
    return f"{MANY_SPEAKERS}+" if count >= MANY_SPEAKERS else str(count)


def _overlap(session: Session) -> str:
    if session.statistics is None:
        return "unknown"
    share = session.statistics.overlap_of_speech
    for edge in OVERLAP_BINS:
        if share <= edge:
            return f"to {edge:.0%}"
    return f"above {OVERLAP_BINS[-1]:.0%}"


def _language(session: Session) -> str:
    found = {supervision.language for supervision in session.supervisions} - {None, ""}
    return "+".join(sorted(str(language) for language in found)) or "unknown"
