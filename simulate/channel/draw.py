"""Configuration and seed → the effects of a session's channel. Hears nothing.

Every step draws for every device from a generator of its own, so that a step more changes no other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import JsonValue

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.seeds import generator
from talkover.simulate.channel.effects import effect_class, make_effect, parameters_of
from talkover.simulate.channel.microphones import MicrophoneResponses
from talkover.simulate.config import ChannelConfig, ChannelStep
from talkover.simulate.plan import PlannedEffect

DIGITS = 4
"""Digits after the point of a drawn parameter."""
ANY = "any"
"""Draws one of the measured microphones."""


def check_channel(
    config: ChannelConfig,
    sampling_rate: int,
    devices: Sequence[int],
    responses: MicrophoneResponses | None,
) -> None:
    """Refuse a configuration that cannot work, before anything is rendered.

    Args:
        config: The section.
        sampling_rate: Hz.
        devices: Device number of each channel.
        responses: The measured microphones, where the configuration names them.

    Raises:
        ConfigurationError: Naming step, parameter and what would work.
    """
    for number, step in enumerate(config.steps):
        place = f"channel.steps[{number}]"
        try:
            kind = effect_class(step.effect)
        except ConfigurationError as error:
            raise ConfigurationError(f"{place}: {error}") from error
        for n in range(
            max((len(v) for v in step.parameters.values() if isinstance(v, list)), default=1)
        ):
            parameters = {key: _nth(value, n) for key, value in step.parameters.items()}
            try:
                effect = make_effect(step.effect, parameters)
                effect.check(sampling_rate)
            except (ConfigurationError, ValueError) as error:
                raise ConfigurationError(f"{place}: {error}") from error
        if step.effect == "clock" and len(set(devices)) < 2:
            raise ConfigurationError(
                f"{place}: a sampling-rate offset is between devices, and the room has one: "
                "choose room.microphones with several"
            )
        if step.effect == "clock" and step.devices == "first":
            raise ConfigurationError(
                f"{place}: the first device's clock is the labels' clock: use devices: others"
            )
        names = step.parameters.get("response")
        if names is not None and "response" in parameters_of(kind):
            if responses is None:
                raise ConfigurationError(f"{place}: response needs channel.responses, a folder")
            for name in names if isinstance(names, list) else [names]:
                if name != ANY and name not in responses.ids:
                    raise ConfigurationError(
                        f"{place}: channel.responses has no microphone {name!r}"
                    )


def draw_channel(
    config: ChannelConfig,
    seed: int,
    session: int,
    devices: Sequence[int],
    responses: MicrophoneResponses | None,
) -> tuple[PlannedEffect, ...]:
    """The effects of one session, step by step and device by device."""
    planned = []
    for number, step in enumerate(config.steps):
        for device in sorted(set(devices)):
            if not _concerns(step, device, min(devices)):
                continue
            who = "all" if step.together else str(device)
            rng = generator(seed, session, f"channel/{number}/{who}")
            if rng.random() >= step.probability:
                continue
            parameters = _draw(step, rng, responses)
            planned.append(
                PlannedEffect(
                    name=step.effect,
                    device=device,
                    parameters=parameters,
                    seed=int(rng.integers(2**32)),
                )
            )
    return tuple(planned)


def _concerns(step: ChannelStep, device: int, first: int) -> bool:
    if device == first:
        return step.devices != "others" and step.effect != "clock"
    return step.devices != "first"


def _draw(
    step: ChannelStep, rng: np.random.Generator, responses: MicrophoneResponses | None
) -> dict[str, JsonValue]:
    """All parameters of a step, drawn in order of their names, the rest by default."""
    drawn: dict[str, JsonValue] = dict(parameters_of(effect_class(step.effect)))
    for key in sorted(step.parameters):
        value = _value(step.parameters[key], rng)
        if key == "response" and value == ANY and responses is not None:
            value = responses.ids[int(rng.integers(len(responses.ids)))]
        drawn[key] = value
    if responses is not None and isinstance(name := drawn.get("response"), str):
        drawn_hash = responses.microphones[name].sha256
        return {"response": name, "sha256": drawn_hash}
    return drawn


def _value(value: JsonValue, rng: np.random.Generator) -> JsonValue:
    """A number between two, one of several names, or what is given."""
    if not isinstance(value, list) or not value:
        return value
    least, most = value[0], value[-1]
    if len(value) == 2 and isinstance(least, int | float) and isinstance(most, int | float):
        if isinstance(least, int) and isinstance(most, int):
            return int(rng.integers(least, most + 1))
        return round(float(rng.uniform(least, most)), DIGITS)
    return value[int(rng.integers(len(value)))]


def _nth(value: JsonValue, n: int) -> JsonValue:
    """The n-th of the values that may be drawn, or the last."""
    return value[min(n, len(value) - 1)] if isinstance(value, list) and value else value
