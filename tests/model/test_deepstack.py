"""DeepStack: the same logits however the language model is read, and taps where the audio is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.model.batch import Batch
from talkover.model.codec import SatsCodec
from talkover.model.config import CueConfig
from talkover.model.data.collate import Collator
from talkover.model.data.examples import example_of
from talkover.model.deepstack import DeepStackConfig, DeepStackHooks, decoder_layers, spread
from talkover.model.encoders import EncoderConfig
from talkover.model.layout import Kind, LayoutConfig
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.projectors import ProjectorConfig

GATED = ProjectorConfig(kind="gated_mlp", merge=2, hidden=16, norm=False)


@pytest.fixture(scope="module")
def deep(build: Callable[..., SatsModel]) -> SatsModel:
    """A single stream with two taps into the two layers of the language model."""
    model = build(
        semantic=EncoderConfig(
            kind="conv_transformer",
            options={"width": 16, "channels": [4, 8], "layers": 2, "heads": 2, "taps": [0, 1]},
        ),
        speaker=None,
        cues=CueConfig(),
        layout=LayoutConfig(marker_style="atomic"),
        projector=GATED,
        deepstack=DeepStackConfig(layers=(0, 1), projector=GATED),
    )
    assert model.deepstack is not None
    with torch.no_grad():  # loud enough to be seen in the logits
        for projector in model.deepstack.projectors:
            projector.map.last.weight.mul_(300)
    return model


@pytest.fixture(scope="module")
def three(make_tones: Callable[..., SessionAudio]) -> list[SessionAudio]:
    """Sessions of three lengths."""
    return [make_tones("long", [("ana", 0.2, "wahid")], length) for length in (2.0, 2.7, 3.4)]


def batch_of(
    model: SatsModel, codec: SatsCodec, items: list[SessionAudio], *, with_answer: bool = True
) -> Batch:
    examples = [example_of(item, codec, 16000) for item in items]
    return Collator(model, codec, vocabulary_of(codec))(examples, with_answer=with_answer)


def all_logits(model: SatsModel, batch: Batch) -> torch.Tensor:
    heard = model.hear(batch.audio, batch.num_samples)
    return model.answer_logits(batch, heard, torch.arange(batch.input_ids.shape[1]))


def by_hand(model: SatsModel, batch: Batch) -> torch.Tensor:
    """The decoder layers in a loop, with the additions in plain sight; one row, no padding."""
    heard = model.hear(batch.audio, batch.num_samples)
    inner = model.lm.model
    hidden = model.embed(batch, heard)
    length = hidden.shape[1]
    positions = torch.arange(length)[None]
    causal = torch.full((length, length), -torch.inf).triu(1)[None, None]
    rotary = inner.rotary_emb(hidden, positions)
    at = (batch.kinds[0] == int(Kind.SEMANTIC)).nonzero().squeeze(1)
    for index, layer in enumerate(inner.layers):
        hidden = layer(
            hidden, attention_mask=causal, position_ids=positions, position_embeddings=rotary
        )
        hidden[0, at] += heard.deep[index][0, : len(at)]
    return model.lm.lm_head(inner.norm(hidden))


def test_taps_are_added_behind_the_layers_at_the_audio(
    deep: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    batch = batch_of(deep, codec, tone_items[:1])
    with torch.inference_mode():
        found = all_logits(deep, batch)
        torch.testing.assert_close(found, by_hand(deep, batch), atol=1e-4, rtol=1e-4)
        heard = deep.hear(batch.audio, batch.num_samples)
        silent = replace(heard, deep=tuple(torch.zeros_like(tap) for tap in heard.deep))
        without = deep.answer_logits(batch, silent, torch.arange(found.shape[1]))
    assert (found - without).abs().max() > 0.1
    assert not any(layer._forward_hooks for layer in decoder_layers(deep.lm))


@pytest.mark.parametrize("chunk", [1, 5, 16])
def test_a_prefill_in_chunks_gives_the_same_logits(
    chunk: int, deep: SatsModel, codec: SatsCodec, three: list[SessionAudio]
) -> None:
    batch = batch_of(deep, codec, three, with_answer=False)  # padded on the left
    mask = (batch.kinds != int(Kind.PAD)).long()
    assert int(mask.sum()) < mask.numel()
    with torch.inference_mode():
        heard = deep.hear(batch.audio, batch.num_samples)
        embedded = deep.embed(batch, heard)
        cache, parts = DynamicCache(), []
        with deep.deep_hooks(batch, heard):
            whole = deep.lm(inputs_embeds=embedded, attention_mask=mask).logits
            for begin in range(0, embedded.shape[1], chunk):
                end = min(begin + chunk, embedded.shape[1])
                parts.append(
                    deep.lm(
                        inputs_embeds=embedded[:, begin:end],
                        attention_mask=mask[:, :end],
                        past_key_values=cache,
                        use_cache=True,
                    ).logits
                )
    real = mask.bool()
    torch.testing.assert_close(torch.cat(parts, 1)[real], whole[real], atol=1e-4, rtol=1e-4)


def test_an_offset_may_be_told_instead_of_a_cache(
    deep: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    assert deep.deepstack is not None
    hooks = DeepStackHooks(deep.lm, (0,))
    layer = decoder_layers(deep.lm)[0]
    hidden = torch.zeros(1, 3, 32)
    additions = [torch.arange(1.0, 8.0)[None, :, None].expand(1, 7, 32)]
    rotary = deep.lm.model.rotary_emb(hidden, torch.arange(3)[None])
    with torch.inference_mode():
        plain = layer(hidden, position_embeddings=rotary)
        with hooks.adding(additions, offset=5):
            moved = layer(hidden, position_embeddings=rotary)
    assert (moved - plain)[0, :, 0].tolist() == pytest.approx([6.0, 7.0, 0.0])


def test_generation_goes_on_as_one_pass_would(
    deep: SatsModel, codec: SatsCodec, three: list[SessionAudio]
) -> None:
    batch = batch_of(deep, codec, three, with_answer=False)
    options = {"max_new_tokens": 6, "do_sample": False, "eos_token_id": None}
    with torch.inference_mode():
        together = deep.generate(batch, **options, pad_token_id=codec.pad_id)
        for row, item in enumerate(three):
            alone = batch_of(deep, codec, [item], with_answer=False)
            written: list[int] = []
            for _ in range(6):
                more = torch.tensor([written], dtype=torch.long).view(1, -1)
                longer = replace(
                    alone,
                    input_ids=torch.cat([alone.input_ids, more], 1),
                    kinds=torch.cat([alone.kinds, torch.full_like(more, int(Kind.ANSWER))], 1),
                )
                written.append(int(all_logits(deep, longer)[0, -1].argmax()))
            assert together[row].tolist() == written


def test_gradients_reach_the_taps_also_with_checkpointing(
    deep: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    batch = batch_of(deep, codec, tone_items[:2])

    def gradients() -> list[torch.Tensor]:
        deep.zero_grad(set_to_none=True)
        deep(batch, ("answer",)).losses["answer"].mean.backward()
        assert deep.deepstack is not None
        return [p.grad.clone() for p in deep.deepstack.parameters() if p.grad is not None]

    plain = gradients()
    assert len(plain) == 6 and all(g.abs().max() > 0 for g in plain)
    assert deep._hooks is not None and not deep._hooks.run_again
    for layer in decoder_layers(deep.lm):
        layer.gradient_checkpointing = True
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False)
    assert deep._hooks.run_again
    deep.train()
    deep.semantic.eval()
    try:
        for first, second in zip(plain, gradients(), strict=True):
            torch.testing.assert_close(first, second, atol=1e-6, rtol=1e-4)
    finally:
        for layer in decoder_layers(deep.lm):
            layer.gradient_checkpointing = False
        deep.eval()
    deep(batch, ("answer",))
    assert not any(layer._forward_hooks for layer in decoder_layers(deep.lm))


def test_vectors_are_spread_over_their_positions() -> None:
    vectors = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]])
    place = torch.tensor([[False, True, True, False], [True, False, False, False]])
    assert spread(vectors, place)[..., 0].tolist() == [[0, 1, 2, 0], [4, 0, 0, 0]]


def test_layers_and_taps_must_fit(build: Callable[..., SatsModel], deep: SatsModel) -> None:
    with pytest.raises(ConfigurationError, match="names layer 5, the language model has 2"):
        DeepStackHooks(deep.lm, (0, 5))
    with pytest.raises(ConfigurationError, match="list of decoder layers; Linear has none"):
        decoder_layers(nn.Linear(2, 2))
    assert deep.deepstack is not None
    with pytest.raises(ConfigurationError, match="hands out 1 taps"):
        deep.deepstack([torch.zeros(1, 4, 16)], torch.tensor([4]))
    with pytest.raises(ValueError, match=r"deepstack\.projector\.merge must be 2"):
        replace(deep.parts, deepstack=DeepStackConfig(projector=ProjectorConfig(merge=3)))
