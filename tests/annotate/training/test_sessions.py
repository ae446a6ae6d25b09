from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkover.annotate.models.mels import NUM_MELS, LogMel, num_frames
from talkover.annotate.models.sound_net import ACTIVITIES
from talkover.annotate.training.sessions import event_labels, hear_sessions, log_mels
from talkover.manifests.errors import ManifestError
from talkover.manifests.io import read_sessions

EVENTS = ("buzz", "hiss")


def test_labels_of_sounds_are_those_of_the_sessions(session_sets: dict[str, Path]) -> None:
    assert event_labels([session_sets["train"]]) == EVENTS


def test_features_in_blocks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    samples = (0.1 * np.random.default_rng(0).standard_normal(40_011)).astype(np.float32)
    whole = LogMel()(torch.from_numpy(samples)[None])[0].T.numpy()
    monkeypatch.setattr("talkover.annotate.training.sessions.BLOCK_FRAMES", 37)
    blocks = log_mels(samples)
    assert blocks.shape == whole.shape == (num_frames(40_011), NUM_MELS)
    np.testing.assert_allclose(blocks, whole, atol=0.02)  # half precision


def test_frames_say_who_speaks_and_what_sounds(
    session_sets: dict[str, Path], tmp_path: Path
) -> None:
    folder = session_sets["train"]
    heard = hear_sessions([folder], tmp_path, EVENTS)
    sessions = list(read_sessions(folder))
    assert [h.id for h in heard] == [s.id for s in sessions]
    for mine, truth in zip(heard, sessions, strict=True):
        assert truth.statistics is not None
        seconds = mine.speaking.any(axis=1).sum() / 100
        assert seconds == pytest.approx(truth.statistics.speech, abs=0.02 * truth.audio.duration)
        assert set(mine.voices) == {s.speaker for s in truth.supervisions}
        for label in EVENTS:
            there = any(e.label == label for e in truth.events if e.duration > 0.2)
            assert mine.sounding[:, len(ACTIVITIES) + EVENTS.index(label)].any() == there
        silence = mine.sounding[:, ACTIVITIES.index("silence")]
        assert not (silence & mine.sounding[:, :3].any(axis=1)).any()
        assert (silence | mine.sounding[:, :3].any(axis=1)).all()
        music = mine.sounding[:, ACTIVITIES.index("music")].sum() / 10
        wanted = sum(e.duration for e in truth.events if e.kind == "music")
        assert music == pytest.approx(wanted, abs=0.2)


def test_features_are_kept_and_taken_again(session_sets: dict[str, Path], tmp_path: Path) -> None:
    first = hear_sessions([session_sets["test"]], tmp_path, EVENTS)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}
    assert len(times) == len(first)
    hear_sessions([session_sets["test"]], tmp_path, EVENTS)
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.npy")}


def test_another_rate_and_no_session_are_refused(
    session_sets: dict[str, Path], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "cuts.jsonl").write_text("")
    with pytest.raises(ManifestError, match="no session to learn from"):
        hear_sessions([empty], tmp_path, EVENTS)
    assert soundfile.info(next(session_sets["train"].rglob("*.flac"))).samplerate == 16000
