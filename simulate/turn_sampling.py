"""Timing alone: sessions sampled from a turn-taking model and written as RTTM."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from talkover.manifests.errors import ConfigurationError, InfeasibleTarget
from talkover.manifests.markers import atomic_path
from talkover.manifests.seeds import generator
from talkover.simulate.floor import Unit, sample
from talkover.simulate.turn_targets import Targets, check_feasible
from talkover.simulate.turns import TurnModel

DRAWS = 100
"""Of a length, until it suffices for the drawn number of speakers."""


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
        count, length, rank = draw_session(model, seed, number, limits=limits, targets=asked)
        units = sample(
            model,
            num_speakers=count,
            length=length,
            rng=generator(seed, number, "turns"),
            targets=asked,
            length_rank=rank,
        )
        yield f"{model.name}-{seed}-{number:06d}", units
        total += length
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


def draw_session(
    model: TurnModel,
    seed: int,
    number: int,
    *,
    limits: tuple[int, int] | None = None,
    targets: Targets | None = None,
) -> tuple[int, float, float | None]:
    """Speakers, length (seconds) and its rank of session `number`, long enough for all to speak.

    The rank is None for an asked length; see `TurnModel.draw_ratios`.
    """
    asked = targets or Targets()
    count = model.draw_speakers(generator(seed, number, "turns/speakers"), limits)
    if asked.length is not None:
        return count, asked.length, None
    rng = generator(seed, number, "turns/length")
    for _ in range(DRAWS):
        length = model.draw_length(rng)
        try:
            check_feasible(Targets(speakers=count, silence=asked.silence), model, length=length)
        except InfeasibleTarget:
            continue
        return count, length, model.sessions.length.probability_below(length)
    raise InfeasibleTarget(
        f"{model.name}: its sessions are too short for {count} speakers: give a length"
    )
