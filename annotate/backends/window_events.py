"""Events from a model that hears windows: one probability a class and window → stretches.

A hop's probability is the mean over the windows that cover it; hysteresis then finds where a class
begins and ends. Windows bound how exact times can be: to about half a window.

Legend: ``W`` window, ``C`` class, ``N`` hop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import Hysteresis, active_stretches, mean_over
from talkover.annotate.events import Event
from talkover.annotate.media import RATE, DecodedAudio

Probabilities = NDArray[np.float32]
Model = Callable[[NDArray[np.float32]], Probabilities]
"""Windows ``[B, T]`` at `RATE` → probabilities ``[B, C]``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowConfig:
    """How a recording is cut into windows, and what counts as an event.

    Raises:
        ValueError: If the hop is not positive or longer than the window.
    """

    window: float = 2.0
    """Seconds that the model hears at a time."""
    hop: float = 0.5
    """Seconds from one window to the next."""
    batch: int = 8
    """Windows at a time."""
    rule: Hysteresis = field(
        default_factory=lambda: Hysteresis(onset=0.3, offset=0.15, shortest=0.25, gap=0.5)
    )

    def __post_init__(self) -> None:
        """Check the times."""
        if not 0 < self.hop <= self.window or self.batch < 1:
            raise ValueError(f"needs 0 < hop <= window, got {self.hop}, {self.window} s")


def window_events(
    audio: DecodedAudio, model: Model, labels: Sequence[str], config: WindowConfig
) -> tuple[Event, ...]:
    """Sound events of a recording, by start; memory grows by a number a class and hop.

    Args:
        audio: The recording.
        model: Gives a probability for each label.
        labels: Names of the classes.
        config: Windows and thresholds.
    """
    values = _curves(audio, model, len(labels), config)  # [N, C]
    hop = round(config.hop * RATE)
    found: list[Event] = []
    for column, label in enumerate(labels):
        curve = values[:, column]
        for start, end in active_stretches(
            curve, hop, audio.num_samples, RATE, config.rule
        ).tolist():
            found.append(
                Event(
                    id=f"{column}-{start}",
                    kind="sound",
                    start=start,
                    end=end,
                    label=label,
                    confidence=mean_over(curve, hop, start, end),
                    attributes={"label_source": "model"},
                )
            )
    return tuple(sorted(found, key=lambda e: (e.start, e.end, e.label)))


def _curves(
    audio: DecodedAudio, model: Model, classes: int, config: WindowConfig
) -> NDArray[np.float64]:
    """Mean over windows of each class in each hop, ``[N, C]``."""
    hop, size = round(config.hop * RATE), round(config.window * RATE)
    hops = -(-audio.num_samples // hop)
    covered = -(-size // hop)
    total = np.zeros((hops, classes))
    count = np.zeros((hops, 1))
    for first, batch in _batches(audio, hop, size, config.batch):
        for offset, row in enumerate(np.asarray(model(batch), dtype=np.float64)):  # [B, C]
            part = slice(first + offset, min(hops, first + offset + covered))
            total[part] += row
            count[part] += 1
    return np.asarray(total / np.maximum(count, 1))


def _batches(
    audio: DecodedAudio, hop: int, size: int, batch: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """First hop of each batch of windows, and the windows, ``[B, T]``; the last reach the end."""
    last = max(0, -(-(audio.num_samples - size) // hop))
    for first in range(0, last + 1, batch):
        starts = range(first, min(last + 1, first + batch))
        yield first, np.stack([audio.read(n * hop, n * hop + size) for n in starts])
