from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.simulate.config import RoomConfig
from talkover.simulate.legs import Leg
from talkover.simulate.plan import RoomPlan
from talkover.simulate.responses import (
    ResponseSet,
    measure_drr,
    point_delay,
    point_response,
    responses,
)
from talkover.simulate.rooms import draw_room
from talkover.simulate.scene import scene_of

RATE = 16000
SPEAKERS = ["S01", "S02", "S03"]


def write_response(path: Path, delays: list[int], *, rate: int = RATE, seed: int = 0) -> None:
    """A pulse a channel at its delay, 0.5 high, and a decaying tail."""
    rng = np.random.default_rng(seed)
    samples = np.zeros((rate // 2, len(delays)))
    for c, delay in enumerate(delays):
        tail = np.arange(rate // 2 - delay - 40)
        decay = 10 ** (-3 * tail / (0.3 * rate))
        samples[delay + 40 :, c] = 0.05 * rng.standard_normal(len(tail)) * decay
        samples[delay, c] = 0.5 / (1 + c)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="FLOAT")


def shoebox(**changes: object) -> RoomPlan:
    return draw_room(
        RoomConfig.model_validate({"t60": (0.2, 0.3), **changes}),
        SPEAKERS,
        np.random.default_rng(0),
        sampling_rate=RATE,
    )


def test_a_dry_room_passes_speech_through() -> None:
    result = responses(shoebox(kind="dry"), RATE)
    assert result.h.tolist() == [[[1.0]]] * 3
    assert result.t60_measured is None and set(result.sha256) == {None}


def test_a_shoebox_has_its_seats_channels_and_measures() -> None:
    plan = shoebox(microphones="linear4")
    result = responses(plan, RATE)
    assert result.h.shape[:2] == (3, 4)
    assert plan.t60 is not None
    assert result.t60_measured == pytest.approx(plan.t60, rel=0.1)
    assert all(ratio is not None and -20 < ratio < 20 for ratio in result.drr_db)
    assert len(set(result.sha256)) == 3
    for k, seat in enumerate(plan.seats):
        near = slice(seat.direct_delay_samples - 3, seat.direct_delay_samples + 4)
        assert abs(int(np.argmax(np.abs(result.h[k, 0, near]))) - 3) <= 1


def test_the_direct_response_is_the_beginning_of_the_full_one() -> None:
    plan = shoebox()
    full, direct = responses(plan, RATE).h, responses(plan, RATE, kind="direct").h
    for k, seat in enumerate(plan.seats):
        end = seat.direct_delay_samples + 4
        assert np.allclose(full[k, 0, :end], direct[k, 0, :end], atol=0.02 * direct[k].max())
        assert measure_drr(direct[k, 0], RATE, seat.direct_delay_samples) > 15
    assert direct.shape[2] < full.shape[2]


def test_a_room_that_was_computed_is_kept() -> None:
    plan = shoebox()
    assert responses(plan, RATE).h is responses(plan, RATE).h
    with pytest.raises(ValueError, match="read-only"):
        responses(plan, RATE).h[0] = 0


def test_measured_responses_lose_the_same_from_all_channels(tmp_path: Path) -> None:
    write_response(tmp_path / "kitchen.wav", [2240, 2250])
    rirs = ResponseSet.open(tmp_path, RATE)
    response = rirs.response("kitchen")
    assert response.direct_delay_samples == 40  # 2.5 ms stay before the direct path
    peaks = np.argmax(np.abs(response.samples), axis=1)
    assert peaks.tolist() == [40, 50]
    assert response.samples[0, 40] == pytest.approx(1.0)
    assert response.samples[1, 50] == pytest.approx(0.5)


def test_speakers_share_one_measured_room(tmp_path: Path) -> None:
    for name in ("hall/a", "hall/b", "office/a", "office/b"):
        write_response(tmp_path / f"{name}.wav", [100], seed=len(name))
    rirs = ResponseSet.open(tmp_path, RATE)
    assert dict(rirs.rooms) == {"hall": ("hall/a", "hall/b"), "office": ("office/a", "office/b")}
    for seed in range(8):
        plan = draw_room(
            RoomConfig(kind="measured"),
            SPEAKERS,
            np.random.default_rng(seed),
            sampling_rate=RATE,
            rirs=rirs,
        )
        names = [str(seat.response) for seat in plan.seats]
        assert len({name.split("/")[0] for name in names}) == 1
        assert names[0] == names[2] != names[1]
        result = responses(plan, RATE, rirs=rirs)
        assert result.sha256[0] == rirs.response(names[0]).sha256
        assert result.t60_measured == pytest.approx(0.3, rel=0.15)
        assert result.drr_db[0] is not None


def test_a_manifest_names_rooms_and_bad_files_are_told(tmp_path: Path) -> None:
    write_response(tmp_path / "one.wav", [100])
    write_response(tmp_path / "two.wav", [100, 110])
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "silent.wav", np.zeros(4000), RATE)
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["rir_id", "file", "room"])
        rows.writerows((n, f"{n}.wav", "r") for n in ("one", "two", "broken", "silent", "absent"))
    rirs = ResponseSet.open(tmp_path, RATE)
    assert dict(rirs.rooms) == {"r": ("one",)}
    reasons = dict(rirs.rejected)
    assert set(reasons) == {"broken.wav", "silent.wav", "absent.wav", "two"}
    assert reasons["silent.wav"] == "silent first channel"
    assert "2 channels" in reasons["two"]


def test_what_cannot_be_a_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no usable response"):
        ResponseSet.open(tmp_path, RATE)
    with pytest.raises(ConfigurationError, match="neither a folder"):
        ResponseSet.open(tmp_path / "absent", RATE)
    (tmp_path / "manifest.csv").write_text("id,path\n")
    with pytest.raises(ManifestError, match="no column 'rir_id'"):
        ResponseSet.open(tmp_path, RATE)
    write_response(tmp_path / "a.wav", [10])
    (tmp_path / "manifest.csv").write_text("rir_id,file\na,a.wav\na,a.wav\n")
    with pytest.raises(ManifestError, match="two responses have the id 'a'"):
        ResponseSet.open(tmp_path, RATE)


def test_a_plan_over_other_responses_is_refused(tmp_path: Path) -> None:
    write_response(tmp_path / "a.wav", [10])
    rirs = ResponseSet.open(tmp_path, RATE)
    plan = draw_room(
        RoomConfig(kind="measured"),
        ["S01"],
        np.random.default_rng(0),
        sampling_rate=RATE,
        rirs=rirs,
    )
    with pytest.raises(ConfigurationError, match=r"room\.rirs"):
        responses(plan, RATE)
    (tmp_path / "a.wav").rename(tmp_path / "b.wav")
    with pytest.raises(ConfigurationError, match="no response 'a'"):
        responses(plan, RATE, rirs=ResponseSet.open(tmp_path, RATE))


def test_the_shared_responses_load(shared_data: Path) -> None:
    rirs = ResponseSet.open(shared_data / "rirs", RATE)
    assert len(rirs.responses) >= 8 and not rirs.rejected
    for response in rirs.responses.values():
        assert np.abs(response.samples[0, response.direct_delay_samples]) == pytest.approx(1.0)
        assert response.direct_delay_samples < 0.01 * RATE  # up to 0.14 s in the files


@pytest.mark.parametrize("kind", ["shoebox", "images", "pra_rays"])
@pytest.mark.parametrize("asked", [-6.0, 3.0, 12.0])
def test_the_measured_drr_is_the_asked_one(kind: str, asked: float) -> None:
    plan = shoebox(kind=kind, drr_db=(asked, asked), microphones="pair")
    made = responses(plan, RATE)
    assert made.drr_db == pytest.approx([asked] * 3, abs=0.5)
    assert made.t60_measured == pytest.approx(plan.t60, rel=0.1)


def test_an_asked_drr_leaves_the_direct_sound_and_the_channels_as_they_are() -> None:
    plan = shoebox(microphones="pair")
    wetter = plan.model_copy(
        update={"seats": tuple(seat.model_copy(update={"drr_db": -10.0}) for seat in plan.seats)}
    )
    plain, wet = responses(plan, RATE).h, responses(wetter, RATE).h
    for k, seat in enumerate(plan.seats):
        near = slice(seat.direct_delay_samples - 10, seat.direct_delay_samples + 11)
        assert np.array_equal(plain[k, 0, near], wet[k, 0, near])
        late = slice(1600, 3000)
        ratio = wet[k, :, late] / np.where(plain[k, :, late] == 0, 1, plain[k, :, late])
        first, second = np.median(ratio, axis=1)
        assert first == pytest.approx(second, rel=1e-3)  # the channels keep their difference


def test_measured_responses_get_the_asked_drr(tmp_path: Path) -> None:
    write_response(tmp_path / "room/a.wav", [100, 120])
    rirs = ResponseSet.open(tmp_path, RATE)
    plan = draw_room(
        RoomConfig(kind="measured", drr_db=(4.0, 4.0)),
        ["S01"],
        np.random.default_rng(0),
        sampling_rate=RATE,
        rirs=rirs,
    )
    assert responses(plan, RATE, rirs=rirs).drr_db == pytest.approx([4.0], abs=0.5)


def test_a_point_has_a_response_and_a_delay_in_the_room() -> None:
    plan = shoebox(microphones="pair", directivity="omni")
    place = plan.seats[1].position_m
    assert np.array_equal(
        point_response(plan, place, RATE),
        responses(plan, RATE).h[1, :, : point_response(plan, place, RATE).shape[1]],
    )
    assert point_delay(plan, place, RATE) == plan.seats[1].direct_delay_samples
    dry = shoebox(kind="dry")
    assert point_response(dry, None, RATE).tolist() == [[1.0]]
    assert point_delay(dry, None, RATE) == 0


def test_a_point_in_a_measured_room_is_no_seat_if_there_are_others(tmp_path: Path) -> None:
    for n, name in enumerate("abc"):
        write_response(tmp_path / f"room/{name}.wav", [100 + 7 * n, 150], seed=n)
    rirs = ResponseSet.open(tmp_path, RATE)
    plan = draw_room(
        RoomConfig(kind="measured"),
        ["S01", "S02"],
        np.random.default_rng(0),
        sampling_rate=RATE,
        rirs=rirs,
    )
    taken = {seat.response for seat in plan.seats}
    (free,) = set(rirs.responses) - taken
    h = point_response(plan, (1.0, 2.0, 1.0), RATE, rirs=rirs)
    assert np.array_equal(h, rirs.response(free).samples)
    delay = point_delay(plan, None, RATE, rirs=rirs)
    assert delay == rirs.response(free).direct_delay_samples


def test_who_sits_has_one_leg_and_who_walks_has_many() -> None:
    plan = draw_room(
        RoomConfig(moving=1.0, t60=(0.2, 0.25)),
        ["S01"],
        np.random.default_rng(2),
        sampling_rate=RATE,
        seconds=30.0,
    )
    seat = plan.seats[0]
    assert seat.trajectory
    walking = responses(plan, RATE)
    assert len(walking.legs) == len(walking.h) > 10
    sitting = plan.model_copy(update={"seats": (seat.model_copy(update={"trajectory": ()}),)})
    still = responses(sitting, RATE)
    assert still.legs == (Leg(0),)
    length = min(still.h.shape[2], walking.h.shape[2])
    assert np.array_equal(still.h[0, :, :length], walking.h[0, :, :length])


def test_the_scene_tells_what_was_asked_and_what_came_out() -> None:
    plan = shoebox(microphones="pair+headsets", drr_db=(0.0, 2.0))
    session = SimpleNamespace(room=plan, sampling_rate=RATE)
    scene = scene_of(session, responses(plan, RATE))  # type: ignore[arg-type]
    assert scene.room.kind == "shoebox" and scene.room.provider == "shoebox"
    assert scene.room.t60_octaves == RoomConfig().t60_octaves
    assert scene.microphones.devices == (0, 0, 1, 2, 3)
    assert scene.microphones.worn_by == (None, None, *SPEAKERS)
    for seat, planned in zip(scene.seats, plan.seats, strict=True):
        assert seat.drr_db_asked == planned.drr_db
        assert seat.drr_db == pytest.approx(planned.drr_db, abs=0.5)
        assert seat.facing_deg == planned.facing_deg and seat.directivity == "head"
