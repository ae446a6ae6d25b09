from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from talkover.simulate.config import NoiseConfig, RoomConfig
from talkover.simulate.plan import SessionPlan
from talkover.simulate.render import render
from talkover.simulate.torch_render import render_batch

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

spec = spec_from_file_location("render_cases", Path(__file__).with_name("test_render.py"))
assert spec is not None and spec.loader is not None
cases = module_from_spec(spec)  # the plans of its neighbour
spec.loader.exec_module(cases)
PAIR, RATE, Sources = cases.PAIR, cases.RATE, cases.Sources
activity, make_plan = cases.activity, cases.make_plan


def batch() -> list[SessionPlan]:
    moving = RoomConfig(t60=(0.2, 0.25), moving=1.0)
    return [
        make_plan(7.0, speakers=3, room=PAIR, noise=NoiseConfig(kind="diffuse"), seed=1),
        make_plan(5.0, room=RoomConfig(kind="dry"), gain_db=20.0, seed=2),
        make_plan(5.0, room=moving, noise=NoiseConfig(kind="point"), seed=3),
    ]


def assert_agrees(device: str) -> None:
    plans = batch()
    got = render_batch(plans, Sources(), active=[activity(plan) for plan in plans], device=device)
    for plan, one in zip(plans, got, strict=True):
        wanted = render(plan, Sources(), active=activity(plan))
        assert (
            one.mixture.shape == wanted.mixture.shape == (plan.room.num_channels, plan.num_samples)
        )
        assert np.abs(one.mixture).max() > 0.01
        assert np.abs(one.mixture - wanted.mixture).max() < 1e-4
        assert one.report.scene == wanted.report.scene
        assert one.report.mix.gain_db == pytest.approx(wanted.report.mix.gain_db, abs=0.01)
        for a, b in zip(one.report.noise, wanted.report.noise, strict=True):
            assert a.snr_db_measured == pytest.approx(b.snr_db_measured, abs=0.01)


def test_torch_renders_what_numpy_renders() -> None:
    assert_agrees("cpu")


@pytest.mark.gpu
def test_a_gpu_renders_what_numpy_renders() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    assert_agrees("cuda")


def test_torch_refuses_what_numpy_refuses() -> None:
    from talkover.manifests.errors import RunError

    plan = make_plan(4.0)
    with pytest.raises(RunError, match="no active speech"):
        render_batch([plan], Sources(), active=[np.zeros((0, 2), dtype=np.int64)])
    with pytest.raises(RunError, match="silent wherever its labels have speech"):
        render_batch([plan], Sources(), active=[np.array([[0, RATE // 20]])])
