"""Who of one piece is who of another, without a speaker encoder: by the voices of words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from talkover.manifests.audio import write_audio
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.manifests.schema import RegistrationClip
from talkover.model.checkpoints import save_model
from talkover.model.codec import SatsCodec
from talkover.model.config import CueConfig
from talkover.model.data.examples import Example
from talkover.model.encoders import Encoded
from talkover.model.evaluate import evaluate
from talkover.model.inference.clustering import cluster
from talkover.model.inference.ears import Ears
from talkover.model.inference.known import known_voices
from talkover.model.inference.likeness import AS_LIKELY, SameSpeaker
from talkover.model.inference.recognize import LinkOptions, Recognizer, Recording
from talkover.model.inference.spoken import Spoken
from talkover.model.inference.voices import KnownVoice, LocalVoice, linked
from talkover.model.inference.word_voices import can_tell_words_apart, owner_of, word_voices
from talkover.model.layout import LayoutConfig
from talkover.model.modeling import SatsModel
from talkover.model.objectives import Heard
from talkover.model.onsets import TYPICAL
from talkover.model.transcribe import Answer, Transcriber
from talkover.model.voices.model import VoiceConfig

BANDS, RATE = 80, 100.0
SPEAKERS, NEW = 12, 4
LENGTH = 0.5
"""Seconds of a word."""


def exact(group: np.ndarray, weights: np.ndarray, between: np.ndarray) -> float:
    """Log-likelihood of words of one speaker, by the joint normal distribution."""
    return sum(
        float(multivariate_normal(cov=np.diag(1 / weights) + variance).logpdf(row))
        for row, variance in zip(group.T, between, strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.integers(0, 10**6))
def test_log_odds_of_one_speaker_are_those_of_the_joint_distribution(
    first: int, second: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    between = rng.uniform(0.2, 4.0, width)
    words = rng.standard_normal((first + second, width))
    weights = rng.uniform(0.2, 1.0, first + second)
    own = np.arange(first + second) < first
    wanted = (
        exact(words, weights, between)
        - exact(words[own], weights[own], between)
        - exact(words[~own], weights[~own], between)
    )
    sums = [(words * weights[:, None])[mine].sum(0) for mine in (own, ~own)]
    mass = np.array([weights[mine].sum() for mine in (own, ~own)])
    row = SameSpeaker(between).row(np.stack(sums), mass, 0)
    assert row[1] == pytest.approx(wanted, abs=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.integers(3, 10), st.integers(0, 10**6))
def test_speakers_are_found_again_and_never_two_of_a_piece_are_one(
    people: int, pieces: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    between = np.full(16, 30.0)
    centres = rng.standard_normal((people, 16)) * between**0.5
    rows, place, who = [], [], []
    for piece in range(pieces):
        for person in rng.permutation(people)[: int(rng.integers(1, people + 1))].tolist():
            rows.append(centres[person] + rng.standard_normal(16) / 2)  # four words
            place.append(piece)
            who.append(person)
    found = cluster(
        np.array(rows), place, [4.0] * len(rows), least=1.0, likeness=SameSpeaker(between)
    )
    assert len(set(zip(found, place, strict=True))) == len(found)
    assert len(set(zip(found, who, strict=True))) == len(set(who)) == len(set(found))


def colours() -> np.ndarray:
    return 2.0 * np.random.default_rng(0).standard_normal((SPEAKERS + NEW, BANDS))


def sounding(who: Sequence[int], seed: int) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Features of words one after the other, coloured by their speakers."""
    rng = np.random.default_rng(seed)
    spans = [(0.2 + 0.72 * n, 0.2 + 0.72 * n + LENGTH) for n in range(len(who))]
    features = rng.standard_normal((int(spans[-1][1] * RATE) + 20, BANDS)) - 3.0
    for speaker, (start, end) in zip(who, spans, strict=True):
        place = slice(int(start * RATE), int(end * RATE))
        features[place] += colours()[speaker] + 3.0 + rng.standard_normal(BANDS)
    return features.astype(np.float32), spans


@pytest.fixture(scope="module")
def hearing(build: Callable[..., SatsModel]) -> SatsModel:
    """A model that has heard the voices of twelve speakers."""
    model = build(
        speaker=None,
        layout=LayoutConfig(),
        cues=CueConfig(),
        voices=VoiceConfig(directions=8),
    )
    assert not can_tell_words_apart(model)
    voices = model.voices
    assert voices is not None
    for name in ("counts", "firsts"):
        sums = getattr(voices, name)
        setattr(voices, name, sums.new_zeros((SPEAKERS, *sums.shape[1:])))
    people = tuple(f"speaker{n}" for n in range(SPEAKERS))
    model.parts = replace(model.parts, tables=replace(model.parts.tables, voices=people))
    model.config.parts = model.parts.plain()
    rng = np.random.default_rng(1)
    for seed in range(40):
        two = rng.choice(SPEAKERS, 2, replace=False)
        who = [int(two[n]) for n in (0, 0, 1, 0, 1, 1)]
        features, spans = sounding(who, seed)
        voices.observe(
            [torch.from_numpy(features)],
            [spans],
            [[int(w == two[1]) for w in who]],
            [who],
            [[0] * len(who)],
        )
    assert can_tell_words_apart(model)
    return model


def heard_of(model: SatsModel, features: np.ndarray, spans: Sequence[tuple[float, float]]) -> Heard:
    """What the encoder would give if it found the words where they are."""
    rate = model.semantic.rate_hz
    frames = int(len(features) / RATE * rate)
    classes = torch.zeros(1, frames, 1 + len(model.parts.tables.units))
    classes[..., 0] = 1.0
    for start, _ in spans:
        classes[0, round(start * rate), 1] = 9.0
    lengths = torch.tensor([frames])
    hidden = torch.zeros(1, frames, model.semantic.width)
    return Heard(
        semantic=None,
        speaker=None,
        encoded=Encoded(hidden=hidden, lengths=lengths),
        voices=None,
        unit_logits=classes,
        activity_logits=None,
        duration_logits=torch.full((1, frames), float(np.log(LENGTH / TYPICAL))),
        features=torch.from_numpy(features)[None],
    )


def turns(
    who: Sequence[int], spans: Sequence[tuple[float, float]]
) -> tuple[list[Spoken], dict[str, int]]:
    """A turn for each word, under the labels of a piece; and who they are."""
    labels: dict[int, str] = {}
    said = [
        Spoken(
            speaker=labels.setdefault(w, f"S{len(labels) + 1:02d}"), start=s, end=e, text="wahid"
        )
        for w, (s, e) in zip(who, spans, strict=True)
    ]
    return said, {label: w for w, label in labels.items()}


def test_unseen_voices_are_linked_over_pieces(hearing: SatsModel) -> None:
    right = by_label = total = 0
    assert hearing.voices is not None and hearing.voices.plda is not None
    likeness = SameSpeaker(hearing.voices.plda.between)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        voices: list[LocalVoice] = []
        truth: list[int] = []
        for piece in range(4):
            two = SPEAKERS + rng.choice(NEW, 2, replace=False)
            who = [int(two[n]) for n in (0, 1, 0, 1, 0, 1)]
            features, spans = sounding(who, 100 * seed + piece)
            said, people = turns(who, spans)
            found = word_voices(hearing, heard_of(hearing, features, spans), said)
            assert set(found) == set(people)
            for label, (voice, weight) in found.items():
                assert weight == pytest.approx(1.2, rel=0.2)  # half of three words, each counts 0.8
                voices.append(LocalVoice(piece=piece, label=label, voice=voice, weight=weight))
                truth.append(people[label])
        names = linked(voices, least=AS_LIKELY, likeness=likeness)
        given_names = [names[v.piece, v.label] for v in voices]
        for a, b in combinations(range(len(voices)), 2):
            is_one = truth[a] == truth[b]
            total += 1
            right += (given_names[a] == given_names[b]) == is_one
            by_label += (voices[a].label == voices[b].label) == is_one
    assert right / total > 0.85 > 0.7 > by_label / total


def test_somebody_whose_voice_is_known_gets_the_name(hearing: SatsModel) -> None:
    assert hearing.voices is not None and hearing.voices.plda is not None
    likeness = SameSpeaker(hearing.voices.plda.between)

    def voices(who: Sequence[int], seed: int) -> dict[int, tuple[np.ndarray, float]]:
        features, spans = sounding(who, seed)
        said, people = turns(who, spans)
        found = word_voices(hearing, heard_of(hearing, features, spans), said)
        return {people[label]: voice for label, voice in found.items()}

    ana, bo, cy = SPEAKERS, SPEAKERS + 1, SPEAKERS + 2
    known = []
    for name, person in (("ana", ana), ("cy", cy)):
        ((voice, weight),) = voices([person] * 5, 50 + person).values()
        known.append(KnownVoice(name=name, voice=voice, weight=weight))
    rows = [
        LocalVoice(piece=piece, label=f"p{person}", voice=voice, weight=weight)
        for piece in range(3)
        for person, (voice, weight) in voices([bo, ana, bo, ana, bo, ana], piece).items()
    ]
    names = linked(rows, least=1.0, likeness=likeness, known=known)
    assert {names[piece, f"p{ana}"] for piece in range(3)} == {"ana"}
    assert {names[piece, f"p{bo}"] for piece in range(3)} == {"S01"}


def test_a_word_is_said_by_the_only_one_with_a_turn_over_it(hearing: SatsModel) -> None:
    first = Spoken(speaker="S01", start=0.0, end=1.0, text="a")
    second = Spoken(speaker="S02", start=0.8, end=2.0, text="b")
    assert owner_of((0.2, 0.6), [first, second]) == "S01"
    assert owner_of((0.8, 1.0), [first, second]) is None
    assert owner_of((2.0, 2.2), [first, second]) is None
    features, spans = sounding([0, 1], 0)
    said, _ = turns([0, 1], spans)
    found = word_voices(hearing, heard_of(hearing, features, ()), said)  # no word is found
    assert set(found) == {"S01", "S02"} and all(weight > 0 for _, weight in found.values())
    short = [Spoken(speaker="S01", start=0.0, end=0.01, text="a")]
    assert word_voices(hearing, heard_of(hearing, features, ()), short)["S01"][1] == 0.0


class Scripted(Transcriber):
    """Two speak in every piece."""

    def answers(self, examples: Sequence[Example]) -> list[Answer]:
        text = "[0.2][S01]wahid[1.1][1.2][S02]wahid[2.0]"
        parsed = self.codec.parse(text)
        return [
            Answer(id=e.id, text=text, parsed=parsed, num_tokens=8, is_truncated=False)
            for e in examples
        ]


def test_registered_clips_name_the_speakers_of_a_model_that_reads_no_registration(
    tmp_path: Path, hearing: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    ears = Ears(Scripted(hearing, codec))
    for name, item in zip(("ana", "bo"), tone_items[:2], strict=True):
        write_audio(tmp_path / f"{name}.wav", item.samples, 16000, format="wav")
    known = known_voices(tmp_path, ears)
    assert [k.name for k in known] == ["ana", "bo"] and all(k.weight > 0 for k in known)
    certain = LinkOptions(same_voice=-1e9)  # alike enough, whatever it is
    recognizer = Recognizer(Scripted(hearing, codec), options=certain, known=known)
    (found,) = recognizer.recognize([Recording(id="a", samples=tone_items[0].samples[0])])
    assert {s.speaker for s in found.spoken} == {"ana", "bo"}
    assert {s.chunk_speaker for s in found.spoken} == {"S01", "S02"}
    with pytest.raises(ConfigurationError, match="linking cluster"):
        Recognizer(Scripted(hearing, codec), options=LinkOptions(linking="labels"), known=known)
    write_audio(tmp_path / "S03.wav", tone_items[0].samples, 16000, format="wav")
    with pytest.raises(ConfigurationError, match="S03"):
        known_voices(tmp_path, ears)


def test_sessions_are_evaluated_with_known_voices_and_strangers(
    tmp_path: Path,
    hearing: SatsModel,
    codec: SatsCodec,
    write_tones: Callable[..., Path],
    make_tones: Callable[..., SessionAudio],
) -> None:
    items = []
    for n, (one, two) in enumerate([("ana", "bo"), ("cy", "di")]):
        item = make_tones(f"s{n}", [(one, 0.2, "wahid arbaa"), (two, 1.0, "ithnan wahid")], 2.0)
        clips = tuple(
            RegistrationClip(
                speaker=name,
                speaker_local=label,
                path=f"registration/{name}.wav",
                sha256="1" * 64,
                duration=1.0,
                utterance_ids=(f"of-{name}",),
            )
            for name, label in ((one, "S01"), (two, "S02"))
        )
        session = item.session.model_copy(update={"registration": clips})
        items.append(replace(item, session=session))
    folder = write_tones(tmp_path / "corpus", items)
    (folder / "registration").mkdir()
    for name in ("ana", "bo", "cy", "di"):
        said = make_tones(f"of-{name}", [(name, 0.1, "wahid ithnan arbaa")], 1.0)
        write_audio(folder / f"registration/{name}.wav", said.samples, 16000, format="wav")
    save_model(hearing, codec, tmp_path / "model")
    found = evaluate(
        tmp_path / "model",
        [folder],
        metrics=["cpwer", "sawer", "false_names"],
        bootstrap=0,
        registration="over",
        distractors=2,
        device="cpu",
    )
    assert found.settings["unregistered"] == 0 and not found.model.failed
    assert found.model.result.overall["sawer"] is not None
    with pytest.raises(ConfigurationError, match="only 2 other people"):
        evaluate(tmp_path / "model", [folder], registration="over", distractors=3, device="cpu")


def test_a_model_without_voices_registers_nobody(
    tmp_path: Path, build: Callable[..., SatsModel], codec: SatsCodec
) -> None:
    deaf = build(speaker=None, layout=LayoutConfig(), cues=CueConfig())
    with pytest.raises(ConfigurationError, match="takes no registered speakers"):
        known_voices(tmp_path, Ears(Scripted(deaf, codec)))


def test_long_recordings_are_linked_by_words_where_there_is_no_speaker_encoder(
    hearing: SatsModel, codec: SatsCodec
) -> None:
    recognizer = Recognizer(Scripted(hearing, codec), window=3.0, options=LinkOptions(overlap=0.0))
    assert recognizer.linking == "cluster"
    noise = 0.1 * np.random.default_rng(0).standard_normal(10 * 16000).astype(np.float32)
    (found,) = recognizer.recognize([Recording(id="a", samples=noise)])
    chunks = {s.chunk for s in found.spoken}
    assert len(chunks) >= 3
    for chunk in chunks:
        mine = [s for s in found.spoken if s.chunk == chunk]
        assert len({s.speaker for s in mine}) == len(mine) == 2
    both = Recognizer(
        Scripted(hearing, codec), window=3.0, options=LinkOptions(overlap=0.0, num_speakers=2)
    )
    (found,) = both.recognize([Recording(id="a", samples=noise)])
    assert {s.speaker for s in found.spoken} == {"S01", "S02"}
