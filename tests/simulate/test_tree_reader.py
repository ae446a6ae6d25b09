"""Trees of audio files."""

from __future__ import annotations

from pathlib import Path

import pytest

from talkover.manifests.errors import ManifestError
from talkover.simulate.corpus import Rejection, Utterance, open_corpus


def touch(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def test_speakers_ids_topics_and_texts(tmp_path: Path) -> None:
    touch(tmp_path, "19/198/19-198-0000.flac", "19/198/19-198-0001.FLAC", "ana/01.mp3", "bo/x.ogg")
    (tmp_path / "19/198/19-198.trans.txt").write_text("19-198-0000 NORTHANGER ABBEY\n")
    (tmp_path / "ana/01.txt").write_text("﻿two\n words \n", encoding="utf8")
    touch(tmp_path, "ana/notes.doc", "ana/.hidden.wav", ".git/ana/a.wav")
    found = list(open_corpus(tmp_path, name="mine"))
    assert all(isinstance(u, Utterance) for u in found)
    rows = [(u.utterance_id, u.speaker, u.text, u.topic) for u in found if isinstance(u, Utterance)]
    assert rows == [
        ("19-198-0000", "19", "NORTHANGER ABBEY", "198"),
        ("19-198-0001", "19", None, "198"),
        ("ana-01", "ana", "two words", None),
        ("bo-x", "bo", None, None),
    ]
    assert {u.corpus for u in found} == {"mine"}


def test_a_file_outside_of_a_speakers_folder_is_rejected(tmp_path: Path) -> None:
    touch(tmp_path, "stray.wav", "ana/a.wav")
    items = {type(i): i for i in open_corpus(tmp_path)}
    rejected = items[Rejection]
    assert isinstance(rejected, Rejection)
    assert (rejected.field, rejected.file) == ("speaker", "stray.wav")
    assert Utterance in items


def test_a_text_that_is_no_utf8_is_rejected(tmp_path: Path) -> None:
    touch(tmp_path, "ana/a.wav")
    (tmp_path / "ana/a.txt").write_bytes(b"caf\xe9")
    (item,) = open_corpus(tmp_path)
    assert isinstance(item, Rejection)
    assert (item.field, item.utterance_id) == ("text", "ana-a")


def test_a_tree_without_audio_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "ana/a.txt")
    with pytest.raises(ManifestError, match="no audio below it"):
        open_corpus(tmp_path)


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    touch(tmp_path, "real/ana/a.wav")
    root = tmp_path / "root"
    root.mkdir()
    (root / "ana").symlink_to(tmp_path / "real" / "ana")
    (root / "ana" / "loop").symlink_to(root)
    assert [u.utterance_id for u in open_corpus(root)] == ["ana-a"]
