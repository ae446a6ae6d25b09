"""The figures are those of the ruler that simulations are held to."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from talkover.manifests.errors import ManifestError
from talkover.manifests.labels import Segment, read_labels
from talkover.manifests.turn_taking import (
    POOLS,
    compare,
    join_units,
    session_figures,
    turn_taking,
    walk_floor,
    wasserstein,
)

FIGURES = (
    "sessions", "hours", "speakers", "overlap", "overlap_sd", "three", "silence", "silence_sd",
    "changes_per_min", "types", "fto_q", "pause_q", "turn_q", "fto_lag1",
)  # fmt: skip


@pytest.fixture(scope="module")
def ruler(repository: Path) -> ModuleType:
    """The ruler that the project is measured by, where a checkout has it."""
    path = repository.parent / "shared" / "tools" / "turn_compare.py"
    if not path.is_file():
        pytest.skip(f"the ruler is not at {path}")
    spec = importlib.util.spec_from_file_location("turn_compare", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def random_sessions(seed: int, count: int = 8) -> dict[str, list[Segment]]:
    """Conversations with every kind of event, some too short or with one speaker."""
    rng = np.random.default_rng(seed)
    sessions = {}
    for n in range(count):
        segments = []
        clock = 0.0
        for _ in range(int(rng.integers(2, 80))):
            clock = max(0.0, clock + rng.normal(0.3, 0.8))
            length = float(rng.gamma(1.5, 1.2))
            speaker = f"s{rng.integers(1 + n % 5)}"
            # On a grid of 10 ms, so that touching and equal times come up.
            start, end = round(clock, 2), round(clock + length, 2)
            segments.append(
                Segment(session=f"x{n}", speaker=speaker, start=start, end=max(end, start))
            )
            clock += length
        sessions[f"x{n}"] = segments
    return sessions


def as_tuples(sessions: dict[str, list[Segment]]) -> dict[str, list[tuple[str, float, float]]]:
    """As the ruler's reader gives them."""
    rows = {
        name: [(s.speaker, s.start, s.end) for s in segments if s.end > s.start]
        for name, segments in sessions.items()
    }
    return {name: row for name, row in rows.items() if len({s for s, _, _ in row}) > 1}


def assert_same(ours: object, theirs: dict[str, object]) -> None:
    assert set(theirs) == set(FIGURES)
    for name in FIGURES:
        got, right = getattr(ours, name), theirs[name]
        assert (got is None and right is None) or np.allclose(got, right, atol=1e-12), name


@pytest.mark.parametrize("seed", range(12))
def test_random_sessions_measure_as_by_the_ruler(ruler: ModuleType, seed: int) -> None:
    real, simulated = random_sessions(seed), random_sessions(seed + 100)
    result = compare(real, simulated)
    rows, pool = ruler.summarise(as_tuples(real), 0.2)
    other, other_pool = ruler.summarise(as_tuples(simulated), 0.2)
    assert_same(result.real, rows)
    assert_same(result.simulated, other)
    names = sorted(as_tuples(real))[::2]
    _, half = ruler.summarise({name: as_tuples(real)[name] for name in names}, 0.2)
    for key in POOLS:
        assert result.w1[key] == pytest.approx(ruler.w1(other_pool[key], pool[key]))
        assert result.noise_floor[key] == pytest.approx(ruler.w1(half[key], pool[key]))


@pytest.mark.medium
@pytest.mark.parametrize("name", ["alimeeting_eval8", "aishell4_train18"])
def test_real_labels_measure_as_by_the_ruler(
    ruler: ModuleType, shared_data: Path, name: str
) -> None:
    path = shared_data / "conversations" / f"{name}.rttm.gz"
    theirs, _ = ruler.summarise(ruler.read(str(path)), 0.2)
    assert_same(turn_taking(read_labels(path)), theirs)


def segments(*rows: tuple[str, float, float]) -> list[Segment]:
    return [Segment(session="s", speaker=who, start=a, end=b) for who, a, b in rows]


GOLDEN: Sequence[tuple[str, float, float]] = (
    ("a", 0.0, 8.0),
    ("b", 2.0, 3.0),  # inside: BC
    ("b", 7.0, 12.0),  # IR, -1.0
    ("b", 12.1, 13.0),  # the same unit: gap under 0.2
    ("b", 14.0, 15.0),  # TH, pause 1.0
    ("a", 15.0, 20.0),  # TS, 0.0
    ("c", 21.5, 22.0),  # TS, 1.5
)


def test_a_walk_by_hand() -> None:
    walk = walk_floor(join_units(segments(*GOLDEN)))
    assert walk.types == [3, 2, 0, 1, 1]
    assert walk.fto == [-1.0, 0.0, 1.5]
    assert walk.pauses == [1.0]
    assert walk.turns == [8.0, 8.0, 5.0]


def test_figures_by_hand() -> None:
    figures = turn_taking({"s": segments(*GOLDEN)})
    assert figures.sessions == 1 and figures.speakers == 3
    frames = 2201  # of 10 ms, the last one after the end
    assert figures.overlap == pytest.approx(200 / 1950)
    assert figures.silence == pytest.approx((frames - 1950) / frames)
    assert figures.changes_per_min == pytest.approx(3 / (22 / 60))
    assert figures.types == (0.2, 0.4, 0.2, 0.2)
    assert figures.fto_q == (-0.8, 0.0, 1.2)
    assert figures.fto_lag1 is None


def test_short_sessions_and_monologues_are_left_out() -> None:
    long_talk, short = segments(*GOLDEN), segments(("a", 0, 5), ("b", 5, 19.9))
    alone = segments(("a", 0, 5), ("a", 15, 30))
    assert session_figures(short) is None and session_figures(alone) is None
    summary = turn_taking({"long": long_talk, "short": short, "alone": alone})
    assert summary.sessions == 1
    with pytest.raises(ManifestError, match="none of 1 sessions"):
        turn_taking({"short": short})


def test_a_corpus_holds_against_itself_and_not_against_a_slow_one() -> None:
    real = random_sessions(3, 20)
    same = compare(real, real)
    assert same.all_hold and len(same.bars) == 8
    slow = {
        name: [
            Segment(session=s.session, speaker=s.speaker, start=3 * s.start, end=3 * s.end)
            for s in rows
        ]
        for name, rows in real.items()
    }
    other = compare(real, slow)
    assert not other.bars["changes per minute within 10 %"]
    assert not other.bars["W1 of pause"] and not other.all_hold
    assert set(other.plain()) == {"real", "simulated", "w1", "noise_floor", "bars"}


def test_the_distance_of_shifted_values_is_the_shift() -> None:
    values = np.random.default_rng(0).normal(0, 1, 500)
    assert wasserstein(values, values) == 0
    assert wasserstein(values + 0.25, values) == pytest.approx(0.25)
    assert wasserstein(values, np.zeros(0)) == float("inf")
