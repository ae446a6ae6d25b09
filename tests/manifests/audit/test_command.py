"""The command `talkover audit`: exit codes, JSON, the page, and the names of the library."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from talkover.cli import app, main
from talkover.manifests.audit import Audit


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["talkover", "audit", *words])
        code = 0
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def test_the_exit_code_is_that_of_the_gravest_finding(corpus: Any, run: Any) -> None:
    quick = ("--no-read-audio", "--executor", "serial")
    assert run(str(corpus.write()), *quick)[0] == 0
    corpus.cuts[0]["custom"]["talkover"]["asked"]["duration"] *= 3  # a warning
    folder = str(corpus.write())
    assert run(folder, *quick)[0] == 0
    assert run(folder, *quick, "--fail-on", "warning")[0] == 1
    corpus.cuts[0]["supervisions"][0]["text"] += " more"  # an error
    folder = str(corpus.write())
    code, out, _ = run(folder, *quick)
    assert code == 1 and "s000-000" in out and "text_is_words" in out
    assert run(folder, *quick, "--fail-on", "never")[0] == 0


def test_json_and_page(corpus: Any, run: Any, tmp_path: Path) -> None:
    corpus.cuts[0]["supervisions"][0]["text"] += " more"
    page = tmp_path / "page.html"
    cache = str(corpus.cache)
    words = ("--html", str(page), "--audio", "--json", "--executor", "serial", "--cache", cache)
    code, out, _ = run(str(corpus.write()), *words)
    values = json.loads(out)
    assert code == 1
    assert [one["check"] for one in values["findings"]] == ["text_is_words"]
    assert {one["status"] for one in values["checks"]} == {"passed", "failed", "skipped"}
    assert "<audio" in page.read_text(encoding="utf8")


def test_splits_and_voices_are_named(corpus: Any, run: Any, tmp_path: Path) -> None:
    folder = corpus.write()
    corpus.voices.to_parquet(tmp_path / "voices.parquet")
    words = ("--splits", f"a={folder},b={folder}", "--embeddings", str(tmp_path / "voices.parquet"))
    quick = ("--no-read-audio", "--executor", "serial", "--json", "--checks")
    code, out, _ = run(*words, *quick, "speaker_leaks,one_voice_one_id")
    values = json.loads(out)
    assert code == 1
    states = {one["check"]: one["status"] for one in values["checks"]}
    assert states == {"speaker_leaks": "failed", "one_voice_one_id": "passed"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "no such file"),
        ((), "nothing to audit"),
        ((".", "--fail-on", "always"), "--fail-on"),
        ((".", "--splits", "train"), "NAME=DIR"),
        ((".", "--checks", "nonesuch"), "holds no cuts"),
    ],
)
def test_a_mistake_is_one_line(
    words: tuple[str, ...], message: str, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*words)
    assert code == 1 and message in err and len(err.splitlines()) == 1


def test_options_have_the_names_and_defaults_of_the_library() -> None:
    command = next(
        c.callback for c in app.registered_commands if c.callback and c.callback.__name__ == "audit"
    )
    options = inspect.signature(command).parameters
    names = inspect.signature(Audit.from_manifests).parameters
    other = {"audio": "read_audio"}  # --audio is that of the page
    for name, parameter in names.items():
        if name in ("paths", "limits", "progress"):
            continue
        option = options[other.get(name, name)]
        assert option.default == parameter.default, name
