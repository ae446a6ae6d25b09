"""Who said which word: the beam against all partitions, and its laws."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from talkover.model.voices.assignment import (
    ARRIVALS,
    BLUR,
    FULL,
    NUM_PAUSES,
    PAUSES,
    AssignmentConfig,
    Odds,
    arrival_odds,
    assign,
    blurred,
    count_arrivals,
    count_pauses,
    pause_class,
    pause_odds,
)
from talkover.model.voices.plda import Plda

K = 3
PLDA = Plda(
    means=np.zeros((1, K)),
    scale=np.ones(K),
    directions=np.eye(K),
    between=np.array([4.0, 2.0, 1.0]),
)
EVEN = Odds(pauses=np.zeros(NUM_PAUSES), arrivals=np.zeros(ARRIVALS))


def spans_of(count: int, step: float = 1.0, length: float = 0.5) -> list[tuple[float, float]]:
    return [(step * n, step * n + length) for n in range(count)]


def partitions(count: int, most: int):
    for labels in itertools.product(range(most), repeat=count):
        seen = list(dict.fromkeys(labels))
        if seen == list(range(len(seen))):
            yield labels


def log_likelihood(voices: np.ndarray, labels: tuple[int, ...], weight: float) -> float:
    """Of all words at once, with the speaker's mean integrated out: a plain reference."""
    total = 0.0
    for speaker in set(labels):
        mine = voices[[label == speaker for label in labels]]
        for k in range(K):
            count = len(mine)
            covariance = PLDA.between[k] * np.ones((count, count)) + np.eye(count) / weight
            total += multivariate_normal(np.zeros(count), covariance).logpdf(mine[:, k])
    return total


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_beam_finds_the_likeliest_of_all_partitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 3, 6)
    voices = np.sqrt(PLDA.between) * rng.standard_normal((3, K))[who] + rng.standard_normal((6, K))
    config = AssignmentConfig(evidence=0.7, new_speaker=-0.4, beam=1000)
    found = assign(voices, np.full(6, FULL), spans_of(6), PLDA, EVEN, config, most=3)

    def score(labels: tuple[int, ...]) -> float:
        return log_likelihood(voices, labels, 0.7) - 0.4 * len(set(labels))

    best = max(partitions(6, 3), key=score)
    assert tuple(found) == best


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 9), most=st.integers(1, 4))
def test_labels_are_in_order_of_arrival_and_not_too_many(seed: int, count: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    voices = 2 * rng.standard_normal((count, K))
    clean = rng.choice([-1.0, 0.05, 0.3, 0.8], count)
    starts = np.sort(rng.uniform(0, 5, count))
    spans = [(float(s), float(s + rng.uniform(0.1, 1.0))) for s in starts]
    odds = Odds(pauses=rng.standard_normal(NUM_PAUSES), arrivals=rng.standard_normal(ARRIVALS))
    labels = assign(voices, clean, spans, PLDA, odds, AssignmentConfig(beam=8), most=most)
    seen = list(dict.fromkeys(labels))
    assert len(labels) == count and seen == list(range(len(seen))) and len(seen) <= most


def test_pauses_decide_where_voices_say_nothing() -> None:
    pauses = np.full(NUM_PAUSES, -2.0)
    pauses[0] = -20.0  # nobody begins a word within his last
    pauses[pause_class(np.array(0.1))] = 4.0
    odds = Odds(pauses=pauses, arrivals=np.zeros(ARRIVALS))
    spans = [(0.0, 0.5), (0.6, 1.0), (0.8, 1.4), (1.5, 1.9)]
    silent = np.zeros((4, K))
    labels = assign(silent, np.full(4, -1.0), spans, PLDA, odds, AssignmentConfig(), most=4)
    assert labels == [0, 0, 1, 1]


def test_somebody_new_is_expected_when_training_had_it_so() -> None:
    """Third words that were always a new speaker's, and later ones that never were."""
    counts = sum(count_arrivals([0, 0, 1, 0, 1, 0]) for _ in range(50))
    odds = Odds(pauses=EVEN.pauses, arrivals=arrival_odds(counts))
    silent = np.zeros((6, K))
    labels = assign(silent, np.full(6, -1.0), spans_of(6), PLDA, odds, AssignmentConfig(), most=4)
    assert labels[:3] == [0, 0, 1] and max(labels) == 1


@settings(max_examples=50, deadline=None)
@given(speakers=st.lists(st.integers(0, 12), max_size=60))
def test_every_word_is_an_arrival_or_not(speakers: list[int]) -> None:
    counts = count_arrivals(speakers)
    assert counts.sum() == len(speakers)
    assert counts[0].sum() == len(set(speakers))
    assert counts[1, 0].sum() == 0 and counts[:, :, 0].sum() == min(1, len(speakers))
    assert np.isfinite(arrival_odds(counts)).all()


@settings(max_examples=50, deadline=None)
@given(pause=st.floats(-3.0, 10.0))
def test_pause_classes_are_the_intervals_between_the_edges(pause: float) -> None:
    place = int(pause_class(np.array(pause)))
    assert place == sum(pause >= edge for edge in PAUSES)


def test_pauses_are_counted_against_everybody_who_was_heard() -> None:
    spans = [(0.0, 0.5), (0.6, 1.0), (0.9, 1.5), (2.6, 3.0)]
    own, other = count_pauses(spans, [0, 0, 1, 0])
    assert own.sum() == pytest.approx(2) and other.sum() == pytest.approx(2)
    np.testing.assert_allclose(own, blurred(0.1) + blurred(1.6), atol=1e-12)
    np.testing.assert_allclose(other, blurred(-0.1) + blurred(1.1), atol=1e-12)
    odds = pause_odds(own, other)
    assert odds[pause_class(np.array(-0.1))] < 0 < odds[pause_class(np.array(1.6))]


@settings(max_examples=50, deadline=None)
@given(pause=st.floats(-3.0, 10.0))
def test_a_pause_that_is_not_known_exactly_is_shared_by_classes(pause: float) -> None:
    rng = np.random.default_rng(0)
    drawn = np.bincount(pause_class(pause + BLUR * rng.standard_normal(4000)), minlength=NUM_PAUSES)
    shares = blurred(pause)
    assert shares.sum() == pytest.approx(1) and (shares >= 0).all()
    np.testing.assert_allclose(shares, drawn / 4000, atol=0.04)


@pytest.mark.parametrize("wrong", [{"evidence": 0.0}, {"beam": 0}])
def test_options_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="evidence must be above 0"):
        AssignmentConfig(**wrong)  # type: ignore[arg-type]
