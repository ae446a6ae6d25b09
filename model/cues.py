"""Cues: what the encoders already know at a vector, in the language model's own embeddings.

Where the words, speakers and times of a target have tokens of their own, the audio can be described
to the language model by the very embeddings that it writes with: the expected embedding under the
CTC probabilities, that of each speaker's atom, that of the vector's own time, and that of the time
at which a word that begins there ends. Writing then begins as copying, which a small model learns
in hundreds of steps instead of thousands.

What comes next is told, too: a word carries the time of the word before it, so that the next one to
write is found by the time that was written last, in one step of attention; the last word says that
it is the last.

Who speaks comes from the activity of a speaker encoder, or, where voices are modelled
(`talkover.model.voices`), from the words that were found: each is given to a speaker, whose atom is
added where the word begins.

Shapes: ``B`` batch, ``T`` vectors, ``U`` units, ``K`` speakers, ``H`` width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Beginnings:
    """What is known of the words that begin at each vector."""

    speakers: Tensor
    """``[B, T, K]`` words of each speaker that begin there."""
    starts: Tensor
    """``[B, T]`` seconds at which the last of them begins; below 0 where none does."""
    ends: Tensor
    """``[B, T]`` seconds at which it ends."""
    before: Tensor
    """``[B, T]`` seconds at which the word before it in the recording begins; below 0 for none."""
    is_last: Tensor
    """``[B, T]`` bool, no word begins after it."""

    def to(self, device: torch.device) -> Beginnings:
        """The same on a device."""
        parts = {part.name: getattr(self, part.name).to(device) for part in fields(self)}
        return Beginnings(**parts)


class Cues(nn.Module):
    """Gains on the cues; the embeddings are the language model's own."""

    def __init__(
        self,
        *,
        units: Sequence[int],
        speakers: Sequence[int],
        times: Sequence[int],
        steps_per_second: int,
        width: int,
        has_ends: bool = False,
        loudness: float = 0.02,
    ) -> None:
        """Take the token ids of each kind; an empty list leaves that cue out.

        Args:
            units: Token of each class of CTC but the blank.
            speakers: Atom of each output of the activity head.
            times: Atoms of time, from 0 s.
            steps_per_second: Atoms of time a second.
            width: ``H``.
            has_ends: Whether starts, ends and order of words are told; needs times.
            loudness: RMS at which the vector that says "a word" begins; 0.02 is that of the
                embeddings of most language models.
        """
        super().__init__()
        self.units, self.speakers, self.times = tuple(units), tuple(speakers), tuple(times)
        self.steps_per_second = steps_per_second
        self.gains = nn.Parameter(torch.ones(3))
        self.spoken = nn.Parameter(loudness * torch.randn(width)) if units else None
        """Added wherever a word sounds, whichever it is: embeddings of words have nothing in common
        by which attention could prefer the few vectors that hold one."""
        self.ends = self.before = None
        if has_ends:
            self.ends, self.before = _turned(width), _turned(width)
            self.marks = nn.Parameter(loudness * torch.randn(2, width))
            """Of a word with none before it, and of one with none after it."""

    def forward(
        self,
        table: Tensor,
        rate: float,
        frames: int,
        unit_logits: Tensor | None,
        activity_logits: Tensor | None,
        beginnings: Beginnings | None = None,
    ) -> Tensor:
        """What to add to the vectors.

        Args:
            table: The language model's embeddings, ``[V, H]``.
            rate: Vectors a second.
            frames: ``T``.
            unit_logits: ``[B, T', 1 + U]`` at any rate that is a multiple of the vectors'.
            activity_logits: ``[B, T'', K]`` at any rate over the same time.
            beginnings: Words by speaker; goes before the activity.

        Returns:
            ``[B or 1, T, H]``.
        """
        total = table.new_zeros(1, frames, table.shape[1])
        if self.units and unit_logits is not None:
            likely = unit_logits.float().softmax(-1)[..., 1:].to(table.dtype)
            sums = gathered(likely, frames)
            total = total + self.gains[0] * (sums @ self._rows(table, 0))
            if self.spoken is not None:
                total = total + sums.sum(-1, keepdim=True) * self.spoken
        if beginnings is not None:
            total = total + self._beginnings(table, beginnings)
        elif self.speakers and activity_logits is not None:
            active = activity_logits.float().sigmoid().to(table.dtype)
            active = nearest(active, frames)
            total = total + self.gains[1] * (active @ self._rows(table, 1))
        if self.times:
            total = total + self.gains[2] * self._time(table, rate, frames)
        return total

    def _beginnings(self, table: Tensor, beginnings: Beginnings) -> Tensor:
        """Speakers, times and order of the words that begin at each vector, ``[B, T, H]``."""
        total = table.new_zeros(*beginnings.ends.shape, table.shape[1])
        if self.speakers:
            said = beginnings.speakers.to(table.dtype) @ self._rows(table, 1)
            total = total + self.gains[1] * said
        if self.ends is not None and self.before is not None:
            is_there = (beginnings.starts >= 0)[..., None].to(table.dtype)
            has_before = (beginnings.before >= 0)[..., None].to(table.dtype)
            linked = has_before * self.before(self._atoms(table, beginnings.before))
            linked = linked + (1 - has_before) * self.marks[0]
            linked = linked + beginnings.is_last[..., None].to(table.dtype) * self.marks[1]
            times = self._atoms(table, beginnings.starts)
            times = times + self.ends(self._atoms(table, beginnings.ends))
            total = total + is_there * (times + linked)
        return total

    def _atoms(self, table: Tensor, seconds: Tensor) -> Tensor:
        """Embeddings of the atoms of some times, ``[..., H]``."""
        steps = (seconds * self.steps_per_second).round().long()
        return self._rows(table, 2)[steps.clamp(0, len(self.times) - 1)]

    def _rows(self, table: Tensor, place: int) -> Tensor:
        ids = (self.units, self.speakers, self.times)[place]
        return table[torch.tensor(ids, device=table.device)]

    def _time(self, table: Tensor, rate: float, frames: int) -> Tensor:
        """Between the atoms nearest to the middle of each vector, ``[1, T, H]``."""
        rows = self._rows(table, 2)
        middle = (torch.arange(frames, device=table.device) + 0.5) / rate * self.steps_per_second
        middle = middle.clamp(max=len(self.times) - 1)
        below = middle.floor().long()
        above = (below + 1).clamp(max=len(self.times) - 1)
        share = (middle - below)[:, None].to(table.dtype)
        return ((1 - share) * rows[below] + share * rows[above])[None]


def _turned(width: int) -> nn.Linear:
    """A rotation to begin with: one time told in another role must not look like itself."""
    turn = nn.Linear(width, width, bias=False)
    nn.init.orthogonal_(turn.weight)
    return turn


def gathered(values: Tensor, frames: int) -> Tensor:
    """Sums over the frames of each vector: ``[B, T', U]`` to ``[B, T, U]``.

    A unit sounds in one or two frames, so a mean would weaken it.
    """
    merge = -(-values.shape[1] // frames)
    padded = functional.pad(values, (0, 0, 0, merge * frames - values.shape[1]))
    return padded.view(values.shape[0], frames, merge, -1).sum(2)


def nearest(values: Tensor, frames: int) -> Tensor:
    """The value in the middle of each vector's time: ``[B, T', K]`` to ``[B, T, K]``."""
    if values.shape[1] == frames:
        return values
    middle = (torch.arange(frames, device=values.device) + 0.5) * values.shape[1] / frames
    return values[:, middle.long().clamp(max=values.shape[1] - 1)]


SHORTEST_PERIOD, LONGEST_PERIOD = 0.5, 60.0
"""Seconds, of the waves of `clock_embeddings`: from a word to a window of training and more."""


def clock_embeddings(count: int, steps_per_second: int, width: int) -> Tensor:
    """First embeddings of the atoms of time: near times are alike, ``[count, width]``, RMS 1.

    Sines and cosines with periods in a geometric row. With independent random embeddings a model
    must learn for each pair of times apart that they are near each other.
    """
    time = torch.arange(count)[:, None] / steps_per_second
    waves = max(1, (width + 1) // 2)
    ratio = LONGEST_PERIOD / SHORTEST_PERIOD
    periods = SHORTEST_PERIOD * ratio ** (torch.arange(waves) / max(1, waves - 1))
    angles = 2 * torch.pi * time / periods
    return 2**0.5 * torch.cat([angles.sin(), angles.cos()], dim=1)[:, :width]
