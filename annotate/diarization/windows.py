"""Local speakers: who is heard in each window of a recording, before anybody has a name.

::

    windows   |---------0---------|
                   |---------1---------|
                        |---------2---------|      a hop apart, the last one padded with zeros
    voice     a local speaker of one window who is heard there long enough

Windows begin at fixed places, so the result does not depend on how many are read at a time. What
is kept in memory grows by some kilobytes a minute: one embedding a voice. The activities of all
windows, which are larger, lie in a temporary file.

Legend: ``W`` window, ``F`` frame of a window, ``L`` local speaker, ``V`` voice, ``D`` embedding.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.media import RATE, DecodedAudio

WINDOWS_AT_ONCE = 32
"""Windows read and held at a time; changes nothing but memory."""
IN_MEMORY_BYTES = 8 << 20
"""Activities up to this size stay out of the temporary file: half an hour and more."""
LEVELS = 255
"""Steps in which an activity is kept."""


class Segmenter(Protocol):
    """Gives the local speakers of windows; `talkover.annotate.models.segmentation` has one."""

    @property
    def window_samples(self) -> int:
        """Samples of a window."""
        ...

    @property
    def frame_samples(self) -> int:
        """Samples of a frame."""
        ...

    def window(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Activity of the local speakers of each window, ``[W, F, L]``.

        Args:
            samples: Windows, ``[W, window_samples]``.
        """
        ...


class Embedder(Protocol):
    """Gives the voice of those who speak; `talkover.annotate.models.embedding` has one."""

    @property
    def frame_samples(self) -> int:
        """Samples of a frame of the features."""
        ...

    @property
    def halo_s(self) -> float:
        """Seconds on both sides that the features of a stretch need to be those of the whole."""
        ...

    def features(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """What is heard in each frame of a stretch, ``[F, C]``."""
        ...

    def pool(
        self, features: NDArray[np.float32], masks: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """One vector of length 1 a mask, ``[V, D]``.

        Args:
            features: Of a window, ``[F, C]``.
            masks: Weight of each frame, ``[V, F]``.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Voices:
    """The local speakers that are heard, by window.

    Attributes:
        embeddings: Of what each says, ``[V, D]``.
        windows: ``[V]``.
        locals: Which local speaker of the window, ``[V]``.
        clean: Seconds in which nobody else speaks, ``[V]``.
        links: The voice of the window before that is the same by its activity, or -1; ``[V]``.
    """

    embeddings: NDArray[np.float64]
    windows: NDArray[np.int64]
    locals: NDArray[np.int64]
    clean: NDArray[np.float64]
    links: NDArray[np.int64]


class Activities:
    """Activities of all windows, in order, on disk where they are many. Use as a context."""

    def __init__(self) -> None:
        """Start with none."""
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES)
        self._shape: tuple[int, int] | None = None
        self.num_windows = 0

    def __enter__(self) -> Activities:
        """Ready from the start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Throw the file away."""
        self._file.close()

    def append(self, activity: NDArray[np.floating]) -> None:
        """Keep some more windows, ``[W, F, L]``, values from 0 to 1."""
        count, frames, speakers = activity.shape
        self._shape = (frames, speakers)
        kept = np.round(np.clip(activity, 0.0, 1.0) * LEVELS).astype(np.uint8)
        self._file.seek(self.num_windows * frames * speakers)
        self._file.write(kept.tobytes())
        self.num_windows += count

    @property
    def num_locals(self) -> int:
        """Local speakers of a window."""
        return 0 if self._shape is None else self._shape[1]

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        """Windows in order, each ``[F, L]``."""
        for window in range(self.num_windows):
            yield self[window]

    def __getitem__(self, window: int) -> NDArray[np.float32]:
        """One window, ``[F, L]``."""
        if self._shape is None or not 0 <= window < self.num_windows:
            raise IndexError(f"window {window} of {self.num_windows}")
        size = self._shape[0] * self._shape[1]
        self._file.seek(window * size)
        kept = np.frombuffer(self._file.read(size), dtype=np.uint8)
        return kept.reshape(self._shape).astype(np.float32) / np.float32(LEVELS)


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowConfig:
    """Who is heard in a window.

    Raises:
        ValueError: If a value is not above 0, or a share above 1.
    """

    active: float = 0.5
    """Activity from which a local speaker speaks."""
    least_heard: float = 0.2
    """Seconds of speech under which a local speaker is no voice."""
    least_clean: float = 0.4
    """Seconds alone from which only those go into the embedding."""
    same_voice: float = 0.6
    """Least share of frames, of those in which either speaks, in which both do, from which local
    speakers of neighbouring windows are one voice."""

    def __post_init__(self) -> None:
        """Check the values."""
        values = (self.active, self.least_heard, self.least_clean, self.same_voice)
        if min(values) <= 0 or self.active >= 1 or self.same_voice > 1:
            raise ValueError(f"needs values above 0, shares up to 1, got {values}")


def num_windows(num_samples: int, window: int, hop: int) -> int:
    """Windows that cover a recording; the last may reach beyond it.

    >>> num_windows(10, 10, 2), num_windows(11, 10, 2), num_windows(1, 10, 2)
    (1, 2, 1)
    """
    return 1 + max(0, -(-(num_samples - window) // hop))


def whole_hop(seconds: float, segmenter: Segmenter, embedder: Embedder) -> int:
    """Samples from window to window: near to so many seconds, whole frames of both models.

    Raises:
        ValueError: If that is no hop, or longer than a window.
    """
    frame = math.lcm(segmenter.frame_samples, embedder.frame_samples)
    hop = round(seconds * RATE / frame) * frame
    if not 0 < hop <= segmenter.window_samples:
        window = segmenter.window_samples / RATE
        raise ValueError(f"hop must be from {frame / RATE} s to a window, {window} s")
    return hop


def hear(
    audio: DecodedAudio,
    segmenter: Segmenter,
    embedder: Embedder,
    activities: Activities,
    *,
    hop: int,
    config: WindowConfig,
) -> Voices:
    """All voices of a recording; fills `activities`.

    Args:
        audio: The recording.
        segmenter: Says who is active in each window.
        embedder: Gives the voices.
        activities: Empty; holds every window's afterwards.
        hop: Samples from window to window, see `whole_hop`.
        config: Who counts as heard.
    """
    size = segmenter.window_samples
    total = num_windows(audio.num_samples, size, hop)
    common = (size - hop) // segmenter.frame_samples
    parts: list[_Heard] = []
    before: _Heard | None = None
    count = 0
    for first in range(0, total, WINDOWS_AT_ONCE):
        last = min(first + WINDOWS_AT_ONCE, total)
        samples = audio.read(first * hop, (last - 1) * hop + size)
        windows = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
        activity = segmenter.window(np.ascontiguousarray(windows))
        activities.append(
            _without_the_end(activity, first * hop, hop, audio.num_samples, segmenter)
        )
        features = features_between(audio, embedder, first * hop, (last - 1) * hop + size)
        for number in range(first, last):
            at = (number - first) * hop // embedder.frame_samples
            heard = _heard(
                features[at : at + size // embedder.frame_samples],
                activities[number],
                embedder,
                config,
                segmenter.frame_samples / RATE,
            )
            before = heard.linked_to(before, count, common, config.same_voice)
            count += len(before.locals)
            parts.append(before.compact())
    return Voices(
        embeddings=np.concatenate([part.embeddings for part in parts if len(part.locals)])
        if count
        else np.zeros((0, 1)),
        windows=np.repeat(np.arange(total), [len(part.locals) for part in parts]),
        locals=np.concatenate([part.locals for part in parts]),
        clean=np.concatenate([part.clean for part in parts]),
        links=np.concatenate([part.links for part in parts]),
    )


def features_between(
    audio: DecodedAudio, embedder: Embedder, start: int, stop: int
) -> NDArray[np.float32]:
    """Features of the frames from one sample to another, heard with what is around them."""
    frame = embedder.frame_samples
    halo = math.ceil(embedder.halo_s * RATE / frame)
    around = embedder.features(audio.read(start - halo * frame, stop + halo * frame))
    return around[halo : halo + (stop - start) // frame]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Heard:
    """The voices of one window."""

    on: NDArray[np.bool_]  # [F, V]
    embeddings: NDArray[np.float32]
    locals: NDArray[np.int64]
    clean: NDArray[np.float64]
    links: NDArray[np.int64]

    def linked_to(self, before: _Heard | None, count: int, common: int, least: float) -> _Heard:
        """The same, linked to those of the window before where both speak at the same times.

        Args:
            before: The window before.
            count: Voices of all windows before this one.
            common: Frames that both cover.
            least: `WindowConfig.same_voice`.
        """
        if before is None or not len(before.locals) or not len(self.locals) or common <= 0:
            return self
        old, new = before.on[len(before.on) - common :], self.on[:common]
        both = old.T.astype(np.int64) @ new.astype(np.int64)  # [V before, V]
        either = old.sum(axis=0)[:, None] + new.sum(axis=0)[None] - both
        share = both / np.maximum(either, 1)
        links = self.links.copy()
        first = count - len(before.locals)
        for column in range(share.shape[1]):
            row = int(np.argmax(share[:, column]))
            # The best of each other: a link is never to two voices of a window.
            if share[row, column] >= least and int(np.argmax(share[row])) == column:
                links[column] = first + row
        return replace(self, links=links)

    def compact(self) -> _Heard:
        """The same without its frames."""
        return replace(self, on=np.zeros((0, 0), dtype=np.bool_))


def _heard(
    features: NDArray[np.float32],
    activity: NDArray[np.float32],
    embedder: Embedder,
    config: WindowConfig,
    frame_s: float,
) -> _Heard:
    on = activity >= config.active  # [F, L]
    heard = np.flatnonzero(on.sum(axis=0) * frame_s >= config.least_heard)
    alone = on & (on.sum(axis=1, keepdims=True) == 1)
    clean = alone[:, heard].sum(axis=0) * frame_s
    masks = np.where(clean >= config.least_clean, alone[:, heard], on[:, heard]).T
    if len(heard):
        spread = np.arange(len(features)) * masks.shape[1] // max(1, len(features))
        embeddings = embedder.pool(features, masks[:, spread].astype(np.float32))
    else:
        embeddings = np.zeros((0, 1), dtype=np.float32)
    return _Heard(
        on=on[:, heard],
        embeddings=embeddings,
        locals=heard.astype(np.int64),
        clean=clean.astype(np.float64),
        links=np.full(len(heard), -1, dtype=np.int64),
    )


def _without_the_end(
    activity: NDArray[np.float32], first: int, hop: int, num_samples: int, segmenter: Segmenter
) -> NDArray[np.float32]:
    """Activities with nothing in frames that begin after the recording has ended."""
    begins = np.arange(activity.shape[1]) * segmenter.frame_samples
    starts = first + np.arange(len(activity)) * hop
    inside = starts[:, None] + begins[None] < num_samples  # [W, F]
    return np.where(inside[:, :, None], activity, np.float32(0.0))
