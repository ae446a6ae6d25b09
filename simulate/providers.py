"""Where responses come from: one protocol, a table of the built-in providers, a group for others.

| name | what it is |
|---|---|
| shoebox | image sources until the mixing time, then a diffuse tail (`talkover.simulate.shoebox`) |
| images | image sources all along |
| pra_ism, pra_rays | pyroomacoustics (`talkover.simulate.pra_rooms`) |
| measured | files (`talkover.simulate.response_sets`) |
| dry | none |
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.devices import Placed, parse_devices
from talkover.simulate.emitters import Emitter
from talkover.simulate.late_tail import Distances
from talkover.simulate.plan import RoomPlan
from talkover.simulate.response_sets import ResponseSet
from talkover.simulate.shoebox import Shoebox, shoebox_response, spacing_of

ENTRY_POINTS = "talkover.rir_providers"
"""Group of installed providers: each names a class whose instances are `ResponseProvider`."""
SPACING_TOLERANCE = 1e-3
"""Metres by which rounded positions may differ from the array that they are of."""

Response = tuple[NDArray[np.float32], float | None]
"""Response of shape ``[C, L]`` and, where it is known, the energy absorption of the walls."""


class ResponseProvider(Protocol):
    """Makes the response from one place to all microphones of a room.

    Sample 0 is the emission, a direct path of one metre in front has amplitude 1, and channels keep
    the delays and levels that they have against each other. The same arguments give the same bytes
    in any process.
    """

    geometry: Literal["shoebox", "measured", "dry"]
    """What the planner draws: walls and positions, ids of measured responses, or nothing."""

    def response(
        self, room: RoomPlan, source: Emitter, sampling_rate: int, rirs: ResponseSet | None
    ) -> Response:
        """The response from a source to all microphones.

        Raises:
            ConfigurationError: If the room cannot be, or a measured response is missing.
        """


class ShoeboxProvider:
    """Image sources until the mixing time, then a decorrelated octave-band tail: the default."""

    geometry: Literal["shoebox", "measured", "dry"] = "shoebox"

    def response(
        self, room: RoomPlan, source: Emitter, sampling_rate: int, rirs: ResponseSet | None
    ) -> Response:
        """See `shoebox_response`."""
        return shoebox_response(shoebox_of(room), source, sampling_rate)


class ImagesProvider:
    """Image sources until the end of the response."""

    geometry: Literal["shoebox", "measured", "dry"] = "shoebox"

    def response(
        self, room: RoomPlan, source: Emitter, sampling_rate: int, rirs: ResponseSet | None
    ) -> Response:
        """See `shoebox_response`."""
        return shoebox_response(shoebox_of(room), source, sampling_rate, all_images=True)


class MeasuredProvider:
    """Responses from files."""

    geometry: Literal["shoebox", "measured", "dry"] = "measured"

    def response(
        self, room: RoomPlan, source: Emitter, sampling_rate: int, rirs: ResponseSet | None
    ) -> Response:
        """The response that the source names."""
        if rirs is None:
            raise ConfigurationError("this plan has measured rooms: give room.rirs to render it")
        samples = rirs.response(source.response or "").samples
        if len(samples) != room.num_channels:
            raise ConfigurationError(
                f"response {source.response!r} has {len(samples)} channels, the plan "
                f"{room.num_channels}: the plan was made with another room.rirs"
            )
        return samples, None


class DryProvider:
    """No room."""

    geometry: Literal["shoebox", "measured", "dry"] = "dry"

    def response(
        self, room: RoomPlan, source: Emitter, sampling_rate: int, rirs: ResponseSet | None
    ) -> Response:
        """One sample of 1 in every channel."""
        return np.ones((room.num_channels, 1), dtype=np.float32), None


def _pra_ism() -> ResponseProvider:
    from talkover.simulate.pra_rooms import PyroomImages

    return PyroomImages()


def _pra_rays() -> ResponseProvider:
    from talkover.simulate.pra_rooms import PyroomRays

    return PyroomRays()


PROVIDERS: Mapping[str, object] = {
    "shoebox": ShoeboxProvider,
    "images": ImagesProvider,
    "pra_ism": _pra_ism,
    "pra_rays": _pra_rays,
    "measured": MeasuredProvider,
    "dry": DryProvider,
}
"""Name to what makes a provider when it is called without arguments."""


def provider_names() -> list[str]:
    """Names that `room.kind` may have, sorted."""
    return sorted({*PROVIDERS, *(point.name for point in entry_points(group=ENTRY_POINTS))})


def make_provider(name: str) -> ResponseProvider:
    """The provider of a name.

    Raises:
        ConfigurationError: If there is none, or an installed one has not the protocol's form.
    """
    factory = PROVIDERS.get(name)
    if factory is None:
        point = next((p for p in entry_points(group=ENTRY_POINTS) if p.name == name), None)
        if point is None:
            raise ConfigurationError(
                f"room.kind: no provider {name!r}: one of {', '.join(provider_names())}"
            )
        factory = point.load()
    made = factory() if callable(factory) else None
    if not callable(getattr(made, "response", None)) or getattr(made, "geometry", None) not in (
        "shoebox",
        "measured",
        "dry",
    ):
        raise ConfigurationError(
            f"room.kind: the provider {name!r} needs response() and geometry "
            "(shoebox, measured or dry)"
        )
    return made  # type: ignore[return-value]


def shoebox_of(room: RoomPlan) -> Shoebox:
    """Walls and microphones of a planned room.

    Raises:
        ValueError: If the plan lacks them.
    """
    if room.dimensions_m is None or room.t60 is None or room.microphone_positions_m is None:
        raise ValueError("a shoebox room needs dimensions_m, t60 and microphone_positions_m")
    return Shoebox(
        dimensions_m=room.dimensions_m,
        t60=room.t60,
        microphones_m=room.microphone_positions_m,
        t60_octaves=room.t60_octaves,
        spacing_m=_known_spacing(room),
    )


def _known_spacing(room: RoomPlan) -> Distances | None:
    """Distances within an array that is placed alone, before its positions were rounded.

    All rooms with this array then share one bank of diffuse noise.
    """
    assert room.microphone_positions_m is not None
    try:
        parts: tuple[Placed, ...] = parse_devices(room.microphones)
    except ConfigurationError:
        return None  # a plan from elsewhere: its positions are what counts
    if len(parts) != 1 or parts[0].is_worn:
        return None
    offsets = [tuple(row) for points in parts[0].devices for row in points.tolist()]
    exact, rounded = spacing_of(offsets), spacing_of(room.microphone_positions_m)
    if len(exact) != len(rounded):
        return None
    same = np.allclose(np.array(exact), np.array(rounded), atol=SPACING_TOLERANCE, rtol=0.0)
    return exact if same else None
