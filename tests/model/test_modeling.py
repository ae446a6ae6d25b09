"""One model for every layout: losses, counts, saving, decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.model.checkpoints import load_model, save_model
from talkover.model.codec import SatsCodec
from talkover.model.config import CueConfig, Parts, SatsConfig
from talkover.model.cues import Cues, clock_embeddings, gathered, nearest
from talkover.model.data.collate import Collator
from talkover.model.data.examples import Example, example_of
from talkover.model.encoders import EncoderConfig
from talkover.model.layout import IGNORED, Kind, LayoutConfig
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.projectors import ProjectorConfig
from talkover.model.transcribe import DecodeOptions, Transcriber

Build = Callable[..., SatsModel]

LOSSES = ("answer", "speaker_tags", "ctc", "activity", "speaker")
"""Those that the small model with a speaker encoder can learn from."""


def examples_of(items: Sequence[SessionAudio], codec: SatsCodec) -> list[Example]:
    return [example_of(item, codec, 16000) for item in items]


def collator(model: SatsModel, codec: SatsCodec) -> Collator:
    return Collator(model, codec, vocabulary_of(codec))


@pytest.mark.parametrize("fusion", ["add", "channel", "time", "interleave", "two_block"])
def test_each_fusion_learns_from_all_losses(
    fusion: str, build: Build, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    model = build(layout=LayoutConfig(fusion=fusion, marker_style="atomic"))  # type: ignore[arg-type]
    batch = collator(model, codec)(examples_of(tone_items[:3], codec))
    output = model(batch, LOSSES)
    assert set(output.losses) == set(LOSSES)
    counted = {name: int(loss.weight) for name, loss in output.losses.items()}
    counts = model.counts(batch)
    assert counted == {name: counts[name] for name in LOSSES}
    assert all(counted.values())
    sum(loss.mean for loss in output.losses.values()).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None]
    assert silent == []


def test_a_single_stream_needs_no_speaker_encoder(
    build: Build, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    model = build(
        speaker=None, layout=LayoutConfig(marker_style="atomic"), cues=CueConfig(words=True)
    )
    batch = collator(model, codec)(examples_of(tone_items[:2], codec))
    assert set(model(batch, LOSSES).losses) == {"answer", "speaker_tags", "ctc"}
    assert batch.activity.shape[1] == 0


def test_a_recording_where_nobody_speaks_is_learned_from(
    model: SatsModel, codec: SatsCodec, make_tones: Callable[..., SessionAudio]
) -> None:
    silent = make_tones("quiet", [], 2.0)
    batch = collator(model, codec)(examples_of([silent], codec))
    losses = model(batch, LOSSES).losses
    assert batch.labels[batch.labels != IGNORED].tolist() == [codec.end_id]
    assert all(torch.isfinite(loss.total) for loss in losses.values())
    assert int(losses["ctc"].weight) == 0 and int(losses["speaker"].weight) == 0


def test_encoders_give_exactly_the_vectors_that_the_layout_has(
    model: SatsModel, codec: SatsCodec, make_tones: Callable[..., SessionAudio]
) -> None:
    for duration in (2.0, 2.01, 2.37, 3.999):
        item = make_tones("one", [("ana", 0.3, "wahid")], duration)
        batch = collator(model, codec)(examples_of([item], codec))
        vectors = model.hear(batch.audio, batch.num_samples).semantic
        assert int((batch.kinds == int(Kind.SEMANTIC)).sum()) == vectors.shape[1]


def test_labels_are_the_answer_alone(
    model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    examples = examples_of(tone_items[:4], codec)
    batch = collator(model, codec)(examples)
    for row, example in enumerate(examples):
        learned = batch.labels[row][batch.labels[row] != IGNORED].tolist()
        assert learned == [*codec.encode(example.transcript).ids, codec.end_id]
    markers = batch.kinds == int(Kind.MARKER)
    assert markers.any() and (batch.labels[markers] == IGNORED).all()


def test_a_row_has_the_same_loss_alone_and_in_a_batch(
    model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    make = collator(model, codec)
    examples = examples_of(tone_items[:4], codec)
    with torch.inference_mode():
        together = model(make(examples), LOSSES).losses
        alone = [model(make([example]), LOSSES).losses for example in examples]
    for name in LOSSES:
        total = sum(float(losses[name].total) for losses in alone)
        assert float(together[name].total) == pytest.approx(total, rel=1e-4), name


def test_a_layout_of_another_model_is_refused(
    model: SatsModel, build: Build, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    coarse = build(projector=ProjectorConfig(merge=4), speaker_projector=ProjectorConfig(merge=2))
    batch = collator(model, codec)(examples_of(tone_items[:1], codec))
    with pytest.raises(ValueError, match="the layout of another model"):
        coarse(batch, ("answer",))


def test_a_checkpoint_is_safetensors_and_gives_the_same_logits(
    tmp_path: Path, model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    save_model(model, codec, tmp_path)
    assert {f.suffix for f in tmp_path.iterdir()} <= {".json", ".safetensors", ".jinja"}
    loaded, read = load_model(tmp_path)
    assert loaded.parts == model.parts
    examples = examples_of(tone_items[:2], codec)
    batch = collator(model, codec)(examples)
    again = collator(loaded, read)(examples)
    assert torch.equal(batch.input_ids, again.input_ids)
    with torch.inference_mode():
        first, second = model(batch).logits, loaded(again).logits
    assert first is not None and second is not None
    torch.testing.assert_close(first, second, atol=0, rtol=0)


def test_parts_survive_json(model: SatsModel) -> None:
    assert Parts.read(model.parts.plain()) == model.parts
    assert SatsConfig(**SatsConfig.of(model.parts).to_dict()).typed() == model.parts


def spoiled(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> Path:
    """The checkpoint with its weights changed."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def test_weights_of_another_layout_are_refused(
    tmp_path: Path, model: SatsModel, codec: SatsCodec
) -> None:
    save_model(model, codec, tmp_path)
    name, bias = "unit_head.weight", "unit_head.bias"
    spoiled(tmp_path, lambda w: w.update({name: w[name][:-1].clone(), "more": w.pop(bias)}))
    with pytest.raises(ConfigurationError, match="another layout") as caught:
        load_model(tmp_path)
    said = str(caught.value)
    assert "1 missing (unit_head.bias)" in said
    assert "1 not of this model (more)" in said
    assert "1 of another shape (unit_head.weight)" in said


def test_folders_that_are_no_checkpoint_are_told(
    tmp_path: Path, model: SatsModel, codec: SatsCodec
) -> None:
    with pytest.raises(ConfigurationError, match="not a checkpoint"):
        load_model(tmp_path)
    save_model(model, codec, tmp_path)
    file = tmp_path / "config.json"
    text = file.read_text()
    file.write_text(text.replace('"config_version": 1', '"config_version": 9'))
    with pytest.raises(ConfigurationError, match="layout version 9"):
        load_model(tmp_path)
    file.write_text(text.replace('"talkover_sats"', '"whisper"'))
    with pytest.raises(ConfigurationError, match="holds a whisper model"):
        load_model(tmp_path)


def test_the_tokenizer_of_another_model_is_refused(
    tmp_path: Path, model: SatsModel, codec: SatsCodec
) -> None:
    from talkover.model.codec import build_codec

    save_model(model, codec, tmp_path)
    build_codec(replace(codec.config, vocab_size=300), ["a"]).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ConfigurationError, match="is not that of the model"):
        load_model(tmp_path)


def test_parts_that_do_not_fit_are_told(model: SatsModel) -> None:
    values = model.parts.plain()
    with pytest.raises(ConfigurationError, match=r"model\.layout\.fusoin: no such setting"):
        Parts.read({**values, "layout": {"fusoin": "add"}})
    with pytest.raises(ConfigurationError, match="needs a speaker encoder"):
        Parts.read({**values, "speaker": None})
    with pytest.raises(ConfigurationError, match="lm: must be given"):
        Parts.read({"semantic": values["semantic"]})


@pytest.mark.parametrize("constrained", [True, False])
def test_a_batch_is_written_as_its_rows_are_alone(
    constrained: bool, model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    examples = examples_of(tone_items[:4], codec)
    options = DecodeOptions(tokens_per_second=1, constrained=constrained)
    together = Transcriber(model, codec, options).answers(examples)
    single = Transcriber(model, codec, replace(options, batch_size=1))
    assert [answer.id for answer in together] == [example.id for example in examples]
    texts = [single.answers([example])[0].text for example in examples]
    if constrained:
        assert all(not answer.parsed.repairs for answer in together)
        # budgets differ with the longest row, so only what ends by itself must be equal
        pairs = zip(together, texts, strict=True)
        assert all(a.text == text for a, text in pairs if not a.is_truncated)
    else:
        assert all(
            a.text.startswith(t) or t.startswith(a.text)
            for a, t in zip(together, texts, strict=True)
        )


def test_registered_voices_reach_the_language_model(
    build: Build, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    model = build(layout=LayoutConfig(fusion="add", registration=True), registration_width=7)
    streams = model.streams(32000, ("ana", "bo"))
    from talkover.model.layout import plan_layout

    plan = plan_layout(streams, model.parts.layout, vocabulary_of(codec), answer=[5])
    base = collator(model, codec)(examples_of([tone_items[0]], codec))
    ids, kinds = torch.tensor([plan.ids]), torch.tensor([[int(k) for k in plan.kinds]])
    batch = replace(
        base,
        audio=base.audio[:, :32000],
        num_samples=torch.tensor([32000]),
        input_ids=ids,
        kinds=kinds,
        labels=torch.tensor([plan.labels]),
        registration=torch.randn(1, 2, 7),
    )
    other = replace(batch, registration=torch.randn(1, 2, 7))
    with torch.inference_mode():
        kept = torch.arange(len(plan) - 2, len(plan))
        heard = model.hear(batch.audio, batch.num_samples)
        first, second = (model.answer_logits(each, heard, kept) for each in (batch, other))
    assert first is not None and second is not None and not torch.equal(first, second)


def test_a_language_model_of_a_local_folder_keeps_its_weights(
    tmp_path: Path, build: Build, codec: SatsCodec
) -> None:
    from transformers import AutoModelForCausalLM, Qwen3Config

    config = build().parts.lm.config
    values = {k: v for k, v in config.items() if k not in ("model_type", "vocab_size")}
    small = Qwen3Config(vocab_size=50, **{**values, "eos_token_id": 1, "pad_token_id": 0})
    torch.manual_seed(3)
    AutoModelForCausalLM.from_config(small).save_pretrained(tmp_path)
    from talkover.model.config import LmConfig

    model = build(lm=LmConfig(path=str(tmp_path)))
    source = AutoModelForCausalLM.from_pretrained(tmp_path)
    table = model.lm.get_input_embeddings().weight
    assert table.shape[0] >= len(codec)
    torch.testing.assert_close(table[:50], source.get_input_embeddings().weight)
    save_model(model, codec, tmp_path / "checkpoint")
    loaded, _ = load_model(tmp_path / "checkpoint")
    torch.testing.assert_close(loaded.lm.get_input_embeddings().weight, table)


def test_an_hf_encoder_in_a_checkpoint_needs_its_folder_no_more(
    tmp_path: Path, build: Build, codec: SatsCodec
) -> None:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        d_model=16,
        encoder_layers=1,
        encoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        num_mel_bins=80,
        max_source_positions=100,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    WhisperForConditionalGeneration(config).save_pretrained(tmp_path / "whisper")
    encoder = EncoderConfig(kind="hf", options={"path": str(tmp_path / "whisper")})
    model = build(
        semantic=encoder,
        speaker=None,
        projector=ProjectorConfig(merge=4),
        layout=LayoutConfig(),
        cues=CueConfig(),
    )
    assert model.semantic_rate == 12.5
    save_model(model, codec, tmp_path / "checkpoint")
    for file in (tmp_path / "whisper").iterdir():
        file.unlink()
    loaded, _ = load_model(tmp_path / "checkpoint")
    for (name, mine), theirs in zip(
        model.semantic.state_dict().items(), loaded.semantic.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs), name


def test_cues_are_the_embeddings_that_the_model_writes_with() -> None:
    table = torch.eye(6)
    cues = Cues(units=[4, 5], speakers=[3], times=[0, 1, 2], steps_per_second=10, width=6)
    assert cues.spoken is not None
    cues.spoken.data = torch.tensor([0.0, 0.0, 0.0, 0.0, 7.0, 0.0])  # "a word", whichever it is
    units = torch.full((1, 4, 3), -50.0)
    units[0, :, 0] = 50.0
    units[0, 1] = torch.tensor([-50.0, -50.0, 50.0])  # the second unit sounds in frame 1
    activity = torch.tensor([[[50.0], [-50.0]]])
    found = cues(table, 10.0, 2, units, activity)[0]
    torch.testing.assert_close(found[0], torch.tensor([0.5, 0.5, 0.0, 1.0, 7.0, 1.0]))
    torch.testing.assert_close(found[1], torch.tensor([0.0, 0.5, 0.5, 0.0, 0.0, 0.0]))


def test_rates_of_cues_are_brought_to_that_of_the_vectors() -> None:
    values = torch.arange(5.0)[None, :, None]
    assert gathered(values, 3).flatten().tolist() == [1.0, 5.0, 4.0]
    assert nearest(values, 5) is values
    assert nearest(values, 2).flatten().tolist() == [1.0, 3.0]


def test_near_times_begin_alike(build: Build) -> None:
    rows = clock_embeddings(100, 10, 32)
    assert float(rows.square().mean().sqrt()) == pytest.approx(1.0, rel=0.05)
    alike = (rows @ rows.T)[30] / 32
    assert alike[31] > 0.7 and alike[31] > alike[33] > alike[45]
    model = build()
    table = model.lm.get_input_embeddings().weight.detach()
    times = table[torch.tensor(model.parts.tables.times)]
    others = table[5:60]
    assert float(times.square().mean()) == pytest.approx(float(others.square().mean()), rel=0.3)
    assert torch.cosine_similarity(times[10], times[11], dim=0) > 0.7
