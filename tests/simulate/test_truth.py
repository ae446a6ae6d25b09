"""The labels are where the sound is: the law that everything else rests on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter1d, minimum_filter1d

from talkover.manifests.canonical import json_sha256
from talkover.manifests.jobs import make_executor
from talkover.manifests.schema import Supervision
from talkover.simulate.config import SimulationConfig, load_config
from talkover.simulate.corpus import open_corpora
from talkover.simulate.labels import active_intervals, supervisions_of
from talkover.simulate.plan import SessionPlan
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner
from talkover.simulate.render import render
from talkover.simulate.source_cache import SourceCache

RATE = 16000
TOLERANCE = 0.010
"""Seconds; the bar of the issue for tone bursts."""
REAL_TOLERANCE = 0.050
"""Seconds; the bar for turns of real speech."""


def planner_over(manifest: Path, folder: Path, config: SimulationConfig, seed: int) -> Planner:
    cache = SourceCache.build(
        open_corpora([str(manifest)]), folder, RATE, executor=make_executor("serial", 1)
    )
    return make_planner(config, json_sha256(config.plain()), cache, seed)


def stems(planner: Planner, plan: SessionPlan) -> tuple[tuple[Supervision, ...], dict]:
    supervisions = supervisions_of(plan, planner.cache)
    rendering = render(
        plan,
        planner.cache,
        active=active_intervals(supervisions),
        response_kind="direct",
        targets=["reverberant"],
    )
    return supervisions, rendering.stems


def mask_of(spans: list[tuple[int, int]], length: int) -> np.ndarray:
    mask = np.zeros(length, bool)
    for start, end in spans:
        mask[start:end] = True
    return mask


def grown(mask: np.ndarray, seconds: float) -> np.ndarray:
    return maximum_filter1d(mask, 2 * round(seconds * RATE) + 1, mode="constant")


def shrunk(mask: np.ndarray, seconds: float) -> np.ndarray:
    return minimum_filter1d(mask, 2 * round(seconds * RATE) + 1, mode="constant", cval=1)


def energy_mask(signal: np.ndarray) -> np.ndarray:
    """Where a stem of tone bursts sounds: peaks of the wave joined over 2 ms."""
    level = maximum_filter1d(np.abs(signal), round(0.004 * RATE))
    return level > 0.05 * level.max()


@pytest.fixture(scope="module")
def tone_planners(
    tone_corpus: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Planner]:
    made = {}
    for kind in ("shoebox", "dry"):
        config = load_config(
            None,
            [
                f"room.kind={kind}", "session.length=[10,14]", "session.speakers=[1,4]",
                "noise.kind=none", "room.t60=[0.2,0.25]", "levels.jitter_db=0",
            ],
        )  # fmt: skip
        manifest = tone_corpus(speakers=5, utterances=20)
        made[kind] = planner_over(manifest, tmp_path_factory.mktemp(kind), config, 3)
    return made


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(index=st.integers(0, 10_000), kind=st.sampled_from(["shoebox", "dry"]))
def test_energy_agrees_with_words_and_turns_within_ten_milliseconds(
    tone_planners: dict[str, Planner], index: int, kind: str
) -> None:
    planner = tone_planners[kind]
    plan = planner.plan(index)
    supervisions, signals = stems(planner, plan)
    assert supervisions
    for name, signal in signals.items():
        own = [s for s in supervisions if s.speaker_local == name]
        assert own, f"{name} has a stem and no label"
        sound = energy_mask(signal[0])
        words = mask_of(
            [(w.start_sample, w.end_sample) for s in own for w in s.words or ()], plan.num_samples
        )
        regions = mask_of(
            [(r.start_sample, r.end_sample) for s in own for r in s.regions], plan.num_samples
        )
        assert not (shrunk(words, TOLERANCE) & ~sound).any(), "a word without sound"
        assert not (sound & ~grown(words, TOLERANCE)).any(), "sound without a word"
        assert not (sound & ~grown(regions, TOLERANCE)).any(), "sound outside the turns"
        for supervision in own:
            inside = sound[supervision.start_sample : supervision.end_sample]
            edge = round(TOLERANCE * RATE)
            assert inside[:edge].any() and inside[-edge:].any(), "a turn with a silent edge"


@pytest.mark.medium
def test_turns_of_real_speech_are_where_the_sound_is(shared_data: Path, tmp_path: Path) -> None:
    config = load_config(
        None,
        ["session.length=[20,30]", "session.speakers=[2,3]", "noise.kind=none", "room.kind=dry"],
    )
    planner = planner_over(_some_real_speech(shared_data, tmp_path), tmp_path / "c", config, 1)
    checked = 0
    for index in range(4):
        plan = planner.plan(index)
        supervisions, signals = stems(planner, plan)
        for supervision in supervisions:
            signal = signals[supervision.speaker_local][0]
            level = _smooth_db(signal)
            start, end = supervision.start_sample, supervision.end_sample
            inside = level[start:end]
            loud = inside.max() - 35
            onset = int(np.argmax(inside > loud))
            offset = int(np.argmax(inside[::-1] > loud))
            assert onset <= REAL_TOLERANCE * RATE, (supervision.id, onset / RATE)
            assert offset <= REAL_TOLERANCE * RATE, (supervision.id, offset / RATE)
            checked += 1
    assert checked > 20


def _smooth_db(signal: np.ndarray) -> np.ndarray:
    """Level in dB over 10 ms, one value a sample."""
    power = np.convolve(signal.astype(np.float64) ** 2, np.ones(160) / 160, mode="same")
    return 10 * np.log10(power + 1e-12)


def _some_real_speech(shared_data: Path, tmp_path: Path) -> Path:
    """A manifest of a few speakers of the real corpus, with absolute paths."""
    import csv

    source = shared_data / "speech" / "manifest.csv"
    with source.open(encoding="utf8", newline="") as file:
        arabic = [r for r in csv.DictReader(file) if r["speaker"].startswith("asc")]
    people = sorted({r["speaker"] for r in arabic})[:3]
    rows = [r for r in arabic if r["speaker"] in people]
    assert len(people) == 3
    for row in rows:
        row["file"] = str(source.parent / row["file"])
    path = tmp_path / "some.csv"
    with path.open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
