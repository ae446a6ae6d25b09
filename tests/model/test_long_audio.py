"""Long recordings: windows, chunks, guards, words with times, speakers carried over pieces."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.manifests.serialize import Turn
from talkover.model.codec import SatsCodec
from talkover.model.config import CueConfig
from talkover.model.data.examples import Example, example_of
from talkover.model.decoding import GrammarProcessor, grammar_of
from talkover.model.decoding.loops import looped, token_loop, turn_loop
from talkover.model.features import LogMel
from talkover.model.hearing import HearOptions, encode, hear
from talkover.model.inference.alignment import align, best_path
from talkover.model.inference.clustering import calibrated, cluster
from talkover.model.inference.course import merged
from talkover.model.inference.pieces import plan_pieces
from talkover.model.inference.recognize import LinkOptions, Recognizer, Recording
from talkover.model.inference.spoken import Spoken, between, shared_out
from talkover.model.inference.voices import alone, clean_speech, linked
from talkover.model.layout import Kind, LayoutConfig
from talkover.model.modeling import SatsModel
from talkover.model.prefill import LONGEST_EAGER, check_attention, prefill
from talkover.model.reading import Reader
from talkover.model.transcribe import Answer, DecodeOptions, Transcriber
from talkover.model.writing import Pen, write

RATE = 16000


# ---- prefill and writing


@pytest.fixture
def padded() -> tuple[torch.Tensor, torch.Tensor]:
    """Three rows of embeddings, of which two are padded on the left."""
    embedded = torch.randn(3, 50, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(3, 50, dtype=torch.long)
    mask[1, :20] = mask[2, :33] = 0
    return embedded, mask


@pytest.mark.parametrize("chunk", [1, 7, 50, 99])
def test_a_prefill_in_chunks_gives_the_logits_of_one_pass(
    model: SatsModel, padded: tuple[torch.Tensor, torch.Tensor], chunk: int
) -> None:
    embedded, mask = padded
    with torch.no_grad():
        whole = model.lm(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        ).logits[:, -1]
    read = prefill(model.lm, embedded, mask, chunk=chunk)
    assert torch.allclose(read.logits, whole, atol=1e-4)
    assert read.logits.shape == (3, model.lm.config.vocab_size)
    assert read.cache.get_seq_length() == 50


def test_writing_equals_generate_and_rows_do_not_depend_on_their_neighbours(
    model: SatsModel, padded: tuple[torch.Tensor, torch.Tensor]
) -> None:
    embedded, mask = padded
    ids = model.lm.generate(
        inputs_embeds=embedded,
        attention_mask=mask,
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=1,
        pad_token_id=0,
    ).tolist()
    pens = [Pen(budget=12, end_id=1) for _ in range(3)]
    events = list(write(model.lm, prefill(model.lm, embedded, mask, chunk=9), pens))
    for row, pen in zip(ids, pens, strict=True):
        assert pen.ids == row[: len(pen.ids)] and len(pen.ids) > 0
    assert [token for row, token in events if row == 1] == pens[1].ids
    short = [Pen(budget=budget, end_id=1) for budget in (3, 12, 7)]
    list(write(model.lm, prefill(model.lm, embedded, mask), short))
    for pen, whole in zip(short, pens, strict=True):
        assert pen.ids == whole.ids[: pen.budget]


def test_answers_are_those_of_generate_under_the_same_grammar(
    model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    transcriber = Transcriber(model, codec, DecodeOptions(retries=(), prefill_chunk=13))
    examples = [example_of(item, codec, RATE) for item in tone_items[:3]]
    answers = transcriber.answers(examples)
    for example, answer in zip(examples, answers, strict=True):
        batch = transcriber.collator([example], with_answer=False)
        budget = min(
            transcriber.budget(example.duration),
            512 - int((batch.kinds != int(Kind.PAD)).sum()),
        )
        processor = GrammarProcessor(
            [grammar_of(codec.config, example.duration)],
            transcriber.trie,
            end_id=codec.end_id,
            pad_id=codec.pad_id,
            budget=budget,
        )
        ids = model.generate(
            batch,
            max_new_tokens=budget,
            do_sample=False,
            logits_processor=[processor],
            eos_token_id=codec.end_id,
            pad_token_id=codec.pad_id,
        )
        text = codec.decode(ids[0].tolist())
        assert text.startswith(answer.text) if answer.is_looped else text == answer.text


def test_a_stream_hands_out_the_turns_of_the_answer(
    model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    transcriber = Transcriber(model, codec, DecodeOptions(retries=()))
    example = example_of(tone_items[0], codec, RATE)
    turns: list[Turn] = []
    stream = transcriber.stream(example)
    while True:
        try:
            turns.append(next(stream))
        except StopIteration as end:
            answer = end.value
            break
    (whole,) = transcriber.answers([example])
    assert answer == whole
    assert turns[: len(whole.parsed.transcript.turns)] == list(whole.parsed.transcript.turns)


def test_eager_attention_is_refused_beyond_8k(model: SatsModel) -> None:
    parts = model.parts
    check_attention(parts, 10**6)
    eager = replace(parts, lm=replace(parts.lm, attention="eager"))
    check_attention(eager, LONGEST_EAGER)
    with pytest.raises(ConfigurationError, match="eager"):
        check_attention(eager, LONGEST_EAGER + 1)


def test_only_rows_with_labels_get_logits(
    model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    batch = Transcriber(model, codec).collator([example_of(tone_items[0], codec, RATE)])
    logits = model(batch, losses=("answer",)).logits
    assert logits is not None and logits.shape[1] == int((batch.labels != -100).sum())
    assert logits.shape[1] < batch.labels.shape[1] / 2


# ---- hearing


def test_features_in_blocks_are_those_of_one_pass(
    model: SatsModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_mel: LogMel = model.features
    audio = torch.randn(2, 3 * RATE, generator=torch.Generator().manual_seed(0))
    count = torch.tensor([3 * RATE, 2 * RATE + 77])
    whole, lengths = log_mel(audio, count)
    monkeypatch.setattr("talkover.model.features.BLOCK_FRAMES", 37)
    blocks, same = log_mel(audio, count)
    assert torch.allclose(whole, blocks, atol=1e-5) and torch.equal(lengths, same)


def test_windows_give_what_one_pass_gives_where_the_encoder_sees_less_than_the_overlap(
    build: Callable[..., SatsModel],
) -> None:
    from talkover.model.encoders import EncoderConfig

    local = EncoderConfig(
        kind="conv_transformer",
        options={"width": 16, "channels": [4, 8], "layers": 2, "attention": [], "taps": [0]},
    )
    encoder = build(semantic=local).semantic
    features = torch.randn(2, 1213, 80, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([1213, 777])
    with torch.no_grad():
        whole = encoder(features, lengths)
        options = HearOptions(longest=3.0, window=3.0, overlap=1.0)
        parts = encode(encoder, features, lengths, 100.0, options)
    assert torch.equal(whole.lengths, parts.lengths)
    assert torch.allclose(whole.hidden, parts.hidden, atol=1e-4)
    assert torch.allclose(whole.taps[0], parts.taps[0], atol=1e-4)


def test_long_audio_has_as_many_vectors_as_the_layout_says(model: SatsModel) -> None:
    audio = torch.randn(1, 11 * RATE + 123, generator=torch.Generator().manual_seed(0))
    options = HearOptions(longest=4.0, window=4.0, overlap=1.0)
    heard = hear(model, audio, torch.tensor([audio.shape[1]]), options)
    streams = model.streams(audio.shape[1])
    assert heard.semantic.shape[1] >= streams.semantic
    assert int(heard.encoded.lengths[0]) == model.unit_frames(audio.shape[1])
    assert bool(torch.isfinite(heard.semantic).all())


# ---- loops


def test_loops_are_seen_and_what_people_repeat_is_none() -> None:
    assert token_loop([5, 6, 7] * 30) == 3
    assert token_loop(list(range(40)) + [5, 6] * 24 + [5]) == 42
    assert token_loop([5] * 20) is None and token_loop(list(range(200))) is None
    again = [Turn(speaker="S01", text="yes", start=float(n), end=n + 1.0) for n in range(9)]
    assert turn_loop(again[:4]) is None
    assert turn_loop(again) == 1
    talk = [Turn(speaker=f"S0{n % 2 + 1}", text=f"{n}", start=0.0, end=1.0) for n in range(50)]
    assert turn_loop(talk) is None


@given(
    st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), min_size=1, max_size=4)
)
def test_what_is_kept_before_a_loop_says_the_phrase_once(
    head: list[int], phrase: list[int]
) -> None:
    items = head + phrase * 12
    place = looped(items, longest=4, least=8)
    assert place is not None and place <= len(head) + len(phrase)
    size = min(
        p
        for p in range(1, 5)
        if items[place:] == (items[place - p : place] * 99)[: len(items) - place]
    )
    assert size <= len(phrase)


def test_a_reader_stops_at_loops_whose_times_go_on(codec: SatsCodec) -> None:
    text = "".join(f"[{n / 10:.1f}][S01]wahid[{n / 10 + 0.1:.1f}]" for n in range(1, 30))
    reader = Reader(codec)
    turns = []
    for token in codec.encode_text(text):
        turns += reader.read(token)
        if reader.is_looped:
            break
    assert reader.is_looped and reader.kept == 1 and 8 <= len(turns) < 29


class Looping(Transcriber):
    """A model that loops until it is asked with enough chance, or in a rest of the audio."""

    def __init__(self, model: SatsModel, codec: SatsCodec, heals_at: float) -> None:
        super().__init__(model, codec)
        self.heals_at = heals_at
        self.asked: list[tuple[float, float]] = []

    def _attempt(
        self, examples: Sequence[Example], places: Sequence[int], temperature: float
    ) -> dict[int, Answer]:
        found = {}
        for place in places:
            example = examples[place]
            self.asked.append((example.duration, temperature))
            is_looped = temperature < self.heals_at and example.duration > 3.0
            text = "[0.5][S01]wahid[1.2][1.0][S02]arbaa[2.0]"
            found[place] = Answer(
                id=example.id,
                text=text,
                parsed=self.codec.parse(text),
                num_tokens=8,
                is_truncated=False,
                is_looped=is_looped,
                temperature=temperature,
                duration=example.duration,
            )
        return found


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(int(seconds * RATE))).astype(np.float32)


def test_the_ladder_ends_with_the_first_attempt_that_does_not_loop(
    model: SatsModel, codec: SatsCodec
) -> None:
    looping = Looping(model, codec, heals_at=0.3)
    (heard,) = Recognizer(looping).recognize([Recording(id="a", samples=noise(5.0))])
    assert [temperature for _, temperature in looping.asked] == [0.0, 0.2, 0.3]
    assert (heard.num_looped, heard.num_continued, heard.num_pieces) == (0, 0, 1)
    assert heard.coverage == pytest.approx(0.4)


def test_the_rest_behind_a_loop_is_heard_anew_from_the_last_complete_turn(
    model: SatsModel, codec: SatsCodec
) -> None:
    looping = Looping(model, codec, heals_at=9.0)
    (heard,) = Recognizer(looping).recognize([Recording(id="a", samples=noise(5.0))])
    assert [duration for duration, _ in looping.asked] == [5.0] * 4 + [3.0]
    assert (heard.num_looped, heard.num_continued, heard.num_pieces) == (0, 1, 2)
    assert sorted({s.start for s in heard.spoken}) == pytest.approx([0.5, 1.0, 2.5, 3.0])
    assert {s.chunk for s in heard.spoken} == {0, 1}
    assert {s.chunk_speaker for s in heard.spoken} == {"S01", "S02"}


# ---- words


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 7))
def test_the_path_is_the_best_of_all(seed: int, num_units: int, num_frames: int) -> None:
    rng = np.random.default_rng(seed)
    frames = np.log(rng.dirichlet(np.ones(4), num_frames)).astype(np.float32)
    units = rng.integers(1, 4, num_units).tolist()
    best = -np.inf
    for path in itertools.product(range(4), repeat=num_frames):
        said = [u for u, last in zip(path, (0, *path), strict=False) if u != 0 and u != last]
        if said == units:
            best = max(best, float(sum(frames[t, u] for t, u in enumerate(path))))
    found = best_path(frames, units)
    if found is None:
        assert best == -np.inf
        return
    labels = [0 if s % 2 == 0 else units[s // 2] for s in found]
    assert sum(frames[t, u] for t, u in enumerate(labels)) == pytest.approx(best, rel=1e-5)
    places = align(frames, units)
    assert places is not None and all(b > a for a, b in itertools.pairwise(places))


words = st.lists(st.text("abcde", min_size=1, max_size=6), min_size=1, max_size=8)


@given(words, st.floats(0, 100), st.floats(0.05, 20), st.data())
def test_words_are_side_by_side_inside_their_turn(
    said: list[str], start: float, length: float, data: st.DataObject
) -> None:
    middles = data.draw(
        st.lists(
            st.one_of(st.none(), st.floats(start - 1, start + length + 1)),
            min_size=len(said),
            max_size=len(said),
        )
    )
    found = between(said, middles, [None] * len(said), start, start + length)
    assert [word.symbol for word in found] == said
    assert found[0].start == start and found[-1].end == start + length
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    assert all(word.start <= word.end for word in found)


def test_words_are_found_where_they_sound_and_unknown_ones_share_what_is_left(
    model: SatsModel, codec: SatsCodec
) -> None:
    from talkover.model.inference.alignment import WordTimer

    classes = {unit: place for place, unit in enumerate(model.parts.tables.units, start=1)}
    timer = WordTimer(codec=codec, classes=classes)
    (first,), (second,) = (
        [classes[i] for i in codec.encode_text(word)] for word in ("wahid", "arbaa")
    )
    frames = np.full((40, 1 + len(classes)), -9.0, np.float32)
    frames[:, 0] = -0.1
    frames[12, first] = frames[31, second] = -0.01
    frames[12, 0] = frames[31, 0] = -6.0
    spoken = Spoken(speaker="S01", start=0.2, end=1.6, text="wahid arbaa")
    (timed,) = timer.timed([spoken], frames, 25.0)
    assert timed.words is not None
    assert timed.words[0].end == pytest.approx((12.5 + 31.5) / 2 / 25)
    assert all(w.score is not None and w.score > 0.9 for w in timed.words)
    strange = replace(spoken, text="wahid qqq arbaa")
    (timed,) = timer.timed([strange], frames, 25.0)
    assert timed.words is not None
    assert [w.score is None for w in timed.words] == [False, True, False]
    (timed,) = timer.timed([replace(spoken, text="q qqq")], frames, 25.0)
    assert timed.words == shared_out("q qqq", 0.2, 1.6)


# ---- pieces, voices, clusters


@given(st.integers(5_000, 60_000), st.floats(6.0, 20.0), st.floats(0.0, 3.0), st.integers(0, 3))
def test_cores_cover_a_recording_once_and_pieces_share_what_is_asked(
    count: int, longest: float, overlap: float, seed: int
) -> None:
    rate = 1000
    samples = np.random.default_rng(seed).standard_normal(count).astype(np.float32)
    pieces = plan_pieces(samples, rate, longest, overlap=overlap)
    assert all(0 < piece.num_samples <= longest * rate + 1 for piece in pieces)
    cores = [p.core or (p.start_sample, p.end_sample) for p in pieces]
    assert cores[0][0] == 0 and cores[-1][1] == count
    assert all(a[1] == b[0] for a, b in itertools.pairwise(cores))
    for piece, core in zip(pieces, cores, strict=True):
        assert piece.start_sample <= core[0] < core[1] <= piece.end_sample


def spoken(speaker: str, start: float, end: float) -> Spoken:
    return Spoken(speaker=speaker, start=start, end=end, text="a")


def test_turns_of_overlapping_pieces_are_taken_once() -> None:
    cores = [(0.0, 10.0), (10.0, 20.0)]
    early = [spoken("S01", 1, 3), spoken("S01", 9.5, 11.2), spoken("S02", 8, 9)]
    late = [spoken("S01", 9.4, 11.4), spoken("S02", 8.6, 9.0), spoken("S02", 15, 16)]
    found = merged([early, late], cores)
    assert [(s.speaker, s.start) for s in found] == [
        ("S01", 1),
        ("S02", 8),
        ("S01", 9.4),
        ("S02", 15),
    ]
    # Cut off on both sides: neither core has its middle, and yet it is not lost.
    found = merged([[spoken("S01", 9.6, 11.0)], [spoken("S01", 9.0, 10.4)]], cores)
    assert len(found) == 1


@settings(max_examples=40)
@given(st.integers(2, 4), st.integers(2, 12), st.integers(0, 10**6))
def test_as_many_speakers_as_there_are_and_never_two_of_a_piece_as_one(
    people: int, pieces: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    centres = np.eye(people, 16)
    rows, place, who = [], [], []
    for piece in range(pieces):
        for person in rng.permutation(people)[: int(rng.integers(1, people + 1))].tolist():
            rows.append(centres[person] + 0.1 * rng.standard_normal(16))
            place.append(piece)
            who.append(person)
    for number in (None, len(set(who))):
        found = cluster(np.array(rows), place, least=0.5, num_speakers=number)
        assert len(set(zip(found, place, strict=True))) == len(found)
        assert len(set(zip(found, who, strict=True))) == len(set(who)) == len(set(found))
        assert list(dict.fromkeys(found)) == sorted(set(found))


def test_two_speakers_whose_voices_waver_stay_two() -> None:
    """The greedy nearest voice made four of two here."""
    rng = np.random.default_rng(1)
    centres = np.eye(2, 8)
    rows = [c + 0.3 * rng.standard_normal(8) for _ in range(12) for c in centres]
    place = [n for n in range(12) for _ in range(2)]
    found = cluster(np.array(rows), place, least=0.4)
    assert len(set(found)) <= 3
    assert len(set(cluster(np.array(rows), place, least=0.4, num_speakers=2))) == 2


def test_calibration_parts_pairs_of_one_from_pairs_of_two() -> None:
    rng = np.random.default_rng(0)
    rows = np.concatenate([np.eye(3, 8)[[n] * 6] for n in range(3)])
    rows = rows + 0.1 * rng.standard_normal(rows.shape)
    threshold, error = calibrated(rows, ["a"] * 6 + ["b"] * 6 + ["c"] * 6)
    assert 0.2 < threshold < 0.95 and error == 0.0
    with pytest.raises(ValueError, match="pairs"):
        calibrated(rows[:3], ["a"] * 3)


def test_the_cleanest_speech_is_where_nobody_else_is_heard() -> None:
    said = [spoken("S01", 0.0, 2.0), spoken("S02", 1.5, 3.0), spoken("S01", 4.0, 9.0)]
    mask = alone(said, ["S01", "S02"], 100, 10.0)
    assert mask[0].sum() == 15 + 50 and mask[1].sum() == 10
    samples = np.arange(10 * 100, dtype=np.float32)
    clean = clean_speech(samples, 100, said, "S02")
    assert clean.tolist() == samples[200:300].tolist()
    assert len(clean_speech(samples, 100, said, "S01")) == 650
    assert len(clean_speech(samples, 100, said[:2], "nobody")) == 0
    assert linked([]) == {}


class Scripted(Transcriber):
    """Everybody who is registered speaks, and somebody new."""

    def __init__(self, model: SatsModel, codec: SatsCodec) -> None:
        super().__init__(model, codec)
        self.registered: list[tuple[str, ...]] = []

    def answers(self, examples: Sequence[Example]) -> list[Answer]:
        found = []
        for example in examples:
            names = tuple(r.name for r in example.registered)
            self.registered.append(names)
            who = [*names, "S01"][:2]
            text = "".join(
                f"[{0.2 + n:.1f}][{name}]wahid[{1.1 + n:.1f}]" for n, name in enumerate(who)
            )
            found.append(
                Answer(
                    id=example.id,
                    text=text,
                    parsed=self.codec.parse(text),
                    num_tokens=8,
                    is_truncated=False,
                )
            )
        return found


def test_who_was_heard_in_one_piece_is_registered_for_the_next(
    build: Callable[..., SatsModel], codec: SatsCodec
) -> None:
    model = build(layout=LayoutConfig(registration=True, fusion="add"))
    scripted = Scripted(model, codec)
    recognizer = Recognizer(scripted, window=4.0, options=LinkOptions(overlap=0.0))
    assert recognizer.linking == "register"
    (heard,) = recognizer.recognize([Recording(id="a", samples=noise(11.0))])
    assert [len(names) for names in scripted.registered[:3]] == [0, 1, 2]
    assert scripted.registered[2][0] == scripted.registered[1][0]
    assert not any(name.startswith("S0") for name in scripted.registered[2])
    first = {s.chunk: s for s in reversed(heard.spoken)}
    assert {s.speaker for s in heard.spoken} == {"S01", "S02"}
    assert all(s.speaker == "S01" for s in first.values())
    assert first[1].chunk_speaker == scripted.registered[1][0]


def test_linking_is_what_the_model_can_do(
    build: Callable[..., SatsModel], codec: SatsCodec
) -> None:
    deaf = build(speaker=None, layout=LayoutConfig(), cues=CueConfig())
    assert Recognizer(Transcriber(deaf, codec)).linking == "labels"
    assert Recognizer(Transcriber(build(), codec)).linking == "cluster"
    for linking in ("register", "cluster"):
        with pytest.raises(ConfigurationError, match=f"linking {linking}"):
            Recognizer(Transcriber(deaf, codec), options=LinkOptions(linking=linking))  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="overlap"):
        Recognizer(Transcriber(deaf, codec), window=4.0, options=LinkOptions(overlap=3.0))
