"""A corpus of tones that stand for words, a small codec and a small model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from talkover.manifests.audio import write_audio
from talkover.manifests.io import SessionAudio, write_sessions
from talkover.manifests.schema import (
    Audio,
    Licences,
    Provenance,
    Session,
    Supervision,
    Word,
    span_fields,
    time_span,
)
from talkover.manifests.serialize import serializer
from talkover.model.build import build_model
from talkover.model.codec import CodecConfig, SatsCodec, build_codec
from talkover.model.config import CueConfig, LmConfig, Parts
from talkover.model.encoders import EncoderConfig
from talkover.model.layout import LayoutConfig
from talkover.model.modeling import SatsModel
from talkover.model.presets import Preset
from talkover.model.projectors import ProjectorConfig
from talkover.model.run import Surveyed, make_model, survey
from talkover.model.stages import Stage, TrainConfig
from talkover.model.tokens import AtomConfig

RATE = 16000
PITCHES = {"wahid": 400.0, "ithnan": 900.0, "thalatha": 1600.0, "arbaa": 2500.0}
"""Hz of the tone that stands for each word."""

Turn = tuple[str, float, str]
"""Speaker, start in seconds, words; a word takes 0.25 s."""
WORD = 0.25


def tone_session(id: str, turns: Sequence[Turn], duration: float) -> SessionAudio:
    """A session whose words are tones; a speaker's overtone tells who it is."""
    samples = 0.003 * np.random.default_rng(len(id)).standard_normal(int(duration * RATE))
    rows, names = [], {}
    for number, (speaker, start, text) in enumerate(sorted(turns, key=lambda turn: turn[1])):
        local = names.setdefault(speaker, f"S{len(names) + 1:02d}")
        words = []
        for place, word in enumerate(text.split()):
            begin, count = int((start + place * WORD) * RATE), int(WORD * RATE)
            time = np.arange(count) / RATE
            tone = np.sin(2 * np.pi * PITCHES.get(word, 700.0) * time)
            own = np.sin(2 * np.pi * (3500.0 + 500.0 * (sum(map(ord, speaker)) % 7)) * time)
            room = samples[begin : begin + count]
            room += (0.2 * tone + 0.05 * own)[: len(room)]
            words.append(Word(symbol=word, **span_fields(begin, count, RATE)))
        first = words[0].start_sample
        length = words[-1].end_sample - first
        rows.append(
            Supervision(
                id=f"{id}-{number}",
                turn_id=f"{id}-t{number}",
                speaker=speaker,
                speaker_local=local,
                **span_fields(first, length, RATE),
                regions=(time_span(first, length, RATE),),
                text=text,
                words=tuple(words),
                word_samples=tuple((w.start_sample, w.num_samples) for w in words),
                word_source="reference",
            )
        )
    session = Session(
        id=id,
        supervisions=tuple(rows),
        origin="simulated",
        audio=Audio(
            path=f"audio/{id}.wav",
            pcm_sha256="0" * 64,
            sampling_rate=RATE,
            num_samples=len(samples),
            num_channels=1,
            format="wav",
            subtype="FLOAT",
        ),
        provenance=Provenance(
            tool="test", version="0", configuration={}, configuration_hash="0" * 64
        ),
        licences=Licences(spdx=("CC0-1.0",)),
        uem=(time_span(0, len(samples), RATE),),
    )
    return SessionAudio(
        session=session, samples=samples[None].astype(np.float32), sampling_rate=RATE
    )


def tone_corpus_items(count: int, seed: int = 0) -> list[SessionAudio]:
    """Sessions of one or two speakers, 2 to 3 s."""
    rng = np.random.default_rng(seed)
    words = list(PITCHES)
    items = []
    for n in range(count):
        turns: list[Turn] = []
        time = 0.2
        for turn in range(int(rng.integers(1, 3))):
            text = " ".join(rng.choice(words, size=int(rng.integers(1, 4))))
            turns.append((["ana", "bo", "cy"][(n + turn) % 3], round(time, 2), text))
            time += WORD * len(text.split()) + 0.2
        items.append(tone_session(f"s{n:03d}", turns, float(round(max(2.0, time + 0.2), 2))))
    return items


def write_corpus(folder: Path, items: Sequence[SessionAudio]) -> Path:
    """Manifest and audio in a folder."""
    (folder / "audio").mkdir(parents=True)
    for item in items:
        write_audio(
            folder / item.session.audio.path, item.samples, RATE, format="wav", subtype="FLOAT"
        )
    write_sessions(folder / "cuts.jsonl", [item.session for item in items])
    return folder


@pytest.fixture(scope="session")
def make_tones() -> Callable[..., SessionAudio]:
    """`tone_session`, for tests that need a certain one."""
    return tone_session


@pytest.fixture(scope="session")
def tone_items() -> list[SessionAudio]:
    """Twelve sessions with audio."""
    return tone_corpus_items(12)


@pytest.fixture(scope="session")
def tone_folder(tmp_path_factory: pytest.TempPathFactory, tone_items: list[SessionAudio]) -> Path:
    """The twelve sessions on disk."""
    return write_corpus(tmp_path_factory.mktemp("tones") / "corpus", tone_items)


@pytest.fixture(scope="session")
def write_tones() -> Callable[..., Path]:
    """`write_corpus`, for tests that spoil one."""
    return write_corpus


def small_parts(**changes: object) -> Parts:
    """A model of some 100,000 parameters with every part in it."""
    parts = Parts(
        semantic=EncoderConfig(
            kind="conv_transformer",
            options={"width": 32, "channels": [4, 8], "layers": 1, "heads": 2, "dropout": 0.1},
        ),
        speaker=EncoderConfig(
            kind="tdnn", options={"width": 16, "layers": 1, "heads": 2, "dilations": [1]}
        ),
        projector=ProjectorConfig(merge=2),
        speaker_projector=ProjectorConfig(kind="linear"),
        layout=LayoutConfig(fusion="add", marker="seconds", marker_style="atomic"),
        codec=CodecConfig(atoms=AtomConfig(max_time=8.0, max_speakers=4), vocab_size=400),
        cues=CueConfig(words=True, speakers=True, times=True),
        max_speakers=3,
        voice_width=16,
        lm=LmConfig(
            config={
                "model_type": "qwen3",
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 16,
                "tie_word_embeddings": True,
                "max_position_embeddings": 512,
            }
        ),
    )
    return replace(parts, **changes)  # type: ignore[arg-type]


ALL_LOSSES = {"answer": 1.0, "ctc": 0.5, "activity": 1.0, "speaker": 0.1}


def small_training(steps: int = 4, **changes: object) -> TrainConfig:
    """A short stage with all losses."""
    from talkover.model.data.feeds import Choice

    stage = Stage(name="all", steps=steps, losses=ALL_LOSSES, data=Choice(seconds=9.0), lr=3e-3)
    training = TrainConfig(
        stages=(stage,), log_every=1, save_every=100, buckets="plain", average=1, longest=8.0
    )
    return replace(training, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def surveyed(tone_items: list[SessionAudio]) -> Surveyed:
    return survey((item.session for item in tone_items), small_parts().codec)


@pytest.fixture(scope="session")
def codec(surveyed: Surveyed) -> SatsCodec:
    return build_codec(small_parts().codec, surveyed.texts)


@pytest.fixture
def model(surveyed: Surveyed) -> SatsModel:
    """A fresh model with the same random weights each time."""
    made, _ = make_model(Preset(parts=small_parts(), training=small_training()), surveyed)
    return made.eval()


@pytest.fixture(scope="session")
def build(codec: SatsCodec) -> Callable[..., SatsModel]:
    """A model of changed parts."""

    def make(**changes: object) -> SatsModel:
        torch.manual_seed(0)
        units = tuple(sorted({i for word in PITCHES for i in codec.encode_text(word)}))
        return build_model(small_parts(**changes), codec, units=units, voices=("ana", "bo")).eval()

    return make


@pytest.fixture(scope="session")
def small() -> Callable[..., Preset]:
    """A preset of small parts and short training."""

    def make(steps: int = 4, **changes: object) -> Preset:
        return Preset(parts=small_parts(), training=small_training(steps, **changes))

    return make


@pytest.fixture(scope="session")
def all_formats() -> tuple[str, ...]:
    """Names of the shipped formats."""
    names = ("inline", "sc", "roles", "json", "xml")
    assert all(serializer(name).name == name for name in names)
    return names
