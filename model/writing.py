"""Writing: one token after the other from a key-value cache, every row with its own pen.

A row has its own grammar, temperature, seed and budget, so that what it writes does not depend on
its neighbours. Tokens are handed out as they are written, which is what streaming needs; rows that
have ended leave the batch.

Shapes: ``A`` rows that still write, ``V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from talkover.model.decoding.constrain import RowConstraint
from talkover.model.decoding.joint import JointScorer
from talkover.model.prefill import Prefilled

Processor = Callable[[Tensor, Tensor], Tensor]
"""``[B, n]`` ids so far and ``[B, V]`` scores to scores, as transformers' logits processors."""


@dataclass(kw_only=True)
class Pen:
    """How one row writes, and what it has written."""

    budget: int
    """Tokens at most, with the end."""
    end_id: int
    constraint: RowConstraint | None = None
    joint: JointScorer | None = None
    """What the encoder found has a say."""
    temperature: float = 0.0
    """0 takes the likeliest."""
    random: torch.Generator | None = None
    """On the CPU; needed with a temperature."""
    ids: list[int] = field(default_factory=list)
    is_stopped: bool = False
    """Set by whoever reads along, to end the row."""

    @property
    def has_ended(self) -> bool:
        """Whether the row writes no more."""
        has_end = bool(self.ids) and self.ids[-1] == self.end_id
        return has_end or self.is_stopped or len(self.ids) >= self.budget

    def write(self, scores: Tensor) -> int:
        """Choose and keep the next token from ``[V]`` scores on the CPU."""
        if self.joint is not None:
            scores = self.joint.scored(scores)
        allowed = None
        if self.constraint is not None:
            allowed = self.constraint.allowed(self.budget - len(self.ids))
            scores = scores[allowed]
        if self.temperature > 0:
            likely = (scores.double() / self.temperature).softmax(-1)
            place = int(torch.multinomial(likely, 1, generator=self.random))
        else:
            place = int(scores.argmax())
        token = place if allowed is None else int(allowed[place])
        if self.constraint is not None:
            self.constraint.advance(token)
        if self.joint is not None:
            self.joint.advance(token)
        self.ids.append(token)
        return token


@torch.no_grad()
def write(
    lm: Any, prefilled: Prefilled, pens: Sequence[Pen], processors: Sequence[Processor] = ()
) -> Iterator[tuple[int, int]]:
    """Let all rows write to their ends.

    Args:
        lm: The causal language model that was prefilled; its cache is used up.
        prefilled: See `talkover.model.prefill`.
        pens: One a row; read their ``ids`` at any time, stop them by ``is_stopped``.
        processors: Called with all rows of the batch, so that none leaves it.

    Yields:
        Row and token, as they are written.
    """
    cache, mask, scores = prefilled.cache, prefilled.mask, prefilled.logits
    rows = [row for row, pen in enumerate(pens) if not pen.has_ended]
    places = list(range(len(pens)))  # row of each place in the batch
    has_padding = not bool(mask.all())
    used = mask.sum(1, keepdim=True)
    step = 0
    while rows:
        scores = scores.float()
        if processors:
            ids = _ids(pens, step).to(scores.device)
            for processor in processors:
                scores = processor(ids, scores)
        table = scores.cpu()
        at = {row: place for place, row in enumerate(places)}
        for row in rows:
            yield row, pens[row].write(table[at[row]])
        rows = [row for row in rows if not pens[row].has_ended]
        if not rows:
            return
        if not processors and len(rows) < len(places):
            kept = torch.tensor([at[row] for row in rows], device=mask.device)
            cache.batch_select_indices(kept)
            mask, used, places = mask[kept], used[kept], list(rows)
        last = [pens[row].ids[-1] for row in places]
        if has_padding:
            mask = torch.cat([mask, mask.new_ones(len(places), 1)], dim=1)
        scores = lm(
            input_ids=torch.tensor(last, device=mask.device)[:, None],
            attention_mask=mask if has_padding else None,
            position_ids=used + step,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        step += 1


def _ids(pens: Sequence[Pen], count: int) -> Tensor:
    """``[B, count]``; rows that ended go on with their end."""
    rows = [pen.ids[:count] + [pen.end_id] * (count - len(pen.ids)) for pen in pens]
    return torch.tensor(rows, dtype=torch.long).reshape(len(pens), count)
