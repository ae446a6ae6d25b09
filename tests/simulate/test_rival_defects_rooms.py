"""Defects of other simulators in rooms and responses, each as a law that ours keeps.

The reports are named as they are known: repository and issue, or the code that was read.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.config import RoomConfig
from talkover.simulate.decay import measure_t60
from talkover.simulate.plan import SPEED_OF_SOUND, RoomPlan
from talkover.simulate.responses import responses
from talkover.simulate.rooms import draw_room

RATE = 16000
SPEAKERS = ("S01", "S02", "S03")


def room(seed: int = 0, **changes: object) -> RoomPlan:
    config = RoomConfig.model_validate({"t60": (0.2, 0.5), **changes})
    return draw_room(config, SPEAKERS, np.random.default_rng(seed), sampling_rate=RATE)


def lag(first: np.ndarray, second: np.ndarray) -> int:
    """Samples by which the second is later, by cross-correlation."""
    size = 2 * len(first)
    cross = np.fft.irfft(np.fft.rfft(second, size) * np.conj(np.fft.rfft(first, size)))
    at = int(np.argmax(cross))
    return at - size if at > size // 2 else at


def test_channels_are_not_aligned_with_each_other() -> None:
    """Lhotse aligns and normalises every channel: a delay of 34 samples became -1."""
    plan = room(microphones="pair@0.8", t60=(0.2, 0.25), directivity="omni")
    assert plan.microphone_positions_m is not None
    made = responses(plan, RATE, kind="direct")
    for h, seat in zip(made.h, plan.seats, strict=True):
        assert seat.position_m is not None
        away = [math.dist(seat.position_m, ear) for ear in plan.microphone_positions_m]
        wanted = (away[1] - away[0]) / SPEED_OF_SOUND * RATE
        assert abs(lag(h[0], h[1]) - wanted) <= 1


def test_channels_are_not_normalised_one_by_one() -> None:
    """Lhotse: a level difference of half a decibel became 0."""
    plan = room(microphones="pair@0.8", directivity="omni")
    assert plan.microphone_positions_m is not None
    made = responses(plan, RATE, kind="direct")
    for h, seat in zip(made.h, plan.seats, strict=True):
        assert seat.position_m is not None
        away = [math.dist(seat.position_m, ear) for ear in plan.microphone_positions_m]
        energy = np.sum(h.astype(np.float64) ** 2, axis=1)
        got = 10 * np.log10(energy[0] / energy[1])
        assert got == pytest.approx(20 * np.log10(away[1] / away[0]), abs=0.5)


def test_all_speakers_are_in_one_room() -> None:
    """lhotse#920: each track in another room; FastMSS: a new seat for every utterance."""
    plan = room()
    assert plan.t60 is not None
    times = [measure_t60(h[0], RATE) for h in responses(plan, RATE).h]
    assert times == pytest.approx([plan.t60] * 3, rel=0.1)
    assert len(plan.seats) == len({seat.position_m for seat in plan.seats}) == len(SPEAKERS)


@pytest.mark.parametrize("kind", ["shoebox", "images", "pra_rays"])
def test_the_t60_is_the_asked_one(kind: str) -> None:
    """pyroomacoustics#46, #129, #280 (up to 30 % off), #404 (0.11 s became 1.3 s), FRAM-RIR."""
    plan = room(kind=kind, t60=(0.2, 0.25))
    assert responses(plan, RATE).t60_measured == pytest.approx(plan.t60, rel=0.1)


def test_a_large_room_is_no_error() -> None:
    """pyroomacoustics#233: a room that is too large for the asked T60 raises."""
    plan = room(length=(18.0, 20.0), width=(12.0, 14.0), height=(4.0, 5.0), t60=(0.5, 0.6))
    assert responses(plan, RATE).t60_measured == pytest.approx(plan.t60, rel=0.1)


def test_a_time_that_no_wall_can_give_is_refused_with_the_limit() -> None:
    with pytest.raises(ConfigurationError, match="at least"):
        room(t60=(0.01, 0.02))


@pytest.mark.parametrize("kind", ["shoebox", "images", "pra_ism", "pra_rays"])
def test_there_is_no_hidden_latency(kind: str) -> None:
    """pyroomacoustics#324: everything came about 40 samples late."""
    plan = room(kind=kind, t60=(0.2, 0.22), directivity="omni")
    for h, seat in zip(responses(plan, RATE).h, plan.seats, strict=True):
        near = slice(max(0, seat.direct_delay_samples - 8), seat.direct_delay_samples + 9)
        peak = near.start + int(np.abs(h[0, near]).argmax())
        assert abs(peak - seat.direct_delay_samples) <= 1


def test_responses_are_cut_by_time_not_by_order() -> None:
    """pyroomacoustics#338: responses of 2.6 times the reverberation time."""
    plan = room(t60=(0.4, 0.5))
    made = responses(plan, RATE)
    assert plan.t60 is not None
    assert made.h.shape[2] / RATE < 1.1 * plan.t60


def test_no_response_is_silent() -> None:
    """gpuRIR#45: responses of nothing but zeros."""
    for seed in range(10):
        h = responses(room(seed), RATE).h
        assert np.isfinite(h).all() and (np.abs(h).max(axis=2) > 0.1).all()


def test_responses_have_no_offset() -> None:
    """BUT's EEND preparation adds one; images of one sign pile one up (Allen and Berkley 1979)."""
    for kind in ("shoebox", "images"):
        h = responses(room(kind=kind), RATE).h[:, 0].astype(np.float64)
        offset = np.abs(h.sum(axis=1)) ** 2
        assert (offset < 0.05 * np.sum(h**2, axis=1) * 1.0).all()
