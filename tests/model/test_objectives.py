"""Losses of a whole model: what they count, alone and together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from talkover.manifests.io import SessionAudio
from talkover.model.answer_losses import AnswerConfig
from talkover.model.batch import Batch
from talkover.model.codec import SatsCodec
from talkover.model.data.collate import Collator
from talkover.model.data.examples import example_of
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.objectives import ANSWERED, OBJECTIVES

OPTIONS = [
    AnswerConfig(),
    AnswerConfig(learned=("fmt", "word"), mask="all"),
    AnswerConfig(mask="overlap", mask_floor=0.0, mask_scale=0.9),
    AnswerConfig(time_sigma=0.1),
    AnswerConfig(learned=("time",), time_sigma=0.3),
]


def batch_of(model: SatsModel, codec: SatsCodec, items: Sequence[SessionAudio]) -> Batch:
    examples = [example_of(item, codec, 16000) for item in items]
    return Collator(model, codec, vocabulary_of(codec))(examples)


@pytest.mark.parametrize("answer", OPTIONS)
def test_counts_are_what_the_losses_count(
    answer: AnswerConfig, model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    batch = batch_of(model, codec, tone_items[:4])
    output = model(batch, OBJECTIVES, answer)
    weights = {name: int(loss.weight) for name, loss in output.losses.items()}
    counted = model.counts(batch, answer)
    assert weights == {name: counted[name] for name in weights}
    assert set(weights) >= {*ANSWERED, "ctc", "activity", "speaker"} and all(weights.values())
    sum(loss.mean for loss in output.losses.values()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("answer", OPTIONS)
def test_sums_do_not_depend_on_who_shares_the_batch(
    answer: AnswerConfig, model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    """So an update is the same over any number of processes and parts."""
    items = tone_items[:3]
    with torch.no_grad():
        whole = model(batch_of(model, codec, items), ANSWERED, answer).losses
        parts = [model(batch_of(model, codec, [item]), ANSWERED, answer).losses for item in items]
    for name in ANSWERED:
        total = sum(float(part[name].total) for part in parts)
        assert float(whole[name].total) == pytest.approx(total, rel=1e-4)
        assert int(whole[name].weight) == sum(int(part[name].weight) for part in parts)


def test_the_model_learns_soft_times_and_speaker_tags(
    build: Callable[..., SatsModel], codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    model = build().train()
    batch = batch_of(model, codec, tone_items[:2])
    answer = AnswerConfig(learned=("fmt", "time", "word"), time_sigma=0.1, mask="all")
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    found: list[dict[str, float]] = []
    for _ in range(12):
        losses = model(batch, ANSWERED, answer).losses
        found.append({name: float(loss.mean.detach()) for name, loss in losses.items()})
        optimizer.zero_grad()
        sum(loss.mean for loss in losses.values()).backward()
        optimizer.step()
    assert all(found[-1][name] < 0.8 * found[0][name] for name in ANSWERED)
