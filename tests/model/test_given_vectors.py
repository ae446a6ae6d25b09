"""Vectors of the manifest instead of sound: in training, in transcription, in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.io import SessionAudio, read_sessions
from talkover.model.cascade import Cascade
from talkover.model.codec import SatsCodec
from talkover.model.data.choice import Choice
from talkover.model.data.collate import Collator
from talkover.model.data.concatenate import Concatenation
from talkover.model.data.examples import Skips, Unusable, example_of
from talkover.model.data.feeds import ManifestFeed, StreamFeed, read_entries, shared
from talkover.model.data.given import FILE, Given, given_of
from talkover.model.encoders import EncoderConfig
from talkover.model.evaluate import evaluate
from talkover.model.inference.files import transcribe_files
from talkover.model.inference.recognize import Recognizer, Recording
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.presets import Preset
from talkover.model.run import train
from talkover.model.transcribe import Transcriber

WIDTH, RATE = 6, 25.0
ENCODER = EncoderConfig(kind="vectors", options={"width": WIDTH, "rate": RATE})


def table_of(seconds: float) -> np.ndarray:
    """Vectors whose first number is the middle of their time in seconds."""
    count = round(seconds * RATE)
    table = np.zeros((count, WIDTH), np.float32)
    table[:, 0] = (np.arange(count) + 0.5) / RATE
    return table


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    tone_items: list[SessionAudio],
    write_tones: Callable[..., Path],
) -> Path:
    """The tones with vectors of all sessions but the first; those of the second are too many."""
    made = write_tones(tmp_path_factory.mktemp("vectors") / "corpus", tone_items)
    tables = {
        item.session.audio.path: table_of(item.session.audio.duration) for item in tone_items[1:]
    }
    path = tone_items[1].session.audio.path
    tables[path] = np.concatenate([tables[path], tables[path]])
    save_file(tables, made / FILE)
    return made


@pytest.fixture
def heard(build: Callable[..., SatsModel]) -> SatsModel:
    return build(semantic=ENCODER)


@pytest.fixture
def form(heard: SatsModel) -> Given:
    found = given_of(heard)
    assert found is not None
    return found


def test_a_model_that_hears_takes_no_vectors(model: SatsModel, form: Given) -> None:
    assert given_of(model) is None
    assert (form.width, form.rate) == (WIDTH, RATE)


@settings(max_examples=60, deadline=None)
@given(
    seconds=st.floats(1.0, 60.0),
    start=st.floats(0.0, 1.0),
    share=st.floats(0.05, 1.0),
)
def test_a_stretch_has_the_vectors_of_its_time(
    heard_once: Given, seconds: float, start: float, share: float
) -> None:
    table = table_of(seconds)
    begin = start * (seconds - 0.5)
    length = max(0.25, share * (seconds - begin))
    samples = int(length * 16000)
    found = heard_once.cut(table, begin, samples)
    assert len(found) == heard_once.count(samples)
    inside = found[: max(1, int((seconds - begin) * RATE) - 1), 0]
    wanted = begin + (np.arange(len(inside)) + 0.5) / RATE
    assert np.abs(inside - np.minimum(wanted, table[-1, 0])).max() <= 0.51 / RATE


@pytest.fixture(scope="module")
def heard_once(build: Callable[..., SatsModel]) -> Given:
    found = given_of(build(semantic=ENCODER))
    assert found is not None
    return found


def test_files_that_do_not_fit_are_told(tmp_path: Path, form: Given) -> None:
    with pytest.raises(ManifestError, match=FILE):
        form.read(tmp_path, "a.wav", 1.0, count=3)
    bad = np.full((25, WIDTH), np.nan, np.float32)
    save_file({"wide": np.zeros((25, 9), np.float32), "bad": bad}, tmp_path / FILE)
    for name, fault in (("none", "no vectors"), ("wide", r"\[T, 6\]"), ("bad", "finite")):
        with pytest.raises(Unusable, match=fault):
            form.read(tmp_path, name, 1.0, count=3)


def test_training_and_evaluation_take_them_and_count_what_has_none(
    tmp_path: Path, small: Callable[..., Preset], folder: Path, tone_items: list[SessionAudio]
) -> None:
    preset = small(6)  # more than an epoch
    preset = replace(preset, parts=replace(preset.parts, semantic=ENCODER))
    done = train([folder], preset, tmp_path / "model")
    without, odd = tone_items[0].session, tone_items[1].session
    assert {id for ids in done.skips.ids.values() for id in ids} == {without.id, odd.id}
    assert done.skips.ids[f"no vectors in {FILE}"] == [without.id]
    result = evaluate(tmp_path / "model", [folder], bootstrap=0, metrics=["wer"], registration="no")
    assert set(result.model.failed) == {without.id, odd.id}
    assert "no vectors" in result.model.failed[without.id]
    assert f"{round(odd.audio.duration * RATE) * 2} vectors" in result.model.failed[odd.id]


def test_transcription_reads_them_beside_the_files(
    tmp_path: Path, small: Callable[..., Preset], folder: Path, tone_items: list[SessionAudio]
) -> None:
    preset = small(1)
    parts = replace(preset.parts, semantic=ENCODER)
    train([folder], replace(preset, parts=parts), tmp_path / "model")
    named = tmp_path / "audio"
    named.mkdir()
    tables = {}
    for item in tone_items[2:4]:
        path = folder / item.session.audio.path
        (named / path.name).write_bytes(path.read_bytes())
        tables[path.name] = table_of(item.session.audio.duration)
    (first, *_) = tables
    save_file({first: tables[first]}, named / FILE)
    done = transcribe_files([named], tmp_path / "model", tmp_path / "out", device="cpu")
    assert done.sessions == 1 and len(done.rejected) == 1
    assert "no vectors" in done.rejected[0].reason
    assert next(iter(read_sessions(tmp_path / "out"))).id == Path(first).stem


def test_pieces_get_their_own_vectors(heard: SatsModel, codec: SatsCodec) -> None:
    recognizer = Recognizer(Transcriber(heard, codec), window=2.0)
    samples = np.random.default_rng(0).standard_normal(5 * 16000).astype(np.float32)
    (course,) = [recognizer._course(Recording(id="a", samples=samples, vectors=table_of(5.0)))]
    assert len(course.queue) >= 3
    for piece in course.queue:
        example = recognizer._example(course, piece)
        assert example.vectors is not None
        begin = piece.start_sample / 16000
        assert abs(example.vectors[0, 0] - begin - 0.5 / RATE) <= 0.51 / RATE
    (found,) = recognizer.recognize([Recording(id="a", samples=samples)])
    assert found.is_failed and FILE in found.faults[0]
    with pytest.raises(ConfigurationError, match="given vectors"):
        Cascade(recognizer)


def test_joined_sessions_have_theirs_where_they_are_heard(
    heard: SatsModel, codec: SatsCodec, folder: Path
) -> None:
    entries = [e for e in read_entries([folder], 8.0, Skips()) if e.session.id > "s001"]
    collator = Collator(heard, codec, vocabulary_of(codec))
    feed = ManifestFeed(entries, collator, seed=0, buckets="plain")
    joining = Concatenation(max_speakers=3, longest=20.0)
    choice = Choice(seconds=20.0, concatenate=joining)
    batches = feed.batches(choice, 0)
    seen = 0
    for _ in range(4):
        batch = next(batches).batch
        assert batch is not None and batch.vectors is not None
        for row, id in enumerate(batch.ids):
            if "+" not in id:
                continue
            seen += 1
            times = batch.vectors[row, :, 0].numpy()
            second = np.flatnonzero(times == np.float32(0.5 / RATE))
            assert len(second) == id.count("+") + 1  # each begins anew, at its own zero
    assert seen > 0


def test_what_cannot_have_vectors_is_refused(
    heard: SatsModel, codec: SatsCodec, folder: Path, tone_items: list[SessionAudio]
) -> None:
    collator = Collator(heard, codec, vocabulary_of(codec))
    entries = read_entries([folder], 8.0, Skips())
    with pytest.raises(ConfigurationError, match="speeds"):
        ManifestFeed(entries, collator, seed=0, buckets="plain").epoch(Choice(speeds=(0.9, 1.0)), 0)
    stream = StreamFeed(shared(lambda: tone_items), collator, seed=0, longest=8.0)
    with pytest.raises(ConfigurationError, match="manifests"):
        next(stream.batches(Choice(), 0))
    with pytest.raises(ConfigurationError, match="came without"):
        collator([example_of(tone_items[0], codec, 16000)])
