"""The walk: laws that hold for any seed, and targets that are met."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from talkover.manifests.errors import InfeasibleTarget
from talkover.simulate.floor import FloorWalk, Unit, sample
from talkover.simulate.turn_events import occupancy
from talkover.simulate.turn_sampling import sample_rttm
from talkover.simulate.turn_targets import Targets
from talkover.simulate.turns import PRESETS, TurnModel

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

MODELS = {name: TurnModel.load(name) for name in PRESETS}


def ratios(units: list[Unit], length: float) -> tuple[float, float]:
    speech, overlapped, _ = occupancy((u.start, u.end, str(u.speaker)) for u in units)
    return overlapped / speech, 1 - speech / length


def most_concurrent(units: list[Unit]) -> int:
    return max(sum(v.start <= u.start < v.end for v in units) for u in units)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(sorted(MODELS)),
    speakers=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    overlap=st.sampled_from([None, 0.0, 0.05, 0.2, 0.35]),
    silence=st.sampled_from([None, 0.05, 0.3]),
    most=st.sampled_from([None, 1, 2, 3, 4]),
    length=st.floats(40, 180),
)
def test_walk_keeps_its_laws(name, speakers, seed, overlap, silence, most, length) -> None:
    if speakers == 1 or most == 1:
        overlap = None
    units = sample(
        MODELS[name],
        num_speakers=speakers,
        length=length,
        rng=np.random.default_rng(seed),
        targets=Targets(overlap=overlap, silence=silence, max_concurrent=most),
    )
    starts = [u.start for u in units]
    assert starts == sorted(starts) and starts[0] == 0
    assert {u.speaker for u in units} == set(range(speakers))
    assert most is None or most_concurrent(units) <= most
    for speaker in range(speakers):
        own = [u for u in units if u.speaker == speaker]
        for last, unit in pairwise(own):
            assert unit.start >= last.end + MODELS[name].origin.join - 1e-9
    if overlap == 0:
        assert ratios(units, length)[0] == pytest.approx(0, abs=1e-9)
    if speakers == 1:
        assert {u.kind for u in units[1:]} <= {"hold"}


@settings(deadline=None, max_examples=25)
@given(
    speakers=st.integers(2, 5),
    seed=st.integers(0, 2**32),
    most=st.integers(1, 3),
    factor=st.floats(0.3, 3),
)
def test_laws_hold_for_utterances_of_other_durations(speakers, seed, most, factor) -> None:
    rng = np.random.default_rng(seed)
    walk = FloorWalk(
        MODELS["ami"],
        speakers,
        rng,
        targets=Targets(max_concurrent=most),
        length=90,
        lead_in=0.7,
        lead_out=0.5,
    )
    units: list[Unit] = []
    floor_end = 0.0
    while not walk.done:
        proposal = walk.propose()
        assert walk.propose() is proposal
        longest = walk.longest(proposal)
        if rng.random() < 0.1 and longest is not None:
            walk.reject(proposal)
            continue
        duration = proposal.duration * factor
        if longest is not None:
            duration = min(duration, longest)
        start = walk.accept(proposal, duration)
        if proposal.kind == "backchannel":
            assert start + duration <= floor_end + 1e-6
        elif proposal.kind == "interruption":
            assert start < floor_end < start + duration
        elif units:
            assert start >= floor_end - 1e-9
        floor_end = max(floor_end, start + duration)
        units.append(Unit(proposal.speaker, start, start + duration, proposal.kind))
    assert units[0].start == 0.7
    assert most_concurrent(units) <= most
    for speaker in range(speakers):
        own = [u for u in units if u.speaker == speaker]
        assert all(b.start >= a.end for a, b in pairwise(own))


@pytest.mark.parametrize("silence", [0.05, 0.2])
@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.2, 0.3])
def test_asked_ratios_come_out_within_two_points(overlap: float, silence: float) -> None:
    got = np.array(
        [
            ratios(
                sample(
                    MODELS["ami"],
                    num_speakers=2 + seed % 4,
                    length=300,
                    rng=np.random.default_rng(seed),
                    targets=Targets(overlap=overlap, silence=silence),
                ),
                300,
            )
            for seed in range(60)
        ]
    )
    assert got.mean(axis=0) == pytest.approx([overlap, silence], abs=0.02)
    assert (got.std(axis=0) <= 0.06).all()


@pytest.mark.parametrize("length", [60, 90])
@pytest.mark.parametrize("silence", [0.05, 0.2])
def test_short_sessions_have_the_asked_silence(silence: float, length: float) -> None:
    got = [
        ratios(
            sample(
                MODELS["ami"],
                num_speakers=2 + seed % 3,
                length=length,
                rng=np.random.default_rng(seed),
                targets=Targets(silence=silence),
            ),
            length,
        )[1]
        for seed in range(60)
    ]
    assert np.mean(got) == pytest.approx(silence, abs=0.03 if length < 90 else 0.02)
    assert max(got) <= silence + 0.025


@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (0.8, 0.1, 0.1), (0.6, 0.4), (0.25,) * 4])
@pytest.mark.parametrize("name", ["ami", "alimeeting"])
def test_talk_shares_come_out_within_two_points(name: str, shares: tuple[float, ...]) -> None:
    misses = []
    for seed in range(30):
        units = sample(
            MODELS[name],
            num_speakers=len(shares),
            length=300,
            rng=np.random.default_rng(seed),
            targets=Targets(talk_shares=shares),
        )
        talk = np.zeros(len(shares))
        for u in units:
            talk[u.speaker] += u.end - u.start
        misses.append(np.abs(talk / talk.sum() - shares).max())
    assert np.median(misses) <= 0.015
    assert np.quantile(misses, 0.75) <= 0.025


def test_fewer_backchannels_are_made_up_for_by_interruptions() -> None:
    def kinds(scale: float) -> tuple[float, float, float]:
        seen: list[str] = []
        overlap = []
        for seed in range(30):
            units = sample(
                MODELS["ami"],
                num_speakers=4,
                length=300,
                rng=np.random.default_rng(seed),
                targets=Targets(overlap=0.12, backchannel_scale=scale),
            )
            seen += [u.kind for u in units]
            overlap.append(ratios(units, 300)[0])
        count = len(seen)
        return (
            seen.count("backchannel") / count,
            seen.count("interruption") / count,
            float(np.mean(overlap)),
        )

    whole, none = kinds(1.0), kinds(0.0)
    assert none[0] == 0 and whole[0] > 0.2
    assert none[1] > whole[1] * 1.3
    assert none[2] == pytest.approx(0.12, abs=0.02)


def test_a_third_speaker_joins_as_readily_as_the_model_says() -> None:
    model = MODELS["alimeeting"]

    def crowded(joined: float) -> float:
        inside = model.backchannels.model_copy(update={"joined": joined})
        changed = model.model_copy(update={"backchannels": inside})
        shares = []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            asked = Targets(overlap=0.2)
            units = sample(changed, num_speakers=4, length=400, rng=rng, targets=asked)
            speech, _, three = occupancy((u.start, u.end, str(u.speaker)) for u in units)
            shares.append(three / speech)
        return float(np.mean(shares))

    assert crowded(0.1) < crowded(1.0) < crowded(4.0)


def test_pauses_follow_the_unit_before_as_the_model_says() -> None:
    def correlation(rho: float) -> float:
        model = MODELS["alimeeting"].model_copy(update={"pauses_with_unit": rho})
        pairs = []
        for seed in range(6):
            rng = np.random.default_rng(seed)
            units = sample(model, num_speakers=1, length=900, rng=rng)
            pairs += [(a.end - a.start, b.start - a.end) for a, b in pairwise(units)]
        return float(spearmanr(np.array(pairs)).statistic)

    assert correlation(-0.6) < -0.35  # less: a lone speaker's units are those after holds alone
    assert correlation(0.0) == pytest.approx(0.0, abs=0.1)


def test_lead_in_and_lead_out_count_as_silence() -> None:
    walks = [
        FloorWalk(
            MODELS["alimeeting"],
            3,
            np.random.default_rng(seed),
            targets=Targets(silence=0.1),
            length=120,
            lead_in=2.0,
            lead_out=2.0,
        )
        for seed in range(40)
    ]
    got = []
    for walk in walks:
        units = []
        while not walk.done:
            proposal = walk.propose()
            start = walk.accept(proposal, proposal.duration)
            units.append(Unit(proposal.speaker, start, start + proposal.duration, proposal.kind))
        assert max(u.end for u in units) <= 118 + 1e-6
        got.append(ratios(units, 120)[1])
    assert np.mean(got) == pytest.approx(0.1, abs=0.02)


def test_same_seed_gives_the_same_units_and_another_seed_others() -> None:
    def units(seed: int) -> list[Unit]:
        rng = np.random.default_rng(seed)
        return sample(MODELS["ami"], num_speakers=4, length=200, rng=rng)

    assert units(5) == units(5)
    assert units(5) != units(6)


def test_nobody_fitting_ends_the_session_instead_of_looping() -> None:
    walk = FloorWalk(MODELS["ami"], 2, np.random.default_rng(1), length=60)
    spoken: set[int] = set()
    steps = 0
    while not walk.done:
        proposal = walk.propose()
        if proposal.speaker in spoken:
            walk.reject(proposal)
        else:
            spoken.add(proposal.speaker)
            walk.accept(proposal, min(proposal.duration, walk.longest(proposal) or 5.0))
        steps += 1
    assert spoken == {0, 1} and steps < 200


def test_speaker_without_any_utterance_is_an_error() -> None:
    walk = FloorWalk(MODELS["ami"], 2, np.random.default_rng(1), length=60)
    with pytest.raises(InfeasibleTarget, match="no utterance"):
        walk.reject(walk.propose())


def test_wrong_use_of_the_walk_is_refused() -> None:
    walk = FloorWalk(MODELS["ami"], 2, np.random.default_rng(1), length=60)
    first = walk.propose()
    with pytest.raises(ValueError, match="more than 0"):
        walk.accept(first, 0.0)
    walk.accept(first, 2.0)
    with pytest.raises(ValueError, match="gave last"):
        walk.accept(first, 2.0)


def test_sampled_rttm_is_the_same_bytes_for_a_seed_and_has_the_asked_speakers(tmp_path) -> None:
    model = MODELS["alimeeting"]
    counts = [
        sample_rttm(model, 1.0, tmp_path / name, speakers=(2, 3), seed=3) for name in ("a", "b")
    ]
    text = (tmp_path / "a").read_text()
    assert (tmp_path / "b").read_text() == text and counts[0] == counts[1] > 0
    rows = [line.split() for line in text.splitlines()]
    sessions = {row[1] for row in rows}
    assert len(sessions) == counts[0]
    for session in sessions:
        assert 2 <= len({row[7] for row in rows if row[1] == session}) <= 3
