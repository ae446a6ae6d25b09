from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from talkover.manifests.errors import ConfigurationError
from talkover.simulate import devices
from talkover.simulate.config import RoomConfig, load_config
from talkover.simulate.devices import (
    MICROPHONES,
    Geometry,
    count_channels,
    device_numbers,
    microphone_offsets,
    parse_devices,
    read_layout,
)


@pytest.mark.parametrize("name", sorted(MICROPHONES))
def test_arrays_have_their_count_and_spacing(name: str) -> None:
    offsets = microphone_offsets(f"{name}@0.3")
    assert offsets.shape == (MICROPHONES[name].count, 3)
    assert np.allclose(offsets.mean(axis=0), 0)
    if "circular" in name:
        assert np.allclose(np.linalg.norm(offsets, axis=1), 0.3)
    elif len(offsets) > 1:
        assert np.allclose(np.linalg.norm(np.diff(offsets, axis=0), axis=1), 0.3)


def test_arrays_can_be_given_as_positions() -> None:
    assert microphone_offsets("0,0,0;0.1,-0.2,0.05").tolist() == [[0, 0, 0], [0.1, -0.2, 0.05]]


def test_devices_are_joined_by_a_plus() -> None:
    parts = parse_devices("circular8@0.05+linear4+headsets")
    assert [len(part.devices) for part in parts] == [1, 1, 0]
    assert count_channels("circular8@0.05+linear4+headsets", 3) == 15
    assert device_numbers(parts, 3) == (0,) * 8 + (1,) * 4 + (2, 3, 4)


@pytest.mark.parametrize(
    "text", ["cube9", "pair@", "pair@-1", "1,2;3,4", "0,0,nan", "", "pair+", "headsets+headsets"]
)
def test_wrong_arrays_are_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"room\.microphones"):
        parse_devices(text)


@pytest.mark.parametrize("suffix", ["yaml", "json"])
def test_a_file_of_positions_becomes_its_positions(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"layout.{suffix}"
    path.write_text(
        json.dumps(
            {"devices": [{"positions": [[0, 0, 0], [0.1, 0, 0]]}, {"positions": [[1, 1, 0]]}]}
        )
    )
    text = RoomConfig(microphones=str(path)).microphones
    (part,) = parse_devices(text)
    assert [points.tolist() for points in part.devices] == [[[0, 0, 0], [0.1, 0, 0]], [[1, 1, 0]]]
    assert device_numbers([part], 2) == (0, 0, 1)
    path.write_text(json.dumps({"positions": [[0, 0, 0.5]]}))
    assert microphone_offsets(read_layout(path)).tolist() == [[0, 0, 0.5]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[1, 2", "cannot be read"),
        ("3", "must hold positions"),
        ("devices: []", "must hold positions"),
        ("positions: [[1, 2]]", "device 0: positions must be"),
        ("positions: [[1, 2, x]]", "device 0: positions must be"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_right(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "layout.yaml"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=reason):
        load_config(assignments=[f"room.microphones={path}"])


def test_installed_arrays_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offered:
        name, value = "cross5", "somewhere:cross"

        @staticmethod
        def load() -> Geometry:
            return Geometry(5, 0.1, lambda count, spacing: np.full((count, 3), spacing))

    monkeypatch.setattr(devices, "entry_points", lambda group: [Offered()])
    assert microphone_offsets("cross5@0.2").tolist() == [[0.2] * 3] * 5
