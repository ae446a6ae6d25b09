"""Linear effects: the response of a microphone, measured or drawn, and the telephone's band."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.channel.effects import Samples, Setting, require_between
from talkover.simulate.channel.microphones import REFERENCE_HZ
from talkover.simulate.channel.streams import filtered

TAPS_SECONDS = 0.032
"""Length of the designed filters: resolves 60 Hz, enough for slopes from 100 Hz on."""
LOWEST_HZ = 20.0
RIPPLE_POINTS_PER_OCTAVE = 3
ORDER = 2
"""Of the Butterworth slopes at both ends of a microphone: 12 dB an octave, one moving mass."""
TELEPHONE_STOP_HZ = 4000.0
"""Half of the telephone's sampling rate."""
TELEPHONE_LOW_STOP = 1 / 3
"""Of the lower edge: 100 Hz, above mains hum and its second harmonic in 50-Hz countries."""


@dataclass(frozen=True, kw_only=True)
class MicrophoneResponse:
    """Frequency response of a microphone; 0 dB at 1 kHz.

    Either a measured one by its id in ``channel.responses`` (``any`` draws one), or second-order
    slopes at both ends, a tilt and a smooth random ripple between, linear in phase.
    """

    name: ClassVar[str] = "microphone"
    response: str | None = None
    """Id of a measured response; None designs one from the other parameters."""
    sha256: str | None = None
    """Of the measured response's file; another content under the same id is refused."""
    low_hz: float = 80.0
    """-3 dB point of the lower slope."""
    high_hz: float = 16000.0
    """-3 dB point of the upper slope; above half the sampling rate there is none."""
    tilt_db_per_octave: float = 0.0
    ripple_db: float = 0.0
    """Standard deviation of the ripple, at points a third of an octave apart."""

    def __post_init__(self) -> None:
        """Check the parameters."""
        require_between("low_hz", self.low_hz, 1.0, 2000.0)
        require_between("high_hz", self.high_hz, 1000.0, 96000.0)
        require_between("tilt_db_per_octave", self.tilt_db_per_octave, -6.0, 6.0)
        require_between("ripple_db", self.ripple_db, 0.0, 6.0)
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz {self.low_hz:g} must be below high_hz {self.high_hz:g}")

    def check(self, sampling_rate: int) -> None:
        """Works at any rate."""

    def apply(self, blocks: Iterable[Samples], setting: Setting) -> Iterator[Samples]:
        """Filter every channel of the device alike."""
        if self.response is not None:
            if setting.responses is None:
                raise ConfigurationError(
                    "channel: microphone with a response needs channel.responses, a folder of them"
                )
            taps, first = setting.responses.taps(self.response, self.sha256)
            return filtered(blocks, taps, advance=first)
        taps = self._designed(setting.sampling_rate, setting.rng)
        return filtered(blocks, taps, advance=len(taps) // 2)

    def _designed(self, rate: int, rng: np.random.Generator) -> NDArray[np.float64]:
        def level(hz: NDArray[np.float64]) -> NDArray[np.float64]:
            low = -10 * np.log10(1 + (self.low_hz / hz) ** (2 * ORDER))
            high = -10 * np.log10(1 + (hz / self.high_hz) ** (2 * ORDER))
            octaves = np.log2(hz / REFERENCE_HZ)
            return np.asarray(
                low + high + self.tilt_db_per_octave * octaves + np.interp(octaves, points, ripple)
            )

        span = np.log2(np.array([LOWEST_HZ, rate / 2]) / REFERENCE_HZ)
        count = int(np.ceil((span[1] - span[0]) * RIPPLE_POINTS_PER_OCTAVE)) + 1
        points = np.linspace(span[0], span[1], count)
        ripple = self.ripple_db * rng.standard_normal(count)
        hz = np.maximum(_grid(rate), LOWEST_HZ)
        if self.high_hz >= rate / 2:
            high_free = 10 * np.log10(1 + (hz / self.high_hz) ** (2 * ORDER))
        else:
            high_free = np.zeros_like(hz)
        decibels = level(hz) + high_free - level(np.array([REFERENCE_HZ]))
        amplitude = 10 ** (decibels / 20)
        amplitude[0] = 0.0  # no microphone hears a constant pressure
        return _linear_phase(amplitude, rate)


@dataclass(frozen=True, kw_only=True)
class TelephoneBand:
    """300 to 3400 Hz, as telephone channels are specified (ITU-T G.712); linear in phase.

    Flat within 0.5 dB between the edges; by 60 Hz and by 4.6 kHz more than 24 dB down.
    """

    name: ClassVar[str] = "telephone"
    low_hz: float = 300.0
    high_hz: float = 3400.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        require_between("low_hz", self.low_hz, 100.0, 1000.0)
        require_between("high_hz", self.high_hz, 2000.0, 3800.0)

    def check(self, sampling_rate: int) -> None:
        """Works at any rate of the telephone's or above."""
        if sampling_rate < 2 * TELEPHONE_STOP_HZ:
            raise ValueError(f"needs {2 * TELEPHONE_STOP_HZ:g} Hz or more, got {sampling_rate} Hz")

    def apply(self, blocks: Iterable[Samples], setting: Setting) -> Iterator[Samples]:
        """Filter every channel of the device."""
        corners = (self.low_hz * TELEPHONE_LOW_STOP, self.low_hz, self.high_hz, TELEPHONE_STOP_HZ)
        amplitude = np.interp(_grid(setting.sampling_rate), corners, (0.0, 1.0, 1.0, 0.0))
        taps = _linear_phase(amplitude, setting.sampling_rate)
        return filtered(blocks, taps, advance=len(taps) // 2)


def _num_taps(rate: int) -> int:
    """Odd, so that the filter has a middle."""
    return round(TAPS_SECONDS * rate) | 1


def _grid(rate: int) -> NDArray[np.float64]:
    """Frequencies at which a response is designed: eight times as fine as its taps resolve."""
    return np.asarray(np.fft.rfftfreq(8 * _num_taps(rate), 1 / rate), dtype=np.float64)


def _linear_phase(amplitude: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """A symmetric filter with an amplitude given on `_grid`: frequency sampling, Hann window."""
    count = _num_taps(rate)
    whole = np.fft.irfft(amplitude, 8 * count)
    taps = np.roll(whole, count // 2)[:count] * np.hanning(count + 2)[1:-1]
    return np.asarray(taps)
