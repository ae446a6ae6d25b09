"""Windows, examples and batches: cuts between turns, counted skips, the same order for a seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio, write_sessions
from talkover.manifests.shards import write_shards
from talkover.manifests.timeline import timeline_of
from talkover.model.codec import SatsCodec
from talkover.model.data.collate import Collator
from talkover.model.data.examples import (
    Skips,
    Unusable,
    example_of,
    faster,
    window_of,
    windows_of,
)
from talkover.model.data.feeds import (
    Choice,
    ManifestFeed,
    Share,
    StreamFeed,
    read_entries,
    shared,
)
from talkover.model.data.order import copies_of, plan_epoch
from talkover.model.data.windows import plan_windows
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.run import shard_stream

Make = Callable[..., SessionAudio]
RATE = 16000


def talk(make: Make, seed: int = 0, duration: float = 40.0, overlap: bool = False) -> SessionAudio:
    rng = np.random.default_rng(seed)
    turns, time = [], 0.3
    while time < duration - 2.0:
        words = ["wahid"] * int(rng.integers(1, 5))
        turns.append((f"p{rng.integers(3)}", round(time, 3), " ".join(words)))
        time += 0.25 * len(words) + float(rng.uniform(-0.4 if overlap else 0.05, 0.6))
    return make("long", turns, duration)


@pytest.mark.parametrize("seed", range(5))
def test_windows_cut_no_turn_where_there_is_a_pause(make_tones: Make, seed: int) -> None:
    item = talk(make_tones, seed)
    windows = plan_windows(timeline_of(item.session), longest=7.0)
    assert len(windows) > 4
    assert all(window.cuts == 0 for window in windows)
    turns = [row.id for row in item.session.supervisions]
    parts = [window_of(item, window) for window in windows]
    seen = [row.id for part in parts for row in part.session.supervisions]
    assert sorted(seen) == sorted(turns)


@pytest.mark.parametrize("overlap", [True, False])
def test_windows_cover_the_session_and_cut_no_word(make_tones: Make, overlap: bool) -> None:
    item = talk(make_tones, 3, overlap=overlap)
    windows = plan_windows(timeline_of(item.session), longest=5.0)
    assert windows[0].start_sample == 0
    ends = [w.start_sample + w.num_samples for w in windows]
    assert [w.start_sample for w in windows[1:]] == ends[:-1]
    assert ends[-1] == item.session.audio.num_samples
    assert all(w.num_samples <= 5.0 * RATE for w in windows)
    spans = [(w.start_sample, w.end_sample) for r in item.session.supervisions for w in r.words]
    hit = sum(start < end < stop for end in ends for start, stop in spans)
    assert hit == 0 or overlap


def test_a_short_session_is_one_window_of_itself(tone_items: list[SessionAudio]) -> None:
    item = tone_items[0]
    windows = windows_of(item.session, 30.0)
    assert len(windows) == 1
    assert window_of(item, windows[0]) is item


def test_a_window_has_its_own_clock_and_samples(make_tones: Make) -> None:
    item = talk(make_tones, 1)
    window = windows_of(item.session, 6.0)[2]
    part = window_of(item, window)
    assert part.samples.shape[1] == window.num_samples == part.session.audio.num_samples
    begin = window.start_sample / RATE
    originals = {row.id: row.start for row in item.session.supervisions}
    for row in part.session.supervisions:
        assert row.start == pytest.approx(originals[row.id] - begin)
    assert part.session.id == f"long-{window.start_sample}"


def test_playing_faster_moves_labels_with_the_sound(make_tones: Make) -> None:
    item = faster(make_tones("one", [("ana", 1.0, "wahid")], 3.0), 1.1)
    row = item.session.supervisions[0]
    assert row.start == pytest.approx(1.0 / 1.1, abs=1e-3)
    loud = np.abs(item.samples[0]) > 0.05
    assert np.flatnonzero(loud)[0] / RATE == pytest.approx(row.start, abs=0.01)
    assert item.samples.shape[1] == item.session.audio.num_samples


def spoiled(item: SessionAudio, **row: object) -> SessionAudio:
    first, *rest = item.session.supervisions
    rows = (first.model_copy(update=row), *rest)
    return replace(item, session=item.session.model_copy(update={"supervisions": rows}))


def faulty(make: Make) -> dict[str, SessionAudio]:
    """Sessions that cannot be learned from, by the reason that is told."""
    good = make("good", [("ana", 0.3, "wahid")], 2.0)
    nan = good.samples.copy()
    nan[0, 5000] = np.nan
    return {
        "speech without text": spoiled(
            good, text=None, words=None, word_samples=None, word_source=None
        ),
        "a turn reaches beyond the audio": spoiled(good, start_sample=31000, num_samples=9000),
        "not finite": replace(good, samples=nan),
        "silent": replace(good, samples=np.zeros_like(good.samples)),
    }


def test_what_cannot_be_learned_from_says_why(make_tones: Make, codec: SatsCodec) -> None:
    for reason, item in faulty(make_tones).items():
        with pytest.raises(Unusable, match=reason):
            example_of(item, codec, RATE)


def feed_of(model: SatsModel, codec: SatsCodec, items: Sequence[SessionAudio]) -> StreamFeed:
    collator = Collator(model, codec, vocabulary_of(codec))
    return StreamFeed(shared(lambda: items), collator, seed=0, longest=8.0, pool=4)


def test_bad_sessions_are_counted_with_their_ids_and_the_others_used(
    make_tones: Make, model: SatsModel, codec: SatsCodec
) -> None:
    good = make_tones("fine", [("ana", 0.3, "wahid")], 2.0)
    items = [good]
    for number, item in enumerate(faulty(make_tones).values()):
        session = item.session.model_copy(update={"id": f"bad{number}"})
        items.append(replace(item, session=session))
    items.append(make_tones("long", [("ana", 0.3, "wahid")], 60.0))
    skips = Skips()
    ids: set[str] = set()
    for handed in islice(feed_of(model, codec, items).batches(Choice(seconds=5.0), 0), 40):
        for name, reason in handed.skipped:
            skips.add(name, reason)
        ids |= set(handed.batch.ids if handed.batch else ())
    assert "fine" in ids and not any(name.startswith("bad") for name in ids)
    assert skips.total == 4
    assert any("bad0" in line and "speech without text" in line for line in skips.lines())


def test_audio_longer_than_the_context_is_told(
    make_tones: Make, build: Callable[..., SatsModel], codec: SatsCodec
) -> None:
    lm = build().parts.lm
    short = replace(lm, config={**lm.config, "max_position_embeddings": 20})
    model = build(lm=short)
    example = example_of(make_tones("one", [("ana", 0.3, "wahid")], 4.0), codec, RATE)
    with pytest.raises(Unusable, match="longer than the context of 20 positions"):
        Collator(model, codec, vocabulary_of(codec)).plan(example)


def test_a_stream_without_anything_usable_ends_with_an_error(
    make_tones: Make, model: SatsModel, codec: SatsCodec
) -> None:
    bad = list(faulty(make_tones).values())
    with pytest.raises(ConfigurationError, match="no session that can be used"):
        list(islice(feed_of(model, codec, bad).batches(Choice(), 0), 9))


def test_an_empty_batch_is_an_error(model: SatsModel, codec: SatsCodec) -> None:
    with pytest.raises(ValueError, match="at least one example"):
        Collator(model, codec, vocabulary_of(codec))([])


def test_manifests_without_a_usable_session_are_told(
    tmp_path: Path, make_tones: Make, write_tones: Callable[..., Path]
) -> None:
    bad = faulty(make_tones)["speech without text"]
    folder = write_tones(tmp_path / "bad", [bad])
    skips = Skips()
    with pytest.raises(ConfigurationError, match="speech without text: good"):
        read_entries([folder], 8.0, skips)


@given(
    durations=st.lists(st.floats(0.5, 20.0), min_size=1, max_size=40),
    buckets=st.sampled_from(["lhotse", "plain"]),
    seed=st.integers(0, 5),
)
def test_an_epoch_has_every_window_once_in_batches_that_fit(
    durations: list[float], buckets: str, seed: int
) -> None:
    plan = plan_epoch(
        durations,
        [1.0] * len(durations),
        seed=seed,
        epoch=0,
        seconds=25.0,
        buckets=buckets,  # type: ignore[arg-type]
    )
    assert sorted(i for batch in plan for i in batch) == list(range(len(durations)))
    padded = [len(batch) * max(durations[i] for i in batch) for batch in plan]
    assert buckets == "lhotse" or max(padded) <= 25.0 + 1e-6
    again = plan_epoch(
        durations, [1.0] * len(durations), seed=seed, epoch=0, seconds=25.0, buckets=buckets
    )  # type: ignore[arg-type]
    assert again == plan


@pytest.mark.parametrize("buckets", ["lhotse", "plain"])
def test_like_lengths_share_a_batch_and_epochs_differ(buckets: str) -> None:
    rng = np.random.default_rng(0)
    durations = rng.uniform(2.0, 20.0, 400).tolist()
    options = {"seed": 0, "seconds": 60.0, "buckets": buckets}
    plan = plan_epoch(durations, [1.0] * 400, epoch=0, **options)  # type: ignore[arg-type]
    wide = np.mean([np.ptp([durations[i] for i in batch]) for batch in plan])
    assert wide < 4.0  # of 18 s; unsorted batches of 5 would have about 12
    assert plan != plan_epoch(durations, [1.0] * 400, epoch=1, **options)  # type: ignore[arg-type]


def test_weights_are_expected_numbers_of_copies() -> None:
    counts = np.array([copies_of([0.0, 0.25, 1.0, 2.5], 0, epoch) for epoch in range(400)])
    assert counts.mean(0) == pytest.approx([0.0, 0.25, 1.0, 2.5], abs=0.08)
    with pytest.raises(ConfigurationError, match="every weight is 0"):
        plan_epoch([1.0], [0.0], seed=0, epoch=0, seconds=9.0, buckets="plain")


def manifest_feed(
    folder: Path, model: SatsModel, codec: SatsCodec, **options: object
) -> ManifestFeed:
    entries = read_entries([folder], 8.0, Skips())
    collator = Collator(model, codec, vocabulary_of(codec))
    return ManifestFeed(entries, collator, seed=0, buckets="plain", **options)  # type: ignore[arg-type]


def ids_of(feed: ManifestFeed | StreamFeed, choice: Choice, start: int, count: int) -> list[tuple]:
    return [h.batch.ids for h in islice(feed.batches(choice, start), count) if h.batch]


def test_a_feed_goes_on_at_any_batch_and_ranks_take_turns(
    tone_folder: Path, model: SatsModel, codec: SatsCodec
) -> None:
    choice = Choice(seconds=9.0, speeds=(0.9, 1.0))
    whole = ids_of(manifest_feed(tone_folder, model, codec), choice, 0, 12)
    assert ids_of(manifest_feed(tone_folder, model, codec), choice, 5, 7) == whole[5:]
    ranks = [
        ids_of(
            manifest_feed(tone_folder, model, codec, share=Share(rank=rank, world_size=2)),
            choice,
            1,
            5,
        )
        for rank in range(2)
    ]
    assert [one for pair in zip(*ranks, strict=True) for one in pair] == whole[2:12]


def test_workers_change_nothing(tone_folder: Path, model: SatsModel, codec: SatsCodec) -> None:
    choice = Choice(seconds=9.0)
    alone = ids_of(manifest_feed(tone_folder, model, codec), choice, 0, 6)
    assert ids_of(manifest_feed(tone_folder, model, codec, num_workers=1), choice, 0, 6) == alone


def test_a_stage_may_take_sessions_of_some_numbers_of_talkers(
    tone_folder: Path, model: SatsModel, codec: SatsCodec
) -> None:
    feed = manifest_feed(tone_folder, model, codec)
    talkers = {entry.session.id: entry.talkers for entry in feed.entries}
    assert set(talkers.values()) == {1, 2}
    found = ids_of(feed, Choice(seconds=9.0, talkers={"1": 1.0}), 0, 8)
    assert {talkers[name] for batch in found for name in batch} == {1}


def test_shards_are_a_stream_of_the_same_sessions(
    tmp_path: Path, tone_folder: Path, model: SatsModel, codec: SatsCodec
) -> None:
    from talkover.manifests.audio import file_sha256, pcm_sha256
    from talkover.manifests.io import read_sessions

    sessions = []
    for session in read_sessions(tone_folder):
        file = tone_folder / session.audio.path
        hashes = {"sha256": file_sha256(file), "pcm_sha256": pcm_sha256(file)}
        sessions.append(
            session.model_copy(update={"audio": session.audio.model_copy(update=hashes)})
        )
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "audio").symlink_to(tone_folder / "audio")
    write_sessions(corpus / "cuts.jsonl", sessions)
    write_shards(corpus, tmp_path / "shards", format="webdataset", shard_size=5)
    collator = Collator(model, codec, vocabulary_of(codec))
    feed = StreamFeed(
        shard_stream(str(tmp_path / "shards"), 0), collator, seed=0, longest=8.0, pool=12
    )
    batches = ids_of(feed, Choice(seconds=9.0), 0, 20)
    counts = Counter(name for batch in batches for name in batch)
    assert set(counts) == {session.id for session in sessions}
    assert ids_of(feed, Choice(seconds=9.0), 3, 17) == batches[3:]
