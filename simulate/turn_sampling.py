"""Timing alone: sessions sampled from a turn-taking model and written as RTTM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scipy.special import ndtr

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import atomic_path
from talkover.manifests.seeds import generator
from talkover.simulate.floor import Unit, sample
from talkover.simulate.turn_sessions import Character, even_noise, score
from talkover.simulate.turn_targets import Targets, least_length, most_speakers
from talkover.simulate.turns import TurnModel


def sample_sessions(
    model: TurnModel,
    hours: float,
    *,
    speakers: int | tuple[int, int] | None = None,
    seed: int = 0,
    targets: Targets | None = None,
) -> Iterator[tuple[str, list[Unit]]]:
    """Sessions with lengths and speaker counts of the model, until they reach a number of hours.

    Args:
        model: The turn-taking model.
        hours: Total; the last session may exceed it.
        speakers: A number, or least and most; None takes the model's distribution.
        seed: Root seed; session n depends on (model, seed, n) alone.
        targets: Overlap, silence, length and most concurrent speakers of each session.

    Yields:
        Session id and units by start.

    Raises:
        ConfigurationError: If hours is not positive.
        InfeasibleTarget: If no session can be so.
    """
    if not 0 < hours < float("inf"):
        raise ConfigurationError(f"hours must be more than 0, got {hours}")
    asked = targets or Targets()
    limits = Targets(speakers=speakers).speaker_limits or asked.speaker_limits
    total, number = 0.0, 0
    while total < hours * 3600:
        drawn = draw_session(model, seed, number, limits=limits, targets=asked)
        units = sample(
            model,
            num_speakers=drawn.speakers,
            length=drawn.length,
            rng=generator(seed, number, "turns"),
            targets=asked,
            character=drawn.character,
        )
        yield f"{model.name}-{seed}-{number:06d}", units
        total += drawn.length
        number += 1


def sample_rttm(
    model: TurnModel,
    hours: float,
    out: Path | str,
    *,
    speakers: int | tuple[int, int] | None = None,
    seed: int = 0,
) -> int:
    """Write sampled timing as RTTM, atomically; the same arguments give the same bytes.

    Args:
        model: The turn-taking model.
        hours: Total; the last session may exceed it.
        out: The file.
        speakers: A number, or least and most; None takes the model's distribution.
        seed: Root seed.

    Returns:
        Number of sessions.
    """
    count = 0
    with atomic_path(Path(out)) as temporary, temporary.open("w", encoding="utf8") as file:
        for session, units in sample_sessions(model, hours, speakers=speakers, seed=seed):
            file.writelines(
                f"SPEAKER {session} 1 {u.start:.3f} {u.end - u.start:.3f} "
                f"<NA> <NA> S{u.speaker + 1:02d} <NA> <NA>\n"
                for u in units
            )
            count += 1
    return count


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnSession:
    """The frame of a session: all that is decided before anybody speaks."""

    speakers: int
    length: float
    """Seconds."""
    length_rank: float | None
    """Share of the model's sessions that are shorter; None if the length was asked."""
    character: Character


def draw_session(
    model: TurnModel,
    seed: int,
    number: int,
    *,
    limits: tuple[int, int] | None = None,
    targets: Targets | None = None,
) -> DrawnSession:
    """The frame of session `number`; frames of one seed are evenly spread over the model's.

    A session of the model's that is too short for its speakers has fewer, or is longer where so
    many are asked.

    Args:
        model: The turn-taking model.
        seed: Root seed.
        number: Of the session, from 0.
        limits: Least and most speakers; None takes the model's distribution.
        targets: Overlap, silence and length that are asked.
    """
    asked = targets or Targets()
    noise = even_noise(seed, number)
    rank = float(ndtr(noise[0])) if asked.length is None else None
    length = model.sessions.length.at(rank) if rank is not None else asked.length
    assert length is not None  # asked, where there is no rank
    known = {"length": score(rank)} if rank is not None else {}
    place = float(ndtr(model.sessions.scores(noise, known)["speakers"]))
    count = model.number_of_speakers(place, limits)
    if rank is not None:
        fit = most_speakers(model, length, asked.silence)
        count = max(min(count, fit), limits[0] if limits else 2)
        length = max(length, least_length(model, count, asked.silence))
    character = model.draw_character(
        noise, speakers=count, length_rank=rank, overlap=asked.overlap, silence=asked.silence
    )
    return DrawnSession(speakers=count, length=length, length_rank=rank, character=character)
