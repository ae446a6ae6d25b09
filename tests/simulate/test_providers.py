from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from talkover.manifests.errors import ConfigurationError
from talkover.simulate import providers
from talkover.simulate.config import RoomConfig, load_config
from talkover.simulate.decay import measure_t60
from talkover.simulate.emitters import Emitter
from talkover.simulate.plan import SPEED_OF_SOUND, RoomPlan
from talkover.simulate.providers import make_provider, provider_names, shoebox_of
from talkover.simulate.responses import responses
from talkover.simulate.rooms import draw_room

RATE = 16000
WITH_WALLS = ("shoebox", "images", "pra_ism", "pra_rays")


def room(kind: str, *, seed: int = 0, **changes: object) -> RoomPlan:
    config = RoomConfig.model_validate(
        {"kind": kind, "t60": (0.25, 0.3), "microphones": "pair", **changes}
    )
    return draw_room(config, ["S01"], np.random.default_rng(seed), sampling_rate=RATE)


@pytest.mark.medium
@pytest.mark.parametrize("kind", WITH_WALLS)
def test_every_provider_keeps_delays_level_and_t60(kind: str) -> None:
    errors = []
    for seed in range(3):
        plan = room(kind, seed=seed, directivity="omni")
        made = responses(plan, RATE)
        assert plan.microphone_positions_m is not None and plan.seats[0].position_m is not None
        for channel, ear in zip(made.h[0], plan.microphone_positions_m, strict=True):
            metres = math.dist(plan.seats[0].position_m, ear)
            at = metres / SPEED_OF_SOUND * RATE
            first = max(0, round(at) - 5)
            window = np.abs(channel[first : first + 11])
            assert abs(first + int(window.argmax()) - at) <= 1
            assert 0.55 / metres < window.max() < 1.1 / metres  # 0.64 half-way between samples
            errors.append(abs(measure_t60(channel, RATE) / plan.t60 - 1))  # type: ignore[operator]
        assert made.absorption is not None and 0 < made.absorption < 1
    assert np.median(errors) <= 0.05


@pytest.mark.medium
@pytest.mark.parametrize("kind", WITH_WALLS)
@pytest.mark.parametrize("directivity", ["head", "cardioid"])
def test_every_provider_knows_front_and_back(kind: str, directivity: str) -> None:
    plan = room(kind, directivity=directivity)
    seat, ears = plan.seats[0], plan.microphone_positions_m
    assert seat.position_m is not None and seat.facing_deg is not None and ears is not None
    at = round(math.dist(seat.position_m, ears[0]) / SPEED_OF_SOUND * RATE)
    level = []
    for turned in (0.0, 180.0):
        mouth = Emitter(
            position_m=seat.position_m,
            facing_deg=seat.facing_deg + turned,
            directivity=directivity,
        )
        h, _ = make_provider(kind).response(plan, mouth, RATE, None)
        level.append(np.sqrt(np.sum(h[0, max(0, at - 8) : at + 9] ** 2)))
    assert 20 * np.log10(level[0] / level[1]) > 4


@pytest.mark.medium
def test_rays_are_the_same_in_every_process() -> None:
    code = (
        "import hashlib, numpy as np\n"
        "from talkover.simulate.config import RoomConfig\n"
        "from talkover.simulate.responses import responses\n"
        "from talkover.simulate.rooms import draw_room\n"
        "np.random.seed({noise})\n"
        "config = RoomConfig(kind='pra_rays', t60=(0.25, 0.3))\n"
        "plan = draw_room(config, ['S01'], np.random.default_rng(0), sampling_rate=16000)\n"
        "print(hashlib.sha256(responses(plan, 16000).h.tobytes()).hexdigest())\n"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code.format(noise=n)], capture_output=True, text=True, check=True
        ).stdout
        for n in (1, 2)
    }
    assert len(hashes) == 1 and len(next(iter(hashes)).strip()) == 64


def test_the_rays_of_one_room_do_not_depend_on_those_before() -> None:
    plan = room("pra_rays")
    mouth = Emitter(position_m=plan.seats[0].position_m)
    other = Emitter(position_m=(plan.dimensions_m[0] / 2, 0.6, 1.5))  # type: ignore[index]
    provider = make_provider("pra_rays")
    first, _ = provider.response(plan, mouth, RATE, None)
    provider.response(plan, other, RATE, None)
    again, _ = provider.response(plan, mouth, RATE, None)
    assert first.tobytes() == again.tobytes()


def test_an_unknown_provider_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"room\.kind.*pra_rays.*shoebox"):
        load_config(assignments=["room.kind=cathedral"])
    with pytest.raises(ConfigurationError, match="no provider 'cathedral'"):
        make_provider("cathedral")


def test_an_installed_provider_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Echo:
        geometry = "shoebox"

        def response(
            self, room: RoomPlan, source: Emitter, sampling_rate: int, rirs: object
        ) -> tuple[np.ndarray, float | None]:
            h = np.zeros((room.num_channels, 200), np.float32)
            h[:, 100] = 1.0
            return h, None

    class Offered:
        name, value = "echo", "somewhere:Echo"

        @staticmethod
        def load() -> type:
            return Echo

    monkeypatch.setattr(providers, "entry_points", lambda group: [Offered()])
    assert "echo" in provider_names()
    made = responses(room("echo"), RATE)
    assert made.h.shape == (1, 2, 200) and made.h[0, 1, 100] == 1.0
    monkeypatch.setattr(Echo, "geometry", "round")
    with pytest.raises(ConfigurationError, match="needs response"):
        make_provider("echo")


def test_rooms_with_one_array_share_one_bank_of_noise() -> None:
    rooms = [room("shoebox", seed=n, microphones="circular8") for n in range(5)]
    spacings = {shoebox_of(plan).spacing_m for plan in rooms}
    assert len(spacings) == 1 and None not in spacings
    assert shoebox_of(room("shoebox", microphones="pair+pair")).spacing_m is None
    moved = room("shoebox").model_copy(
        update={"microphone_positions_m": ((1.0, 1.0, 1.0), (1.5, 1.0, 1.0))}
    )
    assert shoebox_of(moved).spacing_m is None  # the positions are what counts
