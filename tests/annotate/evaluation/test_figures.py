"""Figures of an annotation: perfect for the truth, and off by just what was made wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from talkover.annotate.config import AnnotationConfig
from talkover.annotate.evaluation.figures import Scored, score_annotation
from talkover.annotate.evaluation.report import F1S, figure_of
from talkover.annotate.evaluation.sides import read_annotated, read_known
from talkover.annotate.run import annotate_files
from talkover.manifests.errors import ManifestError


def scored(sessions: Path, out: Path, config: object) -> Scored:
    known = read_known([sessions])
    annotate_files([one.audio for one in known], out, config=config, executor="serial")  # type: ignore[arg-type]
    return score_annotation(known, read_annotated(out))


def test_the_truth_has_no_fault(
    sessions: Path, tmp_path: Path, oracle: Callable[..., AnnotationConfig]
) -> None:
    found = scored(sessions, tmp_path / "out", oracle())
    overall = found.overall
    assert overall["cut_words"].length > 20 and overall["cut_sounds"].length > 3
    assert overall["cut_words"].parts["cuts"] > 1  # there is something to cut with
    for name in ("cut_words", "cut_sounds", "cut_regions", "der", "jer", "speaker_count"):
        assert overall[name].errors == pytest.approx(0.0, abs=1e-3), name
    for name in F1S - {"speech_boundary_f1"}:
        assert figure_of(name, overall[name]) == pytest.approx(1.0), name
    assert found.coverage == 1.0 and found.lost == {}
    assert {label: tally.errors for label, tally in found.events.items()} == {"buzz": 0}
    assert list(found.folders) == ["out"]


def test_events_half_a_second_late_are_missed_but_for_their_seconds(
    sessions: Path, tmp_path: Path, oracle: Callable[..., AnnotationConfig]
) -> None:
    overall = scored(sessions, tmp_path / "out", oracle(shift=0.5)).overall
    assert figure_of("event_f1", overall["event_f1"]) == 0.0
    assert 0.3 < figure_of("event_segment_f1", overall["event_segment_f1"]) < 1.0  # type: ignore[operator]


def test_events_of_another_label_are_found_by_their_time_alone(
    sessions: Path, tmp_path: Path, oracle: Callable[..., AnnotationConfig]
) -> None:
    found = scored(sessions, tmp_path / "out", oracle(label="bang"))
    assert figure_of("event_f1", found.overall["event_f1"]) == 0.0
    assert figure_of("event_f1_any_label", found.overall["event_f1_any_label"]) == 1.0
    assert set(found.events) == {"bang", "buzz"}


def test_one_voice_for_all_has_no_overlap(
    sessions: Path, tmp_path: Path, oracle: Callable[..., AnnotationConfig]
) -> None:
    overall = scored(sessions, tmp_path / "out", oracle(one_voice=True)).overall
    assert overall["der"].parts["confusion"] > 1.0
    assert overall["overlap_f1"].parts["true_positives"] == 0.0
    assert overall["speaker_count"].errors == 3


def test_a_recording_that_is_rejected_is_lost_with_its_reason(
    sessions: Path, tmp_path: Path, oracle: Callable[..., AnnotationConfig]
) -> None:
    folder = tmp_path / "sessions"
    shutil.copytree(sessions, folder)
    known = read_known([folder])
    known[0].audio.write_bytes(b"no audio")
    found = scored(folder, tmp_path / "out", oracle())
    duration = known[0].session.audio.duration
    assert [reason.partition(":")[0] for reason in found.lost] == ["probe"]
    assert sum(found.lost.values()) == pytest.approx(duration)
    assert found.coverage == pytest.approx(1 - duration / found.seconds)
    missed = found.sessions[known[0].name]["der"]
    assert missed.errors == missed.length > 0


def test_labels_of_a_machine_are_no_truth(
    sessions: Path, tmp_path: Path, oracle: Callable[..., AnnotationConfig]
) -> None:
    scored(sessions, tmp_path / "out", oracle())
    with pytest.raises(ManifestError, match="annotated by a machine"):
        read_known([tmp_path / "out"])
