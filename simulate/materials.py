"""What a plan is rendered from, beside its utterances."""

from __future__ import annotations

from dataclasses import dataclass

from talkover.simulate.channel.microphones import MicrophoneResponses
from talkover.simulate.noise_clips import NoiseCollection
from talkover.simulate.response_sets import ResponseSet
from talkover.simulate.room_bank import RoomBank
from talkover.simulate.sound_clips import Sounds


@dataclass(frozen=True, kw_only=True, slots=True)
class Materials:
    """Collections that plans draw on; each is None where no plan does."""

    noises: NoiseCollection | None = None
    """Clips of noise."""
    sounds: Sounds | None = None
    """Clips of sound events and music."""
    rirs: ResponseSet | None = None
    """Measured responses of rooms."""
    bank: RoomBank | None = None
    """Where responses are kept on disk."""
    microphones: MicrophoneResponses | None = None
    """Measured responses of microphones, for the channel."""
