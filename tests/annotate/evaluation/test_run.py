"""The whole evaluation: what it writes, what it prints, and what its exit code says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest

from talkover.annotate.config import AnnotationConfig
from talkover.annotate.evaluation.figures import Scored
from talkover.annotate.evaluation.report import (
    AT_LEAST,
    AT_MOST,
    Evaluation,
    RealScored,
    rows_of,
    to_markdown,
)
from talkover.annotate.evaluation.run import _voice_intervals, evaluate_annotator
from talkover.annotate.evaluation.voices import Recognition
from talkover.cli import annotate_eval, app
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.score.tally import Tally


def test_an_evaluation_writes_all_its_figures(
    sessions: Path, tmp_path: Path, oracle: Callable[..., AnnotationConfig]
) -> None:
    heard: list[float] = []
    found = evaluate_annotator(
        [sessions],
        tmp_path / "out",
        config=oracle(),
        sample=False,
        bootstrap=20,
        executor="serial",
        progress=heard.append,
    )
    rows = {row.figure: row for row in rows_of(found)}
    assert all(rows[name].holds for name in ("cut_words", "cut_sounds", "coverage", "event_f1"))
    assert rows["der"].bar == "" and rows["der"].holds is None
    assert found.voices is None  # no embedder
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["simulated"]["overall"]["cut_words"]["errors"] == 0
    assert set(written["backends"]) == {"diarizer", "events", "music"}
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert text == to_markdown(found) and "Every second is in a segment." in text
    assert sum(heard) == pytest.approx(found.simulated.seconds)  # type: ignore[union-attr]
    low, high = found.intervals["der"]
    assert low <= high


def test_nothing_to_score_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nothing to score"):
        evaluate_annotator([], tmp_path, sample=False)


def test_bars_hold_at_the_bar_and_not_beyond() -> None:
    def of(**figures: float) -> dict[str, bool | None]:
        tallies = {name: Tally(errors=value, length=1.0) for name, value in figures.items()}
        scored = Scored(sessions={"a/b": tallies}, events={}, seconds=1000.0, lost={"x": 5.0})
        return {row.figure: row.holds for row in rows_of(Evaluation(claims={}, simulated=scored))}

    assert of(cut_turns=0.02, overlap_f1=0.4) == {
        "coverage": True,
        "cut_turns": True,
        "overlap_f1": True,
    }
    beyond = of(cut_turns=0.021, overlap_f1=0.41, cut_words=0.006, der=0.9)
    assert {n for n, holds in beyond.items() if holds is False} == {
        "cut_turns",
        "overlap_f1",
        "cut_words",
    }
    real = {"x": {"der": Tally(errors=0.31, length=1.0)}}
    rows = rows_of(
        Evaluation(
            claims={},
            voices=Recognition(unknown=20, accepted=2),
            real=[RealScored(name="ami", sessions=real, exposure={"diarizer": "unseen"})],
        )
    )
    assert [row.figure for row in rows if row.holds is False] == [
        "accepted_unknown",
        "ami: der (diarizer unseen)",
    ]
    assert set(AT_MOST) & set(AT_LEAST) == set()


def test_strangers_are_reported_with_an_interval_by_person() -> None:
    strangers = {"ana": (10, 10), "bo": (10, 0)}
    voices = Recognition(enrolled=10, groups=2, unknown=20, accepted=10, strangers=strangers)
    intervals = _voice_intervals(voices, 200, 0)
    assert intervals == {"accepted_unknown": (0.0, 1.0)}  # of two people, not of twenty trials
    assert _voice_intervals(None, 200, 0) == {}
    found = Evaluation(
        claims={},
        simulated=Scored(sessions={}, events={}, seconds=10.0, lost={}),
        voices=voices,
        intervals=intervals,
    )
    text = (
        "Strangers: 10 of 20 trials got a name; 2 people, 2 groups of 10 voices in all; "
        "95 % interval of the share by person 0.000 to 1.000."
    )
    assert text in to_markdown(found)
    assert text not in to_markdown(replace(found, voices=None))


def test_options_of_the_command_have_the_names_and_defaults_of_the_function() -> None:
    options = {name: p.default for name, p in signature(annotate_eval).parameters.items()}
    run = {name: p.default for name, p in signature(evaluate_annotator).parameters.items()}
    assert set(run) - set(options) == {"progress"}
    for name in set(run) & set(options) - {"manifests", "config", "real"}:
        assert options[name] == run[name], name


def test_the_command_simulates_annotates_and_scores(
    tone_corpus: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tmp_path / "dry.yaml"
    config.write_text(
        "room: {kind: dry}\nsession: {length: [10, 12]}\nregistration: {lengths: []}\n"
    )
    off = ("activity", "diarizer", "embedder", "music", "events", "quality")
    words = ["annotate-eval", str(tone_corpus()), "--simulate", str(config), "--hours", "0.006"]
    words += ["--out", str(tmp_path / "out"), "--no-sample", "--executor", "serial", "--json"]
    words += [part for kind in off for part in ("--set", f"backends.{kind}=none")]
    words += ["--set", "backends.vad=energy"]
    app(words, standalone_mode=False)
    printed = json.loads(capsys.readouterr().out)
    figures = {row["figure"]: row for row in printed["figures"]}
    assert figures["coverage"]["holds"] is True and figures["cut_words"]["count"] > 5
    assert printed["simulated"]["seconds"] >= 20.0


def test_strict_fails_where_a_bar_is_missed(
    sessions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    off = ("activity", "diarizer", "embedder", "music", "events", "quality")
    words = ["annotate-eval", str(sessions), "--out", str(tmp_path / "out"), "--no-sample"]
    words += ["--set", "backends.vad=energy", "--executor", "serial", "--strict"]
    words += [part for kind in off for part in ("--set", f"backends.{kind}=none")]
    assert app(words, standalone_mode=False) == 1  # no event is ever found
    assert "**missed**" in capsys.readouterr().out
