"""A session after a change of time: new labels, new audio, and only what is still true of the old.

Local speakers are numbered anew, since a window may begin with somebody else. Stems, targets, the
plan's hash and the level of the mixture belong to the old audio and go; the room, the noise, the
licences and what made the session stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from talkover.manifests.schema import Audio, RegistrationClip, Scene, Session, Supervision
from talkover.manifests.statistics import session_statistics
from talkover.manifests.timeline import Timeline


def with_timeline(session: Session, timeline: Timeline, *, id: str, audio: Audio) -> Session:
    """A session of the changed labels and of the audio that was made to match them.

    Args:
        session: Where the labels came from.
        timeline: The changed labels.
        id: Of the new session; supervisions get ids of their own below it.
        audio: The new audio.

    Raises:
        ValueError: If audio and timeline differ in rate or length.
    """
    if (audio.sampling_rate, audio.num_samples) != (timeline.sampling_rate, timeline.num_samples):
        raise ValueError(
            f"audio has {audio.num_samples} samples at {audio.sampling_rate} Hz, the timeline "
            f"{timeline.num_samples} at {timeline.sampling_rate} Hz"
        )
    names = local_names(timeline.supervisions)
    old = {row.speaker: row.speaker_local for row in session.supervisions}
    renamed = {old[speaker]: name for speaker, name in names.items() if speaker in old}
    supervisions = tuple(
        row.model_copy(update={"id": f"{id}-{n:05d}", "speaker_local": names[row.speaker]})
        for n, row in enumerate(timeline.supervisions)
    )
    return session.model_copy(
        update={
            "id": id,
            "audio": audio,
            "supervisions": supervisions,
            "events": timeline.events,
            "uem": timeline.uem,
            "scene": None if session.scene is None else _renamed_scene(session.scene, renamed),
            "registration": tuple(_renamed_clip(clip, names) for clip in session.registration),
            "levels": (),  # of all that a speaker said in the session, which may now be less
            "mix": None,
            "asked": None,
            "statistics": session_statistics(
                supervisions, timeline.num_samples, timeline.sampling_rate
            ),
            "provenance": session.provenance.model_copy(update={"plan_hash": None}),
        }
    )


def local_names(supervisions: Iterable[Supervision]) -> dict[str, str]:
    """Local name of each speaker: S01, S02, … by first appearance."""
    names: dict[str, str] = {}
    for row in supervisions:
        names.setdefault(row.speaker, f"S{len(names) + 1:02d}")
    return names


def _renamed_scene(scene: Scene, renamed: Mapping[str, str]) -> Scene:
    """The seats of those who still speak, under their new names."""
    seats = [seat for seat in scene.seats if seat.speaker_local in renamed]
    moved = [s.model_copy(update={"speaker_local": renamed[s.speaker_local]}) for s in seats]
    return scene.model_copy(
        update={"seats": tuple(sorted(moved, key=lambda seat: seat.speaker_local))}
    )


def _renamed_clip(clip: RegistrationClip, names: Mapping[str, str]) -> RegistrationClip:
    """Whoever no longer speaks becomes a distractor."""
    return clip.model_copy(update={"speaker_local": names.get(clip.speaker)})
