"""Streams go on where they stood, without making again what was read before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.io import SessionAudio
from talkover.model.codec import SatsCodec
from talkover.model.data.choice import Handed
from talkover.model.data.collate import Collator
from talkover.model.data.concatenate import Concatenation
from talkover.model.data.examples import Skips
from talkover.model.data.feeds import Choice, ManifestFeed, StreamFeed, read_entries
from talkover.model.data.order import within
from talkover.model.data.stream import Startable, Stream, after
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.presets import Preset
from talkover.model.run import Surveyed, make_model
from talkover.model.train import LOG, Trainer

POOL = 3


class Counting:
    """A stream of some sessions that says which of them were made."""

    def __init__(self, items: list[SessionAudio]) -> None:
        self.items, self.made = items, 0

    def stream(self) -> Stream:
        return lambda epoch, share: Startable(self._from)

    def _from(self, count: int) -> Iterator[SessionAudio]:
        for item in self.items[count:]:
            self.made += 1
            yield item


def feed_of(stream: Stream, model: SatsModel, codec: SatsCodec) -> StreamFeed:
    collator = Collator(model, codec, vocabulary_of(codec))
    return StreamFeed(stream, collator, seed=0, longest=8.0, pool=POOL)


def taken(found: Iterable[Handed], count: int) -> list[Handed]:
    return list(islice(found, count))


def same(one: Handed, other: Handed) -> bool:
    if one.batch is None or other.batch is None:
        return one.batch is other.batch and one.skipped == other.skipped
    return one.batch.ids == other.batch.ids and torch.equal(one.batch.audio, other.batch.audio)


@pytest.mark.parametrize(
    "choice",
    [
        Choice(seconds=5.0),
        Choice(seconds=5.0, speeds=(0.9, 1.1), salt=2),
        Choice(seconds=9.0, tokens=120),
        Choice(seconds=12.0, concatenate=Concatenation(max_speakers=3, longest=9.0)),
    ],
)
def test_a_stream_goes_on_at_its_mark_unread(
    choice: Choice, model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    source = Counting(tone_items)
    whole = taken(feed_of(source.stream(), model, codec).batches(choice, 0), 20)
    for start in (1, 4, 9, 14):
        first = feed_of(Counting(tone_items).stream(), model, codec)
        taken(first.batches(choice, 0), start)
        mark = first.mark()
        assert mark is not None and mark["batch"] < start
        again = Counting(tone_items)
        second = feed_of(again.stream(), model, codec)
        found = taken(second.batches(choice, start, mark), 2)
        assert all(map(same, found, whole[start : start + 2]))
        assert again.made <= 3 * POOL, "what lies before the mark was made again"
        plain = feed_of(Counting(tone_items).stream(), model, codec)
        assert all(map(same, taken(plain.batches(choice, start), 2), whole[start : start + 2]))


def test_a_run_from_a_stream_goes_on_with_the_same_losses_unread(
    tmp_path: Path,
    small: Callable[..., Preset],
    surveyed: Surveyed,
    tone_items: list[SessionAudio],
) -> None:
    base = small()
    stage = replace(base.training.stages[0], steps=7, data=Choice(seconds=5.0, speeds=(0.9, 1.0)))
    preset = small(stages=(stage,), save_every=1)

    def trainer(out: str, source: Counting) -> Trainer:
        model, codec = make_model(preset, surveyed)
        feed = feed_of(source.stream(), model, codec)
        made = Trainer(model, codec, feed, preset.training, tmp_path / out)
        made.resume()
        return made

    trainer("whole", Counting(tone_items)).run()
    assert trainer("killed", Counting(tone_items)).run(stop_after=5) is None
    again = Counting(tone_items)
    trainer("killed", again).run()
    lines = [(tmp_path / out / LOG).read_text() for out in ("whole", "killed")]
    found = [[json.loads(line)["losses"] for line in text.splitlines()] for text in lines]
    assert len(found[0]) == 7 and found[0] == found[1]
    assert again.made <= 3 * POOL


def test_a_mark_behind_the_start_is_an_error(
    model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    feed = feed_of(Counting(tone_items).stream(), model, codec)
    with pytest.raises(ValueError, match="the mark is of batch 5"):
        next(feed.batches(Choice(), 2, {"batch": 5, "epoch": 0, "pool": 1}))


def test_a_stream_that_cannot_skip_is_read_again(tone_items: list[SessionAudio]) -> None:
    left = [item.session.id for item in after(tone_items, 4)]
    assert left == [item.session.id for item in tone_items[4:]]


def test_a_batch_has_no_more_positions_than_allowed(
    tone_folder: Path, model: SatsModel, codec: SatsCodec
) -> None:
    collator = Collator(model, codec, vocabulary_of(codec))
    entries = read_entries([tone_folder], 8.0, Skips())
    feed = ManifestFeed(entries, collator, seed=0, buckets="plain")
    free = taken(feed.batches(Choice(seconds=30.0), 0), 4)
    bound = taken(feed.batches(Choice(seconds=30.0, tokens=150), 0), 12)
    sizes = [h.batch.input_ids.shape for h in bound if h.batch is not None]
    assert all(rows == 1 or rows * length <= 150 for rows, length in sizes)
    assert any(rows > 1 for rows, _ in sizes)
    assert max(h.batch.input_ids.numel() for h in free if h.batch is not None) > 150


@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=30),
    tokens=st.integers(1, 120),
    size=st.integers(1, 9),
)
@settings(max_examples=50)
def test_cut_batches_hold_everything_once_and_fit(
    lengths: list[int], tokens: int, size: int
) -> None:
    numbers = list(range(len(lengths)))
    batches = [numbers[at : at + size] for at in range(0, len(numbers), size)]
    found = within(batches, lengths, tokens)
    assert sorted(index for batch in found for index in batch) == numbers
    for batch in found:
        assert batch
        longest = max(lengths[index] for index in batch)
        assert len(batch) == 1 or len(batch) * longest <= tokens


def test_a_stage_may_cut_windows_of_its_own(
    tmp_path: Path,
    model: SatsModel,
    codec: SatsCodec,
    make_tones: Callable[..., SessionAudio],
    write_tones: Callable[..., Path],
) -> None:
    turns = [(name, 0.5 + 1.5 * n, "wahid ithnan") for n, name in enumerate(["ana", "bo"] * 5)]
    item = make_tones("long", turns, 16.0)
    folder = write_tones(tmp_path / "corpus", [item])
    collator = Collator(model, codec, vocabulary_of(codec))
    entries = read_entries([folder], 8.0, Skips())
    feed = ManifestFeed(entries, collator, seed=0, buckets="plain")
    for windows, longest in (((2.0, 4.0), 4.0), ((1.0, 6.0), 6.0)):
        choice = Choice(seconds=20.0, windows=windows)
        epoch = feed.epoch(choice, 0)
        handed = taken(feed.batches(choice, 0), len(epoch))
        durations = [d for h in handed if h.batch is not None for d in h.batch.durations]
        assert sum(durations) == pytest.approx(16.0)
        assert max(durations) <= longest
        assert sum(d < windows[0] for d in durations) <= 1
    stream = StreamFeed(lambda epoch, share: [item], collator, seed=0, longest=8.0)
    handed = taken(stream.batches(Choice(seconds=20.0, windows=(2.0, 4.0)), 0), 1)
    assert handed[0].batch is not None and max(handed[0].batch.durations) <= 4.0


def test_what_cannot_be_laid_out_is_skipped_also_where_positions_are_counted(
    tmp_path: Path,
    build: Callable[..., SatsModel],
    codec: SatsCodec,
    make_tones: Callable[..., SessionAudio],
    write_tones: Callable[..., Path],
) -> None:
    lm = build().parts.lm
    short = build(lm=replace(lm, config={**lm.config, "max_position_embeddings": 60}))
    items = [
        make_tones("fine", [("ana", 0.3, "wahid")], 2.0),
        make_tones("long", [("ana", 0.3, "wahid")], 7.0),
    ]
    folder = write_tones(tmp_path / "corpus", items)
    collator = Collator(short, codec, vocabulary_of(codec))
    entries = read_entries([folder], 8.0, Skips())
    feed = ManifestFeed(entries, collator, seed=0, buckets="plain")
    handed = taken(feed.batches(Choice(seconds=20.0, tokens=200), 0), 4)
    skipped = [note for h in handed for note in h.skipped]
    assert {name for name, _ in skipped} == {"long"}
    assert all("longer than the context of 60" in reason for _, reason in skipped)
    assert {name for h in handed if h.batch is not None for name in h.batch.ids} == {"fine"}
