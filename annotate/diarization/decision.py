"""From what windows heard to turns: who is who, and who speaks when.

A pure function of what was heard, so thresholds can be tried without hearing anything again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.clustering import ClusteringConfig
from talkover.annotate.diarization.people import People, find_people
from talkover.annotate.diarization.stitching import (
    Grid,
    PersonTurn,
    StitchConfig,
    stitched,
    turns_of,
)
from talkover.annotate.diarization.unheard import with_the_unheard
from talkover.annotate.diarization.windows import Activities, Voices, WindowConfig
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
    gate: NDArray[np.bool_] | None = None,
) -> list[PersonTurn]:
    """Turns of the people of a recording, by start.

    Args:
        voices: All that are heard.
        activities: Of all windows.
        grid: Where frames lie.
        config: Thresholds.
        similarity: Least mean cosine of two groups of voices of one person.
        speakers: How many people there are.
        gate: Frames in which anybody may speak; None for all.
    """
    clustering = ClusteringConfig(
        similarity=similarity, speakers=speakers, smallest_share=config.smallest_share
    )
    people = find_people(
        voices,
        clustering,
        strong=config.strong_seconds,
        windows_of_block=max(1, round(config.block_seconds * RATE / grid.hop)),
    )
    turns = turns_of(
        stitched(activities, _locals(voices, people, activities), people.count, grid),
        grid,
        config.stitch,
        gate=gate,
    )
    return with_the_unheard(turns, voices, people, activities, grid, speakers)


def diarizer_config(options: Mapping[str, Any]) -> DiarizationConfig:
    """A configuration from values by their own names, whatever part they are of.

    Raises:
        TypeError: If there is no such value.
        ValueError: If a value is out of its range.
    """
    parts: dict[str, dict[str, Any]] = {"windows": {}, "stitch": {}, "": {}}
    places = {one.name: "windows" for one in fields(WindowConfig)}
    places |= {one.name: "stitch" for one in fields(StitchConfig)}
    places |= {one.name: "" for one in fields(DiarizationConfig) if one.name not in parts}
    for name, value in options.items():
        if name not in places:
            raise TypeError(f"unknown option {name!r}: known are {', '.join(sorted(places))}")
        parts[places[name]][name] = value
    return DiarizationConfig(
        windows=WindowConfig(**parts["windows"]),
        stitch=StitchConfig(**parts["stitch"]),
        **parts[""],
    )


def _locals(voices: Voices, people: People, activities: Activities) -> Iterator[NDArray[np.int64]]:
    """The person of each local speaker of each window, or -1."""
    edges = np.searchsorted(voices.windows, np.arange(activities.num_windows + 1))
    for window in range(activities.num_windows):
        own = slice(edges[window], edges[window + 1])
        row = np.full(activities.num_locals, -1, dtype=np.int64)
        row[voices.locals[own]] = people.of_voice[own]
        yield row
