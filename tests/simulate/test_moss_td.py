"""The published recipe of MOSS-Transcribe-Diarize, held to what the paper says."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from talkover.manifests.errors import InfeasibleTarget
from talkover.manifests.validate import validate
from talkover.simulate.config import load_config
from talkover.simulate.corpus import open_corpora
from talkover.simulate.moss_td import FADE, MOST_OVERLAP
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner
from talkover.simulate.request import RunRequest
from talkover.simulate.run import prepare, render_run
from talkover.simulate.source_cache import SourceCache

RATE = 16000


def planner(manifest: Path, folder: Path, *settings: str) -> Planner:
    cache = SourceCache.build(open_corpora([str(manifest)]), folder, RATE)
    config = load_config(None, ["room.kind=dry", *settings], preset="moss_td")
    made = make_planner(config, "0" * 64, cache, 0)
    made.check()
    return made


@pytest.mark.parametrize("words", [True, False])
def test_sessions_are_as_published(
    tone_corpus: Callable[..., Path], tmp_path: Path, words: bool
) -> None:
    plans = planner(tone_corpus(speakers=13, utterances=7, words=words), tmp_path)
    counts = set()
    cut = 0
    for index in range(30):
        plan = plans.plan(index)
        counts.add(len(plan.speakers))
        said: dict[str, set[int]] = {}
        for placement in plan.placements:
            said.setdefault(placement.speaker_local, set()).add(placement.utterance)
            cut += placement.fade_samples is not None
            assert placement.fade_samples in (None, round(FADE * RATE))
        assert all(len(own) == 1 for own in said.values()), "one utterance a speaker"
        conversation, _, _ = plans.converse(index)
        for first, second in combinations(conversation.units, 2):
            a, b = sorted((first, second), key=lambda u: u.start)
            overlap = min(a.start + a.slice.speech_samples, b.start + b.slice.speech_samples)
            shorter = min(a.slice.speech_samples, b.slice.speech_samples)
            assert overlap - b.start <= MOST_OVERLAP * shorter + 2
        assert [0 <= noise.snr_db <= 15 for noise in plan.noise] == [True]
    assert cut > 20
    assert min(counts) >= 2 and max(counts) <= 12 and len(counts) > 5


def test_segments_of_an_utterance_keep_their_order_and_lose_no_word(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    plans = planner(tone_corpus(speakers=6, utterances=7), tmp_path)
    for index in range(10):
        conversation, _, _ = plans.converse(index)
        for speaker in {unit.speaker for unit in conversation.units}:
            own = [unit.slice for unit in conversation.units if unit.speaker == speaker]
            words = plans.cache.utterance(own[0].utterance).words or ()
            held = [
                sum(s.speech_start <= at and at + n <= s.speech_end for s in own)
                for _, at, n in words
            ]
            assert held == [1] * len(words)
            assert [s.speech_start for s in own] == sorted(s.speech_start for s in own)


def test_targets_are_refused_with_the_reason(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InfeasibleTarget, match=r"moss_td takes no turns\.overlap"):
        planner(tone_corpus(), tmp_path, "turns.overlap=0.2")


@pytest.mark.medium
def test_a_rendered_run_has_no_violation(tone_corpus: Callable[..., Path], tmp_path: Path) -> None:
    config = load_config(None, [], preset="moss_td")
    request = RunRequest(
        out=tmp_path / "out",
        corpora=(str(tone_corpus(words=False)),),
        config=config,
        sessions=3,
    )
    summary = render_run(prepare(request, executor="serial"), executor="serial")
    assert summary is not None and summary.breaches == []
    assert list(validate(tmp_path / "out")) == []
    assert np.all(np.array(list(summary.speakers_per_session)) >= 2)
