"""Words at their onsets: targets, losses against plain references, and finding them again."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.model.layout import IGNORED
from talkover.model.onsets import (
    PEAK,
    TYPICAL,
    Unit,
    duration_loss,
    find_units,
    onset_loss,
    onset_targets,
    seconds_of,
)

RATE = 25.0
WIDTH = round(PEAK * RATE)


def test_onset_loss_is_the_mean_surprise_of_known_frames() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 4, generator=generator, requires_grad=True)
    targets = torch.tensor([[0, 1, 1, 0, IGNORED], [IGNORED] * 5])
    total, count = 0.0, 0
    for row in range(2):
        for frame in range(5):
            if targets[row, frame] != IGNORED:
                values = [math.exp(v) for v in logits[row, frame].tolist()]
                total -= math.log(values[int(targets[row, frame])] / sum(values))
                count += 1
    loss = onset_loss(logits, targets)
    assert loss.weight == count and math.isclose(float(loss.total), total, rel_tol=1e-5)
    loss.mean.backward()
    assert logits.grad is not None and not bool(logits.grad[1].any())


def test_duration_loss_is_the_error_in_seconds_where_words_begin() -> None:
    logarithms = torch.tensor([[0.0, 1.0, -1.0]], requires_grad=True)
    durations = torch.tensor([[0.5, 0.0, 0.3]])
    expected = abs(TYPICAL - 0.5) + abs(TYPICAL / math.e - 0.3)
    loss = duration_loss(logarithms, durations)
    assert loss.weight == 2 and math.isclose(float(loss.total), expected, rel_tol=1e-5)
    loss.total.backward()
    assert logarithms.grad is not None and logarithms.grad[0, 1] == 0


def test_a_batch_without_known_words_has_no_loss() -> None:
    nothing = onset_loss(torch.zeros(1, 3, 4), torch.full((1, 3), IGNORED))
    assert float(nothing.mean) == 0 and nothing.weight == 0
    assert float(duration_loss(torch.zeros(1, 3), torch.zeros(1, 3)).mean) == 0


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_units_are_found_where_targets_put_them(data: st.DataObject) -> None:
    frames = data.draw(st.integers(10, 80))
    places = data.draw(st.lists(st.integers(0, frames // (WIDTH + 1) - 1), unique=True))
    units = [
        Unit(
            start=place * (WIDTH + 1) / RATE,
            end=place * (WIDTH + 1) / RATE + data.draw(st.floats(0.1, 1.0)),
            kind=data.draw(st.integers(1, 5)),
        )
        for place in sorted(places)
    ]
    classes, seconds = onset_targets(units, frames, RATE)
    logits = torch.nn.functional.one_hot(torch.tensor([classes]), 6).float() * 9
    logarithms = torch.tensor([[math.log(s / TYPICAL) if s else 0.0 for s in seconds]])
    found = find_units(logits, logarithms, torch.tensor([frames]), RATE)[0]
    assert [f.unit.kind for f in found] == [u.kind for u in units]
    for right, got in zip(units, found, strict=True):
        assert got.frame == round(right.start * RATE)
        assert math.isclose(got.unit.start, right.start, abs_tol=1e-6)
        assert math.isclose(got.unit.end, min(right.end, frames / RATE), abs_tol=1e-4)


def test_one_word_that_may_be_either_of_two_is_one_word() -> None:
    logits = torch.zeros(1, 12, 3)
    logits[..., 0] = 9.0
    logits[0, 3, 1] = 10.0  # a frame of one, then two of the other
    logits[0, 4:6, 2] = 10.0
    logits[0, 3:6, 2] += 0.5
    found = find_units(logits, torch.zeros(1, 12), torch.tensor([12]), RATE)[0]
    assert [f.unit.kind for f in found] == [2]


def test_a_word_of_which_little_is_sure_is_not_found() -> None:
    for frame_share, count in ((0.2, 0), (0.5, 1)):
        odds = math.log(frame_share / (1 - frame_share))
        logits = torch.full((1, 12, 2), -odds)
        logits[0, :, 1] = -20.0
        logits[0, 4 : 4 + WIDTH, 1] = 0.0
        found = find_units(logits, torch.zeros(1, 12), torch.tensor([12]), RATE)[0]
        assert len(found) == count


def test_padding_holds_no_units() -> None:
    logits = torch.zeros(2, 10, 3)
    logits[..., 0] = 5.0
    logits[:, 0:WIDTH, 1] = 9.0
    logits[:, 6:9, 2] = 9.0
    found = find_units(logits, torch.zeros(2, 10), torch.tensor([10, 4]), RATE)
    assert [len(row) for row in found] == [2, 1]
    assert found[1][0].unit.end <= 4 / RATE
    logits[..., 0] = 19.0
    assert find_units(logits, torch.zeros(2, 10), torch.tensor([10, 4]), RATE) == [[], []]


def test_a_later_word_takes_the_frames_of_an_earlier_one() -> None:
    units = [Unit(start=0.0, end=0.5, kind=1), Unit(start=1 / RATE, end=0.7, kind=2)]
    classes, seconds = onset_targets(units, 8, RATE)
    assert classes == [1, 2, 2, 2, 0, 0, 0, 0]
    np.testing.assert_allclose(seconds[:2], [0.5, 0.7 - 1 / RATE])


def test_seconds_stay_finite() -> None:
    assert bool(torch.isfinite(seconds_of(torch.tensor([1e9, -1e9]))).all())
