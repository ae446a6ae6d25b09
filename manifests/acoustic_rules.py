"""Rules over what surrounds the speech of a session: levels, sounds, channel, registration."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from talkover.manifests.faults import Fault, Rule
from talkover.manifests.schema import Session


def levels_are_of_speakers(session: Session) -> Iterator[Fault]:
    """A level names a speaker of the session, each at most once."""
    known = {s.speaker_local for s in session.supervisions}
    seen: set[str] = set()
    for n, level in enumerate(session.levels):
        if level.speaker_local not in known - seen:
            yield Fault(
                f"levels[{n}].speaker_local",
                level.speaker_local,
                f"must be one of {sorted(known - seen)}",
            )
        seen.add(level.speaker_local)


def events_are_told_apart(session: Session) -> Iterator[Fault]:
    """No two events have one id, and they are sorted by start."""
    seen: set[str] = set()
    for n, event in enumerate(session.events):
        if event.id in seen:
            yield Fault(f"events[{n}].id", event.id, "is the id of an event ahead of it")
        seen.add(event.id)
    for n, (last, event) in enumerate(pairwise(session.events), start=1):
        if event.start_sample < last.start_sample:
            yield Fault(
                f"events[{n}].start_sample",
                event.start_sample,
                f"is before the event ahead of it, which starts at {last.start_sample}",
            )


def channel_is_of_its_devices(session: Session) -> Iterator[Fault]:
    """An effect names a device that there is, and only a channel has a before and an after."""
    microphones = session.scene.microphones if session.scene is not None else None
    devices = set((microphones.devices if microphones is not None else None) or (0,))
    for n, effect in enumerate(session.channel):
        if microphones is not None and effect.device is not None and effect.device not in devices:
            yield Fault(f"channel[{n}].device", effect.device, f"must be one of {sorted(devices)}")
    if session.channel or session.mix is None:
        return
    for name in ("pre_channel", "channel_peak_dbfs", "channel_clipped_samples"):
        value = getattr(session.mix, name)
        if value is not None:
            yield Fault(f"mix.{name}", value, "belongs to sessions with a channel")


def clips_are_as_long_as_asked(session: Session) -> Iterator[Fault]:
    """A registration clip has the length that was asked for."""
    for n, clip in enumerate(session.registration):
        if clip.length is None:
            continue
        if abs(clip.duration - clip.length) * session.audio.sampling_rate > 0.5:
            yield Fault(f"registration[{n}].duration", clip.duration, f"must be {clip.length} s")


ACOUSTIC_RULES: dict[str, Rule] = {
    "levels": levels_are_of_speakers,
    "event_order": events_are_told_apart,
    "channel": channel_is_of_its_devices,
    "registration_length": clips_are_as_long_as_asked,
}
