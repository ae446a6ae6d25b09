"""Stages are made once for what decides them, and come back as they were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.backends.base import BackendInfo, BranchResult
from talkover.annotate.events import EVENT_KINDS, Curve, Event
from talkover.annotate.stages import StageCache, StageKey, packed, unpacked

INFO = BackendInfo(name="b", version="1", licence="MIT", weights_sha256="0" * 64)
KEY = StageKey(stage="vad", backend=INFO, configuration={"onset": 0.5}, audio="a" * 64)


@st.composite
def results(draw: st.DrawFn) -> BranchResult:
    events = tuple(
        Event(
            id=f"e{number}",
            kind=draw(st.sampled_from(EVENT_KINDS)),
            start=start,
            end=start + draw(st.integers(1, 10**9)),
            label=draw(st.text(max_size=5)),
            confidence=draw(st.floats(0, 1)),
            speaker=draw(st.none() | st.text(max_size=5)),
            bars=tuple(draw(st.lists(st.integers(0, 10**9), max_size=3))),
            attributes=draw(st.dictionaries(st.text(max_size=3), st.floats(0, 9), max_size=2)),
        )
        for number, start in enumerate(draw(st.lists(st.integers(0, 10**9), max_size=5)))
    )
    values = np.array(draw(st.lists(st.floats(0, 1, width=32), max_size=9)), dtype=np.float32)
    return BranchResult(
        backend=INFO,
        events=events,
        curves={"speech": Curve(name="speech", hop=draw(st.integers(1, 9999)), values=values)},
        figures={"snr_db": draw(st.floats(-20, 60))},
        warnings=tuple(draw(st.lists(st.text(max_size=9), max_size=2))),
    )


@given(results())
@settings(max_examples=60)
def test_results_come_back_as_they_were(result: BranchResult) -> None:
    data = packed(result)
    found = unpacked(data)
    assert packed(found) == data
    assert (found.events, found.figures, found.warnings) == (
        result.events,
        result.figures,
        result.warnings,
    )
    assert np.array_equal(found.curves["speech"].values, result.curves["speech"].values)


def test_a_stage_is_made_once(tmp_path: Path) -> None:
    cache, made = StageCache(tmp_path), []

    def make() -> BranchResult:
        made.append(1)
        return BranchResult(backend=INFO)

    assert cache.get(KEY, make) == cache.get(KEY, make)
    assert StageCache(tmp_path).get(KEY, make).backend == INFO
    assert len(made) == 1


@pytest.mark.parametrize(
    "changed",
    [
        replace(KEY, stage="music"),
        replace(KEY, backend=replace(INFO, version="2")),
        replace(KEY, backend=replace(INFO, weights_sha256="1" * 64)),
        replace(KEY, configuration={"onset": 0.6}),
        replace(KEY, audio="b" * 64),
        replace(KEY, upstream=("0" * 32,)),
    ],
)
def test_whatever_decides_a_result_changes_its_key(changed: StageKey) -> None:
    assert changed.text() != KEY.text()


def test_a_damaged_result_is_made_again(tmp_path: Path) -> None:
    cache = StageCache(tmp_path)
    cache.get(KEY, lambda: BranchResult(backend=INFO))
    (path,) = [p for p in tmp_path.rglob("*") if p.is_file()]
    good = path.read_bytes()
    for bad in (b"", good[:40], b"x" * len(good)):
        path.write_bytes(bad)
        assert cache.get(KEY, lambda: BranchResult(backend=INFO)).backend == INFO
        assert path.read_bytes() == good
