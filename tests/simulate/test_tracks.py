from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.simulate.plan import Placement
from talkover.simulate.tracks import FADE_SECONDS, SpeakerTrack

RATE = 16000
FADE = round(FADE_SECONDS * RATE)


class Sources:
    """Utterances of constant value 16384: half of full scale."""

    def samples(self, utterance: int, /) -> np.ndarray:
        return np.full(4000, 16384, dtype=np.int16)


def placement(start: int, length: int, gain_db: float = 0.0, source_start: int = 0) -> Placement:
    return Placement(
        utterance=0,
        utterance_id="u0",
        speaker_local="S01",
        turn=0,
        role="turn",
        start_sample=start,
        source_start=source_start,
        num_samples=length,
        whole=False,
        gain_db=gain_db,
    )


def test_a_slice_has_its_gain_and_its_fades() -> None:
    block = SpeakerTrack([placement(100, 1000, gain_db=-6.0206)], Sources(), RATE).block(0, 1500)
    assert block is not None
    assert np.flatnonzero(block)[[0, -1]].tolist() == [100, 1099]
    assert np.allclose(block[100 + FADE : 1100 - FADE], 0.25, atol=1e-5)
    rise = block[100 : 100 + FADE]
    assert (np.diff(rise) > 0).all() and rise[0] < 0.001 and rise[-1] > 0.249
    assert np.allclose(rise, block[1100 - FADE : 1100][::-1])


def test_a_slice_shorter_than_its_fades_has_no_step() -> None:
    block = SpeakerTrack([placement(0, 41)], Sources(), RATE).block(0, 50)
    assert block is not None
    assert block[20] == pytest.approx(0.5)
    assert np.abs(np.diff(block)).max() < 0.06


def test_overlapping_slices_add_up() -> None:
    both = SpeakerTrack([placement(0, 1000), placement(500, 1000)], Sources(), RATE)
    block = both.block(0, 1500)
    assert block is not None and np.allclose(block[600:900], 1.0)


def test_silence_is_none() -> None:
    track = SpeakerTrack(
        [placement(0, 3000), placement(10, 20), placement(9000, 100)], Sources(), RATE
    )
    assert track.block(3000, 6000) is None
    assert track.block(2999, 1) is not None
    assert SpeakerTrack([], Sources(), RATE).block(0, 100) is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-300, 4000), st.integers(1, 2000)), min_size=1, max_size=6),
    st.integers(97, 900),
)
def test_samples_do_not_depend_on_the_blocks(rows: list[tuple[int, int]], size: int) -> None:
    track = SpeakerTrack([placement(a, n) for a, n in rows], Sources(), RATE)
    whole = track.block(0, 5000)
    wanted = np.zeros(5000, np.float32) if whole is None else whole
    for start in range(0, 5000, size):
        length = min(size, 5000 - start)
        block = track.block(start, length)
        got = np.zeros(length, np.float32) if block is None else block
        assert np.array_equal(got, wanted[start : start + length])


def test_a_slice_beyond_its_utterance_is_refused() -> None:
    track = SpeakerTrack([placement(0, 1000, source_start=3500)], Sources(), RATE)
    with pytest.raises(ValueError, match="'u0' ends before sample 4500"):
        track.block(0, 1000)
