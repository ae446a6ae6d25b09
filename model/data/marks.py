"""What each position of a batch's answers is part of, as tensors: see `talkover.model.target`.

Shapes: ``B`` batch, ``L`` positions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from talkover.model.layout import Kind, Plan
from talkover.model.target import NO_TIME, TAGS, Target

NO_TURN = -1
"""Segment of what is of no turn."""

NOT_ANSWERED = 0
"""Tag of what is no part of an answer."""

END_TAG = TAGS.index("fmt") + 1
"""The end token is a mark of the format."""


def marks_of(
    plans: Sequence[Plan], targets: Sequence[Target], overlapped: Sequence[Sequence[bool]]
) -> dict[str, Tensor]:
    """The fields ``tags``, ``segments``, ``overlapped``, ``steps`` and ``places`` of a batch.

    Layouts are padded on the right. One without an answer has no marks.

    Args:
        plans: Layout of each row.
        targets: What its answer is, without the end token.
        overlapped: Of each turn of each row, whether somebody else is heard in it; a turn that is
            not there is not.
    """
    shape = (len(plans), max(map(len, plans)))
    tags = torch.full(shape, NOT_ANSWERED, dtype=torch.uint8)
    segments = torch.full(shape, NO_TURN)
    in_overlap = torch.zeros(shape, dtype=torch.bool)
    steps, places = torch.full(shape, NO_TIME), torch.full(shape, NO_TIME)
    for row, (plan, target, flags) in enumerate(zip(plans, targets, overlapped, strict=True)):
        found = plan.positions(Kind.ANSWER)
        if not found:
            continue
        at, end = found[:-1], found[-1]
        tags[row, end] = END_TAG
        tags[row, at] = torch.tensor([TAGS.index(tag) + 1 for tag in target.tags]).to(torch.uint8)
        turns = [NO_TURN if turn is None else turn for turn in target.turns]
        segments[row, at] = torch.tensor(turns, dtype=torch.long)
        in_overlap[row, at] = torch.tensor(
            [0 <= turn < len(flags) and flags[turn] for turn in turns], dtype=torch.bool
        )
        steps[row, at] = torch.tensor(target.steps, dtype=torch.long)
        places[row, at] = torch.tensor(target.places, dtype=torch.long)
    return {
        "tags": tags,
        "segments": segments,
        "overlapped": in_overlap,
        "steps": steps,
        "places": places,
    }
