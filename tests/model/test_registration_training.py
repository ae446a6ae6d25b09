"""Training with registration: batches by number, frozen voices, resume, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from talkover.manifests.audio import write_audio
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.manifests.schema import RegistrationClip
from talkover.model.build import vocabulary_of
from talkover.model.checkpoints import load_model
from talkover.model.codec import SatsCodec
from talkover.model.data.choice import Choice
from talkover.model.data.collate import Collator
from talkover.model.data.examples import Skips
from talkover.model.data.feeds import ManifestFeed, Share, StreamFeed, read_entries, shared
from talkover.model.layout import Kind, LayoutConfig
from talkover.model.modeling import SatsModel
from talkover.model.presets import Preset
from talkover.model.run import train
from talkover.model.stages import Stage

RATE = 16000
LAYOUT = LayoutConfig(fusion="add", marker="seconds", marker_style="atomic", registration=True)
THIRDS = Choice(
    seconds=9.0, registration={"no": 1.0, "match": 1.0, "over": 1.0}, distractors=(1, 2)
)


@pytest.fixture(scope="module")
def clip_folder(
    tmp_path_factory: pytest.TempPathFactory,
    write_tones: Callable[..., Path],
    tone_items: list[SessionAudio],
) -> Path:
    """The tone corpus, each speaker with a clip; one session's clip is the session itself."""
    folder = tmp_path_factory.mktemp("registered") / "corpus"
    items = []
    for number, item in enumerate(tone_items):
        clips = []
        for row in {row.speaker: row for row in item.session.supervisions}.values():
            path = f"registration/{row.speaker}.wav"
            clips.append(
                RegistrationClip(
                    speaker=row.speaker,
                    speaker_local=row.speaker_local,
                    path=item.session.audio.path if number == 3 else path,
                    sha256="2" * 64,
                    duration=2.0,
                    utterance_ids=(f"{row.speaker}-clip",),
                )
            )
        session = item.session.model_copy(update={"registration": tuple(clips)})
        items.append(replace(item, session=session))
    write_tones(folder, items)
    (folder / "registration").mkdir()
    for number, speaker in enumerate(("ana", "bo", "cy")):
        time = np.arange(2 * RATE) / RATE
        noise = 0.01 * np.random.default_rng(number).standard_normal(len(time))
        samples = (noise + 0.1 * np.sin(2 * np.pi * (3500.0 + 500.0 * number) * time)).astype("f4")
        path = folder / f"registration/{speaker}.wav"
        write_audio(path, [samples], RATE, format="wav", subtype="FLOAT")
    return folder


def frozen(model: SatsModel) -> SatsModel:
    assert model.speaker is not None
    model.speaker.requires_grad_(False)
    return model.train()


def feed_of(model: SatsModel, codec: SatsCodec, folder: Path, share: Share | None) -> ManifestFeed:
    entries = read_entries([folder], 8.0, Skips())
    collator = Collator(model, codec, vocabulary_of(codec))
    return ManifestFeed(entries, collator, seed=0, buckets="plain", share=share)


def test_two_processes_draw_what_one_draws(
    clip_folder: Path, build: Callable[..., SatsModel], codec: SatsCodec
) -> None:
    model = frozen(build(layout=LAYOUT))
    alone = [
        h.batch for h in islice(feed_of(model, codec, clip_folder, None).batches(THIRDS, 0), 8)
    ]
    for rank in range(2):
        share = Share(rank=rank, world_size=2)
        half = islice(feed_of(model, codec, clip_folder, share).batches(THIRDS, 0), 4)
        for one, handed in zip(alone[rank::2], half, strict=True):
            assert one is not None and handed.batch is not None
            assert torch.equal(one.input_ids, handed.batch.input_ids)
            assert (one.registration is None) == (handed.batch.registration is None)
            if one.registration is not None:
                assert torch.equal(one.registration, handed.batch.registration)
    later = next(iter(feed_of(model, codec, clip_folder, None).batches(THIRDS, 5))).batch
    assert later is not None and alone[5] is not None
    assert torch.equal(later.input_ids, alone[5].input_ids)
    kinds = [int((b.kinds == int(Kind.REGISTRATION)).sum()) for b in alone if b is not None]
    assert any(count == 0 for count in kinds) and any(count > 0 for count in kinds)


def test_a_session_whose_clip_is_itself_is_counted_with_its_id(
    clip_folder: Path, build: Callable[..., SatsModel], codec: SatsCodec
) -> None:
    feed = feed_of(frozen(build(layout=LAYOUT)), codec, clip_folder, None)
    skipped = [s for h in islice(feed.batches(THIRDS, 0), 8) for s in h.skipped]
    assert {name for name, _ in skipped} == {"s003"}
    assert all("audio of the session itself" in reason for _, reason in skipped)


def registering(small: Callable[..., Preset], trainable: tuple[str, ...]) -> Preset:
    preset = small(4)
    stage = Stage(
        name="register",
        steps=4,
        losses={"answer": 1.0, "ctc": 0.5},
        trainable=trainable,
        data=THIRDS,
        lr=3e-3,
    )
    return Preset(
        parts=replace(preset.parts, layout=LAYOUT),
        training=replace(preset.training, stages=(stage,), save_every=2),
    )


UNSPOKEN = ("semantic.*", "projector.*", "registration.*", "lm.*", "unit_head.*")


def test_a_stage_registers_and_leaves_the_voices_alone(
    clip_folder: Path, tmp_path: Path, small: Callable[..., Preset]
) -> None:
    preset = registering(small, UNSPOKEN)
    done = train([clip_folder], preset, tmp_path / "a")
    assert done.steps == 4 and done.skips.total == 1
    again = train([clip_folder], preset, tmp_path / "b")
    first, second = (load_model(folder)[0].state_dict() for folder in (done.folder, again.folder))
    assert all(torch.equal(first[name], second[name]) for name in first)
    before, _ = load_model(sorted((tmp_path / "a/run/checkpoints").iterdir())[0])
    after = load_model(tmp_path / "a")[0]
    moved = {
        name
        for name, weight in after.state_dict().items()
        if not torch.equal(weight, before.state_dict()[name])
    }
    assert any(name.startswith("registration.") for name in moved)
    assert not any(name.startswith("speaker.") for name in moved)


def test_a_stage_that_trains_the_voices_cannot_register(
    clip_folder: Path, tmp_path: Path, small: Callable[..., Preset]
) -> None:
    with pytest.raises(ConfigurationError, match=r"this stage trains speaker\.\*"):
        train([clip_folder], registering(small, ("*",)), tmp_path / "model")


def test_a_stream_cannot_register(
    build: Callable[..., SatsModel], codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    collator = Collator(frozen(build(layout=LAYOUT)), codec, vocabulary_of(codec))
    feed = StreamFeed(shared(lambda: tone_items), collator, seed=0, longest=8.0)
    with pytest.raises(ConfigurationError, match="a stream"):
        next(iter(feed.batches(THIRDS, 0)))
