"""What a channel effect is, and where to find one by name.

An effect is a frozen dataclass: its fields are its parameters, their defaults are what is used
where the configuration says nothing, and `apply` is a stream from blocks to blocks. Whatever the
size of the blocks that come in, the samples that go out are the same, as many, and in step with
those that came in: an effect takes its own delay out.

Legend: ``C`` channels of one device, ``T`` sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.channel.microphones import MicrophoneResponses
from talkover.simulate.spool import Spool

ENTRY_POINTS = "talkover.channel_effects"
"""Entry-point group for effects of other packages; each names a class like those of `EFFECTS`."""

Samples = NDArray[np.float32]  # [C, T]


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What an effect works in."""

    sampling_rate: int
    num_samples: int
    """Length of the session; what comes in and goes out."""
    rng: np.random.Generator
    """Of this step on this device; its seed is in the plan."""
    spool: Callable[[], Spool]
    """Makes a place for blocks that must wait; whoever runs the effect closes it."""
    responses: MicrophoneResponses | None = None
    measured: dict[str, JsonValue] = field(default_factory=dict)
    """To be filled by the effect with what came out, for the contract and the report."""


class Effect(Protocol):
    """One step of the channel. Made with its parameters as keyword arguments.

    Raises:
        ValueError: When made, if a parameter is out of range.
    """

    name: ClassVar[str]

    def check(self, sampling_rate: int) -> None:
        """Raise ValueError if the effect cannot work at a sampling rate."""
        ...

    def apply(self, blocks: Iterable[Samples], setting: Setting) -> Iterator[Samples]:
        """The signal of one device after the step.

        Args:
            blocks: ``[C, T]`` of any size, `Setting.num_samples` in all.
            setting: Rate, randomness and room to wait.
        """
        ...


EFFECTS: dict[str, EntryPoint] = {
    name: EntryPoint(name, f"talkover.simulate.channel.{place}", ENTRY_POINTS)
    for name, place in {
        "microphone": "responses:MicrophoneResponse",
        "telephone": "responses:TelephoneBand",
        "g711": "companding:G711",
        "opus": "opus:Opus",
        "packet_loss": "packets:PacketLoss",
        "clip": "clipping:Clip",
        "clock": "clocks:SamplingRateOffset",
    }.items()
}
"""Effects by the name under which a configuration asks for them."""


def effect_class(name: str) -> type[Effect]:
    """The class of an effect.

    Raises:
        ConfigurationError: If there is none of that name; lists those that there are.
    """
    found = EFFECTS.get(name)
    if found is None:
        others = entry_points(group=ENTRY_POINTS)
        found = next((other for other in others if other.name == name), None)
        if found is None:
            known = ", ".join(sorted({*EFFECTS, *(other.name for other in others)}))
            raise ConfigurationError(f"channel: no effect {name!r}: choose one of {known}")
    return cast("type[Effect]", found.load())


def make_effect(name: str, parameters: Mapping[str, JsonValue]) -> Effect:
    """An effect with its parameters.

    Raises:
        ConfigurationError: If the name, a parameter's name or its value is wrong.
    """
    kind = effect_class(name)
    known = parameters_of(kind)
    for key in parameters:
        if key not in known:
            raise ConfigurationError(
                f"channel: {name} has no parameter {key!r}: choose of {', '.join(known) or 'none'}"
            )
    try:
        return kind(**parameters)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"channel: {name}: {error}") from error


def parameters_of(kind: type[Effect]) -> dict[str, JsonValue]:
    """Parameters of an effect and their defaults; None where one must be given."""
    rows = fields(cast("Any", kind))
    return {row.name: None if row.default is MISSING else row.default for row in rows}


def require_between(name: str, value: float, least: float, most: float) -> None:
    """Raise ValueError if a parameter is out of its range, both ends included."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name} must be between {least:g} and {most:g}, got {value!r}")
