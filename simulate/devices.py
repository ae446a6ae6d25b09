"""Microphones by name: arrays, several devices, headsets, and positions from a text or a file.

::

    circular8                       one device
    circular8@0.05                  … with another radius (or spacing) in metres
    circular8+linear4@0.03          two devices, each placed by itself in the room
    0,0,0;0.1,0,0                   positions around the middle of one device
    0,0,0;0.1,0,0|2,0,0             positions of two devices that are placed together
    headsets                        one microphone a speaker, close to the mouth
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError

Points = NDArray[np.float64]  # [N, 3], metres

ENTRY_POINTS = "talkover.microphones"
"""Group of installed arrays: each names a `Geometry`."""
HEADSETS = "headsets"
LAYOUT_SUFFIXES = (".yaml", ".yml", ".json")
BETWEEN_DEVICES = "+"
TOGETHER = "|"


@dataclass(frozen=True, slots=True)
class Geometry:
    """A layout of microphones around their middle."""

    count: int
    spacing: float
    """Metres between neighbours of a line; radius of a circle."""
    layout: Callable[[int, float], Points]

    def offsets(self, spacing: float | None = None) -> Points:
        """Positions around the middle in metres, shape ``[C, 3]``."""
        return self.layout(self.count, self.spacing if spacing is None else spacing)


@dataclass(frozen=True, slots=True)
class Placed:
    """Devices that are placed in a room together, or headsets."""

    devices: tuple[Points, ...]
    """Positions of each device's microphones around a common middle; empty for headsets."""

    @property
    def is_worn(self) -> bool:
        """Headsets, whose place follows from the mouths."""
        return not self.devices


def _line(count: int, spacing: float) -> Points:
    offsets = np.zeros((count, 3))
    offsets[:, 0] = (np.arange(count) - (count - 1) / 2) * spacing
    return offsets


def _circle(count: int, radius: float) -> Points:
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([radius * np.cos(angles), radius * np.sin(angles), np.zeros(count)], axis=1)


MICROPHONES: Mapping[str, Geometry] = {
    "single": Geometry(1, 0.0, _line),
    "pair": Geometry(2, 0.17, _line),  # about the width of a head
    "linear4": Geometry(4, 0.05, _line),  # half a wavelength at 3.4 kHz
    "linear8": Geometry(8, 0.05, _line),
    "circular4": Geometry(4, 0.05, _circle),
    "circular8": Geometry(8, 0.1, _circle),  # the table array of AMI: eight on a radius of 10 cm
}
"""Arrays by name; ``name@spacing`` sets the spacing or radius in metres."""


def parse_devices(text: str) -> tuple[Placed, ...]:
    """What a text such as ``circular8+linear4`` names, in order of the channels.

    Raises:
        ConfigurationError: If a part is neither known nor positions, or headsets come twice.

    >>> [len(placed.devices) for placed in parse_devices("pair+0,0,0|1,0,0+headsets")]
    [1, 2, 0]
    """
    parts = tuple(_placed(part.strip()) for part in text.split(BETWEEN_DEVICES))
    if sum(part.is_worn for part in parts) > 1:
        raise ConfigurationError(f"room.microphones: {text!r} has headsets more than once")
    return parts


def count_channels(text: str, num_speakers: int) -> int:
    """Channels that a text of microphones gives with so many speakers.

    >>> count_channels("circular8+headsets", 3)
    11
    """
    return sum(
        num_speakers if part.is_worn else sum(len(offsets) for offsets in part.devices)
        for part in parse_devices(text)
    )


def microphone_offsets(text: str) -> Points:
    """Positions around the middle of one array in metres, shape ``[C, 3]``.

    Args:
        text: A name of `MICROPHONES`, such as ``circular8``; a name with its spacing or radius in
            metres, such as ``linear4@0.08``; or positions, such as ``0,0,0;0.1,0,0``.

    Raises:
        ConfigurationError: If the text is none of these.

    >>> microphone_offsets("pair@0.2").tolist()
    [[-0.1, 0.0, 0.0], [0.1, 0.0, 0.0]]
    """
    name, at, spacing = text.partition("@")
    geometry = _geometry(name)
    if geometry is not None:
        metres = _number(spacing) if at else None
        if metres is None or 0 < metres < np.inf:
            return geometry.offsets(metres)
        raise ConfigurationError(
            f"room.microphones: {text!r}: the spacing must be metres above 0, such as {name}@0.05"
        )
    rows = [[_number(part) for part in point.split(",")] for point in text.split(";")]
    if any(len(row) != 3 for row in rows) or not np.isfinite(rows).all():
        raise ConfigurationError(
            f"room.microphones: {text!r} is neither a known array ({', '.join(MICROPHONES)}, each "
            "with @metres for its spacing; headsets) nor positions such as 0,0,0;0.1,0,0; "
            "several devices are joined by +"
        )
    return np.array(rows)


def read_layout(path: Path) -> str:
    """The text of a YAML or JSON file of positions in metres around their middle.

    The file holds ``positions: [[x, y, z], …]`` for one device, or ``devices:``, a list of such.

    Raises:
        ConfigurationError: If the file cannot be read or is not of this form.

    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf8"))  # JSON is YAML
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"room.microphones: {path}: cannot be read: {reason}") from error
    devices = content.get("devices", [content]) if isinstance(content, dict) else None
    if not isinstance(devices, list) or not devices:
        raise ConfigurationError(
            f"room.microphones: {path}: must hold positions: [[x, y, z], …] or devices: a list "
            "of such"
        )
    return TOGETHER.join(_positions_text(path, n, device) for n, device in enumerate(devices))


def _positions_text(path: Path, n: int, device: object) -> str:
    rows = device.get("positions") if isinstance(device, dict) else None
    try:
        points = np.array(rows, dtype=np.float64)
    except (TypeError, ValueError):
        points = np.zeros(0)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise ConfigurationError(
            f"room.microphones: {path}: device {n}: positions must be [[x, y, z], …] in metres, "
            f"got {rows!r}"
        )
    return _text(points)


def _text(points: Points) -> str:
    return ";".join(",".join(f"{value:.6f}" for value in point) for point in points)


def _placed(text: str) -> Placed:
    if text == HEADSETS:
        return Placed(())
    return Placed(tuple(microphone_offsets(part) for part in text.split(TOGETHER)))


def _geometry(name: str) -> Geometry | None:
    if name in MICROPHONES:
        return MICROPHONES[name]
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            geometry = point.load()
            if not isinstance(geometry, Geometry):
                raise ConfigurationError(f"room.microphones: {point.value} is not a Geometry")
            return geometry
    return None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan


def device_numbers(parts: Sequence[Placed], num_speakers: int) -> tuple[int, ...]:
    """Device of each channel; every headset is a device of its own.

    >>> device_numbers(parse_devices("pair+headsets"), 2)
    (0, 0, 1, 2)
    """
    sizes: list[int] = []
    for part in parts:
        sizes += [1] * num_speakers if part.is_worn else [len(points) for points in part.devices]
    return tuple(number for number, size in enumerate(sizes) for _ in range(size))
