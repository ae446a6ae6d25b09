"""From a configuration to a planner with everything that it names, and to what identifies it."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import file_sha256
from talkover.simulate.config import SimulationConfig
from talkover.simulate.conversation import open_turn_taking
from talkover.simulate.noise import NoiseCollection
from talkover.simulate.planner import Planner
from talkover.simulate.responses import ResponseSet
from talkover.simulate.room_bank import RoomBank
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.surroundings import open_collections, portable_collections

BANK_FOLDER = "rooms"
"""Of the responses of shared rooms, beside the cache of sources."""
NOISE_FOLDER = "noises"
"""Beside the cache of sources: decoded noises."""


def make_planner(config: SimulationConfig, digest: str, cache: SourceCache, seed: int) -> Planner:
    """A planner with the turn-taking model, noises and responses that a configuration names."""
    noises = rirs = None
    if config.noise.any_clips:
        if config.noise.path is None:
            raise ConfigurationError(
                "noise.kind ambient and noise.spectrum clip need noise.path, a folder of clips"
            )
        noises = NoiseCollection.open(
            config.noise.path, config.sampling_rate, kept=cache.folder.parent / NOISE_FOLDER
        )
    if config.room.kind == "measured":
        if config.room.rirs is None:
            raise ConfigurationError("room.kind measured needs room.rirs, a folder of responses")
        rirs = ResponseSet.open(config.room.rirs, config.sampling_rate)
    sounds, microphones = open_collections(config)
    return Planner(
        config=config,
        sounds=sounds,
        microphones=microphones,
        configuration_hash=digest,
        cache=cache,
        turn_taking=open_turn_taking(config.turns.model),
        seed=seed,
        noises=noises,
        rirs=rirs,
        bank=None if config.room.bank is None else RoomBank(cache.folder.parent / BANK_FOLDER),
    )


def portable_configuration(config: SimulationConfig) -> dict[str, JsonValue]:
    """The configuration as JSON values, with what paths point to in place of the paths.

    Two machines that keep the same noises in different folders thus have the same hash.
    """
    values = config.model_dump(mode="json")
    values["turns"]["model"] = open_turn_taking(config.turns.model).identity
    if config.text.script is not None and config.text.order == "script":
        values["text"]["script"] = f"sha256:{_file_hash(config.text.script)}"
    if config.noise.path is not None and config.noise.any_clips:
        noises = NoiseCollection.open(config.noise.path, config.sampling_rate)
        values["noise"]["path"] = f"sha256:{noises.sha256()}"
    values.update(portable_collections(config))
    if config.room.rirs is not None and config.room.kind == "measured":
        values["room"]["rirs"] = (
            f"sha256:{ResponseSet.open(config.room.rirs, config.sampling_rate).sha256()}"
        )
    return values


def _file_hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
