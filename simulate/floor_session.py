"""What is decided of a session before anybody speaks: ratios, traits, shares, and their control."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

import numpy as np

from talkover.simulate.floor_control import Steering, TalkBudget
from talkover.simulate.turn_effects import Effects
from talkover.simulate.turn_sessions import AXES, Character
from talkover.simulate.turn_targets import Targets
from talkover.simulate.turns import TurnModel

LEAST_WEIGHT = 0.03
"""Smallest share of a speaker in the choice of the next one."""
OVERLAP_OF_OTHERS = 0.5
"""Share of the others' talk that may overlap one speaker who was asked to have a share of it."""
SHORTEST_SESSION = 1e-9
"""Seconds; keeps ratios finite."""


@dataclass(frozen=True, kw_only=True)
class SessionSetting:
    """One session's own values."""

    character: Character
    """Its silence is that between the first and the last unit."""
    silence_target: float
    """Share of all of the session, with lead-in and lead-out."""
    weights: list[float]
    """Talk share of each speaker, drawn."""
    overlap_steering: Steering
    silence_steering: Steering
    budget: TalkBudget | None
    """Of the talk, where shares are asked."""
    effects: Effects
    cycle: float
    """Expected seconds from one unit that holds the floor to the next."""

    @property
    def tempo(self) -> float:
        """Factor on unit durations."""
        return exp(self.character.tempo)


def draw_setting(
    model: TurnModel,
    asked: Targets,
    num_speakers: int,
    rng: np.random.Generator,
    *,
    length: float,
    around: float,
    length_rank: float | None,
    character: Character | None,
) -> SessionSetting:
    """Draw a session's own values; drawn always, so that a target changes nothing else.

    Args:
        model: The turn-taking model.
        asked: Goes before what is drawn.
        num_speakers: Speakers.
        rng: Decides.
        length: Seconds, lead-in and lead-out included.
        around: Seconds of lead-in and lead-out.
        length_rank: See `TurnModel.draw_character`.
        character: Goes before what is drawn, too.
    """
    inner = max(SHORTEST_SESSION, length - around)
    silence = asked.silence
    if silence is not None:
        silence = max(0.0, (silence * length - around) / inner)
    drawn = model.draw_character(
        rng.standard_normal(len(AXES)),
        speakers=num_speakers,
        length_rank=length_rank,
        overlap=asked.overlap,
        silence=silence,
    )
    own = character or drawn
    own = replace(
        own,
        overlap=min(own.overlap, _most_overlap(asked, num_speakers))
        if asked.overlap is None
        else asked.overlap,
        silence=own.silence if silence is None else silence,
    )
    shares = rng.dirichlet([model.speakers.evenness] * num_speakers)
    total = (own.silence * inner + around) / length
    return SessionSetting(
        character=own,
        silence_target=total if asked.silence is None else asked.silence,
        weights=np.maximum(shares, LEAST_WEIGHT).tolist(),
        overlap_steering=Steering.of(own.overlap, length, asked=asked.overlap is not None),
        silence_steering=Steering.of(own.silence, length, asked=asked.silence is not None),
        budget=TalkBudget(asked.talk_shares, inner, (1 - own.silence) * (1 + own.overlap))
        if asked.talk_shares is not None
        else None,
        effects=Effects(
            model, own, alone=num_speakers == 1, backchannel_scale=asked.backchannel_scale
        ),
        cycle=_cycle(model, own),
    )


def _most_overlap(asked: Targets, num_speakers: int) -> float:
    """Overlap that may be drawn: what is asked besides may leave little or none."""
    if num_speakers == 1 or asked.max_concurrent == 1:
        return 0.0
    if asked.talk_shares is None:
        return 1.0
    largest = max(asked.talk_shares)
    return OVERLAP_OF_OTHERS * (1 - largest) / largest


def _cycle(model: TurnModel, own: Character) -> float:
    hold, _, _ = model.transitions.stationary
    unit = hold * model.units.hold.mean + (1 - hold) * model.units.switch.mean
    return exp(own.tempo) * unit / max(0.05, 1 - own.silence)
