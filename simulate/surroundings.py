"""What surrounds the conversation of a plan: sounds, music, registration clips, the channel.

None of it changes who says what, when: it is decided after the conversation, from the same seed.
Here are also the collections on disk that it is drawn from.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pydantic import JsonValue

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Metres
from talkover.simulate.channel.draw import check_channel, draw_channel
from talkover.simulate.channel.microphones import MicrophoneResponses
from talkover.simulate.config import RegistrationConfig, SimulationConfig
from talkover.simulate.corpus import Rejection
from talkover.simulate.devices import device_numbers, parse_devices
from talkover.simulate.plan import RoomPlan, SessionPlan
from talkover.simulate.providers import make_provider
from talkover.simulate.registration import RegistrationPlanner
from talkover.simulate.response_sets import ResponseSet
from talkover.simulate.responses import point_delay
from talkover.simulate.sound_clips import SoundCollection, Sounds
from talkover.simulate.sound_plan import draw_sounds, number_of_events
from talkover.simulate.source_cache import SourceCache


def surround(
    plan: SessionPlan,
    config: SimulationConfig,
    *,
    cache: SourceCache,
    sounds: Sounds | None,
    microphones: MicrophoneResponses | None,
    rirs: ResponseSet | None,
) -> SessionPlan:
    """The plan of a conversation with all that is around it.

    Args:
        plan: The conversation in its room.
        config: What is asked.
        cache: The corpus.
        sounds: Clips for events and music.
        microphones: Measured microphones.
        rirs: The measured responses that the room is of.
    """
    seed, index, rate = plan.root_seed, plan.session_index, plan.sampling_rate
    registration = RegistrationPlanner(config=config.registration, cache=cache, seed=seed)
    heard = {placement.utterance for placement in plan.placements}
    mixed = config.session.language_mix
    language = None if mixed else int(cache.language_no[min(heard)])
    has_events = sounds is not None and sounds.events is not None
    events = number_of_events(config.sounds, seed, index, plan.num_samples / rate)
    # Clips of the default length are made where there is speech left, and are no promise.
    is_asked = config.registration != RegistrationConfig()
    clips = registration.asked(len(plan.speakers)) if is_asked else 0
    asked = plan.asked.model_copy(
        update={
            "sound_events": events if has_events else None,
            "registration_clips": clips or None,
        }
    )
    return plan.model_copy(
        update={
            "asked": asked,
            "sounds": draw_sounds(
                config.sounds,
                config.music,
                seed=seed,
                session=index,
                sounds=sounds,
                room=plan.room,
                delay=partial(_delay, plan.room, rate, rirs),
                sampling_rate=rate,
                num_samples=plan.num_samples,
                placements=plan.placements,
            ),
            "registration": registration.clips(index, plan.speakers, heard, language),
            "registration_rooms": registration.rooms(config.room),
            "channel": draw_channel(
                config.channel, seed, index, devices_of(plan.room), microphones
            ),
        }
    )


def devices_of(room: RoomPlan) -> tuple[int, ...]:
    """Device number of each channel."""
    return room.devices or (0,) * room.num_channels


def check_surroundings(
    config: SimulationConfig,
    *,
    sounds: Sounds | None,
    microphones: MicrophoneResponses | None,
    rirs: ResponseSet | None,
) -> None:
    """Refuse what cannot work with these collections and microphones.

    Raises:
        ConfigurationError: Naming the key and what would work.
    """
    devices: tuple[int, ...] = (0,)
    if make_provider(config.room.kind).geometry == "shoebox":
        parts = parse_devices(config.room.microphones)
        least = config.session.speakers[0] if config.session.speakers is not None else 1
        devices = device_numbers(parts, least)
    check_channel(config.channel, config.sampling_rate, devices, microphones)
    for section, labels, collection in (
        ("sounds", config.sounds.labels, sounds.events if sounds else None),
        ("sounds", tuple(config.sounds.snr_by_label), sounds.events if sounds else None),
        ("music", config.music.labels, sounds.music if sounds else None),
    ):
        unknown = set(labels) - set(collection.labels) if collection is not None else set()
        if unknown and collection is not None:
            raise ConfigurationError(
                f"{section}: no clip has the label {', '.join(sorted(unknown))}: "
                f"there are {', '.join(collection.labels)}"
            )


def open_collections(
    config: SimulationConfig,
) -> tuple[Sounds | None, MicrophoneResponses | None]:
    """The sounds, the music and the measured microphones that a configuration names.

    Raises:
        ConfigurationError: If one of them has nothing that can be used.
        ManifestError: If a manifest is not right.
    """
    rate = config.sampling_rate
    events = music = microphones = None
    if config.sounds.path is not None:
        events = SoundCollection.open(config.sounds.path, rate, "sound")
    if config.music.path is not None:
        music = SoundCollection.open(config.music.path, rate, "music")
    if config.channel.responses is not None:
        microphones = MicrophoneResponses.open(config.channel.responses, rate)
    sounds = None if events is None and music is None else Sounds(events=events, music=music)
    return sounds, microphones


def portable_collections(config: SimulationConfig) -> dict[str, JsonValue]:
    """Sections of the configuration with hashes of what paths point to in place of the paths."""
    sounds, microphones = open_collections(config)
    sections: dict[str, dict[str, JsonValue]] = {
        "sounds": config.sounds.model_dump(mode="json"),
        "music": config.music.model_dump(mode="json"),
        "channel": config.channel.model_dump(mode="json"),
    }
    if sounds is not None and sounds.events is not None:
        sections["sounds"]["path"] = f"sha256:{sounds.events.sha256()}"
    if sounds is not None and sounds.music is not None:
        sections["music"]["path"] = f"sha256:{sounds.music.sha256()}"
    if microphones is not None:
        sections["channel"]["responses"] = f"sha256:{microphones.sha256()}"
    return dict(sections)


def clip_rejections(
    sounds: Sounds | None, microphones: MicrophoneResponses | None
) -> Iterator[Rejection]:
    """Clips that could not be used, with the reason, for ``rejected.jsonl``."""
    for name, found in (
        ("sounds", sounds.events if sounds else None),
        ("music", sounds.music if sounds else None),
        ("microphones", microphones),
    ):
        for file, reason in found.rejected if found is not None else ():
            phrase, _, value = reason.partition(": ")
            yield Rejection(corpus=name, reason=phrase, file=file, value=value or None)


def _delay(room: RoomPlan, rate: int, rirs: ResponseSet | None, position_m: Metres) -> int:
    return point_delay(room, position_m, rate, rirs=rirs)
