from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import fftconvolve

from talkover.simulate import convolve as module
from talkover.simulate.convolve import block_size, convolve, fft_size
from talkover.simulate.legs import Leg, crossfades


class ArrayTrack:
    """An array as a track; silent stretches are None, as a real track gives them."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples.astype(np.float32)

    def block(self, start: int, num_samples: int) -> np.ndarray | None:
        part = self.samples[start : start + num_samples]
        return part if part.any() else None


def scene(length: int, response: int, seed: int = 0) -> tuple[list[ArrayTrack], np.ndarray]:
    """Three speakers with long silences, and responses to two channels."""
    rng = np.random.default_rng(seed)
    tracks = []
    for k in range(3):
        samples = rng.standard_normal(length) * 0.1
        quiet = length * k // 4
        samples[quiet : quiet + length // 2] = 0
        tracks.append(ArrayTrack(samples))
    return tracks, (rng.standard_normal((3, 2, response)) / 50).astype(np.float32)


def joined(tracks: list[ArrayTrack], h: np.ndarray, length: int) -> np.ndarray:
    return np.concatenate([block.speech for block in convolve(tracks, h, length)], axis=1)


@pytest.mark.parametrize("response", [1, 2, 300, 1365])
def test_streaming_equals_convolving_at_once(
    response: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FFT_SAMPLES", 4096)
    length = 30_001
    tracks, h = scene(length, response)
    wanted = np.array(
        [
            sum(
                fftconvolve(t.samples.astype(np.float64), h[k, c])[:length]
                for k, t in enumerate(tracks)
            )
            for c in range(2)
        ]
    )
    assert np.abs(joined(tracks, h, length) - wanted).max() < 1e-5


@pytest.mark.parametrize("response", [1, 500])
def test_stems_sum_to_speech_and_leave_it_as_it_is(
    response: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FFT_SAMPLES", 4096)
    length = 20_000
    tracks, h = scene(length, response)
    silent = 0
    total = []
    for block in convolve(tracks, h, length, stems=[h, 2 * h]):
        once, twice = block.stems
        assert len(once) == 3
        silent += sum(stem is None for stem in once)
        parts = [stem for stem in once if stem is not None]
        doubled = [stem for stem in twice if stem is not None]
        assert all(np.array_equal(2 * a, b) for a, b in zip(parts, doubled, strict=True))
        assert np.abs(np.sum(parts, axis=0) - block.speech).max() < 1e-6
        total.append(block.speech)
    assert silent > 0
    assert np.concatenate(total, axis=1).tobytes() == joined(tracks, h, length).tobytes()


def test_a_tail_sounds_on_after_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FFT_SAMPLES", 1024)
    hop = block_size(300)
    samples = np.zeros(4 * hop)
    samples[hop - 1] = 1.0
    h = np.ones((1, 1, 300), dtype=np.float32)
    out = joined([ArrayTrack(samples)], h, len(samples))[0]
    assert np.allclose(out[hop - 1 : hop + 299], 1, atol=1e-5)
    assert np.abs(out[hop + 299 :]).max() < 1e-5


def test_the_grid_of_blocks_depends_on_the_response_alone() -> None:
    tracks, h = scene(80_000, 100)
    starts = [block.start for block in convolve(tracks, h, 80_000)]
    assert starts == [0, 32669, 65338]
    alone = [block.start for block in convolve(tracks[:1], h[:1], 80_000)]
    assert alone == starts


def test_transforms_are_long_enough_for_the_response() -> None:
    for length in (1, 8000, 10_922, 10_923, 48_000):
        assert fft_size(length) >= max(32768, 3 * length)
        assert block_size(length) + length - 1 == fft_size(length)


def test_tracks_and_responses_must_match() -> None:
    tracks, h = scene(1000, 10)
    with pytest.raises(ValueError, match="2 tracks and 3 legs for 3 responses"):
        list(convolve(tracks[:2], h, 1000))


def test_legs_of_a_track_share_it_by_their_fades(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FFT_SAMPLES", 4096)
    length = 20_000
    tracks, _ = scene(length, 300)
    legs = (*crossfades(0, [3000, 9000, 15_000]), Leg(1), Leg(2))
    rng = np.random.default_rng(1)
    walk = (rng.standard_normal((5, 2, 300)) / 50).astype(np.float32)
    got = list(convolve(tracks, walk, length, legs=legs, stems=[walk]))
    wanted = np.zeros((3, 2, length))
    for leg, response in zip(legs, walk, strict=True):
        signal = tracks[leg.seat].samples.astype(np.float64) * leg.gains(0, length)
        for c in range(2):
            wanted[leg.seat, c] += fftconvolve(signal, response[c])[:length]
    speech = np.concatenate([block.speech for block in got], axis=1)
    assert np.abs(speech - wanted.sum(axis=0)).max() < 1e-5
    walker = [block.stems[0][0] for block in got]
    zeros = [np.zeros_like(block.speech) for block in got]
    stem = np.concatenate(
        [z if part is None else part for part, z in zip(walker, zeros, strict=True)], axis=1
    )
    assert np.abs(stem - wanted[0]).max() < 1e-5


def test_more_responses_than_are_kept_give_the_same_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FFT_SAMPLES", 4096)
    tracks, h = scene(20_000, 300)
    wanted = joined(tracks, h, 20_000)
    monkeypatch.setattr(module, "KEPT_TRANSFORMS", 1)
    assert joined(tracks, h, 20_000).tobytes() == wanted.tobytes()


def test_the_number_of_channels_changes_no_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FFT_SAMPLES", 4096)
    tracks, h = scene(30_000, 300)
    both = joined(tracks, h, 30_000)
    assert np.abs(joined(tracks, h[:, :1], 30_000)[0] - both[0]).max() < 1e-6
