"""From manifests and a preset to a checkpoint: what `talkover train` calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.manifests.schema import Session
from talkover.manifests.serialize import TranscriptOptions, from_session, serializer
from talkover.manifests.shards.dataset import ShardDataset
from talkover.model.build import asked_parts, build_model
from talkover.model.checkpoints import finished, load_model
from talkover.model.codec import CodecConfig, SatsCodec, build_codec
from talkover.model.config import PART_NAMES, Parts
from talkover.model.data.collate import Collator, voice_name
from talkover.model.data.examples import Skips, check_session, is_transcribed
from talkover.model.data.feeds import (
    Feed,
    ManifestFeed,
    Share,
    Stream,
    StreamFeed,
    read_entries,
)
from talkover.model.data.order import resolve_buckets
from talkover.model.data.stream import Startable
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.parallel import make_accelerator, share_of
from talkover.model.presets import Preset
from talkover.model.stages import TrainConfig
from talkover.model.start import Known, begin, check_mark, mark_of, started_parts, write_mark
from talkover.model.train import CHECKPOINTS, Report, Trained, Trainer

SAMPLE = 200
"""Sessions of a stream that are looked at for its words and speakers, before training."""


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """What a model must know of the data before it is made."""

    texts: tuple[str, ...]
    speakers: tuple[str, ...]
    words: tuple[str, ...]


def survey(sessions: Iterable[Session], config: CodecConfig) -> Surveyed:
    """Target texts, words and speakers; the sessions' order does not matter."""
    form = serializer(config.format, digits=config.digits, **dict(config.options))
    options = TranscriptOptions(digits=config.digits, extras=config.extras)
    texts: set[str] = set()
    speakers: set[str] = set()
    words: set[str] = set()
    for session in sessions:
        if is_transcribed(session):
            transcript = from_session(session, options).transcript
            texts.add(form.encode(transcript))
            words |= {word for turn in transcript.turns for word in turn.text.split()}
        speakers |= {row.speaker for row in session.supervisions}
    return Surveyed(
        texts=tuple(sorted(texts)), speakers=tuple(sorted(speakers)), words=tuple(sorted(words))
    )


def takes_untranscribed(config: TrainConfig) -> bool:
    """Whether a stage draws sessions whose words are not known."""
    return any(stage.data.untranscribed for stage in config.stages)


def make_model(preset: Preset, found: Surveyed) -> tuple[SatsModel, SatsCodec]:
    """A model with random weights for the words and speakers of the data; same seed, same weights.

    Raises:
        ConfigurationError: If no text was found.
    """
    if not found.words:
        raise ConfigurationError("no session has any text: nothing to learn to write")
    codec = build_codec(preset.parts.codec, found.texts)
    known = known_of(found, codec, preset.training)
    torch.manual_seed(preset.training.seed)
    units, voices = tuple(known.units), tuple(known.voices)
    model = build_model(preset.parts, codec, units=units, voices=voices)
    return model, codec


def known_of(found: Surveyed, codec: SatsCodec, training: TrainConfig) -> Known:
    """What a model must know of the data: tokens of its words, speakers at every speed."""
    units = {index for word in found.words for index in codec.encode_text(word)}
    speeds = sorted({s for stage in training.stages for s in stage.data.speeds})
    return Known(
        units=sorted(units - {codec.tokenizer.unk_token_id}),
        voices=[voice_name(speaker, speed) for speaker in found.speakers for speed in speeds],
    )


def train(
    manifests: Sequence[Path | str],
    preset: Preset,
    out: Path | str,
    *,
    stream: Stream | None = None,
    start: Path | str | None = None,
    report: Report | None = None,
) -> Trained:
    """Train a model, or go on with the run that is in the folder.

    Args:
        manifests: Folders or files with ``cuts.jsonl``, or one folder of shards.
        preset: What to train, and how.
        out: Folder to write; ``run/`` in it holds checkpoints and logs.
        stream: Sessions made on the fly, instead of manifests.
        start: Checkpoint whose weights, codec and layout training begins from; the preset's parts
            must be of its architecture (`talkover.model.start`).
        report: Told of progress.

    Raises:
        ConfigurationError: If the data cannot be used, or the folder holds another run.
    """
    out = Path(out)
    config = preset.training
    beginning = _Beginning(out=out, preset=preset, start=start)
    accelerator = make_accelerator(config)
    share = share_of(accelerator)
    skips = Skips()
    if stream is None and _is_sharded(manifests):
        stream = shard_stream(str(manifests[0]), config.seed)
    if stream is None:
        entries = read_entries(
            manifests,
            config.longest,
            skips,
            config.shortest,
            with_rows=any(stage.data.tasks for stage in config.stages),
            untranscribed=takes_untranscribed(config),
        )
        rows = [entry.row for entry in entries if entry.row is not None]
        texts = [text for row in rows for text in (row.instruction, row.target)]
        model, codec = beginning.model_of((e.session for e in entries), texts)
        collator = Collator(model, codec, vocabulary_of(codec))
        feed: Feed = ManifestFeed(
            entries,
            collator,
            seed=config.seed,
            buckets=resolve_buckets(config.buckets),
            share=share,
            num_workers=config.workers,
        )
    else:
        sample = (item.session for item in islice(stream(0, Share()), SAMPLE))
        untranscribed = takes_untranscribed(config)
        usable = (s for s in sample if check_session(s, untranscribed=untranscribed) is None)
        model, codec = beginning.model_of(usable)
        collator = Collator(model, codec, vocabulary_of(codec))
        feed = StreamFeed(
            stream,
            collator,
            seed=config.seed,
            longest=config.longest,
            shortest=config.shortest,
            share=share,
        )
    if accelerator.is_main_process:
        write_mark(out, beginning.mark)
    trainer = Trainer(model, codec, feed, config, out, accelerator=accelerator, report=report)
    trainer.progress.skips = skips
    trainer.resume()
    trained = trainer.run()
    assert trained is not None
    return replace(trained, notes=tuple(beginning.notes))


class _Beginning:
    """What a run begins with: the run in its folder, a checkpoint, or random weights."""

    def __init__(self, *, out: Path, preset: Preset, start: Path | str | None) -> None:
        self.out, self.start = out, start
        self.notes: list[str] = []
        self.parts = preset.parts
        if start is not None:
            self.parts, notes = started_parts(preset.parts, start)
            self.notes += notes
        self.mark = mark_of(start)
        self.training = preset.training

    def model_of(
        self, sessions: Iterable[Session], texts: Iterable[str] = ()
    ) -> tuple[SatsModel, SatsCodec]:
        """The model of the run in the folder, so that its tables stay, or a new one.

        Args:
            sessions: For words and speakers.
            texts: Of instruction rows, for a tokenizer of our own.
        """
        found = finished(self.out / CHECKPOINTS)
        if found:
            check_mark(self.out, self.mark)
            model, codec = load_model(found[-1])
            wanted = asked_parts(self.parts) if self.start is None else self.parts
            check_same(wanted, model.parts, found[-1])
            return model, codec
        surveyed = survey(sessions, self.parts.codec)
        surveyed = replace(surveyed, texts=tuple(sorted({*surveyed.texts, *texts})))
        if self.start is None:
            return make_model(Preset(parts=self.parts, training=self.training), surveyed)
        model, codec, notes = begin(
            self.start,
            self.parts,
            self.training,
            lambda codec: known_of(surveyed, codec, self.training),
        )
        self.notes += notes
        return model, codec


def check_same(wanted: Parts, found: Parts, folder: Path) -> None:
    """Refuse to go on with another model; what `build_model` filled in may be more than was asked.

    Args:
        wanted: As `asked_parts` gives them.
        found: Of the run.
        folder: Of the run's checkpoint.

    Raises:
        ConfigurationError: With the part that differs.
    """
    mine, other = wanted.plain(), found.plain()
    for name in PART_NAMES:
        if name != "tables" and not _is_within(mine[name], other[name]):
            raise ConfigurationError(
                f"{folder}: was made with another model.{name}: go on with the settings of that "
                "run, or choose another folder"
            )


def _is_within(wanted: Any, found: Any) -> bool:
    """Whether all that was asked for is there."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and _is_within(wanted[key], found[key]) for key in wanted)
    return bool(wanted == found)


def _is_sharded(manifests: Sequence[Path | str]) -> bool:
    """Whether the data are shards: a folder or URL with an index and no manifest."""
    if not manifests:
        raise ConfigurationError("nothing to train on: give manifests, shards or --simulate")
    first = str(manifests[0])
    is_shards = "://" in first or (Path(first) / "index.json").is_file()
    if is_shards and len(manifests) > 1:
        raise ConfigurationError("give one folder of shards, or manifests: not several shards")
    return is_shards


def shard_stream(where: str, seed: int) -> Stream:
    """Epochs of a folder of shards, each in its own order."""

    def epoch(number: int, share: Share) -> Iterable[SessionAudio]:
        dataset = ShardDataset(where, seed=seed, rank=share.rank, world_size=share.world_size)

        def begun(count: int) -> Iterable[SessionAudio]:
            dataset.set_epoch(number)
            dataset.position = dataset.after(dataset.position, count)
            return dataset

        return Startable(begun)

    return epoch


def with_training(preset: Preset, training: TrainConfig) -> Preset:
    """The preset, trained otherwise."""
    return Preset(parts=preset.parts, training=training)
