"""The linear model of voices: what is solved from sums, against sums over the data themselves."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.model.voices.plda import LEAST_OF_A_SPEAKER, Sums, solve

SIZE = 6


def drawn(seed: int, speakers: int = 20, words: int = 30, apart: float = 2.0):
    """Statistics of words, and who said them: two of six directions tell speakers apart."""
    rng = np.random.default_rng(seed)
    means = np.zeros((speakers, SIZE))
    means[:, :2] = apart * rng.standard_normal((speakers, 2))
    who = np.repeat(np.arange(speakers), words)
    mixing = rng.standard_normal((SIZE, SIZE))
    return (means[who] + rng.standard_normal((len(who), SIZE))) @ mixing + 5.0, who


def sums_of(statistics: np.ndarray, who: np.ndarray, speakers: int) -> Sums:
    return Sums(
        counts=np.bincount(who, minlength=speakers).astype(float),
        firsts=np.stack([statistics[who == s].sum(0) for s in range(speakers)]),
        seconds=statistics.T @ statistics,
    )


def test_words_of_a_speaker_spread_by_one_along_every_direction() -> None:
    statistics, who = drawn(0)
    plda = solve(sums_of(statistics, who, 20), directions=4, ridge=1e-6)
    assert plda is not None
    projected = plda.project(statistics)
    within = np.stack([projected[who == s].var(0) for s in range(20)]).mean(0)
    np.testing.assert_allclose(within, 1.0, atol=0.08)


def test_the_directions_that_tell_speakers_apart_are_found() -> None:
    statistics, who = drawn(1)
    plda = solve(sums_of(statistics, who, 20), directions=SIZE, ridge=1e-6)
    assert plda is not None
    strong = np.sort(plda.between)[::-1]
    assert strong[1] > 1.5 and strong[2] < 0.3  # 2² = 4 in the mean, and nothing in the others
    projected = plda.project(statistics)
    means = np.stack([projected[who == s].mean(0) for s in range(20)])
    np.testing.assert_allclose(
        plda.between, np.maximum(means.var(0, ddof=1) - 1 / 30, 1e-3), rtol=0.2, atol=0.02
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10.0), shift=st.floats(-5.0, 5.0))
def test_units_and_zero_of_the_statistics_do_not_matter(
    seed: int, scale: float, shift: float
) -> None:
    statistics, who = drawn(seed, speakers=8, words=12)
    plain = solve(sums_of(statistics, who, 8), directions=3, ridge=0.1)
    other = solve(sums_of(scale * statistics + shift, who, 8), directions=3, ridge=0.1)
    assert plain is not None and other is not None
    np.testing.assert_allclose(
        np.abs(other.project(scale * statistics + shift)),
        np.abs(plain.project(statistics)),
        atol=1e-5,
    )


def test_sums_in_any_order_and_many_times_over_give_the_same_directions() -> None:
    statistics, who = drawn(3)
    sums = sums_of(statistics, who, 20)
    once = solve(sums, directions=3, ridge=0.1)
    thrice = solve(
        Sums(counts=3 * sums.counts, firsts=3 * sums.firsts, seconds=3 * sums.seconds),
        directions=3,
        ridge=0.1,
    )
    assert once is not None and thrice is not None
    np.testing.assert_allclose(once.project(statistics), thrice.project(statistics), atol=1e-6)


def test_two_speakers_are_too_few() -> None:
    statistics, who = drawn(4, speakers=2)
    assert solve(sums_of(statistics, who, 2), directions=3, ridge=0.1) is None
    few, said = drawn(4, speakers=9, words=LEAST_OF_A_SPEAKER - 1)
    assert solve(sums_of(few, said, 9), directions=3, ridge=0.1) is None
