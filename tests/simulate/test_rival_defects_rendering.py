"""Defects of rendering that other simulators of conversations have or had, one test each."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from talkover.simulate.config import NoiseConfig, RoomConfig
from talkover.simulate.levels import active_level_dbfs
from talkover.simulate.plan import SessionPlan
from talkover.simulate.render import render
from talkover.simulate.responses import responses

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

spec = spec_from_file_location("render_cases", Path(__file__).with_name("test_render.py"))
assert spec is not None and spec.loader is not None
cases = module_from_spec(spec)  # the plans of a neighbour
spec.loader.exec_module(cases)
RATE, Sources, activity, make_plan = cases.RATE, cases.Sources, cases.activity, cases.make_plan

NO_NOISE = NoiseConfig(kind="none")


def one_utterance(plan: SessionPlan) -> SessionPlan:
    return plan.model_copy(update={"placements": plan.placements[:1]})


@pytest.mark.parametrize("asked", [0.0, 10.0, 20.0])
def test_twenty_decibels_are_twenty_decibels(asked: float) -> None:
    """NeMo divides by 20 where it means a power: 20 dB asked are 10 dB given."""
    plan = make_plan(8.0, noise=NoiseConfig(snr_db=(asked, asked)))
    result = render(plan, Sources(), active=activity(plan), targets=["reverberant"])
    speech = sum(result.stems.values())
    assert result.noise is not None
    got = active_level_dbfs(speech[0], activity(plan), RATE) - active_level_dbfs(  # type: ignore[index]
        result.noise[0], activity(plan), RATE
    )
    assert got == pytest.approx(asked, abs=0.3)


def test_the_ratio_is_to_all_speech_not_to_the_quietest_utterance() -> None:
    """FastMSS takes the SNR of the quietest utterance."""
    plan = make_plan(8.0, noise=NoiseConfig(snr_db=(10.0, 10.0)))
    quiet = plan.placements[0].model_copy(update={"gain_db": -40.0})
    changed = plan.model_copy(update={"placements": (quiet, *plan.placements[1:])})
    levels = []
    for each in (plan, changed):
        result = render(each, Sources(), active=activity(each), targets=["reverberant"])
        assert result.noise is not None
        levels.append(20 * np.log10(np.std(result.noise)))
    assert abs(levels[1] - levels[0]) < 3.0  # not 40 dB


def test_no_channel_is_aligned_or_normalised() -> None:
    """Lhotse re-aligns and re-normalises each channel of a reverberant cut."""
    room = RoomConfig(t60=(0.2, 0.25), microphones="0,0,0;0.6,0,0", directivity="omni")
    plan = one_utterance(make_plan(5.0, room=room, noise=NO_NOISE))
    result = render(plan, Sources(), active=activity(plan), targets=["direct"])
    direct = result.targets["direct"]["S01"]
    seat, places = plan.room.seats[0].position_m, plan.room.microphone_positions_m
    assert seat is not None and places is not None
    ways = [float(np.linalg.norm(np.subtract(seat, place))) for place in places]
    spectra = np.fft.rfft(direct, 2**18, axis=1)
    lag = int(np.argmax(np.fft.irfft(spectra[1] * np.conj(spectra[0]))))
    lag = lag - 2**18 if lag > 2**17 else lag
    assert lag == pytest.approx((ways[1] - ways[0]) / 343.0 * RATE, abs=1.0)
    ratio = float(np.sqrt(np.mean(direct[1] ** 2) / np.mean(direct[0] ** 2)))
    assert 20 * np.log10(ratio) == pytest.approx(20 * np.log10(ways[0] / ways[1]), abs=1.0)


def test_the_tail_sounds_on_after_the_end_of_an_utterance() -> None:
    """Lhotse cuts the reverberation where the utterance ends."""
    room = RoomConfig(t60=(0.45, 0.45))
    plan = one_utterance(make_plan(5.0, room=room, noise=NO_NOISE, gain_db=10.0))
    stem = render(plan, Sources(), active=activity(plan), targets=["reverberant"]).stems["S01"][0]
    end = plan.placements[0].start_sample + plan.placements[0].num_samples
    end += plan.room.seats[0].direct_delay_samples
    levels = [
        10 * np.log10(np.mean(stem[end + n * 1600 : end + (n + 1) * 1600] ** 2)) for n in range(4)
    ]
    falls = -np.diff(levels)
    assert (falls > 6).all() and (falls < 25).all()  # 60 dB in 0.45 s are 13 dB in 0.1 s
    assert levels[0] > -80


def test_the_mixture_has_no_offset() -> None:
    """The normalisation of EEND_dataprep, 2(x - min)/range - 1, adds a constant."""
    plan = make_plan(8.0, gain_db=20.0)
    mixture = render(plan, Sources(), active=activity(plan)).mixture
    assert np.abs(mixture.mean(axis=1)).max() < 1e-3 * np.sqrt(np.mean(mixture**2))


def test_all_utterances_of_a_speaker_come_from_one_seat_in_one_room() -> None:
    """FastMSS draws a new seat for every utterance; a Lhotse cut had another room per track."""
    plan = make_plan(9.0, speakers=1, noise=NO_NOISE)
    assert len(plan.room.seats) == 1 and len(plan.placements) > 2
    result = render(plan, Sources(), active=activity(plan), targets=["reverberant", "dry"])
    dry, stem = result.targets["dry"]["S01"][0], result.stems["S01"][0]
    delay = plan.room.seats[0].direct_delay_samples
    h = responses(plan.room, RATE).h[0, 0]
    shifted = np.concatenate([dry[delay:], np.zeros(delay, np.float32)])
    size = 2 ** int(np.ceil(np.log2(len(dry) + len(h))))
    wanted = np.fft.irfft(np.fft.rfft(shifted, size) * np.fft.rfft(h, size), size)[: len(stem)]
    assert np.abs(wanted - stem).max() < 1e-4


def test_rendering_needs_no_torchaudio_and_no_torch() -> None:
    """Several rivals stand or fall with a torchaudio that fits the torch at hand."""
    code = (
        "import sys; import talkover.simulate.render\n"
        "assert not {'torchaudio', 'torch'} & set(sys.modules), 'imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
