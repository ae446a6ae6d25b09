"""What a session is asked to be, and whether it can be.

Some targets no conversation can meet (overlap of one speaker), some this walk of the floor cannot.
Both are refused with the reason before any plan is made.
"""

from __future__ import annotations

from dataclasses import dataclass

from talkover.manifests.errors import ConfigurationError, InfeasibleTarget
from talkover.simulate.turns import TurnModel

MAX_SPEAKERS = 8
"""Speakers in one session; the presets are fitted on 2 to 8."""
LEAST_SPEECH = 1.0
"""Seconds of speech each speaker needs to take part: two or three words."""
MOST_SILENCE = 0.9
"""Share of time; beyond it the units are so far apart that nobody answers anybody."""
MOST_OVERLAP = {2: 0.35, 3: 0.45, 4: 0.5, 5: 0.5, 6: 0.5, 7: 0.5, 8: 0.5}
"""By speakers: the share of speech that the walk reaches within 2 points (docs/turns.md)."""
MOST_OVERLAP_OF_TWO = 0.35
"""The same where at most two may speak at one time."""


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What is asked of a session; None leaves it to the turn-taking model.

    Args:
        speakers: A number, or least and most.
        overlap: Share of speech time with two or more speakers.
        silence: Share of session time without speech.
        length: Seconds.
        max_concurrent: Most speakers at one time.
    """

    speakers: int | tuple[int, int] | None = None
    overlap: float | None = None
    silence: float | None = None
    length: float | None = None
    max_concurrent: int = 3

    def __post_init__(self) -> None:
        """Check each value alone; `check_feasible` checks them together."""
        least, most = self.speaker_limits or (1, 1)
        if not 1 <= least <= most <= MAX_SPEAKERS:
            raise ConfigurationError(
                f"speakers must be 1 to {MAX_SPEAKERS}, or least and most, got {self.speakers}"
            )
        for name, value in (("overlap", self.overlap), ("silence", self.silence)):
            if value is not None and not 0 <= value <= 1:
                raise ConfigurationError(f"{name} is a share from 0 to 1, got {value}")
        if self.length is not None and not 0 < self.length < float("inf"):
            raise ConfigurationError(f"length must be more than 0 seconds, got {self.length}")
        if self.max_concurrent < 1:
            raise ConfigurationError(f"max_concurrent must be 1 or more, got {self.max_concurrent}")

    @property
    def speaker_limits(self) -> tuple[int, int] | None:
        """Least and most speakers; None if the model decides."""
        if self.speakers is None or isinstance(self.speakers, tuple):
            return self.speakers
        return self.speakers, self.speakers


def check_feasible(targets: Targets, model: TurnModel, *, length: float | None = None) -> None:
    """Refuse targets that no session can meet.

    Args:
        targets: What is asked; a range of speakers must be feasible at both of its ends.
        model: Gives the length where neither `targets` nor `length` does.
        length: Seconds of the session; goes before the length in `targets`.

    Raises:
        InfeasibleTarget: With the reason, the numbers and what would work.
    """
    seconds = length or targets.length or model.sessions.length.at(0.0)
    limits = targets.speaker_limits or (2, max(model.speakers.counts))
    for count in sorted(set(limits)):
        _check_overlap(targets, count)
        _check_silence(targets)
        _check_length(targets, model, count, seconds)


def _check_overlap(targets: Targets, count: int) -> None:
    overlap = targets.overlap
    if not overlap:
        return
    if count == 1:
        raise InfeasibleTarget(
            f"overlap {overlap:g} was asked of a session with one speaker, who cannot overlap "
            "anybody: ask for 2 or more speakers, or for overlap 0"
        )
    if targets.max_concurrent == 1:
        raise InfeasibleTarget(
            f"overlap {overlap:g} was asked with max_concurrent 1, which allows none: "
            "use max_concurrent 2 or more, or overlap 0"
        )
    most = MOST_OVERLAP[count]
    if targets.max_concurrent == 2:
        most = min(most, MOST_OVERLAP_OF_TWO)
    if overlap > most:
        raise InfeasibleTarget(
            f"overlap {overlap:g} was asked, but {count} speakers with at most "
            f"{min(count, targets.max_concurrent)} at a time who take turns reach {most:g} of "
            f"speech time: ask for at most {most:g}, more speakers or a larger max_concurrent"
        )


def _check_silence(targets: Targets) -> None:
    if targets.silence is None:
        return
    if targets.silence >= 1:
        raise InfeasibleTarget(
            f"silence {targets.silence:g} leaves no time for speech: ask for less than 1"
        )
    if targets.silence > MOST_SILENCE:
        raise InfeasibleTarget(
            f"silence {targets.silence:g} was asked, but a conversation with more than "
            f"{MOST_SILENCE:g} of silence has no turns to take: ask for at most {MOST_SILENCE:g}"
        )


def _check_length(targets: Targets, model: TurnModel, count: int, seconds: float) -> None:
    silence = model.sessions.silence.mean if targets.silence is None else targets.silence
    needed = count * LEAST_SPEECH / (1 - silence)
    if seconds < needed:
        raise InfeasibleTarget(
            f"{seconds:g} s were asked for {count} speakers at {silence:.0%} silence, but each "
            f"needs {LEAST_SPEECH:g} s of speech: ask for {needed:.1f} s or more, or for "
            "fewer speakers"
        )
