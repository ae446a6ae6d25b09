"""Timing sampled from each preset, held against the labels that the preset was fitted on."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from talkover.manifests.labels import read_labels
from talkover.simulate.turns import TurnModel

HOURS = {"ami": 300.0, "alimeeting": 100.0, "aishell4": 100.0, "voxconverse": 100.0}


@pytest.fixture(scope="module")
def realism() -> ModuleType:
    """The benchmark, which holds the bars."""
    path = Path(__file__).parents[2] / "benchmarks" / "realism.py"
    spec = importlib.util.spec_from_file_location("realism", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["realism"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("name", sorted(HOURS))
def test_sampled_timing_meets_every_bar(shared_data, realism, name: str, seed: int) -> None:
    """Seconds each; bars of spreads only where the corpus has 30 sessions."""
    real = read_labels(shared_data / "conversations" / realism.REAL[name], regions=True)
    sampled = realism.sampled(TurnModel.load(name), HOURS[name], seed)
    held = realism.bars(realism.compare(real, sampled))
    assert len(held) == (11 if name in ("ami", "voxconverse") else 9)
    assert [bar for bar, ok in held.items() if not ok] == []


def test_table_has_a_column_for_each_simulation_and_real_labels_meet_their_bars(realism) -> None:
    labels = realism.sampled(TurnModel.load("alimeeting"), 3.0, 0)
    table = realism.rows(labels, {"itself": labels, "again": labels})
    assert table[0] == ["", "real", "itself", "again"]
    assert {len(row) for row in table} == {4}
    assert table[-1] == ["bars held", "", "9 of 9", "9 of 9"]
