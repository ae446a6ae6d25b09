"""The choice among proposed sounds is learnt from what turned out right."""

import numpy as np
import pytest

from talkover.annotate.sounds.claims import Claim, claim
from talkover.annotate.sounds.proposals import SoundCurves
from talkover.annotate.training.claim_fitting import counts_of, fit_scorer, look_at

KINDS = ("bell", "drum")


def session(seed: int) -> tuple[SoundCurves, list[list[tuple[int, int]]]]:
    """Bells that are heard well, and drums that are mostly imagined: weak and short."""
    rng = np.random.default_rng(seed)
    kinds = rng.uniform(0.01, 0.05, (400, 2))
    there: list[list[tuple[int, int]]] = [[], []]
    for start in range(10, 380, 40):
        end = start + int(rng.integers(8, 25))
        if rng.random() < 0.5:
            kinds[start:end, 0] = rng.uniform(0.7, 0.99)
            there[0].append((start, end))
        else:
            kinds[start : start + 5, 1] = rng.uniform(0.6, 0.8)
            if rng.random() < 0.1:
                there[1].append((start, start + 5))
    curves = SoundCurves.of(kinds, kinds.max(axis=1), np.zeros((400, 2)), np.zeros((400, 3)))
    return curves, there


def test_what_is_mostly_imagined_is_not_claimed() -> None:
    seen = [look_at(*session(seed)) for seed in range(10)]
    fitted = fit_scorer(seen, KINDS)
    assert fitted is not None
    scorer, left_out = fitted
    assert left_out > 0.85
    curves, there = session(99)
    found = claim(curves, scorer)
    assert {one.kind for one in found} == {0}
    assert counts_of(there, found).matched == len(there[0])


def test_a_session_that_was_fitted_on_makes_no_difference_to_its_own_score() -> None:
    """With labels drawn by chance nothing can be learnt, and nothing must seem to be."""
    seen = []
    for seed in range(15):
        curves, _ = session(seed)
        rng = np.random.default_rng(1000 + seed)
        starts = rng.integers(0, 390, 6)
        seen.append(look_at(curves, [[(int(s), int(s) + 6) for s in starts], []]))
    fitted = fit_scorer(seen, KINDS)
    assert fitted is None or fitted[1] < 0.35


def test_there_is_nothing_to_learn_without_proposals_or_without_truth() -> None:
    silent = SoundCurves.of(np.zeros((50, 2)), np.zeros(50), np.zeros((50, 2)), np.zeros((50, 3)))
    assert fit_scorer([look_at(silent, [[], []])], KINDS) is None
    curves, _ = session(0)
    assert fit_scorer([look_at(curves, [[], []])], KINDS) is None


def test_claims_count_for_their_own_kind_alone() -> None:
    there = [[(0, 10)], [(20, 30)]]
    said = [Claim(kind=1, start=0, end=10, confidence=1.0)]
    assert counts_of(there, said).matched == 0
    right = [*said, Claim(kind=1, start=21, end=31, confidence=1.0)]
    counts = counts_of(there, right)
    assert (counts.matched, counts.there, counts.said) == (1, 2, 2)
    assert counts.f1 == pytest.approx(0.5)
