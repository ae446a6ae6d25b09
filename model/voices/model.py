"""The part of a model that knows voices: sums over training speech, and what they say of new words.

The sums are buffers: they are added to while other parts are trained (the loss named ``voices``),
lie in the checkpoint, and are solved when they are needed.

Shapes: ``B`` batch, ``T`` feature frames, ``F`` mel bands, ``W`` words, ``D`` statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkover.model.voices.assignment import (
    NUM_PAUSES,
    AssignmentConfig,
    assign,
    count_pauses,
    pause_odds,
)
from talkover.model.voices.plda import Plda, Sums, solve
from talkover.model.voices.statistics import num_statistics, voice_statistics

LEAST_LEARNED = 0.25
"""Seconds without anybody else from which a word is learned from."""

Span = tuple[float, float]
"""Start and end, in seconds."""


@dataclass(frozen=True, kw_only=True)
class VoiceConfig:
    """The linear model of speakers, and how words are given to them."""

    directions: int = 30
    """Along which voices are compared."""
    ridge: float = 0.1
    """See `talkover.model.voices.plda.solve`."""
    assignment: AssignmentConfig = field(default_factory=AssignmentConfig)


class VoiceModel(nn.Module):
    """See the module."""

    counts: Tensor
    firsts: Tensor
    seconds: Tensor
    own_pauses: Tensor
    other_pauses: Tensor

    def __init__(
        self,
        config: VoiceConfig,
        *,
        num_mels: int,
        frame_rate: float,
        sampling_rate: int,
        num_voices: int,
    ) -> None:
        """Begin with empty sums.

        Args:
            config: Options.
            num_mels: ``F``.
            frame_rate: Feature frames a second.
            sampling_rate: Hz.
            num_voices: Speakers of the training data.
        """
        super().__init__()
        self.config, self.frame_rate, self.sampling_rate = config, frame_rate, sampling_rate
        size = num_statistics(num_mels)
        shapes = {
            "counts": (num_voices,),
            "firsts": (num_voices, size),
            "seconds": (size, size),
            "own_pauses": (NUM_PAUSES,),
            "other_pauses": (NUM_PAUSES,),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))
        self._solved: tuple[float, Plda | None] | None = None

    @torch.no_grad()
    def observe(
        self,
        features: Sequence[Tensor],
        spans: Sequence[Sequence[Span]],
        speakers: Sequence[Sequence[int]],
        voices: Sequence[Sequence[int]],
    ) -> None:
        """Add labelled words of a batch to the sums, those of all processes.

        Args:
            features: ``[T, F]`` log-mel of each row, not masked.
            spans: Of the words of each row, in order of their starts.
            speakers: Number of the speaker of each, within the row.
            voices: The same over the whole training data; below 0 where unknown.
        """
        added = {name: torch.zeros_like(buffer) for name, buffer in self.named_buffers()}
        rows = [row.float().cpu().numpy() for row in features]
        for frames, where, who, global_who in zip(rows, spans, speakers, voices, strict=True):
            statistics, clean = voice_statistics(frames, where, self.frame_rate)
            used = (clean >= LEAST_LEARNED) & (np.array(global_who, dtype=np.int64) >= 0)
            chosen = torch.from_numpy(statistics[used]).to(added["firsts"])
            classes = torch.tensor([v for v, u in zip(global_who, used, strict=True) if u])
            classes = classes.to(device=chosen.device, dtype=torch.long)
            added["counts"].index_add_(0, classes, torch.ones_like(classes, dtype=torch.float64))
            added["firsts"].index_add_(0, classes, chosen)
            added["seconds"] += chosen.T @ chosen
            own, other = count_pauses(list(where), list(who))
            added["own_pauses"] += torch.from_numpy(own).to(chosen)
            added["other_pauses"] += torch.from_numpy(other).to(chosen)
        for name, buffer in self.named_buffers():
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.all_reduce(added[name])
            buffer += added[name]

    @property
    def plda(self) -> Plda | None:
        """The solution of the sums; None while too few speakers were heard."""
        total = float(self.counts.sum())
        if self._solved is None or self._solved[0] != total:
            sums = Sums(
                counts=_array(self.counts),
                firsts=_array(self.firsts),
                seconds=_array(self.seconds),
            )
            options = {"directions": self.config.directions, "ridge": self.config.ridge}
            self._solved = (total, solve(sums, **options))  # type: ignore[arg-type]
        return self._solved[1]

    def speakers_of(
        self, features: NDArray[np.float32], spans: Sequence[Span], most: int
    ) -> list[int]:
        """Who said each word of a recording, numbered in order of arrival from 0.

        Args:
            features: ``[T, F]`` log-mel, not masked.
            spans: Of the words, in order of their starts.
            most: Speakers at most.
        """
        plda = self.plda
        if plda is None or not spans:
            return [0] * len(spans)
        statistics, clean = voice_statistics(features, spans, self.frame_rate)
        odds = pause_odds(_array(self.own_pauses), _array(self.other_pauses))
        return assign(
            plda.project(statistics),
            clean,
            list(spans),
            plda,
            odds,
            self.config.assignment,
            most=most,
        )


def _array(buffer: Tensor) -> NDArray[np.float64]:
    return np.asarray(buffer.detach().cpu().numpy(), dtype=np.float64)
