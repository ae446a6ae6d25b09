"""`talkover transcribe`: any audio to a folder that keeps the contract."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.errors import ConfigurationError, RunError
from talkover.manifests.io import SessionAudio, read_sessions
from talkover.manifests.labels import read_labels
from talkover.manifests.markers import file_sha256
from talkover.manifests.validate import validate
from talkover.model.checkpoints import save_model
from talkover.model.codec import SatsCodec
from talkover.model.data.examples import Example
from talkover.model.inference.files import session_ids, transcribe_files
from talkover.model.presets import Preset
from talkover.model.run import Surveyed, make_model
from talkover.model.transcribe import Answer, Transcriber


@pytest.fixture(scope="module")
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory,
    surveyed: Surveyed,
    codec: SatsCodec,
    small: Callable[..., Preset],
) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    model, _ = make_model(small(), surveyed)
    save_model(model, codec, folder)
    return folder


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, tone_items: list[SessionAudio]) -> Path:
    """Good ones of several rates, formats and lengths, and five that are no good."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "below").mkdir()
    one = tone_items[0].samples[0]
    long = np.concatenate([item.samples[0] for item in tone_items])
    soundfile.write(folder / "one.wav", one, 16000)
    soundfile.write(folder / "below" / "one.flac", one[::2], 8000)
    soundfile.write(folder / "long stereo.wav", np.stack([long, long], 1), 16000)
    soundfile.write(folder / "high.ogg", np.repeat(one, 3)[: 48000 * 2], 48000)
    soundfile.write(folder / "quiet.wav", np.zeros(16000), 16000)
    soundfile.write(folder / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    soundfile.write(folder / "short.wav", one[:100], 16000)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.mp3").write_text("no audio")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def write_by_script(self: Transcriber, examples: Sequence[Example]) -> list[Answer]:
    """Two speakers in whatever is heard; random weights may find that nothing was said."""
    text = "[0.5][S01]wahid ithnan[1.0][0.8][S02]arbaa[1.4]"
    parsed = self.codec.parse(text)
    assert len(parsed.transcript.turns) == 2
    return [
        Answer(id=e.id, text=text, parsed=parsed, num_tokens=9, is_truncated=False)
        for e in examples
    ]


@pytest.fixture(scope="module")
def transcribed(
    tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, recordings: Path
) -> Path:
    out = tmp_path_factory.mktemp("transcribed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transcriber, "answers", write_by_script)
        files = [recordings, recordings / "one.wav", recordings / "gone.wav"]
        transcribe_files(files, checkpoint, out)
    return out


def test_every_file_is_a_session_or_rejected_with_its_reason(
    transcribed: Path, recordings: Path
) -> None:
    sessions = {session.id for session in read_sessions(transcribed)}
    assert sessions == {"one", "one-2", "long_stereo", "high", "quiet"}
    lines = (transcribed / "rejected.jsonl").read_text(encoding="utf8").splitlines()
    rejected = {Path(row["path"]).name: row["reason"] for row in map(json.loads, lines)}
    assert set(rejected) == {"nan.wav", "short.wav", "empty.wav", "text.mp3", "gone.wav"}
    assert rejected["gone.wav"] == "missing" and "not decodable" in rejected["text.mp3"]
    assert "finite" in rejected["nan.wav"] and "shorter" in rejected["short.wav"]


def test_the_folder_keeps_the_contract_and_claims_what_it_says(
    transcribed: Path, recordings: Path, checkpoint: Path
) -> None:
    assert [violation.text() for violation in validate(transcribed)] == []
    sessions = {session.id: session for session in read_sessions(transcribed)}
    assert sessions["high"].audio.sampling_rate == 48000
    assert sessions["long_stereo"].audio.num_channels == 2
    assert sessions["quiet"].supervisions == ()
    kept = transcribed / sessions["long_stereo"].audio.path
    assert kept.read_bytes() == (recordings / "long stereo.wav").read_bytes()
    weights = file_sha256(checkpoint / "model.safetensors")
    rows = [row for session in sessions.values() for row in session.supervisions]
    assert rows and all(session.origin == "annotated" for session in sessions.values())
    for row in rows:
        assert row.claim is not None and row.claim.backend == "talkover-sats"
        assert row.claim.weights_sha256 == weights


def test_all_outputs_tell_the_same_story(transcribed: Path) -> None:
    sessions = list(read_sessions(transcribed))
    spoken = [session for session in sessions if session.supervisions]
    assert {session.id for session in sessions} - {session.id for session in spoken} == {"quiet"}
    for name in ("labels.rttm", "labels.seglst.json", "labels.stm"):
        assert set(read_labels(transcribed / name)) == {session.id for session in spoken}
    for session in sessions:
        document = json.loads((transcribed / f"transcripts/{session.id}.json").read_text("utf8"))
        assert [turn["text"] for turn in document["turns"]] == [
            row.text for row in session.supervisions
        ]
        subtitles = (transcribed / f"subtitles/{session.id}.srt").read_text("utf8")
        with_words = [row for row in session.supervisions if (row.text or "").strip()]
        assert subtitles.count(" --> ") == len(with_words)


def test_the_same_recordings_give_the_same_bytes(
    transcribed: Path,
    checkpoint: Path,
    recordings: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Transcriber, "answers", write_by_script)
    transcribe_files([recordings, recordings / "gone.wav"], checkpoint, tmp_path)
    files = sorted(p.relative_to(transcribed) for p in transcribed.rglob("*") if p.is_file())
    assert len(files) == 5 + 2 + 3 * 5
    for file in files:
        assert (tmp_path / file).read_bytes() == (transcribed / file).read_bytes(), file


def test_nothing_that_works_is_exit_code_1_and_a_corpus_is_never_overwritten(
    checkpoint: Path, recordings: Path, tone_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match="none of 1 files"):
        transcribe_files([recordings / "nan.wav"], checkpoint, tmp_path / "out")
    assert (tmp_path / "out" / "rejected.jsonl").read_text().count("\n") == 1
    assert not (tmp_path / "out" / "cuts.jsonl").exists()
    before = (tone_folder / "cuts.jsonl").read_bytes()
    with pytest.raises(ConfigurationError, match="not a transcription"):
        transcribe_files([recordings / "one.wav"], checkpoint, tone_folder)
    assert (tone_folder / "cuts.jsonl").read_bytes() == before
    with pytest.raises(ConfigurationError, match="lies in"):
        transcribe_files([recordings], checkpoint, recordings / "out")


def test_ids_are_safe_and_differ_also_where_file_systems_know_no_case() -> None:
    paths = [Path(name) for name in ("a/x.wav", "b/X.wav", "x-2.wav", ".x.wav", "é è.wav")]
    ids = session_ids(paths)
    assert len({id.casefold() for id in ids}) == len(paths)
    assert ids == ["x", "X-2", "x-2-2", "_x", "___"]


def test_transcribe_from_the_command_line(
    checkpoint: Path, recordings: Path, tmp_path: Path
) -> None:
    files = [str(recordings / "one.wav"), str(recordings / "nan.wav")]
    arguments = ["transcribe", *files, "--checkpoint", str(checkpoint), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert (printed["sessions"], printed["rejected"]) == (1, 1)
    assert "nan.wav" in done.stderr
