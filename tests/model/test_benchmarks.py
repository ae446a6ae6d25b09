"""What the benchmarks of the model work out by themselves; their runs take minutes to hours."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
try:
    import presets
    from arabic import run
finally:
    sys.path.remove(str(BENCHMARKS))


def figure(value: float) -> dict[str, Any]:
    return {"value": value, "interval": [value / 2, value * 2]}


def table(**changes: float) -> list[dict[str, Any]]:
    """What an evaluation's result.json has, of a model that holds every bar."""
    rows = []
    for system in ("model", "cascade"):
        for speakers in (None, 1, 2, 3):
            label = "all" if speakers is None else speakers
            figures = {
                "cpwer": figure(changes.get(f"cpwer_{label}", 0.1)),
                "der": figure(0.1),
                "fail_rate": figure(changes.get("fail_rate", 0.0)),
                "boundary_error": figure(changes.get("boundary_error", 0.1)),
            }
            rows.append(
                {"system": system, "speakers": speakers, "sessions": 100, "figures": figures}
            )
    return rows


@pytest.mark.parametrize(
    ("changes", "short"),
    [
        ({}, set()),
        ({"cpwer_all": 0.21}, {"cpwer/all"}),
        ({"cpwer_3": 0.31, "cpwer_1": 0.9}, {"cpwer/3"}),
        ({"fail_rate": 0.01}, {"fail_rate/all"}),
        ({"boundary_error": 0.16}, {"boundary_error/all"}),
    ],
)
def test_each_bar_is_held_against_its_own_figure(
    changes: dict[str, float], short: set[str]
) -> None:
    figures = run.by_talkers(table(**changes))
    assert set(figures) == {"model", "cascade"} and set(figures["model"]) == {"all", "1", "2", "3"}
    bars = run.judged(figures["model"], {"wall_s": 1700.0})
    assert {name for name, bar in bars.items() if not bar["holds"]} == short
    late = run.judged(figures["model"], {"wall_s": 1801.0})
    assert not late["training_minutes"]["holds"]
    assert not run.judged({}, {"wall_s": 1.0})["cpwer/all"]["holds"]  # no figure is no success


def test_a_step_is_done_once_and_never_otherwise(tmp_path: Path) -> None:
    steps = run.Steps(tmp_path, 1)
    count = f"import pathlib; p = pathlib.Path({str(tmp_path / 'count')!r}); "
    count += "p.write_text(p.read_text() + 'x' if p.exists() else 'x'); print('told')"
    command = [sys.executable, "-c", count]
    assert steps.call("count", command) == "told\n"
    assert run.Steps(tmp_path, 1).call("count", command) == "told\n"
    assert (tmp_path / "count").read_text() == "x"
    times = run.Steps(tmp_path, 1).times("count")
    assert times["cpu_s"] > 0 or times["wall_s"] > 0
    assert times["peak_mib"] > 1 and times["attempts"] == 1
    with pytest.raises(SystemExit, match="done otherwise"):
        run.Steps(tmp_path, 1).call("count", [*command, "more"])
    with pytest.raises(SystemExit, match="exit code 3"):
        steps.call("fails", [sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(SystemExit, match="exit code 3"):
        run.Steps(tmp_path, 1).call("fails", [sys.executable, "-c", "raise SystemExit(3)"])
    assert run.Steps(tmp_path, 1).times("fails")["attempts"] == 2


@given(
    st.lists(st.tuples(st.integers(10, 5000), st.floats(0.01, 5)), min_size=1, max_size=5),
    st.floats(500, 5000),
)
def test_steps_fit_the_budget_and_keep_their_shares(
    stages: list[tuple[int, float]], budget: float
) -> None:
    probed = {"steps": [s for s, _ in stages], "seconds": [c for _, c in stages]}
    steps = presets.scaled(probed, budget)
    spent = sum(n * c for n, c in zip(steps, probed["seconds"], strict=True))
    assert abs(spent - budget) <= sum(probed["seconds"])  # one update of each stage at most
    assert min(steps) >= 1


def test_the_page_has_every_preset_also_one_that_failed() -> None:
    figures = run.by_talkers(table())["model"]
    done = {
        "preset": "tiny",
        "figures": figures,
        "stages": {"listen": 10, "write": 20},
        "times": {"train": {"cpu_s": 60.0, "peak_mib": 700.0}, "speed": {"peak_mib": 500.0}},
        "decoding": {"parameters": 2_000_000, "x_real_time": 180.0},
        "is_registered": False,
        "long": [
            {
                "minutes": 10.0,
                "window_s": 12.0,
                "first_s": 0.25,
                "all_s": 6.0,
                "peak_mib": 600,
                "tokens": 240,
            }
        ],
    }
    options = SimpleNamespace(threads=1, seconds=60.0, seed=0, sessions=5, minutes=[10.0])
    page = presets.report([done, {"preset": "other", "failed": "train failed"}], options)
    assert "| tiny | 2.00 M | 30 | 60 | 10.0 % (5.0–20.0) |" in page
    assert "other: train failed" in page
    assert "| tiny | 10 | 12 s | 0.25 s | 6.0 s | 240 | 100 | 600 |" in page
    assert "tiny: without registration" in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows[:3]}) == 1
