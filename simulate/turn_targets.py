"""What a session is asked to be, and whether it can be.

Some targets no conversation can meet (overlap of one speaker), some this walk of the floor cannot.
Both are refused with the reason before any plan is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from talkover.manifests.errors import ConfigurationError, InfeasibleTarget
from talkover.simulate.turns import TurnModel

MAX_SPEAKERS = 20
"""Speakers in one session; VoxConverse, the preset of most speakers, goes to 20."""
LEAST_UNIT = 0.1
"""Probability whose quantile of the model's units is the least that each speaker says."""
SHARES_SLACK = 1e-3
"""By which talk shares may miss a sum of 1: they are written with few digits."""
MOST_SILENCE = 0.9
"""Share of time; beyond it the units are so far apart that nobody answers anybody."""
MOST_OVERLAP = {2: 0.35, 3: 0.45}
"""By speakers: the share of speech that the walk reaches within 2 points (docs/turns.md)."""
MOST_OVERLAP_OF_MANY = 0.5
"""The same for more speakers."""
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
        max_concurrent: Most speakers at one time; None sets no bound.
        talk_shares: Share of all speech of each speaker, in the order of the walk's speakers (time
            in overlap counts for each); None draws them from the model.
        backchannel_scale: Factor on the rate of backchannels, where a corpus has too few short
            utterances. An asked overlap is reached by interruptions instead.
    """

    speakers: int | tuple[int, int] | None = None
    overlap: float | None = None
    silence: float | None = None
    length: float | None = None
    max_concurrent: int | None = None
    talk_shares: tuple[float, ...] | None = None
    backchannel_scale: float = 1.0

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
        if self.max_concurrent is not None and self.max_concurrent < 1:
            raise ConfigurationError(f"max_concurrent must be 1 or more, got {self.max_concurrent}")
        if self.backchannel_scale < 0 or not isfinite(self.backchannel_scale):
            raise ConfigurationError(
                f"backchannel_scale must be 0 or more, got {self.backchannel_scale}"
            )
        self._check_shares()

    def _check_shares(self) -> None:
        shares = self.talk_shares
        if shares is None:
            return
        if any(not 0 < share <= 1 for share in shares) or abs(sum(shares) - 1) > SHARES_SLACK:
            raise ConfigurationError(
                f"talk_shares must be above 0 and sum to 1, got {shares} with sum {sum(shares):g}"
            )

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
        _check_shares(targets, model, count, seconds)
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
    most = MOST_OVERLAP.get(count, MOST_OVERLAP_OF_MANY)
    if targets.max_concurrent == 2:
        most = min(most, MOST_OVERLAP_OF_TWO)
    if overlap > most:
        at_a_time = min(count, targets.max_concurrent or count)
        raise InfeasibleTarget(
            f"overlap {overlap:g} was asked, but {count} speakers with at most "
            f"{at_a_time} at a time who take turns reach {most:g} of "
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
    needed = least_length(model, count, targets.silence)
    if seconds < needed:
        raise InfeasibleTarget(
            f"{seconds:g} s were asked for {count} speakers, but each needs "
            f"{least_unit(model):.1f} s for a short unit: ask for {needed:.1f} s or more, or for "
            "fewer speakers"
        )


def least_unit(model: TurnModel) -> float:
    """Seconds of speech that each speaker needs to take part: a short unit of the model."""
    return max(model.origin.join, model.units.switch.at(LEAST_UNIT))


def least_length(model: TurnModel, count: int, silence: float | None) -> float:
    """Seconds of a session in which each of some speakers can say a short unit."""
    share = model.sessions.silence.mean if silence is None else silence
    return count * least_unit(model) / max(1e-9, 1 - share)


def most_speakers(model: TurnModel, seconds: float, silence: float | None) -> int:
    """How many can say a short unit each in a session of some seconds."""
    return int(seconds / least_length(model, 1, silence))


def _check_shares(targets: Targets, model: TurnModel, count: int, seconds: float) -> None:
    shares = targets.talk_shares
    if shares is None:
        return
    if len(shares) != count:
        raise InfeasibleTarget(
            f"{len(shares)} talk shares were asked for {count} speakers: give one for each"
        )
    sessions = model.sessions
    overlap = sessions.overlap.mean if targets.overlap is None else targets.overlap
    silence = sessions.silence.mean if targets.silence is None else targets.silence
    speech = seconds * (1 - silence)
    talk = speech * (1 + (overlap if count > 1 else 0.0))
    if targets.overlap is not None and max(shares) * talk > speech * (1 + SHARES_SLACK):
        raise InfeasibleTarget(
            f"one speaker was asked to have {max(shares):g} of the talk at overlap {overlap:g}, "
            f"but the others' {1 - max(shares):g} cannot overlap so much: ask for a share of at "
            f"most {1 / (1 + overlap):.2f} or less overlap"
        )
    if min(shares) * talk < least_unit(model):
        raise InfeasibleTarget(
            f"a talk share of {min(shares):g} of {talk:.1f} s of speech is less than a short unit "
            f"of {least_unit(model):.1f} s: ask for larger shares or longer sessions"
        )
