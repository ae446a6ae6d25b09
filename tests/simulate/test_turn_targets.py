"""Targets that cannot be met are refused with the reason."""

from __future__ import annotations

import pytest

from talkover.manifests.errors import ConfigurationError, InfeasibleTarget
from talkover.simulate.turn_targets import Targets, check_feasible
from talkover.simulate.turns import TurnModel


@pytest.fixture(scope="module")
def ami() -> TurnModel:
    return TurnModel.load("ami")


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        (Targets(speakers=1, overlap=0.1), "one speaker"),
        (Targets(speakers=(1, 4), overlap=0.1), "one speaker"),
        (Targets(speakers=3, overlap=0.1, max_concurrent=1), "max_concurrent 1"),
        (Targets(speakers=2, overlap=0.9), r"2 speakers.*reach"),
        (Targets(speakers=3, silence=1.0), "no time for speech"),
        (Targets(speakers=3, silence=0.95), "no turns to take"),
        (Targets(speakers=3, talk_shares=(0.5, 0.5)), "2 talk shares.*3 speakers"),
        (Targets(speakers=2, overlap=0.3, talk_shares=(0.9, 0.1)), "cannot overlap so much"),
        (Targets(speakers=3, talk_shares=(0.6, 0.3999, 0.0001)), "less than a short unit"),
    ],
)
def test_impossible_target_is_refused_with_the_reason(ami, targets, reason) -> None:
    with pytest.raises(InfeasibleTarget, match=reason):
        check_feasible(targets, ami, length=300)


def test_session_too_short_for_its_speakers_is_refused_with_the_length_needed(ami) -> None:
    with pytest.raises(InfeasibleTarget, match=r"each needs 0\.\d s for a short unit: ask"):
        check_feasible(Targets(speakers=20, silence=0.2), ami, length=9)


def test_length_may_come_from_targets_or_model(ami) -> None:
    with pytest.raises(InfeasibleTarget, match="1 s were asked"):
        check_feasible(Targets(speakers=4, length=1), ami)
    check_feasible(Targets(speakers=4), ami)


def test_feasible_targets_pass(ami) -> None:
    check_feasible(Targets(speakers=(1, 8)), ami, length=60)
    check_feasible(Targets(speakers=(2, 8), overlap=0.3, silence=0.05), ami, length=60)
    check_feasible(Targets(speakers=1, overlap=0.0), ami, length=30)


@pytest.mark.parametrize(
    "values",
    [
        {"speakers": 0},
        {"speakers": 21},
        {"speakers": (4, 2)},
        {"overlap": -0.1},
        {"overlap": float("nan")},
        {"silence": 1.5},
        {"length": 0.0},
        {"max_concurrent": 0},
        {"backchannel_scale": -1.0},
        {"talk_shares": (0.5, 0.6)},
        {"talk_shares": (1.0, 0.0)},
    ],
)
def test_value_outside_its_range_is_refused_at_once(values) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(values))):
        Targets(**values)
