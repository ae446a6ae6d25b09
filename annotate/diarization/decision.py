"""From what windows heard to turns: who is who, and who speaks when.

A pure function of what was heard, so thresholds can be tried without hearing anything again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import is_on
from talkover.annotate.clustering import ClusteringConfig, Vectors
from talkover.annotate.diarization.people import find_people, nearest_people
from talkover.annotate.diarization.stitching import (
    Grid,
    PersonTurn,
    Speech,
    StitchConfig,
    stitched,
    turns_of,
)
from talkover.annotate.diarization.stretches import (
    Likely,
    StretchConfig,
    Stretches,
    likely_people,
    people_of,
)
from talkover.annotate.diarization.unheard import with_the_unheard
from talkover.annotate.diarization.windows import Activities, Voices, WindowConfig
from talkover.annotate.events import Curve
from talkover.annotate.media import RATE
from talkover.annotate.speaker_count import SpeakerCount


@dataclass(frozen=True, kw_only=True, slots=True)
class DiarizationConfig:
    """How turns are found; set on simulated sessions (docs/annotate_branches.md).

    Raises:
        ValueError: If a value is out of its range.
    """

    windows: WindowConfig = field(default_factory=WindowConfig)
    stitch: StitchConfig = field(default_factory=StitchConfig)
    stretches: StretchConfig = field(default_factory=StretchConfig)
    similarity: float | None = None
    """Least mean cosine of two groups of voices of one person; None for the embedder's own."""
    strong_seconds: float = 1.0
    """Seconds of clean speech from which a voice may found a person."""
    smallest_share: float = 0.02
    """People with less of the clean speech than this are given to others."""
    block_seconds: float = 600.0
    """Voices are clustered in blocks of so many seconds, then the blocks are joined."""
    vad_floor: float = 0.1
    """Nobody speaks where the voice activity branch is under this; 0 to leave it unasked."""
    vad_onset: float = 0.5
    """Somebody speaks from where the voice activity branch reaches this (the default of
    silero-vad's authors); 1 to leave it unasked."""
    vad_offset: float = 0.35
    """…to where it falls under this."""

    def __post_init__(self) -> None:
        """Check the values."""
        if self.strong_seconds <= 0 or self.block_seconds <= 0:
            raise ValueError("strong_seconds and block_seconds must be above 0")


def decide_turns(
    voices: Voices,
    activities: Activities,
    grid: Grid,
    config: DiarizationConfig,
    *,
    similarity: float,
    speakers: SpeakerCount,
    speech: Speech | None = None,
    stretches: Stretches | None = None,
) -> list[PersonTurn]:
    """Turns of the people of a recording, by start.

    Args:
        voices: All that are heard.
        activities: Of all windows.
        grid: Where frames lie.
        config: Thresholds.
        similarity: Least mean cosine of two groups of voices of one person.
        speakers: How many people there are.
        speech: What a detector of speech says of each frame; None where nobody asked one.
        stretches: In which people are found; None to find them in the windows' voices alone.
    """
    clustering = ClusteringConfig(
        similarity=similarity, speakers=speakers, smallest_share=config.smallest_share
    )
    of_block = max(1, round(config.block_seconds * RATE / grid.hop))
    known = None if stretches is None else _known(stretches, clustering, config)
    if stretches is None or known is None:
        likely = None
        people = find_people(
            voices, clustering, strong=config.strong_seconds, windows_of_block=of_block
        )
    else:
        likely = likely_people(stretches, known, config.stretches)
        people = nearest_people(voices, known, windows_of_block=of_block)
    turns = turns_of_people(
        people.of_voice, voices, activities, grid, config, speech=speech, likely=likely
    )
    return with_the_unheard(turns, voices, people, activities, grid, speakers)


def turns_of_people(
    of_voice: NDArray[np.int64],
    voices: Voices,
    activities: Activities,
    grid: Grid,
    config: DiarizationConfig,
    *,
    speech: Speech | None = None,
    likely: Likely | None = None,
) -> list[PersonTurn]:
    """Turns once it is known who each voice is.

    Args:
        of_voice: The person of each voice from 0, or -1; ``[V]``.
        voices: All that are heard.
        activities: Of all windows.
        grid: Where frames lie.
        config: Thresholds.
        speech: What a detector of speech says of each frame; None where nobody asked one.
        likely: How likely each person is by their voice; None for activity alone.
    """
    count = int(of_voice.max(initial=-1)) + 1 if likely is None else likely.probability.shape[1]
    return turns_of(
        stitched(activities, _locals(voices, of_voice, activities), count, grid),
        grid,
        config.stitch,
        speech=speech,
        likely=likely,
    )


def speech_of(curve: Curve, grid: Grid, config: DiarizationConfig) -> Speech:
    """What the voice activity branch says of each frame."""
    middles = np.arange(grid.num_frames) * grid.frame + grid.frame // 2
    sure = is_on(curve.values, config.vad_onset, config.vad_offset)
    hop = np.minimum(middles // curve.hop, len(sure) - 1)
    return Speech(
        possible=np.asarray(curve.at(middles) >= config.vad_floor),
        sure=sure[hop] if config.vad_onset < 1 else np.zeros(len(hop), dtype=np.bool_),
    )


def _known(
    stretches: Stretches, clustering: ClusteringConfig, config: DiarizationConfig
) -> Vectors | None:
    """The people that are found in stretches; None if too few are heard."""
    own = config.stretches.stretch_similarity
    least = clustering.similarity if own is None else own
    return people_of(
        stretches, replace(clustering, similarity=least), config.stretches, config.block_seconds
    )


def diarizer_config(options: Mapping[str, Any]) -> DiarizationConfig:
    """A configuration from values by their own names, whatever part they are of.

    Raises:
        TypeError: If there is no such value.
        ValueError: If a value is out of its range.
    """
    parts: dict[str, dict[str, Any]] = {"windows": {}, "stitch": {}, "stretches": {}, "": {}}
    places = {one.name: "windows" for one in fields(WindowConfig)}
    places |= {one.name: "stitch" for one in fields(StitchConfig)}
    places |= {one.name: "stretches" for one in fields(StretchConfig)}
    places |= {one.name: "" for one in fields(DiarizationConfig) if one.name not in parts}
    for name, value in options.items():
        if name not in places:
            raise TypeError(f"unknown option {name!r}: known are {', '.join(sorted(places))}")
        parts[places[name]][name] = value
    return DiarizationConfig(
        windows=WindowConfig(**parts["windows"]),
        stitch=StitchConfig(**parts["stitch"]),
        stretches=StretchConfig(**parts["stretches"]),
        **parts[""],
    )


def _locals(
    voices: Voices, of_voice: NDArray[np.int64], activities: Activities
) -> Iterator[NDArray[np.int64]]:
    """The person of each local speaker of each window, or -1."""
    edges = np.searchsorted(voices.windows, np.arange(activities.num_windows + 1))
    for window in range(activities.num_windows):
        own = slice(edges[window], edges[window + 1])
        row = np.full(activities.num_locals, -1, dtype=np.int64)
        row[voices.locals[own]] = of_voice[own]
        yield row
