"""Scoring files: formats on either side, folders of the data contract, written results."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

from talkover.manifests.errors import ManifestError
from talkover.manifests.io import write_sessions
from talkover.manifests.schema import (
    Audio,
    Licences,
    Provenance,
    RegistrationClip,
    Session,
    Supervision,
    Word,
    time_span,
)
from talkover.manifests.score import score, score_files
from talkover.manifests.score.files import read_cut_times, read_side

RATE = 16000
STM = "s1 1 ana 0.0 1.0 the cat\ns1 1 bo 1.0 2.0 sat on\n"
HYP_STM = "s1 1 x 0.0 1.0 the cat sat\ns1 1 y 1.0 2.0 on\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def make_session(text_of_bo: str = "sat on") -> Session:
    """Two speakers of a second each in three seconds of audio; a third is registered."""
    supervisions = []
    for number, (speaker, text) in enumerate((("ana", "the cat"), ("bo", text_of_bo))):
        span = time_span(number * RATE, RATE, RATE)
        words = tuple(
            Word(symbol=symbol, **time_span(number * RATE + k * 8000, 8000, RATE).model_dump())
            for k, symbol in enumerate(text.split())
        )
        supervisions.append(
            Supervision(
                **span.model_dump(),
                id=f"s1-{number}",
                turn_id=f"t{number}",
                speaker=speaker,
                speaker_local=f"S0{number + 1}",
                regions=(span,),
                word_samples=tuple((w.start_sample, w.num_samples) for w in words),
                word_source="reference",
                text=text,
                gender="F" if number else "M",
                words=words,
            )
        )
    return Session(
        id="s1",
        origin="simulated",
        supervisions=tuple(supervisions),
        audio=Audio(
            path="audio/s1.flac",
            sha256="0" * 64,
            pcm_sha256="0" * 64,
            sampling_rate=RATE,
            num_samples=3 * RATE,
            num_channels=1,
            format="flac",
            subtype="PCM_16",
        ),
        registration=tuple(
            RegistrationClip(
                speaker=name,
                path=f"registration/{name}.flac",
                sha256="0" * 64,
                duration=2.0,
                utterance_ids=("u",),
            )
            for name in ("ana", "bo", "cy")
        ),
        provenance=Provenance(tool="t", version="1", configuration={}, configuration_hash="0" * 64),
        licences=Licences(spdx=("CC0-1.0",)),
        uem=(time_span(0, 3 * RATE, RATE),),
    )


def test_formats_may_differ_between_the_sides(tmp_path: Path) -> None:
    ref = write(tmp_path / "ref.stm", STM)
    segments = [
        {
            "session_id": "s1",
            "speaker": "x",
            "start_time": 0,
            "end_time": 1,
            "words": "the cat sat",
        },
        {"session_id": "s1", "speaker": "y", "start_time": 1, "end_time": 2, "words": "on"},
    ]
    hyp = write(tmp_path / "hyp.json", json.dumps(segments))
    result = score_files(ref, hyp, metrics="cpwer,der")
    assert result.overall["cpwer"].error_rate == 0.5
    assert result.overall["der"].error_rate == 0.0


def test_results_are_written_and_are_the_same_bytes_again(tmp_path: Path) -> None:
    ref, hyp = write(tmp_path / "r.stm", STM), write(tmp_path / "h.stm", HYP_STM)
    outputs = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        paths = [folder / "score.json", folder / "score.md", folder / "score.html"]
        score_files(ref, hyp, json=paths[0], markdown=paths[1], html=paths[2], compare=ref)
        outputs.append([path.read_bytes() for path in paths])
    assert outputs[0] == outputs[1]
    assert json.loads(outputs[0][0])["comparison"]["overall"]["cpwer"]["errors"] == 0


def test_a_folder_brings_regions_length_names_and_fields(tmp_path: Path) -> None:
    write_sessions(tmp_path / "cuts.jsonl", [make_session()])
    hyp = write(tmp_path / "hyp.stm", "s1 1 ana 0.0 1.0 the cat\ns1 1 cy 1.0 1.5 sat\n")
    result = score_files(
        tmp_path,
        hyp,
        metrics="sawer,hallucinated_turns,coverage,der,cut_words",
        strata=["gender"],
    )
    assert result.overall["sawer"].parts["deletions"] == 2
    assert result.overall["hallucinated_turns"].errors == 1
    assert result.overall["coverage"].error_rate == pytest.approx(0.5)
    assert result.overall["der"].errors == pytest.approx(0.5)
    assert set(result.strata["gender"]) == {"F", "M", "F+M"}
    assert result.strata["gender"]["F"]["sawer"].errors == 2


def test_sessions_in_memory_give_the_figures_of_their_file(tmp_path: Path) -> None:
    reference, hypothesis = make_session(), make_session("sat off")
    write_sessions(tmp_path / "cuts.jsonl", [reference])
    write_sessions(tmp_path / "hyp.jsonl", [hypothesis])
    in_memory = score([reference], [hypothesis])
    assert score_files(tmp_path, tmp_path / "hyp.jsonl").overall == in_memory.overall
    assert in_memory.overall["cpwer"].errors == 1


def test_words_of_a_ctm_are_joined_to_segments(tmp_path: Path) -> None:
    ctm = write(tmp_path / "w.ctm", "s1 ana 0.0 0.4 the\ns1 ana 0.5 0.4 cat\ns1 ana 2.0 0.5 sat\n")
    segments = read_side(ctm)["s1"].segments
    assert [(s.start, s.text) for s in segments] == [(0.0, "the cat"), (2.0, "sat")]
    assert [len(s.words or ()) for s in segments] == [2, 1]


def test_the_uem_limits_what_is_scored(tmp_path: Path) -> None:
    ref, hyp = write(tmp_path / "r.stm", STM), write(tmp_path / "h.stm", "s1 1 x 0 1 the cat\n")
    uem = write(tmp_path / "s.uem", "s1 1 0.0 1.0\n")
    assert score_files(ref, hyp, metrics="der").overall["der"].error_rate == 0.5
    assert score_files(ref, hyp, metrics="der", uem=uem).overall["der"].error_rate == 0.0
    with pytest.raises(ManifestError, match="no line for session"):
        score_files(ref, hyp, uem=write(tmp_path / "o.uem", "other 1 0.0 1.0\n"))


def test_cuts_of_a_segmentation_replace_the_segments(tmp_path: Path) -> None:
    ref, hyp = write(tmp_path / "r.stm", STM), write(tmp_path / "h.stm", STM)
    lines = [
        {"id": "c1", "start": 0.0, "duration": 0.5, "recording": {"id": "s1"}},
        {"id": "c2", "start": 0.5, "duration": 1.5, "recording": {"id": "s1"}},
    ]
    cuts = write(tmp_path / "segments.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    assert read_cut_times(cuts) == {"s1": [0.0, 0.5, 2.0]}
    assert score_files(ref, hyp, metrics="cut_turns").overall["cut_turns"].errors == 0
    result = score_files(ref, hyp, metrics="cut_turns", segments=cuts)
    assert result.overall["cut_turns"].errors == 1


def test_a_bad_segmentation_names_file_and_line(tmp_path: Path) -> None:
    cuts = write(tmp_path / "segments.jsonl", '{"id": "c1", "start": 0.0}\n')
    with pytest.raises(ManifestError, match=r"segments\.jsonl:1: not a Lhotse cut"):
        read_cut_times(cuts)


def test_lone_surrogates_of_a_recogniser_do_not_stop_the_page(tmp_path: Path) -> None:
    ref = write(tmp_path / "r.stm", STM)
    segment = {
        "session_id": "s1",
        "speaker": "x",
        "start_time": 0,
        "end_time": 1,
        "words": "a\ud800b",
    }
    hyp = write(tmp_path / "h.json", json.dumps([segment]))
    score_files(ref, hyp, html=tmp_path / "page.html", normalizer="none")
    assert "\\ud800" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_both_ways_to_score_have_the_same_defaults() -> None:
    ours = inspect.signature(score).parameters
    theirs = inspect.signature(score_files).parameters
    shared = set(ours) & set(theirs)
    assert {"metrics", "tcp_collar", "der_collar", "normalizer", "strata", "seed"} <= shared
    assert {n: ours[n].default for n in shared} == {n: theirs[n].default for n in shared}


def test_the_meeting_excerpts_score_themselves_without_error(shared_data: Path) -> None:
    references = shared_data / "recordings" / "references.stm"
    result = score_files(references, references, metrics="cpwer,tcpwer,cpcer,der,jer,aas")
    assert len(result.sessions) > 5
    for tally in result.overall.values():
        assert tally.errors == pytest.approx(0.0, abs=1e-9)
