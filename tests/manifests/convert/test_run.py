"""The command: what it refuses, what it says, what it guesses, and where it finds the audio."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from talkover.cli import app, main
from talkover.manifests.convert import (
    CONVERTERS,
    LOSSES,
    LossRefused,
    convert,
    converter,
    format_of_input,
    format_of_output,
)
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.io import read_sessions
from talkover.manifests.labels import read_labels
from talkover.manifests.validate import validate

RATE = 16000
RTTM = (
    "SPEAKER talk 1 0.50 1.00 <NA> <NA> ana <NA> <NA>\n"
    "SPEAKER talk 1 1.00 1.50 <NA> <NA> bo <NA> <NA>\n"
)


def recording(path: Path, seconds: float = 4.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, np.zeros(int(seconds * RATE), np.int16), RATE)
    return path


def test_every_format_has_its_row_in_the_table_of_losses() -> None:
    assert CONVERTERS.keys() == LOSSES.keys()
    for name in CONVERTERS:
        assert converter(name).name == name
        assert converter(name).losses == LOSSES[name]


def test_losing_labels_is_refused_with_what_would_be_lost(produced: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.rttm"
    with pytest.raises(LossRefused) as caught:
        convert(produced, target)
    message = str(caught.value)
    assert "rttm cannot hold text (in 1 session: session-1)" in message
    assert "word times" in message and "--allow-loss" in message
    assert "provenance" not in message  # told, but no reason to refuse
    assert not target.exists()
    done = convert(produced, target, allow_loss=True)
    assert len(read_labels(target)["session-1"]) == 4
    assert {loss.what for loss in done.lost if loss.blocks} >= {"text", "word times"}
    assert any("provenance" in loss.what for loss in done.lost if not loss.blocks)


def test_a_loss_that_is_not_there_is_not_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(RTTM)
    done = convert(tmp_path / "a.rttm", tmp_path / "a.stm")  # STM holds no words; there are none
    assert done.lost == ()
    assert (done.sessions, done.utterances) == (1, 2)
    # A text that is not known is a stretch that is not to be scored.
    assert [s.text for s in read_labels(tmp_path / "a.stm")["talk"]] == [None, None]


@pytest.mark.parametrize("name", sorted(set(CONVERTERS) - {"uem"}))
def test_overlap_survives_in_every_format_that_holds_turns(name: str, tmp_path: Path) -> None:
    if name in ("parquet", "datasets"):
        pytest.importorskip("datasets", reason="datasets is in the extra `audit`")
    recording(tmp_path / "talk.wav")
    rows = [
        {"session": "talk", "speaker": s, "start": a, "end": b, "word": w}
        for s, a, b, w in (("ana", 0.5, 1.5, "so"), ("bo", 1.0, 2.5, "yes"), ("cy", 1.0, 1.2, "no"))
    ]
    lines = ["\t".join(rows[0]), *("\t".join(map(str, row.values())) for row in rows)]
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n")
    suffixes = converter(name).suffixes
    one_a_session = name in ("textgrid", "audacity", "srt", "vtt")
    target = tmp_path / ("out" if one_a_session or not suffixes else "out" + suffixes[0])
    if name == "lhotse":
        target = tmp_path / "out"
    convert(tmp_path / "a.tsv", target, to=name, allow_loss=True, audio=tmp_path)
    back = tmp_path / "back.rttm"
    convert(target, back, from_=name, allow_loss=True)
    (segments,) = read_labels(back).values()
    spans = [(round(s.start, 2), round(s.end, 2)) for s in segments]
    assert sorted(spans) == [(0.5, 1.5), (1.0, 1.2), (1.0, 2.5)]
    assert len({s.speaker for s in segments}) == 3


def test_labels_and_a_folder_of_recordings_become_a_folder_of_ours(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(RTTM)
    recording(tmp_path / "wavs" / "talk.wav")
    out = tmp_path / "out"
    convert(tmp_path / "a.rttm", out, audio=tmp_path / "wavs", licence="CC-BY-4.0")
    assert list(validate(out)) == []
    (session,) = read_sessions(out)
    assert (session.origin, session.audio.path) == ("converted", "audio/talk.wav")
    assert session.licences.spdx == ("CC-BY-4.0",)
    assert session.statistics is not None and session.statistics.overlap == 0.5
    assert read_labels(out / "labels.rttm") == read_labels(tmp_path / "a.rttm")
    again = tmp_path / "again"
    convert(tmp_path / "a.rttm", again, audio=tmp_path / "wavs", licence="CC-BY-4.0")
    assert (again / "cuts.jsonl").read_bytes() == (out / "cuts.jsonl").read_bytes()


def test_audio_that_lies_below_the_manifest_stays_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(RTTM)
    recording(tmp_path / "corpus" / "wavs" / "talk.wav")
    convert(tmp_path / "a.rttm", tmp_path / "corpus", audio=tmp_path / "corpus" / "wavs")
    (session,) = read_sessions(tmp_path / "corpus")
    assert session.audio.path == "wavs/talk.wav"
    assert not (tmp_path / "corpus" / "audio").exists()


def test_no_recording_is_said_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(RTTM)
    with pytest.raises(ManifestError, match="--audio"):
        convert(tmp_path / "a.rttm", tmp_path / "out")
    with pytest.raises(ManifestError, match=r"no recording of session 'talk': looked for talk.wav"):
        convert(tmp_path / "a.rttm", tmp_path / "out", audio=tmp_path)
    assert not (tmp_path / "out").exists()


def test_paths_are_relative_to_the_target_or_absolute(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(RTTM)
    wav = recording(tmp_path / "wavs" / "talk.wav")
    options = {"to": "kaldi", "audio": tmp_path / "wavs"}
    convert(tmp_path / "a.rttm", tmp_path / "data" / "train", **options)  # type: ignore[arg-type]
    assert (tmp_path / "data/train/wav.scp").read_text() == "talk ../../wavs/talk.wav\n"
    convert(tmp_path / "a.rttm", tmp_path / "data" / "train", absolute_paths=True, **options)  # type: ignore[arg-type]
    assert (tmp_path / "data/train/wav.scp").read_text() == f"talk {wav}\n"


def test_what_reaches_beyond_the_recording_is_a_loss(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(RTTM)
    recording(tmp_path / "talk.wav", seconds=2.0)
    with pytest.raises(LossRefused, match="outside of the recording"):
        convert(tmp_path / "a.rttm", tmp_path / "out", audio=tmp_path)
    convert(tmp_path / "a.rttm", tmp_path / "out", audio=tmp_path, allow_loss=True)
    assert list(validate(tmp_path / "out")) == []
    (session,) = read_sessions(tmp_path / "out")
    assert session.supervisions[-1].end == 2.0


def test_a_broken_line_is_an_error_or_is_listed(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(RTTM + "SPEAKER talk 1 x 1 <NA> <NA> ana <NA> <NA>\n")
    with pytest.raises(ManifestError, match=r"a.rttm:3: start: must be a time"):
        convert(tmp_path / "a.rttm", tmp_path / "a.stm")
    done = convert(tmp_path / "a.rttm", tmp_path / "a.stm", skip_bad=True)
    assert (done.utterances, len(done.rejected)) == (2, 1)
    (row,) = (tmp_path / "a.stm.rejected.jsonl").read_text().splitlines()
    assert json.loads(row) == {
        "file": "a.rttm",
        "line": 3,
        "field": "start",
        "reason": "must be a time in seconds, got 'x'",
    }


def test_a_name_that_ends_in_gz_is_compressed_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(RTTM)
    for name in ("b.stm.gz", "c.stm.gz"):
        convert(tmp_path / "a.rttm", tmp_path / name)
    assert (tmp_path / "b.stm.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert (tmp_path / "b.stm.gz").read_bytes() == (tmp_path / "c.stm.gz").read_bytes()
    convert(tmp_path / "b.stm.gz", tmp_path / "d.rttm")
    assert read_labels(tmp_path / "d.rttm") == read_labels(tmp_path / "a.rttm")


def test_speakers_of_two_sessions_can_be_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "a.rttm").write_text(RTTM + RTTM.replace("talk", "other"))
    convert(tmp_path / "a.rttm", tmp_path / "b.rttm", local_speakers=True)
    found = read_labels(tmp_path / "b.rttm")
    assert {s.speaker for rows in found.values() for s in rows} == {
        "talk-ana", "talk-bo", "other-ana", "other-bo",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("a.rttm", "", "rttm"),
        ("a.rttm.gz", "", "rttm"),
        ("a.STM", "", "stm"),
        ("a.ctm", "", "ctm"),
        ("a.tsv", "", "words"),
        ("a.uem", "", "uem"),
        ("a.seglst.json", "[", "seglst"),
        ("a.json", "[\n", "seglst"),
        ("a.TextGrid", "", "textgrid"),
        ("a.txt", "", "audacity"),
        ("a.srt", "", "srt"),
        ("a.vtt", "", "vtt"),
        ("a.parquet", "", "parquet"),
        ("train_manifest.json", "", "nemo"),
        ("a.moss.jsonl", "", "moss"),
        ("a.tagspeech.jsonl", "", "tagspeech"),
        ("a.jsonl", '{"conversation": []}\n', "moss"),
        ("a.jsonl", '{"audio_filepath": "x"}\n', "nemo"),
        ("a.json", '{"audio_filepath": "x"}\n', "nemo"),
        ("a.jsonl", '{"id": "c", "type": "MonoCut"}\n', "lhotse"),
        ("supervisions.jsonl", '{"id": "c", "recording_id": "r"}\n', "lhotse-pair"),
        ("d/cuts.jsonl", "", "lhotse"),
        ("d/wav.scp", "", "kaldi"),
        ("d/state.json", "", "datasets"),
        ("d/train_supervisions.jsonl.gz", "", "lhotse-pair"),
        ("d/e/x.TextGrid", "", "textgrid"),
        ("d/x.srt", "", "srt"),
    ],
)
def test_formats_are_told_from_names_and_content(
    tmp_path: Path, name: str, content: str, format: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".jsonl.gz"):
        content = ""
    path.write_text(content)
    assert format_of_input(tmp_path / "d" if name.startswith("d/") else path) == format


def test_a_format_that_nothing_says_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        format_of_input(tmp_path / "gone.rttm")
    (tmp_path / "a.xyz").write_text("")
    with pytest.raises(ConfigurationError, match="--from"):
        format_of_input(tmp_path / "a.xyz")
    with pytest.raises(ConfigurationError, match="--to"):
        format_of_output(tmp_path / "out.xyz")
    assert format_of_output(tmp_path / "out") == "lhotse"
    with pytest.raises(ConfigurationError, match="no format 'nonesuch': choose from lhotse,"):
        converter("nonesuch")


def test_the_command_refuses_with_one_line_and_exit_code_one(
    produced: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["talkover", "convert", str(produced), str(tmp_path / "x.srt")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "srt cannot hold" in line and "--allow-loss" in line
    result = CliRunner().invoke(app, [*words[1:], "--allow-loss", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["lost"]["word times"] == 1
    assert "lost: word times" in result.stderr
    assert (tmp_path / "x.srt").read_text(encoding="utf8").startswith("1\n00:00:00,100 --> ")


def test_the_help_names_every_format() -> None:
    result = CliRunner().invoke(app, ["convert", "--help"])
    listed = set(
        result.output.partition("Formats:")[2].replace(".", ",").replace("\n", " ").split(",")
    )
    assert set(CONVERTERS) <= {name.strip() for name in listed}


def test_names_and_defaults_of_the_command_are_those_of_the_function() -> None:
    import inspect

    command = next(
        c.callback
        for c in app.registered_commands
        if c.callback and c.callback.__name__ == "convert"
    )
    options = inspect.signature(command).parameters
    for name, parameter in inspect.signature(convert).parameters.items():
        assert name in options
        if parameter.default is not inspect.Parameter.empty:
            assert options[name].default == parameter.default, name


def test_the_document_lists_every_format_and_every_loss(repository: Path) -> None:
    document = (repository / "docs" / "convert.md").read_text(encoding="utf8")
    table = document.partition("| format | cannot hold |")[2]
    for name, losses in LOSSES.items():
        (row,) = [line for line in table.splitlines() if line.startswith(f"| `{name}` |")]
        for loss in losses:
            said = f"**{loss.says}**" if loss.blocks else loss.says
            assert said in row, (name, loss.says)


def test_real_labels_and_recordings_become_a_folder_of_ours(
    shared_data: Path, tmp_path: Path
) -> None:
    folder = shared_data / "recordings"
    out = tmp_path / "out"
    done = convert(folder / "references.words.tsv", out, audio=folder)
    assert done.sessions == 12 and not any(loss.blocks for loss in done.lost)
    assert list(validate(out)) == []
    shutil.rmtree(out / "audio")
    assert [v.rule for v in validate(out)] == ["files"] * 12
