"""Every true sound is among the proposals, and none is proposed beyond the recording."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.sounds.proposals import Proposal, SoundCurves, propose, steps


def curves_of(kinds: np.ndarray, any_sound: np.ndarray) -> SoundCurves:
    edges = np.zeros((len(kinds), 2))
    return SoundCurves.of(kinds, any_sound, edges, np.zeros((len(kinds), 3)))


def scene(*events: tuple[int, int, int], frames: int = 200, kinds: int = 3) -> SoundCurves:
    heard = np.full((frames, kinds), 0.02)
    for kind, start, end in events:
        heard[start:end, kind] = 0.97
    return curves_of(heard, heard.max(axis=1))


def test_clear_sounds_are_proposed_as_they_are_even_two_at_once() -> None:
    events = [Proposal(0, 20, 60), Proposal(1, 45, 90), Proposal(2, 120, 126)]
    assert set(events) <= set(propose(scene(*events)))


@given(
    st.integers(0, 30).flatmap(
        lambda n: st.lists(st.floats(0, 1), min_size=3 * n, max_size=3 * n).map(
            lambda values: np.array(values).reshape(n, 3)
        )
    )
)
@settings(max_examples=60)
def test_proposals_are_sorted_each_once_and_within_the_recording(heard: np.ndarray) -> None:
    found = propose(curves_of(heard[:, :2], heard[:, 2]))
    assert found == sorted(set(found))
    assert all(p.kind in (0, 1) and 0 <= p.start < p.end <= len(heard) for p in found)


def test_nothing_is_proposed_where_nothing_sounds() -> None:
    assert propose(scene()) == []
    assert propose(scene(frames=0)) == []


def test_a_step_is_as_high_as_the_means_differ() -> None:
    values = np.array([0.0, 0.0, 0.0, 4.0, 4.0, 4.0])
    assert steps(values, 2).tolist() == [0.0, 0.0, 2.0, 4.0, 2.0, 0.0]
