"""How loud each speaker is: the gain that gives what was asked, and what came out.

Asked for is either a level (RMS over active speech) or a loudness (LUFS over all that the speaker
says, joined). Both are of the dry signal, as a microphone at one metre would get it from the direct
sound alone, before the headroom gain of the mix.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.loudness import block_powers, gated_lufs, integrated_lufs
from talkover.manifests.schema import SpeakerLevel, Supervision
from talkover.simulate.levels import LEVEL_DIGITS, gain_of, mean_level_dbfs
from talkover.simulate.plan import SessionPlan
from talkover.simulate.tracks import FULL_SCALE, Sources, SpeakerTrack

LEVEL_DEFINITION = "RMS of active speech, mean over the speaker's supervisions, dry, before the mix"
LOUDNESS_DEFINITION = (
    "ITU-R BS.1770-4 integrated loudness over the speaker's utterances, joined, dry, before the mix"
)
START_DBFS = -26.0
"""Level at which a loudness is first measured: the absolute gate must not cut a quiet corpus."""
ROUNDS = 2
"""The gates depend a little on the level, so what the first gain gives is measured once more."""

Stretch = tuple[int, int, int]
"""Utterance, first sample and number of samples."""


def loudness_gain_db(
    sources: Sources,
    stretches: Sequence[Stretch],
    *,
    relative_db: Sequence[float],
    level_dbfs: float,
    asked_lufs: float,
    sampling_rate: int,
) -> float:
    """Gain that brings what a speaker says to a loudness.

    Args:
        sources: The utterances.
        stretches: What is said of them, in order.
        relative_db: Gain of each stretch relative to the speaker's own.
        level_dbfs: About the level of the stretches, where the search begins.
        asked_lufs: Integrated loudness of all of them joined.
        sampling_rate: Hz.
    """
    joined = np.concatenate(
        [
            sources.samples(number)[start : start + count].astype(np.float32)
            * np.float32(gain_of(gain) / FULL_SCALE)
            for (number, start, count), gain in zip(stretches, relative_db, strict=True)
        ]
    )
    powers = block_powers(joined, sampling_rate)
    gain_db = START_DBFS - level_dbfs
    for _ in range(ROUNDS):
        gain_db += asked_lufs - gated_lufs(powers * gain_of(gain_db) ** 2)
    return gain_db


def measured_levels(
    plan: SessionPlan, sources: Sources, supervisions: Sequence[Supervision]
) -> tuple[SpeakerLevel, ...]:
    """What was asked of each speaker's level and what came out.

    A level comes from the measured levels of the utterances that were used; a loudness is measured
    on the dry signal itself, with fades.
    """
    rows = []
    for speaker in plan.speakers:
        own = [s for s in supervisions if s.speaker_local == speaker.speaker_local]
        if speaker.loudness_lufs is not None:
            dry = joined_speech(plan, sources, speaker.speaker_local)
            rows.append(
                SpeakerLevel(
                    speaker_local=speaker.speaker_local,
                    unit="lufs",
                    asked=speaker.loudness_lufs,
                    measured=round(integrated_lufs(dry, plan.sampling_rate), LEVEL_DIGITS),
                    definition=LOUDNESS_DEFINITION,
                )
            )
        elif speaker.level_dbfs is not None and own:
            levels = [s.level_dbfs for s in own if s.level_dbfs is not None]
            weights = [s.num_samples for s in own if s.level_dbfs is not None]
            rows.append(
                SpeakerLevel(
                    speaker_local=speaker.speaker_local,
                    unit="dbfs",
                    asked=speaker.level_dbfs,
                    measured=round(mean_level_dbfs(levels, weights), LEVEL_DIGITS),
                    definition=LEVEL_DEFINITION,
                )
            )
    return tuple(rows)


def joined_speech(plan: SessionPlan, sources: Sources, speaker_local: str) -> NDArray[np.float32]:
    """All that a speaker says in a session, one placement after the other, dry, ``[T]``."""
    own = [p for p in plan.placements if p.speaker_local == speaker_local]
    pieces = []
    for placement in own:
        track = SpeakerTrack([placement], sources, plan.sampling_rate)
        piece = track.block(placement.start_sample, placement.num_samples)
        if piece is not None:
            pieces.append(piece)
    return np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)
