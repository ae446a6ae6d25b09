"""Registration: who is registered for a batch, by which clips, under which names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from talkover.manifests.audio import write_audio
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.io import SessionAudio
from talkover.manifests.schema import RegistrationClip, Session, Source
from talkover.manifests.serialize import Transcript, Turn
from talkover.model.codec import SatsCodec
from talkover.model.data.clips import clip_table, leak_of
from talkover.model.data.collate import Collator
from talkover.model.data.enrolment import VECTORS, clip_vector
from talkover.model.data.examples import Example, Unusable, example_of
from talkover.model.data.names import check_names, drawn_names, renamed
from talkover.model.data.people import registered_of
from talkover.model.data.registration import (
    Draw,
    Registrar,
    check_choice,
    registered_example,
    registrar_of,
)
from talkover.model.layout import Kind, LayoutConfig
from talkover.model.modeling import SatsModel, vocabulary_of

Make = Callable[..., SessionAudio]
Build = Callable[..., SatsModel]
RATE = 16000
THIRDS = {"no": 1.0, "match": 1.0, "over": 1.0}
LAYOUT = LayoutConfig(fusion="add", marker="seconds", marker_style="atomic", registration=True)


@dataclass(frozen=True, kw_only=True)
class Choice:
    registration: Mapping[str, float] = field(default_factory=lambda: THIRDS)
    distractors: tuple[int, int] = (1, 50)


def voice(speaker: str, seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """Speech-like noise with an overtone of the speaker's."""
    time = np.arange(int(seconds * RATE)) / RATE
    noise = 0.01 * np.random.default_rng(seed).standard_normal(len(time))
    own = 0.1 * np.sin(2 * np.pi * (3500.0 + 500.0 * (sum(map(ord, speaker)) % 7)) * time)
    return np.asarray(noise + own, np.float32)


def clip(
    folder: Path, speaker: str, number: int = 0, utterance: str = "", local: str | None = None
) -> RegistrationClip:
    path = f"registration/{speaker}-{number}.wav"
    (folder / "registration").mkdir(parents=True, exist_ok=True)
    if not (folder / path).exists():
        samples = voice(speaker, seed=number)
        write_audio(folder / path, [samples], RATE, format="wav", subtype="FLOAT")
    return RegistrationClip(
        speaker=speaker,
        speaker_local=local,
        path=path,
        sha256=f"{abs(hash((speaker, number))):064x}"[:64],
        duration=2.0,
        utterance_ids=(utterance or f"{speaker}-clip{number}",),
    )


def with_clips(session: Session, clips: Sequence[RegistrationClip]) -> Session:
    rows = tuple(
        row.model_copy(
            update={
                "source": Source(
                    corpus="tones",
                    recording_id="r",
                    utterance_id=f"{row.speaker}-said",
                    offset=0.0,
                    duration=row.duration,
                )
            }
        )
        for row in session.supervisions
    )
    return session.model_copy(update={"registration": tuple(clips), "supervisions": rows})


@pytest.fixture
def people(tmp_path: Path, make_tones: Make) -> list[tuple[Session, Path]]:
    """Three sessions of two speakers each, with clips of their own speakers; five people in all."""
    pairs = []
    for number, (one, two) in enumerate([("ana", "bo"), ("cy", "di"), ("ana", "eve")]):
        item = make_tones(f"r{number}", [(one, 0.2, "wahid"), (two, 1.0, "ithnan arbaa")], 2.0)
        clips = [clip(tmp_path, one), clip(tmp_path, one, 1), clip(tmp_path, two)]
        pairs.append((with_clips(item.session, clips), tmp_path))
    return pairs


@pytest.fixture
def registered_model(build: Build) -> SatsModel:
    model = build(layout=LAYOUT)
    for parameter in model.speaker.parameters():
        parameter.requires_grad_(False)
    return model


@pytest.fixture
def registrar(people: list[tuple[Session, Path]], registered_model: SatsModel) -> Registrar:
    return registrar_of(people, registered_model)


def example(make: Make, session: Session, codec: SatsCodec) -> Example:
    texts = [(r.speaker, r.start, r.text or "") for r in session.supervisions]
    item = make(session.id, texts, session.audio.duration)
    return example_of(replace(item, session=session), codec, RATE)


def test_modes_come_with_their_shares_and_distractors_within_their_range() -> None:
    drawn = [Draw(choice=Choice(), seed=3, number=n).mode() for n in range(3000)]
    shares = Counter(mode for mode, _ in drawn)
    assert set(shares) == {"no", "match", "over"}
    # Three standard deviations of a binomial share of one third over 3,000 draws are 2.6 %.
    assert all(abs(count / 3000 - 1 / 3) < 0.026 for count in shares.values())
    over = [count for mode, count in drawn if mode == "over"]
    assert min(over) == 1 and max(over) == 50
    assert all(count == 0 for mode, count in drawn if mode != "over")


@given(
    weights=st.dictionaries(
        st.sampled_from(["no", "match", "over", "part"]), st.floats(0, 10), max_size=4
    ),
    number=st.integers(0, 10**6),
)
def test_a_mode_without_weight_is_never_drawn(weights: dict[str, float], number: int) -> None:
    choice = Choice(registration=weights)
    check_choice(choice)
    mode, count = Draw(choice=choice, seed=0, number=number).mode()
    assert weights.get(mode, 0.0) > 0 or (mode == "no" and not sum(weights.values()))
    assert (count > 0) == (mode in ("over", "part"))
    assert Draw(choice=choice, seed=0, number=number).mode() == (mode, count)


@pytest.mark.parametrize(
    "choice",
    [Choice(registration={"all": 1.0}), Choice(distractors=(5, 2)), Choice(distractors=(-1, 2))],
)
def test_a_wrong_choice_is_told(choice: Choice) -> None:
    with pytest.raises(ValueError, match=r"registration|distractors"):
        check_choice(choice)


@pytest.mark.parametrize("count", [0, 1, 100, 1000])
def test_drawn_names_differ_and_the_same_seed_draws_them_again(
    count: int, codec: SatsCodec
) -> None:
    names = drawn_names(count, np.random.default_rng(1))
    assert len(set(names)) == count
    assert names == drawn_names(count, np.random.default_rng(1))
    check_names(names[:20], codec)


@pytest.mark.parametrize("name", ["", "S01", "two\nlines", " ana", "x" * 65])
def test_names_that_cannot_stand_for_a_person_are_refused(name: str, codec: SatsCodec) -> None:
    with pytest.raises(ConfigurationError, match="registered name"):
        check_names([name], codec)


@given(names=st.dictionaries(st.sampled_from(["ana", "bo", "cy"]), st.sampled_from(["Mimi"])))
def test_unregistered_speakers_are_numbered_in_order(names: dict[str, str]) -> None:
    labels = {"ana": "S01", "bo": "S02", "cy": "S03"}
    turns = tuple(
        Turn(speaker=labels[s], text=s, start=float(n), end=n + 0.5)
        for n, s in enumerate(["ana", "bo", "ana", "cy"])
    )
    found = renamed(Transcript(turns=turns), labels, names)
    others = [t.speaker for t in found.turns if t.text not in names]
    assert list(dict.fromkeys(others)) == [f"S{n + 1:02d}" for n in range(len(set(others)))]
    assert all(t.speaker == names[t.text] for t in found.turns if t.text in names)
    assert [t.text for t in found.turns] == ["ana", "bo", "ana", "cy"]


def test_match_registers_the_speakers_and_over_also_others(
    registrar: Registrar, people: list[tuple[Session, Path]], make_tones: Make, codec: SatsCodec
) -> None:
    plain = example(make_tones, people[0][0], codec)
    match = registrar.register(plain, "match", 0, np.random.default_rng(0))
    assert {r.speaker for r in match.registered} == {"ana", "bo"}
    names = {r.name for r in match.registered}
    assert {turn.speaker for turn in match.transcript.turns} == names
    over = registrar.register(plain, "over", 2, np.random.default_rng(0))
    extra = {r.speaker for r in over.registered} - {"ana", "bo"}
    assert len(extra) == 2 and extra <= {"cy", "di", "eve"}
    assert registrar.register(plain, "no", 2, np.random.default_rng(0)) is plain
    everybody = registrar.register(plain, "over", 50, np.random.default_rng(0))
    assert len(everybody.registered) == 5  # as many as there are


def test_part_leaves_some_speakers_to_be_numbered(
    registrar: Registrar, people: list[tuple[Session, Path]], make_tones: Make, codec: SatsCodec
) -> None:
    plain = example(make_tones, people[0][0], codec)
    drawn = [registrar.register(plain, "part", 1, np.random.default_rng(n)) for n in range(30)]
    counts = Counter(len({r.speaker for r in d.registered} & {"ana", "bo"}) for d in drawn)
    assert set(counts) == {0, 1, 2}
    for one in drawn:
        known = {r.speaker: r.name for r in one.registered}
        spoken = [known.get(v.speaker, "?") for v in one.voices]
        labels = [turn.speaker for turn in one.transcript.turns]
        assert [a if a != "?" else b for a, b in zip(spoken, labels, strict=True)] == labels


def test_the_order_of_the_list_says_nothing_of_who_speaks(
    registrar: Registrar, people: list[tuple[Session, Path]], make_tones: Make, codec: SatsCodec
) -> None:
    plain = example(make_tones, people[0][0], codec)
    first = Counter()
    for seed in range(200):
        drawn = registrar.register(plain, "over", 3, np.random.default_rng(seed))
        first[drawn.registered[0].speaker] += 1
    assert len(first) == 5 and min(first.values()) > 15  # 40 expected of each


def test_several_clips_of_a_speaker_are_averaged(
    registrar: Registrar,
    registered_model: SatsModel,
    people: list[tuple[Session, Path]],
    make_tones: Make,
    codec: SatsCodec,
) -> None:
    folder = people[0][1]
    vectors = registrar.speakers(example(make_tones, people[0][0], codec))
    clips = [clip_vector(registered_model, folder / f"registration/ana-{n}.wav") for n in (0, 1)]
    assert not np.allclose(clips[0], clips[1])
    np.testing.assert_allclose(vectors["ana"], np.mean(clips, axis=0), rtol=1e-5)


def test_a_clip_of_the_session_itself_refuses_the_session_with_its_id(
    tmp_path: Path,
    people: list[tuple[Session, Path]],
    registered_model: SatsModel,
    make_tones: Make,
    codec: SatsCodec,
) -> None:
    session, folder = people[0]
    said = session.supervisions[0].source
    assert said is not None and leak_of(session) is None
    shared = clip(folder, "ana", 2, utterance=said.utterance_id)
    leaking = session.model_copy(update={"registration": (shared, *session.registration)})
    assert "ana-said" in (leak_of(leaking) or "")
    own = session.registration[0].model_copy(update={"path": session.audio.path})
    assert "audio of the session itself" in (
        leak_of(session.model_copy(update={"registration": (own,)})) or ""
    )
    made = registrar_of([(leaking, folder), *people[1:]], registered_model)
    collator = Collator(registered_model, codec, vocabulary_of(codec))
    collator.registrar = made
    with pytest.raises(Unusable, match=r"ana-2\.wav holds utterance ana-said"):
        collator.plan(example(make_tones, leaking, codec))
    collator.plan(example(make_tones, people[1][0], codec))


def test_a_session_without_clips_takes_those_of_another_unless_they_share_an_utterance(
    people: list[tuple[Session, Path]],
) -> None:
    table = clip_table(people)
    assert table.group("elsewhere", "ana", set()) == table.groups["ana"][0]
    assert table.group("elsewhere", "ana", {"ana-clip1"}) is None
    assert table.group("elsewhere", "nobody", set()) is None


def test_a_batch_holds_a_vector_for_each_name_in_its_order(
    registrar: Registrar,
    registered_model: SatsModel,
    people: list[tuple[Session, Path]],
    make_tones: Make,
    codec: SatsCodec,
) -> None:
    collator = Collator(registered_model, codec, vocabulary_of(codec))
    collator.registrar = registrar
    plain = [example(make_tones, session, codec) for session, _ in people]
    number = next(
        n for n in range(100) if Draw(choice=Choice(), seed=0, number=n).mode()[0] == "over"
    )
    draw = Draw(choice=Choice(), seed=0, number=number)
    batch = collator(plain, draw=draw)
    counts = (batch.kinds == int(Kind.REGISTRATION)).sum(1)
    assert batch.registration is not None and (counts >= 3).all()
    rows = registrar.registered(plain, draw)
    for row, one in enumerate(rows):
        assert int(counts[row]) == len(one.registered)
        for place, r in enumerate(one.registered):
            np.testing.assert_array_equal(batch.registration[row, place].numpy(), r.vector)
    again = collator(plain, draw=draw)
    assert torch.equal(batch.input_ids, again.input_ids)
    assert torch.equal(batch.registration, again.registration)
    other = collator(plain, draw=replace(draw, number=number + 1))
    assert other.registration is None or not torch.equal(batch.input_ids, other.input_ids)


def test_the_layout_has_name_and_vector_as_speakerlm_writes_them(
    registrar: Registrar,
    people: list[tuple[Session, Path]],
    make_tones: Make,
    build: Build,
    codec: SatsCodec,
) -> None:
    form = replace(LAYOUT, registration_form=("<start>", "<end>", ""), marker="none")
    model = build(layout=form)
    collator = Collator(model, codec, vocabulary_of(codec))
    drawn = registrar.register(
        example(make_tones, people[0][0], codec), "match", 0, np.random.default_rng(0)
    )
    plan = collator.plan(drawn, with_answer=False)
    first = plan.positions(Kind.SEMANTIC)[0]
    text = "".join(
        "[emb]" if kind is Kind.REGISTRATION else codec.decode([index])
        for index, kind in zip(plan.ids[:first], plan.kinds[:first], strict=True)
    )
    one, two = (r.name for r in drawn.registered)
    assert text == f"<start>{one}<end>[emb]<start>{two}<end>[emb]"


def test_too_many_strangers_for_the_context_are_left_out(
    registrar: Registrar,
    people: list[tuple[Session, Path]],
    make_tones: Make,
    build: Build,
    codec: SatsCodec,
) -> None:
    plain = example(make_tones, people[0][0], codec)
    needed = len(Collator(build(layout=LAYOUT), codec, vocabulary_of(codec)).plan(plain))
    lm = build().parts.lm
    for room, expected in ((3 * 12, {"ana", "bo"}), (4, set())):
        short = replace(lm, config={**lm.config, "max_position_embeddings": needed + room})
        collator = Collator(build(layout=LAYOUT, lm=short), codec, vocabulary_of(codec))
        collator.registrar = registrar
        batch = collator(
            [plain], draw=Draw(choice=Choice(registration={"over": 1.0}), seed=0, number=0)
        )
        count = int((batch.kinds == int(Kind.REGISTRATION)).sum())
        assert len(expected) <= count < 5 and (count > 0) == bool(expected)


def test_the_vector_behind_a_name_changes_what_the_model_sees(
    registrar: Registrar,
    registered_model: SatsModel,
    people: list[tuple[Session, Path]],
    make_tones: Make,
    codec: SatsCodec,
) -> None:
    collator = Collator(registered_model, codec, vocabulary_of(codec))
    drawn = registrar.register(
        example(make_tones, people[0][0], codec), "match", 0, np.random.default_rng(0)
    )
    swapped = registered_example(
        drawn,
        [
            replace(a, vector=b.vector)
            for a, b in zip(drawn.registered, reversed(drawn.registered), strict=True)
        ],
    )
    assert swapped.transcript == drawn.transcript
    losses = [
        float(registered_model(collator([e]), ("answer",)).losses["answer"].total)
        for e in (drawn, swapped)
    ]
    assert abs(losses[0] - losses[1]) > 1e-6


def test_the_registration_map_learns(
    registrar: Registrar,
    registered_model: SatsModel,
    people: list[tuple[Session, Path]],
    make_tones: Make,
    codec: SatsCodec,
) -> None:
    collator = Collator(registered_model, codec, vocabulary_of(codec))
    drawn = registrar.register(
        example(make_tones, people[0][0], codec), "over", 1, np.random.default_rng(0)
    )
    registered_model.train()
    registered_model(collator([drawn]), ("answer",)).losses["answer"].total.backward()
    assert registered_model.registration is not None
    grad = registered_model.registration.weight.grad
    assert grad is not None and torch.isfinite(grad).all() and float(grad.abs().sum()) > 0
    assert all(p.grad is None for p in registered_model.speaker.parameters())


def test_a_stage_that_trains_the_speaker_encoder_is_refused(
    people: list[tuple[Session, Path]], build: Build
) -> None:
    model = build(layout=LAYOUT).train()
    with pytest.raises(ConfigurationError, match=r"this stage trains speaker\.\*"):
        registrar_of(people, model)


def test_no_clips_at_all_is_told(
    people: list[tuple[Session, Path]], registered_model: SatsModel
) -> None:
    bare = [(s.model_copy(update={"registration": ()}), folder) for s, folder in people]
    with pytest.raises(ConfigurationError, match="no session has registration clips"):
        registrar_of(bare, registered_model)


def test_given_vectors_are_used_as_they_are(
    people: list[tuple[Session, Path]], build: Build, make_tones: Make, codec: SatsCodec
) -> None:
    model = build(layout=LAYOUT, registration_width=6)
    folder = people[0][1]
    rng = np.random.default_rng(0)
    paths = {c.path for session, _ in people for c in session.registration}
    table = {path: rng.standard_normal(6).astype(np.float32) for path in sorted(paths)}
    save_file(table, folder / VECTORS)
    vectors = registrar_of(people, model).speakers(example(make_tones, people[1][0], codec))
    np.testing.assert_array_equal(vectors["di"], table["registration/di-0.wav"])
    save_file({**table, "registration/cy-0.wav": np.ones(5, np.float32)}, folder / VECTORS)
    with pytest.raises(ManifestError, match=r"registration/cy-0\.wav: must hold 6 finite"):
        registrar_of(people, model)
    (folder / VECTORS).unlink()
    with pytest.raises(ManifestError, match="no vectors of registration clips"):
        registrar_of(people, model)


def test_people_come_from_folders_and_files_by_name(
    tmp_path: Path, registered_model: SatsModel, codec: SatsCodec
) -> None:
    where = tmp_path / "team"
    (where / "Bo").mkdir(parents=True)
    for path, seed in (("Ana.wav", 0), ("Bo/1.wav", 1), ("Bo/2.wav", 2)):
        write_audio(where / path, [voice(path[:2], seed=seed)], RATE, format="wav", subtype="FLOAT")
    found = registered_of(where, registered_model, codec)
    assert [r.name for r in found] == ["Ana", "Bo"]
    clips = [clip_vector(registered_model, where / f"Bo/{n}.wav") for n in (1, 2)]
    np.testing.assert_allclose(found[1].vector, np.mean(clips, axis=0), rtol=1e-5)
    write_audio(where / "Cy.wav", [np.zeros(RATE, np.float32)], RATE, format="wav", subtype="FLOAT")
    with pytest.raises(ConfigurationError, match=r"Cy\.wav: cannot register by this clip: silent"):
        registered_of(where, registered_model, codec)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="nobody to register"):
        registered_of(tmp_path / "empty", registered_model, codec)
