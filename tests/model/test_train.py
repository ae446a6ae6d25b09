"""Training: exact resume, the same update for any number of processes, learning at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from talkover.manifests.errors import ConfigurationError, RunError
from talkover.manifests.io import SessionAudio
from talkover.model.batch import Batch
from talkover.model.checkpoints import average_weights, finished, load_model
from talkover.model.data.examples import example_of
from talkover.model.data.feeds import Choice, Handed, shared
from talkover.model.modeling import SatsModel
from talkover.model.presets import Preset, changed_preset, preset
from talkover.model.run import Surveyed, make_model, survey, train
from talkover.model.stages import Stage, freeze
from talkover.model.train import CHECKPOINTS, LOG, TENSORBOARD, Trainer
from talkover.model.transcribe import DecodeOptions, Transcriber

Small = Callable[..., Preset]


def losses_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line)["losses"] for line in (folder / LOG).read_text().splitlines()]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def trainer_of(folder: Path, preset: Preset, out: Path) -> Trainer:
    """What `train` makes, so that it can be stopped."""
    made: list[Trainer] = []
    run = Trainer.run

    def keep(self: Trainer, *, stop_after: int | None = None) -> object:
        made.append(self)
        raise InterruptedError

    Trainer.run = keep  # type: ignore[method-assign, assignment]
    try:
        train([folder], preset, out)
    except InterruptedError:
        pass
    finally:
        Trainer.run = run  # type: ignore[method-assign]
    return made[0]


@pytest.mark.parametrize(
    ("stop", "trainable"), [(2, ("*",)), (3, ("*",)), (5, ("semantic.*", "unit_head.*"))]
)
def test_going_on_after_a_kill_gives_the_same_losses_and_weights(
    tmp_path: Path, tone_folder: Path, small: Small, stop: int, trainable: tuple[str, ...]
) -> None:
    stage = replace(small().training.stages[0], data=Choice(seconds=9.0, speeds=(0.9, 1.0)))
    listen = replace(stage, name="listen", steps=3, losses={"ctc": 1.0}, trainable=trainable)
    write = replace(stage, steps=3, rates={"semantic.*": 0.1, "lm.*": 2.0})
    chosen = small(stages=(listen, write), save_every=1)
    train([tone_folder], chosen, tmp_path / "whole")
    killed = trainer_of(tone_folder, chosen, tmp_path / "killed")
    assert killed.run(stop_after=stop) is None
    train([tone_folder], chosen, tmp_path / "killed")
    assert losses_of(tmp_path / "killed") == losses_of(tmp_path / "whole")
    whole, again = weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_steps_after_the_last_checkpoint_are_done_again(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    chosen = small(5, save_every=2)
    train([tone_folder], chosen, tmp_path / "whole")
    killed = trainer_of(tone_folder, chosen, tmp_path / "killed")
    killed.run(stop_after=3)  # the checkpoint is of step 2
    train([tone_folder], chosen, tmp_path / "killed")
    whole, again = weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed")
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert losses_of(tmp_path / "killed")[-1] == losses_of(tmp_path / "whole")[-1]


def test_another_configuration_does_not_go_on(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    train([tone_folder], small(2), tmp_path)
    with pytest.raises(ConfigurationError, match=r"another training\.clip"):
        train([tone_folder], small(2, clip=9.0), tmp_path)
    other = small(2)
    layout = replace(other.parts.layout, marker_interval=2.0)
    changed = Preset(parts=replace(other.parts, layout=layout), training=other.training)
    with pytest.raises(ConfigurationError, match=r"another model\.layout"):
        train([tone_folder], changed, tmp_path)


def test_a_run_leaves_a_checkpoint_logs_and_nothing_half_written(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    trained = train([tone_folder], small(4, save_every=1, keep=2, average=2), tmp_path)
    assert trained.steps == 4 and set(trained.losses) == {"answer", "ctc", "activity", "speaker"}
    checkpoints = finished(tmp_path / CHECKPOINTS)
    assert [folder.name for folder in checkpoints] == ["00-0000003", "00-0000004"]
    assert list((tmp_path / TENSORBOARD).glob("events*"))
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob("*.bin"))
    mean, parts = weights_of(tmp_path), [weights_of(folder) for folder in checkpoints]
    name = "unit_head.weight"
    torch.testing.assert_close(mean[name], (parts[0][name] + parts[1][name]) / 2)
    assert torch.equal(average_weights(checkpoints)[name], mean[name])
    model, _ = load_model(tmp_path)
    assert not model.training


def test_one_update_of_two_batches_is_that_of_both_together(
    tmp_path: Path, tone_folder: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses are means over all that an update counts, not means of the batches' means."""
    from talkover.model.data.feeds import ManifestFeed, Rows

    base = small(1)
    stage = replace(base.training.stages[0], mask=False)
    parts = replace(base.parts, mask=None)
    for name, accumulation, seconds in (("two", 2, 9.0), ("one", 1, 9.0)):
        chosen = Preset(
            parts=_without_dropout(parts),
            training=replace(
                base.training,
                accumulation=accumulation,
                stages=(replace(stage, data=Choice(seconds=seconds)),),
            ),
        )
        trainer = trainer_of(tone_folder, chosen, tmp_path / name)
        feed = trainer.feed
        assert isinstance(feed, ManifestFeed)
        if name == "one":  # the first two batches of the other run, in one
            plan = feed.epoch(replace(stage.data, seconds=9.0), 0)
            joined = [[*plan[0], *plan[1]]]
            monkeypatch.setattr(Rows, "epoch", lambda self, epoch, joined=joined: joined)
        trainer.run()
    first, second = losses_of(tmp_path / "two")[0], losses_of(tmp_path / "one")[0]
    assert first == pytest.approx(second, rel=1e-4)
    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name in one:  # Adam's first step is the sign of the gradient where that is above its noise
        assert (one[name] - two[name]).abs().mean() < 3e-4, name


def _without_dropout(parts: object) -> object:
    semantic = replace(parts.semantic, options={**parts.semantic.options, "dropout": 0.0})  # type: ignore[attr-defined]
    speaker = replace(parts.speaker, options={**parts.speaker.options, "dropout": 0.0})  # type: ignore[attr-defined]
    return replace(parts, semantic=semantic, speaker=speaker)  # type: ignore[type-var]


def test_bad_sessions_are_skipped_counted_and_kept_over_a_resume(
    tmp_path: Path,
    tone_items: list[SessionAudio],
    write_tones: Callable[..., Path],
    small: Small,
) -> None:
    torn = tone_items[0].session.id
    folder = write_tones(tmp_path / "corpus", tone_items[:6])
    (folder / "audio" / f"{torn}.wav").write_bytes(b"RIFF")
    chosen = small(6, save_every=3)
    killed = trainer_of(folder, chosen, tmp_path / "out")
    killed.run(stop_after=4)
    trained = train([folder], chosen, tmp_path / "out")
    assert trained.skips.total == 1
    assert torn in trained.skips.lines()[0]


def test_training_on_the_fly_takes_any_iterable(
    tmp_path: Path, tone_items: list[SessionAudio], small: Small
) -> None:
    trained = train([], small(2), tmp_path, stream=shared(lambda: tone_items))
    assert trained.steps == 2
    with pytest.raises(ConfigurationError, match="nothing to train on"):
        train([], small(2), tmp_path / "none")


class Spoiled:
    """A feed whose batches are changed before they are handed out."""

    def __init__(self, feed: object, change: Callable[[Batch], Batch]) -> None:
        self.feed, self.change = feed, change

    def mark(self) -> None:
        return None

    def batches(self, choice: Choice, start: int, mark: object = None) -> object:
        for handed in self.feed.batches(choice, start):  # type: ignore[attr-defined]
            yield Handed(batch=self.change(handed.batch))


def test_losses_that_are_no_numbers_end_the_run_with_advice(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    trainer = trainer_of(tone_folder, small(30), tmp_path)
    trainer.feed = Spoiled(  # type: ignore[assignment]
        trainer.feed, lambda batch: replace(batch, audio=batch.audio * float("nan"))
    )
    before = {name: p.clone() for name, p in trainer.model.named_parameters()}
    with pytest.raises(RunError, match="not finite for 10 updates"):
        trainer.run()
    assert all(torch.equal(p, before[name]) for name, p in trainer.model.named_parameters())


def test_running_out_of_memory_is_a_counted_skip(
    tmp_path: Path, tone_folder: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(tone_folder, small(3), tmp_path)
    forward = SatsModel.forward
    calls = []

    def once(self: SatsModel, batch: Batch, *options: Any) -> object:
        calls.append(batch.ids)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("no room")
        return forward(self, batch, *options)

    monkeypatch.setattr(SatsModel, "forward", once)
    trained = trainer.run()
    assert trained is not None
    assert trained.skips.ids["out of memory"] == list(calls[0])


def test_memory_that_never_suffices_ends_the_run_with_advice(
    tmp_path: Path, tone_folder: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = trainer_of(tone_folder, small(30), tmp_path)

    def never(self: SatsModel, batch: Batch, *options: Any) -> object:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 GB")

    monkeypatch.setattr(SatsModel, "forward", never)
    with pytest.raises(RunError, match=r"out of memory for 10 updates.*data\.seconds"):
        trainer.run()


def test_gradients_that_are_no_numbers_change_no_weight(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    trainer = trainer_of(tone_folder, small(2), tmp_path)
    weight = trainer.model.unit_head.weight
    calls = []

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return gradient * float("nan") if len(calls) == 1 else gradient

    weight.register_hook(spoil)
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.run(stop_after=1)
    assert calls == [1] and trainer.progress.bad == 1
    assert all(torch.equal(p, before[name]) for name, p in trainer.model.named_parameters())


class Emptied(Spoiled):
    """A feed some of whose batches have nothing usable in them."""

    def __init__(self, feed: object, empty: set[int]) -> None:
        super().__init__(feed, lambda batch: batch)
        self.empty = empty

    def batches(self, choice: Choice, start: int, mark: object = None) -> object:
        for number, handed in enumerate(super().batches(choice, start), start):  # type: ignore[call-overload]
            is_empty = number in self.empty
            skipped = [(f"bad-{number}", "not decodable")] if is_empty else []
            yield Handed(batch=None if is_empty else handed.batch, skipped=skipped)


def test_empty_batches_are_no_update_also_at_the_begin(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    trainer = trainer_of(tone_folder, small(4), tmp_path)
    trainer.feed = Emptied(trainer.feed, {0, 1, 3})  # type: ignore[assignment]
    before = {name: p.detach().clone() for name, p in trainer.model.named_parameters()}
    trainer.run(stop_after=2)
    assert all(torch.equal(p, before[name]) for name, p in trainer.model.named_parameters())
    trained = trainer.run()
    assert trained is not None
    assert trained.skips.ids == {"not decodable": ["bad-0", "bad-1", "bad-3"]}
    assert not all(torch.equal(p, before[name]) for name, p in trainer.model.named_parameters())


def test_nothing_but_empty_batches_is_an_error_that_names_them(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    trainer = trainer_of(tone_folder, small(4), tmp_path)
    trainer.feed = Emptied(trainer.feed, set(range(1000)))  # type: ignore[assignment]
    with pytest.raises(ConfigurationError, match=r"nothing in 100 batches.*not decodable: bad-0"):
        trainer.run()


def test_logs_have_each_update_once_also_after_a_kill(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    chosen = small(5, save_every=2)
    trainer_of(tone_folder, chosen, tmp_path).run(stop_after=3)  # the checkpoint is of update 2
    with (tmp_path / LOG).open("a") as file:
        file.write('{"update": 4, "los')  # torn by the kill
    train([tone_folder], chosen, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [row["update"] for row in rows] == [1, 2, 3, 4, 5]
    events = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    scalars = events.Scalars("loss/answer")
    assert [event.step for event in scalars] == [1, 2, 3, 4, 5]
    shown = [event.value for event in scalars]
    assert shown == pytest.approx([row["losses"]["answer"] for row in rows], rel=1e-5)
    assert {"rate", "skipped", "loss/ctc"} <= set(events.Tags()["scalars"])


def test_stages_train_what_they_name(model: SatsModel) -> None:
    stage = Stage(name="ears", steps=1, losses={"ctc": 1.0}, trainable=("semantic.*",))
    count = freeze(model, stage)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained and all(name.startswith("semantic.") for name in trained)
    assert count == sum(p.numel() for p in model.semantic.parameters())
    with pytest.raises(ConfigurationError, match="no parameter is called 'ears"):
        freeze(model, replace(stage, trainable=("ears.*",)))


def test_parameters_may_have_rates_of_their_own(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    stage = replace(small().training.stages[0], steps=1, rates={"semantic.*": 0.0})
    before, _ = make_model(small(), _surveyed(tone_folder, small))
    train([tone_folder], small(stages=(stage,)), tmp_path)
    after, start = weights_of(tmp_path), before.state_dict()
    moved = {name for name in after if not torch.equal(after[name], start[name])}
    assert moved and not any(name.startswith("semantic.") for name in moved)
    assert any(name.startswith("lm.") for name in moved)


def _surveyed(folder: Path, small: Small) -> Surveyed:
    from talkover.manifests.io import read_sessions

    return survey(read_sessions(folder), small().parts.codec)


def test_the_rate_rises_and_falls() -> None:
    stage = Stage(name="s", steps=100, losses={"ctc": 1.0}, lr=1.0, warmup=0.1, last=0.1)
    rates = [stage.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1) and max(rates) == 1.0
    assert rates[:10] == sorted(rates[:10]) and rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1, abs=0.01)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="losses must be of"):
        Stage(name="s", steps=1, losses={"cross": 1.0})
    with pytest.raises(ConfigurationError, match="no preset 'huge'"):
        preset("huge")
    with pytest.raises(ConfigurationError, match=r"training\.stages\.stpes: no such setting"):
        changed_preset("tiny", assignments=["training.stages.0.stpes=3"])


def test_presets_are_changed_by_file_and_by_assignments(tmp_path: Path) -> None:
    file = tmp_path / "change.yaml"
    file.write_text("model: {projector: {merge: 4}}\ntraining: {clip: 5.0}\n")
    changed = changed_preset("tiny", file, ["training.stages.1.steps=7"], seed=3)
    assert changed.parts.projector.merge == 4
    assert changed.parts.semantic == preset("tiny").parts.semantic
    assert (changed.training.clip, changed.training.seed) == (5.0, 3)
    assert [stage.steps for stage in changed.training.stages][1] == 7
    file.write_text("modle: {}\n")
    with pytest.raises(ConfigurationError, match="no such key: modle"):
        changed_preset("tiny", file)


def test_tiny_is_built_stepped_saved_and_decodes(
    tmp_path: Path, tone_folder: Path, tone_items: list[SessionAudio]
) -> None:
    chosen = preset("tiny")
    stages = tuple(
        replace(stage, steps=1, data=Choice(seconds=9.0)) for stage in chosen.training.stages
    )
    training = replace(chosen.training, stages=stages, average=1)
    train([tone_folder], Preset(parts=chosen.parts, training=training), tmp_path)
    model, codec = load_model(tmp_path)
    example = example_of(tone_items[0], codec, 16000)
    answer = Transcriber(model, codec, DecodeOptions(tokens_per_second=2)).answers([example])[0]
    assert answer.parsed.repairs == ()


def test_a_survey_does_not_depend_on_the_order(
    tone_items: list[SessionAudio], small: Small
) -> None:
    sessions = [item.session for item in tone_items]
    config = small().parts.codec
    assert survey(sessions, config) == survey(reversed(sessions), config)
    nothing = Surveyed(texts=(), speakers=(), words=())
    with pytest.raises(ConfigurationError, match="no session has any text"):
        make_model(small(), nothing)


@pytest.mark.slow
def test_a_few_sessions_are_learned_by_heart(
    tmp_path: Path, tone_items: list[SessionAudio], write_tones: Callable[..., Path], small: Small
) -> None:
    folder = write_tones(tmp_path / "corpus", tone_items[:8])
    stage = replace(small().training.stages[0], lr=4e-3, mask=False, data=Choice(seconds=30.0))
    ears = replace(stage, name="ears", steps=120, losses={"ctc": 1.0, "activity": 1.0})
    chosen = small(stages=(ears, replace(stage, steps=250)), log_every=50)
    trained = train([folder], chosen, tmp_path / "out")
    assert trained.losses["answer"] < 0.1
    model, codec = load_model(tmp_path / "out")
    examples = [example_of(item, codec, 16000) for item in tone_items[:8]]
    answers = Transcriber(model, codec).answers(examples)
    wanted = [codec.serializer.encode(example.transcript) for example in examples]
    assert sum(a.text == w for a, w in zip(answers, wanted, strict=True)) >= 7
