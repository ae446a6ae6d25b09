"""`talkover evaluate`: every session scored once, failures counted, the same bytes."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.audio import write_audio
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.io import SessionAudio, read_sessions, write_sessions
from talkover.manifests.score import score_files
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator
from talkover.model.checkpoints import save_model
from talkover.model.codec import SatsCodec
from talkover.model.data.examples import Example
from talkover.model.evaluate import STRATA, evaluate
from talkover.model.evaluate_page import timeline, worst_first
from talkover.model.evaluate_report import to_json, to_text
from talkover.model.evaluate_table import boundary_error, resampled_medians, shown, table_of
from talkover.model.evaluate_types import Evaluation
from talkover.model.inference.files import transcribe_files
from talkover.model.presets import Preset
from talkover.model.run import Surveyed, make_model
from talkover.model.transcribe import Answer, Transcriber

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
    surveyed: Surveyed,
    codec: SatsCodec,
    small: Callable[..., Preset],
) -> Path:
    """Random weights."""
    folder = tmp_path_factory.mktemp("checkpoint")
    model, _ = make_model(small(), surveyed)
    save_model(model, codec, folder)
    return folder


@pytest.fixture(scope="module")
def spoiled(
    tmp_path_factory: pytest.TempPathFactory,
    write_tones: Callable[..., Path],
    tone_items: list[SessionAudio],
) -> Path:
    """Eight sessions: one with NaN, one without its file, one without text, one silent."""
    folder = write_tones(tmp_path_factory.mktemp("spoiled") / "corpus", tone_items[:8])
    sessions = list(read_sessions(folder))
    broken = np.full((1, 16000), np.nan, np.float32)
    import soundfile

    soundfile.write(folder / sessions[0].audio.path, broken.T, 16000, subtype="FLOAT")
    (folder / sessions[1].audio.path).unlink()
    rows = [row.model_copy(update={"text": None}) for row in sessions[2].supervisions]
    sessions[2] = sessions[2].model_copy(update={"supervisions": tuple(rows)})
    silence = np.zeros((1, sessions[3].audio.num_samples), np.float32)
    write_audio(folder / sessions[3].audio.path, silence, 16000, format="wav", subtype="FLOAT")
    write_sessions(folder / "cuts.jsonl", sessions)
    return folder


@pytest.fixture(scope="module")
def evaluation(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, spoiled: Path
) -> tuple[Evaluation, Path]:
    out = tmp_path_factory.mktemp("evaluated")
    return evaluate(checkpoint, [spoiled], out, diarizer="oracle", bootstrap=50), out


def test_every_session_is_scored_or_skipped_and_that_once(
    evaluation: tuple[Evaluation, Path], spoiled: Path
) -> None:
    found, out = evaluation
    everything = [session.id for session in read_sessions(spoiled)]
    for system in found.systems:
        assert sorted([*system.result.sessions, *found.skipped]) == sorted(everything)
        heard = [session.id for session in system.hypothesis]
        assert sorted([*heard, *system.failed, *found.skipped]) == sorted(everything)
    values = json.loads((out / "result.json").read_text(encoding="utf8"))
    assert sorted([*values["sessions"], *values["skipped"]]) == sorted(everything)
    strata = found.model.result.strata["speakers"].values()
    assert sum(tallies["fail_rate"].length for tallies in strata) == len(everything) - 1


def test_a_session_that_fails_counts_with_all_its_words(
    evaluation: tuple[Evaluation, Path], spoiled: Path
) -> None:
    found, _ = evaluation
    sessions = {session.id: session for session in read_sessions(spoiled)}
    assert set(found.model.failed) == {"s000", "s001", "s003"}
    assert found.model.failed["s001"] == "missing"
    assert found.skipped == {"s002": "speech without text"}
    for system in found.systems:
        for id in system.failed:
            words = sum(len((row.text or "").split()) for row in sessions[id].supervisions)
            tally = system.result.sessions[id]["cpwer"]
            assert (tally.errors, tally.length) == (words, words)
            assert tally.parts["deletions"] == words
        assert system.result.overall["fail_rate"].errors == 3


def test_the_oracle_knows_who_and_when(evaluation: tuple[Evaluation, Path]) -> None:
    found, _ = evaluation
    assert found.cascade is not None
    for id in (session.id for session in found.cascade.hypothesis):
        tallies = found.cascade.result.sessions[id]
        assert tallies["der"].errors == pytest.approx(0.0, abs=1e-6)
        assert tallies["speaker_count"].errors == 0
    assert boundary_error(found.cascade.result.overall) == 0.0
    comparison = found.model.result.comparison
    assert comparison is not None and "cpwer" in comparison.differences


def test_a_model_that_writes_the_reference_makes_no_error(
    checkpoint: Path,
    tone_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = {session.id: session for session in read_sessions(tone_folder)}

    def write(self: Transcriber, examples: Sequence[Example]) -> list[Answer]:
        texts = [
            self.codec.serializer.encode(self.codec.transcribed(sessions[e.id]).transcript)
            for e in examples
        ]
        return [
            Answer(
                id=e.id, text=t, parsed=self.codec.parse(t), num_tokens=len(t), is_truncated=False
            )
            for e, t in zip(examples, texts, strict=True)
        ]

    monkeypatch.setattr(Transcriber, "answers", write)
    found = evaluate(checkpoint, [tone_folder], bootstrap=0)
    overall = found.model.result.overall
    assert found.model.result.sessions.keys() == sessions.keys()
    for name in ("wer", "cpwer", "tcpwer", "speaker_count", "fail_rate", "delta_cp_wer"):
        assert overall[name].errors == 0 and overall[name].length > 0, name
    error = boundary_error(overall)
    assert error is not None and error <= 0.05 + 1e-6  # times have one digit


def test_label_files_give_the_same_figures_again(evaluation: tuple[Evaluation, Path]) -> None:
    found, out = evaluation
    for system in found.systems:
        again = score_files(
            out / "reference" / "labels.stm", out / system.name / "labels.stm", metrics="cpwer,wer"
        )
        for name in ("cpwer", "wer"):
            mine = system.result.overall[name]
            assert (again.overall[name].errors, again.overall[name].length) == (
                mine.errors,
                mine.length,
            )


def test_the_same_evaluation_is_the_same_bytes(
    evaluation: tuple[Evaluation, Path], checkpoint: Path, spoiled: Path, tmp_path: Path
) -> None:
    _, out = evaluation
    evaluate(checkpoint, [spoiled], tmp_path, diarizer="oracle", bootstrap=50)
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert len(files) == 4 + 3 * 5
    for file in files:
        assert (tmp_path / file).read_bytes() == (out / file).read_bytes(), file


def test_the_page_shows_every_session_worst_first_and_needs_nothing_else(
    evaluation: tuple[Evaluation, Path],
) -> None:
    found, out = evaluation
    page = (out / "index.html").read_text(encoding="utf8")
    order = worst_first(found.model.result)
    assert re.findall(r'<section id="(.+?)">', page) == order
    rates = [found.model.result.sessions[id]["cpwer"].error_rate for id in order]
    assert rates == sorted(rates, reverse=True)  # type: ignore[type-var]
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 2 * len(order)
    for drawing in drawings:
        ElementTree.fromstring(drawing)


@pytest.mark.slow
def test_a_browser_draws_every_timeline_without_a_word_in_the_console(
    evaluation: tuple[Evaluation, Path], tmp_path: Path
) -> None:
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    found, out = evaluation
    done = subprocess.run(
        [
            *(chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--enable-logging=stderr", "--v=0", f"--user-data-dir={tmp_path / 'profile'}"),
            *("--dump-dom", (out / "index.html").as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr  # refused styles and broken tags say so there
    assert done.stdout.count("<svg") == 2 * len(found.model.result.sessions)


def test_a_timeline_escapes_what_was_said(make_tones: Callable[..., SessionAudio]) -> None:
    session = make_tones("s", [("ana", 0.2, "<b>&")], 2.0).session
    drawing = timeline("<i>", session.supervisions, session.supervisions, 2.0, {"ana": "ana"})
    assert "".join(ElementTree.fromstring(drawing).itertext()).count("<b>&") == 4
    assert "<b>" not in drawing and "<i>" not in drawing


def test_one_table_has_both_systems_by_number_of_speakers_with_intervals(
    evaluation: tuple[Evaluation, Path],
) -> None:
    found, out = evaluation
    rows = table_of(found)
    assert [row.system for row in rows] == ["model"] * 3 + ["cascade"] * 3
    assert [row.speakers for row in rows] == [None, 1, 2] * 2
    for system, three in (("model", rows[:3]), ("cascade", rows[3:])):
        result = next(s.result for s in found.systems if s.name == system)
        whole, *parts = three
        assert whole.num_sessions == sum(row.num_sessions for row in parts) == 7
        for name in ("wer", "cpwer", "delta_cp_wer", "der", "fail_rate"):
            figure = whole.figures[name]
            assert figure is not None and figure.interval is not None
            assert figure.value == result.overall[name].error_rate
            assert figure.interval == pytest.approx(result.intervals[name])
            for row in parts:
                part = row.figures[name]
                assert part is not None
                tally = result.strata["speakers"][str(row.speakers)][name]
                assert part.value == pytest.approx(tally.error_rate)
                assert part.interval is not None and part.interval[0] <= part.interval[1]
    values = json.loads((out / "result.json").read_text(encoding="utf8"))
    assert len(values["table"]) == 6
    text, page = ((out / n).read_text(encoding="utf8") for n in ("result.md", "index.html"))
    cpwer = rows[5].figures["cpwer"]
    assert shown("cpwer", cpwer) in text and shown("cpwer", cpwer) in page
    assert values["table"][5]["figures"]["cpwer"]["value"] == round(cpwer.value, 6)  # type: ignore[union-attr]


def test_three_manifests_at_once_give_all_rows(
    checkpoint: Path,
    tmp_path: Path,
    write_tones: Callable[..., Path],
    make_tones: Callable[..., SessionAudio],
) -> None:
    folders = []
    for count in (1, 2, 3):
        people = ["ana", "bo", "cy"][:count]
        turns = [(name, 0.2 + 0.4 * n, "wahid") for n, name in enumerate(people)]
        items = [make_tones(f"t{count}-{n}", turns, 2.0) for n in range(2)]
        folders.append(write_tones(tmp_path / f"{count}", items))
    rows = table_of(evaluate(checkpoint, folders, bootstrap=20))
    assert [(row.speakers, row.num_sessions) for row in rows] == [(None, 6), (1, 2), (2, 2), (3, 2)]


@given(st.lists(st.lists(st.floats(0, 1), max_size=4), min_size=1, max_size=6), st.integers(0, 9))
def test_resampled_medians_are_those_of_a_loop(shifts: list[list[float]], seed: int) -> None:
    values = np.array([value for own in shifts for value in own])
    owner = np.repeat(np.arange(len(shifts)), [len(own) for own in shifts])
    found = resampled_medians(values, owner, len(shifts), 5, seed)
    rng = generator(seed, SESSION_OF_CORPUS, "evaluate/boundary")
    share = np.full(len(shifts), 1 / len(shifts))
    expected = []
    for counts in rng.multinomial(len(shifts), share, size=5):
        drawn = [v for own, n in zip(shifts, counts, strict=True) for v in own * int(n)]
        expected += [float(np.median(drawn))] if drawn else []
    assert found.tolist() == pytest.approx(expected)


def test_the_report_names_systems_failures_and_skips(
    evaluation: tuple[Evaluation, Path],
) -> None:
    found, _ = evaluation
    text = to_text(found)
    assert text.count("| model | all | 7 |") == 1 and text.count("| cascade | all | 7 |") == 1
    assert "s001 (missing)" in text and "s002 (speech without text)" in text
    assert json.loads(to_json(found))["boundary_error"].keys() == {"overall", "overlap", "speakers"}


def test_what_cannot_be_evaluated_is_one_clear_error(
    checkpoint: Path, spoiled: Path, tone_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ManifestError, match="already"):
        evaluate(checkpoint, [tone_folder, spoiled])
    with pytest.raises(ConfigurationError, match="unknown metric"):
        evaluate(checkpoint, [tone_folder], metrics=["nonsense"])
    with pytest.raises(ConfigurationError, match="not a checkpoint"):
        evaluate(tmp_path, [tone_folder])
    with pytest.raises(ConfigurationError, match="device"):
        evaluate(checkpoint, [tone_folder], device="abacus")
    silent = tmp_path / "cuts.jsonl"
    write_sessions(silent, [s for s in read_sessions(spoiled) if s.id == "s002"])
    with pytest.raises(ManifestError, match="no session can be scored"):
        evaluate(checkpoint, [silent])


def test_evaluate_from_the_command_line(checkpoint: Path, spoiled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["evaluate", str(checkpoint), str(spoiled), "--out", str(out), "--bootstrap", "0"]
    done = CliRunner().invoke(app, [*arguments, "--metrics", "cpwer,der", "--json"])
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)["overall"]) == {"cpwer", "der"}
    assert "skipped s002: speech without text" in done.stderr
    assert (out / "index.html").is_file()


@pytest.mark.parametrize("name", ["evaluate", "transcribe"])
def test_options_have_the_names_and_defaults_of_the_function(name: str) -> None:
    function = {"evaluate": evaluate, "transcribe": transcribe_files}[name]
    command = next(c.callback for c in app.registered_commands if c.callback.__name__ == name)  # type: ignore[union-attr]
    options = inspect.signature(command).parameters  # type: ignore[arg-type]
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "progress":
            continue
        assert parameter.name in options
        if parameter.name not in ("out", "strata") and parameter.default is not parameter.empty:
            assert options[parameter.name].default == parameter.default, parameter.name
    if name == "evaluate":
        assert options["strata"].default.split(",") == list(STRATA)
