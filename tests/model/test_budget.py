"""`talkover plan`: what it counts is what is made, and what it foretells is what is measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.manifests.schema import Session
from talkover.model.budget.memory import Load, Shapes, cache_bytes
from talkover.model.budget.plan import completed, plan_manifests, plan_sessions
from talkover.model.budget.report import plan_json, plan_lines
from talkover.model.budget.tokens import count_tokens
from talkover.model.codec import SatsCodec
from talkover.model.config import LmConfig
from talkover.model.data.collate import Collator
from talkover.model.data.examples import example_of
from talkover.model.lora import LoraSettings
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.prefill import prefill
from talkover.model.presets import Preset
from talkover.model.stages import Stage, freeze

CLOSE = 0.15
"""Share by which a plan may miss what is measured."""

LM = {
    "model_type": "qwen3",
    "hidden_size": 64,
    "intermediate_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "tie_word_embeddings": True,
    "max_position_embeddings": 8192,
}


def measured_peak(work: Callable[[], object]) -> int:
    """Bytes above the start at the worst moment, by the CPU allocator's own records."""
    with torch.profiler.profile(profile_memory=True) as profile:
        kept = work()
    now = peak = 0
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    for event in sorted(events, key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    del kept
    return peak


def test_tokens_are_those_of_the_layout_that_is_trained(
    tone_items: list[SessionAudio], model: SatsModel, codec: SatsCodec
) -> None:
    collator = Collator(model, codec, vocabulary_of(codec))
    for item in tone_items:
        tokens = count_tokens(item.session, model, codec, vocabulary_of(codec))
        plan = collator.plan(example_of(item, codec, 16000))
        assert tokens.positions == len(plan)
        assert tokens.text > 0 and tokens.stamps >= 4 and tokens.markers > 0


def test_the_cache_is_as_large_as_the_plan_says(
    build: Callable[..., SatsModel],
) -> None:
    model = build(lm=LmConfig(config=LM))
    read = prefill(model.lm, torch.randn(2, 77, 64), torch.ones(2, 77), chunk=20)
    real = sum(
        tensor.numel() * tensor.element_size()
        for layer in read.cache.layers
        for tensor in (layer.keys, layer.values)
    )
    assert cache_bytes(model.parts, 77, "fp32", batch=2) == real
    assert cache_bytes(model.parts, 77, "bf16", batch=2) == real // 2


def test_reading_is_within_15_percent_of_what_is_measured(
    build: Callable[..., SatsModel],
) -> None:
    model = build(lm=LmConfig(config=LM))
    shapes = Shapes(model.parts, "fp32")
    assert shapes.num_weights == sum(p.numel() for p in model.parameters())
    load = Load(batch=2, duration=20.0, positions=1500, answer=300)
    embedded = torch.randn(2, 1500, 64)
    with torch.no_grad():
        real = measured_peak(lambda: prefill(model.lm, embedded, torch.ones(2, 1500)))
    foretold = shapes.reading(load) + cache_bytes(model.parts, 1500, "fp32", batch=2)
    assert foretold == pytest.approx(real + embedded.nbytes, rel=CLOSE)


def test_hearing_is_within_15_percent_of_what_is_measured(
    build: Callable[..., SatsModel],
) -> None:
    model = build(lm=LmConfig(config=LM))
    audio = torch.randn(4, 20 * 16000)
    count = torch.full((4,), 20 * 16000)
    with torch.no_grad():
        model.hear(audio, count)  # lazily made filters
        real = measured_peak(lambda: model.hear(audio, count))
    load = Load(batch=4, duration=20.0, positions=400, answer=100)
    assert Shapes(model.parts, "fp32").hearing(load) == pytest.approx(real, rel=CLOSE)


def test_training_is_within_15_percent_of_what_is_measured(
    build: Callable[..., SatsModel], tone_items: list[SessionAudio], codec: SatsCodec
) -> None:
    model = build(lm=LmConfig(config=LM), cues=replace(build().parts.cues, words=False)).train()
    collator = Collator(model, codec, vocabulary_of(codec))
    examples = [example_of(item, codec, 16000) for item in tone_items[:8]]
    batch = collator(examples)
    load = Load(
        batch=8,
        duration=max(batch.durations),
        positions=batch.kinds.shape[1],
        answer=int((batch.labels != -100).any(0).sum()),
    )

    def update() -> None:
        model.zero_grad(set_to_none=True)
        output = model(batch, losses=("answer", "ctc", "activity"))
        torch.stack([loss.total for loss in output.losses.values()]).sum().backward()

    update()  # lazily made buffers
    model.zero_grad(set_to_none=True)
    real = measured_peak(update)
    foretold = Shapes(model.parts, "fp32").training(load)
    gradients = foretold.optimizer // 3
    assert foretold.activations + gradients == pytest.approx(real, rel=CLOSE)


STAGES: dict[str, dict[str, Any]] = {
    "all": {"losses": {"answer": 1.0, "ctc": 0.5}},
    "the language model alone": {"losses": {"answer": 1.0}, "trainable": ("lm.*",)},
    "projector, the rest frozen": {"losses": {"answer": 1.0}, "trainable": ("projector.*",)},
    "the encoder by CTC": {
        "losses": {"ctc": 1.0},
        "trainable": ("semantic.*", "unit_head.*"),
    },
    "adapters and projector": {
        "losses": {"answer": 1.0},
        "trainable": ("projector.*",),
        "lora": True,
    },
}


@pytest.mark.parametrize("name", STAGES)
def test_each_kind_of_stage_is_within_15_percent_of_what_is_measured(
    name: str,
    build: Callable[..., SatsModel],
    tone_items: list[SessionAudio],
    codec: SatsCodec,
) -> None:
    """Gradients and what is kept for them are counted only for what the stage trains."""
    cues = replace(build().parts.cues, words=False)
    lora = LoraSettings(targets=("lm.*.q_proj", "lm.*.v_proj"), rank=4, alpha=8.0)
    has_adapters = bool(STAGES[name].get("lora"))
    model = build(lm=LmConfig(config=LM), cues=cues, lora=lora if has_adapters else None)
    stage = Stage(name=name, steps=1, **STAGES[name])
    trained = freeze(model.train(), stage)
    batch = Collator(model, codec, vocabulary_of(codec))(
        [example_of(item, codec, 16000) for item in tone_items[:8]]
    )
    load = Load(
        batch=8,
        duration=max(batch.durations),
        positions=batch.kinds.shape[1],
        answer=int((batch.labels != -100).any(0).sum()),
    )

    def update() -> None:
        model.zero_grad(set_to_none=True)
        output = model(batch, losses=tuple(stage.losses))
        torch.stack([loss.total for loss in output.losses.values()]).sum().backward()

    update()  # lazily made buffers
    model.zero_grad(set_to_none=True)
    real = measured_peak(update)
    shapes = Shapes(model.parts, "fp32")
    assert shapes.num_weights == sum(p.numel() for p in model.parameters())
    foretold = shapes.training(load, stage)
    assert foretold.optimizer == 3 * 4 * trained
    assert foretold.activations + 4 * trained == pytest.approx(real, rel=CLOSE)


def test_a_stage_that_trains_little_is_planned_small(
    small: Callable[..., Preset], tone_folder: Path
) -> None:
    preset = small()
    whole = preset.training.stages[0]
    few = replace(whole, name="few", losses={"answer": 1.0}, trainable=("projector.*",))
    training = replace(preset.training, stages=(whole, few))
    planned = plan_manifests([tone_folder], replace(preset, training=training))
    first, second = planned.stages
    assert second.trained < first.trained / 10
    assert second.memory.optimizer == 12 * second.trained
    assert second.memory.weights == first.memory.weights
    assert second.memory.total < first.memory.total
    shown = "\n".join(plan_lines(planned))
    assert "stage all: trains" in shown and "stage few: trains" in shown
    values = json.loads(plan_json(planned))["stages"]
    assert values[1]["memory"]["total"] == second.memory.total


def long_session(session: Session, minutes: float, turns_per_minute: float, words: int) -> Session:
    """A session of nothing but labels, as long and dense as asked."""
    first = session.supervisions[0]
    rate = session.audio.sampling_rate
    samples = int(minutes * 60 * rate)
    step = int(60 / turns_per_minute * rate)
    rows = []
    for number, start in enumerate(range(0, samples - step, step)):
        span = {"start": start / rate, "start_sample": start}
        length = {"duration": step / rate, "num_samples": step}
        rows.append(
            first.model_copy(
                update={
                    "id": f"r{number}",
                    "turn_id": f"t{number}",
                    "text": " ".join(["wahid"] * words),
                    "words": None,
                    "word_samples": None,
                    **span,
                    **length,
                    "regions": (first.regions[0].model_copy(update={**span, **length}),),
                }
            )
        )
    audio = session.audio.model_copy(update={"num_samples": samples})
    return session.model_copy(update={"audio": audio, "supervisions": tuple(rows)})


def digits_preset(small: Callable[..., Preset], digits: int, max_time: float) -> Preset:
    """12.5 vectors a second and a marker every 2 s in a context of 128k, on a small scale."""
    chosen = small()
    parts = chosen.parts
    atoms = replace(parts.codec.atoms, max_time=max_time, max_speakers=4)
    has_atoms = max_time > 0
    layout = replace(
        parts.layout, marker_interval=2.0, marker_style="atomic" if has_atoms else "digits"
    )
    return replace(
        chosen,
        parts=replace(
            parts,
            layout=layout,
            cues=replace(parts.cues, times=False),
            codec=replace(parts.codec, digits=digits, atoms=atoms, vocab_size=300),
            lm=LmConfig(config={**LM, "max_position_embeddings": 131072}),
        ),
    )


def test_90_minutes_fit_128k_at_a_tenth_of_a_second_and_not_at_a_hundredth(
    small: Callable[..., Preset], tone_items: list[SessionAudio]
) -> None:
    """A lively meeting: 38 turns a minute, 8 tokens of text a second."""
    session = long_session(tone_items[0].session, 90.0, 38.0, 7)
    tenth = plan_sessions([session], digits_preset(small, 1, 5400.0))
    hundredth = plan_sessions([session], digits_preset(small, 2, 0.0))
    assert tenth.refused == () and tenth.longest is not None and tenth.longest >= 5400
    assert hundredth.longest is not None and 45 * 60 < hundredth.longest < 80 * 60
    (refused,) = hundredth.refused
    for word in ("audio", "markers", "text", "stamps", "131,072"):
        assert word in refused.reason
    hour = long_session(tone_items[0].session, hundredth.longest / 60 - 1, 38.0, 7)
    assert plan_sessions([hour], digits_preset(small, 2, 0.0)).refused == ()


def test_what_fits_the_gpu_grows_with_it_and_nothing_fits_none(
    small: Callable[..., Preset], tone_folder: Path
) -> None:
    none, some = (plan_manifests([tone_folder], small(), gpu_memory=g) for g in (0.001, 1.0))
    assert all(fit.inference_batch == 0 for fit in none.fits)
    assert [stage.rows_that_fit for stage in none.stages] == [0]
    assert all(fit.inference_batch is not None and fit.inference_batch > 0 for fit in some.fits)
    (stage,) = some.stages
    assert stage.rows_that_fit is not None and stage.rows_that_fit > stage.rows
    assert stage.trained == some.parameters and stage.rows * stage.seconds <= 9.0
    shown = "\n".join(plan_lines(some))
    assert "key-value cache" in shown and "in 1 GiB" in shown
    with pytest.raises(ConfigurationError, match="gpu_memory"):
        plan_manifests([tone_folder], small(), gpu_memory=-1.0)


def test_sessions_without_any_text_cannot_be_planned(
    small: Callable[..., Preset], tone_items: list[SessionAudio]
) -> None:
    session = tone_items[0].session
    silent = session.model_copy(update={"supervisions": ()})
    with pytest.raises(ConfigurationError, match="no session has any text"):
        completed(small().parts, [silent])


@pytest.mark.slow
def test_plan_from_the_command_line(tone_folder: Path) -> None:
    arguments = ["plan", str(tone_folder), "--preset", "tiny", "--gpu-memory", "2"]
    done = CliRunner().invoke(app, [*arguments, "--json", "--precision", "fp32"])
    assert done.exit_code == 0, done.output
    planned = json.loads(done.stdout)
    assert planned["sessions"] == 12 and planned["refused"] == []
    fit = planned["fits"][-1]
    assert fit["inference"]["total"] > fit["cache"]["fp32"] == 2 * fit["cache"]["bf16"]
