"""Kaldi data directories."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkover.manifests.errors import ManifestError
from talkover.simulate.corpus import Rejection, Utterance, open_corpus


def data_dir(folder: Path, **tables: str) -> Path:
    for name, content in tables.items():
        (folder / name.replace("wav_scp", "wav.scp")).write_text(content, encoding="utf8")
    return folder


def test_all_tables_are_used(tmp_path: Path) -> None:
    folder = data_dir(
        tmp_path,
        wav_scp="rec1 /data/one file.wav\nrec2 sub/two.flac\n",
        segments="u1 rec1 0.5 2.25\nu2 rec1 3 -1\nu3 rec2 0.1 0.9 B\n",
        utt2spk="u1 ana\nu2 ana\nu3 bo\n",
        text="u1 hello  there\nu3\n",
        spk2gender="ana f\nbo m\n",
        utt2lang="u1 en\nu3 zh\n",
        utt2dur="u1 9\n",
    )
    found = [u for u in open_corpus(folder, licence="MIT") if isinstance(u, Utterance)]
    assert [(u.utterance_id, u.speaker, u.text, u.language, u.gender) for u in found] == [
        ("u1", "ana", "hello there", "en", "female"),
        ("u2", "ana", None, None, "female"),
        ("u3", "bo", None, "zh", "male"),
    ]
    assert [(u.start, u.duration, u.channel) for u in found] == [
        (0.5, 1.75, "mean"),
        (3.0, None, "mean"),
        (0.1, 0.8, 1),
    ]
    assert found[0].path == Path("/data/one file.wav")
    assert (found[2].path, found[2].recording_id) == (tmp_path / "sub" / "two.flac", "rec2")
    assert found[0].licence == "MIT"


def test_a_command_is_rejected_and_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    folder = data_dir(tmp_path, wav_scp=f"u1 touch {trap} |\nu2 b.wav\n", utt2spk="u1 a\nu2 a\n")
    bad, good = open_corpus(folder)
    assert isinstance(bad, Rejection) and isinstance(good, Utterance)
    assert (bad.utterance_id, bad.field) == ("u1", "wav.scp")
    assert "never run" in bad.reason
    assert not trap.exists()


@pytest.mark.parametrize(
    ("segment", "field"),
    [
        ("u1 rec1 0.5", "segments"),
        ("u1 rec1 zero 1", "segments"),
        ("u1 rec1 0 1 Q", "segments"),
        ("u1 nowhere 0 1", "wav.scp"),
        ("nobody rec1 0 1", "utt2spk"),
        ("u1 rec1 2 1", "duration"),
    ],
)
def test_a_bad_segment_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, segment: str, field: str
) -> None:
    folder = data_dir(
        tmp_path,
        wav_scp="rec1 a.wav\n",
        segments=f"{segment}\n\nu2 rec1 0 1\n",
        utt2spk="u1 ana\nu2 ana\n",
    )
    bad, good = open_corpus(folder)
    assert isinstance(bad, Rejection) and isinstance(good, Utterance)
    assert bad.field == field


def test_a_second_line_of_a_key_is_rejected(tmp_path: Path) -> None:
    folder = data_dir(tmp_path, wav_scp="u1 a.wav\nu1 b.wav\n", utt2spk="u1 ana\n")
    bad, good = open_corpus(folder)
    assert isinstance(bad, Rejection) and isinstance(good, Utterance)
    assert (bad.place, good.file) == ("wav.scp:2", "a.wav")


def test_a_directory_without_speakers_is_an_error(tmp_path: Path) -> None:
    data_dir(tmp_path, wav_scp="u1 a.wav\n")
    with pytest.raises(ManifestError, match="no utt2spk"):
        open_corpus(tmp_path)
