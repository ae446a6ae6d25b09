"""The command line: exit codes, one-line errors, and the same names as the library."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from talkover.cli import app, main
from talkover.simulate.request import RunRequest


def talkover(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "talkover.cli", *words], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["simulate", "nowhere.csv", "--out", "o", "--hours", "1"], "nowhere.csv"),
        (["simulate", "x", "--out", "o", "--hours", "1", "--sessions", "2"], "not both"),
        (["simulate", "x", "--out", "o", "--hours", "-1"], "--hours"),
        (["simulate", "x", "--out", "o", "--hours", "1", "--speakers", "two"], "MIN-MAX"),
        (["simulate", "x", "--out", "o", "--hours", "1", "--set", "room.t6=1"], "room.t6"),
        (["simulate", "x", "--out", "o", "--hours", "1", "--set", "room"], "KEY=VALUE"),
        (["simulate", "x", "--out", "o", "--hours", "1", "--turns", "nonesuch"], "nonesuch"),
        (["simulate", "x", "--out", "o", "--hours", "1", "--format", "mp3"], "flac or wav"),
        (["validate", "nowhere"], "nowhere"),
        (["turns", "show", "nonesuch"], "nonesuch"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_one(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["talkover", *words])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr().err
    assert stopped.value.code == 1
    assert message in printed
    assert len(printed.splitlines()) == 1, printed
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "o"])


def test_options_of_simulate_have_the_names_and_defaults_of_the_run() -> None:
    import dataclasses
    import inspect

    command = next(
        c.callback
        for c in app.registered_commands
        if c.callback and c.callback.__name__ == "simulate"
    )
    options = inspect.signature(command).parameters
    for field in dataclasses.fields(RunRequest):
        if field.name in ("config", "output"):  # built from several options
            continue
        assert field.name in options
        if field.default is not dataclasses.MISSING:
            assert options[field.name].default == field.default, field.name


@pytest.mark.medium
def test_simulate_then_validate_then_break_then_validate(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = ["simulate", str(tone_corpus()), "--out", str(out), "--sessions", "2", "--json"]
    made = talkover(*words, "--set", "session.length=[12,14]", "--executor", "serial")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["sessions"] == 2
    assert talkover("validate", str(out)).returncode == 0
    lines = (out / "cuts.jsonl").read_text(encoding="utf8").splitlines()
    cut = json.loads(lines[0])
    cut["supervisions"][0]["start"] -= 100.0
    cut["supervisions"][0]["speaker"] = "../evil"
    (out / "cuts.jsonl").write_text("\n".join([json.dumps(cut), *lines[1:]]) + "\n")
    broken = talkover("validate", str(out))
    assert broken.returncode == 1
    assert "evil" in broken.stdout and "start" in broken.stdout
    assert cut["id"] in broken.stdout


@pytest.mark.medium
def test_strict_exits_one_where_a_target_was_missed(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    # Words of at most 0.35 s after gaps cannot be silent for 60 % of the time and overlap by 60 %.
    words = ["simulate", str(tone_corpus()), "--out", str(tmp_path / "out"), "--sessions", "2"]
    words += [
        "--set",
        "session.length=[12,14]",
        "--set",
        "turns.overlap=0.6",
        "--executor",
        "serial",
    ]
    result = talkover(*words, "--set", "turns.silence=0.6", "--strict")
    assert result.returncode == 1


def test_help_is_quick_because_commands_import_late() -> None:
    heavy = "('lhotse', 'torch', 'scipy', 'pydantic')"
    code = f"import sys, talkover.cli; print(any(m in sys.modules for m in {heavy}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "False"


def test_options_of_annotate_have_the_names_and_defaults_of_the_run() -> None:
    from inspect import signature

    from talkover.annotate.commands import annotate
    from talkover.annotate.run import annotate_files

    options = {name: p.default for name, p in signature(annotate).parameters.items()}
    run = {name: p.default for name, p in signature(annotate_files).parameters.items()}
    assert set(run) - set(options) == {"progress"}
    assert set(options) - set(run) == {"set_", "channel", "strict", "as_json"}
    for name in set(run) & set(options) - {"config"}:
        assert options[name] == run[name], name


def test_annotate_lists_what_it_rejects_and_validate_is_content(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import soundfile

    rng = np.random.default_rng(0)
    signal = 1e-4 * rng.standard_normal(48000)
    signal[8000:24000] += 0.2 * rng.standard_normal(16000)
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", signal, 16000)
    (tmp_path / "in" / "b.wav").write_text("no audio")
    kinds = ("activity", "diarizer", "music", "events", "quality")
    words = ["annotate", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--json"]
    words += ["--set", "backends.vad=energy", "--executor", "serial"]
    words += [part for kind in kinds for part in ("--set", f"backends.{kind}=none")]
    for extra, code in (([], 0), (["--strict"], 1)):
        monkeypatch.setattr(sys, "argv", ["talkover", *words, *extra])
        try:
            main()
            exit_code = 0
        except SystemExit as error:
            exit_code = int(error.code or 0)
        assert exit_code == code
        printed = capfd.readouterr()
        assert "b.wav: probe: not decodable" in printed.err
        values = json.loads(printed.out)
        assert (values["recordings"], values["segments"], values["rejected"]) == (1, 1, 1)
    monkeypatch.setattr(sys, "argv", ["talkover", "validate", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def test_a_missing_extra_is_named_in_one_line(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['safetensors'] = None; from talkover.cli import main; "
        f"sys.argv = ['talkover', 'transcribe', 'x.wav', '--checkpoint', {str(tmp_path)!r}, "
        f"'--out', {str(tmp_path / 'out')!r}]; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        'talkover: this needs safetensors: pip install -c constraints.txt -e ".[model]"'
    )
