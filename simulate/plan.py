"""A session's plan: every decision of one conversation, and no audio.

A plan is pure data that depends on (configuration, corpus, seed, session index) alone. It can be
printed, hashed, compared and counted; `talkover.simulate.labels` turns it into labels and
`talkover.simulate.render` into audio, and neither decides anything. Formats, stems and folders are
not decisions about the conversation, so they are not here: one plan can be rendered many ways.

All clocks are samples at the plan's sampling rate. Speech is placed by its *emission* at the mouth;
labels add the seat's direct-path delay, since they mean what the first channel hears.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from talkover.manifests.canonical import canonical_json
from talkover.manifests.schema import Asked, Contract, Metres, Role, SafeId, Sha256

PLAN_VERSION = "1.0"

SPEED_OF_SOUND = 343.0
"""Metres a second, dry air at 20 °C (pyroomacoustics' default)."""


class Placement(Contract):
    """A slice of one utterance, emitted by one speaker at one time."""

    utterance: int
    """Number of the utterance in the source cache."""
    utterance_id: str
    speaker_local: str
    turn: int
    """Number of the turn in the session; holds of one speaker share it."""
    role: Role
    start_sample: int
    """Session sample at which the first sample of the slice is emitted."""
    source_start: Annotated[int, Field(ge=0)]
    """First sample of the slice on the utterance's clock."""
    num_samples: Annotated[int, Field(gt=0)]
    whole: bool
    """The slice, with the others of its saying, holds all speech of the utterance, so that its text
    is the utterance's text."""
    gain_db: float
    saying: int | None = None
    """Number of the saying: slices of one utterance between which pauses were shortened share it,
    and where no word times are known they share one supervision."""
    fade_samples: Annotated[int, Field(ge=0)] | None = None
    """Raised-cosine fade at both ends, centred on the cut; None for the renderer's own."""


class Waypoint(Contract):
    """Where a moving speaker is at one time; the way to the next is straight and even."""

    sample: Annotated[int, Field(ge=0)]
    """Session sample (of emission)."""
    position_m: Metres
    facing_deg: float


class PlannedSeat(Contract):
    """A speaker's place in the room."""

    speaker_local: str
    position_m: Metres | None = None
    """For a moving speaker, where the session begins."""
    facing_deg: float | None = None
    """Where the mouth points to, degrees counter-clockwise from the room's first axis."""
    drr_db: float | None = None
    """Asked direct-to-reverberant ratio at the first channel; None takes the room's own."""
    headset_channel: Annotated[int, Field(ge=0)] | None = None
    """Channel of the microphone that this speaker wears."""
    trajectory: tuple[Waypoint, ...] = ()
    """In order of time, for a speaker who moves; at rest before the first and after the last."""
    direct_delay_samples: Annotated[int, Field(ge=0)] = 0
    """From emission to the direct path at the first channel."""
    response: str | None = None
    """Id of the measured response, for rooms of kind ``measured``."""


class RoomPlan(Contract):
    """The room, its microphones and its seats."""

    kind: str
    """Name of the provider of its responses, see `talkover.simulate.providers`."""
    dimensions_m: Metres | None = None
    t60: float | None = None
    """Asked reverberation time in seconds."""
    t60_octaves: tuple[float, ...] = (1.0,) * 7
    """Relative reverberation time of the octave bands from 125 Hz to 8 kHz."""
    directivity: str = "omni"
    """How the voices radiate, see `talkover.simulate.directivity`."""
    microphones: str = "single"
    microphone_positions_m: tuple[Metres, ...] | None = None
    devices: tuple[int, ...] | None = None
    """Device number of each channel; None: all channels are of one device."""
    num_channels: Annotated[int, Field(gt=0)] = 1
    seats: tuple[PlannedSeat, ...]


class NoisePlan(Contract):
    """One stationary noise over the whole session."""

    kind: Literal["ambient", "point", "diffuse", "white", "pink", "speech_shaped"]
    snr_db: float
    """Asked ratio of speech to noise power; see `talkover.simulate.levels.SNR_DEFINITION`."""
    clip: str | None = None
    """Id of the clip in the noise collection, for ``ambient`` and ``point``."""
    clip_sha256: Sha256 | None = None
    offset_samples: Annotated[int, Field(ge=0)] = 0
    """Where in the (repeated) clip the session begins, at the plan's rate."""
    seed: int = 0
    """Seed of synthetic noise."""
    spectrum: Literal["white", "pink", "speech_shaped"] | None = None
    """Of synthetic ``diffuse`` and ``point`` noise."""
    position_m: Metres | None = None
    """Where ``point`` noise comes from."""


class SoundPlan(Contract):
    """One sound event or piece of music."""

    id: SafeId = "e000"
    """In the session, in order of time."""
    kind: Literal["sound", "music"]
    label: str
    clip: str
    """Id of the clip in its collection."""
    clip_sha256: Sha256
    """Of the clip's file."""
    source_start: Annotated[int, Field(ge=0)]
    """First sample of the part that is used, on the clip's clock at the plan's rate."""
    source_samples: Annotated[int, Field(gt=0)]
    """Samples of that part; it is repeated where the sound lasts longer."""
    source_offset: Annotated[int, Field(ge=0)] = 0
    """Where in the repeated part the sound begins."""
    start_sample: Annotated[int, Field(ge=0)]
    """Session sample at which the sound is emitted."""
    num_samples: Annotated[int, Field(gt=0)]
    fade_samples: Annotated[int, Field(ge=0)]
    """Of the raised-cosine fades at both ends."""
    snr_db: float
    """Asked; see `talkover.simulate.sounds.EVENT_SNR_DEFINITION`."""
    positions_m: tuple[Metres, ...] = ()
    """One place, or several that share the power; none in a room without places."""
    direct_delay_samples: Annotated[int, Field(ge=0)] = 0
    """From emission to the first direct path at the first channel; the labels include it."""


class PlannedSpeaker(Contract):
    """A speaker of the session."""

    speaker: SafeId
    speaker_local: str
    language: str | None = None
    gender: str | None = None
    level_dbfs: float | None = None
    """Asked active-speech level of the dry signal; None where a loudness was asked."""
    loudness_lufs: float | None = None
    """Asked loudness of all that the speaker says, joined; None where a level was asked."""


class PlannedRegistration(Contract):
    """The utterances of one speaker's registration clip, joined and cut to a length."""

    speaker: SafeId
    speaker_local: str | None = None
    """None for a distractor, who is not in the session."""
    utterances: tuple[int, ...]
    """Numbers in the source cache; none of them is placed in the session."""
    length: Annotated[float, Field(gt=0)]
    """Duration of the clip in seconds."""
    room: Annotated[int, Field(ge=0)] | None = None
    """Place in `SessionPlan.registration_rooms`; None for clean speech."""


class PlannedEffect(Contract):
    """One step of one device's channel; see `talkover.simulate.channel`."""

    name: str
    device: Annotated[int, Field(ge=0)] = 0
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """All of them, as drawn."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of what the effect itself draws, such as which packets are lost."""


class SessionPlan(Contract):
    """All decisions of one session."""

    plan_version: str = PLAN_VERSION
    session_id: SafeId
    session_index: Annotated[int, Field(ge=0)]
    root_seed: Annotated[int, Field(ge=0)]
    configuration_hash: Sha256
    corpus_hash: Sha256
    sampling_rate: Annotated[int, Field(gt=0)]
    num_samples: Annotated[int, Field(gt=0)]
    speakers: tuple[PlannedSpeaker, ...]
    """In order of first appearance: S01, S02, …"""
    placements: tuple[Placement, ...]
    """In order of emission."""
    room: RoomPlan
    noise: tuple[NoisePlan, ...] = ()
    peak_dbfs: float
    """The mixture is scaled down to this peak if it would exceed it."""
    asked: Asked
    registration: tuple[PlannedRegistration, ...] = ()
    registration_rooms: tuple[RoomPlan, ...] = ()
    """Other rooms in which clips are heard."""
    sounds: tuple[SoundPlan, ...] = ()
    """Events and music, in order of time at the first channel."""
    channel: tuple[PlannedEffect, ...] = ()
    """In the order in which they are applied."""

    def canonical(self) -> str:
        """The plan as one line of JSON with sorted keys; the same plan gives the same text."""
        return canonical_json(self.model_dump(mode="json"))

    def sha256(self) -> str:
        """Hash of `canonical`."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()
