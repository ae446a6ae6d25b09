"""Sessions with words, sounds and music, and an annotator that knows the truth, or nearly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from scripted_backends import event, info, result, scripted, turn

from talkover.annotate.backends.base import BranchResult
from talkover.annotate.config import AnnotationConfig
from talkover.annotate.media import DecodedAudio
from talkover.manifests.io import read_sessions
from talkover.manifests.schema import Session
from talkover.simulate.config import SimulationConfig
from talkover.simulate.request import RunRequest
from talkover.simulate.run import prepare, render_run

RATE = 16000
SHORT = [
    "segmentation.shortest=1",
    "segmentation.preferred=3",
    "segmentation.longest=30",
    "segmentation.oversize=60",
]
"""Sessions of a quarter of a minute shall have cuts."""
Oracle = Callable[..., AnnotationConfig]


@pytest.fixture(scope="session")
def sessions(tone_corpus: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A produced folder."""
    root = tmp_path_factory.mktemp("known")
    time = np.arange(RATE) / RATE
    for name, folder, seconds in (("buzz", "sounds/buzz", 1), ("chord", "music", 6)):
        path = root / folder / f"{name}.wav"
        path.parent.mkdir(parents=True)
        sound = 0.3 * np.sign(np.sin(2 * np.pi * 90 * time))
        soundfile.write(path, np.tile(sound, seconds), RATE)
    config = SimulationConfig.model_validate(
        {
            "session": {"speakers": [2, 3], "length": [16, 20]},
            "room": {"kind": "dry"},
            "noise": {"kind": "pink", "snr_db": [25, 35]},
            "registration": {"lengths": []},
            "sounds": {"path": root / "sounds", "per_minute": [10, 20]},
            "music": {"path": root / "music", "share": [0.3, 0.4]},
        }
    )
    corpora = (str(tone_corpus(speakers=3)),)
    request = RunRequest(out=root / "out", corpora=corpora, config=config, seed=1, sessions=3)
    render_run(prepare(request, executor="serial"), executor="serial")
    return root / "out"


@pytest.fixture
def oracle(sessions: Path, backends: Callable[..., AnnotationConfig]) -> Oracle:
    """Settings of an annotator that says the truth, after it was changed as a test wants."""
    known = {s.audio.sha256: s for s in read_sessions(sessions)}

    def use(
        *assignments: str,
        shift: float = 0.0,
        one_voice: bool = False,
        label: str | None = None,
    ) -> AnnotationConfig:
        def session_of(audio: DecodedAudio) -> Session:
            assert audio.recording is not None
            return known[audio.recording.sha256]

        def turns(audio: DecodedAudio, *_: Any, **__: Any) -> BranchResult:
            rows = session_of(audio).supervisions
            return result(
                "turns",
                *(
                    turn(region.start, region.end, "S1" if one_voice else row.speaker)
                    for row in rows
                    for region in row.regions
                ),
            )

        def sounds(audio: DecodedAudio, *_: Any) -> BranchResult:
            found = [e for e in session_of(audio).events if e.kind == "sound"]
            said = [event("sound", e.start + shift, e.end + shift, label or e.label) for e in found]
            return result("sounds", *said)

        def music(audio: DecodedAudio, *_: Any) -> BranchResult:
            found = [e for e in session_of(audio).events if e.kind == "music"]
            pieces = [event("music", e.start, e.end, "music") for e in found]
            return result("music", *pieces)

        return backends(
            *SHORT,
            *assignments,
            diarizer=scripted("turns", turns, info("turns")),
            events=scripted("sounds", sounds),
            music=scripted("music", music),
        )

    return use
