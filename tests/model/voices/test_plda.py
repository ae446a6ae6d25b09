"""The linear model of voices: what is solved from sums, against sums over the data themselves."""

from __future__ import annotations

import numpy as np
import pytest
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


def sums_of(
    statistics: np.ndarray, who: np.ndarray, speakers: int, said: np.ndarray | None = None
) -> Sums:
    said = np.zeros_like(who) if said is None else said
    counts = np.zeros((speakers, said.max() + 1))
    np.add.at(counts, (who, said), 1)
    return Sums(
        counts=counts,
        firsts=np.stack([statistics[who == s].sum(0) for s in range(speakers)]),
        kinds=np.stack([statistics[said == c].sum(0) for c in range(said.max() + 1)]),
        seconds=statistics.T @ statistics,
    )


def same(statistics: np.ndarray) -> np.ndarray:
    """The kinds of stretches that all say the same."""
    return np.zeros(len(statistics), dtype=np.int64)


def test_words_of_a_speaker_spread_by_one_along_every_direction() -> None:
    statistics, who = drawn(0)
    plda = solve(sums_of(statistics, who, 20), directions=4, ridge=1e-6)
    assert plda is not None
    projected = plda.project(statistics, same(statistics))
    within = np.stack([projected[who == s].var(0) for s in range(20)]).mean(0)
    np.testing.assert_allclose(within, 1.0, atol=0.08)


def test_the_directions_that_tell_speakers_apart_are_found() -> None:
    statistics, who = drawn(1)
    plda = solve(sums_of(statistics, who, 20), directions=SIZE, ridge=1e-6)
    assert plda is not None
    strong = np.sort(plda.between)[::-1]
    assert strong[1] > 1.5 and strong[2] < 0.3  # 2² = 4 in the mean, and nothing in the others
    projected = plda.project(statistics, same(statistics))
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
        np.abs(other.project(scale * statistics + shift, same(statistics))),
        np.abs(plain.project(statistics, same(statistics))),
        atol=1e-5,
    )


def test_sums_in_any_order_and_many_times_over_give_the_same_directions() -> None:
    statistics, who = drawn(3)
    sums = sums_of(statistics, who, 20)
    once = solve(sums, directions=3, ridge=0.1)
    thrice = solve(
        Sums(
            counts=3 * sums.counts,
            firsts=3 * sums.firsts,
            kinds=3 * sums.kinds,
            seconds=3 * sums.seconds,
        ),
        directions=3,
        ridge=0.1,
    )
    assert once is not None and thrice is not None
    kinds = same(statistics)
    np.testing.assert_allclose(
        once.project(statistics, kinds), thrice.project(statistics, kinds), atol=1e-6
    )


def test_what_is_said_is_taken_out() -> None:
    """Words that differ more than voices do: known, they do not matter; unknown, they spoil it."""
    statistics, who = drawn(5, words=60)
    rng = np.random.default_rng(6)
    said = rng.integers(0, 10, len(who))
    words = 8.0 * rng.standard_normal((10, SIZE))
    heard = statistics + words[said]
    told = solve(sums_of(heard, who, 20, said), directions=2, ridge=1e-6)
    untold = solve(sums_of(heard, who, 20), directions=2, ridge=1e-6)
    plain = solve(sums_of(statistics, who, 20), directions=2, ridge=1e-6)
    assert told is not None and untold is not None and plain is not None
    np.testing.assert_allclose(told.between, plain.between, rtol=0.2)
    assert (untold.between < 0.7 * plain.between).all()
    assert np.corrcoef(
        told.project(heard, said)[:, 1], plain.project(statistics, same(statistics))[:, 1]
    )[0, 1] == pytest.approx(1.0, abs=0.02)


def test_a_kind_that_was_never_heard_has_the_mean_of_all() -> None:
    statistics, who = drawn(7)
    sums = sums_of(statistics, who, 20)
    wider = Sums(
        counts=np.pad(sums.counts, ((0, 0), (0, 1))),
        firsts=sums.firsts,
        kinds=np.pad(sums.kinds, ((0, 1), (0, 0))),
        seconds=sums.seconds,
    )
    plda = solve(wider, directions=3, ridge=0.1)
    assert plda is not None
    np.testing.assert_allclose(plda.means[1], plda.means[0])


def test_two_speakers_are_too_few() -> None:
    statistics, who = drawn(4, speakers=2)
    assert solve(sums_of(statistics, who, 2), directions=3, ridge=0.1) is None
    few, said = drawn(4, speakers=9, words=LEAST_OF_A_SPEAKER - 1)
    assert solve(sums_of(few, said, 9), directions=3, ridge=0.1) is None
