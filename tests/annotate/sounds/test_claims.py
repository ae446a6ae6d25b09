"""Proposals are judged by what is heard in and around them, and no sound is claimed twice."""

import json
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.annotate.sounds.claims import (
    FIGURES,
    SAME_TIME,
    Scorer,
    choose,
    claim,
    figures_of,
)
from talkover.annotate.sounds.proposals import Proposal, SoundCurves


def heard(frames: int = 60) -> SoundCurves:
    """A bell from frame 10 to 30, a drum from 20 to 40, speech all the time."""
    kinds = np.full((frames, 2), 0.01)
    kinds[10:30, 0] = kinds[20:40, 1] = 0.99
    edges = np.full((frames, 2), 0.01)
    edges[[9, 10, 19, 20], 0] = edges[[29, 30, 39, 40], 1] = 0.9
    activities = np.tile([1.0, 0.0, 0.5], (frames, 1))
    return SoundCurves.of(kinds, kinds.max(axis=1), edges, activities)


def figure(rows: np.ndarray, name: str) -> list[float]:
    return rows[:, FIGURES.index(name)].round(2).tolist()


def test_figures_say_what_is_heard_inside_around_and_at_the_edges() -> None:
    rows = figures_of(heard(), [Proposal(0, 10, 30), Proposal(1, 10, 30), Proposal(0, 0, 60)])
    assert rows.shape == (3, len(FIGURES) + 2)
    clear = round(float(np.log(99)), 2)
    assert figure(rows, "kind")[:2] == [clear, 0.0]
    assert figure(rows, "best_other")[:2] == [0.0, clear]
    assert figure(rows, "kind_before") == [-clear, -clear, -6.0]  # nothing before the recording
    assert figure(rows, "kind_after")[:2] == [-clear, clear]
    assert figure(rows, "rise")[0] == round(2 * float(np.log(99)), 2)
    assert figure(rows, "onset")[0] == figure(rows, "offset")[0] == round(float(np.log(9)), 2)
    assert figure(rows, "onset_inside")[0] == figure(rows, "onset")[0]  # the drum begins inside
    assert figure(rows, "speech") == [1.0] * 3 and figure(rows, "noise") == [0.5] * 3
    assert rows[:, -2:].tolist() == [[1, 0], [0, 1], [1, 0]]
    assert figures_of(heard(), []).shape == (0, len(FIGURES) + 2)


spans = st.builds(
    lambda kind, start, length: Proposal(kind, start, start + length),
    st.integers(0, 2),
    st.integers(0, 40),
    st.integers(1, 15),
)


@given(st.lists(st.tuples(spans, st.floats(0, 1)), max_size=25))
def test_claims_are_the_surest_and_no_two_of_them_are_one_sound(given_: list) -> None:
    proposals = [p for p, _ in given_]
    sure = np.array([s for _, s in given_])
    found = choose(proposals, sure, 0.5)
    assert all(one.confidence >= 0.5 for one in found)
    for one, other in combinations(found, 2):
        common = min(one.end, other.end) - max(one.start, other.start)
        together = max(one.end, other.end) - min(one.start, other.start)
        assert common <= 0 or (one.kind != other.kind and common < SAME_TIME * together)
    if (sure >= 0.5).any():  # the surest is always claimed
        assert max(one.confidence for one in found) == sure.max()


def scorer() -> Scorer:
    weights = np.zeros(2 * len(FIGURES) + 2)
    weights[FIGURES.index("kind_low")] = weights[FIGURES.index("log_frames")] = 1.0
    weights[[FIGURES.index("kind_before"), FIGURES.index("kind_after")]] = -0.5
    return Scorer(kinds=("bell", "drum"), weights=weights, bias=-5.0, least=0.5)


def test_two_sounds_at_once_are_two_claims() -> None:
    found = claim(heard(), scorer())
    assert [(one.kind, one.start, one.end) for one in found] == [(0, 10, 30), (1, 20, 40)]


def test_a_scorer_survives_its_file_and_another_one_s_is_refused() -> None:
    settings = json.loads(json.dumps(scorer().as_dict()))
    again = Scorer.of(settings)
    assert again.kinds == ("bell", "drum") and again.least == 0.5
    assert np.allclose(again.weights, scorer().weights) and again.bias == -5.0
    with pytest.raises(ValueError, match="other figures"):
        Scorer.of({**settings, "figures": ["level"]})
    with pytest.raises(ValueError, match="needs 42 weights and one of each kind"):
        Scorer.of({**settings, "kinds": ["bell"]})
