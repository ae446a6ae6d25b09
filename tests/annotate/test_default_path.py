"""The whole default chain: no network, the same bytes for any workers, near copies found.

Where talkover's own weights are not installed, random ones of the same shapes take their place.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from talkover.annotate.config import AnnotationConfig, load_config
from talkover.annotate.models.embedding import SpeakerEmbedding
from talkover.annotate.models.files import is_shipped, save_model
from talkover.annotate.models.segmentation import LocalSpeakers
from talkover.annotate.models.tagger import Tagger
from talkover.annotate.run import annotate_files
from talkover.manifests.io import read_sessions
from talkover.manifests.validate import validate

pytest.importorskip("silero_vad")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.medium  # every worker loads PyTorch

MODELS: dict[Any, Any] = {
    "segmentation": LocalSpeakers,
    "embedding": SpeakerEmbedding,
    "tagger": Tagger,
}
OPTIONS = {
    "segmentation": ["diarizer.options.segmentation"],
    "embedding": ["diarizer.options.embedding", "embedder.options.embedding"],
    "tagger": ["activity.options.tagger"],
}


@pytest.fixture(scope="module")
def default(tmp_path_factory: pytest.TempPathFactory) -> AnnotationConfig:
    folder = tmp_path_factory.mktemp("models")
    chosen = []
    for kind, model in MODELS.items():
        if not is_shipped(kind):
            from dataclasses import asdict

            made = model.untrained()
            save_model(
                folder / kind,
                made.network,
                kind=kind,
                version="random",
                licence="Apache-2.0",
                hyper_parameters=asdict(made.network.config),
                settings=made.settings,
                training={},
            )
            chosen += [f"backends.{option}={folder / kind}" for option in OPTIONS[kind]]
    return load_config(None, [*chosen, "segmentation.preferred=5", "segmentation.longest=10"])


def voice(rng: np.random.Generator, pitch: float, seconds: float) -> np.ndarray:
    """Syllables of a buzz with formants: enough of a voice for a VAD."""
    t = np.arange(round(seconds * 16000)) / 16000
    glide = pitch * (1 + 0.05 * np.sin(2 * np.pi * 0.7 * t))
    buzz = np.sign(np.sin(2 * np.pi * np.cumsum(glide) / 16000)) * np.exp(-((t * glide) % 1.0) * 3)
    syllables = 0.5 * (1 + np.sin(2 * np.pi * 4 * t + rng.uniform(0, 6)))
    return 0.2 * buzz * syllables + 0.002 * rng.standard_normal(len(t))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("in")
    rng = np.random.default_rng(0)
    talk = np.zeros(24 * 16000)
    for start, pitch in ((1, 110), (6, 220), (10, 110), (16, 220)):
        part = voice(rng, pitch, 4.0)
        talk[start * 16000 :][: len(part)] += part
    soundfile.write(folder / "talk.wav", np.clip(talk, -1, 1), 16000)
    soundfile.write(folder / "talk quieter.flac", np.clip(0.5 * talk, -1, 1), 16000)
    soundfile.write(folder / "tiny.wav", talk[16000:16050], 16000)
    soundfile.write(folder / "silence.wav", np.zeros(30000), 8000)
    return folder


def test_the_default_chain_opens_no_connection_and_labels_everything(
    recordings: Path, tmp_path: Path, default: AnnotationConfig, no_network: list[object]
) -> None:
    voices = tmp_path / "voices"
    voices.mkdir()
    low = voice(np.random.default_rng(5), 110, 6.0)
    soundfile.write(voices / "low.wav", np.clip(low, -1, 1), 16000)
    done = annotate_files(
        [recordings], tmp_path / "out", config=default, executor="serial", enrol=voices
    )
    assert no_network == []
    assert done is not None and done.rejected == ()
    assert [v.text() for v in validate(tmp_path / "out")] == []
    sessions = list(read_sessions(tmp_path / "out"))
    assert len(sessions) == 4
    for session in sessions:
        assert session.annotation is not None
        kinds = {branch.kind for branch in session.annotation.branches}
        assert kinds >= {"vad", "activity", "music", "events", "quality"}
        assert all(branch.claim.licence for branch in session.annotation.branches)
        for item in (*session.supervisions, *session.events):
            assert item.claim is not None and item.claim.confidence is not None
    copies = [s for s in sessions if "near_duplicate" in s.annotation.flags]  # type: ignore[union-attr]
    assert sorted(s.id.rpartition("-")[0] for s in copies) == ["talk", "talk-quieter"]


def test_bytes_depend_on_no_worker(
    recordings: Path,
    tmp_path: Path,
    default: AnnotationConfig,
    produced: Callable[[Path], dict[str, str]],
) -> None:
    annotate_files([recordings], tmp_path / "one", config=default, executor="serial")
    annotate_files([recordings], tmp_path / "two", config=default, jobs=2)
    assert produced(tmp_path / "one") == produced(tmp_path / "two")
