"""Each loss against a reference of ten lines."""

from __future__ import annotations

import math
from itertools import pairwise, permutations, product

import pytest
import torch

from talkover.model.layout import IGNORED
from talkover.model.losses import (
    SpeakerClassifier,
    activity_loss,
    ctc_loss,
    needed_frames,
    speaker_loss,
)


def softmax(row: list[float]) -> list[float]:
    peak = max(row)
    total = sum(math.exp(x - peak) for x in row)
    return [math.exp(x - peak) / total for x in row]


def ctc_reference(probabilities: list[list[float]], units: list[int]) -> float:
    """Sum over all paths that collapse to the units."""
    total = 0.0
    for path in product(range(len(probabilities[0])), repeat=len(probabilities)):
        collapsed = [path[0]] + [b for a, b in pairwise(path) if a != b]
        if [unit for unit in collapsed if unit] == units:
            total += math.prod(row[unit] for row, unit in zip(probabilities, path, strict=True))
    return -math.log(total)


def test_ctc_loss_sums_all_paths() -> None:
    logits = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1))
    units, counts = torch.tensor([[1, 2, 2], [2, 0, 0]]), torch.tensor([3, 1])
    lengths = torch.tensor([5, 4])
    loss = ctc_loss(logits, lengths, units, counts)
    rows = [[softmax(frame) for frame in logits[b, : lengths[b]].tolist()] for b in range(2)]
    wanted = ctc_reference(rows[0], [1, 2, 2]) + ctc_reference(rows[1], [2])
    assert float(loss.total) == pytest.approx(wanted, rel=1e-5)
    assert int(loss.weight) == 4


def test_ctc_leaves_out_rows_whose_frames_are_too_few() -> None:
    logits = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(2), requires_grad=True)
    units, counts = torch.tensor([[1, 1], [1, 2]]), torch.tensor([2, 2])
    assert needed_frames(units, counts).tolist() == [3, 2]
    loss = ctc_loss(logits, torch.tensor([2, 3]), units, counts)
    assert int(loss.weight) == 2
    loss.total.backward()
    assert torch.isfinite(logits.grad).all() and not logits.grad[0].any()
    none = ctc_loss(logits, torch.tensor([1, 1]), units, counts)
    assert float(none.total.detach()) == 0 and int(none.weight) == 0


def bce(logit: float, target: bool) -> float:
    return math.log1p(math.exp(-logit if target else logit))


@pytest.mark.parametrize("invariant", [0.0, 0.5, 1.0])
def test_activity_loss_mixes_order_of_arrival_and_the_best_order(invariant: float) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 4, 3, generator=generator)
    activity = torch.rand(2, 4, 3, generator=generator) > 0.5
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    total = 0.0
    for b in range(2):
        orders = {}
        for order in permutations(range(3)):
            orders[order] = sum(
                bce(float(logits[b, t, k]), bool(activity[b, t, order[k]]))
                for t, k in product(range(4), range(3))
                if mask[b, t]
            )
        total += (1 - invariant) * orders[(0, 1, 2)] + invariant * min(orders.values())
    loss = activity_loss(logits, activity, mask, invariant)
    assert float(loss.total) == pytest.approx(total, rel=1e-5)
    assert int(loss.weight) == 6 * 3


def test_too_many_speakers_for_all_orders_is_an_error() -> None:
    many = torch.zeros(1, 2, 6)
    with pytest.raises(ValueError, match="at most 5 speakers"):
        activity_loss(many, many.bool(), torch.ones(1, 2).bool(), 0.5)


def test_speaker_loss_adds_the_margin_to_the_angle_of_the_right_class() -> None:
    cosines = torch.tensor([[0.5, -0.2, 0.1], [0.0, 0.9, 0.3], [0.1, 0.1, 0.1]])
    classes = torch.tensor([0, 1, IGNORED])
    total = 0.0
    for row, right in ((0, 0), (1, 1)):
        scaled = [10 * float(c) for c in cosines[row]]
        scaled[right] = 10 * math.cos(math.acos(float(cosines[row, right])) + 0.2)
        total -= math.log(softmax(scaled)[right])
    loss = speaker_loss(cosines, classes, margin=0.2, scale=10.0)
    assert float(loss.total) == pytest.approx(total, rel=1e-4)
    assert int(loss.weight) == 2


def test_nobody_known_adds_nothing() -> None:
    loss = speaker_loss(torch.zeros(2, 3), torch.full((2,), IGNORED), 0.2, 30.0)
    assert float(loss.total) == 0 and int(loss.weight) == 0


def test_classifier_gives_cosines() -> None:
    torch.manual_seed(0)
    cosines = SpeakerClassifier(4, 8, 5)(torch.randn(3, 2, 4))
    assert cosines.shape == (3, 2, 5)
    assert float(cosines.detach().abs().max()) <= 1 + 1e-6
