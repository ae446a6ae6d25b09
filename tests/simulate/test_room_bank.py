from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkover.simulate import providers
from talkover.simulate import responses as responses_module
from talkover.simulate.config import RoomConfig
from talkover.simulate.plan import RoomPlan
from talkover.simulate.responses import responses
from talkover.simulate.room_bank import RoomBank
from talkover.simulate.rooms import draw_room, room_generator

RATE = 16000
CONFIG = RoomConfig(t60=(0.2, 0.3), microphones="pair", bank=3)


@pytest.fixture(autouse=True)
def _nothing_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every call makes or reads its responses."""
    monkeypatch.setattr(responses_module, "MAX_CACHED_ROOMS", 0)


def room(index: int, count: int = 2) -> RoomPlan:
    names = [f"S{k:02d}" for k in range(1, count + 1)]
    return draw_room(CONFIG, names, room_generator(CONFIG, 7, index, count), sampling_rate=RATE)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_sessions_share_as_many_rooms_as_were_asked() -> None:
    rooms = {room(index).model_dump_json() for index in range(40)}
    assert len(rooms) == 3
    assert len({room(index, 3).model_dump_json() for index in range(40)}) == 3


def test_without_a_bank_every_session_has_a_room_of_its_own() -> None:
    config = CONFIG.model_copy(update={"bank": None})
    drawn = {
        draw_room(config, ["S01"], room_generator(config, 7, n, 1), sampling_rate=RATE).t60
        for n in range(10)
    }
    assert len(drawn) == 10


def test_a_cold_a_warm_and_no_bank_give_the_same_bytes(tmp_path: Path) -> None:
    bank = RoomBank(tmp_path)
    none = responses(room(0), RATE)
    cold = responses(room(0), RATE, bank=bank)
    stored = files(tmp_path)
    assert len(stored) == 4  # samples and record of two seats
    warm = responses(room(0), RATE, bank=bank)
    assert none.h.tobytes() == cold.h.tobytes() == warm.h.tobytes()
    assert none.sha256 == warm.sha256 and none.absorption == warm.absorption
    assert none.t60_measured == warm.t60_measured and none.drr_db == warm.drr_db
    assert files(tmp_path) == stored


def test_a_warm_bank_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bank = RoomBank(tmp_path)
    first = responses(room(1), RATE, bank=bank)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a response was made that the bank has")

    monkeypatch.setattr(providers, "shoebox_response", never)
    assert responses(room(1), RATE, bank=bank).h.tobytes() == first.h.tobytes()


def test_who_sits_where_does_not_matter_to_the_bank(tmp_path: Path) -> None:
    bank = RoomBank(tmp_path)
    plan = room(2)
    first = responses(plan, RATE, bank=bank)
    stored = files(tmp_path)
    swapped = plan.model_copy(
        update={
            "seats": tuple(
                seat.model_copy(update={"speaker_local": name})
                for seat, name in zip(plan.seats[::-1], ("S01", "S02"), strict=True)
            )
        }
    )
    again = responses(swapped, RATE, bank=bank)
    assert again.h.tobytes() == first.h[::-1].tobytes()
    assert files(tmp_path) == stored


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_bank_is_mended(tmp_path: Path, suffix: str, damage: str) -> None:
    bank = RoomBank(tmp_path)
    first = responses(room(0), RATE, bank=bank)
    whole = files(tmp_path)
    victim = sorted(tmp_path.rglob(f"*{suffix}"))[0]
    content = bytearray(victim.read_bytes())
    if damage == "gone":
        victim.unlink()
    else:
        content[len(content) // 2] ^= 0x55
        victim.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    assert responses(room(0), RATE, bank=bank).h.tobytes() == first.h.tobytes()
    assert files(tmp_path) == whole


def test_another_room_or_rate_has_another_key(tmp_path: Path) -> None:
    bank = RoomBank(tmp_path)
    plan = room(0)
    responses(plan, RATE, bank=bank)
    count = len(files(tmp_path))
    responses(plan, 8000, bank=bank)
    assert len(files(tmp_path)) == 2 * count
    responses(plan.model_copy(update={"t60": 0.5}), RATE, bank=bank)
    assert len(files(tmp_path)) == 3 * count


def test_samples_of_a_bank_are_mapped_not_read(tmp_path: Path) -> None:
    bank = RoomBank(tmp_path)

    def make() -> tuple[np.ndarray, float | None]:
        return np.ones((2, 50), np.float32), 0.25

    bank.response("ab" * 32, make)
    samples, absorption = bank.response("ab" * 32, make)
    assert isinstance(samples, np.memmap) and absorption == 0.25
