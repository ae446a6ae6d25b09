from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkover.simulate import spool as module
from talkover.simulate.spool import Spool


def blocks(count: int = 5) -> list[np.ndarray | None]:
    rng = np.random.default_rng(0)
    rows: list[np.ndarray | None] = [
        rng.standard_normal((2, 100 + n)).astype(np.float32) for n in range(count)
    ]
    rows[2] = None
    return rows


@pytest.mark.parametrize("on_disk", [False, True])
@pytest.mark.parametrize("chunk", [64, 250, 2**21])
def test_blocks_come_back_as_often_as_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_disk: bool, chunk: int
) -> None:
    monkeypatch.setattr(module, "CHUNK_SAMPLES", chunk)
    monkeypatch.setattr(module, "_free", [])
    with Spool(tmp_path if on_disk else None) as spool:
        for block in blocks():
            spool.append(block, 4.0)
        for _ in range(2):
            for got, wanted in zip(spool, blocks(), strict=True):
                assert (got is None) == (wanted is None)
                if got is not None and wanted is not None:
                    assert np.array_equal(got, 4 * wanted)
    assert list(tmp_path.iterdir()) == []


def test_what_is_appended_is_a_copy() -> None:
    block = np.ones((1, 10), dtype=np.float32)
    with Spool(None) as spool:
        spool.append(block)
        block[:] = 7.0
        (kept,) = spool
        assert kept is not None and (kept == 1.0).all()


def test_memory_goes_to_the_next_session_and_never_to_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_free", [])
    block = np.ones((1, 10), dtype=np.float32)
    with Spool(None) as first:
        first.append(block)
        (held,) = first
    assert len(module._free) == 1
    with Spool(None) as second, Spool(None) as third:
        second.append(block)
        third.append(block)
        (a,), (b,) = second, third
        assert held is not None and a is not None and b is not None
        assert np.shares_memory(a, held) and not np.shares_memory(a, b)
