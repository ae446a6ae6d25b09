"""Targets: what a system may be asked to give back of each speaker.

A response is split in time, so that its parts add up to it and nothing is normalised anew:

::

    |  direct: ± 2.5 ms  |
    |  early: from the beginning to 50 ms after the direct path |  late: the rest  |

early + late = reverberant, exactly; direct is a part of early. ``dry`` is the voice itself before
the room: one channel, with the gains of the plan, in time with the labels.

Legend: ``P`` response, ``C`` channel, ``L`` sample of a response.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.simulate.convolve import Track
from talkover.simulate.decay import DIRECT_SECONDS
from talkover.simulate.plan import RoomPlan
from talkover.simulate.responses import Responses, direct_samples

Target = Literal["reverberant", "early", "direct", "dry"]
RoomPart = Literal["reverberant", "early", "late", "direct"]
"""Parts of a response; ``late`` is never written, since it is the rest."""

EARLY_SECONDS = 0.05
"""Reflections up to 50 ms after the direct path support speech (ISO 3382-1, Definition D50)."""


def response_part(
    room: RoomPlan,
    responses: Responses,
    part: RoomPart,
    sampling_rate: int,
    early_seconds: float = EARLY_SECONDS,
) -> NDArray[np.float32]:
    """One part of all responses of a room, shape ``[P, C, L]``.

    Args:
        room: The plan.
        responses: Of the room.
        part: Which.
        sampling_rate: Hz.
        early_seconds: How long after the direct path the early part lasts.
    """
    h = responses.h
    if part == "reverberant":
        return h
    direct = direct_samples(room, responses, sampling_rate)[:, :, np.newaxis]
    at = np.arange(h.shape[2])
    if part == "direct":
        kept = np.abs(at - direct) <= round(DIRECT_SECONDS * sampling_rate)
    else:
        kept = at <= direct + round(early_seconds * sampling_rate)
    if part == "late":
        kept = ~kept
    return np.where(kept, h, np.float32(0.0))


class DelayedTrack:
    """A track that comes later by a number of samples."""

    def __init__(self, track: Track, delay: int) -> None:
        """Nothing is read yet."""
        self._track, self._delay = track, delay

    def block(self, start: int, num_samples: int) -> NDArray[np.float32] | None:
        """Samples from ``start`` on, shape ``[T]``; None where they are all zero."""
        first = start - self._delay
        if first + num_samples <= 0:
            return None
        samples = self._track.block(max(first, 0), num_samples + min(first, 0))
        if samples is None or first >= 0:
            return samples
        return np.concatenate([np.zeros(-first, dtype=np.float32), samples])
