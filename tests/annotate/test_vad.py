"""Voice activity is found where speech is, the same in any block size."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.backends import vad
from talkover.annotate.backends.base import BackendError, make_backend
from talkover.annotate.backends.vad import VADS, EnergyVad, SileroVad, SpeechRegions
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording
from talkover.manifests.errors import ConfigurationError

Decoder = Callable[[np.ndarray], DecodedAudio]


@pytest.fixture
def decoded(tmp_path: Path) -> Decoder:
    def make(signal: np.ndarray) -> DecodedAudio:
        soundfile.write(tmp_path / "a.wav", signal, RATE, subtype="PCM_16")
        return decode(open_recording(tmp_path / "a.wav"), tmp_path / "a.pcm")

    return make


def bursts() -> np.ndarray:
    rng = np.random.default_rng(0)
    signal = 0.001 * rng.standard_normal(10 * RATE)
    for start in (2, 6):
        signal[start * RATE : (start + 1) * RATE] += 0.1 * rng.standard_normal(RATE)
    return signal


def test_energy_finds_what_is_loud(decoded: Decoder) -> None:
    backend = EnergyVad()
    backend.load()
    found = [(e.start / RATE, e.end / RATE) for e in backend.run(decoded(bursts()), {}).events]
    assert np.allclose(found, [(2, 3), (6, 7)], atol=0.08)


@pytest.mark.parametrize("name", sorted(VADS))
def test_blocks_leave_no_trace(
    decoded: Decoder, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    backend = make_backend("vad", name, VADS)
    if not backend.available()[0]:
        pytest.skip(backend.available()[1])
    backend.load()
    audio = decoded(bursts())
    whole = backend.run(audio, {})
    monkeypatch.setattr(vad, "HOPS_AT_ONCE", 37)
    parts = backend.run(audio, {})
    assert np.array_equal(parts.curves["speech"].values, whole.curves["speech"].values)
    assert parts.events == whole.events


@pytest.mark.parametrize("name", sorted(VADS))
@pytest.mark.parametrize("signal", [np.zeros(RATE), np.zeros(1), np.ones(700)])
def test_silence_and_offsets_hold_no_speech(
    decoded: Decoder, name: str, signal: np.ndarray
) -> None:
    backend = make_backend("vad", name, VADS)
    if not backend.available()[0]:
        pytest.skip(backend.available()[1])
    backend.load()
    assert backend.run(decoded(signal), {}).events == ()


def test_silero_finds_real_speech(decoded: Decoder, shared_data: Path) -> None:
    backend = SileroVad()
    if not backend.available()[0]:
        pytest.skip(backend.available()[1])
    backend.load()
    speech, rate = soundfile.read(shared_data / "recordings" / "jfk.flac")
    assert rate == RATE
    quiet = np.zeros(5 * RATE)
    result = backend.run(decoded(np.concatenate([quiet, speech, quiet])), {})
    inside = sum(e.end - e.start for e in result.events) / len(speech)
    assert result.events[0].start >= 4.5 * RATE
    assert result.events[-1].end <= len(speech) + 5.5 * RATE
    assert 0.6 < inside <= 1.02
    assert result.backend.licence == "MIT"


def test_a_backend_that_was_not_loaded_says_so(decoded: Decoder) -> None:
    with pytest.raises(BackendError, match="not loaded"):
        SileroVad().run(decoded(np.zeros(RATE)), {})


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=200), st.integers(1, 511))
@settings(max_examples=100)
def test_regions_are_in_order_inside_and_apart(values: list[float], cut: int) -> None:
    num_samples = len(values) * vad.HOP - cut
    regions = SpeechRegions().of(np.array(values, dtype=np.float32), vad.HOP, num_samples)
    edges = [t for e in regions for t in (e.start, e.end)]
    assert edges == sorted(edges)
    assert all(0 <= e.start < e.end <= num_samples for e in regions)
    loud = max(values)
    assert bool(regions) <= (loud >= 0.5)


def test_unknown_names_and_options_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="energy, silero"):
        make_backend("vad", "nothing", VADS)
    with pytest.raises(ConfigurationError, match="loudness"):
        make_backend("vad", "energy", VADS, {"loudness": 3})
    with pytest.raises(ValueError, match="onset"):
        SpeechRegions(onset=0.2, offset=0.4)
