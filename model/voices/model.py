"""The part of a model that knows voices: sums over training speech, and what they say of new words.

The sums are buffers: they are added to while other parts are trained (the loss named ``voices``),
lie in the checkpoint, and are solved when they are needed.

Shapes: ``B`` batch, ``T`` feature frames, ``F`` mel bands, ``W`` words, ``D`` statistics, ``C``
kinds of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkover.model.voices.assignment import (
    ARRIVALS,
    NUM_PAUSES,
    AssignmentConfig,
    Odds,
    arrival_odds,
    assign,
    count_arrivals,
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
    ridge: float = 1.0
    """See `talkover.model.voices.plda.solve`."""
    assignment: AssignmentConfig = field(default_factory=AssignmentConfig)


class VoiceModel(nn.Module):
    """See the module."""

    counts: Tensor
    firsts: Tensor
    kinds: Tensor
    seconds: Tensor
    own_pauses: Tensor
    other_pauses: Tensor
    arrivals: Tensor

    def __init__(
        self,
        config: VoiceConfig,
        *,
        num_mels: int,
        frame_rate: float,
        sampling_rate: int,
        num_voices: int,
        num_kinds: int,
    ) -> None:
        """Begin with empty sums.

        Args:
            config: Options.
            num_mels: ``F``.
            frame_rate: Feature frames a second.
            sampling_rate: Hz.
            num_voices: Speakers of the training data.
            num_kinds: ``C``, units of speech and, first, a word that is not one of them.
        """
        super().__init__()
        self.config, self.frame_rate, self.sampling_rate = config, frame_rate, sampling_rate
        size = num_statistics(num_mels)
        shapes = {
            "counts": (num_voices, num_kinds),
            "firsts": (num_voices, size),
            "kinds": (num_kinds, size),
            "seconds": (size, size),
            "own_pauses": (NUM_PAUSES,),
            "other_pauses": (NUM_PAUSES,),
            "arrivals": (2, *ARRIVALS),
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
        kinds: Sequence[Sequence[int]],
    ) -> None:
        """Add labelled words of a batch to the sums, those of all processes.

        Args:
            features: ``[T, F]`` log-mel of each row, not masked.
            spans: Of the words of each row, in order of their starts.
            speakers: Number of the speaker of each, within the row.
            voices: The same over the whole training data; below 0 where unknown.
            kinds: What each word is, 0 where that is not known.
        """
        added = {name: torch.zeros_like(buffer) for name, buffer in self.named_buffers()}
        rows = [row.float().cpu().numpy() for row in features]
        for frames, where, who, global_who, what in zip(
            rows, spans, speakers, voices, kinds, strict=True
        ):
            statistics, clean = voice_statistics(frames, where, self.frame_rate)
            voice = np.array(global_who, dtype=np.int64)
            used = (clean >= LEAST_LEARNED) & (voice >= 0)
            chosen = torch.from_numpy(statistics[used]).to(added["firsts"])
            classes = torch.from_numpy(voice[used]).to(chosen.device)
            said = torch.from_numpy(np.array(what, dtype=np.int64)[used]).to(chosen.device)
            ones = torch.ones_like(classes, dtype=torch.float64)
            added["counts"].index_put_((classes, said), ones, accumulate=True)
            added["firsts"].index_add_(0, classes, chosen)
            added["kinds"].index_add_(0, said, chosen)
            added["seconds"] += chosen.T @ chosen
            own, other = count_pauses(list(where), list(who))
            added["own_pauses"] += torch.from_numpy(own).to(chosen)
            added["other_pauses"] += torch.from_numpy(other).to(chosen)
            added["arrivals"] += torch.from_numpy(count_arrivals(list(who))).to(chosen)
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
                kinds=_array(self.kinds),
                seconds=_array(self.seconds),
            )
            options = {"directions": self.config.directions, "ridge": self.config.ridge}
            self._solved = (total, solve(sums, **options))  # type: ignore[arg-type]
        return self._solved[1]

    def speakers_of(
        self,
        features: NDArray[np.float32],
        spans: Sequence[Span],
        kinds: Sequence[int],
        most: int,
    ) -> list[int]:
        """Who said each word of a recording, numbered in order of arrival from 0.

        Args:
            features: ``[T, F]`` log-mel, not masked.
            spans: Of the words, in order of their starts.
            kinds: What each is, 0 where that is not known.
            most: Speakers at most.
        """
        plda = self.plda
        if plda is None or not spans:
            return [0] * len(spans)
        statistics, clean = voice_statistics(features, spans, self.frame_rate)
        odds = Odds(
            pauses=pause_odds(_array(self.own_pauses), _array(self.other_pauses)),
            arrivals=arrival_odds(_array(self.arrivals)),
        )
        return assign(
            plda.project(statistics, kinds),
            clean,
            list(spans),
            plda,
            odds,
            self.config.assignment,
            most=most,
        )


def _array(buffer: Tensor) -> NDArray[np.float64]:
    return np.asarray(buffer.detach().cpu().numpy(), dtype=np.float64)
