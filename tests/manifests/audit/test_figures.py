"""Measured figures: those of the session itself, and of the floor walk, on random sessions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.audit.columns import to_frame
from talkover.manifests.audit.figures import quantiles, units_of, walk
from talkover.manifests.audit.inputs import Part
from talkover.manifests.audit.tables import extract
from talkover.manifests.io import session_line
from talkover.manifests.statistics import session_statistics
from talkover.manifests.turn_taking import join_units, walk_floor


def tables_of(sessions: list[Any], folder: Path) -> dict[str, Any]:
    path = folder / "cuts.jsonl"
    path.write_text("".join(session_line(s) + "\n" for s in sessions), encoding="utf8")
    tables, lines = extract(Part(path=path, kind="cuts"))
    assert lines == len(sessions)
    return {name: to_frame(table) for name, table in tables.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures")


@settings(max_examples=40)
@given(data=st.data())
def test_figures_are_those_of_the_contract(data: Any, sessions: Any, folder: Path) -> None:
    drawn = data.draw(st.lists(sessions, min_size=1, max_size=3))
    tables = tables_of(drawn, folder)
    assert len(tables["problems"]) == 0
    for n, session in enumerate(drawn):
        row = tables["sessions"].iloc[n]
        audio = session.audio
        right = session_statistics(session.supervisions, audio.num_samples, audio.sampling_rate)
        for name in ("speech", "overlap", "overlap_of_speech", "overlap_of_time",
                     "silence_of_time", "max_concurrent", "num_speakers", "num_turns"):  # fmt: skip
            assert row[name] == pytest.approx(getattr(right, name), abs=2e-6), name
        assert row["top_share"] == pytest.approx(max(right.talk_shares.values()), abs=2e-6)
        assert row["fto_count"] == right.floor_transfer_offsets.count
        assert row["pause_count"] == right.pauses.count
        for name, stated in (
            ("fto_p50", right.floor_transfer_offsets),
            ("pause_p50", right.pauses),
        ):
            if stated.count:
                assert row[name] == pytest.approx(stated.p50, abs=2e-6)
        own = tables["speakers"][tables["speakers"]["session_row"] == n]
        assert own["talk_share"].sum() == pytest.approx(1)
        shares = np.sort(own["talk_share"].to_numpy())
        pairs = np.abs(shares[:, None] - shares[None, :]).mean()
        assert row["talk_gini"] == pytest.approx(pairs / (2 * shares.mean()), abs=1e-9)
        stretches = tables["overlaps"][tables["overlaps"]["session_row"] == n]
        assert stretches["duration"].sum() == pytest.approx(right.overlap, abs=2e-6)


@settings(max_examples=40)
@given(data=st.data())
def test_gaps_are_those_of_the_floor_walk(data: Any, sessions: Any, folder: Path) -> None:
    session = data.draw(sessions)
    tables = tables_of([session], folder)
    gaps = walk(units_of(tables["regions"], tables["turns"]))
    spoken = [
        _Region(row.speaker, region.start, region.end)
        for row in session.supervisions
        for region in row.regions
    ]
    right = walk_floor(join_units(spoken, join=0.2 - 1e-7))
    kinds = {"hold": 0, "switch": 1, "interruption": 2, "contained": 3}
    assert gaps["kind"].map(kinds).tolist() == right.types
    change = gaps["kind"].isin(["switch", "interruption"])
    np.testing.assert_allclose(gaps.loc[change, "offset"], right.fto, atol=1e-6)


class _Region:
    def __init__(self, speaker: str, start: float, end: float) -> None:
        self.speaker, self.start, self.end = speaker, start, end


@given(
    st.lists(st.tuples(st.integers(0, 4), st.floats(-5, 5)), max_size=40),
    st.floats(0, 1),
)
def test_quantiles_by_row_are_those_of_numpy(pairs: list[tuple[int, float]], level: float) -> None:
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    values = np.array([value for _, value in pairs], dtype=np.float64)
    (got,) = quantiles(rows, values, 5, [level])
    for row in range(5):
        own = values[rows == row]
        if len(own):
            assert got[row] == pytest.approx(np.quantile(own, level), abs=1e-9)
        else:
            assert np.isnan(got[row])
