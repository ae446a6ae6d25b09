"""Recordings labelled by people, pieces of known tempo, and which models have met them before."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.annotate.config import AnnotationConfig
from talkover.annotate.evaluation.music import Tempo, read_pieces
from talkover.annotate.evaluation.real import exposure, pyannote_sample, real_set, score_real
from talkover.annotate.evaluation.sides import read_annotated, read_known, reference_side
from talkover.annotate.models.files import is_shipped, read_description
from talkover.annotate.run import annotate_files
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.labels import read_labels
from talkover.manifests.schema import Claim


@given(st.floats(40, 240), st.sampled_from([0.5, 1.0, 2.0]), st.floats(-0.035, 0.035))
def test_a_tempo_may_be_an_octave_and_a_little_off(bpm: float, octave: float, off: float) -> None:
    assert Tempo(name="a", bpm=bpm, said=bpm * octave * (1 + off)).is_right


@pytest.mark.parametrize("said", [None, 100.0 * 1.05, 150.0, 33.3])
def test_other_tempos_are_wrong(said: float | None) -> None:
    assert not Tempo(name="a", bpm=100.0, said=said).is_right


def test_pieces_without_a_tempo_are_left_out(tmp_path: Path) -> None:
    table = tmp_path / "pieces.csv"
    rows = [{"file": "a.wav", "bpm": "90"}, {"file": "b.wav", "bpm": ""}]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "bpm"])
        writer.writeheader()
        writer.writerows(rows)
    assert [(p.path, p.bpm) for p in read_pieces(table)] == [(tmp_path / "a.wav", 90.0)]
    table.write_text("file,bpm\na.wav,fast\n")
    with pytest.raises(ConfigurationError, match=r"pieces\.csv:2: bpm: 'fast'"):
        read_pieces(table)
    table.write_text("file,tempo\na.wav,1\n")
    with pytest.raises(ConfigurationError, match="columns file and bpm"):
        read_pieces(table)


def test_labels_in_a_file_score_like_the_session_they_are_of(
    sessions: Path, tmp_path: Path, oracle: Callable[..., AnnotationConfig]
) -> None:
    audio = sorted((sessions / "audio").rglob("*.flac"))
    folder = tmp_path / "audio"
    folder.mkdir()
    for path in audio:
        (folder / path.name).hardlink_to(path)
    labels = tmp_path / "who.rttm"
    labels.write_text(
        "".join(
            f"SPEAKER {one.session.id} 1 {a:.6f} {b - a:.6f} <NA> <NA> {name} <NA> <NA>\n"
            for one in read_known([sessions])
            for name, spans in reference_side(one.session).activity.items()
            for a, b in spans.tolist()
        )
    )
    recordings = real_set(folder, labels, words=sessions / "labels.ctm")
    assert len(recordings.audio) == 3 and recordings.corpus == "audio"
    annotate_files(recordings.audio, tmp_path / "out", config=oracle(), executor="serial")
    found = score_real(recordings, read_annotated(tmp_path / "out"))
    words = read_labels(sessions / "labels.ctm")
    for name, tallies in found.items():
        assert tallies["der"].error_rate == pytest.approx(0.0, abs=1e-4), name
        said = sum(len(s.words or (s,)) for s in words[name])
        assert (tallies["cut_words"].errors, tallies["cut_words"].length) == (0, said)


def test_recordings_need_labels(tmp_path: Path, sessions: Path) -> None:
    (tmp_path / "other.wav").write_bytes(b"")
    with pytest.raises(ConfigurationError, match="no file like x\\* has labels"):
        real_set(tmp_path, sessions / "labels.rttm", pattern="x*")


def test_the_corpus_is_named_by_the_pattern(sessions: Path) -> None:
    folder = next((sessions / "audio").iterdir())
    assert real_set(folder, sessions / "labels.rttm", pattern="s0*").corpus == "s0"


def test_exposure_is_said_of_backends_whose_training_is_known() -> None:
    pyannote = Claim(backend="pyannote:community-1", version="1", weights_sha256="0" * 64)
    assert exposure(pyannote, "AMI") == "seen in training"
    assert exposure(pyannote, "home recordings") == "not known"
    assert exposure(Claim(backend="energy", version="1"), "ami") == "unseen"
    strange = Claim(backend="talkover-diarizer", version="1", weights_sha256="1" * 64)
    assert exposure(strange, "ami") == "not known"
    if is_shipped("tagger"):
        own = read_description(None, "tagger").weights_sha256
        claim = Claim(backend="talkover-activity", version="1", weights_sha256=own)
        assert exposure(claim, "ami") == "unseen"


def test_the_call_of_pyannote_is_found_without_importing_it() -> None:
    import sys

    before = set(sys.modules)
    sample = pyannote_sample()
    if sample is None:
        pytest.skip("pyannote.audio is not installed")
    assert not {name for name in set(sys.modules) - before if name.startswith("pyannote.audio")}
    assert read_labels(sample.labels)[sample.audio[0].stem]
