"""The cascade: what CTC says of each segment of a diarizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.exports import write_labels
from talkover.manifests.io import SessionAudio
from talkover.model.cascade import (
    Cascade,
    best_units,
    collapse,
    oracle_diarization,
    own_segments,
    read_diarization,
    spaced,
)
from talkover.model.codec import SatsCodec
from talkover.model.inference.recognize import Recognizer, Recording
from talkover.model.modeling import SatsModel
from talkover.model.transcribe import Transcriber

WORDS = ("wahid", "ithnan", "thalatha", "arbaa")


@given(st.lists(st.integers(1, 5), max_size=8), st.data())
def test_collapse_undoes_any_path_of_ctc(units: list[int], data: st.DataObject) -> None:
    path: list[int] = []
    for unit in units:
        if path and path[-1] == unit:
            path.append(0)
        path += [unit] * data.draw(st.integers(1, 3)) + [0] * data.draw(st.integers(0, 2))
    assert collapse(path) == units


@given(st.lists(st.sampled_from(WORDS), max_size=8))
def test_spaces_between_known_words_come_back(said: list[str]) -> None:
    assert spaced("".join(said), set(WORDS)).split() == said


@given(st.text(alphabet="wahidtln", max_size=30))
def test_spacing_changes_no_letter(text: str) -> None:
    assert spaced(text, set(WORDS)).replace(" ", "") == text


def test_segments_of_one_speaker_that_overlap_are_one_and_lie_in_the_audio() -> None:
    given_segments = [("a", -1.0, 1.0), ("a", 0.5, 2.0), ("b", 1.5, 9.0), ("a", 8.0, 9.0)]
    assert own_segments(given_segments, 5.0) == [("a", 0.0, 2.0), ("b", 1.5, 5.0)]


def test_an_rttm_of_the_reference_is_the_oracle(
    tmp_path: Path, tone_items: list[SessionAudio]
) -> None:
    sessions = [item.session for item in tone_items]
    write_labels(tmp_path, sessions)
    read = read_diarization(tmp_path / "labels.rttm", sessions)
    oracle = oracle_diarization(sessions)
    assert set(read) == set(oracle)
    for id, rows in oracle.items():
        ends = [
            (speaker, pytest.approx(a, abs=1e-4), pytest.approx(b, abs=1e-4))
            for speaker, a, b in rows
        ]
        assert sorted(read[id]) == sorted(ends)
    strange = [session.model_copy(update={"id": f"x{session.id}"}) for session in sessions]
    with pytest.raises(ManifestError, match="knows none"):
        read_diarization(tmp_path / "labels.rttm", strange)


def test_every_segment_is_read_by_itself_and_keeps_who_and_when(
    model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    cascade = Cascade(Recognizer(Transcriber(model, codec)), WORDS)
    oracle = oracle_diarization([item.session for item in tone_items])
    recordings = [Recording(id=i.session.id, samples=i.samples[0]) for i in tone_items]
    together = cascade.recognize(recordings, oracle)
    for recording in recordings[:3]:
        alone = cascade.recognize([recording], oracle)
        assert alone.said[recording.id] == together.said[recording.id]
    for id, spoken in together.said.items():
        assert sorted((s.speaker, s.start, s.end) for s in spoken) == sorted(oracle[id])
    nobody = cascade.recognize(recordings[:1], {})
    assert nobody.said == {recordings[0].id: []} and nobody.faults == {}


def test_units_are_the_likeliest_class_of_each_frame(model: SatsModel, codec: SatsCodec) -> None:
    cascade = Cascade(Recognizer(Transcriber(model, codec)), WORDS)
    ids = codec.encode_text("arbaa")
    units = [model.parts.tables.units.index(index) + 1 for index in ids]
    assert cascade.text(units) == "arbaa"
    with torch.no_grad():
        model.unit_head.weight.zero_()
        model.unit_head.bias.zero_()
        model.unit_head.bias[units[0]] = 5.0
    rng = np.random.default_rng(0)
    sound = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (8000, 16000)]
    assert best_units(model, sound) == [[units[0]], [units[0]]]


def test_a_model_without_ctc_has_no_cascade(
    build: Callable[..., SatsModel], codec: SatsCodec
) -> None:
    from talkover.model.config import Tables

    model = build()
    model.parts = type(model.parts)(**{**vars(model.parts), "tables": Tables()})
    recognizer = Recognizer(Transcriber(build(), codec))
    recognizer.model = model
    with pytest.raises(ConfigurationError, match="CTC"):
        Cascade(recognizer)
