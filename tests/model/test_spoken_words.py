"""Words with their times in batches, sessions without text, and what voices make of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from talkover.manifests.io import SessionAudio
from talkover.model.build import vocabulary_of
from talkover.model.codec import SatsCodec
from talkover.model.config import CueConfig
from talkover.model.cues import Beginnings, Cues
from talkover.model.data.collate import NOBODY, Collator
from talkover.model.data.entries import read_entries
from talkover.model.data.examples import Skips, example_of, words_of
from talkover.model.data.feeds import Choice, ManifestFeed
from talkover.model.layout import IGNORED, LayoutConfig
from talkover.model.modeling import SatsModel
from talkover.model.voices.model import VoiceConfig

Build = Callable[..., SatsModel]
Write = Callable[..., Path]
VOICED = {
    "speaker": None,
    "layout": LayoutConfig(marker="seconds", marker_style="atomic"),
    "voices": VoiceConfig(directions=4),
    "cues": CueConfig(words=True, speakers=True, times=True, ends=True),
}


def without_text(item: SessionAudio, *, words: bool = False) -> SessionAudio:
    """The session with its words, or also its text, forgotten."""
    rows = tuple(
        row.model_copy(update={"words": ()} if words else {"words": (), "text": None})
        for row in item.session.supervisions
    )
    session = item.session.model_copy(update={"supervisions": rows, "id": f"x{item.session.id}"})
    return SessionAudio(session=session, samples=item.samples, sampling_rate=item.sampling_rate)


def collator_of(model: SatsModel, codec: SatsCodec) -> Collator:
    return Collator(model, codec, vocabulary_of(codec))


def examples_of(items: Sequence[SessionAudio], codec: SatsCodec) -> list:
    return [example_of(item, codec, 16000, untranscribed=True) for item in items]


def test_words_are_those_of_the_labels_in_order(tone_items: list[SessionAudio]) -> None:
    for item in tone_items:
        words = words_of(item.session)
        labelled = [w for row in item.session.supervisions for w in row.words]
        assert len(words) == len(labelled) > 0
        assert sorted((w.start, w.text) for w in words) == sorted(
            (w.start, w.symbol) for w in labelled
        )
        assert [w.start for w in words] == sorted(w.start for w in words)


def test_without_word_times_one_word_is_the_supervision_and_more_are_unknown(
    make_tones: Callable[..., SessionAudio],
) -> None:
    item = make_tones("w", [("ana", 0.2, "wahid"), ("bo", 0.6, "ithnan arbaa")], 2.0)
    words = words_of(without_text(item, words=True).session)
    assert [(w.speaker, w.text) for w in words] == [("ana", "wahid"), ("bo", None)]


def test_onsets_stand_where_words_begin(
    build: Build, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    model = build(**VOICED)
    batch = collator_of(model, codec)(examples_of(tone_items[:3], codec))
    classes = {unit: place for place, unit in enumerate(model.parts.tables.units, start=1)}
    for row, item in enumerate(tone_items[:3]):
        for word in words_of(item.session):
            kind = classes[codec.encode_text(word.text or "")[0]]
            frame = round(word.start * model.semantic.rate_hz)
            assert int(batch.onsets[row, frame]) == kind
        spans = words_of(item.session)
        assert int((batch.span_speakers[row] != NOBODY).sum()) == len(spans)
        kinds = [classes[codec.encode_text(word.text or "")[0]] for word in spans]
        assert batch.span_kinds[row, : len(spans)].tolist() == kinds
        assert batch.spans[row, 0].tolist() == pytest.approx([spans[0].start, spans[0].end])


def test_a_session_without_text_counts_for_voices_alone(
    build: Build, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    model = build(**VOICED).train()
    items = [tone_items[0], without_text(tone_items[1])]
    batch = collator_of(model, codec)(examples_of(items, codec))
    assert bool((batch.labels[0] != IGNORED).any())
    assert not bool((batch.labels[1] != IGNORED).any())
    assert not bool((batch.onsets[1] != IGNORED).any()) and int(batch.num_units[1]) == 0
    assert bool((batch.span_voices[1] >= 0).any())
    losses = ("answer", "ctc", "onsets", "durations", "voices")
    output = model(batch, losses)
    counts = model.counts(batch)
    for name in losses:
        assert int(output.losses[name].weight) == counts[name] > 0
    sum(loss.total for loss in output.losses.values()).backward()
    assert model.voices is not None
    heard = {
        model.parts.tables.voices.index(v.speaker)
        for e in examples_of(items, codec)
        for v in e.voices
        if v.speaker in model.parts.tables.voices
    }
    assert {int(v) for v in model.voices.counts.sum(1).nonzero()} == heard


def test_voices_are_observed_in_training_alone(
    build: Build, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    model = build(**VOICED).eval()
    batch = collator_of(model, codec)(examples_of(tone_items[:2], codec))
    model(batch, ("voices", "onsets"))
    assert model.voices is not None and float(model.voices.counts.sum()) == 0


def test_a_stage_draws_sessions_without_text_only_if_it_asks(
    tmp_path: Path,
    build: Build,
    codec: SatsCodec,
    tone_items: list[SessionAudio],
    write_tones: Write,
) -> None:
    items = [*tone_items[:3], *(without_text(item) for item in tone_items[3:5])]
    folder = write_tones(tmp_path / "mixed", items)
    skips = Skips()
    assert len(read_entries([folder], 8.0, skips)) == 3
    assert skips.reasons == {"speech without text": 2}
    entries = read_entries([folder], 8.0, Skips(), untranscribed=True)
    assert [entry.is_transcribed for entry in entries] == [True] * 3 + [False] * 2
    feed = ManifestFeed(entries, collator_of(build(**VOICED), codec), seed=0, buckets="plain")
    plain = feed.epoch(Choice(seconds=9.0), 0)
    everything = feed.epoch(Choice(seconds=9.0, untranscribed=True), 0)
    assert sum(map(len, plain)) == 3 and sum(map(len, everything)) == 5
    handed = next(feed.batches(Choice(seconds=99.0, untranscribed=True), 0))
    assert handed.batch is not None and not handed.skipped


def test_speakers_and_ends_are_told_where_words_begin() -> None:
    torch.manual_seed(0)
    cues = Cues(
        units=(),
        speakers=(7, 8),
        times=tuple(range(10, 30)),
        steps_per_second=10,
        width=6,
        has_ends=True,
    )
    cues.gains.data[2] = 0.0
    table = torch.randn(40, 6)
    speakers = torch.zeros(1, 5, 2)
    speakers[0, 3, 1] = 1
    starts, ends, before = (torch.full((1, 5), -1.0) for _ in range(3))
    starts[0, 3], ends[0, 3], before[0, 3] = 0.28, 0.62, 0.11
    is_last = torch.tensor([[False, False, False, True, False]])
    begun = Beginnings(speakers=speakers, starts=starts, ends=ends, before=before, is_last=is_last)
    told = cues(table, 12.5, 5, None, torch.randn(1, 5, 2), begun)
    assert cues.ends is not None and cues.before is not None
    expected = table[8] + table[10 + 3] + cues.ends.weight @ table[10 + 6]
    expected = expected + cues.before.weight @ table[10 + 1] + cues.marks[1]
    torch.testing.assert_close(told[0, 3], expected)
    before[0, 3] = -1.0
    first = cues(table, 12.5, 5, None, None, begun)[0, 3]
    torch.testing.assert_close(first, expected - cues.before.weight @ table[10 + 1] + cues.marks[0])
    assert not bool(told[0, [0, 1, 2, 4]].any())


def test_a_voiced_model_survives_its_checkpoint(
    tmp_path: Path, build: Build, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    from talkover.model.checkpoints import load_model, save_model

    model = build(**VOICED).train()
    batch = collator_of(model, codec)(examples_of(tone_items, codec))
    model(batch, ("voices", "onsets"))
    model.eval()
    save_model(model, codec, tmp_path / "kept")
    again, _ = load_model(tmp_path / "kept")
    again.eval()
    for name, buffer in model.named_buffers():
        torch.testing.assert_close(buffer, dict(again.named_buffers())[name])
    with torch.no_grad():
        torch.testing.assert_close(
            model(batch, ("answer",)).logits, again(batch, ("answer",)).logits
        )


def test_speaker_cues_need_a_source(model: SatsModel) -> None:
    with pytest.raises(ValueError, match=r"cues\.speakers needs a speaker encoder or voices"):
        replace(model.parts, speaker=None, voices=None, layout=LayoutConfig())
