"""What differs between sessions: the copula, its evenly spread draws, and ratios of two sorts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import beta

from talkover.simulate.turn_sampling import draw_session
from talkover.simulate.turn_sessions import AXES, PAIRS, Sessions, even_noise
from talkover.simulate.turn_spread import Sort, Spread
from talkover.simulate.turn_targets import Targets
from talkover.simulate.turns import PRESETS, Quantiles, Response, TurnModel

RESPONSE = Response(backchannels=1, interruptions=1, overlaps=1, gaps=1, pauses=1)


def sessions(**correlations: float) -> Sessions:
    return Sessions(
        length=Quantiles(probabilities=(0, 1), values=(60, 600)),
        overlap=Spread(mean=0.1, deviation=0.05),
        silence=Spread(mean=0.2, deviation=0.05),
        correlations={name.replace("_", " "): value for name, value in correlations.items()},
        response=RESPONSE,
    )


def drawn(some: Sessions, known: dict[str, float], count: int = 1500) -> np.ndarray:
    rows = [some.scores(even_noise(3, n), known) for n in range(count)]
    return np.array([[row[name] for name in AXES] for row in rows])


def test_scores_have_the_correlations_of_the_model() -> None:
    some = sessions(overlap_silence=-0.4, silence_tempo=-0.7, length_silence=-0.5)
    found = np.corrcoef(drawn(some, {}).T)
    assert found == pytest.approx(some.matrix, abs=0.05)


def test_a_known_score_is_kept_and_the_others_follow() -> None:
    some = sessions(silence_tempo=-0.7)
    rows = drawn(some, {"silence": 1.5})
    assert (rows[:, AXES.index("silence")] == 1.5).all()
    tempo = rows[:, AXES.index("tempo")]
    assert tempo.mean() == pytest.approx(-0.7 * 1.5, abs=0.02)
    assert tempo.std() == pytest.approx(np.sqrt(1 - 0.49), abs=0.03)
    assert rows[:, AXES.index("holds")].mean() == pytest.approx(0, abs=0.02)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_even_noise_is_more_even_than_chance_and_standard_normal(seed: int) -> None:
    noise = np.array([even_noise(seed, n) for n in range(400)])
    assert np.abs(noise.mean(axis=0)).max() < 0.05  # drawn ones: one standard error each
    assert noise.std(axis=0) == pytest.approx(np.ones(len(AXES)), abs=0.05)
    assert np.abs(np.corrcoef(noise.T) - np.eye(len(AXES))).max() < 0.2


def test_even_noise_depends_on_seed_and_number_alone() -> None:
    assert (even_noise(1, 7) == even_noise(1, 7)).all()
    assert (even_noise(1, 7) != even_noise(2, 7)).all()


@pytest.mark.parametrize(
    ("correlations", "reason"),
    [
        ({"silence_mood": 0.2}, "mood"),
        ({"overlap_silence": 0.9, "silence_tempo": 0.9, "overlap_tempo": -0.9}, "contradict"),
    ],
)
def test_impossible_correlations_are_refused(correlations: dict[str, float], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        sessions(**correlations)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_correlations_of_presets_are_named_pairs(name: str) -> None:
    assert set(TurnModel.load(name).sessions.correlations) <= set(PAIRS)


def test_silent_sessions_of_a_preset_have_shorter_units_and_more_holds() -> None:
    model = TurnModel.load("ami")

    def mean(silence: float) -> tuple[float, float]:
        some = [model.draw_character(even_noise(0, n), silence=silence) for n in range(200)]
        return float(np.mean([c.tempo for c in some])), float(np.mean([c.holds for c in some]))

    (quick, many), (slow, few) = mean(0.35), mean(0.05)
    assert quick < slow - 0.2 and many > few + 0.2


def test_frames_of_a_seed_have_the_lengths_speakers_and_ratios_of_the_model() -> None:
    model = TurnModel.load("ami")
    frames = [draw_session(model, 5, n) for n in range(400)]
    lengths = [f.length for f in frames]
    assert np.mean(lengths) == pytest.approx(model.sessions.length.mean, rel=0.02)
    for count, share in model.speakers.counts.items():
        found = np.mean([f.speakers == count for f in frames])
        assert found == pytest.approx(share, abs=0.02)
    silence = [f.character.silence for f in frames]
    assert np.mean(silence) == pytest.approx(model.sessions.silence.mean, abs=0.01)
    assert np.corrcoef(lengths, silence)[0, 1] < -0.2


def test_frame_keeps_what_is_asked_and_is_long_enough_for_its_speakers() -> None:
    model = TurnModel.load("voxconverse")
    for number in range(60):
        frame = draw_session(
            model, 0, number, limits=(12, 20), targets=Targets(silence=0.4, overlap=0.1)
        )
        assert 12 <= frame.speakers <= 20
        assert frame.length >= frame.speakers * model.units.switch.at(0.1) / 0.6 - 1e-6
        assert frame.character.silence == 0.4 and frame.character.overlap == 0.1
    asked = draw_session(model, 0, 1, targets=Targets(length=90.0))
    assert asked.length == 90.0 and asked.length_rank is None


def test_ratio_of_two_sorts_of_sessions_is_found_and_has_their_moments() -> None:
    rng = np.random.default_rng(0)
    ordinary = beta.rvs(4, 96, size=170, random_state=rng)
    ratios = np.concatenate([ordinary, rng.uniform(0.2, 0.6, 20)])
    spread = Spread.fitted(ratios)
    assert len(spread.sorts) == 2
    assert sorted(s.share for s in spread.sorts)[0] == pytest.approx(20 / 190, abs=0.03)
    levels = (np.arange(4000) + 0.5) / 4000
    drawn = np.array([spread.quantile(p) for p in levels])
    assert drawn.mean() == pytest.approx(ratios.mean(), abs=0.005)
    assert drawn.std() == pytest.approx(ratios.std(), rel=0.05)
    assert np.median(drawn) == pytest.approx(np.median(ratios), abs=0.01)


def test_one_sort_of_sessions_stays_one() -> None:
    ratios = beta.rvs(4, 27, size=136, random_state=np.random.default_rng(1))
    assert Spread.fitted(ratios).sorts == ()
    assert Spread.fitted(ratios[:8]).sorts == ()


@pytest.mark.parametrize(
    "spread",
    [
        Spread(mean=0.2, deviation=0.1),
        Spread(
            mean=0.06,
            deviation=0.0781,
            sorts=(
                Sort(share=0.9, mean=0.04, deviation=0.03),
                Sort(share=0.1, mean=0.24, deviation=0.15),
            ),
        ),
    ],
)
def test_probability_below_a_quantile_is_its_probability(spread: Spread) -> None:
    for p in (0.02, 0.3, 0.5, 0.9, 0.99):
        assert spread.probability_below(spread.quantile(p)) == pytest.approx(p, abs=2e-3)
    moved = spread.moved(spread.mean * 1.1, spread.deviation * 0.9)
    drawn = np.array([moved.quantile(p) for p in (np.arange(2000) + 0.5) / 2000])
    assert drawn.mean() == pytest.approx(spread.mean * 1.1, rel=0.02)
    assert drawn.std() == pytest.approx(spread.deviation * 0.9, rel=0.05)


def test_changed_copy_of_a_model_forgets_what_was_computed_of_the_old_one() -> None:
    first, second = TurnModel.load("ami"), TurnModel.load("alimeeting")
    assert first.pause_pivot != second.pause_pivot
    mixed = first.model_copy(update={"pauses": second.pauses})
    assert mixed.pause_pivot == second.pause_pivot
