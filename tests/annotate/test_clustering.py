"""Voices become people, and nobody who cannot be somebody else becomes them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.clustering import (
    ClusteringConfig,
    assign_voices,
    cluster_recording,
    normalised,
)
from talkover.annotate.enrolment import Enrolment, calibrate, recognise
from talkover.annotate.speaker_count import SpeakerCount

DIMENSIONS = 192


def voices(
    people: int, windows: int, *, noise: float, seed: int = 0
) -> tuple[np.ndarray, list[int], list[int]]:
    """Embeddings of two people a window, who they are, and their windows."""
    rng = np.random.default_rng(seed)
    centres = normalised(rng.standard_normal((people, DIMENSIONS)))
    who, where, rows = [], [], []
    for window in range(windows):
        for person in rng.choice(people, size=min(2, people), replace=False):
            who.append(int(person))
            where.append(window)
            rows.append(
                centres[person] + noise * rng.standard_normal(DIMENSIONS) / np.sqrt(DIMENSIONS)
            )
    return np.array(rows), who, where


def counted(**numbers: int) -> ClusteringConfig:
    return ClusteringConfig(speakers=SpeakerCount(**numbers))


def same_groups(one: np.ndarray, two: list[int]) -> bool:
    pairs = set(zip(one.tolist(), two, strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(two))


@pytest.mark.parametrize("people", [1, 2, 5])
@pytest.mark.parametrize("block", [5, 1000])
def test_people_are_found_without_their_number(people: int, block: int) -> None:
    rows, who, where = voices(people, 30, noise=0.8)
    labels = cluster_recording(
        rows,
        where,
        [1.0] * len(who),
        ClusteringConfig(),
        blocks=[w // block for w in where],
    )
    assert same_groups(labels, who)
    assert labels[0] == 0


def test_numbers_of_speakers_are_kept() -> None:
    rows, who, where = voices(4, 30, noise=0.8)
    seconds = [1.0] * len(who)
    for config, expected in (
        (counted(exact=2), 2),
        (counted(exact=6), 6),
        (counted(least=5), 5),
        (counted(most=3), 3),
        (counted(least=2, most=9), 4),
    ):
        labels = cluster_recording(rows, where, seconds, config)
        assert len(np.unique(labels)) == expected, config
    with pytest.raises(ValueError, match="least <= most"):
        SpeakerCount(least=3, most=2)


@given(st.integers(1, 6), st.integers(1, 12), st.integers(0, 1000), st.integers(1, 4))
@settings(max_examples=60)
def test_voices_of_one_window_stay_apart(people: int, windows: int, seed: int, block: int) -> None:
    rows, who, where = voices(people, windows, noise=3.0, seed=seed)
    labels = cluster_recording(
        rows,
        where,
        [1.0] * len(who),
        ClusteringConfig(similarity=-1.0),
        blocks=[w // block for w in where],
    )
    for window in set(where):
        own = labels[np.array(where) == window]
        assert len(np.unique(own)) == len(own)
    first = [labels.tolist().index(k) for k in range(labels.max() + 1)]
    assert first == sorted(first)


def test_a_given_number_wins_over_what_a_window_says() -> None:
    rows, _, where = voices(3, 1, noise=0.1)
    free = cluster_recording(rows, where, [1.0] * 2, ClusteringConfig(similarity=-1.0))
    told = cluster_recording(rows, where, [1.0] * 2, counted(exact=1))
    assert (len(np.unique(free)), len(np.unique(told))) == (2, 1)


@pytest.mark.parametrize("block", [5, 1000])
def test_tracks_stay_whole_and_help(block: int) -> None:
    rows, who, where = voices(3, 40, noise=1.8, seed=3)  # too noisy to tell voice by voice
    seconds, blocks = [1.0] * len(who), [w // block for w in where]
    config = ClusteringConfig(similarity=0.3)
    alone = cluster_recording(rows, where, seconds, config, blocks=blocks)
    tracked = cluster_recording(rows, where, seconds, config, blocks=blocks, linked=who)
    assert not same_groups(alone, who)
    assert same_groups(tracked, who)


def test_who_says_next_to_nothing_is_given_to_the_nearest() -> None:
    rows = np.array([[1.0, 0, 0], [0.99, 0.1, 0], [0, 1.0, 0], [0, 0.99, 0.1], [0.3, 0.1, 1.0]])
    seconds = [10.0, 10.0, 8.0, 8.0, 0.5]
    windows = [0, 1, 0, 1, 2]

    def groups(count: SpeakerCount) -> list[int]:
        config = ClusteringConfig(similarity=0.5, smallest_share=0.05, speakers=count)
        return cluster_recording(rows, windows, seconds, config).tolist()

    assert groups(SpeakerCount()) == [0, 0, 1, 1, 0]
    assert groups(SpeakerCount(least=3)) == [0, 0, 1, 1, 2]


def test_nobody_is_nobody() -> None:
    assert len(cluster_recording(np.zeros((0, 4)), [], [], ClusteringConfig())) == 0


def test_voices_of_a_window_get_different_people() -> None:
    similarity = np.array([[0.9, 0.8], [0.85, 0.1], [0.0, 0.0]])
    assert assign_voices(similarity).tolist() == [1, 0, -1]


def test_known_voices_get_their_names_and_others_none() -> None:
    rng = np.random.default_rng(0)
    known = normalised(rng.standard_normal((3, 32)))
    people = np.concatenate([known[[2, 0]] * 5, rng.standard_normal((2, 32))])
    found = recognise(people, ["ana", "bo", "cy"], known, Enrolment(similarity=0.6))
    assert [one.name for one in found] == ["cy", "ana", None, None]
    assert found[0].similarity == pytest.approx(1.0)


def test_no_two_people_get_one_name() -> None:
    voice = np.array([[1.0, 0.0]])
    people = np.array([[0.9, 0.1], [1.0, 0.0]])
    found = recognise(people, ["ana"], voice, Enrolment(similarity=0.5))
    assert [one.name for one in found] == [None, "ana"]


def test_twins_stay_unknown() -> None:
    twins = np.array([[1.0, 0.0], [0.999, 0.02]])
    (found,) = recognise(np.array([[1.0, 0.01]]), ["ana", "bo"], twins, Enrolment(similarity=0.5))
    assert found.name is None


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=200), st.floats(0, 0.5))
@settings(max_examples=80)
def test_calibration_keeps_false_accepts(impostors: list[float], share: float) -> None:
    scores = np.array(impostors)
    enrolment = calibrate(scores, false_accepts=share)
    assert (scores >= enrolment.similarity).mean() <= share


def test_bad_enrolments_are_refused() -> None:
    with pytest.raises(ValueError, match="each once"):
        recognise(np.ones((1, 2)), ["a", "a"], np.ones((2, 2)), Enrolment(similarity=0.5))
    with pytest.raises(ValueError, match="impostors"):
        calibrate(np.zeros(0))
