"""Rules of enrolment keep out as many strangers as they say, whatever the length of the speech."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.annotate.training.enrolment_trials import (
    LENGTHS,
    Spoken,
    Trials,
    accepted_interval,
    draw_trials,
    person_of,
    rule_for,
    safe_rule,
    shares,
)


def _trials(seed: int, count: int = 4000, shortness: float = 0.1) -> Trials:
    rng = np.random.default_rng(seed)
    seconds = rng.choice(LENGTHS, count)
    return Trials(
        seconds=seconds,
        highest=rng.normal(0.4, 0.1, count) - shortness / seconds,
        own=np.where(rng.random(count) < 0.5, rng.normal(0.8, 0.1, count), np.nan),
        people=tuple(f"p{n % 9}" for n in range(count)),
    )


@given(st.integers(0, 30), st.sampled_from([0.01, 0.02, 0.05]))
def test_a_rule_lets_in_the_share_that_it_was_set_for(seed: int, share: float) -> None:
    trials = _trials(seed)
    rule = rule_for(trials, share)
    found = shares(trials, rule)
    assert 0.5 * share <= found["accepted_unknown"] <= share + 2 / len(trials.seconds)
    for seconds in LENGTHS:  # of each length alike: that is what the second threshold is for
        own = trials.seconds == seconds
        needed = rule["enrolment"] - rule["enrolment_shortness"] / seconds
        assert (trials.highest[own] >= needed).mean() == pytest.approx(share, abs=0.03)
    assert rule["enrolment_shortness"] == pytest.approx(0.1, abs=0.05)


def test_a_rule_is_the_stricter_the_less_alike_people_are() -> None:
    alike = _trials(0)
    lenient = safe_rule(alike)
    assert accepted_interval(alike, lenient)[1] <= 0.05
    assert shares(alike, lenient)["accepted_unknown"] == pytest.approx(0.04, abs=0.002)
    one_person = np.array(alike.people) == "p3"  # who sounds like everybody
    odd = replace(alike, highest=alike.highest + np.where(one_person, 0.15, 0.0))
    strict = safe_rule(odd)
    assert accepted_interval(odd, strict)[1] <= 0.05
    assert shares(odd, strict)["accepted_unknown"] < 0.03
    alone = replace(alike, people=("p0",) * len(alike.people))
    assert safe_rule(alone) == rule_for(alone, 0.005)  # of one person nothing is known


def test_speech_of_one_length_needs_one_threshold() -> None:
    trials = Trials(
        seconds=np.full(100, 2.0),
        highest=np.arange(100) / 100,
        own=np.full(100, np.nan),
        people=("a",) * 100,
    )
    rule = rule_for(trials, 0.05)
    assert rule["enrolment_shortness"] == 0.0
    assert "recognised_known" not in shares(trials, rule)


def _spoken(voice: str, session: str, vector: list[float], *, enrolled: bool = True) -> Spoken:
    unit = np.array(vector, dtype=np.float32)
    return Spoken(
        voice=voice,
        session=session,
        stretches=((1.0, unit),),
        enrolled=unit if enrolled else None,
    )


def test_nobody_is_tried_against_their_own_voice_at_another_speed() -> None:
    spoken = [
        _spoken("ana", "1", [1, 0]),
        _spoken("ana-x85", "2", [1, 0]),
        _spoken("bo", "2", [0, 1]),
        _spoken("bo", "3", [0, 1]),
    ]
    trials = draw_trials(spoken)
    assert set(trials.people) == {"ana", "bo"}
    assert (trials.highest == 0).all()  # of the other person, never of the other speed
    of_bo = np.array(trials.people) == "bo"
    assert (trials.own[of_bo] == 1).all()  # from the other session
    assert np.isnan(trials.own[~of_bo]).all()  # another speed is another voice
    assert person_of("ana") == person_of("ana-x117") == "ana"


def test_one_person_cannot_be_tried() -> None:
    with pytest.raises(ValueError, match="1 people"):
        draw_trials([_spoken("ana", "1", [1, 0])])
