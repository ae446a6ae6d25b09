"""Every licence in a session: of its speech, noises, sounds, responses and registration clips."""

from __future__ import annotations

from collections.abc import Sequence

from talkover.manifests.schema import Licences, Noise, SoundEvent, Supervision
from talkover.simulate.channel.microphones import MicrophoneResponses
from talkover.simulate.plan import SessionPlan
from talkover.simulate.response_sets import ResponseSet
from talkover.simulate.source_cache import SourceCache


def licences_of(
    plan: SessionPlan,
    cache: SourceCache,
    *,
    supervisions: Sequence[Supervision],
    noise: Sequence[Noise],
    events: Sequence[SoundEvent],
    rirs: ResponseSet | None,
    microphones: MicrophoneResponses | None,
) -> Licences:
    """All that the session's audio carries, sorted, and whom to name for it.

    Returns:
        `non_commercial` if any licence says NC; attributions of sounds whose author is known.
    """
    found = {s.source.licence for s in supervisions if s.source is not None}
    found |= {n.licence for n in noise}
    found |= {e.source.licence for e in events if e.source is not None}
    for row in plan.registration:
        found |= {cache.utterance(number).licence for number in row.utterances}
    if rirs is not None:
        heard = {seat.response for seat in plan.room.seats if seat.response is not None}
        found |= {rirs.response(name).licence for name in heard}
    if microphones is not None:
        names = {effect.parameters.get("response") for effect in plan.channel}
        found |= {m.licence for m in microphones.microphones.values() if m.id in names}
    spdx = tuple(sorted(name for name in found if name))
    credits = {
        f"{event.source.recording_id}: {event.source.attribution}, {event.source.licence}"
        for event in events
        if event.source is not None and event.source.attribution
    }
    return Licences(
        spdx=spdx,
        attribution=tuple(sorted(credits)),
        non_commercial=any(_is_non_commercial(name) for name in spdx),
    )


def _is_non_commercial(name: str) -> bool:
    return "NC" in name.upper().replace(" ", "-").split("-")
