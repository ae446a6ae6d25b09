from __future__ import annotations

import numpy as np
import pytest

from talkover.simulate.directivity import (
    DIRECTIVITIES,
    OCTAVES_HZ,
    depth_at,
    pattern_depth,
    radiated_power,
    rear_weight,
)


@pytest.mark.parametrize("pattern", DIRECTIVITIES)
def test_radiated_power_is_the_mean_over_the_sphere(pattern: str) -> None:
    cosine = np.linspace(-1, 1, 20001)  # even in the cosine is even over the sphere
    level = 1.0 + pattern_depth(pattern)[:, None] * rear_weight(cosine)
    assert np.allclose(radiated_power(pattern), (level**2).mean(axis=1), atol=1e-3)


def test_a_cardioid_is_that_of_pyroomacoustics() -> None:
    from pyroomacoustics.directivities import Cardioid, DirectionVector

    angles = np.linspace(0, 180, 13)
    theirs = Cardioid(DirectionVector(azimuth=0, colatitude=90)).get_response(
        azimuth=angles, colatitude=np.full(13, 90.0), degrees=True
    )
    ours = 1.0 + rear_weight(np.cos(np.radians(angles)))
    assert np.allclose(ours, np.squeeze(theirs), atol=1e-6)


def test_a_head_is_more_directed_the_higher_the_frequency() -> None:
    depth = pattern_depth("head")
    assert (np.diff(depth) > 0).all() and 0 < depth[0] < depth[-1] < 1
    assert np.allclose(depth_at("head", np.array(OCTAVES_HZ)), depth)
    assert depth_at("head", np.array([0.0, 20000.0])).tolist() == [depth[0], depth[-1]]


def test_omni_is_the_same_all_around() -> None:
    assert pattern_depth("omni").tolist() == [0.0] * 7
    assert radiated_power("omni").tolist() == [1.0] * 7
